"""What the profiles log still holds of an incident: its features before and after the onset."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from alerts.events import Opened, Resolved, Updated
from alerts.story import Part
from consumer.durations import DAY, HOUR, to_microseconds
from consumer.kafka import Admin
from consumer.log import LogFormatError, ProfileRecord, decode, log_partition
from consumer.scan import read_range
from consumer.settings import Settings
from sketches import codec, profile
from sketches.before_after import Comparison, compare
from sketches.profile import Profile

PATIENCE: Final = 20.0  # seconds for reading
Windows = dict[tuple[str, str], dict[int, Profile]]  # (version, segment) -> end of a window


class Span(NamedTuple):
    """Event times, microseconds: ``since`` < before <= ``onset`` < after <= ``until``."""

    since: int
    onset: int
    until: int


def span(event: Opened | Updated | Resolved) -> Span:
    """As long before the onset as after it, an hour to a day."""
    onset = _microseconds(event.onset)
    end = event.time if isinstance(event, Resolved) and event.time else event.evidence.end
    length = min(max(_microseconds(end) - onset, HOUR), DAY)
    return Span(onset - length, onset, min(_microseconds(end), onset + DAY))


def windows(
    settings: Settings, admin: Admin, event: Opened | Updated | Resolved, parts: Sequence[Part]
) -> tuple[Windows, bool]:
    """The windows of an incident that the profiles log still holds, and whether all were read.

    Raises:
        KafkaFailure: The profiles log cannot be read.
    """
    count = admin.topics().get(settings.profiles_topic)
    if count is None:
        return {}, True
    place = settings.profiles_topic, log_partition(event.topic, event.model, count)
    when = span(event)
    # No profile is written before its window ends, by the broker's clock.
    start, stop = (admin.offsets({place: at})[place] for at in (when.since, "latest"))
    deadline = time.monotonic() + PATIENCE
    late = False

    def records() -> Iterator[ProfileRecord]:
        nonlocal late
        for raw in read_range(settings.kafka, place, start, stop, group=settings.group):
            for value in raw.values:
                record = _profile(value)
                if record is not None:
                    yield record
            late = time.monotonic() > deadline
            if late:
                return

    return gathered(records(), event.topic, event.model, when, parts), not late


def gathered(
    records: Iterable[ProfileRecord], topic: str, model: str, when: Span, parts: Sequence[Part]
) -> Windows:
    """The windows of a model in a span, all input partitions together, of some features.

    Args:
        records: Of the profiles log, in order; repetitions count once, what cannot be read not at
            all.
        topic: Input topic.
        model: Model.
        when: The span.
        parts: What is wanted.
    """
    features: dict[tuple[str, str], set[str]] = {}
    for version, segment, feature in parts:
        features.setdefault((version, segment), set()).add(feature)
    held: dict[tuple[int, int, str, str], dict[int, bytes]] = {}
    found: Windows = {}
    for each in records:
        names = features.get((each.version, each.segment))
        if (each.topic, each.model) != (topic, model) or names is None:
            continue
        if not when.since < each.end <= when.until:
            continue
        pieces = held.setdefault((each.partition, each.end, each.version, each.segment), {})
        if len(pieces) == each.parts or each.part in pieces:
            continue
        pieces[each.part] = each.payload
        if len(pieces) < each.parts:
            continue
        try:
            one = codec.decode([pieces[at] for at in sorted(pieces)])
        except codec.CodecError:
            continue
        of_part = found.setdefault((each.version, each.segment), {})
        one = one.select(sorted(names))
        before = of_part.get(each.end)
        of_part[each.end] = one if before is None else profile.merge([before, one])
    return found


def compared(found: Windows, parts: Sequence[Part], onset: int) -> dict[Part, Comparison]:
    """Each feature before and after the onset, where there are windows of both."""
    told = {}
    for version, segment, feature in parts:
        of_part = found.get((version, segment), {})
        before = [of_part[end] for end in sorted(of_part) if end <= onset]
        after = [of_part[end] for end in sorted(of_part) if end > onset]
        if before and after:
            one = compare(profile.merge(before), profile.merge(after), feature)
            if one is not None:
                told[version, segment, feature] = one
    return told


def wanted(event: Opened | Updated | Resolved) -> list[Part]:
    """The features of an incident, the most important first."""
    parts = dict.fromkeys((one.version, one.segment, one.feature) for one in event.changes)
    return [part for part in parts if part[2]]


def _profile(value: bytes | None) -> ProfileRecord | None:
    try:
        record = decode(value or b"")
    except LogFormatError:  # of another release: what it says cannot be shown
        return None
    return record if isinstance(record, ProfileRecord) else None


def _microseconds(text: str) -> int:
    return to_microseconds(datetime.fromisoformat(text))
