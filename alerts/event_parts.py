"""What alert events are made of: the parts that several types share, and their field types."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from sketches.detection import Severity

TIME = {"format": "date-time", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$"}
HASH = {"pattern": "^[0-9a-f]{20}$"}
COUNT = {"minimum": 0}


def says(description: str, **more: object) -> Meta:
    """What the schema says of a field; ``more``: its other keywords."""
    return Meta(description=description, extra_json_schema=more or None)


When = Annotated[str, says("RFC 3339, UTC, milliseconds.", **TIME)]
SeverityField = Annotated[
    Severity, says("critical: wake someone. warning: look tomorrow. Of an incident, its worst.")
]
Onset = Annotated[str, says("Start of the first window changed (estimate).", **TIME)]
Share = Annotated[float | None, says("Share of the records, 0 to 1.", minimum=0, maximum=1)]
Number = Annotated[float | None, says("In the unit that `unit` names; null: not defined.")]
PartitionField = Annotated[int, says("Partition of the input topic.", **COUNT)]
Offset = Annotated[int, says("Offset in the input topic.", **COUNT)]


class Acknowledged(msgspec.Struct, frozen=True, kw_only=True):
    """An operator's word that somebody looks after the incident."""

    by: Annotated[str, says("Who.")]
    why: Annotated[str, says("What they said.")]
    at: Annotated[str, says("When, by their clock.", **TIME)]


class Moved(msgspec.Struct, frozen=True, kw_only=True):
    """A category or a range of values whose share moved."""

    name: Annotated[str, says("The category or range; cut if very long.")]
    before: Share
    after: Share


class ChangedFeature(msgspec.Struct, frozen=True, kw_only=True):
    """What one detector saw in one signal of one feature."""

    feature: Annotated[str, says("Name of the feature; empty: a signal of the whole model.")]
    role: Annotated[
        str, says("feature, prediction, score, label, latency, or model. More may come.")
    ]
    signal: Annotated[
        str,
        says(
            "location, spread, missing, distance, unseen, volume, late, rejects, errors, kind, "
            "magnitude, stuck, zeros, outside, non_finite, shape, vanished, gradual. More may come."
        ),
    ]
    active: Annotated[bool, says("Still changed; false: it returned or was accepted.")]
    severity: SeverityField
    direction: Annotated[Literal["up", "down"], says("Which way the signal went.")]
    before: Number
    after: Number
    unit: Annotated[
        str,
        says(
            "Of before and after: value (the feature's own), share (0 to 1), ratio, per_second, "
            "distance (Jensen-Shannon, 0 to 1, less what chance gives). More may come."
        ),
    ]
    effect: Annotated[float | None, says("Size of the change, positive; null: not defined.")]
    effect_unit: Annotated[
        str,
        says(
            "sd (standard deviations of a record in the baseline), points (share times 100), ratio "
            "(natural logarithm), distance. More may come."
        ),
    ]
    sample: Annotated[int, says("Records since onset.", **COUNT)]
    baseline_sample: Annotated[int, says("Records in the baseline.", **COUNT)]
    detector: Annotated[str, says("ADWIN, PageHinkley, WeeklyMean, ... More may come.")]
    score: Annotated[
        float | None, says("The detector's statistic over its threshold; 1 at the threshold.")
    ]
    onset: Onset
    detected: Annotated[str, says("End of the window in which it was seen last.", **TIME)]
    version: Annotated[str, says("Version whose records changed.")]
    segment: Annotated[str, says("Segment whose records changed.")]
    baseline: Annotated[str, says("Id of the baseline.")]
    top: Annotated[
        tuple[Moved, ...], says("Categories or ranges that moved most, the largest first.")
    ]
    baseline_version: Annotated[
        str | None,
        says("Version whose baseline it is, which this one started from; null: its own."),
    ] = None
    since: Annotated[
        str | None,
        says(
            "It came slowly, and began between then and `onset`; null: at once, or nothing tells.",
            **TIME,
        ),
    ] = None


class OffsetRange(msgspec.Struct, frozen=True, kw_only=True):
    """Offsets of one partition, `stop` not among them."""

    partition: PartitionField
    start: Offset
    stop: Offset


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """Where in the input topic the records of the incident are."""

    start: When
    end: When
    ranges: Annotated[tuple[OffsetRange, ...], says("By partition.")]
    partitions_total: Annotated[int, says("Partitions that hold such records.", **COUNT)]
