"""What a bridge speaks to: one attempt to tell one target, and what its failure means."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Sequence
from typing import Final, Protocol
from urllib.parse import urlsplit

from alerts import alertmanager, syslog, webhook
from alerts.board import News
from consumer.http_post import post
from consumer.mistakes import Mistake, SettingsError
from consumer.settings_bridges import BridgeSettings
from consumer.target_errors import Refused, Unavailable

SECOND: Final = 1_000_000
HELD_RESENDS: Final = 30  # Alertmanager keeps what it hears no more of for so many of them
_DATAGRAM: Final = "udp"


class Target(Protocol):
    """Where a bridge leads. Every call may raise ``Unavailable`` or ``Refused``."""

    def send(self, news: News, now: int) -> None:
        """Return once the target has taken it.

        Args:
            news: What it is told.
            now: The time, microseconds.
        """
        ...

    def send_again(self, alerts: Sequence[alertmanager.Alert], now: int) -> None:
        """Repeat what goes on, where the target would forget it otherwise."""
        ...

    def shown(self, news: News, now: int) -> str:
        """What ``send`` would send, for people; empty: nothing."""
        ...


def target(bridge: BridgeSettings, app: str) -> Target:
    """The target of a bridge.

    Args:
        bridge: With its secrets.
        app: Name of the application.

    Raises:
        SettingsError: A certificate cannot be read.
    """
    if bridge.kind == "alertmanager":
        return Alertmanager(bridge)
    return Webhook(bridge, app) if bridge.kind == "webhook" else Syslog(bridge, app)


def address(url: str) -> str:
    """An address without what may be secret in it: scheme, host and port."""
    parts = urlsplit(url)
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{parts.hostname}{port}"


class Alertmanager:
    """One Alertmanager, or the replicas of one."""

    def __init__(self, bridge: BridgeSettings) -> None:
        self._bridge = bridge
        self._hold = HELD_RESENDS * bridge.resend_every
        self._urls = [f"{url.rstrip('/')}{alertmanager.ALERTS_PATH}" for url in bridge.url]
        self._context = tls_context(bridge)

    def send(self, news: News, now: int) -> None:
        """It has taken it when one replica has; the others hear of it at the next repetition."""
        if news.alerts:
            self.send_again(news.alerts, now)

    def send_again(self, alerts: Sequence[alertmanager.Alert], now: int) -> None:
        """As ``send``."""
        body = alertmanager.post_body(alerts, now, self._hold)
        failures: list[Refused | Unavailable] = []
        for url in self._urls:
            try:
                post(self._bridge, self._context, url, body, {"content-type": "application/json"})
            except (Refused, Unavailable) as failure:
                failures.append(failure)
        if len(failures) == len(self._urls):
            # One that is away may still take it.
            raise next((one for one in failures if isinstance(one, Unavailable)), failures[0])

    def shown(self, news: News, now: int) -> str:
        """The request, without credentials."""
        if not news.alerts:
            return ""
        body = alertmanager.post_body(news.alerts, now, self._hold).decode()
        where = ", ".join(address(url) + alertmanager.ALERTS_PATH for url in self._bridge.url)
        return f"POST {where}\n{body}"


class Webhook:
    """Any HTTP server that takes events."""

    def __init__(self, bridge: BridgeSettings, app: str) -> None:
        self._bridge, self._app = bridge, app
        self._context = tls_context(bridge)
        secret = bridge.secret
        self._key = None if secret is None else webhook.signing_key(secret.get_secret_value())

    def send(self, news: News, now: int) -> None:
        """The body is the event as it is on the topic, or as the format says."""
        body, headers = self._request(news, now)
        if body:
            post(self._bridge, self._context, self._bridge.url[0], body, headers)

    def send_again(self, alerts: Sequence[alertmanager.Alert], now: int) -> None:
        """A receiver of events keeps them."""

    def shown(self, news: News, now: int) -> str:
        """The request, without credentials."""
        body, headers = self._request(news, now)
        told = "".join(f"{name}: {value}\n" for name, value in headers.items())
        return f"POST {address(self._bridge.url[0])}\n{told}{body.decode()}" if body else ""

    def _request(self, news: News, now: int) -> tuple[bytes, dict[str, str]]:
        event = news.event
        if self._bridge.format == "event":
            body, headers = news.value, webhook.cloud_event_headers(event, self._app)
        elif news.alerts:
            body = alertmanager.webhook_body(news.alerts, self._bridge.name, now)
            headers = {"content-type": "application/json"}
        else:
            return b"", {}
        signed = (
            {}
            if self._key is None
            else webhook.signature_headers(self._key, event.id, now // SECOND, body)
        )
        return body, headers | signed


class Syslog:
    """A syslog server, over TLS, TCP or UDP.

    The protocol has no acknowledgement. Over TLS and TCP a message counts as taken when the server
    has closed the connection after reading all of it, or keeps it open for the whole timeout
    without any complaint; over UDP when it has left this host.
    """

    def __init__(self, bridge: BridgeSettings, app: str) -> None:
        parts = urlsplit(bridge.url[0])
        self._host, self._port, self._scheme = parts.hostname or "", parts.port or 0, parts.scheme
        self._bridge, self._app = bridge, app
        self._timeout = bridge.timeout / SECOND
        self._context = tls_context(bridge) if self._scheme == "tls" else None

    def send(self, news: News, now: int) -> None:
        """One message over a connection of its own."""
        message = self._message(news)
        try:
            if self._scheme == _DATAGRAM:
                self._datagram(message)
            else:
                self._stream(syslog.octet_counted(message))
        except ssl.SSLError as error:
            raise Unavailable(f"TLS: {error.reason or 'failed'}") from None
        except OSError as error:
            raise Unavailable(error.strerror or str(error) or "no answer") from None

    def send_again(self, alerts: Sequence[alertmanager.Alert], now: int) -> None:
        """A console keeps its lines."""

    def shown(self, news: News, now: int) -> str:
        """The message, without framing."""
        return f"{address(self._bridge.url[0])}\n{self._message(news).decode()}"

    def _message(self, news: News) -> bytes:
        host = socket.gethostname()
        return syslog.message(news.event, self._bridge.facility, host, self._app)

    def _datagram(self, message: bytes) -> None:
        family, kind, protocol, _, where = socket.getaddrinfo(
            self._host, self._port, type=socket.SOCK_DGRAM
        )[0]
        with socket.socket(family, kind, protocol) as channel:
            channel.sendto(message, where)

    def _stream(self, framed: bytes) -> None:
        with socket.create_connection((self._host, self._port), self._timeout) as plain:
            if self._context is None:
                plain.sendall(framed)
                plain.shutdown(socket.SHUT_WR)
                _wait_for_end(plain)
                return
            with self._context.wrap_socket(plain, server_hostname=self._host) as secure:
                secure.sendall(framed)
                try:
                    secure.unwrap()
                except (ssl.SSLEOFError, TimeoutError):  # it ends without TLS's good-bye
                    return


def _wait_for_end(channel: socket.socket) -> None:
    try:
        while channel.recv(1_024):
            continue
    except TimeoutError:
        return


def tls_context(bridge: BridgeSettings) -> ssl.SSLContext:
    """Certificates are always verified, and host names with them.

    Raises:
        SettingsError: A file cannot be read, or is not what it should be.
    """
    doing = "ca_file"
    try:
        context = ssl.create_default_context(cafile=bridge.ca_file)
        if bridge.cert_file is not None:
            doing = "cert_file"
            context.load_cert_chain(bridge.cert_file, bridge.key_file)
    except OSError as error:  # ssl.SSLError is one
        why = getattr(error, "reason", None) or error.strerror or "cannot be read"
        path = getattr(bridge, doing)
        text = f"{path}: {why}; write the path of a file in PEM"
        raise SettingsError([Mistake(f"bridges.{bridge.name}.{doing}", text)]) from None
    return context
