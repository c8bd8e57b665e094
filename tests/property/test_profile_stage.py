"""Whatever happens to a worker, what it publishes is what one undisturbed reader would count."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consumer import open_windows
from consumer.batch import RecordKey
from consumer.borders import BorderRule
from consumer.closings import Closing
from consumer.commit_state import CommitState
from consumer.profile_stage import PartitionProfiler
from sketches.codec import encode
from sketches.profile import Profile, ProfileRules, merge, profile_table
from tests.reference_borders import Counted, Record, Reference
from tests.stage_batches import batch_of, table_of

S = 1_000_000
DAY = 86_400 * S
RULES = ProfileRules()
CHUNK = 4  # so that short streams are cut into several
BORDERS: dict[str, str | int] = {"window": 10 * S, "lateness": 5 * S}

Window = tuple[int, RecordKey]
Published = tuple[bytes, int, int]  # profile, first and last offset


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_windows, "CHUNK", CHUNK)
    monkeypatch.setattr(open_windows, "PIECES", 3)


def stream(chance: random.Random, size: int) -> list[Record]:
    """A partition's records: in any order, with gaps, without times, unreadable, ahead."""
    backfill = chance.choice([0, 0, 400 * S, 30 * DAY])
    untimed = chance.choice([0.0, 0.0, 0.1, 1.0])
    strange = chance.choice([0.0, 0.1, 0.5])
    steps = [0, 0, S // 2, S, 3 * S, *chance.choice([(), (30 * S, 400 * S)])]
    clock, offset, records = 1_000_000 * S, chance.choice([0, 1000]), []
    for _ in range(size):
        clock += chance.choice(steps)
        offset += chance.choice([1, 1, 1, 1, 4])
        time: int | None = clock - backfill - chance.choice([0, 0, 0, 1, 3, 8, 25, 600]) * S
        reject = None
        if chance.random() < untimed:
            time = None
        elif chance.random() < strange:
            time = clock + chance.choice([299, 300, 301, 7_200]) * S
        if chance.random() < strange / 2:
            reject = chance.choice(["syntax", "too_large"])
        key = ("m", chance.choice(["", "", "2"]), chance.choice(["", "", "eu"]))
        features: list[tuple[str, float | str | bool | None]] = [("id", f"r{offset}")]
        if chance.random() < 0.7:
            features.append(("x", chance.gauss(0, 1)))
        if chance.random() < 0.2:
            features.append(("y", chance.choice([None, 1.5, "text", True])))
        records.append(Record(offset, clock, time, key, reject, tuple(features)))
    return records


def published(counted: Sequence[Counted]) -> dict[RecordKey, Published]:
    """Profiles of the records of one window, made of nothing but these."""
    by_key: dict[RecordKey, list[Counted]] = {}
    for one in counted:
        key = ("m", "", "") if one.record.reject else one.record.key
        by_key.setdefault(RecordKey(*key), []).append(one)
    made = {}
    for key, held in by_key.items():
        readable = [one.record for one in held if one.record.reject is None]
        profile = Profile.empty()
        for start in range(0, len(readable), CHUNK):
            chunk = profile_table(table_of(readable[start : start + CHUNK]), RULES)
            profile = chunk if start == 0 else merge([profile, chunk])
        reasons = [one.record.reject for one in held if one.record.reject is not None]
        told = Profile(
            records=profile.records,
            late=sum(one.late for one in held),
            clock_ahead=sum(one.ahead and one.record.reject is None for one in held),
            rejects={reason: reasons.count(reason) for reason in sorted(set(reasons))},
            names=profile.names,
            kinds=profile.kinds,
            numbers=profile.numbers,
            texts=profile.texts,
        )
        (payload,) = encode(told)
        made[key] = (payload, held[0].record.offset, held[-1].record.offset)
    return made


@dataclass
class World:
    """A log, a group's commit, and everything that was ever published."""

    records: list[Record]
    rule: BorderRule
    commit: tuple[int, str] = (0, "")
    read: int = 0  # how many records anybody has ever read
    windows: dict[Window, Published] = field(default_factory=dict)
    closings: dict[int, int] = field(default_factory=dict)
    decided: dict[int, int] = field(default_factory=dict)

    @property
    def end(self) -> int:
        return self.records[self.read - 1].offset + 1 if self.read else 0

    def begin(self) -> PartitionProfiler:
        offset, metadata = self.commit
        state = CommitState.from_metadata(metadata)
        return PartitionProfiler("t", 0, self.rule, lambda m: RULES, offset, state, BORDERS)

    def publish(self, closings: Sequence[Closing]) -> None:
        for closing in closings:
            at = self.closings.setdefault(closing.through, closing.closed_at)
            assert at == closing.closed_at
            for each in closing.profiles:
                assert closing.previous is None or each.end > closing.previous
                assert each.end <= closing.through
                (payload,) = encode(each.profile)
                made = (payload, each.first, each.last)
                assert self.windows.setdefault((each.end, each.key), made) == made

    def save(self, part: PartitionProfiler) -> None:
        offset, state = part.commit_state()
        self.commit = offset, state.to_metadata()

    def from_offset(self, offset: int) -> list[Record]:
        return [record for record in self.records if record.offset >= offset]


class Worker:
    """A worker's life: after a crash it begins again at the commit."""

    def __init__(self, world: World, chance: random.Random) -> None:
        self.world = world
        self.chance = chance
        self.crashes = 0
        self.part = world.begin()

    def live(self) -> PartitionProfiler:
        """Read everything, with crashes at every moment."""
        while True:
            left = self.world.from_offset(self.part.position)
            if not left and self.chance.random() < 0.5:
                return self.part
            if left:
                self.read(left)
            self.publish_or_crash()
            if self.chance.random() < 0.5:
                self.world.save(self.part)  # also with closings that wait
            self.crashed(0.1)
            self.fall_silent()

    def crashed(self, probability: float) -> bool:
        if self.crashes < 12 and self.chance.random() < probability:
            self.crashes += 1
            self.part = self.world.begin()
            return True
        return False

    def read(self, left: Sequence[Record]) -> None:
        some = left[: self.chance.randint(1, 20)]
        self.part.add(batch_of(some))
        self.world.read = max(self.world.read, len(self.world.records) - len(left) + len(some))

    def publish_or_crash(self) -> None:
        if self.chance.random() < 0.3:
            return
        taken = self.part.take()
        if self.crashed(0.1):
            return
        if self.chance.random() < 0.1:
            self.world.publish(taken[: self.chance.randint(0, len(taken))])
            if self.crashed(0.5):
                return
        self.world.publish(taken)
        self.crashed(0.1)

    def fall_silent(self) -> None:
        """An idle decision, where nobody has read further."""
        part, world, chance = self.part, self.world, self.chance
        if part.position < world.end or part.has_closings or chance.random() < 0.5:
            return
        markers = chance.choice([0, 0, 0, 1]) if world.read == len(world.records) else 0
        decision = part.propose_idle(part.position + markers)
        if decision is None or chance.random() < 0.2:
            return
        offset, state = part.commit_state(decision)
        world.commit = offset, state.to_metadata()
        world.decided[decision.at] = decision.through
        if self.crashed(0.3):  # before it was acted upon
            return
        part.decide(decision)
        if chance.random() < 0.3:
            world.save(part)  # without publishing: the decision must stay in it
        if not self.crashed(0.3):
            world.publish(part.take())
            self.crashed(0.1)


def undisturbed(world: World) -> Reference:
    rule = world.rule
    reference = Reference(rule.window, rule.lateness, rule.open_windows)
    decided = sorted(world.decided.items())
    for record in world.records:
        while decided and decided[0][0] <= record.offset:
            at, through = decided.pop(0)
            reference.close(through, at)
        reference.feed(record)
    for at, through in decided:
        reference.close(through, at)
    return reference


def prove(seed: int, size: int) -> World:
    chance = random.Random(seed)
    lateness, limit = chance.choice([0, 5, 5, 90]), chance.choice([2, 5, 1000, 1000])
    world = World(stream(chance, size), BorderRule(10 * S, lateness * S, limit))
    part = Worker(world, chance).live()
    if part.pending is not None:
        part.reached(part.pending.at)
    world.publish(part.take())
    reference = undisturbed(world)
    assert sorted(world.closings.items()) == reference.closings
    want = {
        (end, key): made
        for end, counted in reference.windows.items()
        for key, made in published(counted).items()
    }
    assert world.windows == want
    # What is still open is the same, too: close it.
    decision = part.drain(part.position)
    assert (decision is None) == (not reference.open)
    if decision is not None:
        world.publish(part.take())
        reference.close(decision.through, decision.at)
        want |= {
            (end, key): made
            for end, counted in reference.windows.items()
            for key, made in published(counted).items()
        }
    assert world.windows == want
    counted = [one.record.offset for held in reference.windows.values() for one in held]
    assert sorted(counted) == [record.offset for record in world.records]
    return world


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 80))
def test_windows_published_again_are_the_same_and_none_is_lost(seed: int, size: int) -> None:
    prove(seed, size)


def test_the_trial_covers_what_it_claims() -> None:
    worlds = [prove(seed, 40) for seed in range(30)]
    assert sum(len(world.decided) for world in worlds) > 20
    assert sum(len(world.windows) for world in worlds) > 200


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.lists(st.integers(1, 30), min_size=1, max_size=5))
def test_batches_change_nothing(seed: int, sizes: list[int]) -> None:
    records = stream(random.Random(seed), 50)
    told = []
    for cuts in ([1], [50], sizes):
        part = PartitionProfiler(
            "t", 0, BorderRule(10 * S, 5 * S), lambda m: RULES, 0, None, BORDERS
        )
        start, turn = 0, 0
        while start < len(records):
            size = cuts[turn % len(cuts)]
            part.add(batch_of(records[start : start + size]))
            start, turn = start + size, turn + 1
        part.drain(part.position)
        told.append(
            [
                (c.previous, c.through, c.closed_at, c.start, c.late, c.clock_ahead, c.rejects,
                 [(p.key, p.end, encode(p.profile), p.first, p.last) for p in c.profiles])
                for c in part.take()
            ]
        )  # fmt: skip
    assert told[0] == told[1] == told[2]
