"""From the values of a chunk to the bins of its layered histograms.

How fine the bins of a feature are follows from its own values, n of them in this chunk:

- ``s = floor(log2(IQR)) - 6`` of a strided subsample of at most 256 values, one finer for each
  halving of n below 256, never below the resolution of the largest value. IQR 0: the median
  distance of the values off the median takes its place.
- Values up to 512 bins from the median's bin are in that layer. One further out is in the layer 4,
  8, ... scales up whose bins are the widest within 1/32 of its distance.
- The values of a bin that holds more than ``max(8, n / 16)``, not all equal, are binned by the same
  rule once more, in ever finer bins, up to 8 times.

Two ways lead to the same bins: small groups are sorted, so that bins are runs; large ones count
their central layer with one ``bincount`` over all features. Which is taken changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import histogram
from .histogram import FINEST, Histograms
from .ragged import spread
from .table import FloatArray, IntArray

HALF = 512  # bins on either side of the median's
SUBSAMPLE = 256
DEPTH = 8
_FEW = 16  # groups that are looked at one by one
_CACHED = 2**13  # values that are looked at together
_COLUMNS = 2 * HALF + 2  # bins of a central layer, and one for what is further out
_LARGEST = np.finfo(np.float64).max
_ROUND = 1.5 * 2.0**52
_ROUND_BITS = int(np.float64(_ROUND).view(np.int64))
_SINGLE = 1000  # up to this size of exponents, one factor shifts without overflow or loss


class Groups(NamedTuple):
    """Values to be binned by a rule of their own, group after group.

    Attributes:
        values: Flat; within a group in record order. Finite.
        sizes: Shape (G,), values of each group, at least 1.
        low: Shape (G,), minimum of each group.
        high: Shape (G,), maximum.
        owner: Shape (G,), the feature of each group.
    """

    values: FloatArray
    sizes: IntArray
    low: FloatArray
    high: FloatArray
    owner: IntArray


class _Bins(NamedTuple):
    owner: IntArray
    scale: IntArray
    place: IntArray
    held: IntArray


def build(
    values: FloatArray, counts: IntArray, low: FloatArray, high: FloatArray, work: FloatArray
) -> Histograms:
    """Histograms of one chunk.

    Args:
        values: Finite, flat: ``counts[0]`` of the first feature in record order, and so on.
        counts: Shape (F,), values of each feature, at least 1.
        low: Shape (F,), minimum of each feature.
        high: Shape (F,), maximum.
        work: Of the shape of ``values``; is overwritten.
    """
    features = len(counts)
    groups: Groups | None = Groups(values, counts, low, high, np.arange(features))
    parts: list[_Bins] = []
    with np.errstate(over="ignore", invalid="ignore"):
        for depth in range(DEPTH + 1):
            finer: list[Groups] = []
            for some in _alike(groups) if groups is not None else ():
                if int(some.sizes.max()) <= SUBSAMPLE:
                    bins, more = _sorted_runs(some, refine=depth < DEPTH)
                else:
                    bins, more = _counted(some, work, refine=depth < DEPTH)
                parts += bins
                finer += more
            groups = _together(finer)
    if len(parts) == 1:
        return histogram.gather(features, *parts[0])
    return histogram.gather(features, *map(np.concatenate, zip(*parts, strict=True)))


def _alike(groups: Groups) -> list[Groups]:
    """Groups of about the same size together, where that saves more than it costs."""
    sizes = groups.sizes
    small = sizes <= SUBSAMPLE
    few = np.count_nonzero(small) if not small.all() else len(sizes) * int(sizes.max())
    if few <= (_FEW if not small.all() else 4 * len(groups.values)):
        return [groups]
    kind = np.where(small, np.frexp(sizes - 1)[1] >> 1, SUBSAMPLE)  # powers of 4
    return [_chosen(groups, kind == one) for one in np.unique(kind).tolist()]


def _chosen(groups: Groups, which: NDArray[np.bool_]) -> Groups:
    """Some of the groups."""
    return Groups(
        groups.values[np.repeat(which, groups.sizes)],
        groups.sizes[which],
        groups.low[which],
        groups.high[which],
        groups.owner[which],
    )


def _together(parts: Sequence[Groups]) -> Groups | None:
    """All groups of all parts; None if there is none."""
    if len(parts) < 2:
        return parts[0] if parts else None
    return Groups(*map(np.concatenate, zip(*parts, strict=True)))


def _sorted_runs(groups: Groups, *, refine: bool) -> tuple[list[_Bins], list[Groups]]:
    """Bins of groups of at most ``SUBSAMPLE`` values; the subsample is all of them."""
    counts = groups.sizes
    widest = int(counts.max())
    whole = int(counts.min()) == widest
    known: NDArray[np.bool_] | None = None
    if whole:
        values = groups.values.reshape(len(counts), widest).copy()
    else:
        known = np.arange(widest) < counts[:, None]
        values = np.full((len(counts), widest), np.nan)
        values[known] = groups.values
    values.sort(axis=1)  # NaN last
    scale, centre, middle = _layers(values, counts, groups)
    index = _floored(values, scale[:, None])
    near = np.abs(index - centre[:, None]) <= HALF
    row = np.repeat(np.arange(len(counts)), counts)
    if known is not None:
        values, index, near = values[known], index[known], near[known]
    flat, position, close = values.ravel(), index.ravel(), near.ravel()
    layer = scale[row]
    if not close.all():
        out = (~close).nonzero()[0]
        layer[out], position[out] = _further(flat[out], middle[row[out]], layer[out])
    bins, finer = _runs(flat, row, layer, position, groups, refine=refine)
    return [bins], finer


def _counted(groups: Groups, work: FloatArray, *, refine: bool) -> tuple[list[_Bins], list[Groups]]:
    """Bins of groups of any size, the central layers counted in one table."""
    sizes, owner = groups.sizes, groups.owner
    starts = np.cumsum(sizes) - sizes
    scale, centre, middle = _layers(*_subsamples(groups.values, starts, sizes), groups)
    places = _places(groups, scale, centre, work[: len(groups.values)])
    out, of = _beyond(groups, starts, places, scale, centre)
    places[out] = HALF + 1
    codes = _codes(places, sizes)
    table = np.bincount(codes, minlength=len(sizes) * _COLUMNS).reshape(len(sizes), _COLUMNS)
    table[:, -1] = 0
    finer = _heavy(groups, starts, codes, table) if refine else []
    cells = np.flatnonzero(table != 0)  # twice as fast as of numbers, and four times as in 2 axes
    row, column = np.divmod(cells, _COLUMNS)
    index = centre[row].astype(np.int64) + (column - HALF)
    bins = [_Bins(owner[row], scale[row], index, table.reshape(-1)[cells])]
    if len(out):
        values = groups.values[out]
        layer, position = _further(values, middle[of], scale[of])
        order = np.lexsort((position, layer, of))
        ordered = (values[order], of[order], layer[order], position[order])
        found, more = _runs(*ordered, groups, refine=refine)
        bins.append(found)
        finer += more
    return bins, finer


def _beyond(
    groups: Groups, starts: IntArray, places: FloatArray, scale: IntArray, centre: FloatArray
) -> tuple[IntArray, IntArray]:
    """Where values are outside their group's central layer, and the groups of these."""
    far = np.flatnonzero(
        (_floored(groups.low, scale) - centre < -HALF)
        | (_floored(groups.high, scale) - centre > HALF)
    )
    if len(far) > _FEW:  # one pass over all is cheaper
        out = np.flatnonzero(np.abs(places) > HALF)
        return out, np.searchsorted(starts, out, side="right") - 1
    found = [np.zeros(0, dtype=np.int64)]
    for group in far.tolist():
        mine = places[starts[group] : starts[group] + groups.sizes[group]]
        found.append(np.flatnonzero((mine < -HALF) | (mine > HALF)) + starts[group])
    return np.concatenate(found), np.repeat(far, [len(out) for out in found[1:]])


def _subsamples(
    values: FloatArray, starts: IntArray, counts: IntArray
) -> tuple[FloatArray, IntArray]:
    """Sorted strided subsamples, NaN behind the shorter ones, and their sizes."""
    stride = np.maximum(1, counts // SUBSAMPLE)
    taken = np.minimum(SUBSAMPLE, -(-counts // stride))
    step = np.arange(int(taken.max()))
    known = step < taken[:, None]
    at = starts[:, None] + np.where(known, step * stride[:, None], 0)
    sample = np.where(known, values[at], np.nan)
    sample.sort(axis=1)
    return sample, taken


def _layers(
    sample: FloatArray, taken: IntArray, groups: Groups
) -> tuple[IntArray, FloatArray, FloatArray]:
    """Scale, index of the median's bin and median of each group's central layer."""
    row = np.arange(len(taken))
    middle = sample[row, taken // 2]
    width = sample[row, 3 * taken // 4] - sample[row, taken // 4]
    np.minimum(width, _LARGEST, out=width)
    level = (width <= 0).nonzero()[0]
    if len(level):
        width[level] = _off_median(sample[level], middle[level])
    top = np.maximum(np.abs(groups.low), np.abs(groups.high))
    # frexp's exponent e has 2**(e-1) <= x < 2**e, so floor(log2(x)) = e - 1; of an integer x it is
    # the number of bits.
    resolution = np.where(top > 0, np.maximum(np.frexp(top)[1] - 53, FINEST), FINEST)
    extra = np.maximum(0, 8 - np.frexp((groups.sizes - 1).astype(np.float64))[1])
    wanted = np.where(width > 0, np.frexp(width)[1] - 7 - extra, FINEST)
    scale = np.maximum(resolution, wanted).astype(np.int64)
    return scale, _floored(middle, scale), middle


def _off_median(sample: FloatArray, middle: FloatArray) -> FloatArray:
    """Median distance of the values off the median, the upper one of two; 0 without any."""
    away = np.minimum(np.abs(sample - middle[:, None]), _LARGEST)
    away[away == 0] = np.nan
    away.sort(axis=1)
    found = np.count_nonzero(away > 0, axis=1)
    return np.where(found > 0, away[np.arange(len(away)), found // 2 * (found > 0)], 0.0)


def _floored(values: FloatArray, scale: IntArray, out: FloatArray | None = None) -> FloatArray:
    """``floor(values / 2**scale)``, in ``out`` if given.

    In doubles: a quotient under 2**-1074 is 0, so of a bin over 2**50 wide, values of the size of
    subnormals may be on the wrong side of the border at 0.
    """
    if scale.size and int(scale.min()) > -_SINGLE and int(scale.max()) < _SINGLE:
        out = np.multiply(values, np.ldexp(1.0, -scale), out=out)
    else:
        half = scale >> 1
        out = np.multiply(values, np.ldexp(1.0, -half), out=out)
        out *= np.ldexp(1.0, half - scale)
    return np.floor(out, out=out)


def _further(
    values: FloatArray, middle: FloatArray, scale: IntArray
) -> tuple[IntArray, FloatArray]:
    """Scales and indexes of values outside the central layers."""
    distance = np.minimum(np.abs(values - middle), _LARGEST)
    reach = np.frexp(distance)[1] - scale - 10  # 2**9 = HALF bins of the central layer: 0
    layer = scale + 4 * ((np.maximum(reach, 0) >> 2) + 1)
    return layer, _floored(values, layer)


def _places(groups: Groups, scale: IntArray, centre: FloatArray, out: FloatArray) -> FloatArray:
    """Bins from each value's to its group's median's, flat, in ``out``."""
    sizes = groups.sizes
    if (sizes == sizes[0]).all():
        table = out.reshape(len(sizes), -1)
        _floored(groups.values.reshape(table.shape), scale[:, None], table)
        table -= centre[:, None]
    else:
        _floored(groups.values, np.repeat(scale, sizes), out)
        out -= np.repeat(centre, sizes)
    return out


def _codes(places: FloatArray, sizes: IntArray) -> IntArray:
    """Each place as a cell of a table with a row of ``_COLUMNS`` for each group; takes the memory.

    Adding 1.5 * 2**52 leaves a whole number in the low bits of a double: a cast without a copy.
    """
    shift = np.arange(len(sizes)) * float(_COLUMNS) + (HALF + _ROUND)
    if (sizes == sizes[0]).all():
        table = places.reshape(len(sizes), -1)
        table += shift[:, None]
    else:
        places += np.repeat(shift, sizes)
    codes = places.view(np.int64)
    codes -= _ROUND_BITS
    return codes


def _heavy(
    groups: Groups, starts: IntArray, codes: IntArray, table: NDArray[np.intp]
) -> list[Groups]:
    """Take the bins to be refined out of the table, as groups of their own."""
    crowded = table > np.maximum(8, groups.sizes // 16)[:, None]
    rows = np.flatnonzero(crowded.any(axis=1))
    # Large groups one by one: what each needs fits into the processor's cache.
    most = max(1, _CACHED // int(groups.sizes.max()))
    return [
        found
        for at in range(0, len(rows), most)
        if (found := _heavy_of(rows[at : at + most], groups, starts, codes, table, crowded))
    ]


def _heavy_of(
    rows: IntArray,
    groups: Groups,
    starts: IntArray,
    codes: IntArray,
    table: NDArray[np.intp],
    crowded: NDArray[np.bool_],
) -> Groups | None:
    """The same of the groups ``rows``, which have such bins perhaps."""
    sizes = groups.sizes[rows]
    if len(rows) == 1:
        mine: slice | IntArray = slice(starts[rows[0]], starts[rows[0]] + sizes[0])
        cells = codes[mine] - rows[0] * _COLUMNS
    else:
        mine = spread(starts[rows], sizes)
        cells = codes[mine] - np.repeat((rows - np.arange(len(rows))) * _COLUMNS, sizes)
    values = groups.values[mine]
    one = np.zeros(len(rows) * _COLUMNS)
    one[cells] = values  # any value of each bin
    mixed = np.zeros(len(one), dtype=bool)
    mixed[cells[one[cells] != values]] = True
    mixed &= crowded[rows].ravel()
    places = np.flatnonzero(mixed)
    if not len(places):
        return None
    row, column = rows[places // _COLUMNS], places % _COLUMNS
    held = table[row, column]
    table[row, column] = 0
    if len(places) <= _FEW // 4:
        values = np.concatenate([values[cells == place] for place in places.tolist()])
    else:
        inside = np.flatnonzero(mixed[cells])
        order = np.argsort(cells[inside], kind="stable")  # bin after bin, in record order
        values = values[inside[order]]
    first = np.cumsum(held) - held
    ends = np.minimum.reduceat(values, first), np.maximum.reduceat(values, first)
    return Groups(values, held, *ends, groups.owner[row])


def _runs(
    values: FloatArray,
    row: IntArray,
    layer: IntArray,
    position: FloatArray,
    groups: Groups,
    *,
    refine: bool,
) -> tuple[_Bins, list[Groups]]:
    """Bins of values that stand beside the others of their bin, and those to be refined."""
    new = np.ones(len(values), dtype=bool)
    new[1:] = position[1:] != position[:-1]
    new[1:] |= layer[1:] != layer[:-1]
    new[1:] |= row[1:] != row[:-1]
    first = new.nonzero()[0]
    held = np.append(first[1:], len(values)) - first
    row = row[first]
    bins = _Bins(groups.owner[row], layer[first], position[first].astype(np.int64), held)
    heavy = held > np.maximum(8, groups.sizes // 16)[row]
    if not refine or not heavy.any():
        return bins, []
    low, high = np.minimum.reduceat(values, first), np.maximum.reduceat(values, first)
    heavy &= low != high
    if not heavy.any():
        return bins, []
    inside = values[np.repeat(heavy, held)]
    finer = Groups(inside, held[heavy], low[heavy], high[heavy], bins.owner[heavy])
    light = ~heavy
    return _Bins(*(column[light] for column in bins)), [finer]
