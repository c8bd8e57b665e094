"""The life of the incidents of one model: changes in, ``opened``, ``updated``, ``resolved`` out.

One change is one incident. A change joins an open incident that is near in time, so that what
happens together is told once; a change far from it opens another one beside it, so that a seasonal
shift of months does not swallow a storm. Pure: time is what the reports say.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Set
from typing import Final, Protocol

import msgspec

from alerts.causes import FAULTS, Cause, cause, nearer, points_at
from alerts.events import (
    FORMAT_VERSION,
    IncidentEvent,
    NoData,
    Opened,
    Resolved,
    Updated,
    hash_id,
)
from alerts.listing import Facts, listed
from alerts.notices import data_back, no_data
from sketches.detection import Change, Severity

Key = tuple[str, str, str, str]
Ranges = Callable[[int, int], Iterable[tuple[int, int, int]]]

NEAR: Final = 3_600_000_000  # microseconds of event time; changes that near are one incident
SETTLE: Final = 3_600_000_000  # one resolved is reopened, not opened anew, within it
HOLD: Final = 1_800_000_000  # an update that can wait follows no event sooner than this


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


class Entry(msgspec.Struct, array_like=True):
    """One signal in an incident.

    Attributes:
        change: As seen last, with its first onset.
        end: Empty: still changed; else ``recovered``, ``settled`` or ``expired``.
        told: Largest effect in an event so far; None: in no event yet.
        way: Direction in the last event.
    """

    change: Change
    end: str = ""
    told: float | None = None
    way: str = ""


class Incident(msgspec.Struct, array_like=True):
    """One incident; times in microseconds of event time.

    Attributes:
        id: Its id.
        onset: Earliest onset of its changes.
        first: When the first of them was detected.
        last: When the last of them was detected.
        revision: Of its last event; 0: none yet.
        told: Severity in its last event.
        said: Time of its last event.
        resolved: When it was; None: it is open.
        entries: Its signals, in the order in which they joined.
        cause: In its last event.
    """

    id: str
    onset: int
    first: int
    last: int
    revision: int = 0
    told: Severity = "warning"
    said: int = 0
    resolved: int | None = None
    entries: list[Entry] = []
    cause: Cause = "unknown"

    @property
    def severity(self) -> Severity:
        """The worst of its changes."""
        worst = any(entry.change.severity == "critical" for entry in self.entries)
        return "critical" if worst else "warning"


class _State(msgspec.Struct, array_like=True):
    v: int
    app: str
    topic: str
    model: str
    incidents: list[Incident]


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

    def apply(
        self,
        report: Report,
        ranges: Ranges,
        *,
        watched: int | None = None,
        deployed: Mapping[str, int] | None = None,
    ) -> list[IncidentEvent]:
        """What is to be told after one window.

        Args:
            report: Of the window; reports come in order of time.
            ranges: (onset, detected) -> (partition, start, stop) of the records in between.
            watched: Number of features watched; None: not known.
            deployed: As for ``alerts.causes.cause``.

        Returns:
            At most one event for each incident, in the order in which these began.
        """
        now = report.now
        self._incidents = [
            each
            for each in self._incidents
            if each.resolved is None or now - each.resolved <= SETTLE
        ]
        if not self._incidents and not report.changes:
            return []
        changes: dict[Key, Change] = {}
        for change in sorted(map(_plain, report.changes), key=_rank):
            changes.setdefault(_key(change), change)  # of several detectors the surest one
        self._end(report, changes.keys())
        reopened = self._place(list(changes.values()))
        events: list[IncidentEvent] = []
        for incident in self._incidents:
            again = incident.id in reopened
            event = self._event(incident, now, again, ranges, watched, deployed)
            if event is not None:
                events.append(event)
        return events

    def no_data(self, since: int, at: int) -> list[NoData]:
        """The model is silent; what is open stays open."""
        return [no_data(self.app, self.topic, self.model, since, at)]

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
            _State(FORMAT_VERSION, self.app, self.topic, self.model, self._incidents)
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
        book._incidents = kept.incidents
        return book

    def _end(self, report: Report, again: Set[Key]) -> None:
        recovered, settled = set(report.recovered), set(report.settled)
        active = again | set(report.active)
        for incident in self._incidents:
            for entry in incident.entries:
                key = _key(entry.change)
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
            if found is not None and found.resolved is not None:
                found.resolved = None
                found.entries = []
                reopened.add(found.id)
            return found

        def fresh(change: Change) -> Incident | None:
            return None if _key(change)[:3] in open_with else self._begin(change)

        def shared(change: Change) -> Incident:
            return open_with[_key(change)[:3]]

        # Nearness in time first. What one step leaves over may be near to what the next one finds.
        for find in (self._near, back, fresh, shared):
            waiting = []
            for change in changes:
                incident = self._near(change) or find(change)
                if incident is None:
                    waiting.append(change)
                    continue
                if incident.id not in known:
                    known[incident.id] = {_key(each.change): each for each in incident.entries}
                _join(incident, change, known[incident.id])
            changes = waiting
        return reopened

    def _parts(self) -> dict[tuple[str, str, str], Incident]:
        """(version, segment, feature) still changed -> the newest open incident that has it."""
        return {
            _key(entry.change)[:3]: incident
            for incident in self._incidents
            if incident.resolved is None
            for entry in incident.entries
            if not entry.end
        }

    def _signals(self) -> dict[tuple[str, str], Incident]:
        """(feature, signal) -> the newest incident resolved a moment ago that had it."""
        return {
            (entry.change.feature, entry.change.signal): incident
            for incident in self._incidents
            if incident.resolved is not None
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
        about = (change.onset, change.detected, *_key(change))
        incident = Incident(
            hash_id(self.app, self.topic, self.model, "change", *about),
            change.onset,
            change.detected,
            change.detected,
        )
        self._incidents.append(incident)
        return incident

    def _event(
        self,
        incident: Incident,
        now: int,
        reopened: bool,
        ranges: Ranges,
        watched: int | None,
        deployed: Mapping[str, int] | None,
    ) -> IncidentEvent | None:
        why: tuple[str, ...] = ()
        reason = ""
        changes = (entry.change for entry in incident.entries)
        root = cause(changes, watched=watched, deployed=deployed)
        if incident.revision == 0:
            kind: type[IncidentEvent] = Opened
        elif incident.resolved is not None:
            return None
        elif reopened:
            kind, why = Updated, ("reopened",)
        elif all(entry.end for entry in incident.entries):
            kind, reason = Resolved, _reason(incident)
            incident.resolved = now
        else:
            kind, why = Updated, _why(incident, now, root)
            if not why:
                return None
        incident.revision += 1
        incident.told, incident.said, incident.cause = incident.severity, now, root
        for entry in incident.entries:
            entry.told = max(entry.told or 0.0, entry.change.effect)
            entry.way = entry.change.direction
        return listed(
            kind,
            Facts(
                app=self.app,
                topic=self.topic,
                model=self.model,
                incident=incident.id,
                revision=incident.revision,
                severity=incident.severity,
                time=now,
                onset=incident.onset,
                first=incident.first,
                last=incident.last,
                ranges=tuple(ranges(incident.onset, incident.last)),
                watched=watched,
                why=why,
                reason=reason,
                cause=root,
            ),
            sorted(
                ((entry.change, not entry.end) for entry in incident.entries),
                key=lambda each: (not each[1], _rank(each[0], root)),
            ),
        )


def _key(change: Change) -> Key:
    return change.version, change.segment, change.feature, change.signal


def _rank(change: Change, root: Cause | None = None) -> tuple[object, ...]:
    """The most important one first; of equal severity the fault that moves all others."""
    same = change.detector, change.direction, change.onset
    lesser = change.severity != "critical", root in FAULTS and points_at(change) != root
    return *lesser, -change.score, -change.effect, _key(change), same


def _plain(change: Change) -> Change:
    """The change with Python's own numbers, and none in its rank that has no order."""
    effect, score = float(change.effect), float(change.score)
    return msgspec.structs.replace(
        change,
        before=float(change.before),
        after=float(change.after),
        effect=0.0 if math.isnan(effect) else effect,
        score=0.0 if math.isnan(score) else score,
        sample=int(change.sample),
        baseline_sample=int(change.baseline_sample),
        onset=int(change.onset),
        detected=int(change.detected),
        top=tuple((name, float(before), float(after)) for name, before, after in change.top),
    )


def _join(incident: Incident, change: Change, entries: dict[Key, Entry]) -> None:
    known = entries.get(_key(change))
    if known is None:
        entries[_key(change)] = known = Entry(change)
        incident.entries.append(known)
    else:
        if not known.end and known.change.direction == change.direction:
            worst = "critical" in (known.change.severity, change.severity)
            change = msgspec.structs.replace(
                change,
                onset=min(known.change.onset, change.onset),
                severity="critical" if worst else "warning",
            )
        known.change, known.end = change, ""
    incident.onset = min(incident.onset, change.onset)
    incident.last = max(incident.last, change.detected)


def _why(incident: Incident, now: int, root: Cause) -> tuple[str, ...]:
    """What makes an update worth telling now, the most important first; empty: nothing yet."""
    told = {_key(entry.change)[:3] for entry in incident.entries if entry.told is not None}
    active = [entry for entry in incident.entries if not entry.end]
    new = {_key(entry.change)[:3] for entry in active if entry.told is None} - told
    raised = incident.severity == "critical" and incident.told == "warning"
    known = [entry for entry in active if entry.told is not None]
    doubled = any(
        entry.told is not None and 0 < 2 * entry.told <= entry.change.effect for entry in known
    )
    turned = any(entry.way != entry.change.direction for entry in known)
    # Twice as many features at once is another incident to look at; one more can wait.
    if not raised and len(new) < len(told) and now - incident.said < HOLD:
        return ()
    facts = (
        ("severity", raised),
        ("features", new),
        ("cause", nearer(root, incident.cause)),
        ("effect", doubled),
        ("direction", turned),
    )
    return tuple(name for name, true in facts if true)


def _reason(incident: Incident) -> str:
    ends = {entry.end for entry in incident.entries}
    return next(end for end in ("settled", "expired", "recovered") if end in ends)
