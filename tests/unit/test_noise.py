"""Window moments, noise and limits, beside plain slow computations and known distributions."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sketches import budget
from sketches.budget import false_alarms, scale_threshold
from sketches.residuals import Noise, Points, _alike, measure
from sketches.scales import LEVELS, WINDOWS, Scales
from sketches.table import FloatArray
from sketches.trial import poisson_interval
from sketches.windowed import LastBlocks


def scales(values: FloatArray, records: FloatArray) -> Scales:
    found = Scales(1, np.ones(values.shape[1], dtype=bool))
    for row, count in zip(values, records, strict=True):
        found.add(row[None], float(count))
    found.flush()
    return found


def means(values: FloatArray, records: FloatArray, blocks: int) -> tuple[FloatArray, FloatArray]:
    """Weighted means of all windows of so many blocks, and their records, the slow way."""
    weight = np.where(np.isfinite(values), records[:, None], 0.0)
    known = np.nan_to_num(values)
    ends = range(blocks, len(values) + 1)
    total = np.array([(known * weight)[end - blocks : end].sum(axis=0) for end in ends])
    sample = np.array([weight[end - blocks : end].sum(axis=0) for end in ends])
    return total / np.maximum(sample, 1e-300), sample


def blocks_with_gaps(count: int) -> tuple[FloatArray, FloatArray]:
    random = np.random.default_rng(3)
    values = np.arange(4.0) + np.clip(random.normal(size=(count, 4)), -2, 2)  # none of them wild
    values[random.random((count, 4)) < 0.1] = np.nan
    return values, random.integers(1, 200, count).astype(np.float64)


@pytest.mark.parametrize("count", [1, 31, 33, 64, 301])
def test_moments_of_all_windows(count: int) -> None:
    values, records = blocks_with_gaps(count)
    found = scales(values, records)
    for level, blocks in enumerate(WINDOWS.tolist()):
        if blocks > count:
            assert not found.count[level].any()
            continue
        mean, weight = means(values, records, blocks)
        assert found.count[level, 0].tolist() == (weight > 0).sum(axis=0).tolist()
        for name, power in (("first", 1), ("second", 2), ("third", 3)):
            wanted = (weight * mean**power).sum(axis=0)
            assert getattr(found, name)[level, 0] == pytest.approx(wanted, rel=1e-9)
        known = np.where(weight > 0, mean, -np.inf)
        assert found.highest[level, 0] == pytest.approx(known.max(axis=0))


def test_no_window_reaches_back_to_before_a_way_began_anew() -> None:
    values, records = blocks_with_gaps(500)
    values[:203] += 7.0  # a forecast that was still to be learned
    found = Scales(2, np.ones(values.shape[1], dtype=bool))
    for at, (row, count) in enumerate(zip(values, records, strict=True)):
        if at == 203:
            found.restart(1)
        found.add(np.stack([row, row]), float(count))
    found.flush()
    later = scales(values[203:], records[203:])
    for name in ("count", "weight", "inverse", "first", "second", "highest", "lowest"):
        wanted = getattr(later, name)[:, 0]
        assert getattr(found, name)[:, 1] == pytest.approx(wanted, rel=1e-9), name


def test_one_wild_block_does_not_make_the_noise() -> None:
    values = np.random.default_rng(0).normal(size=(1000, 1))
    records = np.full(1000, 100.0)
    clean = scales(values, records).second[0]
    values[500] = 1e6
    assert scales(values, records).second[0] == pytest.approx(clean, rel=0.1)


def test_last_means_are_those_of_the_same_blocks() -> None:
    values, records = blocks_with_gaps(300)
    last = LastBlocks(np.ones(4, dtype=bool))
    for number, (row, count) in enumerate(zip(values, records, strict=True)):
        known = np.isfinite(row)
        found = last.add(np.where(known, row, 0.0), known, float(count), number)
        if number == 150:
            last = LastBlocks.restore(last.state())
    for level, blocks in enumerate(WINDOWS.tolist()):
        mean, weight = means(values[-blocks:], records[-blocks:], blocks)
        assert found.mean[level, last.column] == pytest.approx(mean[0])
        assert found.sample[level, last.column] == pytest.approx(weight[0])


def test_false_alarms_of_a_moving_mean() -> None:
    random = np.random.default_rng(5)
    sums = np.concatenate([[0.0], np.cumsum(random.normal(size=1_500_000))])
    for blocks, threshold in ((1, 3.0), (8, 3.0), (32, 3.0)):
        far = np.flatnonzero(np.abs(sums[blocks:] - sums[:-blocks]) > threshold * blocks**0.5)
        runs = 1 + int((np.diff(far) > blocks).sum())
        assert runs / 1_500_000 == pytest.approx(false_alarms(threshold, blocks), rel=0.15)


def test_longer_windows_need_less() -> None:
    found = [scale_threshold(1e-7, int(blocks)) for blocks in WINDOWS]
    assert found == sorted(found, reverse=True)
    for threshold, blocks in zip(found, WINDOWS.tolist(), strict=True):
        assert false_alarms(threshold, blocks) == pytest.approx(1e-7, rel=1e-6)


def test_a_quarter_of_the_blocks_knows_the_noise_of_long_windows() -> None:
    """What AR(1) leaves between blocks is in the noise of every length."""
    random = np.random.default_rng(2)
    values, level = np.zeros((4000, 8)), np.zeros(8)
    for row in values:
        level = 0.8 * level + random.normal(size=8) * 0.6
        row[:] = level
    zeros = np.zeros(8)
    white, shares = np.full(8, 1e-9), np.zeros(8, dtype=bool)
    whole = measure(scales(values, np.full(4000, 100.0)), zeros, white, zeros + 1e-9, shares)
    true = [np.var(means(values, np.ones(4000), w)[0]) for w in WINDOWS.tolist()]
    for level_, wanted in enumerate(true):
        assert np.mean(whole.extra[level_]) == pytest.approx(wanted, rel=0.25)
    few = measure(scales(values[:300], np.full(300, 100.0)), zeros, white, zeros + 1e-9, shares)
    assert np.median(few.extra[-1]) >= 0.3 * true[-1]


def test_days_that_are_alike_within_show_no_skewness() -> None:
    """Twenty levels by chance are skew by chance, however many blocks they are seen in."""
    random = np.random.default_rng(3)
    values = np.repeat(random.normal(size=(20, 40)), 1000, axis=0)
    values += random.normal(size=values.shape) / 2
    noise = measured(values)
    assert np.abs(noise.skew[1]).max() == 0.0
    sample = (values**3).mean(axis=0) / (values**2).mean(axis=0) ** 1.5
    assert np.abs(sample).max() > 0.5


@pytest.mark.parametrize("phi", [0.0, 0.8])
def test_skewness_that_blocks_show_is_believed(phi: float) -> None:
    random = np.random.default_rng(3)
    values, level = np.zeros((4000, 20)), np.zeros(20)
    for row in values:
        level = phi * level + random.gamma(8.0, size=20) - 8
        row[:] = level
    wanted = 2 / math.sqrt(8) * (1 - phi**2) ** 1.5 / (1 - phi**3)
    assert np.median(measured(values).skew[0]) == pytest.approx(wanted, rel=0.3)


def measured(values: FloatArray) -> Noise:
    """Noise of blocks of a hundred records about 0."""
    zeros = np.zeros(values.shape[1])
    found = scales(values, np.full(len(values), 100.0))
    return measure(found, zeros, zeros + 1e-9, zeros + 1e-9, zeros > 0)


@pytest.mark.parametrize("phi", [0.0, 0.5, 0.9])
def test_likeness_is_the_sum_of_cubed_autocorrelations(phi: float) -> None:
    """Of an AR(1) process, whose window means have variances in closed form; rather too much."""
    lags = np.arange(1, 128)
    square = [
        (1 + 2 * np.sum((1 - lags[: w - 1] / w) * phi ** lags[: w - 1])) / w
        for w in WINDOWS.tolist()
    ]
    windows = 20_000 / WINDOWS[:, None]
    found = _alike(np.array(square)[:, None], windows, windows >= 16)
    assert 0.99 <= found[0, 0] / ((1 + phi**3) / (1 - phi**3)) <= 1.5
    assert (found >= 1).all()


def clean(blocks: int, signals: int = 20, floor: float = 0.01) -> Noise:
    """Noise of independent N(0, 1) records, a hundred in a block."""
    values = np.random.default_rng(5).normal(size=(blocks, signals)) / 10
    found = scales(values, np.full(blocks, 100.0))
    ones = np.ones(signals)
    return measure(found, found.mean(), ones, floor * ones, ones < 0)


def test_clean_noise_is_held_to_the_budget_itself() -> None:
    noise = clean(5_000)
    assert np.median(noise.factor) == 1.0
    assert noise.factor.max() < 1.4


def test_a_change_past_its_gate_is_not_held_back_by_the_floor() -> None:
    noise = clean(5_000, 1, floor=0.05)
    normal = np.full((LEVELS, 1), 4.5)
    critical = noise.critical(normal, normal)
    many = Points(np.array([0]), np.array([2]), np.ones(1), np.array([1e6]))
    assert noise.limits(many, critical, np.full(1, 0.4))[0] < 0.4 + 1.3 * 0.02


@pytest.mark.parametrize("expected", [0.02, 0.5, 3.0])
def test_limits_of_rare_counts_hold_what_they_promise(expected: float) -> None:
    records, share = 1000.0, expected / 1000
    one = np.ones(1)
    noise = Noise(
        one * share * (1 - share),
        np.zeros((LEVELS, 1)),
        one * 0,
        np.zeros((LEVELS, 1)),
        one * 0,
        np.full((LEVELS, 1), 1e9),
        one * 0,
        one,
        one > 0,
    )
    normal = 4.5
    critical = noise.critical(np.full((LEVELS, 1), normal), np.full((LEVELS, 1), normal))
    point = Points(np.array([0]), np.array([2]), one, one * records)
    limit = noise.limits(point, critical, np.zeros(1))[0]
    most = math.floor((share + limit) * records)
    term, tail = math.exp(-expected), 1.0
    for count in range(most + 1):
        tail -= term
        term *= expected / (count + 1)
    assert tail <= 1.3 * math.erfc(normal / math.sqrt(2)) / 2
    assert most <= 6 + expected + 8 * math.sqrt(expected)  # and are not far beyond it


def test_a_budget_of_few_blocks_a_week_is_held_by_the_floor() -> None:
    hourly = budget.thresholds(2.5, 0.5, 16, 168)
    assert hourly.warning[0] > hourly.plain[0] + 0.5
    often = budget.thresholds(2.5, 0.5, 512, 65_536)
    assert often.warning == often.plain


@pytest.mark.parametrize(
    ("count", "low", "high"), [(0, 0.0, 2.996), (1, 0.0513, 4.744), (10, 5.425, 16.962)]
)
def test_poisson_interval(count: int, low: float, high: float) -> None:
    assert poisson_interval(count) == pytest.approx((low, high), abs=0.03)
