from __future__ import annotations

import base64
import json

import numpy as np

from consumer.batch import RawBatch, Reject
from consumer.rejects import JSON_SYNTAX, MAX_BYTES, TOMBSTONE, reject_message


def raw(*values: bytes | None) -> RawBatch:
    n = len(values)
    return RawBatch("clicks", 3, np.arange(40, 40 + n), np.full(n, 1_767_225_600_123_456), values)


def test_a_message_tells_place_and_reason() -> None:
    message = reject_message(raw(b"{}", b"{secret"), Reject(1, JSON_SYNTAX, 1, "unexpected"))
    assert message.key == b"clicks/3/41"
    assert json.loads(message.value) == {
        "v": 1,
        "topic": "clicks",
        "partition": 3,
        "offset": 41,
        "timestamp": 1_767_225_600_123,
        "reason": "json_syntax",
        "position": 1,
        "detail": "unexpected",
    }
    assert message.headers == [
        ("streamgauge.errors.topic", b"clicks"),
        ("streamgauge.errors.partition", b"3"),
        ("streamgauge.errors.offset", b"41"),
        ("streamgauge.errors.reason", b"json_syntax"),
    ]


def test_bytes_only_if_asked_for_and_the_first_of_them() -> None:
    content = b"\xff\0" * MAX_BYTES
    message = reject_message(raw(content), Reject(0, JSON_SYNTAX, 1, ""), with_bytes=True)
    assert base64.b64decode(json.loads(message.value)["bytes"]) == content[:MAX_BYTES]


def test_a_tombstone_has_no_bytes_to_copy() -> None:
    message = reject_message(raw(None), Reject(0, TOMBSTONE, None, "no value"), with_bytes=True)
    assert "bytes" not in json.loads(message.value)
    assert json.loads(message.value)["position"] is None
