"""Operators' commands as people write them, to what the log holds. Pure: the time is given."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

import msgspec

from alerts.commands import ANY, Command, Kind, Match
from alerts.texts import printable
from consumer.durations import DAY, parse_duration, parse_time, short, to_microseconds

LONGEST_BY: Final = 128  # characters
LONGEST_WHY: Final = 1_000
LONGEST_PATTERN: Final = 256
FARTHEST: Final = 3_660 * DAY
EVERYTHING: Final = Match()
_ID: Final = re.compile(r"[0-9a-f]{20}")


class CommandError(ValueError):
    """What was written is no command; the text says what to write."""


class Written(NamedTuple):
    """Options of a command as they were written; None: left out.

    Attributes:
        id: 20 hexadecimal digits.
        by: Who gives it.
        why: Why.
        since: When it begins.
        until: When it ends.
        lasts: A duration from now on, instead of ``until``.
    """

    id: str
    by: str
    why: str | None = None
    since: str | None = None
    until: str | None = None
    lasts: str | None = None


def command(
    kind: Kind,
    now: int,
    written: Written,
    match: Match = EVERYTHING,
    *,
    incident: str = "",
    ends: str = "",
) -> Command:
    """The command that options name.

    Args:
        kind: Of it.
        now: Microseconds.
        written: Its options.
        match: What it is about.
        incident: Whole id, of ``ack`` and ``resolve``.
        ends: Whole id, of ``end``.

    Raises:
        CommandError: An option is missing, too long, or cannot be read.
    """
    if _ID.fullmatch(written.id) is None:
        raise CommandError(f"--id {short(written.id)}: 20 digits of 0-9a-f, or leave it out")
    for name, pattern in msgspec.structs.asdict(match).items():
        _line(f"--{name}", pattern, LONGEST_PATTERN)
    found = Command(
        id=written.id,
        kind=kind,
        at=now,
        by=_line("--by", written.by, LONGEST_BY),
        why=_line("--why", written.why or "", LONGEST_WHY),
        match=match,
        incident=incident,
        ends=ends,
        since=None if written.since is None else _time("--from", written.since, now),
        until=_until(written.until, written.lasts, now),
    )
    _whole(found)
    return found


def _whole(command: Command) -> None:
    """See that nothing is missing and nothing contradicts."""
    if not command.why:
        raise CommandError("say why: --why TEXT; it is kept with the alerts")
    since, until = command.since, command.until
    if command.kind in ("silence", "expect") and until is None:
        raise CommandError("say how long: --for 2h, or --until TIME")
    if command.kind == "expect" and since is None:
        raise CommandError("say from when on: --from TIME; a change before it is not planned")
    if since is not None and until is not None and since >= until:
        raise CommandError("--until must be later than --from")
    if command.kind == "silence" and until is not None and until <= command.at:
        raise CommandError("--until is over already; name a time to come")
    if command.kind == "accept" and command.match.model == ANY:
        raise CommandError("say which model: --model NAME; a pattern will do, but not * alone")


def _until(until: str | None, lasts: str | None, now: int) -> int | None:
    if until is not None and lasts is not None:
        raise CommandError("--for and --until both say when it ends; leave one out")
    if until is not None:
        return _time("--until", until, now)
    if lasts is None:
        return None
    try:
        length = parse_duration(lasts)
    except ValueError as error:
        raise CommandError(f"--for: {error}") from error
    if not 0 < length <= FARTHEST:
        raise CommandError(f"--for {lasts}: more than nothing, and at most {FARTHEST // DAY}d")
    return now + length


def _time(flag: str, text: str, now: int) -> int:
    try:
        found = to_microseconds(parse_time(text))
    except ValueError as error:
        raise CommandError(f"{flag}: {error}") from error
    if found > now + FARTHEST:
        raise CommandError(f"{flag} {text}: at most {FARTHEST // DAY}d from now")
    return found


def _line(flag: str, text: str, most: int) -> str:
    """One line without what could move a cursor."""
    text = text.strip()
    if len(text) > most:
        raise CommandError(f"{flag}: {len(text):,} characters, at most {most:,}")
    if printable(text) != text:
        raise CommandError(f"{flag}: one line of printable characters, no line breaks or the like")
    return text
