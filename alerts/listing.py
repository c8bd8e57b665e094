"""The event of an incident: what is known, ranked, cut to the size of a message, put into words."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import msgspec
import orjson

from alerts.causes import Cause
from alerts.event_parts import Acknowledged, ChangedFeature, Evidence, Moved, OffsetRange
from alerts.events import (
    MAX_BYTES,
    OWNERSHIP_BYTES,
    IncidentEvent,
    Resolved,
    Updated,
    encode,
    event_type,
    hash_id,
)
from alerts.texts import incident_texts, short
from alerts.units import rfc3339
from sketches.detection import Change, Severity

MOST_CHANGES: Final = 50
MOST_RANGES: Final = 200
NAMES_BYTES: Final = 4_000  # of the versions, and of the segments
MOST_INHERITED: Final = 3  # versions of which it is said whose baseline they have
MOVED: Final = (10, 3)  # categories of the first changes, and of the others
FIRST: Final = 5
LONGEST_CATEGORY: Final = 256


class Facts(NamedTuple):
    """What is known about an incident besides its changes; times in microseconds.

    Attributes:
        app: Name of the application.
        topic: Input topic.
        model: Model.
        incident: Id of the incident.
        revision: Of this event.
        severity: Of the incident.
        time: Of this event.
        onset: Earliest onset of its changes.
        first: When the first of them was detected.
        last: When the last of them was.
        ranges: (partition, start, stop) of the offsets of the records from onset to last.
        watched: Number of features watched.
        why: Of an update.
        reason: Of a resolution.
        cause: Of the incident.
        silenced: Id of the command for which nobody is called; empty: none.
        acknowledged: By whom, why and when, if somebody has.
        flapping: It came back again and again.
    """

    app: str
    topic: str
    model: str
    incident: str
    revision: int
    severity: Severity
    time: int
    onset: int
    first: int
    last: int
    ranges: tuple[tuple[int, int, int], ...] = ()
    watched: int | None = None
    why: tuple[str, ...] = ()
    reason: str = ""
    cause: Cause = "unknown"
    silenced: str = ""
    acknowledged: Acknowledged | None = None
    flapping: bool = False


def listed(
    kind: type[IncidentEvent], facts: Facts, ranked: Sequence[tuple[Change, bool]]
) -> IncidentEvent:
    """The event, with as many changes as a message holds.

    Args:
        kind: Its type.
        facts: Everything but the changes.
        ranked: Changes, the most important one first, and whether they are still changed.
    """
    changes = [
        changed_feature(change, active, MOVED[rank >= FIRST])
        for rank, (change, active) in enumerate(ranked[:MOST_CHANGES])
    ]
    while True:
        event = _built(kind, facts, ranked, tuple(changes))
        summary, text = incident_texts(event)
        event = msgspec.structs.replace(event, summary=summary, text=text + _inherited(ranked))
        if len(changes) <= 1 or len(encode(event)) <= MAX_BYTES - OWNERSHIP_BYTES:
            return event
        changes = changes[: len(changes) * 3 // 4]


def event_id(incident: str, kind: str, time: int | None, revision: int) -> str:
    """The id of an event: a hash of its incident, its type and when it is."""
    return hash_id(incident, kind, "" if time is None else time, revision)


def _built(
    kind: type[IncidentEvent],
    facts: Facts,
    ranked: Sequence[tuple[Change, bool]],
    changes: tuple[ChangedFeature, ...],
) -> IncidentEvent:
    more: dict[str, object] = {}
    if kind is Updated:
        more = {"why": facts.why, "reopened": "reopened" in facts.why}
    elif kind is Resolved:
        more = {"reason": facts.reason}
    return kind(
        v=1,
        id=event_id(facts.incident, event_type(kind), facts.time, facts.revision),
        incident=facts.incident,
        revision=facts.revision,
        time=rfc3339(facts.time),
        severity=facts.severity,
        topic=facts.topic,
        model=facts.model,
        versions=_names(change.version for change, _ in ranked),
        segments=_names(change.segment for change, _ in ranked),
        onset=rfc3339(facts.onset),
        detected=rfc3339(facts.first),
        summary="",
        text="",
        changes=changes,
        changes_total=len(ranked),
        features_total=len({change.feature for change, _ in ranked} - {""}),
        features_watched=facts.watched,
        evidence=Evidence(
            start=rfc3339(facts.onset),
            end=rfc3339(facts.last),
            ranges=tuple(
                OffsetRange(partition=partition, start=start, stop=stop)
                for partition, start, stop in facts.ranges[:MOST_RANGES]
            ),
            partitions_total=len(facts.ranges),
        ),
        cause=facts.cause,
        silenced=facts.silenced or None,
        acknowledged=facts.acknowledged,
        flapping=facts.flapping,
        **more,  # type: ignore[arg-type]
    )


def changed_feature(change: Change, active: bool = True, most: int = MOVED[0]) -> ChangedFeature:
    """A change as events have it.

    Args:
        change: Of a detector.
        active: Whether it goes on.
        most: Categories or ranges that are kept of those that moved.
    """
    return ChangedFeature(
        feature=change.feature,
        role=_role(change.feature),
        signal=change.signal,
        active=active,
        severity=change.severity,
        direction=change.direction,
        before=_finite(change.before),
        after=_finite(change.after),
        unit=change.unit,
        effect=_finite(change.effect),
        effect_unit=change.effect_unit,
        sample=change.sample,
        baseline_sample=change.baseline_sample,
        detector=change.detector,
        score=_finite(change.score),
        onset=rfc3339(change.onset),
        detected=rfc3339(change.detected),
        version=change.version,
        segment=change.segment,
        baseline=change.baseline,
        top=tuple(
            Moved(name=_cut(name), before=_share(before), after=_share(after))
            for name, before, after in change.top[:most]
        ),
        baseline_version=change.baseline_version,
        since=None if change.since is None else rfc3339(change.since),
    )


def _role(feature: str) -> str:
    if not feature:
        return "model"
    if feature.startswith("@") and not feature.startswith("@@"):
        return feature[1:]
    return "feature"


def _cut(name: str) -> str:
    return name if len(name) <= LONGEST_CATEGORY else f"{name[: LONGEST_CATEGORY - 1]}…"


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _share(value: float) -> float | None:
    return min(max(value, 0.0), 1.0) if math.isfinite(value) else None


def _inherited(ranked: Sequence[tuple[Change, bool]]) -> str:
    """A sentence on versions compared with a baseline that is not their own."""
    pairs = {
        (change.version, change.baseline_version)
        for change, _ in ranked
        if change.baseline_version is not None
    }
    return "".join(
        f" Version {short(version)} is compared with the baseline of version {short(parent)}, "
        "from which it started."
        for version, parent in sorted(pairs)[:MOST_INHERITED]
    )


def _names(names: Iterable[str]) -> tuple[str, ...]:
    """The different names in order, as long as they take little room."""
    kept: list[str] = []
    room = NAMES_BYTES
    for name in sorted(set(names)):
        room -= len(orjson.dumps(name)) + 1
        if room < 0 and kept:
            break
        kept.append(name)
    return tuple(kept)
