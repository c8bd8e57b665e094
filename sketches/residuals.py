"""What a signal is expected to be, and how much it strays by itself, measured in its baseline.

The noise of a mean over w blocks with n records is ``c / n + tau_w^2``: c is what independent
records give, ``tau_w^2`` what the stream adds (day and night, autocorrelation, over-dispersion),
measured for each window length apart. So autocorrelated residuals get the noise that they have.

Source: batch means for the long-run variance, as in Kim, Alexopoulos, Tsui and Wilson,
"A distribution-free tabular CUSUM chart for autocorrelated data" (IIE Transactions 39, 2007).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import numpy as np

from .budget import student
from .state import Packed, pack_all, unpack_all
from .table import BoolArray, FloatArray, IntArray

LEVELS: Final = 8  # windows of 1, 2, 4, .. 128 blocks
WINDOWS: Final = 2 ** np.arange(LEVELS)
LIMIT: Final = 8.0  # residuals are clipped there: one wild block is not a change
_BATCHES: Final = 16  # fewer windows say too little about the long-run noise
_LEAST_DF: Final = 30  # of long autocorrelation; the number of windows itself may be less
_NORMAL_90: Final = 1.2816  # 90 % quantile
_MARGIN: Final = 0.9  # the largest mean in the baseline stays below this part of the critical value


class Scales:
    """Means of 1, 2, 4, .. 128 consecutive blocks of S signals: their moments and extremes.

    A binary counter: a mean of 2w blocks is made of two of w; so all window lengths are measured in
    one pass, with memory that does not grow.

    Args:
        signals: S.
    """

    _FIELDS: Final = (
        "count",
        "weight",
        "first",
        "second",
        "inverse",
        "highest",
        "lowest",
        "held_weight",
        "held_value",
        "held_sample",
        "holds",
    )

    def __init__(self, signals: int) -> None:
        shape = (LEVELS, signals)
        self.count = np.zeros(shape)  # windows
        self.weight = np.zeros(shape)
        self.first = np.zeros(shape)  # sum of weight times mean
        self.second = np.zeros(shape)  # sum of weight times squared mean
        self.inverse = np.zeros(shape)  # sum of weight over sample size
        self.highest = np.full(shape, -np.inf)
        self.lowest = np.full(shape, np.inf)
        self.held_weight = np.zeros(shape)  # the first half of the next window
        self.held_value = np.zeros(shape)
        self.held_sample = np.zeros(shape)
        self.holds = np.zeros(shape, dtype=bool)

    def add(self, values: FloatArray, sample: FloatArray, weight: FloatArray) -> None:
        """Add a block.

        Args:
            values: Shape (S,); NaN is skipped.
            sample: Shape (S,), records behind each value.
            weight: Shape (S,), of each value in a mean.
        """
        value, present = np.nan_to_num(values), np.isfinite(values) & (sample > 0) & (weight > 0)
        for level in range(LEVELS):
            if not present.any():
                return
            with np.errstate(divide="ignore", invalid="ignore"):
                inverse = np.where(present, weight / sample, 0.0)
            known = np.where(present, weight, 0.0)
            self.count[level] += present
            self.weight[level] += known
            self.first[level] += known * value
            self.second[level] += known * value * value
            self.inverse[level] += inverse
            self.highest[level] = np.where(
                present, np.maximum(self.highest[level], value), self.highest[level]
            )
            self.lowest[level] = np.where(
                present, np.minimum(self.lowest[level], value), self.lowest[level]
            )
            whole = present & self.holds[level]
            begun = present & ~self.holds[level]
            total = self.held_weight[level] + weight
            with np.errstate(invalid="ignore"):
                mean = np.where(
                    whole,
                    (self.held_weight[level] * self.held_value[level] + weight * value) / total,
                    0.0,
                )
            both = self.held_sample[level] + sample
            self.held_weight[level] = np.where(begun, weight, self.held_weight[level])
            self.held_value[level] = np.where(begun, value, self.held_value[level])
            self.held_sample[level] = np.where(begun, sample, self.held_sample[level])
            self.holds[level] ^= present
            value, weight, sample, present = mean, total, both, whole

    def forget(self, signals: BoolArray) -> None:
        """Begin anew for some signals, shape (S,)."""
        empty = Scales(len(signals))
        for name in self._FIELDS:
            getattr(self, name)[:, signals] = getattr(empty, name)[:, signals]

    def rescaled(self, factor: FloatArray, shift: FloatArray) -> Scales:
        """As if every value had been ``factor * value + shift``, factor > 0."""
        found = Scales(len(factor))
        for name in self._FIELDS:
            setattr(found, name, getattr(self, name).copy())
        found.second = factor**2 * self.second + 2 * factor * shift * self.first
        found.second += shift**2 * self.weight
        found.first = factor * self.first + shift * self.weight
        found.highest = factor * self.highest + shift
        found.lowest = factor * self.lowest + shift
        found.held_value = factor * self.held_value + shift
        return found

    def mean(self) -> FloatArray:
        """Weighted mean of all blocks, shape (S,); 0 without any."""
        found: FloatArray = self.first[0] / np.where(self.weight[0] > 0, self.weight[0], 1.0)
        return found

    def state(self) -> dict[str, Packed]:
        """All of it."""
        return pack_all({name: getattr(self, name) for name in self._FIELDS})

    @classmethod
    def restore(cls, state: dict[str, Packed]) -> Scales:
        """From ``state``."""
        found = cls(0)
        for name, values in unpack_all(state).items():
            setattr(found, name, values)
        return found


class Points(NamedTuple):
    """N means of the last blocks of some signals; every column has the shape (N,).

    Attributes:
        signals: Number of each one's signal.
        blocks: Blocks in it.
        shift: Its deviation from the level.
        sample: Records behind it.
    """

    signals: IntArray
    blocks: IntArray
    shift: FloatArray
    sample: FloatArray


@dataclass(frozen=True, slots=True)
class Noise:
    """What is expected of S signals, and how far they stray by themselves.

    Attributes:
        level: Shape (S,), expected value.
        white: Shape (S,), c: variance of one record's part.
        extra: Shape (LEVELS, S), tau_w^2 by window length.
        long_run: Shape (S,), largest w tau_w^2: what a block adds to the variance of a long sum.
        df: Shape (LEVELS, S), independent windows in the baseline.
        uncertainty: Shape (S,), variance of the level itself.
        factor: Shape (S,), at least 1: by how much the noise was raised in calibration.
    """

    level: FloatArray
    white: FloatArray
    extra: FloatArray
    long_run: FloatArray
    df: FloatArray
    uncertainty: FloatArray
    factor: FloatArray

    def standardise(self, away: FloatArray, sample: float) -> FloatArray:
        """Residuals in units of the long-run noise of one block, clipped to ``LIMIT``.

        Args:
            away: Shape (S,), value minus level; NaN stays NaN, infinities are clipped.
            sample: Records of the block.
        """
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            variance = self.white / max(sample, 1.0) + self.long_run + self.uncertainty
            found: FloatArray = away / (np.sqrt(variance) * self.factor)
        return np.minimum(np.maximum(found, -LIMIT), LIMIT)

    def limits(self, means: Points, quantiles: FloatArray, gate: FloatArray) -> FloatArray:
        """How far means must be from the level to be told.

        Farther than the critical value of the noise, and past the gate with 90 % certainty. A mean
        of w blocks strays no more than means of fewer blocks do, so the smallest value that follows
        from any shorter window holds.

        Args:
            means: N of them.
            quantiles: Shape (LEVELS, S), critical values in units of the noise.
            gate: Shape (N,), smallest effect worth telling.

        Returns:
            Shape (N,).
        """
        signals = means.signals
        white = self.white[signals] / np.maximum(means.sample, 1)
        wide = white + self.extra[:, signals] + self.uncertainty[signals]
        deviation = np.sqrt(wide) * self.factor[signals]  # shape (LEVELS, N)
        deviation[WINDOWS[:, None] > means.blocks] = np.inf
        critical = np.min(quantiles[:, signals] * deviation, axis=0)
        found: FloatArray = np.maximum(critical, gate + _NORMAL_90 * np.min(deviation, axis=0))
        return found

    def strays(self, means: Points) -> FloatArray:
        """Their standard deviations, were all blocks independent but for the long-run noise."""
        signals = means.signals
        variance = self.white[signals] / np.maximum(means.sample, 1)
        variance += self.long_run[signals] / means.blocks
        found: FloatArray = np.sqrt(variance) * self.factor[signals]
        return found

    def moved(self, signal: int, shift: float) -> Noise:
        """The same noise around another level of one signal."""
        level = self.level.copy()
        level[signal] += shift
        return replace(self, level=level)

    def state(self) -> dict[str, Packed]:
        """All of it."""
        return pack_all({name: getattr(self, name) for name in self.__slots__})

    @classmethod
    def restore(cls, state: dict[str, Packed]) -> Noise:
        """From ``state``."""
        return cls(**unpack_all(state))


def measure(
    scales: Scales, level: FloatArray, white: FloatArray, floor: FloatArray, threshold: float
) -> Noise:
    """Noise from a baseline's own blocks.

    Where the means of the baseline's own windows of 4 blocks and more come near the critical value,
    the noise is raised until they do not. Only windows side by side are looked at, not those in
    between, nor 1 and 2 blocks: it makes alarms on the baseline itself unlikely, not impossible.

    Args:
        scales: Of the baseline's blocks.
        level: Shape (S,), expected values.
        white: Shape (S,), c.
        floor: Shape (S,), least standard deviation, from the smallest effect worth telling.
        threshold: Critical value of a warning.
    """
    weight = np.where(scales.weight > 0, scales.weight, 1.0)
    about = scales.second - 2 * level * scales.first + level**2 * scales.weight
    count = np.maximum(scales.count, 1)
    square = np.maximum(about / weight, 0.0) * count / np.maximum(count - 1, 1)
    extra = np.maximum(square - white * scales.inverse / weight, 0.0)
    for at in range(1, LEVELS):  # too few windows: what shorter ones showed
        extra[at] = np.where(scales.count[at] < 2, extra[at - 1], extra[at])
    enough = scales.count >= _BATCHES
    enough[0] = True
    long_run = np.max(np.where(enough, extra * WINDOWS[:, None], 0.0), axis=0)
    df = _independent(scales, square, enough)
    blocks = np.maximum(scales.count[0], 1)
    records = np.maximum(weight[0] / np.maximum(scales.inverse[0], 1e-300) * blocks, 1)
    # Few blocks measure their noise badly; what a t quantile needs more than a normal one.
    inflation = student(threshold, np.maximum(blocks - 1, 1)) / threshold
    long_run = np.maximum(long_run * inflation**2, floor**2)
    uncertainty = np.maximum(long_run / blocks, 0.0) + white / records
    noise = Noise(
        level, white, np.maximum(extra, floor**2), long_run, df, uncertainty, np.ones_like(level)
    )
    return replace(noise, factor=_raised(scales, noise, threshold))


def _independent(scales: Scales, square: FloatArray, enough: BoolArray) -> FloatArray:
    """Independent windows of each length: their number over the variance inflation beyond it."""
    df = np.maximum(scales.count - 1, 1.0)
    found = df.copy()
    for at in range(LEVELS - 1):
        longer = np.where(enough[at + 1 :], square[at + 1 :], 0.0)
        grown = longer * WINDOWS[: LEVELS - at - 1, None] * 2
        with np.errstate(divide="ignore", invalid="ignore"):
            inflation = np.max(grown, axis=0) / square[at]
        inflation = np.where(np.isfinite(inflation), np.maximum(inflation, 1.0), 1.0)
        found[at] = np.maximum(df[at] / inflation, np.minimum(df[at], _LEAST_DF))
    return found


def _raised(scales: Scales, noise: Noise, threshold: float) -> FloatArray:
    """The factor that keeps the largest window mean of the baseline below its critical value."""
    weight = np.where(scales.weight > 0, scales.weight, 1.0)
    white = noise.white * scales.inverse / weight
    deviation = np.sqrt(white + noise.extra + noise.uncertainty)
    critical = np.minimum.accumulate(student(threshold, noise.df) * deviation, axis=0)
    # One or two wild blocks fire neither detector: their residuals are clipped.
    seen = (scales.count > 0) & (WINDOWS[:, None] >= 4)
    high = np.where(seen, scales.highest, noise.level) - noise.level
    low = noise.level - np.where(seen, scales.lowest, noise.level)
    ratio = np.maximum(high, low) / np.maximum(critical, 1e-300)
    found: FloatArray = np.maximum(np.max(ratio, axis=0) / _MARGIN, 1.0)
    return found
