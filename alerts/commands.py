"""What operators say, as it stands in the profiles log: silences, acknowledgements, new normals.

They come through the log, so every worker and every replay of it acts on them at the same place.
Pure: ``at`` was read from a clock by whoever gave the command, nothing here reads one.
"""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Final, Literal, Protocol

import msgspec

from alerts.events import Operator, hash_id
from alerts.listing import event_id
from alerts.units import moment, rfc3339

Kind = Literal["silence", "end", "ack", "resolve", "expect", "accept"]
ANY: Final = "*"
KEPT: Final = 86_400_000_000  # microseconds after its end in which an expectation still counts


class Changed(Protocol):
    """What a command may hide: a change of a feature of a version and segment."""

    @property
    def version(self) -> str:
        """Version whose records changed."""
        ...

    @property
    def segment(self) -> str:
        """Segment whose records changed."""
        ...

    @property
    def feature(self) -> str:
        """Name of the feature; empty: a signal of the whole model."""
        ...

    @property
    def onset(self) -> int:
        """When it began, microseconds."""
        ...


class Match(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a command is about: shell patterns, all of which must fit."""

    topic: str = ANY
    model: str = ANY
    version: str = ANY
    segment: str = ANY
    feature: str = ANY
    cause: str = ANY

    def text(self) -> str:
        """For people: ``model fraud*, feature age``; ``everything``."""
        named = msgspec.structs.asdict(self).items()
        return ", ".join(f"{name} {said}" for name, said in named if said != ANY) or "everything"


class Command(msgspec.Struct, frozen=True, omit_defaults=True):
    """One command; times in microseconds since 1970-01-01 UTC.

    Attributes:
        id: 20 hexadecimal digits; the same command sent twice counts once.
        kind: ``silence``: nobody is called about what matches, until ``until``. ``end``: the
            silence, expectation or acceptance ``ends`` is over. ``ack``, ``resolve``: of
            ``incident``. ``expect``: changes with an onset from ``since`` to ``until`` are planned.
            ``accept``: what matches is learned anew from ``since`` on: it is the new normal.
        at: When it was given.
        by: Who gave it.
        why: Why.
    """

    id: str
    kind: Kind
    at: int
    by: str
    why: str
    match: Match = Match()
    incident: str = ""
    ends: str = ""
    since: int | None = None
    until: int | None = None

    def concerns(self, topic: str, model: str) -> bool:
        """Whether it can be about a model."""
        return fnmatchcase(topic, self.match.topic) and fnmatchcase(model, self.match.model)

    def hides(self, change: Changed, cause: str, now: int) -> bool:
        """Whether nobody is called about a change of a model that it concerns."""
        if self.kind == "silence":
            holds = self.until is None or now < self.until
        elif self.kind == "expect":
            late = self.since is not None and change.onset < self.since
            holds = not late and (self.until is None or change.onset < self.until)
        else:
            return False
        match = self.match
        return (
            holds
            and fnmatchcase(change.version, match.version)
            and fnmatchcase(change.segment, match.segment)
            and fnmatchcase(change.feature, match.feature)
            and fnmatchcase(cause, match.cause)
        )

    def covers_silence(self, now: int) -> bool:
        """Whether nobody is called when the model brings no data at all."""
        match = self.match
        whole = match.feature == match.version == match.segment == ANY
        begun = self.kind == "silence" or (
            self.kind == "expect" and (self.since is None or self.since <= now)
        )
        meant = whole and fnmatchcase("volume", match.cause)  # as ``no_data`` names it
        return meant and begun and (self.until is None or now < self.until)

    def is_over(self, now: int) -> bool:
        """Whether it can have no effect any more at an event time."""
        if self.kind == "accept":
            return False  # it is taken when it is due
        kept = KEPT if self.kind == "expect" else 0
        return self.until is not None and now >= self.until + kept


def hidden_by(commands: Iterable[Command], changes: Iterable[Changed], cause: str, now: int) -> str:
    """Id of the command for which nobody is called about an incident; empty: there is none.

    Args:
        commands: Those that concern the model.
        changes: What is changed in the incident; all of it must be covered.
        cause: Of the incident.
        now: Event time, microseconds.
    """
    held = list(commands)
    first = ""
    for change in changes:
        found = next((each.id for each in held if each.hides(change, cause, now)), "")
        if not found:
            return ""
        first = first or found
    return first


_SAID: Final[dict[Kind, str]] = {
    "silence": "silence{until}: {match}",
    "end": "{ends} is over",
    "ack": "acknowledged #{incident}",
    "resolve": "resolved #{incident}",
    "expect": "expected{since}{until}: {match}",
    "accept": "accepted as the new normal{since}: {match}",
}


def phrase(command: Command) -> str:
    """What a command says: ``silence until 2026-11-24T05:00Z: model fraud*``."""
    return _SAID[command.kind].format(
        match=command.match.text(),
        incident=command.incident[:8],
        ends=f"#{command.ends[:8]}",
        since="" if command.since is None else f" from {moment(rfc3339(command.since))}",
        until="" if command.until is None else f" until {moment(rfc3339(command.until))}",
    )


def event_of(app: str, command: Command) -> Operator:
    """The event that tells of a command: who did what, for the record."""
    incident = hash_id(app, "command", command.id)
    said = phrase(command)
    return Operator(
        v=1,
        id=event_id(incident, "operator", command.at, 1),
        incident=incident,
        revision=1,
        time=rfc3339(command.at),
        severity="warning",
        topic="" if command.match.topic == ANY else command.match.topic,
        model="" if command.match.model == ANY else command.match.model,
        command=command.kind,
        command_id=command.id,
        by=command.by,
        why=command.why,
        match={
            name: text
            for name, text in msgspec.structs.asdict(command.match).items()
            if text != ANY
        },
        about=command.incident or command.ends or None,
        since=None if command.since is None else rfc3339(command.since),
        until=None if command.until is None else rfc3339(command.until),
        summary=f"{said}, by {command.by}" + (f": {command.why}" if command.why else ""),
        text=(
            f"{command.by} said at {moment(rfc3339(command.at))}: {said}."
            + (f" Because: {command.why}." if command.why else "")
            + f" Its id is {command.id}."
        ),
    )
