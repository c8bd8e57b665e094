"""What operators' commands do, told to the people who give them. Pure."""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from typing import Final, NamedTuple

import msgspec

from alerts.commands import ANY, Command, hidden_by, phrase
from alerts.event_parts import ChangedFeature
from alerts.events import Event, NoData, Opened, Operator, Updated
from alerts.read import is_open
from alerts.texts import printable, short
from alerts.units import moment, rfc3339

MOST_TOUCHED: Final = 5  # incidents that are named
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_WHY: Final = "--why TEXT"


class _Part(NamedTuple):
    version: str
    segment: str
    feature: str
    onset: int


def holding(events: Iterable[Event], now: int) -> list[Operator]:
    """Silences, planned changes, and new normals still to come, that hold at a time.

    Args:
        events: Of the alerts topic, in order.
        now: Microseconds.
    """
    held: dict[str, Operator] = {}
    for event in events:
        if not isinstance(event, Operator):
            continue
        if event.command == "end":
            held.pop(event.about or "", None)
        elif event.command in ("silence", "expect", "accept"):
            held[event.command_id] = event
    return [each for each in held.values() if _holds(each, now)]


def _holds(event: Operator, now: int) -> bool:
    if event.command == "accept":
        return event.since is not None and _microseconds(event.since) > now
    return event.until is None or _microseconds(event.until) > now


def touched(command: Command, events: Iterable[Event]) -> list[Event]:
    """The open incidents that a command is about.

    Args:
        command: To be given.
        events: The newest of each incident.
    """
    return [each for each in events if is_open(each) and _touches(command, each)]


def _touches(command: Command, event: Event) -> bool:
    if command.kind in ("ack", "resolve"):
        return event.incident == command.incident
    if not isinstance(event, Opened | Updated | NoData):
        return False
    if command.kind == "end":
        return event.silenced == command.ends
    if not command.concerns(event.topic, event.model) or event.time is None:
        return False
    now = _microseconds(event.time)
    if isinstance(event, NoData):
        return command.covers_silence(now)
    active = [each for each in event.changes if each.active]
    if command.kind == "accept":
        match = command.match
        return any(
            fnmatchcase(each.version, match.version) and fnmatchcase(each.segment, match.segment)
            for each in active
        )
    return bool(hidden_by([command], map(_part, active), event.cause, now))


def _part(change: ChangedFeature) -> _Part:
    onset = _microseconds(change.onset)
    return _Part(change.version, change.segment, change.feature, onset)


def answer(command: Command, touched: Sequence[Event], width: int) -> list[str]:
    """What was said, its id, what it touches, and how to undo it, as lines."""
    lines = textwrap.wrap(printable(phrase(command)), width)
    lines.append(f"id: {command.id}")
    count = len(touched)
    lines.append(f"open incidents that it touches: {count or 'none'}")
    for event in touched[:MOST_TOUCHED]:
        told = f"  #{event.incident[:8]} {event.severity} {printable(event.summary)}"
        lines.append(told if len(told) <= width else f"{told[: width - 1]}…")
    if count > MOST_TOUCHED:
        lines.append(f"  and {count - MOST_TOUCHED:,} more")
    lines += textwrap.wrap(f"undo: {_undo(command)}", width, subsequent_indent="      ")
    return lines


def _undo(command: Command) -> str:
    end = f"streamgauge silence --end {command.id[:8]} {_WHY}"
    if command.kind in ("silence", "expect"):
        return end
    if command.kind == "accept":
        until = (
            "until the next window closes"
            if command.since is None
            else f"until {moment(rfc3339(command.since))}"
        )
        return (
            f"{until}, {end}; after that what was learned before is gone, and only "
            "streamgauge baseline publish FILE brings another baseline"
        )
    if command.kind == "ack":
        return (
            "nothing takes it back; it is told again when it grows, "
            f"and streamgauge resolve {command.incident[:8]} {_WHY} closes it"
        )
    if command.kind == "resolve":
        return "not needed: it is opened again when the change grows, or ends and comes back"
    return "give the silence again"


def again(command: Command, more: Sequence[str] = ()) -> str:
    """The command line that sends the same command once more; ``more``: further options."""
    words = ["streamgauge", "silence" if command.kind == "end" else command.kind]
    if command.kind in ("ack", "resolve"):
        words.append(command.incident)
    else:
        if command.ends:
            words += ["--end", command.ends]
        named = msgspec.structs.asdict(command.match).items()
        words += [word for name, said in named if said != ANY for word in (f"--{name}", said)]
        if command.since is not None:
            words += ["--from", _exactly(command.since)]
        if command.until is not None:
            words += ["--until", _exactly(command.until)]
    words += ["--by", command.by, "--why", command.why, "--id", command.id, *more]
    return shlex.join(words)


def table(held: Sequence[Operator], events: Iterable[Event], width: int) -> list[str]:
    """What holds now: two lines for each, those that end first at the top.

    Args:
        held: As ``holding`` found them.
        events: The newest of each incident.
        width: Characters of a line.
    """
    if not held:
        return ["nothing is silenced (what was said counts once a worker has read it)"]
    count: dict[str, int] = {}
    for event in events:
        if is_open(event) and isinstance(event, Opened | Updated | NoData) and event.silenced:
            count[event.silenced] = count.get(event.silenced, 0) + 1
    lines = [f"{'ID':8} {'KIND':7} {'HOLDS':38} {'HIDES':>5} BY"]
    for each in sorted(held, key=lambda one: (one.until or "9", one.command_id)):
        since = f"from {moment(each.since)} " if each.since is not None else ""
        until = f"until {moment(each.until)}" if each.until is not None else ""
        hides = count.get(each.command_id, 0) if each.command != "accept" else "-"
        row = (
            f"{each.command_id[:8]:8} {each.command:7} {(since + until) or 'for good':38} "
            f"{hides:>5} {short(each.by)}"
        )
        what = ", ".join(f"{name} {text}" for name, text in each.match.items()) or "everything"
        why = f": {each.why}" if each.why else ""
        lines += [_cut(row, width), _cut(f"  {printable(what + why)}", width)]
    return lines


def _cut(line: str, width: int) -> str:
    line = line.rstrip()
    return line if len(line) <= width else f"{line[: width - 1]}…"


def _exactly(microseconds: int) -> str:
    return (_EPOCH + timedelta(microseconds=microseconds)).isoformat().replace("+00:00", "Z")


def _microseconds(time: str) -> int:
    return (datetime.fromisoformat(time) - _EPOCH) // timedelta(microseconds=1)
