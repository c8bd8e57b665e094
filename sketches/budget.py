"""Thresholds in closed form from the false alarms that a user allows per model and week.

Half of it is for hard signals, half for soft ones. Each half is split evenly over the tests of a
model (versions and segments x features x signals), so each test has an average run length (ARL) to
a false alarm, counted in blocks: one value per block is what a detector sees.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np

from .table import FloatArray

WEEK: Final = 604_800_000_000  # microseconds
SLACK: Final = 0.25  # PageHinkley's delta, k: shifts below it are never found
DETECTORS: Final = 2  # ADWIN and PageHinkley share the budget of a test
ADWIN_RATE: Final = (
    4e-4  # false alarms of ADWIN(clock=1) per update and unit of its delta, measured
)
ADWIN_FLOOR: Final = 1e-9
SCALES: Final = 8  # windows of 1, 2, 4, .. 128 blocks share it as well
BETWEEN: Final = 1  # and those of 6 blocks
# Blocks between two false alarms of one test, however large the budget, and what a test is held to
# beyond that for errors of the model of the noise: AR(1) of 0.1 to 0.3 left between blocks, or
# tails, divide a nominal run length by 6 to 100. With 20, null streams of a baseline of two weeks
# keep to half the budget and less (bench.study). In a stream of few blocks a week this is
# what binds. It costs little: the delay grows with the logarithm. The flights of the demo were in
# view when 20 was taken instead of 100, so they are no test of it.
LEAST_ARL: Final = 1_000.0
MODEL_ERROR: Final = 20.0
NORMAL_90: Final = 1.2816  # 90 % quantile of N(0, 1)


@dataclass(frozen=True, slots=True)
class Thresholds:
    """What the tests of a model are held to.

    Attributes:
        page_hinkley: PageHinkley's threshold, in units of the residual noise.
        adwin: ADWIN's delta.
        warning: Critical values of means of 1, 2, 4, .. blocks, in units of their own noise.
        critical: The same for a critical change.
        plain: Those of a warning without the part for errors of the model.
    """

    page_hinkley: float
    adwin: float
    warning: tuple[float, ...]
    critical: tuple[float, ...]
    plain: tuple[float, ...]


def run_length(threshold: float, slack: float = SLACK) -> float:
    """ARL of a two-sided CUSUM on independent N(0, 1) values.

    Source: Siegmund, Sequential Analysis (1985), corrected diffusion: with b = h + 1.166 one side
    has (exp(2kb) - 2kb - 1) / (2k^2), two sides half of it.
    """
    exponent = 2 * slack * (threshold + 1.166)
    if exponent > 700:
        return math.inf
    return (math.exp(exponent) - exponent - 1) / (4 * slack**2)


def page_hinkley_threshold(arl: float, slack: float = SLACK) -> float:
    """The threshold whose two-sided ``run_length`` is ``arl``, by bisection."""
    low, high = 0.0, 700 / (2 * slack)
    for _ in range(80):
        middle = (low + high) / 2
        if run_length(middle, slack) < arl:
            low = middle
        else:
            high = middle
    return high


def adwin_delta(arl: float) -> float:
    """ADWIN's delta (clock = 1, unit variance) for a run length; never below ``ADWIN_FLOOR``."""
    return min(max(1 / (arl * ADWIN_RATE), ADWIN_FLOOR), 0.1)


def windowed_threshold(arl: float) -> float:
    """Critical value of the largest standardised mean over dyadic windows, sqrt(2 ln ARL)."""
    return math.sqrt(2 * math.log(arl))


def student(normal: float | FloatArray, df: FloatArray) -> FloatArray:
    """The Student t quantile with the tail of a normal quantile, by Wallace's approximation.

    Source: Wallace, Annals of Mathematical Statistics 30 (1959).

    Args:
        normal: Quantile of N(0, 1), a number or an array that broadcasts.
        df: Degrees of freedom, any shape, at least 1.
    """
    z = normal * (8 * df + 3) / (8 * df + 1)
    found: FloatArray = np.sqrt(df * np.expm1(np.minimum(z * z / df, 60.0)))
    return found


def false_alarms(threshold: float, blocks: int) -> float:
    """False alarms per block of a mean over the last ``blocks`` of them, two-sided.

    For independent N(0, 1) blocks, a run of alarms counted once: 2 z phi(z) / w for a continuous
    moving mean, times nu(z sqrt(2 / w)) for its steps; never more than the tail.

    Source: Siegmund, Sequential Analysis (1985), chapter X; nu as approximated by Siegmund and
    Yakir, The Statistics of Gene Mapping (2007), chapter 5.
    """
    z, half = threshold, threshold / math.sqrt(2 * blocks)
    above = math.erfc(-half / math.sqrt(2)) / 2
    steps = (above - 0.5) / half / (half * above + _density(half))
    moving = 2 * z * _density(z) / blocks * steps
    return min(moving, math.erfc(z / math.sqrt(2)))


def _density(z: float) -> float:
    return math.exp(-z * z / 2) / math.sqrt(2 * math.pi)


@lru_cache(1024)
def scale_threshold(rate: float, blocks: int) -> float:
    """The threshold with so many ``false_alarms`` per block, by bisection; at least 1.5."""
    low, high = 1.5, 37.0  # beyond it the tail is 0 in double precision
    for _ in range(50):
        middle = (low + high) / 2
        if false_alarms(middle, blocks) > rate:
            low = middle
        else:
            high = middle
    return high


def thresholds(
    warning_per_week: float, critical_per_week: float, tests: int, blocks_per_week: float
) -> Thresholds:
    """Split a budget over tests, and in each over the lengths of its windows.

    Args:
        warning_per_week: False warnings allowed per model and week in all of these tests.
        critical_per_week: False critical changes allowed per model and week.
        tests: Signals that share it.
        blocks_per_week: Values that a test sees in a week.
    """
    looks = max(tests, 1) * max(blocks_per_week, 1.0)
    warning = max(looks / max(warning_per_week, 1e-6), LEAST_ARL * MODEL_ERROR)
    critical = max(looks / max(critical_per_week, 1e-6), 5 * warning)
    return Thresholds(
        page_hinkley=page_hinkley_threshold(warning * DETECTORS),
        adwin=adwin_delta(warning * DETECTORS),
        warning=_by_scale(warning),
        critical=_by_scale(critical),
        plain=_by_scale(max(looks / max(warning_per_week, 1e-6), LEAST_ARL)),
    )


def _by_scale(arl: float) -> tuple[float, ...]:
    each = 1 / (arl * (SCALES + BETWEEN))
    return tuple(scale_threshold(each, 2**at) for at in range(SCALES))


def power_of_two(count: float) -> int:
    """Rounded up to one: a few more tests or blocks move no threshold."""
    return 1 << max(math.ceil(count) - 1, 0).bit_length()
