"""The watch on trial: over the last part of a baseline, before it is complete.

What it tells there is no change but noise: the rate that the thresholds really achieve. Where it is
more than the budget allows in so much time, the noise of the signals that told it is raised.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
import numpy as np

from .budget import WEEK, Thresholds
from .rates import Part
from .report import Trial
from .signals import Gates, Layout
from .state import pack, unpack
from .table import FloatArray
from .watch import Watch

_TOGETHER: Final = 3_600_000_000  # microseconds; alarms that near are one
_NORMAL_95: Final = 1.645
_SURER: Final = 1.05  # raised so far that the alarm would not have been


class WatchTrial:
    """A watch of its own, with what it told.

    Args:
        watch: With noise and expectation as they are known so far.
        thresholds: That it has.
        gates: What is worth telling.
        layout: Of its signals.
        start: Of its first block, microseconds.
    """

    def __init__(
        self,
        watch: Watch,
        thresholds: tuple[Thresholds, Thresholds],
        gates: Gates,
        layout: Layout,
        start: int,
    ) -> None:
        self.watch = watch
        self.gates = gates
        self.layout = layout
        self._thresholds = thresholds
        self.start = start
        self.end = start
        self.alarms = 0
        self._last = -_TOGETHER
        self._score = np.ones(len(layout))

    def add(
        self, values: FloatArray, records: int, start: int, end: int, span: Sequence[Part] = ()
    ) -> None:
        """A block, as for ``Watch.update``."""
        self.end = end
        found = self.watch.update(values, records, start, end, self.gates, span).found
        if not found:
            return
        self.alarms += end - self._last > _TOGETHER
        self._last = end
        for each in found:
            self._score[each.signal] = max(self._score[each.signal], each.score)

    def over(self, per_week: float) -> tuple[Trial, FloatArray]:
        """What came of it, and by how much noise is to be raised, shape (S,).

        Args:
            per_week: False alarms allowed.
        """
        weeks = max((self.end - self.start) / WEEK, 1e-9)
        low, high = poisson_interval(self.alarms)
        raised = np.ones(len(self._score))
        # A few alarms are within the budget: a baseline may have its incidents.
        if self.alarms > math.ceil(per_week * weeks):
            raised = np.where(self._score > 1, self._score * _SURER, 1.0)
        count = int((raised > 1).sum())
        return Trial(weeks, self.alarms, low / weeks, high / weeks, count), raised

    def state(self) -> dict[str, Any]:
        """All of it but the gates, as plain values."""
        return {
            "watch": self.watch.state(),
            "thresholds": [msgspec.to_builtins(each) for each in self._thresholds],
            "start": self.start,
            "end": self.end,
            "alarms": self.alarms,
            "last": self._last,
            "score": pack(self._score),
        }

    @classmethod
    def restore(cls, state: Mapping[str, Any], gates: Gates, layout: Layout) -> WatchTrial:
        """From ``state``."""
        soft, hard = (msgspec.convert(each, Thresholds) for each in state["thresholds"])
        watch = Watch.restore(state["watch"], (soft, hard))
        found = cls(watch, (soft, hard), gates, layout, state["start"])
        found.end, found.alarms, found._last = state["end"], state["alarms"], state["last"]
        found._score = unpack(state["score"])
        return found


def poisson_interval(count: int) -> tuple[float, float]:
    """90 % interval of a mean of which ``count`` events were seen.

    Source: Wilson and Hilferty's approximation of the chi-square quantiles that give it exactly.
    """
    low = 0.0
    if count:
        low = count * max(1 - 1 / (9 * count) - _NORMAL_95 / (3 * math.sqrt(count)), 0.0) ** 3
    more = count + 1
    return low, more * (1 - 1 / (9 * more) + _NORMAL_95 / (3 * math.sqrt(more))) ** 3
