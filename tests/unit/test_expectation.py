from __future__ import annotations

import math

import numpy as np
import pytest

from sketches.expectation import Expectation
from sketches.rates import HOUR
from sketches.table import FloatArray

DAY, WEEK = 24 * HOUR, 168 * HOUR
START = 2_800 * WEEK


def season(hour: float) -> float:
    """A day of 0.5 sd and a weekend that is half a sd lower."""
    return 0.5 * math.sin(2 * math.pi * hour / 24) - 0.5 * (hour % 168 >= 120)


def learned(weeks: float, signals: int = 3, noise: float = 0.05) -> Expectation:
    """Signal 0 is level, 1 has a day, 2 a week as well."""
    random, found = np.random.default_rng(0), Expectation(signals)
    for quarter in range(int(weeks * 168 * 4)):
        hour = quarter / 4 + 1 / 8
        found.forecasts(START + int(hour * HOUR), 0)
        day = 0.5 * math.sin(2 * math.pi * hour / 24)
        values = np.array([1.0, day, season(hour)])[:signals] + random.normal(size=signals) * noise
        found.add(values, np.full(signals, 100.0))
    found.settle()
    return found


def test_each_signal_is_forecast_by_what_it_follows() -> None:
    found = learned(3)
    assert found.choice.tolist()[1:] == [1, 2]
    for hour in (5.0, 30.5, 119.9, 120.1, 130.25):
        level, day, week = found.at(START + 3 * WEEK + int(hour * HOUR)).tolist()
        assert level == pytest.approx(1.0, abs=0.05)
        assert day == pytest.approx(0.5 * math.sin(2 * math.pi * hour / 24), abs=0.08)
        assert week == pytest.approx(season(hour), abs=0.12)


def test_blocks_weigh_by_their_records() -> None:
    found = Expectation(1)
    for hour in range(48):
        found.forecasts(START + hour * HOUR, 0)
        for value, weight in ((0.0, 900.0), (10.0, 100.0)):
            found.add(np.array([value]), np.array([weight]))
    found.settle()
    assert found.at(START + 60 * HOUR)[0] == pytest.approx(1.0)


def test_an_hour_of_few_records_is_drawn_to_the_coarser_forecast() -> None:
    found = Expectation(1)
    for hour in range(14 * 24):
        found.forecasts(START + hour * HOUR, 0)
        odd = hour % 24 == 5
        found.add(np.array([1.0 if odd else 0.0]), np.array([1.0 if odd else 1_000.0]))
    found.settle()
    day = found.forecasts(START + 14 * DAY + 5 * HOUR + HOUR // 2, 0)[1, 0]
    assert 0 < day < 0.1


def rolled(found: Expectation, value: float, hours: int, out: bool = False) -> float:
    """The forecast after hours of another value."""
    for hour in range(hours):
        time = START + WEEK + hour * HOUR
        found.at(time)
        found.add(np.array([value]), np.array([100.0 * (not out)]))
    forecast: FloatArray = found.at(START + WEEK + hours * HOUR)
    return float(forecast[0])


def test_it_rolls_on_a_day_later() -> None:
    before = learned(1, 1).at(START + WEEK)[0]
    assert rolled(learned(1, 1), 3.0, 24) == before
    assert rolled(learned(1, 1), 3.0, 30) > before
    assert rolled(learned(1, 1), 3.0, 30 * 24) > 2


def test_what_is_left_out_is_never_learned() -> None:
    found = learned(1, 1)
    before = found.at(START + WEEK)[0]
    for hour in range(20):
        found.at(START + WEEK + hour * HOUR)
        found.add(np.array([3.0]), np.array([100.0]))
    found.leave_out(np.array([0]), START + WEEK)
    assert found.at(START + WEEK + 10 * DAY)[0] == pytest.approx(before)


def test_a_new_normal_moves_all_hours() -> None:
    found = learned(2)
    hours = [START + 2 * WEEK + hour * HOUR for hour in range(1, 60, 7)]
    moved = Expectation.restore(found.state())
    moved.move(2, 1.5)
    for time in hours:
        assert moved.at(time)[2] == pytest.approx(found.at(time)[2] + 1.5, abs=1e-5)


def test_other_units() -> None:
    found, other = learned(2, 1), learned(2, 1)
    other.rescale(np.array([2.0]), np.array([5.0]))
    for hour in range(0, 168, 13):
        time = START + 2 * WEEK + hour * HOUR
        assert other.at(time)[0] == pytest.approx(2 * found.at(time)[0] + 5, abs=1e-5)
