from __future__ import annotations

import math

import numpy as np
import pytest

from sketches.budget import (
    ADWIN_FLOOR,
    adwin_delta,
    page_hinkley_threshold,
    run_length,
    student,
    thresholds,
    windowed_threshold,
)


@pytest.mark.parametrize(
    ("slack", "threshold", "measured"), [(0.25, 14.64, 10_800), (0.5, 8.08, 10_350)]
)
def test_run_length_is_that_of_the_published_formula(
    slack: float, threshold: float, measured: float
) -> None:
    assert run_length(threshold, slack) == pytest.approx(measured, rel=0.01)


def test_run_length_is_what_a_cusum_shows() -> None:
    random, threshold, slack = np.random.default_rng(7), 6.0, 0.25
    up, down = np.zeros(2000), np.zeros(2000)
    alive, lengths = np.ones(2000, dtype=bool), np.zeros(2000)
    for step in range(1, 3001):
        z = random.normal(size=2000)
        up, down = np.maximum(0, up + z - slack), np.maximum(0, down - z - slack)
        fired = alive & (np.maximum(up, down) > threshold)
        lengths[fired] = step
        alive &= ~fired
    lengths[alive] = 3000
    assert lengths.mean() == pytest.approx(run_length(threshold, slack), rel=0.12)


@pytest.mark.parametrize("arl", [20.0, 1e4, 1e6, 2.4e7, 1e12])
def test_threshold_inverts_the_run_length(arl: float) -> None:
    assert run_length(page_hinkley_threshold(arl)) == pytest.approx(arl, rel=1e-9)


def test_page_hinkley_threshold_at_a_million() -> None:
    assert page_hinkley_threshold(1e6) == pytest.approx(23.8, abs=0.15)


def test_adwin_delta() -> None:
    assert adwin_delta(1e6) == pytest.approx(1 / 400)
    assert adwin_delta(1e15) == ADWIN_FLOOR


def test_windowed_threshold() -> None:
    assert windowed_threshold(1e4) == pytest.approx(4.27, abs=0.03)
    assert windowed_threshold(1e8) == pytest.approx(6.08, abs=0.02)


def test_student_quantiles() -> None:
    # t with 9 and 30 degrees of freedom at the tail of 1.96 and 3.09.
    assert student(1.959964, np.array([9.0]))[0] == pytest.approx(2.262, rel=0.01)
    assert student(3.0902, np.array([30.0]))[0] == pytest.approx(3.385, rel=0.01)
    assert student(5.0, np.array([1e9]))[0] == pytest.approx(5.0, rel=1e-6)
    assert math.isfinite(student(6.0, np.array([1.0]))[0])


def test_a_smaller_budget_raises_every_threshold() -> None:
    wide, narrow = thresholds(5, 1, 64, 1008), thresholds(0.5, 0.1, 64, 1008)
    assert narrow.page_hinkley > wide.page_hinkley
    assert narrow.adwin < wide.adwin
    assert narrow.warning > wide.warning
    assert wide.critical > wide.warning


def test_degenerate_budgets_are_defined() -> None:
    for held in (thresholds(0, 0, 0, 0), thresholds(1e9, 1e9, 1, 1)):
        values = (held.page_hinkley, held.adwin, *held.warning, *held.critical)
        assert all(map(math.isfinite, values))
