from __future__ import annotations

import zlib
from dataclasses import replace

import numpy as np
import pytest

from consumer import closings
from consumer.batch import RecordKey
from consumer.closings import (
    Closing,
    Place,
    WindowProfile,
    combine,
    log_records,
    mark_records,
)
from consumer.log import (
    LogRecord,
    Lost,
    ProfileRecord,
    WatermarkRecord,
    decode,
    encode,
    log_partition,
)
from sketches import codec
from sketches.profile import profile_table
from tests.reference_borders import Record
from tests.stage_batches import table_of

PLACE = Place("w1", "clicks", 3, 8, 10, 4)


def made(model: str, end: int, records: int = 3, features: int = 1) -> WindowProfile:
    rows = [
        Record(i, 0, 0, features=tuple((f"f{n:03}", i + 0.5) for n in range(features)))
        for i in range(records)
    ]
    profile = replace(profile_table(table_of(rows)), late=1, clock_ahead=2, rejects={"syntax": 4})
    return WindowProfile(RecordKey(model, "1", "eu"), end, profile, 5, 9)


def closing(*profiles: WindowProfile, previous: int | None = 10, through: int = 20) -> Closing:
    return Closing("clicks", 3, previous, through, 100, 50, profiles, {"models": 2})


def split(
    told: list[tuple[int, bytes, LogRecord]],
) -> tuple[list[ProfileRecord], list[WatermarkRecord]]:
    profiles = [record for _, _, record in told if isinstance(record, ProfileRecord)]
    marks = [record for _, _, record in told if isinstance(record, WatermarkRecord)]
    assert [record for _, _, record in told] == [*profiles, *marks]
    return profiles, marks


def test_profiles_come_first_then_a_watermark_for_every_partition() -> None:
    told = log_records(closing(made("a", 20), made("b", 20)), PLACE)
    profiles, marks = split(told)
    assert [record.model for record in profiles] == ["a", "b"]
    assert [number for number, _, _ in told[-4:]] == [0, 1, 2, 3]
    assert all(mark.through == 20 and mark.previous == 10 for mark in marks)
    assert [decode(encode(record)) for _, _, record in told] == [record for _, _, record in told]


def test_a_watermark_says_how_many_profiles_its_partition_got_and_their_digest() -> None:
    told = log_records(closing(*(made(f"m{n}", 20) for n in range(12))), PLACE)
    _, marks = split(told)
    for number, mark in enumerate(marks):
        payloads = [r.payload for at, _, r in told if at == number and isinstance(r, ProfileRecord)]
        assert mark.profiles == len(payloads)
        assert mark.digest == zlib.crc32(b"".join(payloads))
    assert sum(mark.profiles for mark in marks) == 12


def test_everything_about_a_model_goes_to_one_partition_under_its_key() -> None:
    told = log_records(closing(made("a", 10), made("a", 20)), PLACE)
    assert {number for number, _, _ in told[:-4]} == {log_partition("clicks", "a", 4)}
    assert {key for _, key, _ in told[:-4]} == {b"clicks\0a"}


def test_a_profile_record_names_its_window_its_key_and_its_offsets() -> None:
    profiles, _ = split(log_records(closing(made("a", 20)), PLACE))
    (one,) = profiles
    assert (one.writer, one.topic, one.partition, one.end) == ("w1", "clicks", 3, 20)
    assert (one.model, one.version, one.segment, one.part, one.parts) == ("a", "1", "eu", 0, 1)
    assert (one.first, one.last) == (5, 9)
    assert codec.decode([one.payload]).records == 3


def test_a_large_profile_goes_in_parts_that_are_all_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(closings, "encode_all", lambda held: codec.encode_all(held, 1_000))
    big = made("a", 20, records=40, features=20)
    profiles, marks = split(log_records(closing(big), PLACE))
    assert len(profiles) > 1
    assert [one.part for one in profiles] == list(range(len(profiles)))
    assert {one.parts for one in profiles} == {len(profiles)}
    assert sum(mark.profiles for mark in marks) == len(profiles)
    assert codec.decode([one.payload for one in profiles]).records == 40


def test_a_watermark_adds_up_what_its_windows_counted() -> None:
    _, marks = split(log_records(closing(made("a", 20), made("b", 20)), PLACE))
    one = marks[0]
    assert (one.records, one.rejects, one.late, one.clock_ahead) == (6, {"syntax": 8}, 2, 4)
    assert (one.start, one.closed_at, one.limited) == (50, 100, {"models": 2})
    assert (one.window, one.partitions, one.state, one.as_of) == (10, 8, "active", None)


def test_profiles_of_few_records_tell_only_counts_and_coarse_bins() -> None:
    told = log_records(closing(made("a", 20, 2), made("b", 20, 3)), PLACE, min_records_shown=3)
    hidden, shown = (codec.decode([one.payload]) for one in split(told)[0])
    assert hidden.numbers.histogram.scale.tolist() == [-2, -2]
    assert hidden.numbers.histogram.count.tolist() == [1, 1]
    assert np.isnan(hidden.numbers.maximum[0])
    assert (hidden.records, hidden.late, hidden.rejects) == (2, 1, {"syntax": 4})
    assert hidden.kinds.tolist() == [[0, 0, 2, 0, 0, 0, 0]]
    assert shown.numbers.maximum.tolist() == [2.5]


def test_closings_share_a_watermark() -> None:
    first = closing(made("a", 20))
    second = replace(
        closing(made("a", 40), previous=20, through=40), closed_at=120, start=100, idle=True
    )
    both = combine([first, second])
    assert (both.previous, both.through, both.closed_at, both.start) == (10, 40, 120, 50)
    assert [each.end for each in both.profiles] == [20, 40]
    assert both.limited == {"models": 4}
    assert both.idle
    assert combine([first]) == first


def test_only_closings_that_follow_one_another_are_combined() -> None:
    with pytest.raises(ValueError, match="does not follow"):
        combine([closing(), closing(previous=30, through=40)])
    with pytest.raises(ValueError, match="no closings"):
        combine([])


def test_a_mark_closes_nothing() -> None:
    told = mark_records(PLACE, 20, 100, state="idle", as_of=7, lost=(Lost(1, 3),))
    profiles, marks = split(told)
    assert not profiles
    assert len(marks) == 4
    one = marks[0]
    assert (one.previous, one.through, one.closed_at, one.profiles) == (20, 20, 100, 0)
    assert (one.state, one.as_of, one.lost) == ("idle", 7, (Lost(1, 3),))


def test_a_partition_that_never_held_a_record_can_be_idle() -> None:
    one = split(mark_records(PLACE, None, 0, state="idle", as_of=7))[1][0]
    assert (one.previous, one.through, one.closed_at) == (None, None, 0)
