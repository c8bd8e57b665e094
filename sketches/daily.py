"""Means by day against a reference that never rolls.

An expectation that rolls takes for the new normal what comes slowly. The reference here is the mean
of each day of the week, as it was learned or as the training set has it. Once a day the mean of the
last three to seven days is compared with it; how much days stray is measured from the days of the
reference themselves. A day in which a signal had changed, or had few of its hours, says nothing
about it, and a shift that was told and has settled is no drift.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np

from .blocks import DAY
from .budget import NORMAL_90, student
from .state import Packed, pack_small, unpack_small
from .table import BoolArray, FloatArray, IntArray

_WEEK: Final = 7  # days
_FEWEST: Final = 3  # days that are compared with those of the same weekdays
_WHOLE: Final = 0.75  # of the usual hours of a day, at least
_PART: Final = 0.25  # of the shift that a day shows, at least, from which on it is there
_MOST_ALIKE: Final = 0.9  # correlation of a day with the one before


class Week(NamedTuple):
    """The last days of S signals against the frozen reference, NaN where one says nothing.

    Attributes:
        start: Shape (7,), starts of the days, microseconds, ascending.
        away: Shape (7, S), deviation of each from the reference of its weekday.
        days: Shape (S,), that say something.
        shift: Shape (S,), mean deviation; 0 of too few days.
        level: Shape (S,), what the reference is over these days.
        sample: Shape (S,), records in them.
        deviation: Shape (2, S), standard deviation of ``shift``, as measured in two ways.
        df: Shape (2, S), degrees of freedom of each.
    """

    start: IntArray
    away: FloatArray
    days: IntArray
    shift: FloatArray
    level: FloatArray
    sample: FloatArray
    deviation: FloatArray
    df: FloatArray

    def limits(self, critical: float, noise: FloatArray, gate: FloatArray) -> FloatArray:
        """How far a mean of these days must be off to be told, shape (S,).

        Args:
            critical: Value of N(0, 1) that the budget allows.
            noise: Shape (S,), variance of a day as the baseline's blocks have it.
            gate: Shape (S,), smallest effect worth telling.
        """
        known = np.maximum(self.days, 1)
        least = np.sqrt(noise / known)
        far = np.min(student(critical, np.maximum(self.df, 1.0)) * self.deviation, axis=0)
        found: FloatArray = np.maximum(
            np.maximum(far, critical * least),
            gate + NORMAL_90 * np.maximum(np.min(self.deviation, axis=0), least),
        )
        return found

    def halves(self) -> FloatArray:
        """The nearer one of the means of the older and of the newer half, towards the shift."""
        known = np.isfinite(self.away)
        passed = np.cumsum(known, axis=0)
        older = known & (passed <= self.days // 2)
        means = [
            np.where(part, self.away, 0.0).sum(axis=0) / np.maximum(part.sum(axis=0), 1)
            for part in (older, known & ~older)
        ]
        found: FloatArray = np.min(np.stack(means) * np.sign(self.shift), axis=0)
        return found

    def began(self, signal: int) -> tuple[int, int]:
        """Start of the first day from which on a signal is off; the earliest that may be."""
        away = self.away[:, signal] * np.sign(self.shift[signal])
        known = np.flatnonzero(np.isfinite(away))
        near = known[away[known] < _PART * abs(self.shift[signal])]
        first = known[known > near[-1]] if len(near) and near[-1] < known[-1] else known
        return int(self.start[first[0]]), int(self.start[known[0]])


class DailyMeans:
    """Means by day of S signals: of the frozen reference by weekday, and of the last week.

    Args:
        signals: S.
    """

    _ROWS: Final = (
        *("hours", "weight", "total", "mean", "records"),
        *("count", "first", "second", "pairs", "squares", "moved", "anchor"),
        *("lags", "products", "apart"),
    )

    def __init__(self, signals: int) -> None:
        self.live = False  # learned: what is complete in the reference does not change any more
        self._day = -1
        self._skip = False  # the day in the making began in the middle
        self._usual = 0  # hours of a day
        self._new = False
        self._packed: dict[str, Packed] | None = None
        # The day in the making.
        self.hours, self.weight, self.total = np.zeros((3, signals))
        # The last seven days by weekday, and their numbers.
        self.mean = np.full((_WEEK, signals), np.nan, dtype=np.float32)
        self.records = np.zeros((_WEEK, signals), dtype=np.float32)
        self.number: IntArray = np.full(_WEEK, -_WEEK - 1, dtype=np.int64)
        # The reference: daily means by weekday, their squares, and those of differences of a week.
        self.count = np.zeros((_WEEK, signals), dtype=np.float32)
        self.first = np.zeros((_WEEK, signals))
        self.second, self.pairs, self.squares = np.zeros((3, signals))
        # Differences of a week of two days in a row: how many, the sum of their products.
        self.lags, self.products = np.zeros((2, signals))
        self.apart = np.full(signals, np.nan)  # that of the last day
        self.moved = np.zeros(signals)  # what was told and has settled
        self.anchor = np.full(signals, np.nan)  # level of a given baseline

    def add(self, hour: int, weight: FloatArray, total: FloatArray) -> None:
        """An hour, later than the one before.

        Args:
            hour: Since the epoch.
            weight: Shape (S,); 0: it says nothing.
            total: Shape (S,), sum of weight times value.
        """
        self._packed = None
        day = hour // 24
        if day != self._day:
            if self._day >= 0:
                self._close()
            self._skip = self._day < 0 and hour % 24 > 0
            self._day = day
        self.hours += weight > 0
        self.weight += weight
        self.total += total

    def _close(self) -> None:
        most = int(self.hours.max(initial=0))
        if not self._skip and most:
            self._usual = max(self._usual, most)
            self._keep(self.hours >= _WHOLE * self._usual)
        self.hours[:] = self.weight[:] = self.total[:] = 0.0

    def _keep(self, whole: BoolArray) -> None:
        """The day that is over, of the signals that it says something about."""
        row = self._day % _WEEK
        mean = np.where(whole, self.total / np.where(whole, self.weight, 1.0), np.nan)
        learning = whole.copy()
        if self.live:
            learning[self._complete()] = False
        if self.number[row] == self._day - _WEEK:
            apart = mean - self.mean[row]
            both = learning & np.isfinite(apart)
            self.pairs += both
            self.squares += np.where(both, apart, 0.0) ** 2
            if self.number[row - 1] == self._day - 1:
                both &= np.isfinite(self.apart)
                self.lags += both
                self.products += np.where(both, apart * self.apart, 0.0)
            self.apart = apart
        self.mean[row], self.records[row] = mean, self.weight
        self.number[row] = self._day
        held = np.where(learning, mean, 0.0)
        self.count[row] += learning
        self.first[row] += held
        self.second += held**2
        if self.live:
            # Days that made the reference are not compared with it, but with a given level.
            self.mean[row, learning & np.isnan(self.anchor)] = np.nan
            self._new = True

    def _complete(self) -> BoolArray:
        found: BoolArray = self.count.min(axis=0) > 0
        return found

    def begin(self, anchor: FloatArray | None = None) -> None:
        """From here on days are compared with the reference.

        Args:
            anchor: Shape (S,), the level of a given baseline; None: as the days were.
        """
        self._packed = None
        self.live = True
        if anchor is not None:
            self.anchor, self.moved[:] = anchor.copy(), 0.0
        self.mean[:] = np.nan

    def week(self) -> Week | None:
        """What a day that has just become complete shows; None: there is none, or no reference."""
        if not self._new:
            return None
        self._new = False
        order = np.argsort(self.number)
        ready = self._complete() & (self.number > self._day - _WEEK - 1)[:, None]
        reference = self._reference()[order]
        known: BoolArray = ready[order] & np.isfinite(self.mean[order])
        days = known.sum(axis=0)
        # Against the level of a whole: whole weeks alone.
        enough = days >= np.where(np.isnan(self.anchor), _FEWEST, _WEEK)
        if not enough.any():
            return None
        known &= enough
        days = np.where(enough, days, 0)
        away = np.where(known, self.mean[order] - reference, np.nan)
        part = np.maximum(days, 1)
        thin = np.where(known, 1 / np.maximum(self.count[order], 1), 0.0).sum(axis=0) / part
        variance, df = self._noise()
        return Week(
            self.number[order] * DAY,
            away,
            days,
            np.where(known, away, 0.0).sum(axis=0) / part,
            np.where(known, reference, 0.0).sum(axis=0) / part,
            np.where(known, self.records[order], 0.0).sum(axis=0),
            np.sqrt(variance * (1 + thin) / part),
            df,
        )

    def _reference(self) -> FloatArray:
        """By weekday, shape (7, S)."""
        means = self.first / np.maximum(self.count, 1)
        anchored = means - means.mean(axis=0) + self.anchor
        found: FloatArray = np.where(np.isnan(self.anchor), means, anchored) + self.moved
        return found

    def _noise(self) -> tuple[FloatArray, FloatArray]:
        """Variances of a day's mean and their degrees of freedom, shape (2, S) each.

        About the mean of all days, which takes a difference of weekdays for noise, and from the
        differences of days that are a week apart, which are fewer. Without any: infinite.
        """
        days = self.count.sum(axis=0, dtype=np.float64)
        mean = self.first.sum(axis=0) / np.maximum(days, 1)
        about = np.maximum(self.second - days * mean**2, 0.0)
        df = np.stack([days - 1, self.pairs])
        square = np.stack([about, self.squares / 2])
        alike = self._inflation()
        return np.where(df > 0, square / np.maximum(df, 1) * alike, np.inf), df / alike

    def _inflation(self) -> FloatArray:
        """By how much the variance of a long mean is larger for days that are like the one before.

        That of an AR(1) process, (1 + rho) / (1 - rho), with rho a standard error above what the
        reference shows: a few days cannot show that they are independent. Shape (S,).
        """
        lags = np.maximum(self.lags, 1.0)
        variance = self.squares / np.maximum(self.pairs, 1)
        shown = self.products / lags
        rho = np.divide(shown, variance, out=np.zeros_like(shown), where=variance > 0)
        rho = np.clip(rho + 1 / np.sqrt(lags), 0.0, _MOST_ALIKE)
        found: FloatArray = (1 + rho) / (1 - rho)
        return found

    def move(self, signal: int, shift: float) -> None:
        """A signal is expected so much higher: what was told and has settled is no drift."""
        self._packed = None
        self.moved[signal] += shift
        self.mean[:, signal] = np.nan
        self.hours[signal] = 0.0

    def forget(self, signals: BoolArray) -> None:
        """Begin anew for some signals, shape (S,)."""
        self._packed = None
        for name in self._ROWS:
            getattr(self, name)[..., signals] = 0.0
        self.mean[:, signals] = np.nan
        self.anchor[signals] = self.apart[signals] = np.nan

    def rescale(self, factor: FloatArray, shift: FloatArray) -> None:
        """As if every value had been ``factor * value + shift``."""
        self._packed = None
        first, days = self.first.sum(axis=0), self.count.sum(axis=0)
        self.second = factor**2 * self.second + 2 * factor * shift * first + shift**2 * days
        self.squares *= factor**2
        self.products *= factor**2
        self.apart *= factor
        self.first = factor * self.first + shift * self.count
        self.total = factor * self.total + shift * self.weight
        self.mean = (factor * self.mean + shift).astype(np.float32)

    def state(self) -> dict[str, Any]:
        """All of it, as plain values."""
        if self._packed is None:
            self._packed = {name: pack_small(getattr(self, name)) for name in self._ROWS}
        return {
            "live": self.live,
            "day": self._day,
            "skip": self._skip,
            "usual": self._usual,
            "number": self.number.tolist(),
            "rows": self._packed,
        }

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> DailyMeans:
        """From ``state``."""
        found = cls(0)
        found.live, found._day = bool(state["live"]), int(state["day"])
        found._skip, found._usual = bool(state["skip"]), int(state["usual"])
        found.number = np.array(state["number"], dtype=np.int64)
        for name in cls._ROWS:
            setattr(found, name, unpack_small(state["rows"][name]))
        return found
