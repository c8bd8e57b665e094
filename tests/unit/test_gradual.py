"""Slow drift against the frozen reference: what rolls would take for the new normal."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from sketches.blocks import DAY
from sketches.budget import thresholds
from sketches.changed import Finding
from sketches.daily import DailyMeans
from sketches.expectation import CANDIDATES, Expectation
from sketches.gradual import WEEKLY
from sketches.rates import HOUR
from sketches.residuals import measure
from sketches.scales import Scales
from sketches.signals import Gates
from sketches.table import FloatArray
from sketches.watch import Watch

START = 20_006 * DAY  # a Monday, at midnight
LEARNED = 14  # days
SIGNALS = 4
RECORDS = 100
HARD = np.array([False, False, False, True])
GATES = Gates(np.ones(SIGNALS, dtype=bool), np.full((2, SIGNALS), 0.1), np.full((2, SIGNALS), 0.25))
LIMITS = thresholds(2.5, 0.5, 8, 7 * 24)

Move = Callable[[float], float]  # days under watch -> what is added to the first and last signal


def season(hour: int) -> float:
    return float(0.5 * np.sin(hour * np.pi / 12) - 0.5 * (hour // 24 % 7 >= 5))


def blocks(move: Move, days: int, seed: int) -> Iterator[tuple[int, FloatArray]]:
    random = np.random.default_rng(seed)
    for hour in range((LEARNED + days) * 24):
        values = random.normal(0, 0.1, SIGNALS) + season(hour)
        values[[0, 3]] += move(hour / 24 - LEARNED) if hour >= LEARNED * 24 else 0.0
        yield hour, values


def watched(move: Move, days: int, seed: int = 0, cut: int = -1) -> list[tuple[float, Finding]]:
    """(Days under watch, finding) of the weekly means; ``cut``: the hour of a restart."""
    both = np.ones(SIGNALS, dtype=bool)
    scales, expectation = Scales(len(CANDIDATES), both), Expectation(SIGNALS)
    found, watch = [], None
    for hour, values in blocks(move, days, seed):
        start = START + hour * HOUR
        if hour < LEARNED * 24:
            ways = values - expectation.forecasts(start + HOUR // 2, 0)
            ways[0] = values
            scales.add(ways, RECORDS)
            expectation.add(values, np.full(SIGNALS, float(RECORDS)))
            for way, day in ((1, 1), (2, 7)):
                if hour + 1 == day * 24:
                    scales.restart(way)
            continue
        if watch is None:
            expectation.settle()
            chosen = scales.chosen(expectation.choice)
            white, floor = np.ones(SIGNALS), np.full(SIGNALS, 0.01)
            shares = np.zeros(SIGNALS, dtype=bool)
            noise = measure(chosen, np.zeros(SIGNALS), white, floor, shares)
            watch = Watch(noise, expectation, both, HARD, (LIMITS, LIMITS), HOUR)
        if hour == cut:
            state = watch.state()
            watch = Watch.restore(state, (LIMITS, LIMITS))
            assert watch.state() == state
        step = watch.update(values, RECORDS, start, start + HOUR, GATES)
        found += [(hour / 24 - LEARNED, each) for each in step.found if each.detector == WEEKLY]
    return found


def creeping(day: float) -> float:
    return 0.15 * min(day / 21, 1.0)


def test_what_comes_too_slowly_for_windows_is_told_as_a_warning() -> None:
    found = watched(creeping, 35)
    assert found
    assert watched(creeping, 35, cut=(LEARNED + 23) * 24 + 5) == found  # nor does a restart matter
    day, first = found[0]
    assert {each.signal for _, each in found} == {0}  # the last one is hard
    assert 14 <= day <= 42
    assert first.direction == "up"
    assert not first.critical
    assert first.since is not None
    assert first.since <= first.onset <= START + (LEARNED + day) * DAY
    assert first.onset >= START + (LEARNED + day - 9) * DAY
    assert first.shift == pytest.approx(0.15, abs=0.06)
    assert first.score >= 1


def test_seasons_are_no_drift() -> None:
    assert not watched(lambda day: 0.0, 28, seed=1)


@pytest.mark.parametrize("size", [0.5, 3.0])
def test_what_was_told_at_once_and_is_over_or_settled_is_no_drift(size: float) -> None:
    assert not watched(lambda day: size * (4 <= day < 6), 14)
    assert not watched(lambda day: size * (day >= 2), 19)


def filled(
    values: Callable[[int], float], days: int, found: DailyMeans | None = None
) -> DailyMeans:
    """``days`` of hours of one signal, after those before."""
    held = DailyMeans(1) if found is None else found
    start = START // HOUR + (0 if found is None else 24 * LEARNED)
    for hour in range(days * 24):
        held.add(start + hour, np.array([10.0]), np.array([10.0 * values(hour // 24)]))
    return held


def test_a_week_is_compared_with_the_same_weekdays() -> None:
    def weekend(day: int) -> float:
        return -1.0 * (day % 7 >= 5)

    held = filled(weekend, LEARNED)
    held.add(START // HOUR + LEARNED * 24, np.zeros(1), np.zeros(1))  # closes the last day
    held.begin()
    assert held.week() is None
    filled(lambda day: weekend(day) + 0.25, 8, held)
    week = held.week()
    assert week is not None
    assert week.days.tolist() == [7]
    assert week.shift[0] == pytest.approx(0.25)
    assert week.deviation[1, 0] == pytest.approx(0, abs=1e-6)  # a week apart they are the same
    assert week.deviation[0, 0] > 0.1
    assert held.week() is None  # told once
    held.move(0, 0.25)
    filled(lambda day: 0.0, 0, held)
    assert DailyMeans.restore(held.state()).state() == held.state()


def test_a_given_level_is_compared_with_whole_weeks() -> None:
    held = DailyMeans(1)
    held.begin(np.array([2.0]))
    filled(lambda day: 1.0 + 0.5 * (day % 7 >= 5), 7, held)
    assert held.week() is None
    filled(lambda day: 0.0, 0, held)
    held.add(START // HOUR + 24 * (LEARNED + 7), np.array([10.0]), np.array([0.0]))
    week = held.week()
    assert week is not None
    assert week.shift[0] == pytest.approx(1.0 + 0.5 * 2 / 7 - 2.0)


def inflation(rho: float, days: int) -> float:
    """What days with this correlation to the one before make of the noise of long means."""
    random, held, value = np.random.default_rng(3), DailyMeans(1), 0.0
    for hour in range(days * 24):
        if hour % 24 == 0:
            value = rho * value + random.normal()
        held.add(hour, np.ones(1), np.array([value - (hour // 24 % 7 >= 5)]))
    return float(held._inflation()[0])


def test_weeks_stray_more_where_days_are_like_the_one_before() -> None:
    assert 1.0 <= inflation(0.0, 400) < 1.3
    assert 2.2 < inflation(0.5, 400) < 4.5
    assert inflation(0.0, 8) > 10.0  # so few days do not show that they are independent
