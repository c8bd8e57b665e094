from __future__ import annotations

import pytest

from consumer.batch import RecordKey
from consumer.borders import BorderRule
from consumer.closings import combine
from consumer.commit_state import BorderSettingsChanged, CommitState, IdleDecision
from consumer.profile_stage import PartitionProfiler
from consumer.settings import Limits
from sketches.codec import encode
from sketches.profile import CHUNK, ProfileRules
from tests.reference_borders import Record
from tests.stage_batches import batch_of

S = 1_000_000
BORDERS: dict[str, str | int] = {"window": 10 * S, "lateness": 5 * S}


def begin(
    offset: int = 0,
    state: CommitState | None = None,
    borders: dict[str, str | int] = BORDERS,
    limit: int = 1000,
) -> PartitionProfiler:
    rule = BorderRule(int(borders["window"]), int(borders["lateness"]), limit)
    return PartitionProfiler("t", 0, rule, lambda model: ProfileRules(), offset, state, borders)


def at(*times: float, first: int = 0, **named: object) -> list[Record]:
    return [
        Record(first + row, int(time * S), int(time * S), features=(("x", float(row)),), **named)  # type: ignore[arg-type]
        for row, time in enumerate(times)
    ]


def again(part: PartitionProfiler) -> PartitionProfiler:
    """A new owner, from what this one commits."""
    offset, state = part.commit_state()
    return begin(offset, CommitState.from_metadata(state.to_metadata()))


def test_closings_follow_one_another() -> None:
    part = begin(7)
    part.add(batch_of(at(100, 116, 131, first=7)))
    told = [(c.previous, c.through, c.closed_at, c.start) for c in part.take()]
    assert told == [(None, 90 * S, 8, 7), (90 * S, 110 * S, 9, 8), (110 * S, 120 * S, 10, 9)]
    assert not part.has_closings


def test_rejects_count_under_the_model_given_without_version_and_segment() -> None:
    part = begin()
    records = [*at(100, 101), Record(2, 102 * S, 1, ("m", "2", "eu"), reject="syntax")]
    part.add(batch_of(records))
    part.drain(3)
    (each,) = part.take()[-1].profiles
    assert each.key == RecordKey("m", "", "")
    assert (each.profile.records, each.profile.rejects) == (2, {"syntax": 1})
    assert (each.first, each.last) == (0, 2)


def test_profiles_are_sorted_by_window_then_key() -> None:
    part = begin()
    keys = [("b", "", ""), ("a", "2", ""), ("a", "1", "")]
    records = [Record(n, t * S, t * S, k) for n, (t, k) in enumerate(
        (t, k) for t in (100, 112) for k in keys)]  # fmt: skip
    part.add(batch_of(records))
    part.drain(6)
    told = [(each.end, *each.key) for each in part.take()[-1].profiles]
    assert told == sorted(told)
    assert len(told) == 6


def test_a_window_of_many_records_is_profiled_as_they_come() -> None:
    part = begin()
    many = 3 * CHUNK + 10
    for first in range(0, many, 5_000):
        part.add(batch_of(at(*[100.0] * min(5_000, many - first), first=first)))
    part.drain(many)
    (each,) = part.take()[-1].profiles
    assert each.profile.records == many


def test_the_commit_is_at_the_oldest_record_of_an_open_window() -> None:
    part = begin()
    part.add(batch_of(at(100, 112, 105, 121)))
    part.take()
    offset, state = part.commit_state()
    assert (offset, state.closed_through, state.closed_at) == (1, 110 * S, 4)
    part.drain(6)
    part.take()
    offset, state = part.commit_state()
    assert (offset, state.closed_through, state.closed_at) == (6, 130 * S, 6)


def test_the_commit_covers_only_what_was_taken() -> None:
    part = begin()
    part.add(batch_of(at(100)))
    part.take()
    before = part.commit_state()
    part.add(batch_of(at(500, first=1)))
    assert part.commit_state() == before
    part.take()
    assert part.commit_state()[1].closed_through == 490 * S


def test_an_idle_decision_closes_every_open_window() -> None:
    part = begin()
    part.add(batch_of(at(100, 112)))
    part.take()
    decision = part.propose_idle(5)
    assert decision == IdleDecision(5, 120 * S)
    want = CommitState(1, 100 * S, 2, BORDERS, pending=decision)
    assert part.commit_state(decision) == (0, want)
    part.decide(decision)
    (closing,) = part.take()
    assert (closing.through, closing.closed_at, closing.idle) == (120 * S, 5, True)
    assert [each.end for each in closing.profiles] == [110 * S, 120 * S]
    assert part.commit_state()[0] == 5


def test_nothing_is_decided_when_nothing_is_open() -> None:
    assert begin().propose_idle(0) is None
    part = begin()
    part.add(batch_of(at(100)))
    part.drain(1)
    assert part.propose_idle(1) is None


def test_until_it_is_published_a_decision_stays_in_the_commit() -> None:
    part = begin()
    part.add(batch_of(at(100)))
    part.take()
    decision = part.propose_idle(1)
    assert decision is not None
    part.decide(decision)
    assert part.commit_state()[1].pending == decision
    with pytest.raises(ValueError, match="publish"):
        part.commit_state(IdleDecision(2, 200 * S))
    part.take()
    assert part.commit_state()[1].pending is None


def test_a_decision_is_void_once_records_came() -> None:
    part = begin()
    part.add(batch_of(at(100)))
    part.take()
    decision = part.propose_idle(1)
    assert decision is not None
    part.add(batch_of(at(101, first=1)))
    with pytest.raises(ValueError, match="position is 2"):
        part.decide(decision)


@pytest.mark.parametrize("by", ["the next record", "the position", "a gap in the offsets"])
def test_a_restart_acts_on_a_decision_where_it_was_made(by: str) -> None:
    part = begin()
    part.add(batch_of(at(100, 112)))
    part.take()
    decision = part.propose_idle(4)  # two offsets of transaction markers follow the records
    offset, state = part.commit_state(decision)
    part = begin(offset, state)
    assert part.pending == decision
    if by == "the next record":
        part.add(batch_of(at(100, 112) + at(113, first=4)))
    else:
        part.add(batch_of(at(100, 112)))
        assert not part.has_closings
        if by == "the position":
            part.reached(4)
        else:
            part.add(batch_of(at(113, first=9)))
    (closing,) = part.take()
    assert (closing.through, closing.closed_at, closing.idle) == (120 * S, 4, True)
    assert sum(each.profile.records for each in closing.profiles) == 2
    assert part.open_windows == (by != "the position")


def test_a_restart_skips_what_was_counted() -> None:
    part = begin()
    part.add(batch_of(at(100, 112, 105, 118, 109)))
    part.take()
    part = again(part)
    assert part.position == 1
    part.add(batch_of(at(112, 105, 118, 109, first=1)))
    part.drain(5)
    (closing,) = part.take()
    (each,) = closing.profiles
    assert (each.end, each.profile.records, each.profile.late) == (120 * S, 3, 1)
    assert (each.first, each.last) == (1, 4)


def test_other_windows_are_refused_while_one_is_open_and_fine_after_a_drain() -> None:
    other: dict[str, str | int] = {"window": 60 * S, "lateness": 5 * S}
    part = begin()
    part.add(batch_of(at(100, 112)))
    part.take()
    offset, state = part.commit_state()
    with pytest.raises(BorderSettingsChanged, match="window was 10s, is 1min"):
        begin(offset, state, other)
    part.drain(2)
    part.take()
    part = begin(*part.commit_state(), other)
    part.add(batch_of(at(113, 125, first=2)))
    part.drain(4)
    closing = part.take()[-1]
    assert [(each.end, each.profile.records) for each in closing.profiles] == [(180 * S, 2)]
    assert closing.previous == 120 * S


def test_offsets_that_go_back_are_refused() -> None:
    part = begin()
    part.add(batch_of(at(100, 101)))
    with pytest.raises(ValueError, match="offset 1 comes after 1"):
        part.add(batch_of(at(100, first=1)))


def test_limits_are_told_with_the_next_closing() -> None:
    part = begin(limit=1)
    part.add(batch_of(at(100), {"models": 2}))
    part.add(batch_of(at(111, first=1), {"models": 1}))
    assert [dict(closing.limited) for closing in part.take()] == [
        {"models": 2, "open_windows": 1},
        {"models": 1, "open_windows": 1},
    ]


def test_an_empty_batch_is_fine() -> None:
    part = begin()
    part.add(batch_of([]))
    assert part.position == 0


def test_models_over_the_limit_count_as_other_whatever_the_batches() -> None:
    limits = Limits(models=2)
    records = [
        Record(
            row,
            100 * S + row,
            100 * S + row,
            (f"m{row * row % 7}", "1", ""),
            features=(("x", float(row)),),
        )
        for row in range(40)
    ]

    def profiles(cut: int) -> list[tuple[str, bytes]]:
        rule = BorderRule(10 * S, 5 * S)
        part = PartitionProfiler("t", 0, rule, lambda _: ProfileRules(), 0, None, BORDERS, limits)
        for start in range(0, len(records), cut):
            part.add(batch_of(records[start : start + cut]))
        part.drain(len(records))
        closing = combine(part.take())
        assert closing.limited == {"models": sum(row * row % 7 > 1 for row in range(40))}
        return [(each.key.model, encode(each.profile)[0]) for each in closing.profiles]

    whole = profiles(40)
    assert [model for model, _ in whole] == ["m0", "m1", "other"]
    assert all(profiles(cut) == whole for cut in (1, 3, 7, 20))
