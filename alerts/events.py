"""Alert events, the public contract: one Struct for each type, its JSON and its Kafka message.

A later release may add types, fields, and values to those that are open text; what stands here
keeps its name and meaning for as long as ``v`` is 1 (``README.md`` has the rules). A reader ignores
types and fields that it does not know. Lists end where the message would grow too large; the
``..._total`` beside them says how many there are.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, Any, Literal
from urllib.parse import quote

import msgspec
import orjson
from msgspec import Meta

from alerts.causes import Cause
from sketches.detection import Ownership, Severity

FORMAT_VERSION = 1
MAX_BYTES = 64_000  # of a message's value
OWNERSHIP_BYTES = 12_000  # of these, for labels, owner, runbook and dashboard

_TIME = {"format": "date-time", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$"}
_HASH = {"pattern": "^[0-9a-f]{20}$"}
_COUNT = {"minimum": 0}


def _says(description: str, **more: object) -> Meta:
    return Meta(description=description, extra_json_schema=more or None)


_When = Annotated[str, _says("RFC 3339, UTC, milliseconds.", **_TIME)]
_Version = Annotated[Literal[1], _says("Version of this format.")]
_Id = Annotated[
    str, _says("Id of the event, a hash of what it is about; equal id: equal event.", **_HASH)
]
_Incident = Annotated[str, _says("Id of the incident; also the key of the message.", **_HASH)]
_Revision = Annotated[
    int,
    _says("1, 2, ... within the incident; a reader ignores what is not newer.", minimum=1),
]
_Severity = Annotated[
    Severity, _says("critical: wake someone. warning: look tomorrow. Of an incident, its worst.")
]
_Time = Annotated[
    str | None,
    _says("Event time at which it became known; null: nothing had a time yet.", **_TIME),
]
_Topic = Annotated[str, _says("Input topic.")]
_Model = Annotated[str, _says("Model; empty: the topic as a whole, or its records name none.")]
_Versions = Annotated[
    tuple[str, ...], _says("Versions of the model that changed; empty text: records name none.")
]
_Segments = Annotated[
    tuple[str, ...], _says("Segments that changed; empty text: records name none.")
]
_Onset = Annotated[str, _says("Start of the first window changed (estimate).", **_TIME)]
_Detected = Annotated[str, _says("End of the window in which it was first seen.", **_TIME)]
_Total = Annotated[int, _says("Changes of the incident, those listed and those not.", **_COUNT)]
_Features = Annotated[int, _says("Different features among all changes.", **_COUNT)]
_Watched = Annotated[int | None, _says("Features watched; null: not known.", **_COUNT)]
_Summary = Annotated[str, _says("One line for people.")]
_Text = Annotated[str, _says("One paragraph for people.")]
_Share = Annotated[float | None, _says("Share of the records, 0 to 1.", minimum=0, maximum=1)]
_Number = Annotated[float | None, _says("In the unit that `unit` names; null: not defined.")]
_Cause = Annotated[
    Cause,
    _says(
        "The root cause that the changes point at. schema_break: records or types that cannot be "
        "read as before. unit_change: a factor. stuck: one value. missing: nulls. volume: traffic "
        "grew, fell or ended. version: only in versions just deployed. upstream: many features at "
        "once, or a late source. new_category: values never seen. gradual: a slow drift. shift: "
        "another distribution, none of these. unknown: none can be told."
    ),
]
_Labels = Annotated[dict[str, str], _says("`models.NAME.labels` of the configuration.")]
_Owner = Annotated[str | None, _says("`models.NAME.owner` of the configuration; null: none.")]
_Runbook = Annotated[str | None, _says("`models.NAME.runbook`, an address; null: none.")]
_Dashboard = Annotated[str | None, _says("`models.NAME.dashboard`, an address; null: none.")]
_Partition = Annotated[int, _says("Partition of the input topic.", **_COUNT)]
_Offset = Annotated[int, _says("Offset in the input topic.", **_COUNT)]


class Moved(msgspec.Struct, frozen=True, kw_only=True):
    """A category or a range of values whose share moved."""

    name: Annotated[str, _says("The category or range; cut if very long.")]
    before: _Share
    after: _Share


class ChangedFeature(msgspec.Struct, frozen=True, kw_only=True):
    """What one detector saw in one signal of one feature."""

    feature: Annotated[str, _says("Name of the feature; empty: a signal of the whole model.")]
    role: Annotated[
        str, _says("feature, prediction, score, label, latency, or model. More may come.")
    ]
    signal: Annotated[
        str,
        _says(
            "location, spread, missing, distance, unseen, volume, late, rejects, errors, kind, "
            "magnitude, stuck, zeros, outside, non_finite, shape, vanished, gradual. More may come."
        ),
    ]
    active: Annotated[bool, _says("Still changed; false: it returned or was accepted.")]
    severity: _Severity
    direction: Annotated[Literal["up", "down"], _says("Which way the signal went.")]
    before: _Number
    after: _Number
    unit: Annotated[
        str,
        _says(
            "Of before and after: value (the feature's own), share (0 to 1), ratio, per_second, "
            "distance (Jensen-Shannon, 0 to 1, less what chance gives). More may come."
        ),
    ]
    effect: Annotated[float | None, _says("Size of the change, positive; null: not defined.")]
    effect_unit: Annotated[
        str,
        _says(
            "sd (standard deviations of a record in the baseline), points (share times 100), ratio "
            "(natural logarithm), distance. More may come."
        ),
    ]
    sample: Annotated[int, _says("Records since onset.", **_COUNT)]
    baseline_sample: Annotated[int, _says("Records in the baseline.", **_COUNT)]
    detector: Annotated[str, _says("ADWIN, PageHinkley, ... More may come.")]
    score: Annotated[
        float | None, _says("The detector's statistic over its threshold; 1 at the threshold.")
    ]
    onset: _Onset
    detected: Annotated[str, _says("End of the window in which it was seen last.", **_TIME)]
    version: Annotated[str, _says("Version whose records changed.")]
    segment: Annotated[str, _says("Segment whose records changed.")]
    baseline: Annotated[str, _says("Id of the baseline.")]
    top: Annotated[
        tuple[Moved, ...], _says("Categories or ranges that moved most, the largest first.")
    ]
    baseline_version: Annotated[
        str | None,
        _says("Version whose baseline it is, which this one started from; null: its own."),
    ] = None


class OffsetRange(msgspec.Struct, frozen=True, kw_only=True):
    """Offsets of one partition, `stop` not among them."""

    partition: _Partition
    start: _Offset
    stop: _Offset


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """Where in the input topic the records of the incident are."""

    start: _When
    end: _When
    ranges: Annotated[tuple[OffsetRange, ...], _says("By partition.")]
    partitions_total: Annotated[int, _says("Partitions that hold such records.", **_COUNT)]


class Opened(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="opened"):
    """An incident begins: something about a model changed. Once in its life."""

    v: _Version
    id: _Id
    incident: _Incident
    revision: _Revision
    time: _Time
    severity: _Severity
    topic: _Topic
    model: _Model
    versions: _Versions
    segments: _Segments
    onset: _Onset
    detected: _Detected
    summary: _Summary
    text: _Text
    changes: Annotated[tuple[ChangedFeature, ...], _says("The most important one first.")]
    changes_total: _Total
    features_total: _Features
    features_watched: _Watched
    evidence: Evidence
    cause: _Cause = "unknown"
    labels: _Labels = {}
    owner: _Owner = None
    runbook: _Runbook = None
    dashboard: _Dashboard = None


class Updated(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="updated"):
    """An open incident grew in a way that matters, or a resolved one came back."""

    v: _Version
    id: _Id
    incident: _Incident
    revision: _Revision
    time: _Time
    severity: _Severity
    topic: _Topic
    model: _Model
    versions: _Versions
    segments: _Segments
    onset: _Onset
    detected: _Detected
    summary: _Summary
    text: _Text
    why: Annotated[
        tuple[str, ...],
        _says(
            "Of reopened, severity, features (new ones), cause (nearer to the root), effect "
            "(doubled), direction. More may come."
        ),
    ]
    reopened: Annotated[bool, _says("It was resolved, and the same change came back.")]
    changes: Annotated[tuple[ChangedFeature, ...], _says("The most important one first.")]
    changes_total: _Total
    features_total: _Features
    features_watched: _Watched
    evidence: Evidence
    cause: _Cause = "unknown"
    labels: _Labels = {}
    owner: _Owner = None
    runbook: _Runbook = None
    dashboard: _Dashboard = None


class Resolved(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="resolved"):
    """An incident ends. Only an `updated` with `reopened` can follow."""

    v: _Version
    id: _Id
    incident: _Incident
    revision: _Revision
    time: _Time
    severity: _Severity
    topic: _Topic
    model: _Model
    versions: _Versions
    segments: _Segments
    onset: _Onset
    detected: _Detected
    summary: _Summary
    text: _Text
    reason: Annotated[
        str,
        _says(
            "recovered: all is as before. settled: what did not return is the new normal. "
            "expired: no longer watched. data_back: of a no_data incident. More may come."
        ),
    ]
    changes: Annotated[tuple[ChangedFeature, ...], _says("The most important one first.")]
    changes_total: _Total
    features_total: _Features
    features_watched: _Watched
    evidence: Evidence
    cause: _Cause = "unknown"
    labels: _Labels = {}
    owner: _Owner = None
    runbook: _Runbook = None
    dashboard: _Dashboard = None


class NoData(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="no_data"):
    """A model has been silent for too long. That is no recovery of anything.

    A `resolved` with reason `data_back` ends it.
    """

    v: _Version
    id: _Id
    incident: _Incident
    revision: _Revision
    time: _Time
    severity: _Severity
    topic: _Topic
    model: _Model
    since: Annotated[str, _says("End of the last window with data.", **_TIME)]
    summary: _Summary
    text: _Text
    cause: _Cause = "volume"
    labels: _Labels = {}
    owner: _Owner = None
    runbook: _Runbook = None
    dashboard: _Dashboard = None


class DataLoss(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="data_loss"):
    """Records were not watched, or it is not known whether they were. Nothing follows."""

    v: _Version
    id: _Id
    incident: _Incident
    revision: _Revision
    time: _Time
    severity: _Severity
    topic: _Topic
    model: _Model
    partition: _Partition
    reason: Annotated[
        str,
        _says(
            "offsets: deleted before they were read. gap: windows whose watermark never came. "
            "profiles: fewer profiles than said, or others. conflict: two workers closed the same "
            "windows at different offsets. rewound: offsets went back. memory: too many profiles "
            "waited. unreadable: profiles of a newer release, or damaged. More may come."
        ),
    ]
    start: Annotated[
        int | None,
        _says("First offset lost, or the smaller of two that conflict; null: not known.", **_COUNT),
    ]
    stop: Annotated[
        int | None,
        _says(
            "Offset after the last one lost, or the larger of two that conflict; null: not known.",
            **_COUNT,
        ),
    ]
    since: Annotated[
        str | None, _says("Windows that end after this are concerned; null: not known.", **_TIME)
    ]
    until: Annotated[
        str | None, _says("Windows that end up to this are concerned; null: not known.", **_TIME)
    ]
    expected: Annotated[int | None, _says("Profiles that should be there.", **_COUNT)]
    found: Annotated[int | None, _says("Profiles that were.", **_COUNT)]
    summary: _Summary
    text: _Text
    labels: _Labels = {}
    owner: _Owner = None
    runbook: _Runbook = None
    dashboard: _Dashboard = None


class LimitReached(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="limit_reached"
):
    """A limit of the configuration cut something for the first time. Nothing follows."""

    v: _Version
    id: _Id
    incident: _Incident
    revision: _Revision
    time: _Time
    severity: _Severity
    topic: _Topic
    model: _Model
    limit: Annotated[
        str, _says("Name of the setting in `limits`, or event_time_unreadable. More may come.")
    ]
    summary: _Summary
    text: _Text
    labels: _Labels = {}
    owner: _Owner = None
    runbook: _Runbook = None
    dashboard: _Dashboard = None


IncidentEvent = Opened | Updated | Resolved
Event = Opened | Updated | Resolved | NoData | DataLoss | LimitReached
EVENT_TYPES: tuple[type[Event], ...] = (Opened, Updated, Resolved, NoData, DataLoss, LimitReached)

CE_TYPES = {
    "opened": "io.streamgauge.incident.opened",
    "updated": "io.streamgauge.incident.updated",
    "resolved": "io.streamgauge.incident.resolved",
    "no_data": "io.streamgauge.no_data",
    "data_loss": "io.streamgauge.data_loss",
    "limit_reached": "io.streamgauge.limit_reached",
}


class EventFormatError(ValueError):
    """A message that is not an alert event, or one of a release with another format."""


class UnknownTypeError(EventFormatError):
    """An event of a type that a later release added: to be left alone."""


class _Head(msgspec.Struct):
    v: int = 0
    type: str = ""


_decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(Event)
_head_decoder = msgspec.json.Decoder(_Head)


def hash_id(*parts: str | int) -> str:
    """The id of what ``parts`` name: 80 bits as 20 hexadecimal digits."""
    digest = hashlib.blake2b(digest_size=10)
    for part in parts:
        data = str(part).encode()
        digest.update(b"%d:" % len(data))
        digest.update(data)
    return digest.hexdigest()


def event_type(event: Event | type[Event]) -> str:
    """The value of ``type`` in an event, or in the events of a class: ``opened``, ..."""
    return str(event.__struct_config__.tag)


def owned(event: Event, ownership: Ownership) -> Event:
    """The event with the labels, owner, runbook and dashboard of its model."""
    return msgspec.structs.replace(event, **msgspec.structs.asdict(ownership))


def encode(event: Event) -> bytes:
    """The JSON of an event, one line, keys in the order of its fields."""
    return orjson.dumps(msgspec.to_builtins(event))


def to_message(event: Event, app: str) -> tuple[bytes, bytes, list[tuple[str, bytes]]]:
    """The Kafka message of an event: a CloudEvent 1.0 in binary mode.

    Args:
        event: Any event.
        app: Name of the application that saw it, part of ``ce_source``.

    Returns:
        Key, value, headers.
    """
    source = "/".join(
        quote(part, safe="") for part in ("streamgauge", app, event.topic, event.model) if part
    )
    headers = [
        ("ce_specversion", "1.0"),
        ("ce_id", event.id),
        ("ce_source", f"/{source}"),
        ("ce_type", CE_TYPES[event_type(event)]),
        ("ce_subject", event.incident),
    ]
    if event.time is not None:
        headers.append(("ce_time", event.time))
    headers.append(("content-type", "application/json"))
    return event.incident.encode(), encode(event), [(name, text.encode()) for name, text in headers]


def from_message(value: bytes) -> Event:
    """The event in a message; fields that this release does not know are ignored.

    Raises:
        UnknownTypeError: It is one of a type that this release does not know.
        EventFormatError: It is none, or of another version of the format.
    """
    try:
        head = _head_decoder.decode(value)
        if head.v != FORMAT_VERSION:
            raise EventFormatError(
                f"format version {head.v} of an alert event; this release reads {FORMAT_VERSION}"
            )
        if head.type and head.type not in CE_TYPES:
            raise UnknownTypeError(f"not an alert event: Invalid value {head.type!r}")
        event: Event = _decoder.decode(value)
    except msgspec.DecodeError as error:
        raise EventFormatError(f"not an alert event: {error}") from error
    return event
