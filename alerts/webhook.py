"""Events as signed HTTP requests.

The signature is that of Standard Webhooks (standardwebhooks.com), for which receivers find
libraries in most languages: HMAC-SHA256 over id, time and body.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from typing import Final

from alerts.events import Event, to_message

PREFIX: Final = "whsec_"  # of a secret written in base64


def cloud_event_headers(event: Event, app: str) -> dict[str, str]:
    """The event's attributes as CloudEvents over HTTP has them, in binary mode.

    Args:
        event: Any event.
        app: Name of the application.
    """
    _, _, headers = to_message(event, app)
    return {name.replace("_", "-"): value.decode() for name, value in headers}


def signature_headers(key: bytes, id: str, seconds: int, body: bytes) -> dict[str, str]:
    """Headers that prove who sent a body, and when.

    Args:
        key: As ``signing_key`` gives it.
        id: Equal when the same message is sent again.
        seconds: Time since 1970-01-01 UTC; a receiver refuses what is old.
        body: As it is sent.
    """
    signed = f"{id}.{seconds}.".encode() + body
    digest = hmac.new(key, signed, hashlib.sha256).digest()
    return {
        "webhook-id": id,
        "webhook-timestamp": str(seconds),
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }


def signing_key(secret: str) -> bytes:
    """The key in a secret: base64 after ``whsec_``, else its own bytes.

    Raises:
        ValueError: It is no base64; the message does not hold it.
    """
    if not secret.startswith(PREFIX):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except binascii.Error:
        raise ValueError(f"is not base64 after {PREFIX}") from None
