"""Signed bodies, as a receiver checks them."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest

from alerts.drill import opened
from alerts.webhook import cloud_event_headers, signature_headers, signing_key


def test_the_golden_signature() -> None:
    """The example of the specification of Standard Webhooks."""
    key = signing_key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    headers = signature_headers(
        key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, b'{"test": 2432232314}'
    )
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_a_plain_secret_is_its_own_key() -> None:
    headers = signature_headers(signing_key("s3cret"), "id", 7, b"body")
    expected = hmac.new(b"s3cret", b"id.7.body", hashlib.sha256).digest()
    assert headers["webhook-signature"] == "v1," + base64.b64encode(expected).decode()


def test_a_spoilt_secret_is_not_shown() -> None:
    with pytest.raises(ValueError, match="is not base64 after whsec_") as caught:
        signing_key("whsec_hunter2!")
    assert "hunter2" not in str(caught.value)


def test_the_attributes_are_those_of_the_topic() -> None:
    event = opened("my app", "a/b", "critical", {}, 1_795_489_200_000_000, "1")
    assert cloud_event_headers(event, "my app") == {
        "ce-specversion": "1.0",
        "ce-id": event.id,
        "ce-source": "/streamgauge/my%20app/a%2Fb",
        "ce-type": "io.streamgauge.incident.opened",
        "ce-subject": event.incident,
        "ce-time": "2026-11-24T03:00:00.000Z",
        "content-type": "application/json",
    }
