"""Two profiles compared, feature by feature: how far apart they are beyond what chance alone gives.

Each distance is less its expectation were both samples of one distribution, and 0 where it is not
more than that. So a small sample is not far from everything, and two halves of one set are not far
from each other.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .distances import functions_apart, psi, signed_js
from .profile import Profile
from .reading import quantiles
from .reference import UNSEEN, Reference, count_cells, places, range_shares, read
from .table import FloatArray, Kind


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
    categories = _cells_apart(reference.cells, cells)
    missing = _missing(before), _missing(after)
    strange = _strange(reference, after, cells)
    at_number = {name: row for row, name in enumerate(reference.numbers)}
    at_text = {name: row for row, name in enumerate(reference.texts)}
    found = []
    for name in sorted({*before.names, *after.names}):
        one, other = sizes.get(name, (0, 0))
        apart = (math.nan, math.nan)
        ks = wasserstein = math.nan
        medians = (math.nan, math.nan)
        if name in at_number:
            row = at_number[name]
            apart = ranges[row]
            ks, wasserstein, *pair = functions[row].tolist()
            medians = pair[0], pair[1]
        if name in at_text:
            row = at_text[name]
            apart = _farther(apart, categories[row])
        found.append(
            Difference(
                name,
                *apart,
                ks,
                wasserstein,
                (missing[0].get(name, 1.0), missing[1].get(name, 1.0)),
                strange.get(name, 1.0 if other else 0.0),
                medians,
                (one, other),
            )
        )
    return sorted(found, key=lambda each: (-each.size, -_known(each.wasserstein), each.name))


def _cells_apart(before: FloatArray, after: FloatArray) -> list[tuple[float, float]]:
    """PSI and Jensen-Shannon distance of each row of counts."""
    js = np.maximum(signed_js(before, after), 0.0)
    return list(zip(psi(before, after).tolist(), js.tolist(), strict=True))


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


def _ranges(reference: Reference, before: Profile, after: Profile) -> list[tuple[float, float]]:
    """PSI and Jensen-Shannon distance of each number feature, over value ranges."""
    names = reference.numbers
    one, other = before.numbers.select(names), after.numbers.select(names)
    return _cells_apart(
        range_shares(one, reference.edges) * one.count[:, None],
        range_shares(other, reference.edges) * other.count[:, None],
    )


def _functions(reference: Reference, before: Profile, after: Profile) -> FloatArray:
    """KS, Wasserstein distance in sd and both medians of each number feature, shape (F, 4)."""
    names = reference.numbers
    sides = before.numbers.select(names), after.numbers.select(names)
    found = np.full((len(names), 4), np.nan)
    for side, column in zip(sides, (2, 3), strict=True):
        found[:, column] = quantiles(side.histogram, (0.5,))[:, 0]
    for row, name in enumerate(names):
        one, other = (side.select((name,)) for side in sides)
        if one.count[0] and other.count[0]:
            found[row, :2] = functions_apart(one, other)
    found[:, 1] /= reference.scale
    return found


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
