"""FOCuS: the likelihood ratio test for a change of mean from a known one, over all onsets at once.

Romano, Eckley, Fearnhead and Rigaill, "Fast online changepoint detection via functional pruning
CUSUM statistics" (JMLR 24, 2023), for N(0, 1) values and a pre-change mean of 0. Of the points
(t, S_t) only those on the lower convex hull can be the onset of a rise, and those on the upper one
of a fall; there are about log t of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

Point = tuple[int, float]  # number of values, their sum


class Focus:
    """After each value, the largest |sum since an onset| / sqrt(values since then)."""

    def __init__(self) -> None:
        self._time = 0
        self._sum = 0.0
        self._hulls: tuple[list[Point], list[Point]] = [], []

    def update(self, value: float) -> float:
        """One value; the statistic with it, in standard deviations."""
        best = 0.0
        for sign, hull in zip((1.0, -1.0), self._hulls, strict=True):
            _push(hull, (self._time, sign * self._sum))
        self._time += 1
        self._sum += value
        for sign, hull in zip((1.0, -1.0), self._hulls, strict=True):
            for time, total in hull:
                best = max(best, (sign * self._sum - total) / math.sqrt(self._time - time))
        return best


def _push(hull: list[Point], point: Point) -> None:
    """Add a point to the right of a lower convex hull."""
    while len(hull) > 1 and _slope(hull[-2], hull[-1]) >= _slope(hull[-1], point):
        hull.pop()
    hull.append(point)


def _slope(one: Point, other: Point) -> float:
    return (other[1] - one[1]) / (other[0] - one[0])


def delay(values: Iterable[float], threshold: float) -> int | None:
    """Values until the statistic of FOCuS exceeds a threshold; None: it never does."""
    focus = Focus()
    for number, value in enumerate(values, 1):
        if focus.update(value) > threshold:
            return number
    return None


def threshold(arl: float) -> float:
    """Of FOCuS, for an average run length, fitted on runs of 1e4 to 1e8: sqrt(2 ln ARL + 1)."""
    return math.sqrt(2 * math.log(max(arl, 2.0)) + 1)
