"""Moments and histograms of the number features of a profile, as arrays over features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, pairwise, zip_longest
from typing import NamedTuple

import numpy as np

from . import histogram, layers
from .histogram import COARSEST, FINEST, Histograms
from .ragged import edges
from .table import FloatArray, IntArray

_AT_ONCE = 2**17  # values of a block of features
_BINS = 2**14  # of profiles that are merged together: more do not stay in the processor's cache
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


class Columns(NamedTuple):
    """Columns of one table to be profiled.

    Attributes:
        names: F names, ascending.
        values: Shape (n, C), C >= F; NaN is no value; no infinities.
        places: F positions, the column of each name.
    """

    names: tuple[str, ...]
    values: FloatArray
    places: Sequence[int]


class _Piece(NamedTuple):
    """Some columns of one table."""

    table: int
    start: int
    stop: int


def build(
    names: tuple[str, ...], values: FloatArray, columns: Sequence[int] | None = None
) -> Numbers:
    """Profile the columns of one table, in the order of the names unless ``columns`` says others.

    See ``build_all``.
    """
    places = range(len(names)) if columns is None else columns
    return build_all([Columns(names, values, places)])[0]


def build_all(tables: Sequence[Columns]) -> list[Numbers]:
    """Profile the columns of many tables at once, each as if it were alone, to the last bit.

    How the values lie in memory makes no difference either.

    Returns:
        Of each table the features that have a value.
    """
    blocks = _blocks(tables)
    found: list[list[Numbers]] = [[] for _ in tables]
    # Fresh memory costs more than the arithmetic on it: blocks of features share theirs.
    scratch = np.empty((2, max((size for _, size in blocks), default=0)))
    with np.errstate(over="ignore", invalid="ignore"):
        for pieces, size in blocks:
            whole, owner = _block(tables, pieces, scratch[:, :size])
            for piece, part in zip(pieces, _split(whole, owner, len(pieces)), strict=True):
                found[piece.table].append(part)
    return [_beside([part for part in parts if part.names]) for parts in found]


def _blocks(tables: Sequence[Columns]) -> list[tuple[list[_Piece], int]]:
    """Columns that are profiled together, and how many values that are."""
    blocks: list[tuple[list[_Piece], int]] = []
    pieces: list[_Piece] = []
    held = 0
    for number, (names, values, _) in enumerate(tables):
        if not len(values):
            continue
        width = max(1, _AT_ONCE // len(values))
        for start in range(0, len(names), width):
            stop = min(start + width, len(names))
            size = (stop - start) * len(values)
            if pieces and held + size > _AT_ONCE:
                blocks.append((pieces, held))
                pieces, held = [], 0
            pieces.append(_Piece(number, start, stop))
            held += size
    return [*blocks, (pieces, held)] if pieces else blocks


def _split(whole: Numbers, owner: IntArray, parts: int) -> list[Numbers]:
    """The features of each part; ``owner``, ascending, is the part of each feature."""
    if parts == 1:
        return [whole]
    edges = np.searchsorted(owner, np.arange(parts + 1)).tolist()
    return [
        Numbers(
            whole.names[start:stop],
            whole.count[start:stop].copy(),
            whole.mean[start:stop].copy(),
            whole.m2[start:stop].copy(),
            whole.minimum[start:stop].copy(),
            whole.maximum[start:stop].copy(),
            whole.zeros[start:stop].copy(),
            whole.histogram.cut(start, stop),
        )
        for start, stop in pairwise(edges)
    ]


def _beside(parts: Sequence[Numbers]) -> Numbers:
    """Profiles of different features as one."""
    if len(parts) < 2:
        return parts[0] if parts else none()
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
    tables: Sequence[Columns], pieces: Sequence[_Piece], scratch: FloatArray
) -> tuple[Numbers, IntArray]:
    """Profile a few columns, with scratch space for two copies of them.

    Returns:
        Those with a value, and the piece of each.
    """
    flat, work = scratch
    names, counts, owner = _filled(tables, pieces, flat)
    starts = np.cumsum(counts) - counts
    low = _lowest(flat, starts, counts)
    if np.isnan(low).any():
        known = ~np.isnan(flat)
        counts = np.add.reduceat(known, starts, dtype=np.int64)
        held = np.flatnonzero(counts)
        if not len(held):
            return none(), owner[:0]
        names = tuple(names[at] for at in held.tolist())
        counts, owner, flat = counts[held], owner[held], flat[known]
        starts = np.cumsum(counts) - counts
        low = np.minimum.reduceat(flat, starts)
        work = work[: len(flat)]
    high = _highest(flat, starts, counts)
    low += 0.0  # no -0.0: which zero a minimum finds is chance
    high += 0.0
    mean, m2 = _moments(flat, starts, counts, low, high, work)
    zeros = _zeros(flat, starts, counts, low, high)
    bins = layers.build(flat, counts, low, high, work)
    return Numbers(names, counts, mean, m2, low, high, zeros, bins), owner


def _filled(
    tables: Sequence[Columns], pieces: Sequence[_Piece], flat: FloatArray
) -> tuple[tuple[str, ...], IntArray, IntArray]:
    """Puts columns into ``flat``, one after the other; names, sizes and piece of each."""
    names: list[str] = []
    lengths, widths = [], []
    at = 0
    for table, start, stop in pieces:
        found, values, places = tables[table]
        names += found[start:stop]
        lengths.append(len(values))
        widths.append(stop - start)
        columns = flat[at : at + len(values) * (stop - start)].reshape(-1, len(values))
        at += columns.size
        # Feature by feature in memory, every reduction runs along cache lines.
        if len(values) < _SHORT:
            columns[:] = values.T[list(places[start:stop])]
        else:
            for column, place in zip(columns, places[start:stop], strict=True):
                column[:] = values[:, place]
    owner = np.repeat(np.arange(len(pieces)), widths)
    return tuple(names), np.array(lengths)[owner], owner


def _lowest(flat: FloatArray, starts: IntArray, counts: IntArray) -> FloatArray:
    """Minimum of each column."""
    if _alike(counts):
        found: FloatArray = flat.reshape(len(counts), -1).min(axis=1)
        return found
    return np.minimum.reduceat(flat, starts)


def _highest(flat: FloatArray, starts: IntArray, counts: IntArray) -> FloatArray:
    """Maximum of each column."""
    if _alike(counts):
        found: FloatArray = flat.reshape(len(counts), -1).max(axis=1)
        return found
    return np.maximum.reduceat(flat, starts)


def _alike(counts: IntArray) -> bool:
    """Whether all columns are equally long."""
    return bool((counts == counts[0]).all())


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
    if _alike(counts):
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
    return merge_all([parts])[0]


def merge_all(groups: Sequence[Sequence[Numbers]]) -> list[Numbers]:
    """Add up the profiles of each group, each as if it were alone, to the last bit."""
    held = [[part for part in parts if part.names] for parts in groups]
    merged: list[Numbers] = []
    some: list[list[Numbers]] = []
    bins = 0
    for parts in held:
        if len(parts) > 1:
            some.append(parts)
            bins += sum(len(part.histogram.count) for part in parts)
            if bins > _BINS:
                merged += _merged(some)
                some, bins = [], 0
    merged += _merged(some)
    found = iter(merged)
    return [next(found) if len(parts) > 1 else parts[0] if parts else none() for parts in held]


def _merged(groups: Sequence[Sequence[Numbers]]) -> list[Numbers]:
    """Each group has at least two parts."""
    if not groups:
        return []
    names_of = [_union(parts) for parts in groups]
    begin = edges(np.array(list(map(len, names_of)))).tolist()
    placed = [
        [(part, _places(part.names, names, start)) for part in parts]
        for parts, names, start in zip(groups, names_of, begin[:-1], strict=True)
    ]
    total = begin[-1]
    count = np.zeros(total, dtype=np.int64)
    zeros = count.copy()
    mean, m2 = np.full(total, np.nan), np.zeros(total)
    minimum, maximum = mean.copy(), mean.copy()
    for nth in zip_longest(*placed):  # of every group
        parts = [part for part, _ in filter(None, nth)]
        place = np.concatenate([each for _, each in filter(None, nth)])
        more = np.concatenate([part.count for part in parts])
        its_mean = np.concatenate([part.mean for part in parts])
        its_m2 = np.concatenate([part.m2 for part in parts])
        mean[place], m2[place] = _together(
            (count[place], mean[place], m2[place]), (more, its_mean, its_m2)
        )
        count[place] += more
        zeros[place] += np.concatenate([part.zeros for part in parts])
        lower = np.concatenate([part.minimum for part in parts])
        upper = np.concatenate([part.maximum for part in parts])
        minimum[place] = np.fmin(minimum[place], lower)
        maximum[place] = np.fmax(maximum[place], upper)
    pairs = [pair for each in placed for pair in each]
    bins = histogram.merge([part.histogram for part, _ in pairs], [at for _, at in pairs], total)
    names = tuple(chain.from_iterable(names_of))
    whole = Numbers(names, count, mean, m2, minimum, maximum, zeros, bins)
    return _split(whole, np.repeat(np.arange(len(groups)), np.diff(begin)), len(groups))


def _union(parts: Sequence[Numbers]) -> tuple[str, ...]:
    first = parts[0].names
    if all(part.names == first for part in parts):
        return first
    return tuple(sorted({name for part in parts for name in part.names}))


def _places(names: tuple[str, ...], among: tuple[str, ...], start: int) -> IntArray:
    """Where names stand among others of which the first is at ``start``."""
    if names == among:
        return np.arange(start, start + len(names))
    at = {name: place for place, name in enumerate(among, start)}
    return np.array([at[name] for name in names])


_Moments = tuple[IntArray, FloatArray, FloatArray]  # count, mean, m2


def _together(one: _Moments, other: _Moments) -> tuple[FloatArray, FloatArray]:
    """Mean and m2 of the values of both."""
    (count, mean, m2), (more, its_mean, its_m2) = one, other
    with np.errstate(over="ignore", invalid="ignore"):
        share = more / np.maximum(count + more, 1)
        step = its_mean - mean
        moved = mean + step * share
        if np.isinf(step).any():
            moved = np.where(np.isinf(step), mean * (1 - share) + its_mean * share, moved)
        grown = m2 + its_m2 + step * step * count * share
    before, after = count > 0, more > 0
    if before.all() and after.all():
        return moved, grown
    return (
        np.where(before, np.where(after, moved, mean), its_mean),
        np.where(before, np.where(after, grown, m2), its_m2),
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
