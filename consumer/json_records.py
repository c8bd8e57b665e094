"""Message values to JSON objects, with a reason for every value that is not one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import orjson

from consumer import rejects
from consumer.batch import Reject
from consumer.field_map import Record

# The parser's words that are passed on. They are fixed texts: anything else it might say could
# carry a part of the record.
_SAID = (
    "unexpected character",
    "unexpected end of data",
    "unexpected content after document",
    "unexpected control character in string",
    "trailing comma is not allowed",
    "invalid escaped sequence in string",
    "invalid number",
    "invalid literal",
    "number with leading zero is not allowed",
    "no digit after decimal point",
)
_PIECE_BYTES = 2_000_000
_NAMES: dict[type, str] = {
    list: "an array",
    str: "a text",
    int: "a number",
    float: "a number",
    bool: "a boolean",
    type(None): "null",
    dict: "an object",
}


def readable(values: Sequence[bytes | None], message_bytes: int) -> Sequence[bytes | None]:
    """The values, with None in the place of those longer than ``message_bytes``."""
    try:
        longest = max(map(len, values), default=0)  # type: ignore[arg-type]
    except TypeError:  # None is among them
        longest = max(map(len, filter(None, values)), default=0)
    if longest <= message_bytes:
        return values
    return [None if value and len(value) > message_bytes else value for value in values]


def pieces(values: Sequence[bytes | None], rows: Sequence[int]) -> Iterator[Sequence[int]]:
    """Some rows in pieces that stay in the processor's cache, and in memory, when parsed."""
    size = sum(len(values[row] or b"") for row in rows)
    most = max(1, _PIECE_BYTES * len(rows) // max(1, size))
    for start in range(0, len(rows), most):
        yield rows[start : start + most]


def json_objects(
    values: Sequence[bytes | None], message_bytes: int
) -> tuple[list[Record | None], list[Reject]]:
    """Parse n message values.

    Of keys that an object repeats the last one holds. Integers beyond 64 bits become floats.

    Args:
        values: Values of messages.
        message_bytes: Longer ones are not parsed.

    Returns:
        n objects, None where there is a reject; the rejects by row.
    """
    found: list[Reject] = []
    try:
        plain = min(map(len, values), default=1) > 0  # type: ignore[arg-type]
        plain = plain and max(map(len, values), default=0) <= message_bytes  # type: ignore[arg-type]
    except TypeError:
        plain = False
    if not plain:
        values = list(values)
        for row, value in enumerate(values):
            reject = _not_parsed(row, value, message_bytes)
            if reject is not None:
                found.append(reject)
                values[row] = b"{}"
    records: list[Record | None] = []
    parsing = map(orjson.loads, values)  # type: ignore[arg-type]  # no None is left
    while True:
        try:
            records.extend(parsing)  # keeps what it had got when one fails
            break
        except orjson.JSONDecodeError as error:
            row = len(records)
            found.append(syntax_reject(row, values[row] or b"", error))
            records.append({})
    if set(map(type, records)) - {dict}:
        for row, record in enumerate(records):
            if type(record) is not dict:
                found.append(Reject(row, rejects.NOT_AN_OBJECT, 0, kind_name(record)))
    for reject in found:
        records[reject.row] = None
    return records, sorted(found)


def kind_name(value: object) -> str:
    """What a JSON value is, in words."""
    return _NAMES.get(type(value), "nothing")


def too_deep(record: object, limit: int) -> bool:
    """Whether objects and arrays are nested deeper than ``limit``; the record itself is 1."""
    level = [record]
    for _ in range(limit):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)  # type: ignore[attr-defined]
            if type(inner) is dict or type(inner) is list
        ]
        if not level:
            return False
    return True


def syntax_reject(row: int, value: bytes, error: orjson.JSONDecodeError) -> Reject:
    """Why a value cannot be parsed, and at which of its bytes."""
    try:
        value.decode()
    except UnicodeDecodeError as wrong:
        detail = (
            "UTF-16 byte order mark" if value[:2] in (b"\xff\xfe", b"\xfe\xff") else "not UTF-8"
        )
        return Reject(row, rejects.ENCODING, wrong.start, detail)
    if value.startswith(b"\xef\xbb\xbf"):
        return Reject(row, rejects.ENCODING, 0, "byte order mark")
    if b"\0" in value[:4]:
        return Reject(row, rejects.ENCODING, value.index(b"\0"), "UTF-16 or UTF-32")
    position = len(error.doc[: error.pos].encode())
    if "surrogate" in error.msg:
        return Reject(row, rejects.ENCODING, position, "lone surrogate")
    if "infinity" in error.msg or "range" in error.msg:
        return Reject(row, rejects.NUMBER_RANGE, position, "number out of range")
    if "depth" in error.msg or "ecursion" in error.msg:
        return Reject(row, rejects.TOO_DEEP, position, "nested too deep to be parsed")
    said = next((words for words in _SAID if error.msg.startswith(words)), "not JSON")
    return Reject(row, rejects.JSON_SYNTAX, position, said)


def _not_parsed(row: int, value: bytes | None, message_bytes: int) -> Reject | None:
    if value is None:
        return Reject(row, rejects.TOMBSTONE, None, "no value")
    if not value:
        return Reject(row, rejects.EMPTY, 0, "no bytes")
    if len(value) > message_bytes:
        return Reject(row, rejects.TOO_LARGE, message_bytes, f"{len(value)} bytes")
    return None
