"""Two profiles compared, feature by feature: how far apart they are beyond what chance alone gives.

Each distance is less its expectation were both samples of one distribution, and 0 where it is not
more than that. So a small sample is not far from everything, and two halves of one set are not far
from each other.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from .profile import Profile
from .reading import quantiles, share_below
from .reference import UNSEEN, Reference, count_cells, places, range_shares, read
from .table import FloatArray, Kind

_GRID: Final = np.concatenate([[0.001, 0.005], np.arange(1, 100) / 100, [0.995, 0.999]])
_KOLMOGOROV: Final = 0.8687  # mean of the limit distribution of sqrt(n) times KS
_HALF_NORMAL: Final = math.sqrt(2 / math.pi)  # mean of |x| of a standard normal x


@dataclass(frozen=True, slots=True)
class Difference:
    """One feature in two profiles; NaN: it has no values, or not of that type, in one of them.

    Attributes:
        name: Its name.
        psi: Population stability index over value ranges or categories, natural logarithm.
        js: Jensen-Shannon distance, base 2, 0 to 1.
        ks: Largest difference of the distribution functions, 0 to 1; numbers only.
        wasserstein: Area between them, in standard deviations of the first; numbers only.
        missing: Share of the records without a value, first and second.
        unseen: Share of the second's values that the first never had: categories, or a type.
        medians: First and second; numbers only.
        counts: Values, first and second.
    """

    name: str
    psi: float
    js: float
    ks: float
    wasserstein: float
    missing: tuple[float, float]
    unseen: float
    medians: tuple[float, float]
    counts: tuple[int, int]

    @property
    def size(self) -> float:
        """What it is ranked by, 0 to 1: the largest of what is a share or a distance."""
        found = (self.js, self.ks, abs(self.missing[1] - self.missing[0]), self.unseen)
        return max(0.0 if math.isnan(each) else each for each in found)


def compare(before: Profile, after: Profile) -> list[Difference]:
    """All features of both, those farthest apart first."""
    reference = read(before)
    ranges, sizes = _ranges(reference, before, after), _sizes(before, after)
    cells = count_cells(reference, after)
    functions = _functions(reference, before, after)
    missing = _missing(before), _missing(after)
    strange = _strange(reference, after, cells)
    at_number = {name: row for row, name in enumerate(reference.numbers)}
    at_text = {name: row for row, name in enumerate(reference.texts)}
    found = []
    for name in sorted({*before.names, *after.names}):
        one, other = sizes.get(name, (0, 0))
        psi = js = ks = wasserstein = math.nan
        medians = (math.nan, math.nan)
        if name in at_number:
            row = at_number[name]
            psi, js = distances(*ranges[row])
            ks, wasserstein, *pair = functions[row].tolist()
            medians = pair[0], pair[1]
        if name in at_text:
            row = at_text[name]
            psi, js = _farther((psi, js), distances(reference.cells[row], cells[row]))
        found.append(
            Difference(
                name,
                psi,
                js,
                ks,
                wasserstein,
                (missing[0].get(name, 1.0), missing[1].get(name, 1.0)),
                strange.get(name, 1.0 if other else 0.0),
                medians,
                (one, other),
            )
        )
    return sorted(found, key=lambda each: (-each.size, -_known(each.wasserstein), each.name))


def distances(before: FloatArray, after: FloatArray) -> tuple[float, float]:
    """PSI and Jensen-Shannon distance of two rows of counts, each less its expectation by chance.

    Half a count is added to every cell of both, so that an empty one is not infinitely far. By
    chance PSI is about (k - 1)(1/n + 1/m) and the divergence an eighth of that over ln 2, a cell
    counting as far as it is filled.
    """
    n, m = float(before.sum()), float(after.sum())
    used = (before > 0) | (after > 0)
    if not n or not m or not used.any():
        return math.nan, math.nan
    p = (before[used] + 0.5) / (n + 0.5 * used.sum())
    q = (after[used] + 0.5) / (m + 0.5 * used.sum())
    middle = (p + q) / 2
    filled = np.minimum((before[used] + after[used]) / (n + m) * min(n, m), 1.0).sum()
    chance = max(filled - 1, 0.0) * (1 / n + 1 / m)
    psi = float(((q - p) * np.log(q / p)).sum())
    divergence = float((p * np.log2(p / middle) + q * np.log2(q / middle)).sum()) / 2
    rest = divergence - chance / (8 * math.log(2))
    return max(psi - chance, 0.0), math.sqrt(max(rest, 0.0))


def _farther(one: tuple[float, float], other: tuple[float, float]) -> tuple[float, float]:
    """Of numbers and texts under one name, those that differ more."""
    return other if math.isnan(one[1]) or other[1] > one[1] else one


def _known(value: float) -> float:
    return 0.0 if math.isnan(value) else value


def _missing(profile: Profile) -> dict[str, float]:
    shares = profile.missing() / max(profile.records, 1)
    return dict(zip(profile.names, shares.tolist(), strict=True))


def _sizes(before: Profile, after: Profile) -> dict[str, tuple[int, int]]:
    held = [
        dict(zip(each.names, (each.records - each.missing()).tolist(), strict=True))
        for each in (before, after)
    ]
    return {name: (held[0].get(name, 0), held[1].get(name, 0)) for name in {*held[0], *held[1]}}


def _ranges(
    reference: Reference, before: Profile, after: Profile
) -> list[tuple[FloatArray, FloatArray]]:
    """Counts of each number feature by value range, first and second."""
    names = reference.numbers
    one, other = before.numbers.select(names), after.numbers.select(names)
    return list(
        zip(
            range_shares(one, reference.edges) * one.count[:, None],
            range_shares(other, reference.edges) * other.count[:, None],
            strict=True,
        )
    )


def _functions(reference: Reference, before: Profile, after: Profile) -> FloatArray:
    """KS, Wasserstein distance and both medians of each number feature, shape (F, 4)."""
    names = reference.numbers
    one, other = before.numbers.select(names), after.numbers.select(names)
    if not names:
        return np.empty((0, 4))
    points = [quantiles(each.histogram, _GRID) for each in (one, other)]
    middle = int(np.searchsorted(_GRID, 0.5))
    grid = np.sort(np.concatenate(points, axis=1), axis=1)
    below = [share_below(each, np.nan_to_num(grid)) for each in (one, other)]
    apart = np.abs(below[0] - below[1])
    with np.errstate(divide="ignore", invalid="ignore"):
        inverse = 1 / one.count + 1 / other.count
        pooled = (below[0] * one.count[:, None] + below[1] * other.count[:, None]) / (
            one.count + other.count
        )[:, None]
        chance = _HALF_NORMAL * np.sqrt(pooled * (1 - pooled) * inverse[:, None])
        width = np.diff(grid, axis=1)
        area = ((apart - chance)[:, :-1] * width).sum(axis=1) / reference.scale
        ks = np.max(apart, axis=1) - _KOLMOGOROV * np.sqrt(inverse)
    known = (one.count > 0) & (other.count > 0)
    found = np.stack([np.maximum(ks, 0.0), np.maximum(area, 0.0)], axis=1)
    found[~known] = np.nan
    return np.concatenate([found, points[0][:, [middle]], points[1][:, [middle]]], axis=1)


def _strange(reference: Reference, after: Profile, cells: FloatArray) -> dict[str, float]:
    """Share of a feature's values in ``after`` that the reference never saw."""
    place = places(reference.names, after.names)
    found: dict[str, float] = {}
    texts = {name: row for row, name in enumerate(reference.texts)}
    for row, (name, at) in enumerate(zip(reference.names, place.tolist(), strict=True)):
        if at < 0:
            continue
        kinds = after.kinds[at]
        present = int(kinds[Kind.NUMBER :].sum())
        strange = int((kinds * reference.foreign[row]).sum())
        if name in texts and not reference.foreign[row, Kind.TEXT]:
            strange += int(cells[texts[name], UNSEEN])
        found[name] = min(strange / present, 1.0) if present else 0.0
    return found
