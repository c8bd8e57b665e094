from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consumer.batch import NO_TIME
from consumer.borders import (
    AHEAD,
    SKIPPED,
    Assigned,
    BorderRule,
    BorderState,
    Clock,
    Crossing,
    advance,
    close_through,
)
from tests.reference_borders import Record, Reference

S = 1_000_000
RULE = BorderRule(10 * S, 5 * S)
DAY = 86_400 * S
BEGIN = BorderState()


def run(
    records: list[tuple[float, float | None]],
    state: BorderState = BEGIN,
    rule: BorderRule = RULE,
    first: int = 0,
) -> tuple[Assigned, BorderState]:
    """Records as (broker timestamp, event time), in seconds."""
    return advance(
        rule,
        state,
        np.arange(first, first + len(records), dtype=np.int64),
        np.array([int(stamp * S) for stamp, _ in records], dtype=np.int64),
        np.array([NO_TIME if t is None else int(t * S) for _, t in records], dtype=np.int64),
    )


def seconds(values: np.ndarray) -> list[float]:
    return [value / S for value in values.tolist()]


def test_a_window_ends_before_its_border() -> None:
    assigned, _ = run([(100, 100), (100, 109.999999), (100, 110)])
    assert seconds(assigned.ends) == [110, 110, 120]


def test_times_before_1970_have_windows_too() -> None:
    assigned, _ = run([(0, -1), (0, -10), (0, -10.000001)])
    assert seconds(assigned.ends) == [0, 0, 0]
    assert assigned.late.tolist() == [False, False, True]


def test_the_first_record_closes_what_its_watermark_has_passed() -> None:
    assigned, state = run([(104, 104)])
    assert assigned.crossings == (Crossing(90 * S, 1),)
    assert (state.closed, state.closed_at) == (90 * S, 1)


def test_a_window_closes_when_the_watermark_reaches_its_end() -> None:
    _, state = run([(100, 100), (105, 105)])
    assert run([(114.999999, 114.999999)], state, first=1)[0].crossings == ()
    assigned, _ = run([(115, 115)], state, first=1)
    assert assigned.crossings == (Crossing(110 * S, 2),)


def test_a_leap_closes_everything_at_once() -> None:
    _, state = run([(100, 100)])
    assigned, _ = run([(500, 500)], state, first=1)
    assert assigned.crossings == (Crossing(490 * S, 2),)


def test_a_late_record_joins_the_earliest_window_not_closed() -> None:
    assigned, _ = run([(100, 100), (155, 155), (156, 101), (156, 149)])
    assert seconds(assigned.ends) == [110, 160, 160, 160]
    assert assigned.late.tolist() == [False, False, True, True]


def test_a_record_far_ahead_of_the_broker_goes_by_the_broker_and_does_not_move_the_rest() -> None:
    assigned, state = run([(100, 100), (130, 130 + AHEAD / S + 1), (101, 101)])
    assert seconds(assigned.ends) == [110, 140, 110]
    assert assigned.ahead.tolist() == [False, True, False]
    assert assigned.crossings == (Crossing(90 * S, 1),)
    assert state.moved == 101 * S


def test_five_minutes_ahead_is_believed() -> None:
    assigned, state = run([(100, 100 + AHEAD / S)])
    assert not assigned.ahead.any()
    assert state.moved == 400 * S


def test_windows_close_even_when_every_record_is_ahead() -> None:
    # A producer that writes local time as UTC.
    assigned, _ = run([(stamp, stamp + 7200) for stamp in range(1000, 2000, 5)])
    assert assigned.ahead.all()
    assert len(assigned.crossings) > 90
    assert assigned.crossings[-1].through == 1690 * S  # the last is at 1995, less 5 min and 5 s


def test_a_record_without_a_time_goes_by_the_broker() -> None:
    assigned, state = run([(100, 99), (112, None)])
    assert seconds(assigned.ends) == [100, 120]
    assert state.moved == 112 * S


def test_in_a_backfill_a_record_without_a_time_stays_with_its_neighbours() -> None:
    ago = DAY / S
    assigned, state = run([(ago + 100, 100), (ago + 101, None), (ago + 101, ago * 3), (ago, 103)])
    assert seconds(assigned.ends) == [110, 110, 110, 110]
    assert assigned.ahead.tolist() == [False, False, True, False]
    assert state.moved == 103 * S


def test_a_timestamp_that_is_not_known_makes_nothing_ahead() -> None:
    assigned, _ = run([(-0.000001, 100)])
    assert not assigned.ahead.any()


def test_the_limit_of_open_windows_shortens_the_lateness() -> None:
    rule = BorderRule(10 * S, 1000 * S, open_windows=3)
    assigned, state = run([(0, 0), (10, 10), (20, 20), (30, 30), (30, 5)], rule=rule)
    # [10, 20), [20, 30) and [30, 40) are open.
    assert state.closed == 10 * S
    assert assigned.limited == 4
    assert assigned.late.tolist() == [False] * 4 + [True]
    assert seconds(assigned.ends)[-1] == 20


def test_a_limit_that_is_not_reached_counts_nothing() -> None:
    assigned, _ = run([(stamp, stamp) for stamp in range(100)])
    assert assigned.limited == 0


def test_after_a_restart_what_was_published_is_skipped() -> None:
    state = BorderState(110 * S, 5, Clock(119 * S, 0))
    records: list[tuple[float, float | None]] = [(120, 101), (120, 112), (120, 109), (120, 109)]
    assigned, after = run(records, state, first=2)
    assert assigned.ends.tolist() == [SKIPPED, 120 * S, SKIPPED, 120 * S]
    assert assigned.late.tolist() == [False, False, False, True]
    assert after.closed_at == 5


def test_after_an_idle_decision_records_of_its_windows_are_late() -> None:
    _, state = run([(100, 100)])
    assigned, _ = run([(101, 101)], close_through(state, 110 * S, 1), first=1)
    assert seconds(assigned.ends) == [120]
    assert assigned.late.all()


def test_a_border_on_another_grid_is_followed_by_whole_windows() -> None:
    # Drained with windows of 10 s, then run with windows of 60 s.
    state = BorderState(70 * S, 5)
    assigned, _ = run([(75, 75), (75, 10)], state, BorderRule(60 * S, 5 * S), first=5)
    assert seconds(assigned.ends) == [120, 120]
    assert assigned.late.tolist() == [False, True]


@pytest.mark.parametrize("time", [np.iinfo(np.int64).max, np.iinfo(np.int64).min + 1])
@pytest.mark.parametrize("stamp", [np.iinfo(np.int64).max, np.iinfo(np.int64).min, 0])
def test_absurd_times_do_not_overflow(time: int, stamp: int) -> None:
    with np.errstate(over="raise"):
        assigned, state = advance(
            RULE,
            BorderState(),
            np.arange(2, dtype=np.int64),
            np.array([stamp, stamp]),
            np.array([time, NO_TIME]),
        )
    assert abs(state.closed) < 2**61
    assert (np.abs(assigned.ends) < 2**61).all()


@st.composite
def streams(draw: st.DrawFn) -> list[Record]:
    backfill = draw(st.sampled_from([0, 0, 400 * S, 30 * DAY]))
    clock, records, offset = 1_000_000 * S, [], 0
    for _ in range(draw(st.integers(1, 60))):
        clock += draw(st.sampled_from([0, 0, 1, 1, 3, 30, 400])) * S
        offset += draw(st.sampled_from([1, 1, 1, 5]))
        time: int | None = clock - backfill - draw(st.sampled_from([0, 0, 1, 4, 25, 600])) * S
        kind = draw(st.sampled_from(["", "", "", "", "none", "ahead", "reject"]))
        if kind == "none":
            time = None
        elif kind == "ahead":
            time = clock + draw(st.sampled_from([299, 300, 301, 86_400])) * S
        records.append(Record(offset, clock, time, reject="r" if kind == "reject" else None))
    return records


@settings(max_examples=200, deadline=None)
@given(streams(), st.integers(1, 20), st.sampled_from([2, 4, 1000]), st.sampled_from([0, 5, 90]))
def test_batches_agree_with_one_record_at_a_time(
    records: list[Record], size: int, limit: int, lateness: int
) -> None:
    rule = BorderRule(10 * S, lateness * S, limit)
    reference = Reference(rule.window, rule.lateness, limit)
    for record in records:
        reference.feed(record)
    want = {
        one.record.offset: (end, one.late, one.ahead)
        for windows in (reference.windows, reference.open)
        for end, counted in windows.items()
        for one in counted
    }
    got, closings, state = {}, [], BorderState()
    for start in range(0, len(records), size):
        part = records[start : start + size]
        times = [NO_TIME if r.time is None or r.reject else r.time for r in part]
        assigned, state = advance(
            rule,
            state,
            np.array([r.offset for r in part], dtype=np.int64),
            np.array([r.timestamp for r in part], dtype=np.int64),
            np.array(times, dtype=np.int64),
        )
        closings += [tuple(crossing) for crossing in assigned.crossings]
        placed = zip(assigned.ends.tolist(), assigned.late, assigned.ahead, strict=True)
        for record, (end, late, ahead) in zip(part, placed, strict=True):
            got[record.offset] = (end, bool(late), bool(ahead))
    assert got == want
    assert closings == reference.closings
    assert len(reference.open) <= limit
