"""What a signal is expected to be at a time of the week, learned from what it was.

One table of 168 hours holds all of it: summed over the days it gives the hours of a day, summed
over all of them the level. The three forecasts are tried out on blocks that they have not seen yet
(prequentially), and the one with the smallest squared error is the one used. Within an hour the
forecast is a line through the neighbouring hours, flat at steps and turns (minmod slopes).

Sources: Dawid, "Present position and potential developments: the prequential approach" (JRSS A 147,
1984); van Leer, "Towards the ultimate conservative difference scheme II" (J. Comp. Phys. 14, 1974).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from .daily import DailyMeans
from .rates import HOUR, MEMORY, PRIOR, WEEK, Part, Rates, minmod
from .state import Packed, pack_all, pack_small, unpack_all, unpack_small
from .table import BoolArray, FloatArray, IntArray

VOLUME: Final = 0  # place of the volume among the signals of a model as a whole
DELAY: Final = 24  # hours until what was seen is learned: what turns out a change is left out
CANDIDATES: Final = ("level", "day", "week")
_FORGET: Final = 1 - 1 / (MEMORY * 7)  # of the errors, a day


class Expectation:
    """Of S signals.

    The tables have one column for all signals that have been 0 and weighed the same in every hour.

    Args:
        signals: S.
        rates: Of a model as a whole: its first signal is the volume, forecast by these.

    Attributes:
        choice: Shape (S,), place in ``CANDIDATES`` of the forecast in use.
        days: What does not roll: the reference by day of the week, and the last days against it.
    """

    def __init__(self, signals: int, rates: Rates | None = None) -> None:
        self._rates = rates
        self._span: Sequence[Part] = ()
        self.choice: IntArray = np.zeros(signals, dtype=np.int64)
        self.days = DailyMeans(signals)
        self._weight = np.zeros((WEEK, 1), dtype=np.float32)
        self._total = np.zeros((WEEK, 1), dtype=np.float32)
        self._column: IntArray = np.zeros(signals, dtype=np.int64)  # of each signal
        self._shared: BoolArray = np.ones(1, dtype=bool)  # by column
        self._error = np.zeros((len(CANDIDATES), signals))
        self._waiting: dict[int, tuple[FloatArray, FloatArray]] = {}  # hour -> weight, total
        self._hour = -1
        self._base: FloatArray = np.zeros((len(CANDIDATES), signals))
        self._slope: FloatArray = np.zeros((len(CANDIDATES), signals))
        self._used: tuple[FloatArray, FloatArray] = (self._base[0], self._slope[0])
        self._seen: BoolArray = np.zeros(WEEK, dtype=bool)
        self._packed: tuple[Packed, Packed] | None = None  # the tables, until they change

    @property
    def hours(self) -> int:
        """Hours of the week that something was learned in."""
        return int(self._seen.sum())

    def forecasts(self, time: int, delay: int, span: Sequence[Part] = ()) -> FloatArray:
        """All candidates at a time; it does not go back. Shape (3, S).

        Args:
            time: Microseconds.
            delay: Hours until what was seen is learned.
            span: Of the block, for a model as a whole.
        """
        self._turn(time // HOUR, delay)
        found: FloatArray = self._base + self._slope * (time / HOUR - self._hour - 0.5)
        if self._rates is not None:
            self._span = span
            found[:, VOLUME] = self._rates.forecasts(span)
        return found

    def at(self, time: int, span: Sequence[Part] = ()) -> FloatArray:
        """The forecast in use, shape (S,); as ``forecasts``."""
        self._turn(time // HOUR, DELAY)
        base, slope = self._used
        found: FloatArray = base + slope * (time / HOUR - self._hour - 0.5)
        if self._rates is not None:
            self._span = span
            found[VOLUME] = self._rates.forecasts(span)[self.choice[VOLUME]]
        return found

    def ahead(self, time: int) -> FloatArray:
        """About what ``at`` will say of all but the volume; nothing is learned for it."""
        every = self._base if time // HOUR <= self._hour else self._table(time // HOUR)[1]
        found: FloatArray = np.take_along_axis(every, self.choice[None], axis=0)[0]
        return found

    def records(self, span: Sequence[Part]) -> float:
        """How many a model as a whole is expected to get over a span; nothing is learned for it."""
        if self._rates is None:
            return 0.0
        rate = math.exp(self._rates.forecasts(span)[self.choice[VOLUME]])
        return rate * 3600 * sum(part.time for part in span)

    def add(self, values: FloatArray, weight: FloatArray) -> None:
        """A block at the time asked for last.

        Args:
            values: Shape (S,), finite where it weighs anything.
            weight: Shape (S,).
        """
        held = self._waiting.get(self._hour)
        if held is None:
            held = self._waiting[self._hour] = np.zeros(len(values)), np.zeros(len(values))
        np.add(held[0], weight, out=held[0])
        np.add(held[1], weight * values, out=held[1])
        if self._rates is not None and weight[VOLUME] > 0:
            self._rates.add(self._span, float(values[VOLUME]))

    def leave_out(self, signals: IntArray, since: int) -> None:
        """What is not learned yet of these signals since a time is never learned."""
        if self._rates is not None and VOLUME in signals:
            self._rates.leave_out(since)
        for hour, (weight, total) in self._waiting.items():
            if hour >= since // HOUR:
                weight[signals] = total[signals] = 0.0

    def move(self, signal: int, shift: float) -> None:
        """Expect a signal this much higher, at all times."""
        self.days.move(signal, shift)
        if self._rates is not None and signal == VOLUME:
            self._rates.move(shift)
        self._packed = None
        self._open(np.array([signal]))
        column = self._column[signal]
        self._total[:, column] += np.float32(shift) * self._weight[:, column]
        self._base[:, signal] += shift
        self._used = self._chosen()

    def settle(self) -> None:
        """Learn all that waits: a baseline is complete."""
        self._learn(self._hour + 1, 0)
        self.days.begin()
        self._hour = -1

    def forget(self, signals: BoolArray) -> None:
        """Begin anew for some signals, shape (S,)."""
        self.days.forget(signals)
        self._packed = None
        # What is forgotten together is the same from here on.
        self._column[signals] = len(self._shared)
        self._append(np.zeros(1, dtype=np.int64), shared=True)
        self._weight[:, -1] = self._total[:, -1] = 0.0
        self._error[:, signals] = 0.0
        self._base[:, signals] = self._slope[:, signals] = 0.0
        for weight, total in self._waiting.values():
            weight[signals] = total[signals] = 0.0

    def rescale(self, factor: FloatArray, shift: FloatArray) -> None:
        """As if every value had been ``factor * value + shift``."""
        self.days.rescale(factor, shift)
        self._packed = None
        self._open(np.flatnonzero((factor != 1) | (shift != 0)))
        times, plus = np.ones(len(self._shared)), np.zeros(len(self._shared))
        times[self._column], plus[self._column] = factor, shift
        self._total[:] = times * self._total + plus * self._weight
        for weight, total in self._waiting.values():
            total[:] = factor * total + shift * weight
        self._error *= factor**2
        self._hour = -1

    def _turn(self, hour: int, delay: int) -> None:
        if hour <= self._hour:
            return
        self._learn(hour, delay)
        self._hour = hour
        self._read()

    def _learn(self, hour: int, delay: int) -> None:
        """Move into the table what is older than ``delay`` hours before ``hour``."""
        if self._rates is not None:
            for at in [each for each in self._rates.waiting() if each < hour - delay]:
                self._error[:, VOLUME] += self._rates.learn(at)
        for at in sorted(each for each in self._waiting if each < hour - delay):
            self._packed = None
            weight, total = self._waiting.pop(at)
            self._try_out(at, weight, total)
            self.days.add(at, weight, total)
            row = at % WEEK
            weight, total = self._by_column(weight, total)
            again = weight > 0
            kept = np.where(again, 1 - 1 / MEMORY, 1.0)
            self._weight[row] = self._weight[row] * kept + weight
            self._total[row] = self._total[row] * kept + total
            self._seen[row] = True

    def _by_column(self, weight: FloatArray, total: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Both by column, after what differs has got one of its own."""
        common = np.zeros(len(self._shared))
        np.maximum.at(common, self._column, weight)
        self._open(np.flatnonzero((total != 0) | (weight != common[self._column])))
        by_column = np.zeros((2, len(self._shared)))
        by_column[0, : len(common)] = common
        by_column[0, self._column], by_column[1, self._column] = weight, total
        return by_column[0], by_column[1]

    def _open(self, signals: IntArray) -> None:
        """Columns of their own for those of the signals that share one."""
        signals = signals[self._shared[self._column[signals]]]
        if len(signals):
            columns = self._column[signals]
            self._column[signals] = np.arange(len(signals)) + len(self._shared)
            self._append(columns, shared=False)

    def _append(self, columns: IntArray, *, shared: bool) -> None:
        """Columns more, each as one of those before."""
        every = np.append(np.arange(len(self._shared)), columns)
        self._weight, self._total = (
            table.take(every, axis=1) for table in (self._weight, self._total)
        )
        self._shared = np.append(self._shared, np.full(len(columns), shared))

    def _try_out(self, hour: int, weight: FloatArray, total: FloatArray) -> None:
        """Compare the candidates by an hour that none of them has learned."""
        if not self._seen.any():
            return
        mean = total / np.where(weight > 0, weight, 1.0)
        usual = self._usual(slice(None))[self._column]
        # Errors weigh by records, a usual hour as 1, so that all signals and sizes are alike.
        part = weight / np.where(usual > 0, usual, 1.0)
        if self._rates is not None:
            part[VOLUME] = 0.0
        self._error += part * (mean - self._table(hour)[1]) ** 2
        if hour % 24 == 0:
            self._error *= _FORGET
        self.choice = np.argmin(self._error, axis=0)

    def _usual(self, row: slice) -> FloatArray:
        """Mean weight of the hours seen, by column."""
        weight = self._weight[:, row].sum(axis=0, dtype=np.float64)
        found: FloatArray = weight / max(self.hours, 1)
        return found

    def lately(self, signal: int) -> list[tuple[int, float, float]]:
        """(Start, weight, weight times deviation) of the hours not learned yet of one signal."""
        column, choice, found = int(self._column[signal]), int(self.choice[signal]), []
        for hour, (weight, total) in sorted(self._waiting.items()):
            heavy = float(weight[signal])
            if heavy > 0:
                expected = float(self._by_hour(hour, slice(column, column + 1))[1, choice, 0])
                found.append((hour * HOUR, heavy, float(total[signal]) - heavy * expected))
        return found

    def _table(self, hour: int) -> FloatArray:
        """Candidates in the hour before, this one and the next, shape (3 hours, 3, S)."""
        return self._by_hour(hour, slice(None)).take(self._column, axis=2)

    def _by_hour(self, hour: int, row: slice) -> FloatArray:
        """The same of some columns."""
        held, total = self._weight[:, row], self._total[:, row]
        prior = np.maximum(PRIOR * self._usual(row), 1e-30)
        days_weight = held.reshape(7, 24, -1).sum(axis=0, dtype=np.float64)
        days_total = total.reshape(7, 24, -1).sum(axis=0, dtype=np.float64)
        whole = days_weight.sum(axis=0)
        level = days_total.sum(axis=0) / np.where(whole > 0, whole, 1.0)
        hours = np.arange(hour - 1, hour + 2)
        of_day, of_week = hours % 24, hours % WEEK
        day = (days_total[of_day] + prior * level) / (days_weight[of_day] + prior)
        week = (total[of_week] + prior * day) / (held[of_week] + prior)
        return np.stack([np.broadcast_to(level, day.shape), day, week], axis=1)

    def _read(self) -> None:
        before, self._base, after = self._table(self._hour)
        self._slope = minmod(self._base - before, after - self._base)
        self._used = self._chosen()

    def _chosen(self) -> tuple[FloatArray, FloatArray]:
        place = self.choice[None]
        base = np.take_along_axis(self._base, place, axis=0)[0]
        return base, np.take_along_axis(self._slope, place, axis=0)[0]

    def state(self) -> dict[str, Any]:
        """All of it, as plain values."""
        if self._packed is None:
            self._packed = pack_small(self._weight), pack_small(self._total)
        return {
            "weight": self._packed[0],
            "total": self._packed[1],
            "column": pack_small(self._column),
            "shared": pack_small(self._shared),
            "seen": pack_small(self._seen),
            "error": pack_small(self._error),
            "choice": pack_small(self.choice),
            "base": pack_small(self._base),
            "slope": pack_small(self._slope),
            "hour": self._hour,
            "rates": self._rates.state() if self._rates is not None else None,
            "days": self.days.state(),
            "waiting": [
                (hour, pack_all({"weight": weight, "total": total}))
                for hour, (weight, total) in self._waiting.items()
            ],
        }

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> Expectation:
        """From ``state``."""
        rates = state["rates"]
        found = cls(0, Rates.restore(rates) if rates is not None else None)
        found._weight, found._total = unpack_small(state["weight"]), unpack_small(state["total"])
        found._column, found._shared = unpack_small(state["column"]), unpack_small(state["shared"])
        found._seen, found._error = unpack_small(state["seen"]), unpack_small(state["error"])
        found.choice = unpack_small(state["choice"])
        found._base, found._slope = unpack_small(state["base"]), unpack_small(state["slope"])
        found._hour, found.days = int(state["hour"]), DailyMeans.restore(state["days"])
        for hour, held in state["waiting"]:
            arrays = unpack_all(held)
            found._waiting[int(hour)] = arrays["weight"], arrays["total"]
        found._used = found._chosen()
        return found
