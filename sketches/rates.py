"""How many records a model is expected to get over a span of time, learned from when they came.

A mean of logarithms of rates would not do: a block that joins quiet hours to a busy one is long,
and how many records it should hold is the integral of the rate over all of it. So a table of the
168 hours of a week holds records and time apart, and forecasts are made as in ``expectation``: by
the level, the hour of the day, the hour of the week, each shrunk toward the coarser one, with a
line through the neighbouring hours. What is left on average (blocks end when they are full, so a
burst has more of them than a lull) is learned as a bias.

Source: Poisson deviance as in McCullagh and Nelder, "Generalized Linear Models" (1989).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from .state import pack_small, unpack_small
from .table import FloatArray

HOUR: Final = 3_600_000_000  # microseconds
WEEK: Final = 168  # hours
_DAY: Final = 23.9  # hours that must be known before anything is called a bias
_LONGEST: Final = 25  # hours of a block that are learned; more is no traffic, not little
MEMORY: Final = 8.0  # weeks
PRIOR: Final = 0.1  # of the usual time or weight of an hour, given to the coarser forecast
_WAYS: Final = 3  # level, day, week
_FORGET: Final = 1 - 1 / WEEK  # of the bias, an hour
_LEAST: Final = 1e-9  # records an hour; less has no logarithm


class Part(NamedTuple):
    """What a block has of one hour.

    Attributes:
        hour: Since 1970.
        middle: Of its time, in hours from the middle of that hour.
        time: That it covers, in hours.
        records: In that time.
    """

    hour: int
    middle: float
    time: float
    records: float


def by_hour(start: int, end: int, windows: Sequence[tuple[int, int, int]]) -> tuple[Part, ...]:
    """A block by hours.

    Args:
        start: Of the block, microseconds; time without any window counts as well.
        end: Its end.
        windows: (start, end, records) of each.
    """
    records: dict[int, float] = {}
    for first, last, count in windows:
        for hour, _, time in _overlaps(first, last):
            part = count * time * HOUR / max(last - first, 1)
            records[hour] = records.get(hour, 0.0) + part
    return tuple(
        Part(hour, middle, time, records.get(hour, 0.0))
        for hour, middle, time in _overlaps(start, end)
    )


def _overlaps(start: int, end: int) -> list[tuple[int, float, float]]:
    found = []
    for hour in range(start // HOUR, -(-end // HOUR)):
        first, last = max(start, hour * HOUR), min(end, (hour + 1) * HOUR)
        middle = (first + last) / 2 / HOUR - hour - 0.5
        found.append((hour, middle, (last - first) / HOUR))
    return found


class Rates:
    """Of one model."""

    def __init__(self) -> None:
        self._records = np.zeros(WEEK)
        self._time = np.zeros(WEEK)  # hours
        self._bias = np.zeros(1 + _WAYS)  # blocks, sum of what they were beyond each forecast
        # hour -> records, time, blocks, sums as in the bias
        self._waiting: dict[int, FloatArray] = {}
        self._lines: dict[int, tuple[FloatArray, FloatArray]] = {}  # hour -> base, slope

    def forecasts(self, span: Sequence[Part]) -> FloatArray:
        """Logarithms of the mean rates expected over a span, per second, shape (3,)."""
        found: FloatArray = self._integrals(span) + self._bias[1:] / max(self._bias[0], 1.0)
        return found

    def _integrals(self, span: Sequence[Part]) -> FloatArray:
        total, time = np.zeros(_WAYS), 0.0
        for part in span:
            base, slope = self._line(part.hour)
            total += (base + slope * part.middle) * part.time
            time += part.time
        found: FloatArray = np.log(np.maximum(total / max(time, 1e-12), _LEAST) / 3600)
        return found

    def add(self, span: Sequence[Part], value: float) -> None:
        """A block.

        Args:
            span: Its time and records.
            value: Logarithm of its rate.
        """
        if len(span) > _LONGEST:
            return
        for part in span:
            held = self._waiting.setdefault(part.hour, np.zeros(3 + _WAYS))
            held[0] += part.records
            held[1] += part.time
        if span and self._time.sum() >= _DAY:
            held = self._waiting[span[len(span) // 2].hour]
            held[2] += 1
            held[3:] += value - self._integrals(span)

    def learn(self, hour: int) -> FloatArray:
        """Move an hour into the table.

        Returns:
            How wrong each forecast was about it before, shape (3,): deviance per usual record.
        """
        held = self._waiting.pop(hour, None)
        if held is None or held[1] <= 0:
            return np.zeros(_WAYS)
        wrong = np.zeros(_WAYS)
        if self._time.any():
            wrong = _deviance(held[0], np.maximum(self._line(hour)[0], _LEAST) * held[1])
            wrong /= max(self._records.sum() / max(self._time.sum(), 1e-12), _LEAST)
        row = hour % WEEK
        kept = 1 - min(held[1], 1.0) / MEMORY
        self._records[row] = self._records[row] * kept + held[0]
        self._time[row] = self._time[row] * kept + held[1]
        self._bias = self._bias * _FORGET ** held[1] + held[2:]
        self._lines.clear()
        return wrong

    def waiting(self) -> list[int]:
        """Hours that are not learned yet."""
        return sorted(self._waiting)

    def leave_out(self, since: int) -> None:
        """What is not learned yet since a time is never learned."""
        for hour in [each for each in self._waiting if each >= since // HOUR]:
            del self._waiting[hour]

    def move(self, shift: float) -> None:
        """Expect so much more at all times, as a logarithm."""
        self._records *= math.exp(min(shift, 700.0))
        self._lines.clear()

    def _line(self, hour: int) -> tuple[FloatArray, FloatArray]:
        found = self._lines.get(hour)
        if found is None:
            before, base, after = (self._rate(each) for each in (hour - 1, hour, hour + 1))
            found = self._lines[hour] = base, minmod(base - before, after - base)
        return found

    def _rate(self, hour: int) -> FloatArray:
        """Records an hour by each forecast."""
        whole = float(self._time.sum())
        level = float(self._records.sum()) / max(whole, 1e-12)
        prior = max(PRIOR * whole / max(int(np.count_nonzero(self._time)), 1), 1e-12)
        of_day = slice(hour % 24, None, 24)
        day = (float(self._records[of_day].sum()) + prior * level) / (
            float(self._time[of_day].sum()) + prior
        )
        row = hour % WEEK
        week = (float(self._records[row]) + prior * day) / (float(self._time[row]) + prior)
        return np.array([level, day, week])

    def state(self) -> dict[str, Any]:
        """All of it, as plain values."""
        return {
            "records": pack_small(self._records),
            "time": pack_small(self._time),
            "bias": pack_small(self._bias),
            "waiting": [(hour, held.tolist()) for hour, held in self._waiting.items()],
        }

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> Rates:
        """From ``state``."""
        found = cls()
        found._records = unpack_small(state["records"])
        found._time = unpack_small(state["time"])
        found._bias = unpack_small(state["bias"])
        found._waiting = {int(hour): np.array(held) for hour, held in state["waiting"]}
        return found


def minmod(rise: FloatArray, more: FloatArray) -> FloatArray:
    """The smaller of two slopes, none where they differ in sign: flat at turns and steps."""
    least = np.minimum(np.abs(rise), np.abs(more))
    return np.where(rise * more > 0, np.sign(rise) * least, 0.0)


def _deviance(count: float, expected: FloatArray) -> FloatArray:
    """Poisson deviance."""
    log = np.log(count / expected) if count > 0 else np.zeros(len(expected))
    found: FloatArray = 2 * (count * log - (count - expected))
    return found
