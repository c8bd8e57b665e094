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

from alerts.causes import Cause
from alerts.event_parts import (
    COUNT,
    HASH,
    TIME,
    Acknowledged,
    ChangedFeature,
    Evidence,
    Onset,
    PartitionField,
    SeverityField,
    says,
)
from sketches.detection import Ownership

FORMAT_VERSION = 1
MAX_BYTES = 64_000  # of a message's value
OWNERSHIP_BYTES = 12_000  # of these, for labels, owner, runbook and dashboard

_Version = Annotated[Literal[1], says("Version of this format.")]
_Id = Annotated[
    str, says("Id of the event, a hash of what it is about; equal id: equal event.", **HASH)
]
_Incident = Annotated[str, says("Id of the incident; also the key of the message.", **HASH)]
_Revision = Annotated[
    int,
    says("1, 2, ... within the incident; a reader ignores what is not newer.", minimum=1),
]
_Time = Annotated[
    str | None,
    says("Event time at which it became known; null: nothing had a time yet.", **TIME),
]
_Topic = Annotated[str, says("Input topic.")]
_Model = Annotated[str, says("Model; empty: the topic as a whole, or its records name none.")]
_Versions = Annotated[
    tuple[str, ...], says("Versions of the model that changed; empty text: records name none.")
]
_Segments = Annotated[
    tuple[str, ...], says("Segments that changed; empty text: records name none.")
]
_Detected = Annotated[str, says("End of the window in which it was first seen.", **TIME)]
_Total = Annotated[int, says("Changes of the incident, those listed and those not.", **COUNT)]
_Features = Annotated[int, says("Different features among all changes.", **COUNT)]
_Watched = Annotated[int | None, says("Features watched; null: not known.", **COUNT)]
_Summary = Annotated[str, says("One line for people.")]
_Text = Annotated[str, says("One paragraph for people.")]
_Cause = Annotated[
    Cause,
    says(
        "The root cause that the changes point at. schema_break: records or types that cannot be "
        "read as before. unit_change: a factor. stuck: one value. missing: nulls. volume: traffic "
        "grew, fell or ended. version: only in versions just deployed. upstream: many features at "
        "once, or a late source. new_category: values never seen. gradual: a slow drift. shift: "
        "another distribution, none of these. unknown: none can be told."
    ),
]
_Labels = Annotated[dict[str, str], says("`models.NAME.labels` of the configuration.")]
_Owner = Annotated[str | None, says("`models.NAME.owner` of the configuration; null: none.")]
_Runbook = Annotated[str | None, says("`models.NAME.runbook`, an address; null: none.")]
_Dashboard = Annotated[str | None, says("`models.NAME.dashboard`, an address; null: none.")]
_Silenced = Annotated[
    str | None,
    says("Id of the operator's silence or expectation that covers it: call nobody. null: none."),
]
_Acknowledged = Annotated[
    Acknowledged | None, says("Somebody looks after it; null: nobody has said so.")
]
_Flapping = Annotated[bool, says("It came back again and again; it is held open for longer.")]


class Opened(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="opened"):
    """An incident begins: something about a model changed. Once in its life."""

    v: _Version
    id: _Id
    incident: _Incident
    revision: _Revision
    time: _Time
    severity: SeverityField
    topic: _Topic
    model: _Model
    versions: _Versions
    segments: _Segments
    onset: Onset
    detected: _Detected
    summary: _Summary
    text: _Text
    changes: Annotated[tuple[ChangedFeature, ...], says("The most important one first.")]
    changes_total: _Total
    features_total: _Features
    features_watched: _Watched
    evidence: Evidence
    cause: _Cause = "unknown"
    labels: _Labels = {}
    owner: _Owner = None
    runbook: _Runbook = None
    dashboard: _Dashboard = None
    silenced: _Silenced = None
    acknowledged: _Acknowledged = None
    flapping: _Flapping = False


class Updated(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="updated"):
    """An open incident grew in a way that matters, or a resolved one came back."""

    v: _Version
    id: _Id
    incident: _Incident
    revision: _Revision
    time: _Time
    severity: SeverityField
    topic: _Topic
    model: _Model
    versions: _Versions
    segments: _Segments
    onset: Onset
    detected: _Detected
    summary: _Summary
    text: _Text
    why: Annotated[
        tuple[str, ...],
        says(
            "reopened, severity, features (new ones), cause (nearer to the root), effect "
            "(doubled), direction, flapping, "
            "acknowledged, silenced, silence_ended, reminder. More may come."
        ),
    ]
    reopened: Annotated[bool, says("It was resolved, and the same change came back.")]
    changes: Annotated[tuple[ChangedFeature, ...], says("The most important one first.")]
    changes_total: _Total
    features_total: _Features
    features_watched: _Watched
    evidence: Evidence
    cause: _Cause = "unknown"
    labels: _Labels = {}
    owner: _Owner = None
    runbook: _Runbook = None
    dashboard: _Dashboard = None
    silenced: _Silenced = None
    acknowledged: _Acknowledged = None
    flapping: _Flapping = False


class Resolved(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="resolved"):
    """An incident ends. Only an `updated` with `reopened` can follow."""

    v: _Version
    id: _Id
    incident: _Incident
    revision: _Revision
    time: _Time
    severity: SeverityField
    topic: _Topic
    model: _Model
    versions: _Versions
    segments: _Segments
    onset: Onset
    detected: _Detected
    summary: _Summary
    text: _Text
    reason: Annotated[
        str,
        says(
            "recovered: all is as before. settled: what did not return is the new normal. "
            "expired: no longer watched, or a day without such records. data_back: of a no_data "
            "incident. operator: somebody said so. accepted: somebody said that it is the new "
            "normal. More may come."
        ),
    ]
    changes: Annotated[tuple[ChangedFeature, ...], says("The most important one first.")]
    changes_total: _Total
    features_total: _Features
    features_watched: _Watched
    evidence: Evidence
    cause: _Cause = "unknown"
    labels: _Labels = {}
    owner: _Owner = None
    runbook: _Runbook = None
    dashboard: _Dashboard = None
    silenced: _Silenced = None
    acknowledged: _Acknowledged = None
    flapping: _Flapping = False


class NoData(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="no_data"):
    """A model has been silent for too long. That is no recovery of anything.

    A `resolved` with reason `data_back` ends it.
    """

    v: _Version
    id: _Id
    incident: _Incident
    revision: _Revision
    time: _Time
    severity: SeverityField
    topic: _Topic
    model: _Model
    since: Annotated[str, says("End of the last window with data.", **TIME)]
    summary: _Summary
    text: _Text
    cause: _Cause = "volume"
    labels: _Labels = {}
    owner: _Owner = None
    runbook: _Runbook = None
    dashboard: _Dashboard = None
    silenced: _Silenced = None


class DataLoss(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="data_loss"):
    """Records were not watched, or it is not known whether they were. Nothing follows."""

    v: _Version
    id: _Id
    incident: _Incident
    revision: _Revision
    time: _Time
    severity: SeverityField
    topic: _Topic
    model: _Model
    partition: PartitionField
    reason: Annotated[
        str,
        says(
            "offsets: never read, deleted before or skipped by hand. gap: windows whose watermark "
            "never came. profiles: fewer profiles than said, or others. conflict: two workers "
            "closed the same windows at different offsets. rewound: offsets went back. memory: "
            "too many profiles waited. unreadable: profiles of a newer release, or damaged. "
            "More may come."
        ),
    ]
    start: Annotated[
        int | None,
        says("First offset lost, or the smaller of two that conflict; null: not known.", **COUNT),
    ]
    stop: Annotated[
        int | None,
        says(
            "Offset after the last one lost, or the larger of two that conflict; null: not known.",
            **COUNT,
        ),
    ]
    since: Annotated[
        str | None, says("Windows that end after this are concerned; null: not known.", **TIME)
    ]
    until: Annotated[
        str | None, says("Windows that end up to this are concerned; null: not known.", **TIME)
    ]
    expected: Annotated[int | None, says("Profiles that should be there.", **COUNT)]
    found: Annotated[int | None, says("Profiles that were.", **COUNT)]
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
    severity: SeverityField
    topic: _Topic
    model: _Model
    limit: Annotated[
        str, says("Name of the setting in `limits`, or event_time_unreadable. More may come.")
    ]
    summary: _Summary
    text: _Text
    labels: _Labels = {}
    owner: _Owner = None
    runbook: _Runbook = None
    dashboard: _Dashboard = None


class Operator(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="operator"):
    """An operator's command took effect. For the record; nothing follows."""

    v: _Version
    id: _Id
    incident: Annotated[str, says("Of the command itself; also the key.", **HASH)]
    revision: _Revision
    time: Annotated[str | None, says("When it was given, by a clock.", **TIME)]
    severity: SeverityField
    topic: Annotated[str, says("Pattern of input topics; empty: all.")]
    model: Annotated[str, says("Pattern of models; empty: all.")]
    command: Annotated[str, says("silence, end, ack, resolve, expect, accept. More may come.")]
    command_id: Annotated[str, says("Its id.", **HASH)]
    by: Annotated[str, says("Who gave it.")]
    why: Annotated[str, says("Why; may be empty.")]
    match: Annotated[dict[str, str], says("Name -> shell pattern; all must fit.")]
    about: Annotated[str | None, says("Incident or command that it is about; null: none.")]
    since: Annotated[str | None, says("From then on; null: at once.", **TIME)]
    until: Annotated[str | None, says("Until then; null: for good.", **TIME)]
    summary: _Summary
    text: _Text
    labels: _Labels = {}
    owner: _Owner = None
    runbook: _Runbook = None
    dashboard: _Dashboard = None


class Heartbeat(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="heartbeat"):
    """The models of a topic have been judged up to here: nothing else is news, nobody is dead.

    One series for each partition of the profiles log that holds models of the topic.
    """

    v: _Version
    id: _Id
    incident: Annotated[str, says("Of the series; also the key.", **HASH)]
    revision: Annotated[int, says("Grows with time; not every number comes.", minimum=1)]
    time: _Time
    severity: SeverityField
    topic: _Topic
    model: _Model
    every: Annotated[int, says("Seconds of event time from one to the next.", minimum=1)]
    models: Annotated[int, says("Models judged.", **COUNT)]
    open: Annotated[int, says("Incidents that are open.", **COUNT)]
    summary: _Summary
    text: _Text
    labels: _Labels = {}
    owner: _Owner = None
    runbook: _Runbook = None
    dashboard: _Dashboard = None


IncidentEvent = Opened | Updated | Resolved
Event = Opened | Updated | Resolved | NoData | DataLoss | LimitReached | Operator | Heartbeat
EVENT_TYPES: tuple[type[Event], ...] = (
    Opened,
    Updated,
    Resolved,
    NoData,
    DataLoss,
    LimitReached,
    Operator,
    Heartbeat,
)

CE_TYPES = {
    "opened": "io.streamgauge.incident.opened",
    "updated": "io.streamgauge.incident.updated",
    "resolved": "io.streamgauge.incident.resolved",
    "no_data": "io.streamgauge.no_data",
    "data_loss": "io.streamgauge.data_loss",
    "limit_reached": "io.streamgauge.limit_reached",
    "operator": "io.streamgauge.operator",
    "heartbeat": "io.streamgauge.heartbeat",
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
    except (msgspec.DecodeError, UnicodeError) as error:
        raise EventFormatError(f"not an alert event: {error}") from error
    return event
