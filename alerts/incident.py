"""One incident: its signals, what became of them, and what of it is news. Pure."""

from __future__ import annotations

import math
from typing import Final

import msgspec

from alerts.causes import FAULTS, Cause, nearer, points_at
from sketches.detection import Change, Severity

Key = tuple[str, str, str, str]  # version, segment, feature, signal

HOLD: Final = 1_800_000_000  # an update that can wait follows no event sooner than this
FLAPS: Final = 3  # returns within
FLAPPING_WITHIN: Final = 86_400_000_000  # microseconds
CALM: Final = 14_400_000_000  # microseconds without any change before one that flaps is over


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
        silenced: Id of the command for which nobody is called; as in its last event.
        acknowledged: By whom, why and when (microseconds).
        returns: When it came back, lately.
        quiet: Since when nothing in it is changed; None: something is.
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
    silenced: str = ""
    acknowledged: tuple[str, str, int] | None = None
    returns: list[int] = []
    quiet: int | None = None
    cause: Cause = "unknown"

    @property
    def severity(self) -> Severity:
        """The worst of its changes."""
        worst = any(entry.change.severity == "critical" for entry in self.entries)
        return "critical" if worst else "warning"

    @property
    def flapping(self) -> bool:
        """It came back again and again, and is not over as soon as others are."""
        return len(self.returns) >= FLAPS

    def came_back(self, at: int) -> None:
        """Remember that it did."""
        self.returns = [each for each in self.returns if at - each <= FLAPPING_WITHIN]
        self.returns.append(at)


def key_of(change: Change) -> Key:
    """What a change is about."""
    return change.version, change.segment, change.feature, change.signal


def rank(change: Change, root: Cause | None = None) -> tuple[object, ...]:
    """The most important one first; of equal severity the fault that moves all others."""
    same = change.detector, change.direction, change.onset
    lesser = change.severity != "critical", root in FAULTS and points_at(change) != root
    return *lesser, -change.score, -change.effect, key_of(change), same


def plain(change: Change) -> Change:
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


def join(incident: Incident, change: Change, entries: dict[Key, Entry]) -> None:
    """Add a change to an incident; ``entries``: those of the incident by key."""
    known = entries.get(key_of(change))
    if known is None:
        entries[key_of(change)] = known = Entry(change)
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


def news(incident: Incident, now: int, root: Cause) -> tuple[str, ...]:
    """What makes an update worth telling now, the most important first; empty: nothing yet."""
    told = {key_of(entry.change)[:3] for entry in incident.entries if entry.told is not None}
    active = [entry for entry in incident.entries if not entry.end]
    new = {key_of(entry.change)[:3] for entry in active if entry.told is None} - told
    worse = incident.severity == "critical" and incident.told == "warning"
    # A fault behind what was told as softer is what to mend: nobody waits for it.
    fault = root in FAULTS and nearer(root, incident.cause)
    known = [entry for entry in active if entry.told is not None]
    doubled = any(
        entry.told is not None and 0 < 2 * entry.told <= entry.change.effect for entry in known
    )
    turned = any(entry.way != entry.change.direction for entry in known)
    # Twice as many features at once is another incident to look at; one more can wait.
    if not (worse or fault) and len(new) < len(told) and now - incident.said < HOLD:
        return ()
    facts = (
        ("severity", worse),
        ("features", new),
        ("cause", nearer(root, incident.cause)),
        ("effect", doubled),
        ("direction", turned),
    )
    return tuple(name for name, true in facts if true)


def end_of(incident: Incident) -> str:
    """Why one is over in which nothing is changed any more."""
    ends = {entry.end for entry in incident.entries}
    return next(end for end in ("accepted", "settled", "expired", "recovered") if end in ends)
