"""Thresholds in closed form from the false alarms that a user allows per model and week.

The budget is split evenly over all tests of a model (versions and segments x features x signals),
so each test has an average run length (ARL) to a false alarm, counted in blocks: one value per
block is what a detector sees.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
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
LEAST_ARL: Final = 1_000.0  # blocks; a stream with few of them shall not use its budget up


@dataclass(frozen=True, slots=True)
class Thresholds:
    """What the tests of a model are held to.

    Attributes:
        page_hinkley: PageHinkley's threshold, in units of the residual noise.
        adwin: ADWIN's delta.
        warning: Critical value of a windowed mean, in units of its own noise.
        critical: The same for a critical change.
    """

    page_hinkley: float
    adwin: float
    warning: float
    critical: float


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


def student(normal: float, df: FloatArray) -> FloatArray:
    """The Student t quantile with the tail of a normal quantile, by Wallace's approximation.

    Source: Wallace, Annals of Mathematical Statistics 30 (1959).

    Args:
        normal: Quantile of N(0, 1).
        df: Degrees of freedom, any shape, at least 1.
    """
    z = normal * (8 * df + 3) / (8 * df + 1)
    found: FloatArray = np.sqrt(df * np.expm1(np.minimum(z * z / df, 60.0)))
    return found


def thresholds(
    warning_per_week: float, critical_per_week: float, tests: int, blocks_per_week: float
) -> Thresholds:
    """Split a budget.

    Args:
        warning_per_week: False warnings allowed per model and week.
        critical_per_week: False critical changes allowed per model and week.
        tests: Signals under test in the whole model.
        blocks_per_week: Values that a test sees in a week.
    """
    looks = max(tests, 1) * max(blocks_per_week, 1.0)
    warning = max(looks / max(warning_per_week, 1e-6), LEAST_ARL)
    critical = max(looks / max(critical_per_week, 1e-6), warning, 5 * LEAST_ARL)
    return Thresholds(
        page_hinkley=page_hinkley_threshold(warning * DETECTORS),
        adwin=adwin_delta(warning * DETECTORS),
        warning=windowed_threshold(warning),
        critical=windowed_threshold(critical),
    )
