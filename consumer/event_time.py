"""Event times as records write them, to microseconds since 1970-01-01 UTC."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

import numpy as np

from consumer.batch import NO_TIME
from sketches.table import IntArray

Unit = Literal["auto", "s", "ms", "us", "ns", "rfc3339"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_LATEST = 253_402_300_800_000_000  # 10000-01-01, where dates end
_PER_SECOND: Final = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}

# Seconds of 1990-01-01 and 2100-01-01. A number in between is seconds, one in between these times
# 1,000 is milliseconds, and so on: the four ranges do not meet.
_FROM, _TO = 631_152_000, 4_102_444_800

_RFC3339 = re.compile(
    r"(\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:)(\d\d)((?:\.\d{1,9})?)([Zz]|[+-]\d\d:\d\d)?", re.ASCII
)
_PLAIN = re.compile(r"(?:\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?Z\n)+", re.ASCII)
_NUMBER = re.compile(r"\d{1,19}(?:\.\d{1,9})?", re.ASCII)


def microseconds(values: Sequence[object], unit: Unit, types: set[type] | None = None) -> IntArray:
    """Event times of many records.

    Args:
        values: n values as read from JSON.
        unit: Of numbers. ``auto``: told by magnitude for each record, within the years 1990 to
            2099, and RFC 3339 texts are read too. A time without an offset is UTC.
        types: Of the values, or more, if that is known.

    Returns:
        Shape (n,), microseconds; ``NO_TIME`` where the value is missing or cannot be a time: of
        another type, not a date, zero or negative, out of range.
    """
    if types is None or not values:
        types = set(map(type, values))
    if types == {int} and unit != "rfc3339":
        try:
            return _from_integers(np.fromiter(values, np.int64, len(values)), unit)
        except OverflowError:
            pass  # beyond 63 bits: one by one
    if types == {str} and unit in ("auto", "rfc3339"):
        plain = _from_plain_texts(values)  # type: ignore[arg-type]
        if plain is not None:
            return plain
    times = (microseconds_of(value, unit) for value in values)
    return np.fromiter(times, np.int64, len(values))


def microseconds_of(value: object, unit: Unit) -> int:
    """Event time of one record; ``NO_TIME`` if the value cannot be one."""
    if isinstance(value, str):
        if unit in ("auto", "rfc3339"):
            time = _from_text(value)
            if time != NO_TIME or unit == "rfc3339":
                return time
        if _NUMBER.fullmatch(value) is None:
            return NO_TIME
        value = float(value) if "." in value else int(value)
    if unit == "rfc3339" or isinstance(value, bool) or not isinstance(value, int | float):
        return NO_TIME
    return _from_number(value, unit)


def _from_number(value: float, unit: Unit) -> int:
    per_second = _per_second(value) if unit == "auto" else _PER_SECOND[unit]
    if per_second is None or not 0 < value < 1e21:
        return NO_TIME
    if isinstance(value, int):
        time = value * 1_000_000 // per_second
    elif per_second > 1_000_000:
        time = round(value / 1_000.0)
    else:
        time = round(value * (1_000_000.0 / per_second))
    return time if 0 < time < _LATEST else NO_TIME


def _per_second(value: float) -> int | None:
    for per_second in _PER_SECOND.values():
        if _FROM * per_second <= value < _TO * per_second:
            return per_second
    return None


def _from_integers(values: IntArray, unit: Unit) -> IntArray:
    if unit != "auto":
        return _scaled(values, _PER_SECOND[unit])
    low, high = int(values.min()), int(values.max())
    for per_second in _PER_SECOND.values():
        if _FROM * per_second <= low and high < _TO * per_second:
            return _exactly(values, per_second)
    times = np.full(len(values), NO_TIME, np.int64)
    for per_second in _PER_SECOND.values():
        fits = (values >= _FROM * per_second) & (values < _TO * per_second)
        times[fits] = _exactly(values[fits], per_second)
    return times


def _exactly(values: IntArray, per_second: int) -> IntArray:
    if per_second <= 1_000_000:
        return values * (1_000_000 // per_second)
    return values // (per_second // 1_000_000)


def _scaled(values: IntArray, per_second: int) -> IntArray:
    usable = (values > 0) & (values <= _LATEST // 1_000_000 * per_second)
    held = np.where(usable, values, 0)
    times = _exactly(held, per_second)
    return np.where((times > 0) & (times < _LATEST), times, NO_TIME)


def _from_plain_texts(texts: Sequence[str]) -> IntArray | None:
    """Many ``2026-01-31T12:00:00.123456Z`` at once; None if one is written otherwise."""
    lines = "\n".join(texts) + "\n"
    if _PLAIN.fullmatch(lines) is None or lines.count("\n") != len(texts):
        return None
    try:
        times = np.array(lines[:-1].replace("Z", "").split("\n"), "datetime64[us]")
    except ValueError:  # no such day, or a leap second
        return None
    whole = times.astype(np.int64)
    return np.where(whole > 0, whole, NO_TIME)


def _from_text(text: str) -> int:
    match = _RFC3339.fullmatch(text)
    if match is None:
        return NO_TIME
    minute, second, fraction, offset = match.groups()
    leap = second == "60"  # the second after :59, as clocks that know no leap seconds have it
    written = f"{minute}{'59' if leap else second}{fraction[:7]}{(offset or 'Z').upper()}"
    try:
        time = datetime.fromisoformat(written.upper()) - _EPOCH
    except ValueError:
        return NO_TIME
    whole = time // _MICROSECOND + (1_000_000 if leap else 0)
    return whole if 0 < whole < _LATEST else NO_TIME
