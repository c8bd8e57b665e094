"""One partition of the log, record by record."""

from __future__ import annotations

from typing import cast
from unittest.mock import patch

import msgspec

from alerts.commands import Command
from alerts.events import Heartbeat, Operator
from consumer import evidence
from consumer.evidence import LEVELS, SPANS, Evidence, OffsetRange
from consumer.fold import Fold
from consumer.log import CommandRecord, Lost, SettingsRecord, log_partition, settings_digest
from consumer.silence import LEAST, Silence
from sketches.detection import DetectionSettings
from tests.fold_logs import REJECTS, SECOND, Closing, FakeJudges, Told, W, closing, profile, publish

SETTINGS = DetectionSettings(learn_for=0)


def _fold(**named: int) -> Fold:
    return Fold("app", SETTINGS, judges=FakeJudges(), **named)


def _say(fold: Fold, *closings: Closing) -> list[Told]:
    told: list[Told] = []
    for each in closings:
        for record in publish([each], "w"):
            told += cast("list[Told]", fold.apply(fold.next_offset, record))
    return told


def _kinds(told: list[Told]) -> list[tuple[str, str]]:
    return [(event.kind, event.model) for event in told]


def test_models_of_a_window_are_judged_in_order_and_each_with_its_own_profiles() -> None:
    told = _say(
        _fold(),
        closing(None, W, 10, profile(W, "b"), profile(W, "a", version="2"), profile(W, "a")),
    )
    assert _kinds(told) == [("window", "a"), ("window", "b")]
    assert told[0].facts[2] == ((0, W, "", "", (b"x",), False), (0, W, "2", "", (b"x",), False))


def test_an_offset_applied_before_does_nothing() -> None:
    fold = _fold()
    records = publish([closing(None, W, 10, profile(W))], "w")
    for offset, record in enumerate(records):
        fold.apply(offset, record)
    assert fold.apply(1, records[1]) == []
    assert fold.next_offset == 2


def test_a_model_without_data_while_its_topic_goes_on() -> None:
    fold = _fold()
    hour = 360 * W
    told = _say(
        fold,
        closing(None, W, 10, profile(W, "a"), profile(W, "b")),
        closing(W, hour, 20, profile(hour, "b")),
        closing(hour, 2 * hour, 30, profile(2 * hour, "a"), profile(2 * hour, "b")),
    )
    # Both were silent for an hour, less its last window, in which one of them came back.
    assert _kinds(told[2:]) == [
        ("no_data", "a"),
        ("no_data", "b"),
        ("data_back", "b"),
        ("window", "b"),
        ("data_back", "a"),
        ("window", "a"),
        ("window", "b"),
    ]
    assert told[2].facts == (W, W + LEAST)
    assert told[6].facts == (W, 2 * hour - W)


def test_silence_goes_on_by_idle_marks() -> None:
    fold = _fold()
    wall = 1_000_000 * SECOND
    _say(fold, closing(None, W, 10, profile(W), state="idle", as_of=wall))
    marks = [
        closing(W, W, 10, state="idle", as_of=wall + minute * 60 * SECOND) for minute in range(12)
    ]
    told = [_say(fold, mark) for mark in marks]
    assert [len(each) for each in told] == [0] * 11 + [1]
    assert told[-1][0].facts == (W, W + LEAST)


def test_rejects_alone_are_no_data() -> None:
    fold = _fold()
    hour = 360 * W
    told = _say(
        fold,
        closing(None, W, 10, profile(W), profile(W, "r", REJECTS)),
        closing(W, hour, 20, profile(hour, payload=REJECTS)),
        closing(hour, 2 * hour, 30, profile(2 * hour, "r", REJECTS)),
    )
    assert _kinds(told[2:]) == [("no_data", "m"), ("window", "m"), ("window", "r")]


def test_usual_gaps_are_no_silence() -> None:
    silence = Silence(0, 0)
    assert silence.deadline(learn_for=W) == LEAST
    silence.data(1000 * SECOND)
    assert silence.deadline(learn_for=0) == 4000 * SECOND
    assert silence.deadline(learn_for=9000 * SECOND) == 10_000 * SECOND


def test_settings_hold_from_where_they_stand() -> None:
    fold = _fold()
    other = DetectionSettings(min_records=7, learn_for=0)
    _say(fold, closing(None, W, 10, profile(W)))
    plain = fold.snapshot(fold.next_offset)
    same = SettingsRecord(1, "w", settings_digest(SETTINGS), other)
    fold.apply(fold.next_offset, same)
    assert fold.settings == SETTINGS
    new = SettingsRecord(1, "w", settings_digest(other), other)
    fold.apply(fold.next_offset, new)
    assert fold.settings == other
    told = _say(fold, closing(W, 2 * W, 20, profile(2 * W)))
    before, _ = Fold.restore("app", dict(plain), judges=FakeJudges())
    assert told != _say(before, closing(W, 2 * W, 20, profile(2 * W)))


def test_a_limit_is_told_once_for_a_topic_and_so_are_lost_offsets() -> None:
    fold = _fold()
    told = _say(
        fold,
        closing(None, W, 10, limited=("models",), lost=(Lost(0, 4),)),
        closing(W, 2 * W, 20, limited=("segments", "models")),
    )
    assert [event.facts[:2] for event in told if event.kind == "limit"] == [
        ("models", W),
        ("segments", 2 * W),
    ]
    assert [event.facts[2] for event in told if event.kind == "loss"] == ["offsets"]


def test_what_every_partition_of_the_log_is_told_is_told_by_one() -> None:
    said = closing(None, W, 10, limited=("models",), lost=(Lost(0, 4),))
    told = [_say(_fold(partition=at, partitions=4), said) for at in range(4)]
    home = log_partition("t", "", 4)
    assert [len(each) for each in told] == [2 if at == home else 0 for at in range(4)]


def test_progress_of_a_topic() -> None:
    fold = _fold()
    two = {"partitions": 2}
    _say(fold, closing(None, 2 * W, 10, profile(2 * W), **two))
    assert fold.progress()["t"].missing == 1
    _say(fold, closing(None, W, 7, partition=1, **two))
    progress = fold.progress()["t"]
    assert (progress.folded, progress.slowest, progress.waiting) == (W, W, 1)
    assert progress.oldest == 2 * W
    assert progress.borders == {0: 2 * W, 1: W}
    assert progress.states == {0: "active", 1: "active"}
    assert fold.waiting_bytes == 1
    assert fold.repeated == 0


def test_a_window_of_another_length_after_a_drain() -> None:
    fold = _fold()
    _say(fold, closing(None, W, 10, profile(W), state="idle", as_of=0))
    records = publish([closing(W, 6 * W, 20, profile(6 * W))], "w")
    mark = msgspec.structs.replace(records[-1], window=6 * W)
    events = [*fold.apply(2, records[0]), *fold.apply(3, mark)]
    assert [cast("Told", event).facts[:2] for event in events] == [(6 * W, 6 * W)]


def test_evidence_is_bounded_by_count_and_forgets_the_oldest() -> None:
    with patch.object(evidence, "LEVELS", 4):
        found = Evidence()
        for at in range(5_000):
            found.add(at, at + 1, [(0, at, at)])
            assert sum(map(len, found.levels)) <= SPANS * 4
    (held,) = found.ranges(0, 5_000)
    assert held.stop == 5_000
    assert 5_000 - held.start >= SPANS * 8
    assert SPANS * LEVELS <= 256


def test_evidence_holds_all_offsets_of_a_stretch_and_few_before() -> None:
    held = Evidence()
    windows = 20_000
    for at in range(windows):
        held.add(at, at + 1, [(0, 10 * at, 10 * at + 9), (1, -1, -1)])
    assert sum(len(level) for level in held.levels) <= SPANS * 11
    for age in (1, 5, 32, 33, 100, 1000, 7777, windows):
        (found,) = held.ranges(windows - age, windows)
        assert found.partition == 0
        assert found.stop == 10 * windows
        first = 10 * (windows - age)
        assert first - 10 * (age // 15 + 1) <= found.start <= first
    assert held.ranges(windows - 3, windows - 2) == (
        OffsetRange(0, 10 * (windows - 3), 10 * (windows - 2)),
    )


HOUR = 3_600 * SECOND


def _beating(**named: int) -> Fold:
    settings = DetectionSettings(learn_for=0, heartbeat_every=HOUR)
    return Fold("app", settings, judges=FakeJudges(), **named)


def _beats(told: list[Told]) -> list[tuple[str | None, int]]:
    return [(event.time, event.models) for event in told if isinstance(event, Heartbeat)]


def test_heartbeats_come_at_whole_hours_however_closings_were_joined() -> None:
    end = 3 * HOUR + W
    apart = [
        closing(None, HOUR - W, 10, profile(HOUR - W, "a")),
        closing(HOUR - W, HOUR + W, 20, profile(HOUR + W, "b")),
        closing(HOUR + W, end, 30, profile(end, "a")),
    ]
    joined = [
        apart[0],
        closing(HOUR - W, end, 30, profile(HOUR + W, "b"), profile(end, "a")),
    ]
    told = _beats(_say(_beating(), *apart))
    assert told == _beats(_say(_beating(), *joined))
    assert told == [
        ("1970-01-01T01:00:00.000Z", 1),
        ("1970-01-01T02:00:00.000Z", 2),
        ("1970-01-01T03:00:00.000Z", 2),
    ]
    assert _beats(_say(_fold(), *apart)) == []


def test_a_restored_fold_goes_on_with_its_heartbeats() -> None:
    first = closing(None, HOUR + W, 10, profile(HOUR + W))
    second = closing(HOUR + W, 2 * HOUR + W, 20, profile(2 * HOUR + W))
    fold = _beating()
    _say(fold, first)
    kept = dict(fold.snapshot(fold.next_offset))
    other, _ = Fold.restore("app", kept, judges=FakeJudges())
    assert _say(other, second)[0] == _say(fold, second)[0]
    assert _beats(_say(_beating(), first, second)) == [("1970-01-01T02:00:00.000Z", 1)]


def _command(kind: str, id: str = "0" * 20, **named: object) -> CommandRecord:
    facts = {"id": id, "kind": kind, "at": 0, "by": "ann", "why": "", **named}
    return CommandRecord(1, msgspec.convert(facts, Command))


def test_every_partition_acts_on_a_command_one_tells_of_it_and_a_repetition_does_nothing() -> None:
    folds = [_fold(partition=number, partitions=3) for number in range(3)]
    told = []
    for fold in folds:
        _say(fold, closing(None, W, 10, profile(W, "a")))
        told.append(fold.apply(fold.next_offset, _command("silence")))
        assert fold.apply(fold.next_offset, _command("silence")) == []
    operators = [event for events in told for event in events if isinstance(event, Operator)]
    assert [event.command for event in operators] == ["silence"]
    acted = [event for events in told for event in events if isinstance(event, Told)]
    assert [event.kind for event in acted] == ["command"] * 3


def test_a_silence_holds_for_a_model_that_comes_later_until_it_is_ended() -> None:
    fold = _fold()
    fold.apply(fold.next_offset, _command("silence", match={"model": "late*"}))
    kept = dict(fold.snapshot(fold.next_offset))
    other, _ = Fold.restore("app", kept, judges=FakeJudges())
    chains = []
    for each in (fold, other, _fold()):
        (told,) = _say(each, closing(None, W, 10, profile(W, "later")))
        chains.append(told.chain)
    assert chains[0] == chains[1] != chains[2]
    ended = _fold()
    ended.apply(ended.next_offset, _command("silence", match={"model": "late*"}))
    ended.apply(ended.next_offset, _command("end", "1" * 20, ends="0" * 20))
    (told,) = _say(ended, closing(None, W, 10, profile(W, "later")))
    assert told.chain == chains[2]
