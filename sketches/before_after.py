"""One feature in two profiles, as shares of the same cells: what a small histogram shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from .numbers import Numbers
from .profile import Profile
from .reading import quantiles, share_below
from .table import FloatArray

BINS: Final = 32  # equal ranges of numbers
CATEGORIES: Final = 8  # named cells of texts
_TAIL: Final = 0.005  # of the values on each side, which the outermost ranges take in


@dataclass(frozen=True, slots=True)
class Comparison:
    """A feature before and after, each cell a share of the values, 0 to 1.

    Attributes:
        names: Category of each cell, C of them, the largest first; empty: ranges of numbers.
        edges: Shape (C + 1,), ascending borders of the ranges; empty for categories. Values below
            the first and above the last count in the outermost ranges.
        before: Shape (C,); all 0: no value.
        after: Shape (C,), likewise.
        rest: Shares of the categories that are not named, before and after.
        missing: Shares of the records without a value, before and after.
        records: Records before and after.
    """

    names: tuple[str, ...]
    edges: FloatArray
    before: FloatArray
    after: FloatArray
    rest: tuple[float, float]
    missing: tuple[float, float]
    records: tuple[int, int]


def compare(before: Profile, after: Profile, feature: str) -> Comparison | None:
    """The feature in both profiles; None: neither holds a value of it."""
    pair = before, after
    numbers = [each.numbers.select((feature,)) for each in pair]
    counted = sum(int(each.count[0]) for each in numbers)
    texts = [each.texts.get(feature) for each in pair]
    named = sum(each.total for each in texts if each is not None)
    if not counted and not named:
        return None
    missing = _missing(before, feature), _missing(after, feature)
    records = before.records, after.records
    if counted >= named:
        edges = _edges(numbers)
        shares = [_ranges(each, edges) for each in numbers]
        return Comparison((), edges, shares[0], shares[1], (0.0, 0.0), missing, records)
    held = [each.counts if each is not None else {} for each in texts]
    totals = [each.total if each is not None else 0 for each in texts]
    share = [
        {name: n / max(total, 1) for name, n in counts.items()}
        for counts, total in zip(held, totals, strict=True)
    ]
    largest = sorted(
        share[0].keys() | share[1].keys(),
        key=lambda name: (-max(share[0].get(name, 0.0), share[1].get(name, 0.0)), name),
    )
    names = tuple(largest[:CATEGORIES])
    cells = [np.array([each.get(name, 0.0) for name in names]) for each in share]
    rest = [max(float(bool(n)) - float(c.sum()), 0.0) for n, c in zip(totals, cells, strict=True)]
    none = np.zeros(0)
    return Comparison(names, none, cells[0], cells[1], (rest[0], rest[1]), missing, records)


def _missing(profile: Profile, feature: str) -> float:
    if feature not in profile.names:
        return float(profile.records > 0)
    return int(profile.missing()[profile.names.index(feature)]) / max(profile.records, 1)


def _edges(numbers: list[Numbers]) -> FloatArray:
    ends = [
        quantiles(each.histogram, (_TAIL, 1 - _TAIL))[0] for each in numbers if each.count[0] > 0
    ]
    low = min(float(each[0]) for each in ends)
    high = max(float(each[1]) for each in ends)
    if not high > low:  # one value: a range around it
        low, high = low - max(abs(low), 1.0) / 2, high + max(abs(high), 1.0) / 2
    part = np.linspace(0.0, 1.0, BINS + 1)
    edges: FloatArray = low * (1 - part) + high * part
    return edges


def _ranges(numbers: Numbers, edges: FloatArray) -> FloatArray:
    if not numbers.count[0]:
        return np.zeros(len(edges) - 1)
    below = share_below(numbers, edges[None, :])[0]
    below[0], below[-1] = 0.0, 1.0
    shares: FloatArray = np.maximum(np.diff(below), 0.0)
    return shares
