"""Given baselines on their way through the log."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consumer.fold import Fold
from consumer.given_baselines import (
    ArrivingBaselines,
    kept_messages,
    put_together,
    to_records,
    whole_ones,
)
from consumer.judging import MonitorJudges
from consumer.log import FORMAT_VERSION, BaselineRecord, LogFormatError, decode, encode
from sketches.detection import DetectionSettings
from sketches.given import BaselineFormatError, GivenBaseline, to_bytes
from tests.fold_logs import closing, publish
from tests.streams import normal, windows

SETTINGS = DetectionSettings()
BASELINE = GivenBaseline("m", "", "", ("a.csv",), next(windows({"x": normal}, 1))[1])


def records(part_bytes: int = 100) -> list[BaselineRecord]:
    return to_records(BASELINE, "t", "w", part_bytes)


def new_fold() -> Fold:
    return Fold("app", SETTINGS, judges=MonitorJudges("app"))


@given(part_bytes=st.integers(20, 1_000), order=st.randoms(use_true_random=False))
@settings(max_examples=40)
def test_a_baseline_cut_into_records_and_mixed_up_is_put_together(
    part_bytes: int, order: object
) -> None:
    parts = [decode(encode(each)) for each in records(part_bytes)]
    order.shuffle(parts)  # type: ignore[attr-defined]
    arriving = ArrivingBaselines()
    arrived = [arriving.add(each) for each in parts]  # type: ignore[arg-type]
    assert arrived[:-1] == [None] * (len(parts) - 1)
    assert arrived[-1] is not None
    assert arrived[-1].baseline is not None
    assert to_bytes(arrived[-1].baseline) == to_bytes(BASELINE)
    assert arriving.waiting() == []


def test_one_too_large_for_the_log_is_refused_with_a_remedy() -> None:
    with pytest.raises(BaselineFormatError, match="can be published: build it of a part"):
        records(part_bytes=2)


def test_the_fold_takes_it_once_all_parts_are_there_and_after_a_snapshot_between_them() -> None:
    parts = records()
    assert len(parts) > 2
    fold = new_fold()
    for offset, record in enumerate(parts[:-1]):
        fold.apply(offset, record)
    assert fold.take_given() == []
    fold, at = Fold.restore("app", dict(fold.snapshot(len(parts) - 1)), judges=MonitorJudges("app"))
    fold.apply(at, parts[-1])
    (said,) = fold.take_given()
    assert (said.id, said.topic, said.model, said.since, said.why) == (
        *(BASELINE.id, "t", "m", None, ""),
    )
    messages = dict(fold.snapshot(len(parts)))
    kept = [decode(value) for key, value in messages.items() if b"/baseline/" in key]
    assert all(isinstance(each, BaselineRecord) for each in kept)
    (held,) = whole_ones(kept).values()  # type: ignore[arg-type]
    assert put_together(held).id == BASELINE.id
    assert not [key for key, _ in fold.snapshot(len(parts)) if b"/baseline/" in key]


def test_the_window_from_which_it_holds_is_kept() -> None:
    fold = new_fold()
    log = publish([closing(None, 10_000_000, 1), closing(10_000_000, 20_000_000, 2)], "w")
    for offset, record in enumerate([*log, *records()]):
        fold.apply(offset, record)
    assert [each.since for each in fold.take_given()] == [20_000_000]
    kept = [value for key, value in fold.snapshot(100) if b"/baseline/" in key]
    assert {getattr(decode(value), "since", 0) for value in kept} == {20_000_000}


def test_one_that_is_damaged_is_told_and_changes_nothing() -> None:
    fold = new_fold()
    parts = records()
    wrong = bytearray(parts[0].payload)
    wrong[60] ^= 1
    fold.apply(0, msgspec.structs.replace(parts[0], payload=bytes(wrong)))
    for offset, record in enumerate(parts[1:], start=1):
        fold.apply(offset, record)
    (said,) = fold.take_given()
    assert "build it again" in said.why
    assert not [key for key, _ in fold.snapshot(100) if b"/baseline/" in key]


def test_a_publication_given_up_halfway_is_forgotten_in_time() -> None:
    arriving = ArrivingBaselines()
    for writer in range(10):
        arriving.add(msgspec.structs.replace(records()[0], writer=str(writer)))
    assert len(arriving.waiting()) <= 4


def test_a_release_that_does_not_know_a_kind_of_record_can_skip_it() -> None:
    newer = msgspec.msgpack.encode({"type": "a kind to come", "v": FORMAT_VERSION, "x": 1})
    with pytest.raises(LogFormatError, match="not a record of the profiles log"):
        decode(newer)


def test_keys_of_kept_ones_do_not_meet_those_of_snapshots() -> None:
    keys = [key for key, _ in kept_messages(records(), 3, None)]
    assert keys[0] == f"p3/baseline/{BASELINE.id}/0".encode()
    assert len(set(keys)) == len(keys)
