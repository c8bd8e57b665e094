"""Why a record could not be read, and what the ``<app>-rejects`` topic is told about it."""

from __future__ import annotations

import base64
from typing import Final, NamedTuple

import orjson

from consumer.batch import RawBatch, Reject

FORMAT_VERSION = 1
MAX_BYTES = 65_536  # of a record, copied only where the settings say so

TOMBSTONE: Final = "tombstone"
EMPTY: Final = "empty"
TOO_LARGE: Final = "too_large"
ENCODING: Final = "encoding"
JSON_SYNTAX: Final = "json_syntax"
NUMBER_RANGE: Final = "number_range"
TOO_DEEP: Final = "too_deep"
NOT_AN_OBJECT: Final = "not_an_object"
FEATURES_NOT_AN_OBJECT: Final = "features_not_an_object"
MODEL_NOT_A_NAME: Final = "model_not_a_name"
VERSION_NOT_A_NAME: Final = "version_not_a_name"
SEGMENT_NOT_A_NAME: Final = "segment_not_a_name"

REASONS: Final = {
    TOMBSTONE: "the message has no value",
    EMPTY: "the value has no bytes",
    TOO_LARGE: "the value is longer than limits.message_bytes; it was not parsed",
    ENCODING: "the value is not UTF-8, or a text in it is not Unicode (a lone surrogate)",
    JSON_SYNTAX: "the value is not one JSON document; NaN and Infinity are not JSON",
    NUMBER_RANGE: "a number is beyond the range of a 64-bit float",
    TOO_DEEP: "objects and arrays are nested deeper than limits.nesting",
    NOT_AN_OBJECT: "the JSON document is not an object",
    FEATURES_NOT_AN_OBJECT: "the features are not an object of names and values",
    MODEL_NOT_A_NAME: "the model is an object or an array",
    VERSION_NOT_A_NAME: "the version is an object or an array",
    SEGMENT_NOT_A_NAME: "the segment is an object or an array",
}


class RejectMessage(NamedTuple):
    """A message of the ``<app>-rejects`` topic."""

    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]


def reject_message(raw: RawBatch, reject: Reject, with_bytes: bool = False) -> RejectMessage:
    """What is told about one unreadable record.

    Args:
        raw: The batch as read.
        reject: What the decoder said about one of its rows.
        with_bytes: Copy the first 64 KiB of the record.

    Returns:
        The key is ``topic/partition/offset``, so that repetitions after a restart can be told. The
        value is a JSON object of ``v``, ``topic``, ``partition``, ``offset``, ``timestamp`` (ms),
        ``reason`` (one of ``REASONS``), ``position`` (byte, or null), ``detail`` and, if asked for,
        ``bytes`` (base64). The headers name place and reason as UTF-8 texts.
    """
    partition, offset = int(raw.partition), int(raw.offsets[reject.row])
    told: dict[str, object] = {
        "v": FORMAT_VERSION,
        "topic": raw.topic,
        "partition": partition,
        "offset": offset,
        "timestamp": int(raw.timestamps[reject.row]) // 1_000,
        "reason": reject.reason,
        "position": reject.position,
        "detail": reject.detail,
    }
    content = raw.values[reject.row] if with_bytes else None
    if content is not None:
        told["bytes"] = base64.b64encode(content[:MAX_BYTES]).decode()
    headers = {
        "topic": raw.topic,
        "partition": str(partition),
        "offset": str(offset),
        "reason": reject.reason,
    }
    return RejectMessage(
        key=f"{raw.topic}/{partition}/{offset}".encode(),
        value=orjson.dumps(told),
        headers=[(f"streamgauge.errors.{name}", text.encode()) for name, text in headers.items()],
    )
