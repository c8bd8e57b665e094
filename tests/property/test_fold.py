"""The fold of any log: against a plain one, with repetitions, and after a snapshot."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import pairwise
from typing import cast

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consumer import log
from consumer.fold import Fold
from consumer.log import LogRecord, ProfileRecord, WatermarkRecord
from sketches.detection import DetectionSettings
from tests.fold_logs import SECOND, Closing, FakeJudges, Told, W, publish, random_closings

SETTINGS = DetectionSettings(learn_for=50 * W)
SEEDS = st.integers(0, 2**32 - 1)


def _fold() -> Fold:
    return Fold("app", SETTINGS, judges=FakeJudges())


def _events(records: Sequence[LogRecord], fold: Fold | None = None, at: int = 0) -> list[bytes]:
    fold = fold or _fold()
    return [
        msgspec.json.encode(event)
        for offset, record in enumerate(records[at:], at)
        for event in fold.apply(offset, log.decode(log.encode(record)))
    ]


def _plain_log(closings: Sequence[Closing]) -> list[LogRecord]:
    return [record for each in closings for record in publish([each], "w0")]


class PlainFold:
    """What is told about windows and silences, one simple rule after the other."""

    def __init__(self) -> None:
        self.said: dict[tuple[str, int], Closing] = {}
        self.windows: dict[tuple[str, int], list[tuple[object, ...]]] = {}
        self.folded: dict[str, int] = {}
        self.data: dict[tuple[str, str], list[int]] = {}
        self.silent: set[tuple[str, str]] = set()
        self.quiet: dict[str, tuple[int, int]] = {}
        self.told: list[tuple[object, ...]] = []

    def close(self, closing: Closing) -> None:
        topic = closing.topic
        self.said[topic, closing.partition] = closing
        parts: dict[tuple[int, str, str], list[bytes]] = {}
        for one in closing.profiles:
            parts.setdefault((one.end, one.model, one.version), []).append(one.payload)
        for (end, model, version), payloads in parts.items():
            folded = self.folded.get(topic, -1)
            into = end if end > folded else folded - folded % W + W
            fact = (model, closing.partition, end, version, "", tuple(payloads), into != end)
            self.windows.setdefault((topic, into), []).append(fact)
        mine = [said for (name, _), said in self.said.items() if name == topic]
        if len(mine) < closing.partitions:
            return
        active = [said.through for said in mine if said.state == "active"]
        waiting = [end for name, end in self.windows if name == topic]
        if active:
            border = min(-1 if through is None else through for through in active)
        else:
            border = max([-1, *(s.through for s in mine if s.through is not None), *waiting])
        for end in sorted(end for end in waiting if end <= border):
            self._silences(topic, end - W)
            facts = sorted(self.windows.pop((topic, end)))
            for model in sorted({str(fact[0]) for fact in facts}):
                if (topic, model) in self.silent:
                    self.silent.remove((topic, model))
                    self.told.append(("data_back", topic, model, end - W))
                self.data.setdefault((topic, model), []).append(end)
                held = tuple(fact[1:] for fact in facts if fact[0] == model)
                self.told.append(("window", topic, model, end, held))
            self.folded[topic] = end
        if border >= 0:
            self.folded[topic] = max(border, self.folded.get(topic, -1))
        if topic in self.folded:
            self._silences(topic, self._now(topic, [] if active else mine))

    def _now(self, topic: str, quiet: list[Closing]) -> int:
        now = self.folded[topic]
        if not quiet:
            self.quiet.pop(topic, None)
            return now
        wall = max(said.as_of or 0 for said in quiet)
        if self.quiet.get(topic, (-1, 0))[0] != now:
            self.quiet[topic] = (now, wall)
        return now + wall - self.quiet[topic][1]

    def _silences(self, topic: str, now: int) -> None:
        due = []
        for (name, model), ends in self.data.items():
            gaps = [after - before for before, after in pairwise(ends)]
            limit = max(600 * SECOND, 3 * max(gaps, default=0))
            if ends[-1] - ends[0] < SETTINGS.learn_for:
                limit = max(limit, SETTINGS.learn_for)
            at = ends[-1] + limit
            if name == topic and at < now and (name, model) not in self.silent:
                due.append((at, model))
        for at, model in sorted(due):
            self.silent.add((topic, model))
            self.told.append(("no_data", topic, model, at))


def _seen(event: Told) -> tuple[object, ...] | None:
    if event.kind == "window":
        return (event.kind, event.topic, event.model, event.facts[0], event.facts[2])
    if event.kind in ("no_data", "data_back"):
        return (event.kind, event.topic, event.model, event.facts[1])
    return None


@settings(max_examples=300, deadline=None)
@given(SEEDS)
def test_it_tells_what_a_plain_fold_tells(seed: int) -> None:
    closings = random_closings(random.Random(seed), marks=True)
    plain = PlainFold()
    for each in closings:
        plain.close(each)
    fold = _fold()
    told = []
    for offset, record in enumerate(_plain_log(closings)):
        for event in cast("list[Told]", fold.apply(offset, record)):
            assert event.kind != "loss" or event.facts[2] == "offsets"
            told.append(_seen(event))
    assert [each for each in told if each is not None] == plain.told


def _with_repetitions(r: random.Random, closings: Sequence[Closing]) -> list[LogRecord]:
    """The same watermarks accepted in the same order, among what restarts and zombies repeat."""
    records: list[LogRecord] = []
    writers = ["w0"]
    for at, each in enumerate(closings):
        past = [
            one
            for one in closings[:at]
            if (one.topic, one.partition) == (each.topic, each.partition)
        ]
        if r.random() < 0.3:  # somebody publishes it, and dies before the watermark
            attempt = publish([each], r.choice(writers))[:-1]
            records += attempt[: r.randint(0, len(attempt))]
        if past and r.random() < 0.3:  # a restart from an earlier commit, or an owner of old
            again = past[r.randrange(len(past)) :]
            writers.append(f"w{len(writers)}")
            records += _again(r, again, writers[-1])
        writer = r.choice(writers)
        if past and r.random() < 0.3:  # published again in one watermark with what is new
            since = r.randrange(len(past))
            if past[since].through is not None and each.through != each.previous:
                records += publish([*past[since:], each], writer)
                continue
        records += publish([each], writer)
    return records


def _again(r: random.Random, closings: Sequence[Closing], writer: str) -> list[LogRecord]:
    records: list[LogRecord] = []
    moves = [one for one in closings if one.through != one.previous]
    if len(moves) > 1 and r.random() < 0.5:
        moves = moves[: r.randint(1, len(moves))]
    if moves and r.random() < 0.5:
        records += publish(moves, writer)
    else:
        records += [record for one in moves for record in publish([one], writer)]
    if r.random() < 0.3:  # dies while it publishes
        del records[r.randint(0, len(records)) :]
    return records


@settings(max_examples=300, deadline=None)
@given(SEEDS)
def test_repetitions_change_nothing(seed: int) -> None:
    r = random.Random(seed)
    closings = random_closings(r, marks=True)
    # A stalled mark is not published again by a restart, but a closing that was followed by one is
    # taken back by it; so is what depends on when a partition is waited for.
    closings = [each for each in closings if each.state != "stalled"]
    assert _events(_with_repetitions(r, closings)) == _events(_plain_log(closings))


@settings(max_examples=300, deadline=None)
@given(SEEDS)
def test_closings_joined_in_any_way_change_nothing(seed: int) -> None:
    r = random.Random(seed)
    closings = random_closings(r, marks=False)
    records: list[LogRecord] = []
    held: dict[tuple[str, int], list[Closing]] = {}
    for each in closings:
        mine = held.setdefault((each.topic, each.partition), [])
        mine.append(each)
        if r.random() < 0.4:
            records += publish(held.pop((each.topic, each.partition)), "w0")
    for mine in held.values():
        records += publish(mine, "w0")

    def by_topic(events: list[bytes]) -> dict[str, list[bytes]]:
        told: dict[str, list[bytes]] = {}
        for event in events:
            facts = msgspec.json.decode(event)
            if facts["kind"] != "loss":  # its time is that of the watermark that says so
                told.setdefault(facts["topic"], []).append(event)
        return told

    assert by_topic(_events(records)) == by_topic(_events(_plain_log(closings)))


@settings(max_examples=200, deadline=None)
@given(SEEDS)
def test_a_restored_fold_goes_on_as_if_it_had_never_stopped(seed: int) -> None:
    r = random.Random(seed)
    records = _with_repetitions(r, random_closings(r, marks=True))
    other = msgspec.structs.replace(SETTINGS, min_records=7)
    switch = log.SettingsRecord(1, "w0", log.settings_digest(other), other)
    records.insert(r.randint(0, len(records)), switch)
    messages: dict[bytes, bytes] = {}
    first = _fold()
    later: list[bytes] = []
    stops = sorted(r.sample(range(len(records) + 1), min(3, len(records))))
    at = 0
    for stop in stops:
        later += _events(records[:stop], first, at)
        messages.update(first.snapshot(stop))
        first, at = Fold.restore("app", messages, judges=FakeJudges())
        assert at == stop
    later += _events(records, first, at)
    assert later == _events(records)


@settings(max_examples=50, deadline=None)
@given(SEEDS)
def test_nothing_that_waits_is_kept_for_ever(seed: int) -> None:
    r = random.Random(seed)
    closings = random_closings(r, marks=False)
    fold = _fold()
    records = _with_repetitions(r, closings)
    _events(records, fold)
    count = {each.topic: each.partitions for each in closings}
    done = {(each.topic, each.partition): each.through for each in closings}
    # Every partition closes two more windows, told by one worker: whatever others left is let go.
    for topic, partitions in count.items():
        for partition in range(partitions):
            previous = done.get((topic, partition))
            for through in (10**6 * W, (10**6 + 1) * W):
                last = Closing(topic, partition, partitions, previous, through, through)
                for offset, record in enumerate(publish([last], "w0"), fold.next_offset):
                    fold.apply(offset, record)
    assert fold.waiting_bytes == 0


@pytest.mark.parametrize("kind", [ProfileRecord, WatermarkRecord])
def test_the_logs_tried_have_every_kind_of_record(kind: type) -> None:
    closings = random_closings(random.Random(5), marks=True)
    assert any(isinstance(record, kind) for record in _plain_log(closings))
