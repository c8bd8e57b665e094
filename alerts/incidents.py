"""The life of the incidents of one model: changes in, ``opened``, ``updated``, ``resolved`` out.

One change is one incident. A change joins an open incident that is near in time, so that what
happens together is told once; a change far from it opens another one beside it, so that a seasonal
shift of months does not swallow a storm. Pure: time is what the reports say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Set
from typing import Final, NamedTuple, Protocol

import msgspec

from alerts.causes import Cause, cause
from alerts.commands import Command, hidden_by
from alerts.event_parts import Acknowledged
from alerts.events import (
    FORMAT_VERSION,
    IncidentEvent,
    NoData,
    Opened,
    Resolved,
    Updated,
    hash_id,
)
from alerts.incident import CALM, Entry, Incident, Key, end_of, join, key_of, news, plain, rank
from alerts.listing import Facts, listed
from alerts.notices import data_back, no_data
from alerts.units import rfc3339
from sketches.detection import Change

Ranges = Callable[[int, int], Iterable[tuple[int, int, int]]]

NEAR: Final = 3_600_000_000  # microseconds of event time; changes that near are one incident
SETTLE: Final = 3_600_000_000  # one resolved is reopened, not opened anew, within it


class Context(NamedTuple):
    """What an event says besides what the incident itself knows.

    Attributes:
        ranges: (onset, detected) -> (partition, start, stop) of the records in between.
        watched: Number of features watched; None: not known.
        deployed: As for ``alerts.causes.cause``.
        remind_every: Microseconds after which what is open and not acknowledged is told again;
            None: never.
    """

    ranges: Ranges
    watched: int | None = None
    deployed: Mapping[str, int] | None = None
    remind_every: int | None = None


class Report(Protocol):
    """What a monitor says about one window of a model."""

    @property
    def now(self) -> int:
        """End of the window, microseconds."""
        ...

    @property
    def changes(self) -> tuple[Change, ...]:
        """New ones, and known ones seen again."""
        ...

    @property
    def active(self) -> Iterable[Key]:
        """(version, segment, feature, signal) of all that is still changed."""
        ...

    @property
    def recovered(self) -> Iterable[Key]:
        """What has returned to the baseline."""
        ...

    @property
    def settled(self) -> Iterable[Key]:
        """What did not return, and is taken as the new normal."""
        ...


class _State(msgspec.Struct, array_like=True):
    v: int
    app: str
    topic: str
    model: str
    incidents: list[Incident]
    commands: list[Command] = []
    now: int = 0


class _Said(NamedTuple):
    """What is to be told about an incident."""

    kind: type[IncidentEvent]
    why: tuple[str, ...] = ()
    reason: str = ""


class IncidentBook:
    """All incidents of one model that are open, or were until a moment ago.

    Args:
        topic: Input topic.
        model: Model.
        app: Name of the application; two that watch one topic tell of different incidents.
    """

    def __init__(self, topic: str, model: str, app: str = "streamgauge") -> None:
        self.app = app
        self.topic = topic
        self.model = model
        self._incidents: list[Incident] = []
        self._commands: list[Command] = []
        self._now = 0  # end of the last window, microseconds

    def apply(self, report: Report, context: Context) -> list[IncidentEvent]:
        """What is to be told after one window.

        Args:
            report: Of the window; reports come in order of time.
            context: What its events say besides.

        Returns:
            At most one event for each incident, in the order in which these began.
        """
        now = self._now = report.now
        self._incidents = [
            each
            for each in self._incidents
            if each.resolved is None or now - each.resolved <= SETTLE
        ]
        if self._commands:
            self._commands = [each for each in self._commands if not each.is_over(now)]
        if not self._incidents and not report.changes:
            return []
        changes: dict[Key, Change] = {}
        for change in sorted(map(plain, report.changes), key=rank):
            changes.setdefault(key_of(change), change)  # of several detectors the surest one
        self._end(report, changes.keys())
        reopened = self._place(list(changes.values()))
        return self._events(reopened, context)

    def command(self, command: Command, context: Context) -> list[IncidentEvent]:
        """Act on what an operator said about this model; what follows from it at once."""
        if command.kind in ("silence", "expect", "accept"):
            self._commands.append(command)
        elif command.kind == "end":
            self._commands = [each for each in self._commands if each.id != command.ends]
        else:
            found = [e for e in self._incidents if e.id == command.incident and not e.resolved]
            return [self._answered(each, command, context) for each in found]
        return self._events(frozenset(), context)

    def accepted(self, start: int) -> list[Command]:
        """New normals that hold from windows on that begin at ``start``; told once."""
        due = [e for e in self._commands if e.kind == "accept" and (e.since or 0) <= start]
        self._commands = [each for each in self._commands if each not in due]
        return due

    def no_data(self, since: int, at: int) -> list[NoData]:
        """The model is silent; what is open stays open."""
        told = no_data(self.app, self.topic, self.model, since, at)
        covers = (each for each in self._commands if each.covers_silence(at))
        command = next(covers, None)
        return [told if command is None else msgspec.structs.replace(told, silenced=command.id)]

    def data_back(self, since: int, at: int) -> list[Resolved]:
        """Data again after ``no_data`` with the same ``since``."""
        return [data_back(self.app, self.topic, self.model, since, at)]

    @property
    def open(self) -> int:
        """Incidents that are open."""
        return sum(incident.resolved is None for incident in self._incidents)

    @property
    def changed(self) -> list[Change]:
        """What is still changed in those that are open."""
        return [
            entry.change
            for incident in self._incidents
            if incident.resolved is None
            for entry in incident.entries
            if not entry.end
        ]

    def state(self) -> bytes:
        """All of it, exactly."""
        return msgspec.msgpack.encode(
            _State(
                FORMAT_VERSION,
                self.app,
                self.topic,
                self.model,
                self._incidents,
                self._commands,
                self._now,
            )
        )

    @classmethod
    def restore(cls, state: bytes) -> IncidentBook:
        """A book that goes on where ``state`` was taken.

        Raises:
            ValueError: It cannot be read.
        """
        kept = msgspec.msgpack.decode(state, type=_State)
        if kept.v != FORMAT_VERSION:
            raise ValueError(f"incidents of format version {kept.v}")
        book = cls(kept.topic, kept.model, kept.app)
        book._incidents, book._commands, book._now = kept.incidents, kept.commands, kept.now
        return book

    def _end(self, report: Report, again: Set[Key]) -> None:
        recovered, settled = set(report.recovered), set(report.settled)
        active = again | set(report.active)
        for incident in self._incidents:
            for entry in incident.entries:
                key = key_of(entry.change)
                if entry.end or key in again:
                    continue
                if key in recovered:
                    entry.end = "recovered"
                elif key in settled:
                    entry.end = "settled"
                elif key not in active:
                    entry.end = "expired"

    def _place(self, changes: list[Change]) -> set[str]:
        """Put each change into its incident; ids of those that this reopened."""
        reopened: set[str] = set()
        open_with, resolved_with = self._parts(), self._signals()
        known: dict[str, dict[Key, Entry]] = {}

        def back(change: Change) -> Incident | None:
            found = resolved_with.get((change.feature, change.signal))
            if found is not None and found.quiet is not None:
                found.came_back(change.detected)
                found.quiet = None
                if found.resolved is not None:
                    found.resolved = None
                    found.entries = []
                    reopened.add(found.id)
            return found

        def fresh(change: Change) -> Incident | None:
            return None if key_of(change)[:3] in open_with else self._begin(change)

        def shared(change: Change) -> Incident:
            return open_with[key_of(change)[:3]]

        # Nearness in time first. What one step leaves over may be near to what the next one finds.
        for find in (self._near, back, fresh, shared):
            waiting = []
            for change in changes:
                incident = self._near(change) or find(change)
                if incident is None:
                    waiting.append(change)
                    continue
                if incident.id not in known:
                    known[incident.id] = {key_of(each.change): each for each in incident.entries}
                join(incident, change, known[incident.id])
            changes = waiting
        return reopened

    def _parts(self) -> dict[tuple[str, str, str], Incident]:
        """(version, segment, feature) still changed -> the newest open incident that has it."""
        return {
            key_of(entry.change)[:3]: incident
            for incident in self._incidents
            if incident.resolved is None
            for entry in incident.entries
            if not entry.end
        }

    def _signals(self) -> dict[tuple[str, str], Incident]:
        """(feature, signal) -> the newest incident that had it and in which nothing is changed."""
        return {
            (entry.change.feature, entry.change.signal): incident
            for incident in self._incidents
            if incident.quiet is not None
            for entry in incident.entries
        }

    def _near(self, change: Change) -> Incident | None:
        near = [
            each
            for each in self._incidents
            if each.resolved is None
            and (
                each.onset - NEAR <= change.onset <= each.last + NEAR
                or each.onset - NEAR <= change.detected <= each.last + NEAR
            )
        ]
        return max(near, key=lambda each: each.last, default=None)

    def _begin(self, change: Change) -> Incident:
        about = (change.onset, change.detected, *key_of(change))
        incident = Incident(
            hash_id(self.app, self.topic, self.model, "change", *about),
            change.onset,
            change.detected,
            change.detected,
        )
        self._incidents.append(incident)
        return incident

    def _events(self, reopened: Set[str], context: Context) -> list[IncidentEvent]:
        events = []
        for incident in self._incidents:
            why = cause(
                (entry.change for entry in incident.entries),
                watched=context.watched,
                deployed=context.deployed,
            )
            said = self._said(incident, why, incident.id in reopened, context.remind_every)
            if said is not None:
                events.append(self._event(incident, said, why, context))
        return events

    def _said(
        self, incident: Incident, cause: Cause, reopened: bool, remind_every: int | None
    ) -> _Said | None:
        """What is to be told about an incident now; None: nothing."""
        if incident.resolved is not None:
            return None
        now, silenced = self._now, incident.silenced
        changed = [entry.change for entry in incident.entries if not entry.end]
        if changed and self._commands:
            incident.silenced = hidden_by(self._commands, changed, cause, now)
        elif changed:
            incident.silenced = ""
        if incident.revision == 0:
            return _Said(Opened)
        if reopened:
            flaps = ("flapping",) if incident.flapping else ()
            return _Said(Updated, ("reopened", *flaps))
        if not changed:
            if incident.quiet is None:
                incident.quiet = now
            if incident.flapping and now - incident.quiet < CALM:
                return None
            incident.resolved = now
            return _Said(Resolved, reason=end_of(incident))
        incident.quiet = None
        why = news(incident, now, cause)
        if bool(incident.silenced) != bool(silenced):
            why = (*why, "silenced" if incident.silenced else "silence_ended")
        quiet = incident.acknowledged or incident.silenced or remind_every is None
        if not why and not quiet and remind_every and now - incident.said >= remind_every:
            why = ("reminder",)
        return _Said(Updated, why) if why else None

    def _answered(self, incident: Incident, command: Command, context: Context) -> IncidentEvent:
        """Somebody acknowledged or resolved it."""
        incident.acknowledged = (command.by, command.why, command.at)
        said = _Said(Updated, ("acknowledged",))
        if command.kind == "resolve":
            incident.resolved = incident.quiet = self._now
            said = _Said(Resolved, reason="operator")
        why = cause(
            (entry.change for entry in incident.entries),
            watched=context.watched,
            deployed=context.deployed,
        )
        return self._event(incident, said, why, context)

    def accept(self, version: str, segment: str) -> None:
        """What is changed in such records is the new normal; the next report tells of it."""
        for incident in self._incidents:
            for entry in incident.entries:
                about = (entry.change.version, entry.change.segment)
                if not entry.end and about == (version, segment):
                    entry.end = "accepted"

    def _event(
        self, incident: Incident, said: _Said, cause: Cause, context: Context
    ) -> IncidentEvent:
        incident.revision += 1
        incident.told, incident.said, incident.cause = incident.severity, self._now, cause
        for entry in incident.entries:
            entry.told = max(entry.told or 0.0, entry.change.effect)
            entry.way = entry.change.direction
        return listed(
            said.kind,
            Facts(
                app=self.app,
                topic=self.topic,
                model=self.model,
                incident=incident.id,
                revision=incident.revision,
                severity=incident.severity,
                time=self._now,
                onset=incident.onset,
                first=incident.first,
                last=incident.last,
                ranges=tuple(context.ranges(incident.onset, incident.last)),
                watched=context.watched,
                why=said.why,
                reason=said.reason,
                cause=cause,
                silenced=incident.silenced,
                acknowledged=_acknowledged(incident),
                flapping=incident.flapping,
            ),
            sorted(
                ((entry.change, not entry.end) for entry in incident.entries),
                key=lambda each: (not each[1], rank(each[0], cause)),
            ),
        )


def _acknowledged(incident: Incident) -> Acknowledged | None:
    if incident.acknowledged is None:
        return None
    by, why, at = incident.acknowledged
    return Acknowledged(by=by, why=why, at=rfc3339(at))
