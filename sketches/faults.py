"""Signals of faults of number features: zeros, values out of range, stuck values, unit jumps.

- ``zeros``: share of the values that are 0;
- ``outside``: share of the values beyond all that the reference saw, and a tenth of its range
  further, even if that went along with the median: a level that moves is the location's affair;
  one or two of them are strays, and count as none;
- ``stuck``: share of the other values that are the same as the most frequent one, if that is
  frequent at all; 1 where every value is the same;
- ``magnitude``: logarithm of the median size of the values other than 0 over that of the
  reference; 0 as long as it is within a factor of two, and where other quantiles, and
  the distance between them, have not changed alike, or values have changed sign.

All but ``zeros`` are exactly 0 on an ordinary day of an ordinary feature, and cost almost nothing
then: a closer look is taken only at features whose extremes, mean or spread ask for it.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from .numbers import Numbers
from .reading import QUANTILES, most_frequent, quantiles, share_below, typical_sizes
from .reference import TOP, Reference, negative_share
from .table import BoolArray, FloatArray, IntArray

NUMBER_FAULTS: Final = ("zeros", "outside", "stuck", "magnitude")
_LEAST: Final = 10  # values that it takes to speak of a stuck or a typical one
_STRAYS: Final = 2
_NO_JUMP: Final = math.log(2.0)
_ALIKE: Final = math.log(2.5)
_SIGNS: Final = 0.25  # share of the values
_PART: Final = 0.4  # of a jump, by which quantiles of few values may differ
_FARTHEST: Final = 300.0  # logarithm of a ratio; beyond it a size is only "far"
_NARROW: Final = 0.05  # standard deviations; a wider bin is no single value
_FREQUENT: Final = 0.05  # share of a category that is missed when it is gone
_SURE: Final = 14.0  # values expected of it; none by chance once in a million blocks


def number_faults(
    reference: Reference, held: Numbers, place: IntArray, moved: BoolArray
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """The four signals of a block.

    Args:
        reference: Of F number features.
        held: P number features of the block.
        place: Shape (P,), the row of each in the reference; -1: it has none.
        moved: Shape (F,), features whose size may have jumped.

    Returns:
        Four of the shape (F,), in the order of ``NUMBER_FAULTS``; NaN where there is no value.
    """
    at = np.flatnonzero((place >= 0) & (held.count > 0))
    row, count = place[at], held.count[at]
    zeros, outside, stuck, jump = np.full((4, len(reference.numbers)), np.nan)
    zeros[row] = held.zeros[at] / count
    # Withheld extremes are NaN, and then neither is within.
    low, high = held.minimum[at], held.maximum[at]
    beyond = ~((low >= reference.least[row]) & (high <= reference.most[row]))
    outside[row] = 0.0
    if beyond.any():
        outside[row[beyond]] = _outside(reference, held, at[beyond], row[beyond])
    wide = np.zeros(len(held.count))
    wide[at] = _NARROW * reference.scale[row]
    same = most_frequent(held.histogram, held.count, wide)[at]
    stuck[row] = np.where(same > 0, (same - 1) / np.maximum(count - 1, 1), 0.0)
    stuck[row[count < _LEAST]] = np.nan
    jump[row] = 0.0
    look = moved[row] | (outside[row] > 0)
    if look.any():
        jump[row[look]] = _jump(reference, held, at[look], row[look])
    return zeros, outside, stuck, jump


def level_moved(reference: Reference, held: Numbers, at: IntArray, row: IntArray) -> FloatArray:
    """How far the medians of some features are from the reference's centre, shape (len(at),)."""
    return quantiles(held.histogram.select(at), (0.5,))[:, 0] - reference.centre[row]


def _outside(reference: Reference, held: Numbers, at: IntArray, row: IntArray) -> FloatArray:
    bins = held.histogram.select(at)
    with np.errstate(over="ignore"):
        by = level_moved(reference, held, at, row)
        most = reference.most[row] + np.maximum(by, 0.0)
        least = reference.least[row] + np.minimum(by, 0.0)
    owner, scale = bins.owner(), bins.scale.astype(np.int64)
    with np.errstate(over="ignore"):
        low = np.ldexp(bins.index.astype(np.float64), scale)
        high = np.ldexp(bins.index + 1.0, scale)
    # Only a bin that is wholly beyond is: one that reaches across may hold the usual value alone.
    beyond = (low > most[owner]) | (high <= least[owner])
    count = np.bincount(owner, bins.count * beyond, len(at))
    shares: FloatArray = np.where(count > _STRAYS, count / held.count[at], 0.0)
    return shares


def _jump(reference: Reference, held: Numbers, at: IntArray, row: IntArray) -> FloatArray:
    sizes, values = typical_sizes(held.histogram.select(at))
    usual = reference.sizes[row]
    known = (values >= _LEAST) & (usual[:, 0] > 0)
    sizes, usual = sizes[known], usual[known]
    steps = np.log(sizes) - np.log(usual)
    jump = steps[:, len(QUANTILES) // 2]
    width, before = sizes[:, -1] - sizes[:, 0], usual[:, -1] - usual[:, 0]
    with np.errstate(divide="ignore", invalid="ignore"):
        apart = np.abs(np.log(width) - np.log(before) - jump)
    # Another unit moves all quantiles alike, and stretches what lies between the values too.
    same = np.where(before > 1e-9 * usual[:, 0], apart < _ALIKE, True)
    same &= np.ptp(steps, axis=1) < np.maximum(_ALIKE, _PART * np.abs(jump))
    # It leaves signs as they are: what lay around 0 and now lies on one side has moved there.
    few = held.select([held.names[each] for each in at])
    negative = share_below(few, np.zeros((len(at), 1)))[:, 0]
    same &= (np.abs(negative - negative_share(reference, row)) < _SIGNS)[known]
    ratio = np.zeros(len(at))
    ratio[known] = np.where(same & (np.abs(jump) >= _NO_JUMP), jump, 0.0)
    return np.clip(ratio, -_FARTHEST, _FARTHEST)


def vanished(before: FloatArray, after: FloatArray) -> FloatArray:
    """Share that frequent categories had which do not occur any more.

    A category counts if it had a share of a twentieth and so many values of it are expected that
    chance does not leave it out.

    Args:
        before: Shape (T, CELLS), counts.
        after: Shape (T, CELLS), likewise.

    Returns:
        Shape (T,), NaN where there is no count.
    """
    total, values = before.sum(axis=1), after.sum(axis=1)
    share = before[:, :TOP] / np.maximum(total, 1)[:, None]
    gone = (after[:, :TOP] == 0) & (share >= _FREQUENT) & (share * values[:, None] >= _SURE)
    found: FloatArray = np.where(values > 0, (share * gone).sum(axis=1), np.nan)
    return found
