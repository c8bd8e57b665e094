"""Whole systems in memory for the tests of the audit: topics, and workers that crash and repeat."""

from __future__ import annotations

import copy
import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from alerts.events import to_message
from consumer import log
from consumer.audit import Extent, Input
from consumer.batch import RawBatch
from consumer.commit_state import CommitState
from consumer.decoders import decoder_for
from consumer.fold import Fold
from consumer.inputs import InputPartition
from consumer.judging import MonitorJudges
from consumer.log import LogRecord, Lost, SettingsRecord, settings_digest
from consumer.settings import InputSettings, Settings
from consumer.start import Start

SECOND = 1_000_000
LOG, ALERTS, REJECTS, STATE = "app-profiles", "app-alerts", "app-rejects", "app-state"
LOG_PARTITIONS = 2


@dataclass
class Message:
    offset: int
    at: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]] = field(default_factory=list)


def settings_for(topics: Sequence[str]) -> Settings:
    one = InputSettings(name="one", topics=tuple(topics), window=SECOND, lateness=2 * SECOND)
    return Settings(app="app", inputs=(one,), learn_for=10 * SECOND, learn_records=600)


class World:
    """Topics, and what the group has committed; the ``Topics`` of an audit.

    Attributes:
        messages: By topic and partition.
        lows: First offsets that are not 0.
        commits: As of the group.
        read_to: Input partition -> how many of its messages anybody has read.
    """

    def __init__(self, inputs: dict[str, int]) -> None:
        self.settings = settings_for(list(inputs))
        self.counts = {LOG: LOG_PARTITIONS, ALERTS: 3, REJECTS: 2, STATE: LOG_PARTITIONS, **inputs}
        self.inputs = [(t, n) for t, count in inputs.items() for n in range(count)]
        self.messages: dict[Input, list[Message]] = defaultdict(list)
        self.lows: dict[Input, int] = {}
        self.commits: dict[Input, tuple[int, str]] = {}
        self.read_to: dict[Input, int] = defaultdict(int)
        self.compact: set[str] = set()
        self.starts: dict[Input, Start] = {}  # where the next owner begins, whatever is committed
        self.clock = 1_800_000_000 * SECOND

    # --- what an audit asks ---------------------------------------------------------------------

    def partitions(self) -> dict[str, int]:
        return self.counts

    def committed(self, places: Sequence[Input]) -> dict[Input, tuple[int, str] | None]:
        return {place: self.commits.get(place) for place in places}

    def extents(self, topic: str, partitions: int) -> dict[int, Extent]:
        return {
            n: Extent(self.lows.get((topic, n), 0), self.end(topic, n)) for n in range(partitions)
        }

    def compacted(self, topic: str) -> bool:
        return topic in self.compact

    def read(self, topic: str, partition: int, start: int, stop: int) -> Iterator[RawBatch]:
        held = [m for m in self.messages[topic, partition] if start <= m.offset < stop]
        for at in range(0, len(held), 500):
            yield raw(topic, partition, held[at : at + 500])

    # --- what workers do ------------------------------------------------------------------------

    def end(self, topic: str, partition: int) -> int:
        held = self.messages[topic, partition]
        return held[-1].offset + 1 if held else self.lows.get((topic, partition), 0)

    def write(
        self,
        topic: str,
        partition: int,
        key: bytes | None,
        value: bytes,
        headers: Sequence[tuple[str, bytes]] = (),
    ) -> None:
        self.clock += 1000
        message = Message(self.end(topic, partition), self.clock, key, value, list(headers))
        self.messages[topic, partition].append(message)

    def write_log(self, number: int, key: bytes, record: LogRecord) -> None:
        self.write(LOG, number, key, log.encode(record))

    def record(self, number: int, at: int) -> LogRecord:
        """The log record at a place in a partition's list."""
        return log.decode(self.messages[LOG, number][at].value or b"")

    def replace(self, number: int, at: int, record: LogRecord) -> None:
        self.messages[LOG, number][at].value = log.encode(record)

    def begin(self, place: Input) -> InputPartition:
        commit, low = self.commits.get(place), self.lows.get(place, 0)
        start = Start(low, None, fresh=True)
        if place in self.starts:
            start = self.starts.pop(place)
        elif commit is not None:
            state = CommitState.from_metadata(commit[1])
            lost = (Lost(commit[0], low),) if commit[0] < low else ()
            start = Start(max(commit[0], low), state, lost)
        one = self.settings.input_for(place[0])
        assert one is not None
        decode = decoder_for(self.settings, one, place[0])
        return InputPartition(self.settings, *place, start, decode)

    def fold(self, number: int) -> Fold:
        return Fold(
            "app",
            self.settings.detection(),
            partition=number,
            partitions=LOG_PARTITIONS,
            judges=MonitorJudges("app"),
        )

    def copy(self) -> World:
        return copy.deepcopy(self)

    def detect(self, chance: random.Random, *, repeat: float = 0.05) -> None:
        """Publish what follows from the log, as detect stages that restart do."""
        for number in range(LOG_PARTITIONS):
            fold = self.fold(number)
            told = []
            for message in self.messages[LOG, number]:
                told += fold.apply(message.offset, log.decode(message.value or b""))
            self.commits[LOG, number] = self.end(LOG, number), ""
            at, repeats = 0, 0
            while at < len(told):
                key, value, headers = to_message(told[at], "app")
                self.write(ALERTS, sum(key) % 3, key, value, headers)
                at += 1
                if repeats < 5 and chance.random() < repeat:
                    at, repeats = chance.randint(0, at), repeats + 1

    def snapshot(self, number: int, offset: int) -> None:
        """What a detect stage keeps of the log before an offset."""
        fold = self.fold(number)
        for message in self.messages[LOG, number]:
            if message.offset < offset:
                fold.apply(message.offset, log.decode(message.value or b""))
        for key, value in fold.snapshot(offset):
            self.write(STATE, number, key, value)

    def trim(self, topic: str, partition: int, low: int) -> None:
        """Delete what is before an offset."""
        self.lows[topic, partition] = low
        held = self.messages[topic, partition]
        self.messages[topic, partition] = [m for m in held if m.offset >= low]


def raw(topic: str, partition: int, held: Sequence[Message]) -> RawBatch:
    return RawBatch(
        topic,
        partition,
        np.array([m.offset for m in held], dtype=np.int64),
        np.array([m.at for m in held], dtype=np.int64),
        [m.value for m in held],
        [m.key for m in held],
        [m.headers for m in held],
    )


class Process:
    """One worker: any of its effects may be its last."""

    def __init__(self, world: World, name: str, places: Sequence[Input]) -> None:
        self.world, self.name = world, name
        self.parts = {place: world.begin(place) for place in places}
        detection = world.settings.detection()
        told = SettingsRecord(log.FORMAT_VERSION, name, settings_digest(detection), detection)
        for number in range(LOG_PARTITIONS):
            world.write_log(number, b"settings", told)

    def feed(self, place: Input, count: int) -> int:
        """Read up to ``count`` more; how many there were."""
        part, world = self.parts[place], self.world
        held = [m for m in world.messages[place] if m.offset >= part.position][:count]
        if held:
            part.feed(raw(*place, held))
            world.read_to[place] = max(world.read_to[place], held[-1].offset + 1)
        return len(held)

    def publish(self, place: Input, dies: str = "") -> None:
        """As a checkpoint does; ``dies``: ``profiles``, ``watermarks`` or ``commit``."""
        part, world = self.parts[place], self.world
        for reject in part.take_rejects():
            key, value, headers = reject
            world.write(REJECTS, sum(key) % 2, key, value, headers)
        told = part.take_records(self.name, world.counts[place[0]], LOG_PARTITIONS)
        profiles = told.profiles[: len(told.profiles) // 2] if dies == "profiles" else told.profiles
        for each in profiles:
            world.write_log(*each)
        if dies == "profiles":
            return
        marks = told.watermarks[:1] if dies == "watermarks" else told.watermarks
        for each in marks:
            world.write_log(*each)
        if not dies:
            world.commits[place] = part.to_commit()

    def fall_silent(self, place: Input, *, act: bool = True) -> None:
        """Decide that a partition is idle, where nobody has read further."""
        part, world = self.parts[place], self.world
        if part.position < world.read_to[place]:
            return
        self.publish(place)
        decision = part.drain()
        if decision is not None:
            world.commits[place] = part.commit_with(decision)
            if act:
                part.act(decision)


def finish(world: World) -> None:
    """A last worker reads, closes and publishes everything."""
    last = Process(world, "last", world.inputs)
    for place in world.inputs:
        last.feed(place, 1_000_000)
        last.publish(place)
        last.fall_silent(place)
        last.publish(place)


def live(world: World, chance: random.Random, steps: int, most: int = 60) -> None:
    """Workers that read up to ``most`` at once, publish, die, go on as zombies, fall silent."""
    owner = Process(world, "first", world.inputs)
    zombie: Process | None = None
    for step in range(steps):
        place = chance.choice(world.inputs)
        if zombie is not None and chance.random() < 0.3:
            zombie.feed(place, chance.randint(1, most))
            zombie.publish(place, "commit")
        owner.feed(place, chance.randint(0, most))
        kind = chance.choice(["publish"] * 6 + ["silent", "wait", "dies", "taken"])
        if kind == "publish":
            owner.publish(place)
        elif kind == "silent":
            zombie = None  # it would not know of the decision; nobody is taken for dead that long
            act = chance.random() < 0.7
            owner.fall_silent(place, act=act)
            if not act or chance.random() < 0.3:
                owner = Process(world, f"w{step}", world.inputs)
        elif kind in {"dies", "taken"}:
            zombie = owner if kind == "taken" else None
            if kind == "dies":
                owner.publish(place, chance.choice(["profiles", "watermarks", "commit"]))
            owner = Process(world, f"w{step}", world.inputs)


def random_inputs(world: World, chance: random.Random, size: int) -> None:
    """Records in any order, with gaps, late, early, unreadable, of several models."""
    for place in world.inputs:
        clock = 1_767_225_600_000
        offset = chance.choice([0, 0, 7])
        for _ in range(size):
            clock += chance.choice([0, 5, 40, 200, *chance.choice([(), (4_000,)])])
            offset += chance.choice([1, 1, 1, 1, 1, 3])  # markers of transactions
            when = clock - chance.choice([0, 0, 0, 0, 500, 3_000, 20_000])
            when += chance.choice([0] * 30 + [200_000, 900_000])
            model = chance.choice(["a", "b", "c"])
            value: bytes | None = (
                b'{"event_time": %d, "model": "%b", "features": {"x": %d, "city": "%b"}}'
                % (when, model.encode(), chance.randint(0, 9), model.encode())
            )
            if chance.random() < 0.04:
                value = chance.choice([None, b"", b"{", b"[]", b"\xff"])
            message = Message(offset, clock * 1000, None, value)
            world.messages[place].append(message)
