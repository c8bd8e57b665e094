"""What the profiles log still holds of an incident: its features before and after the onset."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
    """An hour to a day before the onset, and up to a day after it while it lasts."""
    onset, seen = _microseconds(event.onset), _microseconds(event.evidence.end)
    length = min(max(seen - onset, HOUR), DAY)
    until = onset + DAY
    if isinstance(event, Resolved) and event.time is not None:
        until = min(until, _microseconds(event.time))
    return Span(onset - length, onset, until)


class Held(NamedTuple):
    """What the profiles log holds.

    Attributes:
        windows: Of the features wanted.
        deployed: Version -> end of its first window, of those that begin within the span.
        whole: All was read in time.
        traffic: End of each window and its records, of all versions and segments; empty unless the
            incident is about the model as a whole.
        behind: How long after its end the promptest window was written, microseconds.
    """

    windows: Windows
    deployed: Mapping[str, int]
    whole: bool
    traffic: Mapping[int, int] = {}
    behind: int = 0


def windows(
    settings: Settings, admin: Admin, event: Opened | Updated | Resolved, parts: Sequence[Part]
) -> Held:
    """What the profiles log still holds of an incident.

    Raises:
        KafkaFailure: The profiles log cannot be read.
    """
    count = admin.topics().get(settings.profiles_topic)
    if count is None:
        return Held({}, {}, True)
    place = settings.profiles_topic, log_partition(event.topic, event.model, count)
    when = span(event)
    # No profile is written before its window ends, by the broker's clock.
    start, stop = (admin.offsets({place: at})[place] for at in (when.since, "latest"))
    if start >= stop:  # nothing since, or times that are not the broker's
        start = admin.offsets({place: "earliest"})[place]
    deadline = time.monotonic() + PATIENCE
    late = False
    behind: list[int] = []
    firsts: dict[str, int] = {}

    def records() -> Iterator[ProfileRecord]:
        nonlocal late
        for raw in read_range(settings.kafka, place, start, stop, group=settings.group):
            for at, value in zip(raw.timestamps.tolist(), raw.values, strict=True):
                record = _profile(value)
                if record is None or (record.topic, record.model) != (event.topic, event.model):
                    continue
                if when.since < record.end <= when.until:
                    firsts[record.version] = min(firsts.get(record.version, record.end), record.end)
                    behind[:] = [min([at - record.end, *behind])]
                    yield record
            late = time.monotonic() > deadline
            if late:
                return

    whole = any(not each.feature for each in event.changes)
    found, traffic = gathered(records(), parts, whole)
    oldest = min(firsts.values(), default=0)
    deployed = {version: end for version, end in firsts.items() if version and end > oldest}
    return Held(found, deployed, not late, traffic, *behind)


def gathered(
    records: Iterable[ProfileRecord], parts: Sequence[Part], whole: bool = False
) -> tuple[Windows, dict[int, int]]:
    """The windows of one model, all input partitions together, and the records in each.

    Args:
        records: Of the profiles log, in order; repetitions count once, what cannot be read not at
            all.
        parts: Features that are wanted.
        whole: Whether the records are.
    """
    features: dict[tuple[str, str], set[str]] = {}
    for version, segment, feature in parts:
        features.setdefault((version, segment), set()).add(feature)
    held: dict[tuple[int, int, str, str], dict[int, bytes]] = {}
    found: Windows = {}
    traffic: dict[int, int] = {}
    for each in records:
        names = features.get((each.version, each.segment), set())
        if not names and not whole:
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
        if whole:
            traffic[each.end] = traffic.get(each.end, 0) + one.records
        if not names:
            continue
        of_part = found.setdefault((each.version, each.segment), {})
        one = one.select(sorted(names))
        before = of_part.get(each.end)
        of_part[each.end] = one if before is None else profile.merge([before, one])
    return found, traffic


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
