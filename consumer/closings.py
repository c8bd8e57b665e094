"""Closed windows as records of the profiles log."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal, NamedTuple

from msgspec import structs

from consumer.batch import RecordKey
from consumer.log import (
    FORMAT_VERSION,
    LogRecord,
    Lost,
    ProfileRecord,
    WatermarkRecord,
    log_key,
    log_partition,
)
from sketches.codec import encode_all
from sketches.profile import Profile, redact

State = Literal["active", "idle", "stalled"]


class WindowProfile(NamedTuple):
    """The records of one key in one window, and the offsets of the first and last of them."""

    key: RecordKey
    end: int
    profile: Profile
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Closing:
    """Windows of one input partition that were closed by one record or one idle decision.

    Attributes:
        topic: Input topic.
        partition: Input partition.
        previous: ``through`` of the closing before; None: there was none.
        through: Every window that ends at or before it is closed, microseconds.
        closed_at: The offset just after the record that did it.
        start: ``closed_at`` of the closing before, or where reading began.
        profiles: By end, then key.
        limited: Names of limits that cut something since the closing before -> how often.
        idle: An idle decision closed them. Published with ``state="idle"`` unless records came
            since (then a window is open again), also when a restart acts on it once more.
    """

    topic: str
    partition: int
    previous: int | None
    through: int
    closed_at: int
    start: int
    profiles: tuple[WindowProfile, ...]
    limited: Mapping[str, int]
    idle: bool = False

    @property
    def records(self) -> int:
        """Readable records in the closed windows."""
        return sum(each.profile.records for each in self.profiles)

    @property
    def rejects(self) -> dict[str, int]:
        """Reason -> rejected records in the closed windows, reasons ascending."""
        rejects: Counter[str] = Counter()
        for each in self.profiles:
            rejects.update(each.profile.rejects)
        return dict(sorted(rejects.items()))

    @property
    def late(self) -> int:
        """Records and rejects counted in a later window than their own."""
        return sum(each.profile.late for each in self.profiles)

    @property
    def clock_ahead(self) -> int:
        """Records whose event time was not believed."""
        return sum(each.profile.clock_ahead for each in self.profiles)


class Place(NamedTuple):
    """Where the records of an input partition go, and in whose name.

    Attributes:
        writer: Random id of this process start.
        topic: Input topic.
        partition: Input partition.
        partitions: Number of partitions of the input topic.
        window: Length of a window, microseconds.
        log_partitions: Number of partitions of the log.
    """

    writer: str
    topic: str
    partition: int
    partitions: int
    window: int
    log_partitions: int


def combine(closings: Sequence[Closing]) -> Closing:
    """Closings that follow one another as one, to share a watermark.

    Raises:
        ValueError: There is none, or one is missing between them.
    """
    if not closings:
        raise ValueError("no closings to combine")
    for before, after in pairwise(closings):
        if after.previous != before.through:
            raise ValueError(f"{after.previous} does not follow {before.through}")
    first, last = closings[0], closings[-1]
    limited: Counter[str] = Counter()
    for closing in closings:
        limited.update(closing.limited)
    return replace(
        first,
        through=last.through,
        closed_at=last.closed_at,
        profiles=tuple(each for closing in closings for each in closing.profiles),
        limited=dict(sorted(limited.items())),
        idle=last.idle,
    )


def log_records(
    closing: Closing,
    place: Place,
    *,
    state: State = "active",
    as_of: int | None = None,
    lost: tuple[Lost, ...] = (),
    min_records_shown: int = 0,
) -> list[tuple[int, bytes, LogRecord]]:
    """What a closing puts into the log: profiles, then a watermark for every partition of the log.

    The watermarks, the last ``place.log_partitions`` of the list, may be produced only once all
    profiles are acknowledged.

    Args:
        closing: Of ``place``'s input partition.
        place: Where the records go.
        state: Of the partition as it is published.
        as_of: Wall time of an idle or stalled mark, microseconds; None when active.
        lost: Ranges never read, not told before.
        min_records_shown: Of profiles of fewer records only counts and coarse bins are told.

    Returns:
        (partition of the log, key, record), in order of publication.
    """
    told: list[tuple[int, bytes, LogRecord]] = []
    counts, digests = [0] * place.log_partitions, [0] * place.log_partitions
    encoded = encode_all([redact(each.profile, min_records_shown) for each in closing.profiles])
    for each, payloads in zip(closing.profiles, encoded, strict=True):
        model = each.key.model
        number = log_partition(place.topic, model, place.log_partitions)
        key = log_key(place.topic, model)
        for record in _profile_records(each, place, payloads):
            told.append((number, key, record))
            counts[number] += 1
            digests[number] = zlib.crc32(record.payload, digests[number])
    watermark = WatermarkRecord(
        v=FORMAT_VERSION,
        writer=place.writer,
        topic=place.topic,
        partition=place.partition,
        partitions=place.partitions,
        window=place.window,
        previous=closing.previous,
        through=closing.through,
        closed_at=closing.closed_at,
        start=closing.start,
        records=closing.records,
        rejects=closing.rejects,
        late=closing.late,
        clock_ahead=closing.clock_ahead,
        state=state,
        as_of=as_of,
        profiles=0,
        digest=0,
        lost=lost,
        limited=dict(closing.limited),
    )
    return told + _to_all(watermark, counts, digests)


def mark_records(
    place: Place,
    through: int | None,
    closed_at: int,
    *,
    state: State,
    as_of: int | None = None,
    lost: tuple[Lost, ...] = (),
) -> list[tuple[int, bytes, LogRecord]]:
    """A watermark for every partition of the log that closes nothing: idle, stalled or active.

    Args:
        place: Where the records go.
        through: Latest closed border; None: nothing is closed.
        closed_at: The offset just after the record that closed it.
        state: What is told.
        as_of: Wall time of an idle or stalled mark, microseconds; None when active.
        lost: Ranges never read, not told before.
    """
    watermark = WatermarkRecord(
        v=FORMAT_VERSION,
        writer=place.writer,
        topic=place.topic,
        partition=place.partition,
        partitions=place.partitions,
        window=place.window,
        previous=through,
        through=through,
        closed_at=closed_at,
        start=closed_at,
        records=0,
        rejects={},
        late=0,
        clock_ahead=0,
        state=state,
        as_of=as_of,
        profiles=0,
        digest=0,
        lost=lost,
    )
    return _to_all(watermark, [0] * place.log_partitions, [0] * place.log_partitions)


def _to_all(
    watermark: WatermarkRecord, counts: Sequence[int], digests: Sequence[int]
) -> list[tuple[int, bytes, LogRecord]]:
    key = f"{watermark.topic}/{watermark.partition}".encode()
    told: list[tuple[int, bytes, LogRecord]] = []
    for number, (profiles, digest) in enumerate(zip(counts, digests, strict=True)):
        record = structs.replace(watermark, profiles=profiles, digest=digest)
        told.append((number, key, record))
    return told


def _profile_records(
    each: WindowProfile, place: Place, payloads: Sequence[bytes]
) -> list[ProfileRecord]:
    return [
        ProfileRecord(
            v=FORMAT_VERSION,
            writer=place.writer,
            topic=place.topic,
            partition=place.partition,
            end=each.end,
            model=each.key.model,
            version=each.key.version,
            segment=each.key.segment,
            part=part,
            parts=len(payloads),
            payload=payload,
            first=each.first,
            last=each.last,
        )
        for part, payload in enumerate(payloads)
    ]
