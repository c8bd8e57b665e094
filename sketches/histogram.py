"""Layered power-of-two histograms of many features at once.

A bin is ``[k * 2**s, (k + 1) * 2**s)`` for a scale ``s`` and an index ``k``. Bins of different
scales nest and stay side by side, so adding two histograms adds counts: exact, in any order, with
nothing agreed on beforehand. ``sketches.layers`` decides how fine the bins of a chunk are.

A feature keeps at most ``CAP`` bins. Over it, bins finer than a scale ``t`` become the bins of
scale ``t`` that hold them, for the smallest ``t`` that suffices, and ``t`` is remembered as
``folded``. ``t`` follows from the union of all bins ever added alone, so adding histograms is
associative and commutative to the last bit above the cap too. What is lost is only resolution:
every value stays in a bin no wider than the larger of its first bin and ``2**folded``.

Source: the rule is this project's own; bins whose widths are powers of two, so that they merge
exactly, are the idea of exponential histograms (OpenTelemetry metrics data model).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .table import FloatArray, IntArray

ScaleArray = NDArray[np.int16]

CAP = 4096  # bins of one feature
FINEST = -1074  # exponent of the smallest subnormal: no finer bin tells floats apart
COARSEST = 1023  # a bin of this scale holds all floats of one sign
_LARGEST = np.finfo(np.float64).max
_SCALES = 4096  # a power of two over all scales, to number (feature, scale)
_PACKED = 46  # bits of a sort key left to the index when features and scales take the others


@dataclass(frozen=True, slots=True)
class Histograms:
    """Bins of F features, those of feature f at ``starts[f]:starts[f + 1]``.

    Attributes:
        starts: Shape (F + 1,).
        scale: Shape (B,), s of each bin; ascending within a feature.
        index: Shape (B,), k of each bin; ascending within a scale; at most 2**53 in size.
        count: Shape (B,), positive.
        folded: Shape (F,), no bin is finer than this scale; ``FINEST``: none was folded.
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
        before: IntArray = np.concatenate([[0], np.cumsum(self.count)])
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
        starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        bins = np.repeat(self.starts[at] - starts[:-1], sizes) + np.arange(starts[-1])
        folded = np.where(known, self.folded[at], FINEST).astype(np.int16)
        return Histograms(starts, self.scale[bins], self.index[bins], self.count[bins], folded)


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
    owner, scale, index, count = (
        np.concatenate(column)
        for column in zip(
            *(
                (place[each.owner()], each.scale.astype(np.int64), each.index, each.count)
                for each, place in zip(histograms, columns, strict=True)
            ),
            strict=True,
        )
    )
    folded = _unfolded(features)
    for each, place in zip(histograms, columns, strict=True):
        folded[place] = np.maximum(folded[place], each.folded)
    if (folded > FINEST).any():
        scale, index = _widened(scale, index, folded[owner].astype(np.int64))
    return _capped(features, _added(owner, scale, index, count), folded)


def beside(parts: Sequence[Histograms]) -> Histograms:
    """Histograms of different features as one."""
    sizes = np.concatenate([np.diff(part.starts) for part in parts])
    return Histograms(
        np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
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


def _added(owner: IntArray, scale: IntArray, index: IntArray, count: IntArray) -> _Bins:
    """The bins in order, equal ones as one."""
    if len(owner) < 2:
        return owner, scale, index, count
    layer = owner * _SCALES + (scale + _SCALES // 2)
    if _ascending(layer, index):
        return owner, scale, index, count
    order = np.argsort(layer, kind="stable")
    if not _ascending(layer[order], index[order]):
        order = _order(layer, index)
    layer, index = layer[order], index[order]
    new = np.ones(len(layer), dtype=bool)
    new[1:] = (layer[1:] != layer[:-1]) | (index[1:] != index[:-1])
    first = new.nonzero()[0]
    kept = order[first]
    return owner[kept], scale[kept], index[first], np.add.reduceat(count[order], first)


def _ascending(layer: IntArray, index: IntArray) -> bool:
    """Every bin comes before the next."""
    before, after = layer[:-1], layer[1:]
    return bool(((before < after) | ((before == after) & (index[:-1] < index[1:]))).all())


def _order(layer: IntArray, index: IntArray) -> NDArray[np.intp]:
    half = 1 << (_PACKED - 1)
    fits = int(layer.max()) < 1 << (62 - _PACKED)
    if fits and -half <= int(index.min()) and int(index.max()) < half:
        # What is added up is in order, part by part, and that is where a stable sort is fast.
        return np.argsort((layer << _PACKED) + (index + half), kind="stable")
    return np.lexsort((index, layer))


def _capped(features: int, bins: _Bins, folded: ScaleArray) -> Histograms:
    """Fold every feature over the cap."""
    owner, scale, index, count = bins
    sizes = np.bincount(owner, minlength=features)
    over = np.flatnonzero(sizes > CAP)
    if len(over):
        starts = np.concatenate([[0], np.cumsum(sizes)])
        least = np.full(features, FINEST, dtype=np.int64)
        for feature in over.tolist():
            mine = slice(starts[feature], starts[feature + 1])
            least[feature] = folded[feature] = _fold_to(scale[mine], index[mine])
        scale, index = _widened(scale, index, least[owner])
        owner, scale, index, count = _added(owner, scale, index, count)
        sizes = np.bincount(owner, minlength=features)
    starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    return Histograms(starts, scale.astype(np.int16), index, count, folded)


def _fold_to(scale: IntArray, index: IntArray) -> int:
    """The smallest scale so that no more than ``CAP`` bins of one feature remain.

    Folding to a scale is a function of the bins folded to any finer one, so the number of bins
    falls as the scale rises, and bisection finds the border.
    """
    low, high = int(scale[0]), COARSEST  # too fine, coarse enough
    none = np.zeros_like(scale)
    while high - low > 1:
        middle = (low + high) // 2
        held = _added(none, *_widened(scale, index, np.int64(middle)), none)[0]
        low, high = (low, middle) if len(held) <= CAP else (middle, high)
    return high


def _widened(
    scale: IntArray, index: IntArray, least: IntArray | np.int64
) -> tuple[IntArray, IntArray]:
    """Each bin, or the bin of scale ``least`` that holds it."""
    wider = np.maximum(scale, least)
    # A shift rounds down, as nesting demands, for negative indexes as well.
    return wider, index >> np.minimum(wider - scale, 63)
