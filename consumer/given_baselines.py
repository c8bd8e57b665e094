"""Given baselines on their way through the log: cut into records, put together, kept by id."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from msgspec import structs

from consumer.log import FORMAT_VERSION, BaselineRecord, encode, log_key, log_partition
from sketches.given import BaselineFormatError, GivenBaseline, from_bytes, to_bytes

PART_BYTES: Final = 900_000  # the default limit of a message is 1,048,588 bytes
MOST_PARTS: Final = 64
_UNFINISHED: Final = 4  # baselines of which parts are waited for


def to_records(
    baseline: GivenBaseline, topic: str, writer: str, part_bytes: int = PART_BYTES
) -> list[BaselineRecord]:
    """The records that give a baseline to a model of an input topic, in order.

    Raises:
        BaselineFormatError: It is too large.
    """
    whole = to_bytes(baseline)
    parts = [whole[at : at + part_bytes] for at in range(0, len(whole), part_bytes)]
    if len(parts) > MOST_PARTS:
        raise BaselineFormatError(
            f"the baseline has {len(whole):,} bytes, at most {MOST_PARTS * part_bytes:,} can be "
            "published: build it of a part of the rows, or with include = false for some features"
        )
    return [
        BaselineRecord(
            v=FORMAT_VERSION,
            writer=writer,
            id=baseline.id,
            topic=topic,
            model=baseline.model,
            version=baseline.version,
            segment=baseline.segment,
            part=number,
            parts=len(parts),
            payload=payload,
        )
        for number, payload in enumerate(parts)
    ]


def put_together(parts: Iterable[BaselineRecord]) -> GivenBaseline:
    """The baseline whose records these are, all of them, in any order.

    Raises:
        BaselineFormatError: It cannot be read by this release, or is not what the records say.
    """
    held = sorted(parts, key=lambda each: each.part)
    found = from_bytes(b"".join(each.payload for each in held))
    said = held[0]
    if (found.id, found.model, found.version, found.segment) != (
        *(said.id, said.model, said.version, said.segment),
    ):
        raise BaselineFormatError("the baseline is not the one that its records name")
    return found


class Arrived(NamedTuple):
    """A baseline of which the last part has been read."""

    records: list[BaselineRecord]
    baseline: GivenBaseline | None  # None: this release cannot read it
    why: str


class ArrivingBaselines:
    """Parts that wait for the others; an attempt that was given up is forgotten in time."""

    def __init__(self, waiting: Iterable[BaselineRecord] = ()) -> None:
        self._parts: dict[tuple[str, str, str], dict[int, BaselineRecord]] = {}
        for record in waiting:
            self.add(record)

    def add(self, record: BaselineRecord) -> Arrived | None:
        """Take a part; the baseline, if it was the last one."""
        if not 0 <= record.part < record.parts <= MOST_PARTS:
            return Arrived([record], None, f"part {record.part} of {record.parts}")
        key = record.writer, record.topic, record.id
        parts = self._parts.setdefault(key, {})
        parts[record.part] = record
        if len(parts) < record.parts:
            while len(self._parts) > _UNFINISHED:
                del self._parts[next(iter(self._parts))]
            return None
        records = [parts[number] for number in sorted(parts)]
        del self._parts[key]
        try:
            return Arrived(records, put_together(records), "")
        except BaselineFormatError as error:
            return Arrived(records, None, str(error))

    def waiting(self) -> list[BaselineRecord]:
        """The parts that wait, for a snapshot."""
        return [record for parts in self._parts.values() for record in parts.values()]


def kept_key(partition: int, id: str, part: int) -> bytes:
    """Key of a part in the state topic; it never changes, so compaction keeps it."""
    return f"p{partition}/baseline/{id}/{part}".encode()


def kept_messages(
    records: Iterable[BaselineRecord], partition: int, since: int | None
) -> list[tuple[bytes, bytes]]:
    """The messages that keep a baseline in the state topic."""
    return [
        (kept_key(partition, each.id, each.part), encode(structs.replace(each, since=since)))
        for each in records
    ]


def by_partition(
    records: Iterable[BaselineRecord], partitions: int
) -> list[tuple[int, bytes, bytes]]:
    """(partition of the log, key, value) of each record."""
    return [
        (
            log_partition(each.topic, each.model, partitions),
            log_key(each.topic, each.model),
            encode(each),
        )
        for each in records
    ]


def whole_ones(
    records: Iterable[BaselineRecord],
) -> Mapping[tuple[str, str], list[BaselineRecord]]:
    """(id, topic) -> all parts, of those baselines of which every part is there."""
    found: dict[tuple[str, str, str], dict[int, BaselineRecord]] = {}
    for record in records:
        found.setdefault((record.id, record.topic, record.writer), {})[record.part] = record
    return {
        (id, topic): [parts[number] for number in sorted(parts)]
        for (id, topic, _), parts in found.items()
        if len(parts) == next(iter(parts.values())).parts
    }
