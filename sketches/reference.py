"""The frozen reference: what later profiles of the same stream are compared with.

It is read from a profile, whether that was learned from the stream or made of a training set.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

import numpy as np

from .numbers import Numbers
from .profile import KINDS, Profile
from .reading import (
    GRID,
    QUANTILES,
    RANGES,
    RangeArray,
    cell_of,
    clipped_moments,
    clipped_sums,
    quantiles,
    range_cuts,
    range_table,
    share_below,
    snapped_edges,
    typical_sizes,
)
from .state import Packed, pack_all, unpack_all
from .table import FloatArray, IntArray, Kind

TOP: Final = 20  # categories compared by name
OTHER: Final = TOP  # cell of the known rest
UNSEEN: Final = TOP + 1  # cell of what the reference never saw
CELLS: Final = TOP + 2
EDGES: Final = 2 * (RANGES - 1)  # with those behind frequent values
CLIP: Final = 0.01  # share beyond each clip limit, before these are widened
_WIDER: Final = 0.25  # so that a feature that wanders by day and night is not cut off
_CUT_OFF: Final = 0.05  # share beyond one limit
_STRAY: Final = 0.1  # of the range seen; so far beyond it a value is not outside yet
_VALUES: Final = 4096  # of a category: beyond that nothing counts as unseen
_RARE: Final = 0.001  # a value kind that so few records hold says nothing about the feature


class Counted(NamedTuple):
    """Values of a block by what a reference tells apart.

    Attributes:
        cells: Shape (T, CELLS), by category.
        ranges: Shape (F, RANGES), by value range.
    """

    cells: FloatArray
    ranges: FloatArray


@dataclass(frozen=True, slots=True)
class Reference:
    """F number features, T text features, A features in all, each in order of their names.

    Attributes:
        names: All features.
        numbers: Number features.
        texts: Text and boolean features.
        records: Records behind it.
        present: Shape (A,), records that hold a value.
        low: Shape (F,), values are clipped to low..high before their mean and variance are taken.
        high: Shape (F,).
        centre: Shape (F,), clipped mean.
        scale: Shape (F,), clipped standard deviation; of a constant a tiny positive number.
        kurtosis: Shape (F,), fourth moment of clipped values in units of ``scale``.
        edges: Shape (F, EDGES), quantile edges on bin borders; infinite where fewer suffice.
        shares: Shape (F, EDGES + 1), share of the values in each range.
        cuts: Shape (F, RANGES - 1), where the ranges begin whose shares are compared, in cells.
        held: Shape (F, RANGES), values in each of these.
        ranges: Shape (F, GRID), the table of these ranges; follows from ``cuts``.
        least: Shape (F,), values below it are outside.
        most: Shape (F,), likewise.
        sizes: Shape (F, len(QUANTILES)), of the sizes of the values other than 0; NaN without any.
        top: Text feature -> its most frequent values, at most ``TOP``.
        cells: Shape (T, CELLS), counts of these, of the rest, and of unseen ones (0).
        known: Text feature -> all values seen.
        complete: Shape (T,): ``known`` is all there was; else it was too many and nothing counts
            as unseen.
        kinds: Shape (A, KINDS), records by ``Kind``.
        foreign: Shape (A, KINDS): 1 where a JSON type is one that the feature does not have; of one
            without any value nothing is known. Follows from ``kinds``.
    """

    names: tuple[str, ...]
    numbers: tuple[str, ...]
    texts: tuple[str, ...]
    records: int
    present: FloatArray
    low: FloatArray
    high: FloatArray
    centre: FloatArray
    scale: FloatArray
    kurtosis: FloatArray
    edges: FloatArray
    shares: FloatArray
    cuts: IntArray
    held: FloatArray
    ranges: RangeArray
    least: FloatArray
    most: FloatArray
    sizes: FloatArray
    top: tuple[tuple[str, ...], ...]
    cells: FloatArray
    known: tuple[AbstractSet[str], ...]
    complete: FloatArray
    kinds: FloatArray
    foreign: FloatArray

    def state(self) -> dict[str, Any]:
        """All of it, as plain values."""
        return {
            "names": list(self.names),
            "numbers": list(self.numbers),
            "texts": list(self.texts),
            "records": self.records,
            "top": [list(each) for each in self.top],
            "known": [sorted(each) for each in self.known],
            "arrays": pack_all({name: getattr(self, name) for name in _ARRAYS}),
        }

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> Reference:
        """From ``state``."""
        packed: dict[str, Packed] = state["arrays"]
        arrays = unpack_all(packed)
        return cls(
            ranges=range_table(arrays["cuts"]),
            foreign=_foreign(arrays["kinds"]),
            names=tuple(state["names"]),
            numbers=tuple(state["numbers"]),
            texts=tuple(state["texts"]),
            records=state["records"],
            top=tuple(map(tuple, state["top"])),
            known=tuple(map(frozenset, state["known"])),
            **arrays,
        )


_ARRAYS: Final = (
    "present",
    "low",
    "high",
    "centre",
    "scale",
    "kurtosis",
    "edges",
    "shares",
    "cuts",
    "held",
    "least",
    "most",
    "sizes",
    "cells",
    "complete",
    "kinds",
)


def read(profile: Profile) -> Reference:
    """The reference that a profile makes. A feature without any value is kept, as all missing."""
    held = profile.numbers
    low, high = _limits(profile, *quantiles(held.histogram, (CLIP, 1 - CLIP)).T)
    known = tuple(frozenset(profile.texts[name].counts) for name in profile.texts)
    top = tuple(tuple(profile.texts[name].counts)[:TOP] for name in profile.texts)
    cuts, ranges = range_cuts(held.histogram, low, high)
    none = np.zeros(len(held.names))
    found = Reference(
        names=profile.names,
        numbers=held.names,
        texts=tuple(profile.texts),
        records=profile.records,
        present=(profile.records - profile.missing()).astype(np.float64),
        low=low,
        high=high,
        centre=none,
        scale=np.ones(len(held.names)),
        kurtosis=np.full(len(held.names), 3.0),
        edges=snapped_edges(held.histogram, RANGES),
        shares=np.zeros((len(held.names), EDGES + 1)),
        cuts=cuts,
        held=np.zeros((len(held.names), RANGES)),
        ranges=ranges,
        least=none,
        most=none,
        sizes=np.zeros((len(held.names), len(QUANTILES))),
        top=top,
        cells=np.zeros((len(top), CELLS)),
        known=known,
        complete=np.array([profile.texts[name].other == 0 for name in profile.texts], dtype=float),
        kinds=np.zeros((len(profile.names), KINDS)),
        foreign=np.zeros((len(profile.names), KINDS)),
    )
    return recentred(found, profile)


def _limits(profile: Profile, low: FloatArray, high: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Clip limits around two quantiles; where these are the same, as far as the rest strays."""
    held = profile.numbers
    most = np.finfo(np.float64).max / 8
    low = np.clip(np.nan_to_num(low), -most, most)
    high = np.clip(np.nan_to_num(high), -most, most)
    with np.errstate(over="ignore", invalid="ignore"):
        stray = 4 * np.sqrt(held.m2 / np.maximum(held.count, 1))
    stray = np.where(np.isfinite(stray) & (stray > 1e-9 * np.abs(low)), stray, 0.0)
    apart = np.where(stray > 0, stray, np.where(low != 0, np.abs(low), 1.0))
    margin = np.where(high > low, _WIDER * (high - low), np.minimum(apart, most))
    return low - margin, high + margin


def _extent(found: Numbers) -> tuple[FloatArray, FloatArray]:
    """How far values go, and a little further; from the bins where the ends are withheld."""
    ends = quantiles(found.histogram, (0.0, 1.0))
    least = np.where(np.isnan(found.minimum), ends[:, 0], found.minimum)
    most = np.where(np.isnan(found.maximum), ends[:, 1], found.maximum)
    largest = np.finfo(np.float64).max / 4
    low, high = np.clip(least, -largest, largest), np.clip(most, -largest, largest)
    margin = np.maximum(_STRAY * (high - low), 1e-6 * np.maximum(np.abs(low), np.abs(high)))
    with np.errstate(over="ignore"):
        return least - margin, most + margin


def refreshed(reference: Reference, profile: Profile) -> tuple[Reference, IntArray]:
    """New limits where a larger profile shows that those of its first part cut too much off.

    Returns:
        The reference and the rows (of its number features) that are new.
    """
    fresh = read(profile)
    place = places(reference.numbers, fresh.numbers)
    limits = np.stack([reference.low, reference.high], axis=1)
    below = share_below(profile.numbers.select(reference.numbers), limits)
    beyond = (below[:, 0] > _CUT_OFF) | (below[:, 1] < 1 - _CUT_OFF)
    width = fresh.high[place] - fresh.low[place]
    beyond |= reference.scale < 1e-6 * np.minimum(fresh.scale[place], width)
    rows = np.flatnonzero(beyond & (place >= 0))
    changed: dict[str, Any] = {}
    for name in ("low", "high", "centre", "scale", "kurtosis", "edges", "shares", "cuts"):
        values = getattr(reference, name).copy()
        values[rows] = getattr(fresh, name)[place[rows]]
        changed[name] = values
    found = replace(reference, **changed, ranges=range_table(changed["cuts"]))
    return _compared(found, profile), rows


def _compared(reference: Reference, profile: Profile) -> Reference:
    """With the ranges, extents, sizes and kinds of a larger profile."""
    found = profile.numbers.select(reference.numbers)
    rows = np.arange(len(found.names))
    limits = reference.low, reference.high, reference.centre, reference.scale
    least, most = _extent(found)
    place = places(profile.names, reference.names)
    kinds = np.zeros((len(reference.names), KINDS))
    kinds[place[place >= 0]] = profile.kinds[place >= 0]
    return replace(
        reference,
        held=clipped_sums(found.histogram, rows, *limits, reference.ranges)[2],
        least=least,
        most=most,
        sizes=typical_sizes(found.histogram)[0],
        kinds=kinds,
        foreign=_foreign(kinds),
    )


def _foreign(kinds: FloatArray) -> FloatArray:
    present = kinds[:, Kind.NUMBER :].sum(axis=1, keepdims=True)
    found = np.asarray((kinds <= _RARE * present) & (present > 0), dtype=np.float64)
    found[:, [Kind.ABSENT, Kind.NULL, Kind.NON_FINITE]] = 0.0
    return found


def grown(reference: Reference, profile: Profile, counted: Counted) -> Reference:
    """With one more block in what the next ones are compared with, while it is learned.

    Args:
        reference: As it was.
        profile: The block.
        counted: What ``signals.measure`` counted in it.
    """
    cells = reference.cells + counted.cells
    cells[:, OTHER] += cells[:, UNSEEN]
    cells[:, UNSEEN] = 0
    known = list(reference.known)
    for row, name in enumerate(reference.texts):
        if counted.cells[row, UNSEEN] and len(known[row]) < _VALUES:
            known[row] = known[row] | profile.texts[name].counts.keys()
    full = np.array([len(held) < _VALUES for held in known], dtype=np.float64)
    return replace(
        reference,
        held=reference.held + counted.ranges,
        cells=cells,
        known=tuple(known),
        complete=np.minimum(reference.complete, full),
    )


def recentred(reference: Reference, profile: Profile) -> Reference:
    """The same limits, edges and names, with the means, spreads and shares of a larger profile.

    Args:
        reference: Read from a part of ``profile``.
        profile: All of it.
    """
    held = profile.numbers
    centre, scale, kurtosis = _moments(reference, profile, places(held.names, reference.numbers))
    shares = range_shares(held.select(reference.numbers), reference.edges)
    cells = np.zeros_like(reference.cells)
    known: list[AbstractSet[str]] = []
    complete = reference.complete.copy()
    for at, name in enumerate(reference.texts):
        found = profile.texts.get(name)
        known.append(
            frozenset(found.counts) | reference.known[at] if found else reference.known[at]
        )
        if found is None:
            continue
        cells[at, :TOP] = _named(found.counts, reference.top[at])
        cells[at, OTHER] = found.total - cells[at, :TOP].sum()
        complete[at] = min(complete[at], float(found.other == 0))
    at_all = {name: each for each, name in enumerate(profile.names)}
    held_by = profile.records - profile.missing()
    present = [float(held_by[at_all[name]]) if name in at_all else 0.0 for name in reference.names]
    found_all = replace(
        reference,
        records=profile.records,
        present=np.array(present),
        centre=centre,
        scale=scale,
        kurtosis=kurtosis,
        shares=shares,
        cells=cells,
        known=tuple(known),
        complete=complete,
    )
    return _compared(found_all, profile)


def count_cells(reference: Reference, profile: Profile) -> FloatArray:
    """Values of a block by category cell of the reference, shape (T, CELLS)."""
    cells = np.zeros((len(reference.texts), CELLS))
    for row, name in enumerate(reference.texts):
        held = profile.texts.get(name)
        if held is None:
            continue
        counts, known = held.counts, reference.known[row]
        named = [counts.get(value, 0) for value in reference.top[row]]
        cells[row, : len(named)] = named
        strange = 0
        if reference.complete[row]:
            strange = sum(n for value, n in counts.items() if value not in known)
        cells[row, UNSEEN] = strange
        cells[row, OTHER] = held.total - sum(named) - strange
    return cells


def negative_share(reference: Reference, row: IntArray) -> FloatArray:
    """Share of the values below 0 of some number features, about, shape (len(row),)."""
    held, ends = reference.held[row], np.full((len(row), 1), GRID)
    zero = cell_of(0.0, reference.low[row], reference.high[row])[:, None]
    first = np.hstack([np.zeros_like(ends), reference.cuts[row]])
    last = np.hstack([reference.cuts[row], ends])
    part = np.clip((zero - first) / np.maximum(last - first, 1), 0.0, 1.0)
    shares: FloatArray = (held * part).sum(axis=1) / np.maximum(held.sum(axis=1), 1)
    return shares


def range_shares(found: Numbers, edges: FloatArray) -> FloatArray:
    """Share of each feature's values between its edges, shape (F, E + 1); 0 without values."""
    below = np.nan_to_num(share_below(found, edges))
    whole = (found.count > 0).astype(np.float64)[:, None]
    # Rounded, so that what did not move is the same, to the bit.
    return np.round(np.diff(below, axis=1, prepend=0.0, append=whole), 12)


def _moments(
    reference: Reference, profile: Profile, place: IntArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    bins, low, high = profile.numbers.histogram, reference.low, reference.high
    middle = low / 2 + high / 2
    width = np.maximum(high - low, 1e-300)
    count, first, *_ = clipped_moments(bins, place, low, high, middle, width)
    count = np.maximum(count, 1)
    centre = middle + width * (first / count)
    _, _, second, fourth = clipped_moments(bins, place, low, high, centre, width)
    variance = second / count
    scale = width * np.maximum(np.sqrt(variance), 1e-9)
    with np.errstate(divide="ignore", invalid="ignore"):
        kurtosis = np.where(variance > 1e-12, fourth / count / variance**2, 3.0)
    return centre, scale, np.clip(np.nan_to_num(kurtosis, nan=3.0), 1.0, 1e4)


def _named(counts: Mapping[str, int], names: Sequence[str]) -> FloatArray:
    found = np.zeros(TOP)
    found[: len(names)] = [counts.get(name, 0) for name in names]
    return found


def places(names: Sequence[str], wanted: Sequence[str]) -> IntArray:
    """The place of each of ``names`` in ``wanted``, -1 if it is not there."""
    if tuple(names) == tuple(wanted):
        return np.arange(len(names))
    at = {name: place for place, name in enumerate(wanted)}
    return np.array([at.get(name, -1) for name in names], dtype=np.int64)
