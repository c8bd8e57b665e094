"""Moments and histograms of the number features of a profile, as arrays over features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from . import histogram, layers
from .histogram import COARSEST, FINEST, Histograms
from .table import FloatArray, IntArray

_AT_ONCE = 2**17  # values of a block of features
_SHORT = 512  # rows up to which one call for all columns is faster than one for each


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

    def select(self, names: Sequence[str]) -> Numbers:
        """The features of these names in this order; one that is not here has no value."""
        if tuple(names) == self.names:
            return self
        at = {name: place for place, name in enumerate(self.names)}
        places = np.array([at.get(name, -1) for name in names], dtype=np.int64)
        known = places >= 0

        def real(column: FloatArray, lacking: float) -> FloatArray:
            found = np.full(len(places), lacking)
            found[known] = column[places[known]]
            return found

        def whole(column: IntArray) -> IntArray:
            found = np.zeros(len(places), dtype=np.int64)
            found[known] = column[places[known]]
            return found

        return Numbers(
            tuple(names),
            whole(self.count),
            real(self.mean, np.nan),
            real(self.m2, 0.0),
            real(self.minimum, np.nan),
            real(self.maximum, np.nan),
            whole(self.zeros),
            self.histogram.select(places),
        )


def none() -> Numbers:
    """No feature."""
    whole = np.zeros(0, dtype=np.int64)
    real = np.zeros(0)
    return Numbers((), whole, real, real, real, real, whole, histogram.empty(0))


def build(
    names: tuple[str, ...], values: FloatArray, columns: Sequence[int] | None = None
) -> Numbers:
    """Profile columns. How the values lie in memory makes no difference, not to the last bit.

    Args:
        names: F names, ascending.
        values: Shape (n, F); NaN is no value; no infinities.
        columns: F positions, the column of each name; None: in the order of the names.

    Returns:
        The features that have a value.
    """
    if not names or not len(values):
        return none()
    width = max(1, min(len(names), _AT_ONCE // len(values)))
    # Fresh memory costs more than the arithmetic on it: blocks of features share theirs.
    scratch = np.empty((2, width * len(values)))
    places = range(len(names)) if columns is None else columns
    with np.errstate(over="ignore", invalid="ignore"):
        parts = [
            _block(names[at : at + width], values, places[at : at + width], scratch)
            for at in range(0, len(names), width)
        ]
    return parts[0] if len(parts) == 1 else _beside(parts)


def _beside(parts: Sequence[Numbers]) -> Numbers:
    """Profiles of different features as one."""
    return Numbers(
        tuple(name for part in parts for name in part.names),
        np.concatenate([part.count for part in parts]),
        np.concatenate([part.mean for part in parts]),
        np.concatenate([part.m2 for part in parts]),
        np.concatenate([part.minimum for part in parts]),
        np.concatenate([part.maximum for part in parts]),
        np.concatenate([part.zeros for part in parts]),
        histogram.beside([part.histogram for part in parts]),
    )


def _block(
    names: tuple[str, ...], values: FloatArray, places: Sequence[int], scratch: FloatArray
) -> Numbers:
    """Profile a few columns, with scratch space for two copies of them."""
    flat, work = scratch[:, : len(names) * len(values)]
    columns = flat.reshape(len(names), len(values))
    # Feature by feature in memory, every reduction below runs along cache lines.
    if len(values) < _SHORT:
        columns[:] = values.T[list(places)]
    else:
        for column, place in zip(columns, places, strict=True):
            column[:] = values[:, place]
    low = columns.min(axis=1)
    if np.isnan(low).any():
        known = ~np.isnan(columns)
        counts = np.count_nonzero(known, axis=1).astype(np.int64)
        flat = columns[known]
        held = np.flatnonzero(counts)
        if not len(held):
            return none()
        names, counts = tuple(names[at] for at in held.tolist()), counts[held]
        starts = np.cumsum(counts) - counts
        low = np.minimum.reduceat(flat, starts)
        high = np.maximum.reduceat(flat, starts)
        work = work[: len(flat)]
    else:
        counts = np.full(len(names), len(values))
        starts = np.arange(0, len(flat), len(values))
        high = columns.max(axis=1)
    low += 0.0  # no -0.0: which zero a minimum finds is chance
    high += 0.0
    mean, m2 = _moments(flat, starts, counts, low, high, work)
    zeros = _zeros(flat, starts, counts, low, high)
    bins = layers.build(flat, counts, low, high, work)
    return Numbers(names, counts, mean, m2, low, high, zeros, bins)


def _zeros(
    flat: FloatArray, starts: IntArray, counts: IntArray, low: FloatArray, high: FloatArray
) -> IntArray:
    """Values equal to 0 by feature."""
    zeros = np.zeros(len(counts), dtype=np.int64)
    around = ((low <= 0) & (high >= 0)).nonzero()[0]
    if len(flat) < 256 * len(around):  # short columns: one call for all of them
        return np.add.reduceat(flat == 0, starts, dtype=np.int64)
    for at in around.tolist():
        mine = flat[starts[at] : starts[at] + counts[at]]
        zeros[at] = len(mine) - np.count_nonzero(mine)
    return zeros


def _moments(
    flat: FloatArray,
    starts: IntArray,
    counts: IntArray,
    low: FloatArray,
    high: FloatArray,
    work: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """Mean and sum of squared deviations, in two passes; ``work`` is overwritten."""
    mean = np.add.reduceat(flat, starts) / counts
    if not np.isfinite(mean).all():
        for at in np.flatnonzero(~np.isfinite(mean)).tolist():
            mean[at] = (flat[starts[at] : starts[at] + counts[at]] / counts[at]).sum()
    # Rounding can leave the range, and does so of a constant.
    mean = np.minimum(np.maximum(mean, low), high) + 0.0
    if len(flat) == len(counts) * counts[0] and (counts == counts[0]).all():
        shape = (len(counts), -1)
        np.subtract(flat.reshape(shape), mean[:, None], out=work.reshape(shape))
    else:
        np.subtract(flat, np.repeat(mean, counts), out=work)
    work *= work
    return mean, np.add.reduceat(work, starts)


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


def coarse(found: Numbers) -> Numbers:
    """The same values in bins as wide as an eighth of the largest, and nothing exact but counts."""
    bins = found.histogram
    owner, scale = bins.owner(), bins.scale.astype(np.int64)
    # Bits of the bin border that is further from 0.
    reach = scale + np.frexp(np.maximum(np.abs(bins.index), np.abs(bins.index + 1)) * 1.0)[1]
    top = np.full(bins.features, FINEST, dtype=np.int64)
    np.maximum.at(top, owner, reach)
    wide = histogram.widened(bins, np.clip(top - 3, FINEST, COARSEST))
    owner = wide.owner()
    middle = wide.middles()
    with np.errstate(over="ignore"):
        share = wide.count / np.maximum(found.count, 1)[owner]
        mean = np.bincount(owner, middle * share, bins.features).astype(np.float64)
        away = wide.count * (middle - mean[owner]) ** 2
        m2 = np.bincount(owner, away, bins.features).astype(np.float64)
    unknown = np.full(bins.features, np.nan)
    mean[found.count == 0] = np.nan
    zeros = np.zeros_like(found.zeros)
    return Numbers(found.names, found.count, mean, m2, unknown, unknown, zeros, wide)
