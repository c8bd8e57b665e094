from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sketches.expectation import VOLUME, Expectation
from sketches.rates import HOUR, Rates, by_hour
from sketches.table import FloatArray

WEEK = 168 * HOUR
START = 2_800 * WEEK


def usual(hour: int) -> int:
    """Records of an hour: almost none at night, fewer at weekends."""
    busy = 40.0 if hour % 168 >= 120 else 60.0
    return round(busy * max(0.02, math.sin(math.pi * (hour % 24 - 5) / 18)))


def residuals(weeks: int, least: int = 100, drop: float = 1.0) -> FloatArray:
    """What blocks of so many records in hourly windows were beyond what was expected of them."""
    expectation, found = Expectation(4, Rates()), []
    start, windows = START, []
    for hour in range(weeks * 168):
        now = START + hour * HOUR
        after = 1.0 if hour < (weeks - 1) * 168 else drop
        windows.append((now, now + HOUR, round(usual(hour) * after)))
        records = sum(count for _, _, count in windows)
        if records < least:
            continue
        end = now + HOUR
        value = math.log(records / ((end - start) / 1e6))
        span = by_hour(start, end, windows)
        forecasts = expectation.forecasts((start + end) // 2, 0, span)
        if hour >= (weeks - 1) * 168:
            found.append(value - forecasts[:, VOLUME])
        else:
            expectation.add(np.array([value, 0.0, 0.0, 0.0]), np.ones(4))
        start, windows = end, []
    return np.array(found)


def test_nights_that_blocks_join_are_no_loss_of_traffic() -> None:
    level, day, week = np.abs(residuals(5)).max(axis=0).tolist()
    assert week < 0.2  # what an hour is drawn toward the same hour of other days
    assert day < 0.5
    assert level > 1.0


def test_half_of_the_traffic_is_seen_as_half() -> None:
    week = residuals(5, drop=0.5)[:, 2]
    assert np.median(week) == pytest.approx(math.log(0.5), abs=0.1)
    assert week[1:5].max() < -0.5  # the first one began before


def test_bursts_are_no_rise_of_traffic() -> None:
    random, rates, found = np.random.default_rng(1), Rates(), []
    for number in range(4_000):
        start = START + number * HOUR // 4
        span = by_hour(start, start + HOUR // 4, [(start, start + HOUR // 4, 100)])
        records = 100 * math.exp(random.normal())
        value = math.log(records / 900)
        for hour in [each for each in rates.waiting() if each < start // HOUR]:
            rates.learn(hour)
        found.append(value - rates.forecasts(span)[0])
        rates.add([each._replace(records=records) for each in span], value)
    assert np.mean(found[2_000:]) == pytest.approx(0.0, abs=0.1)


@given(
    st.integers(0, 10 * HOUR),
    st.lists(st.tuples(st.integers(1, 5 * HOUR), st.integers(0, 1_000)), min_size=1, max_size=8),
)
def test_no_record_and_no_time_is_lost_between_hours(
    start: int, windows: list[tuple[int, int]]
) -> None:
    held, now = [], start
    for length, count in windows:
        held.append((now, now + length, count))
        now += length
    parts = by_hour(start, now, held)
    assert sum(part.records for part in parts) == pytest.approx(sum(c for _, c in windows))
    assert sum(part.time for part in parts) == pytest.approx((now - start) / HOUR)
    assert all(0 < part.time <= 1 and abs(part.middle) < 0.5 for part in parts)


def test_state_round_trips_and_what_is_left_out_is_not_learned() -> None:
    rates = Rates()
    for hour in range(30):
        start = START + hour * HOUR
        rates.add(by_hour(start, start + HOUR, [(start, start + HOUR, 60 + hour)]), 0.5)
        if hour < 25:
            rates.learn(start // HOUR)
    again = Rates.restore(rates.state())
    span = by_hour(START, START + 3 * HOUR, [])
    assert again.forecasts(span).tolist() == rates.forecasts(span).tolist()
    assert again.state() == rates.state()
    again.leave_out(START + 27 * HOUR)
    assert again.waiting() == [START // HOUR + hour for hour in (25, 26)]
    before = again.forecasts(span)
    again.move(math.log(2))
    assert again.forecasts(span) - before == pytest.approx(np.full(3, math.log(2)))
