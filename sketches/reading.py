"""What can be read from layered histograms: shares, quantiles, clipped moments, edges.

Everything here takes all features at once. Inside a bin, values count as spread evenly.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from .histogram import FINEST, Histograms
from .numbers import Numbers
from .table import FloatArray, IntArray

_AT_ONCE = 2**20  # cells of the largest table in memory


def share_below(bins: Histograms, edges: FloatArray) -> FloatArray:
    """Share of each feature's values below each edge.

    Args:
        bins: F features.
        edges: Shape (F, E); NaN is no edge.

    Returns:
        Shape (F, E); NaN for no edge and for a feature without values.
    """
    below = np.full(edges.shape, np.nan)
    totals = bins.totals()
    for start, stop in _stretches(bins, edges.shape[1]):
        held = np.arange(start, stop)[totals[start:stop] > 0]
        if not len(held):
            continue
        mine = slice(bins.starts[start], bins.starts[stop])
        owner = np.repeat(held, np.diff(bins.starts)[held])
        part = _filled(edges[owner], bins.scale[mine].astype(np.int64), bins.index[mine])
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
    """The values below which the given shares lie: the inverse of ``share_below``.

    Args:
        bins: F features.
        shares: Q shares, 0 to 1.

    Returns:
        Shape (F, Q); NaN for a feature without values.
    """
    wanted = np.asarray(shares, dtype=np.float64)
    borders, starts = _borders(bins)
    low = np.repeat(starts[:-1, None], len(wanted), axis=1)
    high = np.maximum(np.repeat(starts[1:, None] - 1, len(wanted), axis=1), low)
    if not len(borders):
        return np.full(low.shape, np.nan)
    last = len(borders) - 1
    for _ in range(int(np.diff(starts).max()).bit_length()):  # bisect for the border below
        middle = (low + high + 1) // 2
        under = share_below(bins, borders[np.minimum(middle, last)]) <= wanted
        low, high = np.where(under, middle, low), np.where(under, high, np.maximum(middle - 1, low))
    above = np.minimum(low + 1, np.maximum(starts[1:, None] - 1, low))
    left, right = borders[np.minimum(low, last)], borders[np.minimum(above, last)]
    from_share, to_share = share_below(bins, left), share_below(bins, right)
    step = np.where(to_share > from_share, to_share - from_share, 1.0)
    along = np.clip((wanted - from_share) / step, 0.0, 1.0)
    return left * (1 - along) + right * along


def _borders(bins: Histograms) -> tuple[FloatArray, IntArray]:
    """All bin borders of each feature, ascending, and where each feature's begin."""
    largest = np.finfo(np.float64).max
    scale = bins.scale.astype(np.int64)
    with np.errstate(over="ignore"):
        ends = [np.ldexp((bins.index + side).astype(np.float64), scale) for side in (0, 1)]
    borders = np.clip(np.concatenate(ends), -largest, largest)
    owner = np.tile(bins.owner(), 2)
    return borders[np.lexsort((borders, owner))], 2 * bins.starts


def clipped_moments(
    numbers: Numbers, low: FloatArray, high: FloatArray
) -> tuple[IntArray, FloatArray, FloatArray]:
    """Moments of values clipped to limits.

    Exact where no value is beyond a limit. Else from the middles of the bins, moved by as much as
    the exact mean shows them to be off, but by no more than the bins within the limits allow.

    Args:
        numbers: F features.
        low: Shape (F,), lower limits, minus infinity for none.
        high: Shape (F,), upper limits.

    Returns:
        Values, mean, variance (divided by the number of values), shape (F,) each; NaN without
        values.
    """
    bins = numbers.histogram
    owner, middle = bins.owner(), bins.middles()
    share = bins.count / np.maximum(numbers.count, 1)[owner]

    def total(column: FloatArray) -> FloatArray:
        return np.bincount(owner, column * share, bins.features).astype(np.float64)

    held = np.clip(middle, low[owner], high[owner])
    inside = held == middle
    with np.errstate(over="ignore", invalid="ignore"):
        slack = total(np.where(inside, np.ldexp(0.5, bins.scale.astype(np.int64)), 0.0))
        off = numbers.mean - total(middle)
        mean = total(held) + np.clip(np.nan_to_num(off), -slack, slack)
        variance = total((held - total(held)[owner]) ** 2)
        whole = total((~inside).astype(np.float64)) == 0
    empty = np.where(numbers.count > 0, 0.0, np.nan)
    return (
        numbers.count,
        np.where(whole, numbers.mean, mean) + empty,
        np.where(whole, numbers.variance(), variance) + empty,
    )


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
        Shape (F, E) with E at most ``2 * (count - 1)``, ascending, NaN behind the last edge.
    """
    wanted = np.arange(1, count) / count
    found = np.full((bins.features, 2 * len(wanted)), np.nan)
    lower, upper = _quantile_bins(bins, wanted)
    with np.errstate(over="ignore", invalid="ignore"):
        common = np.ldexp(1.0, _common_scale(bins) + 3)[:, None]
        gap = np.diff(lower, axis=1, prepend=np.nan)
        gap = np.fmin(gap, np.diff(lower, axis=1, append=np.nan))
        near = np.ldexp(1.0, np.frexp(gap)[1] - 2)  # the power of two at or below half the gap
        grid = np.where(gap > 0, np.minimum(common, near), common)
        found[:, : len(wanted)] = np.floor(lower / grid) * grid
        again = np.zeros(lower.shape, dtype=bool)
        again[:, 1:] = lower[:, 1:] == lower[:, :-1]
        found[:, len(wanted) :] = np.where(again, np.ceil(upper / grid) * grid, np.nan)
    found[~np.isfinite(found)] = np.nan
    found.sort(axis=1)
    found[:, 1:][found[:, 1:] == found[:, :-1]] = np.nan
    found.sort(axis=1)
    used = ~np.isnan(found).all(axis=0)
    return found[:, used]


def _quantile_bins(bins: Histograms, shares: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Borders of the bins in which quantiles lie, bins in order of their lower borders."""
    if not len(bins.count):
        nothing = np.full((bins.features, len(shares)), np.nan)
        return nothing, nothing
    scale = bins.scale.astype(np.int64)
    with np.errstate(over="ignore"):
        low = np.ldexp(bins.index.astype(np.float64), scale)
        high = np.ldexp((bins.index + 1).astype(np.float64), scale)
    order = np.lexsort((high, low, bins.owner()))
    passed = np.cumsum(bins.count[order])
    totals = bins.totals()
    base = np.cumsum(totals) - totals
    at = np.searchsorted(passed, base[:, None] + shares * totals[:, None])
    at = order[np.minimum(at, len(order) - 1)]
    known = (totals > 0)[:, None]
    return np.where(known, low[at], np.nan), np.where(known, high[at], np.nan)


def _common_scale(bins: Histograms) -> IntArray:
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
