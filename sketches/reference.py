"""The frozen reference: what later profiles of the same stream are compared with.

It is read from a profile, whether that was learned from the stream or made of a training set.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from .numbers import Numbers
from .profile import Profile
from .reading import clipped_moments, quantiles, share_below, snapped_edges
from .state import Packed, pack_all, unpack_all
from .table import FloatArray, IntArray, Kind

TOP: Final = 20  # categories compared by name
OTHER: Final = TOP  # cell of the known rest
UNSEEN: Final = TOP + 1  # cell of what the reference never saw
CELLS: Final = TOP + 2
RANGES: Final = 16  # about so many value ranges between quantile edges
EDGES: Final = 2 * (RANGES - 1)  # with those behind frequent values
CLIP: Final = 0.01  # share beyond each clip limit, before these are widened
_WIDER: Final = 0.25  # so that a feature that wanders by day and night is not cut off
_CUT_OFF: Final = 0.05  # share beyond one limit
_RARE: Final = 0.001  # a value kind that so few records hold says nothing about the feature


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
        top: Text feature -> its most frequent values, at most ``TOP``.
        cells: Shape (T, CELLS), counts of these, of the rest, and of unseen ones (0).
        known: Text feature -> all values seen.
        complete: Shape (T,): ``known`` is all there was; else it was too many and nothing counts
            as unseen.
        foreign: Shape (A, 2): 1 where numbers, or texts, are a kind of value that the feature does
            not have; they count as unseen.
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
    top: tuple[tuple[str, ...], ...]
    cells: FloatArray
    known: tuple[AbstractSet[str], ...]
    complete: FloatArray
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
        return cls(
            names=tuple(state["names"]),
            numbers=tuple(state["numbers"]),
            texts=tuple(state["texts"]),
            records=state["records"],
            top=tuple(map(tuple, state["top"])),
            known=tuple(map(frozenset, state["known"])),
            **unpack_all(packed),
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
    "cells",
    "complete",
    "foreign",
)


def read(profile: Profile) -> Reference:
    """The reference that a profile makes. A feature without any value is kept, as all missing."""
    held = profile.numbers
    low, high = _limits(profile, *quantiles(held.histogram, (CLIP, 1 - CLIP)).T)
    known = tuple(frozenset(profile.texts[name].counts) for name in profile.texts)
    top = tuple(tuple(profile.texts[name].counts)[:TOP] for name in profile.texts)
    found = Reference(
        names=profile.names,
        numbers=held.names,
        texts=tuple(profile.texts),
        records=profile.records,
        present=(profile.records - profile.missing()).astype(np.float64),
        low=low,
        high=high,
        centre=np.zeros(len(held.names)),
        scale=np.ones(len(held.names)),
        kurtosis=np.full(len(held.names), 3.0),
        edges=snapped_edges(held.histogram, RANGES),
        shares=np.zeros((len(held.names), EDGES + 1)),
        top=top,
        cells=np.zeros((len(top), CELLS)),
        known=known,
        complete=np.array([profile.texts[name].other == 0 for name in profile.texts], dtype=float),
        foreign=_foreign(profile.names, profile),
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
    for name in ("low", "high", "centre", "scale", "kurtosis", "edges", "shares"):
        values = getattr(reference, name).copy()
        values[rows] = getattr(fresh, name)[place[rows]]
        changed[name] = values
    return replace(reference, **changed), rows


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
    return replace(
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
        foreign=_foreign(reference.names, profile),
    )


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


def _foreign(names: Sequence[str], profile: Profile) -> FloatArray:
    place = places(names, profile.names)
    known = place >= 0
    kinds = np.zeros((len(names), 2))
    counts = profile.kinds[place[known]]
    kinds[known, 0] = counts[:, Kind.NUMBER]
    kinds[known, 1] = counts[:, Kind.TEXT] + counts[:, Kind.BOOLEAN]
    rare = kinds <= _RARE * kinds.sum(axis=1, keepdims=True)
    return np.asarray(rare, dtype=np.float64)
