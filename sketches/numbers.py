"""Moments and histograms of the number features of a profile, as arrays over features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from . import histogram, layers
from .histogram import Histograms
from .table import FloatArray, IntArray


@dataclass(frozen=True, slots=True)
class Numbers:
    """F number features in order of their names.

    A sum that leaves the range of doubles never raises and never makes a NaN: the mean is then
    computed from parts that stay within, and ``m2`` is infinite.

    Attributes:
        names: F names, ascending (after ``select``: as asked for).
        count: Shape (F,), finite values.
        mean: Shape (F,); NaN without a value.
        m2: Shape (F,), sum of squared deviations from the mean; infinite where it overflows.
        minimum: Shape (F,), exact; NaN without a value or if withheld.
        maximum: Shape (F,), likewise.
        zeros: Shape (F,), values equal to 0.
        histogram: Of the same features.
    """

    names: tuple[str, ...]
    count: IntArray
    mean: FloatArray
    m2: FloatArray
    minimum: FloatArray
    maximum: FloatArray
    zeros: IntArray
    histogram: Histograms

    def variance(self) -> FloatArray:
        """Mean squared deviation from the mean, shape (F,); NaN without a value."""
        return self.m2 / np.where(self.count > 0, self.count, np.nan)

    def select(self, names: Sequence[str]) -> Numbers:
        """The features of these names in this order; one that is not here has no value."""
        if tuple(names) == self.names:
            return self
        at = {name: place for place, name in enumerate(self.names)}
        places = np.array([at.get(name, -1) for name in names], dtype=np.int64)
        known = places >= 0
        if not self.names:
            places = places[:0]

        def whole(column: IntArray) -> IntArray:
            found = np.zeros(len(names), dtype=np.int64)
            found[known] = column[places[places >= 0]]
            return found

        def real(column: FloatArray, lacking: float) -> FloatArray:
            found = np.full(len(names), lacking)
            found[known] = column[places[places >= 0]]
            return found

        bins = (
            self.histogram.select(places) if len(places) == len(names) else histogram.empty(len(names))
        )
        return Numbers(
            tuple(names),
            whole(self.count),
            real(self.mean, np.nan),
            real(self.m2, 0.0),
            real(self.minimum, np.nan),
            real(self.maximum, np.nan),
            whole(self.zeros),
            bins,
        )


def none() -> Numbers:
    """No feature."""
    whole = np.zeros(0, dtype=np.int64)
    real = np.zeros(0)
    return Numbers((), whole, real, real, real, real, whole, histogram.empty(0))


def build(names: tuple[str, ...], values: FloatArray) -> Numbers:
    """Profile columns.

    Args:
        names: F names, ascending.
        values: Shape (n, F); NaN is no value; no infinities.

    Returns:
        The features that have a value.
    """
    if not names or not len(values):
        return none()
    # Feature by feature in memory, every reduction below runs along cache lines.
    columns = np.ascontiguousarray(values.T)
    low = columns.min(axis=1)
    lacking = np.isnan(low)
    if lacking.any():
        known = ~np.isnan(columns)
        counts = np.count_nonzero(known, axis=1).astype(np.int64)
        flat = columns[known]
        if not counts.all():
            names = tuple(name for name, held in zip(names, counts.tolist(), strict=True) if held)
            counts = counts[counts > 0]
            if not names:
                return none()
        starts = np.cumsum(counts) - counts
        low = np.minimum.reduceat(flat, starts)
        high = np.maximum.reduceat(flat, starts)
    else:
        counts = np.full(len(names), len(values), dtype=np.int64)
        starts = np.cumsum(counts) - counts
        flat = columns.ravel()
        high = columns.max(axis=1)
    low, high = low + 0.0, high + 0.0  # no -0.0: which zero a minimum finds is chance
    mean, m2 = _moments(flat, starts, counts, low, high)
    zeros = np.zeros(len(names), dtype=np.int64)
    for at in np.flatnonzero((low <= 0) & (high >= 0)).tolist():
        mine = flat[starts[at] : starts[at] + counts[at]]
        zeros[at] = len(mine) - np.count_nonzero(mine)
    return Numbers(
        names, counts, mean, m2, low, high, zeros, layers.build(flat, counts, low, high)
    )


def _moments(
    flat: FloatArray, starts: IntArray, counts: IntArray, low: FloatArray, high: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Mean and sum of squared deviations, in two passes."""
    with np.errstate(over="ignore", invalid="ignore"):
        mean = np.add.reduceat(flat, starts) / counts
        for at in np.flatnonzero(~np.isfinite(mean)).tolist():
            mean[at] = (flat[starts[at] : starts[at] + counts[at]] / counts[at]).sum()
        mean = np.clip(mean, low, high) + 0.0  # rounding can leave the range, of a constant above all
        if (counts == counts[0]).all():
            away = (flat.reshape(len(counts), -1) - mean[:, None]).ravel()
        else:
            away = flat - np.repeat(mean, counts)
        away *= away
        return mean, np.add.reduceat(away, starts)


def merge(parts: Sequence[Numbers]) -> Numbers:
    """Add profiles up, moments in the order given (Chan, Golub, LeVeque 1979).

    Moments are merged one part after the other, so merging the first parts first changes no bit.
    """
    parts = [part for part in parts if part.names]
    if not parts:
        return none()
    if len(parts) == 1:
        return parts[0]
    first = parts[0].names
    if all(part.names == first for part in parts):
        names = first
        places = [np.arange(len(names))] * len(parts)
    else:
        names = tuple(sorted({name for part in parts for name in part.names}))
        at = {name: place for place, name in enumerate(names)}
        places = [np.array([at[name] for name in part.names]) for part in parts]
    count = np.zeros(len(names), dtype=np.int64)
    zeros = count.copy()
    mean, m2 = np.full(len(names), np.nan), np.zeros(len(names))
    minimum, maximum = mean.copy(), mean.copy()
    for part, place in zip(parts, places, strict=True):
        mean[place], m2[place] = _together(count[place], mean[place], m2[place], part)
        count[place] += part.count
        zeros[place] += part.zeros
        minimum[place] = np.fmin(minimum[place], part.minimum)
        maximum[place] = np.fmax(maximum[place], part.maximum)
    bins = histogram.merge([part.histogram for part in parts], places, len(names))
    return Numbers(names, count, mean, m2, minimum, maximum, zeros, bins)


def _together(
    count: IntArray, mean: FloatArray, m2: FloatArray, part: Numbers
) -> tuple[FloatArray, FloatArray]:
    """Mean and m2 of ``count`` values and those of ``part``."""
    with np.errstate(over="ignore", invalid="ignore"):
        share = part.count / np.maximum(count + part.count, 1)
        step = part.mean - mean
        moved = mean + step * share
        if np.isinf(step).any():
            moved = np.where(np.isinf(step), mean * (1 - share) + part.mean * share, moved)
        grown = m2 + part.m2 + step * step * count * share
    before, after = count > 0, part.count > 0
    if before.all() and after.all():
        return moved, grown
    return (
        np.where(before, np.where(after, moved, mean), part.mean),
        np.where(before, np.where(after, grown, m2), part.m2),
    )
