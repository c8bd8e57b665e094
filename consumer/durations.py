"""Durations and points in time as people write them, as integer microseconds."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Final

MICROSECOND: Final = 1
MILLISECOND: Final = 1_000
SECOND: Final = 1_000_000
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR

_UNITS: Final = {
    "us": MICROSECOND,
    "ms": MILLISECOND,
    "s": SECOND,
    "min": MINUTE,
    "h": HOUR,
    "d": DAY,
}
_DURATION = re.compile(r"\s*([0-9]{1,12}(?:\.[0-9]{1,6})?)\s*([A-Za-zµ]*)\s*", re.ASCII)
_EXAMPLES = 'write a number and a unit (ms, s, min, h, d), for example "10s", "5min", "1h", "31d"'


def parse_duration(text: str) -> int:
    """Microseconds of a duration such as ``10s``, ``1.5h`` or ``31d``.

    Raises:
        ValueError: No number, no unit, an unknown unit, or a fraction of a microsecond; the message
            says what to write.
    """
    found = _DURATION.fullmatch(text)
    if found is None:
        raise ValueError(f"{short(text)} is not a duration; {_EXAMPLES}")
    number, unit = found.groups()
    if not unit:
        raise ValueError(f"{short(text)} has no unit; {_EXAMPLES}")
    if unit not in _UNITS:
        meant = {"m": "min", "sec": "s", "hour": "h", "hours": "h", "day": "d", "days": "d"}
        hint = f' (did you mean "{number}{meant[unit]}"?)' if unit in meant else ""
        raise ValueError(f"{short(text)} has an unknown unit{hint}; {_EXAMPLES}")
    microseconds = Decimal(number) * _UNITS[unit]
    if microseconds != int(microseconds):
        raise ValueError(f"{short(text)} is not a whole number of microseconds; {_EXAMPLES}")
    return int(microseconds)


def format_duration(microseconds: int) -> str:
    """The shortest form that ``parse_duration`` reads back: ``10s``, ``90min``, ``1d``."""
    for unit, size in reversed(_UNITS.items()):
        if microseconds and microseconds % size == 0:
            return f"{microseconds // size}{unit}"
    return "0s"


def parse_time(value: str | date | datetime) -> datetime:
    """A point in time from a date or an RFC 3339 time; UTC when it names no zone.

    Raises:
        ValueError: Neither; the message says what to write.
    """
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.strip())
        except ValueError:
            raise ValueError(
                f"{short(value)} is not a time; write a date or an RFC 3339 time, "
                'for example "2026-01-31" or "2026-01-31T12:00:00Z"'
            ) from None
    if not isinstance(value, datetime):
        value = datetime.combine(value, time())
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def to_microseconds(moment: datetime) -> int:
    """Microseconds since 1970-01-01 UTC of an aware time, exactly."""
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * SECOND + since.microseconds


def format_time(microseconds: int) -> str:
    """``2026-01-31T12:00:00Z``; years outside 1 to 9999 as the number itself."""
    seconds, rest = divmod(microseconds, SECOND)
    try:
        moment = datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest, tzinfo=None)
    except (OverflowError, ValueError, OSError):
        return f"{microseconds} us since 1970"
    return moment.isoformat(timespec="auto") + "Z"


def short(value: object, limit: int = 60) -> str:
    """A value as shown in messages: quoted, on one line, cut to ``limit`` characters."""
    text = f'"{value}"' if isinstance(value, str) else repr(value)
    text = "".join(c if c.isprintable() else "?" for c in text)
    return text if len(text) <= limit else f"{text[: limit - 3]}..."
