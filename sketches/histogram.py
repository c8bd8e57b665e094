"""Layered power-of-two histograms of many features at once.

A bin is ``[k * 2**s, (k + 1) * 2**s)`` for a scale ``s`` and an index ``k``. Bins of different
scales nest and stay side by side, so adding two histograms adds counts: exact, in any order, with
nothing agreed on beforehand. ``sketches.layers`` decides how fine the bins of a chunk are.

A feature keeps at most ``CAP`` bins. Over it, all its bins are coarsened to the first level that
suffices, and the level is remembered as ``folded``:

- level j up to ``COARSEST``: a bin finer than scale j becomes the bin of scale j that holds it, or
  one of a finer scale that is still 1/32 to 1/64 as wide as it is far from 0;
- the levels after that: any bin becomes one at least so wide as the level says.

A level's bins follow from those of any level before, so the level that suffices follows from the
union of all bins ever added, and adding up stays associative and commutative to the last bit above
the cap too. Only resolution is lost. Up to level ``COARSEST`` a value stays in its first bin, or in
one no wider than both ``2**folded`` and 1/32 of its distance from 0.

Source: the rule is this project's own; bins whose widths are powers of two, so that they merge
exactly, are the idea of exponential histograms (OpenTelemetry metrics data model).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .ragged import edges
from .table import FloatArray, IntArray

ScaleArray = NDArray[np.int16]

CAP = 4096  # bins of one feature
FINEST = -1074  # exponent of the smallest subnormal: no finer bin tells floats apart
COARSEST = 1023  # a bin of this scale holds all floats of one sign
LAST_LEVEL = COARSEST + 1 + COARSEST - FINEST  # two bins are left
_BITS = 6  # of an index of a bin that is 1/32 to 1/64 as wide as it is far from 0
_LARGEST = np.finfo(np.float64).max
_PACKED = 62  # bits of a sort key
_FEW = 2048  # bins that are sorted in less time than a table of them takes
_EXACT = 2.0**53  # whole numbers up to here are doubles


@dataclass(frozen=True, slots=True)
class Histograms:
    """Bins of F features, those of feature f at ``starts[f]:starts[f + 1]``.

    Attributes:
        starts: Shape (F + 1,).
        scale: Shape (B,), s of each bin; ascending within a feature.
        index: Shape (B,), k of each bin; ascending within a scale; at most 2**53 in size.
        count: Shape (B,), positive.
        folded: Shape (F,), the level to which bins were coarsened; ``FINEST``: none was.
    """

    starts: IntArray
    scale: ScaleArray
    index: IntArray
    count: IntArray
    folded: ScaleArray

    @property
    def features(self) -> int:
        """Number of features, F."""
        return len(self.starts) - 1

    def owner(self) -> IntArray:
        """The feature of each bin, shape (B,)."""
        return np.repeat(np.arange(self.features), np.diff(self.starts))

    def totals(self) -> IntArray:
        """Values of each feature, shape (F,)."""
        if (self.starts[1:] > self.starts[:-1]).all():
            totals: IntArray = np.add.reduceat(self.count, self.starts[:-1])
            return totals
        before = edges(self.count)
        return before[self.starts[1:]] - before[self.starts[:-1]]

    def middles(self) -> FloatArray:
        """The middle of each bin, shape (B,); finite."""
        with np.errstate(over="ignore"):
            found = np.ldexp(self.index + 0.5, self.scale.astype(np.int64))
        finite: FloatArray = np.minimum(np.maximum(found, -_LARGEST), _LARGEST)
        return finite

    def select(self, places: IntArray) -> Histograms:
        """The features at ``places``, in that order; -1 is a feature without a bin."""
        known = places >= 0
        at = np.where(known, places, 0)
        if not self.features:
            return empty(len(places))
        sizes = np.where(known, np.diff(self.starts)[at], 0)
        starts = edges(sizes)
        bins = np.repeat(self.starts[at] - starts[:-1], sizes) + np.arange(starts[-1])
        folded = np.where(known, self.folded[at], FINEST).astype(np.int16)
        return Histograms(starts, self.scale[bins], self.index[bins], self.count[bins], folded)

    def cut(self, start: int, stop: int) -> Histograms:
        """The features ``[start, stop)``, in memory of their own."""
        first, last = int(self.starts[start]), int(self.starts[stop])
        return Histograms(
            self.starts[start : stop + 1] - first,
            self.scale[first:last].copy(),
            self.index[first:last].copy(),
            self.count[first:last].copy(),
            self.folded[start:stop].copy(),
        )


def empty(features: int) -> Histograms:
    """Histograms without a bin."""
    none = np.zeros(0, dtype=np.int64)
    starts = np.zeros(features + 1, dtype=np.int64)
    return Histograms(starts, none.astype(np.int16), none, none, _unfolded(features))


def gather(
    features: int, owner: IntArray, scale: IntArray, index: IntArray, count: IntArray
) -> Histograms:
    """Histograms of bins in any order; equal bins are added up.

    Args:
        features: Number of features, F.
        owner: Shape (B,), the feature of each bin, 0 to F - 1.
        scale: Shape (B,), int64.
        index: Shape (B,).
        count: Shape (B,).
    """
    return _capped(features, _added(owner, scale, index, count), _unfolded(features))


def merge(
    histograms: Sequence[Histograms], columns: Sequence[IntArray], features: int
) -> Histograms:
    """Add histograms up: the same result, bit for bit, for every order and grouping.

    Args:
        histograms: What to add.
        columns: For each of them, the place of its features in the result.
        features: Number of features of the result.
    """
    if not histograms:
        return empty(features)
    folded = _unfolded(features)
    for each, place in zip(histograms, columns, strict=True):
        folded[place] = np.maximum(folded[place], each.folded)
    coarse = bool((folded > FINEST).any())
    tabled = None if coarse else _tabled(histograms, columns, features)
    if tabled is not None:
        return _capped(features, tabled, folded)
    owner, scale, index, count = (
        np.concatenate(column)
        for column in zip(
            *(
                (np.repeat(place, np.diff(each.starts)), each.scale, each.index, each.count)
                for each, place in zip(histograms, columns, strict=True)
            ),
            strict=True,
        )
    )
    scale = scale.astype(np.int64)
    if coarse:
        scale, index = _coarsened(scale, index, folded[owner].astype(np.int64))
    return _capped(features, _added(owner, scale, index, count), folded)


def beside(parts: Sequence[Histograms]) -> Histograms:
    """Histograms of different features as one."""
    if len(parts) == 1:
        return parts[0]
    sizes = np.concatenate([np.diff(part.starts) for part in parts])
    return Histograms(
        edges(sizes),
        np.concatenate([part.scale for part in parts]),
        np.concatenate([part.index for part in parts]),
        np.concatenate([part.count for part in parts]),
        np.concatenate([part.folded for part in parts]),
    )


def widened(histograms: Histograms, scale: IntArray) -> Histograms:
    """The same values in bins no finer than ``scale``, shape (F,), remembered nowhere."""
    owner = histograms.owner()
    wider, index = _widened(histograms.scale.astype(np.int64), histograms.index, scale[owner])
    bins = _added(owner, wider, index, histograms.count)
    return _capped(histograms.features, bins, histograms.folded.copy())


_Bins = tuple[IntArray, IntArray, IntArray, IntArray]


def _unfolded(features: int) -> ScaleArray:
    return np.full(features, FINEST, dtype=np.int16)


def _tabled(
    histograms: Sequence[Histograms], columns: Sequence[IntArray], features: int
) -> _Bins | None:
    """The bins in order, equal ones as one; None: sorting is better.

    Where many histograms say much the same, all indexes between the ends of a layer make a table
    that is not much larger than the bins are, and adding up in it takes no sorting. What a layer
    and its feature are is asked once a layer, not for every bin.
    """
    scale, index, count = (
        np.concatenate(column)
        for column in zip(*((one.scale, one.index, one.count) for one in histograms), strict=True)
    )
    if len(index) < _FEW or float(count.sum(dtype=np.float64)) > _EXACT:
        return None
    finest = int(scale.min())
    scales = int(scale.max()) - finest + 1
    if features * scales > len(index):
        return None
    sizes = np.concatenate([np.diff(one.starts) for one in histograms])
    full = sizes.nonzero()[0]
    rows = edges(sizes)[full]
    new = np.ones(len(scale), dtype=bool)
    np.not_equal(scale[1:], scale[:-1], out=new[1:])
    new[rows] = True
    first = new.nonzero()[0]
    lengths = np.diff(first, append=len(scale))
    owner = np.concatenate(columns)[full][np.searchsorted(rows, first, side="right") - 1]
    number = owner * scales + (scale[first].astype(np.int64) - finest)
    low = np.full(features * scales, np.iinfo(np.int64).max)
    high = np.full(features * scales, np.iinfo(np.int64).min)
    np.minimum.at(low, number, index[first])
    np.maximum.at(high, number, index[first + lengths - 1])
    held = (high >= low).nonzero()[0]
    spans = high[held] - low[held] + 1  # wide ones wrap to negative numbers
    if int(spans.min()) < 1 or float(spans.sum(dtype=np.float64)) > len(index):
        return None
    begin = edges(spans)
    base = np.zeros(features * scales, dtype=np.int64)
    base[held] = begin[:-1] - low[held]
    cells = np.repeat(base[number], lengths)
    cells += index
    sums = np.bincount(cells, count, int(begin[-1]))
    filled = sums.nonzero()[0]
    sizes = np.diff(np.searchsorted(filled, begin))
    found = np.repeat(held, sizes)
    of_owner = found // scales
    return (
        of_owner,
        found - of_owner * scales + finest,
        filled - np.repeat(base[held], sizes),
        sums[filled].astype(np.int64),
    )


def _added(owner: IntArray, scale: IntArray, index: IntArray, count: IntArray) -> _Bins:
    """The bins in order, equal ones as one."""
    if len(owner) < 2:
        return owner, scale, index, count
    keys = _keys(owner, scale, index)
    if len(keys) == 1 and (keys[0][1:] > keys[0][:-1]).all():
        return owner, scale, index, count
    # What is added up is in order, part by part, and that is where a stable sort is fast.
    order = np.argsort(keys[0], kind="stable") if len(keys) == 1 else np.lexsort(keys)
    new = np.zeros(len(order), dtype=bool)
    new[0] = True
    for key in keys:
        sorted_key = key[order]
        new[1:] |= sorted_key[1:] != sorted_key[:-1]
    first = new.nonzero()[0]
    kept = order[first]
    return owner[kept], scale[kept], index[kept], np.add.reduceat(count[order], first)


def _keys(owner: IntArray, scale: IntArray, index: IntArray) -> tuple[IntArray, ...]:
    """What bins are sorted by, the last one first: a single number where all fits into one."""
    low, finest = int(index.min()), int(scale.min())
    of_index = (int(index.max()) - low).bit_length()
    of_scale = (int(scale.max()) - finest).bit_length()
    if of_index + of_scale + int(owner.max()).bit_length() > _PACKED:
        return index, scale, owner
    return ((((owner << of_scale) + (scale - finest)) << of_index) + (index - low),)


def _capped(features: int, bins: _Bins, folded: ScaleArray) -> Histograms:
    """Coarsen every feature over the cap."""
    owner, scale, index, count = bins
    sizes = np.bincount(owner, minlength=features)
    over = (sizes > CAP).nonzero()[0]
    if len(over):
        starts = edges(sizes)
        least = np.full(features, FINEST, dtype=np.int64)
        for feature in over.tolist():
            mine = slice(starts[feature], starts[feature + 1])
            least[feature] = folded[feature] = _level(scale[mine], index[mine])
        scale, index = _coarsened(scale, index, least[owner])
        owner, scale, index, count = _added(owner, scale, index, count)
        sizes = np.bincount(owner, minlength=features)
    starts = edges(sizes)
    return Histograms(starts, scale.astype(np.int16), index, count, folded)


def _level(scale: IntArray, index: IntArray) -> int:
    """The first level at which no more than ``CAP`` bins of one feature remain.

    The number of bins falls from level to level, so bisection finds it.
    """
    low, high = FINEST, LAST_LEVEL  # too fine, coarse enough
    none = np.zeros_like(scale)
    while high - low > 1:
        middle = (low + high) // 2
        held = _added(none, *_coarsened(scale, index, np.int64(middle)), none)[0]
        low, high = (low, middle) if len(held) <= CAP else (middle, high)
    return high


def _coarsened(
    scale: IntArray, index: IntArray, level: IntArray | np.int64
) -> tuple[IntArray, IntArray]:
    """The bins of a level."""
    # Of a negative k, ~k: both sides of 0 alike, and shifting right takes one bit off either way.
    bits = np.frexp(np.where(index < 0, ~index, index).astype(np.float64))[1]
    relative = scale + np.maximum(0, bits - _BITS)
    wider = np.maximum(scale, np.minimum(level, relative))
    return _widened(scale, index, np.maximum(wider, level - (COARSEST + 1) + FINEST))


def _widened(
    scale: IntArray, index: IntArray, least: IntArray | np.int64
) -> tuple[IntArray, IntArray]:
    """Each bin, or the bin of scale ``least`` that holds it."""
    wider = np.maximum(scale, least)
    # A shift rounds down, as nesting demands, for negative indexes as well.
    return wider, index >> np.minimum(wider - scale, 63)
