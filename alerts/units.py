"""Numbers, shares, rates and times as people write them."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_EARLIEST: Final = datetime(1, 1, 1, tzinfo=UTC)
_LATEST: Final = datetime(9999, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC)
_LENGTHS: Final = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))
UNKNOWN: Final = "unknown"


def number(value: float | None, digits: int = 4) -> str:
    """A number to ``digits`` significant digits, with thousands separators."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    if value == 0:
        return "0"
    size = abs(value)
    if size >= 1e15 or size < 1e-4:
        return _plain(f"{value:.{digits - 1}e}")
    places = digits - 1 - math.floor(math.log10(size))
    return _plain(f"{round(value, places):,.{max(places, 0)}f}")


def numbers(before: float | None, after: float | None) -> tuple[str, str]:
    """Two numbers with as many digits as it takes to see how they differ (at most 15)."""
    digits = 4
    if before is not None and after is not None and math.isfinite(before - after):
        apart, size = abs(before - after), max(abs(before), abs(after))
        if apart > 0 and math.isfinite(size / apart):
            digits = min(max(digits, math.floor(math.log10(size / apart)) + 2), 15)
    return number(before, digits), number(after, digits)


def share(value: float | None) -> str:
    """A share (0 to 1) in per cent: two digits of the distance to the nearer of 0 and 100."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    percent = 100 * value
    off = min(abs(percent), abs(100 - percent))
    places = 0 if off == 0 else min(max(1 - math.floor(math.log10(off)), 0), 4)
    text = _plain(f"{percent:,.{places}f}")
    if text == "0" and percent > 0:
        text = "<0.0001"
    elif text == "100" and percent < 100:
        text = ">99.9999"
    return f"{text} %"


def rates(before: float | None, after: float | None) -> tuple[str, str]:
    """Two rates per second, both in the unit in which the larger one is at least 1."""
    known = [value for value in (before, after) if value is not None and math.isfinite(value)]
    size = max(map(abs, known), default=0.0)
    factor, unit = next(
        ((f, u) for f, u in ((1, "s"), (60, "min"), (3_600, "h")) if size * f >= 1), (86_400, "d")
    )
    if not size:
        factor, unit = 1, "s"

    def one(value: float | None) -> str:
        return UNKNOWN if value is None else f"{number(value * factor, 3)}/{unit}"

    return one(before), one(after)


def duration(microseconds: int) -> str:
    """A length of time to two digits, in the largest unit of which it has two: ``90 min``."""
    seconds = microseconds / 1_000_000
    for length, unit in _LENGTHS:
        if seconds >= 2 * length or (unit == "s" and seconds >= 1):
            count = seconds / length
            return f"{_plain(f'{count:,.1f}' if count < 10 else f'{count:,.0f}')} {unit}"
    return f"{_plain(f'{seconds:.3f}')} s"


def rfc3339(microseconds: int) -> str:
    """Microseconds since 1970 as ``2026-11-24T03:10:00.000Z``; years beyond 1 to 9999 are cut."""
    return _date(microseconds).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def microseconds(time: str) -> int:
    """Of a time as ``rfc3339`` writes it."""
    return (datetime.fromisoformat(time) - _EPOCH) // timedelta(microseconds=1)


def moment(time: str, beside: str | None = None) -> str:
    """A time for people: ``2026-11-24T03:10Z``, with seconds if it has any.

    Args:
        time: As ``rfc3339`` writes it.
        beside: A time that the reader knows: on the same day the date is left out.
    """
    text = time.removesuffix("Z").removesuffix(".000")
    text = f"{text[:-3] if text.count(':') == 2 and text.endswith(':00') else text}Z"
    return text.partition("T")[2] if beside is not None and beside[:10] == time[:10] else text


def between(start: str, end: str) -> str:
    """The ``duration`` from one time to another, both as ``rfc3339`` writes them."""
    apart = datetime.fromisoformat(end) - datetime.fromisoformat(start)
    return duration(apart // timedelta(microseconds=1))


def _date(microseconds: int) -> datetime:
    try:
        return min(_EPOCH + timedelta(microseconds=microseconds), _LATEST)
    except OverflowError:
        return _LATEST if microseconds > 0 else _EARLIEST


def _plain(text: str) -> str:
    """Without zeros that say nothing, nor a minus before 0."""
    digits, mark, exponent = text.partition("e")
    if "." in digits:
        digits = digits.rstrip("0").rstrip(".")
    if digits == "-0":
        digits = "0"
    return f"{digits}{mark}{exponent}"
