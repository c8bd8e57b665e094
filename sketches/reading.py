"""What can be read from layered histograms: shares, quantiles, clipped moments, edges.

Everything here takes all features at once. A share counts the values of a bin as spread evenly over
it. Where one value must stand for a bin it is the middle, but 0 where the bin begins there: zero is
the one value that is common by itself, and a chunk of few others has a wide bin for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from .histogram import COARSEST, FINEST, Histograms
from .numbers import Numbers
from .ragged import edges
from .table import FloatArray, IntArray

RangeArray = NDArray[np.unsignedinteger[Any]]

RANGES: Final = 16  # about so many value ranges of a feature
QUANTILES: Final = (0.1, 0.25, 0.5, 0.75, 0.9)  # of sizes
GRID: Final = 1024  # cells of its table of ranges
_INSIDE: Final = 1e-6  # of a cell
_AT_ONCE = 2**17  # cells of the largest table in memory
_LARGEST = np.finfo(np.float64).max
_SIZE_BITS: Final = 51  # exponent and first bits of a fraction
_LAST_BITS: Final = (1 << (63 - _SIZE_BITS)) - 1
_WIDTHS: FloatArray = np.ldexp(np.ones(1), np.arange(FINEST, COARSEST + 1))  # faster than ldexp


def share_below(numbers: Numbers, edges: FloatArray) -> FloatArray:
    """Share of each feature's values below each edge.

    Args:
        numbers: F features.
        edges: Shape (F, E); infinite: all are below.

    Returns:
        Shape (F, E); NaN for a feature without values.
    """
    bins, totals = numbers.histogram, numbers.count
    below = np.full(edges.shape, np.nan)
    near = np.zeros(bins.features, dtype=np.int64)  # values in bins that begin at 0
    np.add.at(near, bins.owner()[bins.index == 0], bins.count[bins.index == 0])
    zeros = np.minimum(numbers.zeros / np.maximum(near, 1), 1.0)
    for start, stop in _stretches(bins, edges.shape[1]):
        held = np.arange(start, stop)[totals[start:stop] > 0]
        if not len(held):
            continue
        mine = slice(bins.starts[start], bins.starts[stop])
        owner, index = np.repeat(held, np.diff(bins.starts)[held]), bins.index[mine]
        part = _filled(edges[owner], bins.scale[mine].astype(np.int64), index)
        at = np.flatnonzero(index == 0)
        zero = zeros[owner[at], None]
        part[at] = zero * (edges[owner[at]] > 0) + (1 - zero) * part[at]
        part *= bins.count[mine, None]
        below[held] = np.add.reduceat(part, bins.starts[held] - bins.starts[start], axis=0)
    shares: FloatArray = below / np.maximum(totals, 1)[:, None]
    return shares


def _stretches(bins: Histograms, columns: int) -> Iterator[tuple[int, int]]:
    """Cut the features so that a table of bins by columns stays small."""
    most = max(1, _AT_ONCE // max(columns, 1))
    start = 0
    while start < bins.features:
        stop = int(np.searchsorted(bins.starts, bins.starts[start] + most, side="right")) - 1
        stop = min(max(stop, start + 1), bins.features)
        yield start, stop
        start = stop


def _filled(edges: FloatArray, scale: IntArray, index: IntArray) -> FloatArray:
    """Part of each bin that is below its row of edges."""
    half = scale >> 1
    with np.errstate(over="ignore"):  # far above a fine bin is infinitely far above it
        part = edges * np.ldexp(1.0, -half)[:, None]
        part *= np.ldexp(1.0, half - scale)[:, None]
    part -= index[:, None]
    np.maximum(part, 0.0, out=part)
    filled: FloatArray = np.minimum(part, 1.0)
    return filled


def quantiles(bins: Histograms, shares: Sequence[float] | FloatArray) -> FloatArray:
    """Quantiles of every feature, each the value that stands for its bin.

    Args:
        bins: F features.
        shares: Q shares, 0 to 1.

    Returns:
        Shape (F, Q); NaN for a feature without values.
    """
    at = _quantile_bins(bins, np.asarray(shares, dtype=np.float64))
    return _taken(np.clip(_values(bins), -_LARGEST, _LARGEST), at)


def clipped_moments(
    bins: Histograms,
    place: IntArray,
    low: FloatArray,
    high: FloatArray,
    centre: FloatArray,
    scale: FloatArray,
) -> FloatArray:
    """Count and the sums of x, x^2 and x^4 of clipped values, x = (value - centre) / scale.

    Args:
        bins: Of P features.
        place: Shape (P,), row of each in the other arguments; -1: not asked for.
        low: Shape (F,).
        high: Shape (F,).
        centre: Shape (F,).
        scale: Shape (F,), positive.

    Returns:
        Shape (4, F).
    """
    known = place >= 0
    if not known.all():
        bins, place = bins.select(np.flatnonzero(known)), place[known]
    count, x = _clipped(bins, place, low, high, centre)
    row = np.repeat(place, np.diff(bins.starts))
    x /= scale[row]
    squared = x * x
    sums = (count, count * x, count * squared, count * squared * squared)
    return np.stack([np.bincount(row, each, minlength=len(low)) for each in sums])


def clipped_sums(
    bins: Histograms,
    place: IntArray,
    low: FloatArray,
    high: FloatArray,
    centre: FloatArray,
    scale: FloatArray,
    ranges: RangeArray,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """The sums of x and x^2 of clipped values, and the values in each range; in one pass.

    Args:
        bins: Of P features.
        place: Shape (P,), row of each in the other arguments; -1: not asked for.
        low: Shape (F,).
        high: Shape (F,).
        centre: Shape (F,).
        scale: Shape (F,), positive.
        ranges: Shape (F, GRID), from ``range_table``.

    Returns:
        Shapes (F,), (F,) and (F, RANGES).
    """
    known = place >= 0
    if not known.all():
        bins, place = bins.select(np.flatnonzero(known)), place[known]
    fine = _fine(low, high)
    count, x = _clipped(bins, place, low, high, centre)
    sizes = bins.starts[1:] - bins.starts[:-1]
    x *= np.repeat(fine[place], sizes)
    # What is clipped to the low limit must not be rounded into the row before.
    start = (centre - low) * fine + _INSIDE + np.arange(0, len(low) * GRID, GRID)
    cells = (x + np.repeat(start[place], sizes)).astype(np.int64)
    held = np.bincount(ranges.take(cells, mode="clip"), count, len(ranges) * RANGES)
    sums = np.zeros((2, len(low)))
    filled = sizes > 0
    if filled.any():
        row, starts = place[filled], bins.starts[:-1][filled]
        unit = (1 / fine / scale)[row]
        count *= x
        sums[0, row] = np.add.reduceat(count, starts) * unit
        count *= x
        sums[1, row] = np.add.reduceat(count, starts) * unit * unit
    shares: FloatArray = held.astype(np.float64).reshape(-1, RANGES)
    return sums[0], sums[1], shares


def _fine(low: FloatArray, high: FloatArray) -> FloatArray:
    """Cells of the grid in one unit of each feature: a power of two, so that it costs no digit."""
    width = np.maximum(high - low, np.finfo(np.float64).tiny)
    found: FloatArray = np.ldexp(float(GRID) / 2, np.minimum(1 - np.frexp(width)[1], 1000))
    return found


def cell_of(value: float, low: FloatArray, high: FloatArray) -> FloatArray:
    """Where a value lies in the grid of each feature, in cells; out of 0 to GRID if it is clipped.

    Args:
        value: The same for all.
        low: Shape (F,), clip limits.
        high: Shape (F,).
    """
    return (value - low) * _fine(low, high)


def range_cuts(bins: Histograms, low: FloatArray, high: FloatArray) -> tuple[IntArray, RangeArray]:
    """About ``RANGES`` equally likely ranges of each feature.

    The clip limits are cut into ``GRID`` cells of one width. A range begins halfway between two
    cells that hold values, so that a value that comes again and again is far from any border.

    Returns:
        Shape (F, RANGES - 1), the first cell of each range but the first; shape (F, GRID), the
        table made of it.
    """
    rows = np.arange(bins.features)
    count, x = _clipped(bins, rows, low, high, low)
    x *= np.repeat(_fine(low, high), np.diff(bins.starts))
    cells = x.astype(np.int64) + np.repeat(rows * GRID, np.diff(bins.starts))
    held = np.bincount(cells, count, len(rows) * GRID).reshape(-1, GRID)
    before = np.cumsum(held, axis=1) - held
    total = np.maximum(held.sum(axis=1), 1)[:, None]
    filled = held > 0
    step = np.arange(GRID)
    last = np.maximum.accumulate(np.where(filled, step, -1), axis=1)
    after = np.where(filled, step, GRID)[:, ::-1]
    following = np.minimum.accumulate(after, axis=1)[:, ::-1]
    # An empty cell belongs to the nearer of the filled ones beside it.
    nearest = np.where(step - last <= following - step, last, following)
    nearest = np.where(last < 0, following, np.where(following >= GRID, last, nearest))
    number = np.minimum(before * RANGES / total, RANGES - 1).astype(np.int64)
    own = np.take_along_axis(number, np.clip(nearest, 0, GRID - 1), axis=1)
    cuts = np.stack([np.count_nonzero(own < at, axis=1) for at in range(1, RANGES)], axis=1)
    return cuts, range_table(cuts)


def range_table(cuts: IntArray) -> RangeArray:
    """Cell -> number of its range among those of all features, shape (F, GRID)."""
    row = np.repeat(np.arange(len(cuts)), RANGES - 1)
    steps = np.zeros((len(cuts), GRID + 1), dtype=np.int64)
    np.add.at(steps, (row, cuts.ravel()), 1)
    found: IntArray = np.cumsum(steps[:, :GRID], axis=1)
    found += np.arange(len(cuts))[:, None] * RANGES
    return found.astype(np.min_scalar_type(len(cuts) * RANGES))  # it is large, one for each stream


def most_frequent(bins: Histograms, totals: IntArray, wide: FloatArray) -> FloatArray:
    """How often the most frequent single value of each feature occurs.

    A chunk refines bins of more than 8 and more than a sixteenth of its values until they hold one
    value, or nearly. So a bin that holds no more, or is wide, says nothing about single values.

    Args:
        bins: F features.
        totals: Shape (F,), their values.
        wide: Shape (F,), wider bins say nothing.

    Returns:
        Shape (F,), 0 where no value is frequent.
    """
    found = np.zeros(bins.features)
    filled = np.flatnonzero(np.diff(bins.starts) > 0)
    if not len(filled):
        return found
    most = np.maximum.reduceat(bins.count, bins.starts[filled])
    often = most > np.maximum(8, totals[filled] // 16)
    if not often.any():
        return found
    filled, most = filled[often], most[often]
    some = bins.select(filled)
    owner = some.owner()
    narrow = _WIDTHS.take(some.scale - FINEST) <= wide[filled][owner]
    single = narrow & (some.count == most[owner])
    kept = np.zeros(len(filled), dtype=bool)
    kept[owner[single]] = True
    found[filled[kept]] = most[kept]
    return found


def typical_sizes(bins: Histograms) -> tuple[FloatArray, FloatArray]:
    """Quantiles of the sizes of each feature's values other than 0, and how many of these it has.

    Returns:
        Shape (F, len(QUANTILES)), NaN without any; shape (F,).
    """
    size = _values(bins)
    np.minimum(np.abs(size, out=size), _LARGEST, out=size)
    order = _by_size(bins, size)
    count = np.where(size > 0, bins.count, 0)
    passed = edges(count if order is None else count[order])
    base = passed[bins.starts]
    totals = base[1:] - base[:-1]
    found = np.full((bins.features, len(QUANTILES)), np.nan)
    held = np.flatnonzero(totals)
    wanted = base[held, None] + totals[held, None] * np.array(QUANTILES)
    at = np.searchsorted(passed[1:], wanted)
    found[held] = size[at if order is None else order[at]]
    return found, totals.astype(np.float64)


def _by_size(bins: Histograms, size: FloatArray) -> IntArray | None:
    """The order of bins by size within their features; None: they are in order.

    A size is a small integer times a power of two. Without its last bits, which are 0, it fits
    beside the feature into one number, and that is sorted fast: a feature of one sign is in order
    scale by scale.
    """
    ascending = np.ones(len(size), dtype=bool)
    np.greater_equal(size[1:], size[:-1], out=ascending[1:])
    ascending[bins.starts[:-1][bins.starts[:-1] < len(size)]] = True
    if ascending.all():
        return None
    bits, owner = size.view(np.int64), bins.owner()
    if bins.features > 1 << (63 - _SIZE_BITS) or (bits & _LAST_BITS).any():
        found: IntArray = np.lexsort((size, owner))
        return found
    keys = (owner << _SIZE_BITS) + (bits >> (63 - _SIZE_BITS))
    return np.argsort(keys, kind="stable")


def _clipped(
    bins: Histograms, place: IntArray, low: FloatArray, high: FloatArray, centre: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Count and clipped distance from the centre of each bin."""
    sizes = bins.starts[1:] - bins.starts[:-1]
    x = _values(bins)
    # Repeating a column of features is faster than looking it up for every bin.
    np.maximum(x, np.repeat(low[place], sizes), out=x)
    np.minimum(x, np.repeat(high[place], sizes), out=x)
    x -= np.repeat(centre[place], sizes)
    return bins.count.astype(np.float64), x


def snapped_edges(bins: Histograms, count: int = 16) -> FloatArray:
    """Edges between about ``count`` equally likely ranges, on borders that later profiles share.

    Each edge is a quantile rounded down to a multiple of ``2**(s + 3)``, where s is the widest
    scale with a fifth of the values (finer where neighbouring quantiles are closer than that):
    later chunks of the same stream have bins of about scale s, so edges fall on their borders. A
    value so frequent that several quantiles fall into its bin gets an edge behind it as well.

    Args:
        bins: F features.
        count: Ranges wanted.

    Returns:
        Shape (F, 2 * (count - 1)), ascending, infinite behind the last edge.
    """
    wanted = np.arange(1, count) / count
    found = np.full((bins.features, 2 * len(wanted)), np.nan)
    at, scale = _quantile_bins(bins, wanted), bins.scale.astype(np.int64)
    with np.errstate(over="ignore", invalid="ignore"):
        lower = _taken(np.ldexp(bins.index.astype(np.float64), scale), at)
        upper = _taken(np.ldexp((bins.index + 1).astype(np.float64), scale), at)
        common = np.ldexp(1.0, common_scale(bins) + 3)[:, None]
        gap = np.diff(lower, axis=1, prepend=np.nan)
        gap = np.fmin(gap, np.diff(lower, axis=1, append=np.nan))
        near = np.ldexp(1.0, np.frexp(gap)[1] - 2)  # the power of two at or below half the gap
        grid = np.where(gap > 0, np.minimum(common, near), common)
        found[:, : len(wanted)] = np.floor(lower / grid) * grid
        again = np.zeros(lower.shape, dtype=bool)
        again[:, 1:] = lower[:, 1:] == lower[:, :-1]
        found[:, len(wanted) :] = np.where(again, np.ceil(upper / grid) * grid, np.nan)
    found[~np.isfinite(found)] = np.inf
    found.sort(axis=1)
    found[:, 1:][found[:, 1:] == found[:, :-1]] = np.inf
    found.sort(axis=1)
    return found


def _values(bins: Histograms) -> FloatArray:
    """The value that stands for each bin, shape (B,); infinite beyond the range of doubles."""
    with np.errstate(over="ignore"):
        widths = _WIDTHS.take(bins.scale - FINEST, mode="clip")  # without a check it is fast
        found: FloatArray = (bins.index + 0.5) * widths
    zero = bins.index == 0
    if zero.any():
        np.putmask(found, zero, 0.0)
    return found


def _quantile_bins(bins: Histograms, shares: FloatArray) -> IntArray:
    """The bin in which each quantile lies, shape (F, Q); -1 without values."""
    order = np.lexsort((_values(bins), bins.owner()))
    passed = np.cumsum(bins.count[order])
    totals = bins.totals()
    base = np.cumsum(totals) - totals
    at = np.searchsorted(passed, base[:, None] + shares * totals[:, None])
    # A share of 0 is the first value, not the last of the feature before.
    at = np.clip(at, bins.starts[:-1, None], bins.starts[1:, None] - 1)
    found = np.full(at.shape, -1, dtype=np.int64)
    found[totals > 0] = order[at[totals > 0]]
    return found


def _taken(column: FloatArray, at: IntArray) -> FloatArray:
    """The values at these places, NaN for -1."""
    return np.append(column, np.nan)[at]


def common_scale(bins: Histograms) -> IntArray:
    """The widest scale with a fifth of a feature's values, else the one with most, shape (F,)."""
    found = np.full(bins.features, FINEST, dtype=np.int64)
    totals = bins.totals().tolist()
    for feature in range(bins.features):
        mine = slice(bins.starts[feature], bins.starts[feature + 1])
        if not totals[feature]:
            continue
        scales, first = np.unique(bins.scale[mine], return_index=True)
        held = np.add.reduceat(bins.count[mine], first)
        many = np.flatnonzero(held > totals[feature] / 5)
        found[feature] = scales[many[-1] if len(many) else np.argmax(held)]
    return found
