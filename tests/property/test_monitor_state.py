"""A monitor restored at any point goes on exactly as if it had never stopped."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sketches.detection import DetectionSettings
from sketches.monitor import ModelMonitor
from tests.streams import DAY, WINDOW, Records, lognormal, normal, windows

SETTINGS = DetectionSettings(learn_for=DAY // 2, learn_records=1_000)


def alter(number: int, held: Records, random: np.random.Generator) -> None:
    """Nulls, a shift that comes, doubles and goes, a new category."""
    held.numbers["x"][random.random(held.length) < 0.1] = np.nan
    if 110 <= number < 150:
        held.numbers["x"] += 1.0 + (number >= 125)
    if number >= 160:
        held.texts["city0"] = ["mars" if name == "a" else name for name in held.texts["city0"]]


WINDOWS = list(windows({"x": normal, "y": lognormal}, 180, records=50, alter=alter))
WHOLE = ModelMonitor(SETTINGS, "t", "m")
REPORTS = [WHOLE.fold(end, WINDOW, {("1", "a"): one}) for end, one in WINDOWS]


def test_there_is_something_to_compare() -> None:
    assert any(report.learned for report in REPORTS)
    assert sum(len(report.changes) for report in REPORTS) >= 2
    assert any(report.recovered for report in REPORTS)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(1, len(WINDOWS) - 1), max_size=6))
def test_restarts_change_nothing(cuts: list[int]) -> None:
    monitor = ModelMonitor(SETTINGS, "t", "m")
    for number, (end, one) in enumerate(WINDOWS):
        if number in cuts:
            state = monitor.state()
            monitor = ModelMonitor.restore(SETTINGS, state)
            assert monitor.state() == state
        assert monitor.fold(end, WINDOW, {("1", "a"): one}) == REPORTS[number]
    assert monitor.state() == WHOLE.state()
