"""Logs for the tests of the fold: input partitions that close windows, told by careless workers."""

from __future__ import annotations

import random
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import cast

import msgspec

from alerts.commands import Command
from alerts.events import Event
from consumer.completeness import Held
from consumer.evidence import OffsetRange
from consumer.judges import Ranges, Read, Standing
from consumer.log import Lost, ProfileRecord, WatermarkRecord
from consumer.log_borders import Loss
from sketches.coverage import Coverage
from sketches.detection import DetectionSettings
from sketches.given import GivenBaseline

SECOND = 1_000_000
W = 10 * SECOND
REJECTS = b"rejects alone"  # a profile without a readable record


@dataclass(frozen=True)
class Closing:
    """What one watermark of an undisturbed worker says, and the profiles before it."""

    topic: str
    partition: int
    partitions: int
    previous: int | None
    through: int | None
    closed_at: int
    state: str = "active"
    as_of: int | None = None
    profiles: tuple[ProfileRecord, ...] = ()
    lost: tuple[Lost, ...] = ()
    limited: tuple[str, ...] = ()


def profile(end: int, model: str = "m", payload: bytes = b"x", **named: object) -> ProfileRecord:
    record = ProfileRecord(1, "w", "t", 0, end, model, "", "", 0, 1, payload)
    return msgspec.structs.replace(record, **named)


def closing(
    previous: int | None,
    through: int | None,
    closed_at: int,
    *profiles: ProfileRecord,
    **named: object,
) -> Closing:
    made = Closing("t", 0, 1, previous, through, closed_at, profiles=profiles)
    return replace(made, **named)  # type: ignore[arg-type]


def publish(closings: Sequence[Closing], writer: str) -> list[ProfileRecord | WatermarkRecord]:
    """The records of closings of one input partition, joined into one watermark."""
    first, last = closings[0], closings[-1]
    records: list[ProfileRecord | WatermarkRecord] = []
    digest = 0
    for each in closings:
        for one in each.profiles:
            digest = zlib.crc32(one.payload, digest)
            records.append(
                msgspec.structs.replace(
                    one, writer=writer, topic=each.topic, partition=each.partition
                )
            )
    mark = WatermarkRecord(
        v=1,
        writer=writer,
        topic=last.topic,
        partition=last.partition,
        partitions=last.partitions,
        window=W,
        previous=first.previous,
        through=last.through,
        closed_at=last.closed_at,
        start=0,
        records=0,
        rejects={},
        late=0,
        clock_ahead=0,
        state=last.state,
        as_of=last.as_of,
        profiles=len(records),
        digest=digest,
        lost=tuple(lost for each in closings for lost in each.lost),
        limited={name: 1 for each in closings for name in each.limited},
    )
    return [*records, mark]


class Told(msgspec.Struct, frozen=True):
    """An event of the fake judges: everything that they were told."""

    kind: str
    topic: str
    model: str
    facts: tuple[object, ...]
    chain: int  # CRC-32 over all facts so far: it tells another order of the past


def _events(told: Told) -> list[Event]:
    return cast("list[Event]", [told])  # the fold only hands events on


class FakeModelJudge:
    def __init__(self, topic: str, model: str, chain: int = 0, onset: int = -1) -> None:
        self.topic, self.model, self.chain, self.onset = topic, model, chain, onset

    def _tell(self, kind: str, *facts: object) -> list[Event]:
        self.chain = zlib.crc32(repr((kind, facts)).encode(), self.chain)
        return _events(Told(kind, self.topic, self.model, facts, self.chain))

    def fold(self, end: int, window: int, read: Read, ranges: Ranges) -> list[Event]:
        if self.onset < 0 or end % (7 * W) == 0:
            self.onset = end - window
        facts = tuple(
            (one.partition, one.own_end, one.version, one.segment, one.payloads, one.late)
            for one in read.held
        )
        found: tuple[OffsetRange, ...] = ranges(self.onset, end)
        return self._tell("window", end, window, facts, tuple(tuple(each) for each in found))

    def no_data(self, since: int, at: int) -> list[Event]:
        return self._tell("no_data", since, at)

    def data_back(self, since: int, at: int) -> list[Event]:
        return self._tell("data_back", since, at)

    def settle(self, settings: DetectionSettings) -> None:
        self._tell("settle", settings)

    def give(self, baseline: GivenBaseline) -> None:
        self._tell("give", baseline.id)

    def command(self, command: Command, ranges: Ranges) -> list[Event]:
        return self._tell("command", command.id, tuple(ranges(self.onset, self.onset + 1)))

    def standing(self) -> Standing:
        return Standing(0, 0, 0, 1.0, 0, 0, ())

    def coverage(self) -> list[Coverage]:
        return []

    def state(self) -> bytes:
        return msgspec.msgpack.encode((self.chain, self.onset))


class FakeTopicJudge:
    def __init__(self, topic: str) -> None:
        self.name = topic

    def loss(self, loss: Loss) -> list[Event]:
        return _events(Told("loss", self.name, "", msgspec.structs.astuple(loss), 0))

    def limit(self, name: str, at: int | None) -> list[Event]:
        return _events(Told("limit", self.name, "", (name, at), 0))

    def state(self) -> bytes:
        return b""


class FakeJudges:
    def read_all(self, models: Iterable[Sequence[Held]]) -> Iterator[Read]:
        for held in models:
            rejects = all(payload == REJECTS for one in held for payload in one.payloads)
            yield Read(held, 0 if rejects else len(held), {})

    def model(self, topic: str, model: str, settings: DetectionSettings) -> FakeModelJudge:
        del settings
        return FakeModelJudge(topic, model)

    def topic(self, topic: str) -> FakeTopicJudge:
        return FakeTopicJudge(topic)

    def restored_model(
        self, topic: str, model: str, settings: DetectionSettings, state: bytes
    ) -> FakeModelJudge:
        del settings
        return FakeModelJudge(topic, model, *msgspec.msgpack.decode(state, type=tuple[int, int]))

    def restored_topic(self, topic: str, state: bytes) -> FakeTopicJudge:
        del state
        return FakeTopicJudge(topic)


def random_closings(r: random.Random, *, marks: bool) -> list[Closing]:
    """Closings of one or two topics in the order of the log.

    Args:
        r: Decides.
        marks: Partitions become idle and stalled, too.
    """
    wall = 1000 * W
    inputs = []
    for topic in ("t", "u")[: r.choice([1, 1, 2])]:
        count = r.randint(1, 3)
        inputs += [_Input(topic, p, count) for p in range(count)]
    told = []
    for _ in range(r.randint(5, 60)):
        wall += r.choice([1, 40, 900]) * SECOND
        told.append(r.choice(inputs).step(r, wall if marks else None))
    return told


class _Input:
    """One input partition and its undisturbed worker."""

    def __init__(self, topic: str, partition: int, partitions: int) -> None:
        self.last = Closing(topic, partition, partitions, None, None, 0)

    def step(self, r: random.Random, wall: int | None) -> Closing:
        last = self.last
        kind = r.choice(["close"] * 5 + ["idle", "mark"]) if wall is not None else "close"
        quiet = last.state == "idle" or last.closed_at == 0
        if kind == "mark" and quiet:
            state = r.choice(["idle", "idle", "active"]) if last.through is not None else "idle"
        elif kind == "mark":
            state = r.choice(["stalled", "stalled", "active"])
        else:
            self.last = self._close(r, "idle" if kind == "idle" else "active", wall)
            return self.last
        as_of = None if state == "active" else wall
        self.last = replace(
            last, previous=last.through, state=state, as_of=as_of, profiles=(), lost=()
        )
        if last.closed_at == 0:
            self.last = replace(self.last, through=None)
        return self.last

    def _close(self, r: random.Random, state: str, wall: int | None) -> Closing:
        last = self.last
        begin = last.through or 0
        through = begin + W * r.choice([1, 1, 2, 3, 7, 90, 200])
        ends = {begin + W, through, r.randrange(begin + W, through + W, W)}
        made = []
        for end in sorted(ends):
            for model in ("a", "b", "c"):
                for version in ("1", "2"):
                    if r.random() < 0.3:
                        made += self._profile(r, end, model, version)
        return replace(
            last,
            previous=last.through,
            through=through,
            closed_at=last.closed_at + r.randint(1, 50),
            state=state,
            as_of=wall if state == "idle" else None,
            profiles=tuple(made),
            lost=(Lost(last.closed_at, last.closed_at + 1),) if r.random() < 0.05 else (),
        )

    def _profile(self, r: random.Random, end: int, model: str, version: str) -> list[ProfileRecord]:
        parts = r.choice([1, 1, 1, 3])
        first = self.last.closed_at + r.randint(0, 5)
        return [
            profile(
                end,
                model,
                r.randbytes(r.randint(1, 12)),
                version=version,
                part=part,
                parts=parts,
                first=first,
                last=first + 3,
            )
            for part in range(parts)
        ]
