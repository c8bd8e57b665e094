"""One HTTP request of a bridge: it follows no redirect and uses no proxy."""

from __future__ import annotations

import base64
import http.client
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Final
from urllib.parse import urlsplit

from alerts.texts import short
from consumer.kafka_settings import HIDDEN
from consumer.settings_bridges import BridgeSettings
from consumer.target_errors import Refused, Unavailable

SECOND: Final = 1_000_000
LONGEST_WAIT: Final = 3_600.0  # seconds that a server's Retry-After is obeyed for
_ANSWER_BYTES: Final = 2_000
# Answers about this one message; every other refusal (401, 404, ...) is about all of them, so it
# has a remedy outside, and nothing is skipped for it.
_ABOUT_MESSAGE: Final = frozenset({400, 406, 409, 411, 413, 414, 415, 422, 431, 451})


def post(
    bridge: BridgeSettings,
    context: ssl.SSLContext,
    url: str,
    body: bytes,
    headers: Mapping[str, str],
) -> None:
    """Return once the server has answered with a status of 200 to 299.

    Args:
        bridge: Its credentials and its timeout, which holds for all of the exchange.
        context: For https.
        url: Where.
        body: What.
        headers: Beside those of the credentials.

    Raises:
        Unavailable: It may go through later.
        Refused: The server does not want this body.
    """
    timeout = bridge.timeout / SECOND
    connection, path = _connection(url, timeout, context)
    begun = time.monotonic()
    # The connection's own timeout begins anew with every byte.
    clock = threading.Timer(timeout, _cut_off, [connection])
    clock.daemon = True
    try:
        connection.connect()
        clock.start()
        connection.request("POST", path, body, {**headers, **_credentials(bridge)})
        _judge(connection.getresponse(), bridge)
    except ssl.SSLError as error:
        raise Unavailable(f"TLS: {error.reason or 'failed'}") from None
    except (OSError, http.client.HTTPException) as error:
        why = getattr(error, "strerror", None) or type(error).__name__
        if time.monotonic() - begun >= timeout or isinstance(error, TimeoutError):
            why = f"none within {timeout:g} s"
        raise Unavailable(f"no answer: {why}") from None
    except ValueError:  # what others wrote into the topic becomes headers
        raise Refused("an attribute of the event cannot be a header") from None
    finally:
        clock.cancel()
        connection.close()


def _connection(
    url: str, timeout: float, context: ssl.SSLContext
) -> tuple[http.client.HTTPConnection, str]:
    parts = urlsplit(url)
    host = parts.hostname or ""
    path = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
    if parts.scheme == "https":
        secure = http.client.HTTPSConnection(host, parts.port, timeout=timeout, context=context)
        return secure, path
    return http.client.HTTPConnection(host, parts.port, timeout=timeout), path


def _cut_off(connection: http.client.HTTPConnection) -> None:
    if connection.sock is not None:
        with suppress(OSError):
            socket.socket.shutdown(connection.sock, socket.SHUT_RDWR)


def _judge(answer: http.client.HTTPResponse, bridge: BridgeSettings) -> None:
    status = answer.status
    if 200 <= status < 300:
        return
    if 300 <= status < 400:
        raise Unavailable(f"status {status}: a redirect, which is not followed; correct url")
    said = without_secrets(answer.read(_ANSWER_BYTES).decode(errors="replace").strip(), bridge)
    text = f"status {status}: {short(said, 200) or answer.reason}"
    if status in _ABOUT_MESSAGE:
        raise Refused(text)
    raise Unavailable(text, _retry_after(answer.headers.get("retry-after", "")))


def without_secrets(text: str, bridge: BridgeSettings) -> str:
    """A text of somebody else's, who may repeat what we have sent."""
    for secret in (bridge.password, bridge.token, bridge.secret):
        if secret is not None and secret.get_secret_value():
            text = text.replace(secret.get_secret_value(), HIDDEN)
    return text


def _retry_after(value: str) -> float:
    return min(float(value), LONGEST_WAIT) if value.isascii() and value.isdigit() else 0.0


def _credentials(bridge: BridgeSettings) -> dict[str, str]:
    if bridge.token is not None:
        return {"authorization": f"Bearer {bridge.token.get_secret_value()}"}
    if bridge.username is None:
        return {}
    password = "" if bridge.password is None else bridge.password.get_secret_value()
    pair = base64.b64encode(f"{bridge.username}:{password}".encode()).decode()
    return {"authorization": f"Basic {pair}"}
