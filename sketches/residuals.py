"""How much signals stray by themselves, measured in their baseline, and the limits that follow.

The noise of a mean over w blocks with n records is ``c / n + tau_w^2``: c is what independent
records give, ``tau_w^2`` what the stream adds (imperfect season, autocorrelation, over-dispersion),
measured for each window length apart. So autocorrelated residuals get the noise that they have.

Sources: batch means for the long-run variance as in Kim, Alexopoulos, Tsui and Wilson, "A
distribution-free tabular CUSUM chart for autocorrelated data" (IIE Transactions 39, 2007);
quantiles of skew distributions by Cornish and Fisher (Revue de l'Institut International de
Statistique 5, 1938).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Final, NamedTuple

import numpy as np

from .budget import NORMAL_90, student, windowed_threshold
from .scales import LEVELS, WINDOWS, Scales
from .state import Packed, pack_all, unpack_all
from .table import BoolArray, FloatArray, IntArray

LIMIT: Final = 16.0  # residuals are clipped there: one wild block is not a change, two may be
_BATCHES: Final = 16  # fewer independent windows say too little about their noise
_UNKNOWN: Final = 0.75  # of a variance that is left at twice the length, where nothing says it
# This one and _MARGIN were changed after a look at the flights of the demo: no test of them.
_LEAST_DF: Final = 60  # of long autocorrelation; the number of windows itself may be less
_LARGEST_SKEW: Final = 2.0
_BY_CHANCE: Final = 0.1  # share of clean baselines whose largest mean is as large by chance
_MARGIN: Final = 1.4  # by how much that largest mean stays below; halves what null streams tell


class Points(NamedTuple):
    """N means of the last blocks of some signals; every column has the shape (N,).

    Attributes:
        signals: Number of each one's signal.
        blocks: Blocks in it.
        shift: Its deviation from what is expected.
        sample: Records behind it.
    """

    signals: IntArray
    blocks: IntArray
    shift: FloatArray
    sample: FloatArray

    def some(self, places: IntArray) -> Points:
        """Those at these places."""
        return Points(
            self.signals[places], self.blocks[places], self.shift[places], self.sample[places]
        )


class Critical(NamedTuple):
    """Critical values of windowed means.

    Attributes:
        quantile: Shape (2, LEVELS, S), for a rise and a fall, in units of the noise.
        counts: Shape (S,), events beyond that for a rise of a share, whose counts are skew.
    """

    quantile: FloatArray
    counts: FloatArray


@dataclass(frozen=True, slots=True)
class Noise:
    """How far S signals stray by themselves.

    Attributes:
        white: Shape (S,), c: variance of one record's part.
        extra: Shape (LEVELS, S), tau_w^2 by window length.
        floor: Shape (S,), least standard deviation of a mean: what never varied is testable.
        skew: Shape (LEVELS, S), of the means.
        long_run: Shape (S,), largest w tau_w^2: what a block adds to the variance of a long sum.
        df: Shape (LEVELS, S), independent windows in the baseline.
        uncertainty: Shape (S,), variance of the expectation itself.
        factor: Shape (S,), at least 1: by how much the noise was raised in calibration.
        shares: Shape (S,), which signals are shares.
    """

    white: FloatArray
    extra: FloatArray
    floor: FloatArray
    skew: FloatArray
    long_run: FloatArray
    df: FloatArray
    uncertainty: FloatArray
    factor: FloatArray
    shares: BoolArray

    def standardise(self, away: FloatArray, sample: float) -> FloatArray:
        """Residuals in units of the long-run noise of one block, clipped to ``LIMIT``.

        Args:
            away: Shape (S,), value less what is expected; NaN stays NaN, infinities are clipped.
            sample: Records of the block.
        """
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            variance = self.white / max(sample, 1.0) + self.long_run + self.uncertainty
            found: FloatArray = away / (np.sqrt(variance) * self.factor)
        return np.minimum(np.maximum(found, -LIMIT), LIMIT)

    def critical(self, guarded: FloatArray, plain: FloatArray) -> Critical:
        """Critical values from those of N(0, 1).

        Args:
            guarded: Shape (LEVELS, S), held to more than the budget, for what noise may hide.
            plain: Shape (LEVELS, S), of the budget itself: enough where the skewness is measured.
        """
        beyond = (plain**2 - 1) / 6
        skewed = np.stack([np.maximum(self.skew, 0), np.maximum(-self.skew, 0)]) * beyond
        quantile = np.maximum(student(guarded, self.df), student(plain, self.df) + skewed)
        # A Poisson count of mean m has the skewness 1 / sqrt(m): its quantile is farther out by
        # so many events, whatever m is.
        counts = np.where(self.shares, np.max((guarded**2 - 1) / 6, axis=0), 0.0)
        return Critical(quantile, counts)

    def limits(self, means: Points, critical: Critical, gate: FloatArray) -> FloatArray:
        """How far means must be from what is expected to be told.

        Farther than the critical value of the noise, and past the gate with 90 % certainty. A mean
        of w blocks strays no more than means of fewer blocks do, so the smallest value that follows
        from any shorter window holds.

        Args:
            means: N of them.
            critical: Of all signals.
            gate: Shape (N,), smallest effect worth telling.

        Returns:
            Shape (N,).
        """
        signals, sample = means.signals, np.maximum(means.sample, 1)
        wide = self.white[signals] / sample + self.uncertainty[signals] + self.extra[:, signals]
        deviation = np.sqrt(wide)  # shape (LEVELS, N)
        deviation[WINDOWS[:, None] > means.blocks] = np.inf
        rises = means.shift > 0
        quantile = np.where(
            rises, critical.quantile[0][:, signals], critical.quantile[1][:, signals]
        )
        far = np.min(quantile * np.maximum(deviation, self.floor[signals]), axis=0)
        far += np.where(rises, critical.counts[signals] / sample, 0.0)
        least = gate + NORMAL_90 * np.min(deviation, axis=0) * self.factor[signals]
        found: FloatArray = np.maximum(far * self.factor[signals], least)
        return found

    def strays(self, means: Points) -> FloatArray:
        """Their standard deviations, were all blocks independent but for the long-run noise."""
        signals = means.signals
        variance = self.white[signals] / np.maximum(means.sample, 1)
        variance += self.long_run[signals] / means.blocks
        found: FloatArray = np.sqrt(variance) * self.factor[signals]
        return found

    def part(self, signal: int) -> tuple[float, float]:
        """Variance of one record's part in a signal, and what a block adds to that of a sum."""
        return float(self.white[signal]), float(self.long_run[signal])

    def raised(self, factor: FloatArray) -> Noise:
        """The same, so much larger; shape (S,)."""
        return replace(self, factor=self.factor * factor)

    def state(self) -> dict[str, Packed]:
        """All of it."""
        return pack_all({each.name: getattr(self, each.name) for each in fields(self)})

    @classmethod
    def restore(cls, state: dict[str, Packed]) -> Noise:
        """From ``state``."""
        return cls(**unpack_all(state))


def smallest(limits: Callable[[Points], FloatArray], signals: int, records: float) -> FloatArray:
    """Smallest lasting rise or fall that a window of any length tells, shape (S,).

    Args:
        limits: How far means must be off to be told.
        signals: S.
        records: Of a usual block.
    """
    every = np.arange(signals)
    found = np.full(signals, np.inf)
    for blocks in WINDOWS[1:].tolist():
        for sign in (1.0, -1.0):
            sample = np.full(signals, blocks * records)
            means = Points(every, np.full(signals, blocks), np.full(signals, sign), sample)
            found = np.minimum(found, limits(means))
    return found


class _Seen(NamedTuple):
    """What the baseline's windows showed; all but ``level`` have the shape (LEVELS, S)."""

    level: FloatArray
    windows: FloatArray  # as if side by side
    enough: BoolArray
    square: FloatArray  # mean squared deviation of the means from the level
    inverse: FloatArray  # mean of 1 / records
    skew: FloatArray
    shown: FloatArray  # skewness, be it by chance
    highest: FloatArray
    lowest: FloatArray


def measure(
    scales: Scales, level: FloatArray, white: FloatArray, floor: FloatArray, shares: BoolArray
) -> Noise:
    """Noise from a baseline's own blocks.

    Where the baseline's own windows of 2 blocks and more stray farther than the largest of so many
    windows does by chance, the noise is raised.

    Args:
        scales: Of the baseline's blocks, one way.
        level: Shape (S,), what they are compared with.
        white: Shape (S,), c.
        floor: Shape (S,), least standard deviation, from the smallest effect worth telling.
        shares: Shape (S,), which are shares.
    """
    seen = _seen(scales, level)
    extra = _extrapolated(np.maximum(seen.square - white * seen.inverse, 0.0), seen)
    long_run = np.max(np.where(seen.enough, extra * WINDOWS[:, None], 0.0), axis=0)
    blocks = np.maximum(seen.windows[0], 1)
    # Few blocks measure their noise badly; what a t quantile needs more than a normal one.
    inflation = student(4.0, np.maximum(blocks - 1, 1)) / 4.0
    long_run = np.maximum(long_run * inflation**2, floor**2)
    uncertainty = (long_run + white * seen.inverse[0]) / blocks
    df = _independent(seen)
    ones = np.ones_like(white)
    noise = Noise(white, extra, floor, seen.skew, long_run, df, uncertainty, ones, shares)
    # The largest means are those of the same windows, whose skewness explains them.
    return noise.raised(_raised(replace(noise, skew=seen.shown), seen))


def _seen(scales: Scales, level: FloatArray) -> _Seen:
    count, weight = scales.count[:, 0], scales.weight[:, 0]
    first, second, third = scales.first[:, 0], scales.second[:, 0], scales.third[:, 0]
    known = np.where(weight > 0, weight, 1.0)
    windows = np.maximum(count / WINDOWS[:, None], 1.0)
    about = (second - 2 * level * first + level**2 * weight) / known
    square = np.maximum(about, 0.0) * windows / np.maximum(windows - 1, 1.0)
    cubed = third - 3 * level * second + 3 * level**2 * first - level**3 * weight
    with np.errstate(divide="ignore", invalid="ignore"):
        skew = np.nan_to_num(cubed / known / square**1.5, posinf=0.0, neginf=0.0)
    enough = windows >= _BATCHES
    enough[0] = True
    beyond = np.sign(skew) * np.maximum(np.abs(skew) - 2 * np.sqrt(6 / windows), 0.0)
    shown = np.clip(beyond, -_LARGEST_SKEW, _LARGEST_SKEW)
    # Windows that are alike show more of it by chance.
    error = 2 * np.sqrt(6 / windows * _alike(square, windows, enough))
    skew = np.where(np.abs(skew) > error, shown, 0.0)
    for at in range(1, LEVELS):
        for each in (skew, shown):
            each[at] = np.where(enough[at], each[at], each[at - 1] / np.sqrt(2))
    return _Seen(
        level,
        windows,
        enough,
        square,
        scales.inverse[:, 0] / known,
        skew,
        shown,
        np.where(count > 0, scales.highest[:, 0] - level, 0.0),
        np.where(count > 0, level - scales.lowest[:, 0], 0.0),
    )


def _alike(square: FloatArray, windows: FloatArray, enough: BoolArray) -> FloatArray:
    """By how much likeness of windows side by side raises the variance of their skewness.

    Sum of the cubed autocorrelations over all lags (Lobato and Velasco, Econometric Theory 20,
    2004). Those from w to 2 w are as that of the means of w blocks side by side, which the
    variances of w and 2 w tell; they fall on as they did last where nothing is known of them.

    Args:
        square: Shape (LEVELS, S), variances of windows.
        windows: Shape (LEVELS, S), how many.
        enough: Shape (LEVELS, S), which are known well.
    """
    total = np.zeros_like(square)  # of autocovariances, cubed, from w on
    last, left = square[0], np.zeros(square.shape[1])
    for octave in range(math.ceil(math.log2(max(float(np.max(windows[0])), 2.0)))):
        known = last * left
        if octave + 1 < LEVELS:
            shown = np.clip(2 * square[octave + 1] - square[octave], 0.0, square[octave])
            known = np.where(enough[octave + 1], shown, known)
        left = np.divide(known, last, out=np.zeros_like(last), where=last > 0)
        left, last = np.minimum(left, 1.0), known
        within = 2.0**octave < windows[0] / 2
        total[: octave + 1] += np.where(within, 2.0**octave * last**3, 0.0)
    whole = WINDOWS[:, None] * np.maximum(square, 1e-100) ** 3
    found: FloatArray = np.minimum(1 + 2 * total / np.maximum(whole, 1e-300), windows)
    return found


def _extrapolated(extra: FloatArray, seen: _Seen) -> FloatArray:
    """Variances of means of more blocks than the baseline knows well: no less than they promise."""
    found, left = extra.copy(), np.full(extra.shape[1], _UNKNOWN)
    for at in range(1, LEVELS):
        before = found[at - 1]
        measured = np.divide(extra[at], before, out=left.copy(), where=before > 0)
        left = np.where(seen.enough[at], np.clip(measured, 0.5, 1.0), left)
        least = np.where(seen.enough[at], 0.0, before * left)
        found[at] = np.maximum(np.where(seen.windows[at] >= 2, extra[at], 0.0), least)
    return found


def _independent(seen: _Seen) -> FloatArray:
    """Independent windows of each length: their number over the variance inflation beyond it."""
    df = np.maximum(seen.windows - 1, 1.0)
    found = df.copy()
    for at in range(LEVELS - 1):
        longer = np.where(seen.enough[at + 1 :], seen.square[at + 1 :], 0.0)
        grown = longer * WINDOWS[: LEVELS - at - 1, None] * 2
        with np.errstate(divide="ignore", invalid="ignore"):
            inflation = np.max(grown, axis=0) / seen.square[at]
        inflation = np.where(np.isfinite(inflation), np.maximum(inflation, 1.0), 1.0)
        found[at] = np.maximum(df[at] / inflation, np.minimum(df[at], _LEAST_DF))
    return found


def _raised(noise: Noise, seen: _Seen) -> FloatArray:
    """By how much the largest window means of the baseline pass those of clean noise."""
    blocks = float(max(np.max(seen.windows[0]), 2.0))
    normal = np.full(noise.extra.shape, windowed_threshold(blocks / _BY_CHANCE))
    critical = noise.critical(normal, normal)
    variance = noise.white * seen.inverse + noise.extra + noise.uncertainty
    deviation = np.minimum.accumulate(np.maximum(np.sqrt(variance), noise.floor), axis=0)
    far = critical.quantile * deviation
    far[0] += critical.counts * seen.inverse
    # One wild block opens nothing.
    ratio = np.stack([seen.highest, seen.lowest])[:, 1:] / np.maximum(far[:, 1:], 1e-300)
    largest = np.max(ratio, axis=(0, 1))
    # As large as clean baselines have it, it says nothing about the tail of the noise.
    found: FloatArray = np.maximum(_MARGIN * largest * np.minimum(largest, 1.0) ** 2, 1.0)
    return found
