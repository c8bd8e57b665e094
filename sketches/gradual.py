"""Slow drifts of S signals against the frozen reference: told, gone on, over. Warnings only."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

import msgspec
import numpy as np

from .changed import SETTLED, Finding, Step
from .daily import DailyMeans, Week
from .residuals import Noise
from .signals import Gates
from .table import BoolArray, FloatArray

WEEKLY: Final = "WeeklyMean"  # the name of the detector
_HALF: Final = 0.25  # of the shift that the older and the newer half of the days show, at least


class Drift(msgspec.Struct, array_like=True):
    """A drift that has been told and goes on.

    Attributes:
        effect: Told last, in the unit of the signal, with its sign.
        level: Shift by which it is seen whether it still moves.
        anchor: Since when, microseconds.
    """

    effect: float
    level: float
    anchor: int


class Drifts:
    """Those of one stream of S signals.

    Args:
        noise: Of the baseline's blocks.
        hard: Shape (S,): signals about faults. Of these, shares that go both ways may creep.

    Attributes:
        noise: That holds now.
        threshold: Critical value of N(0, 1) that the budget allows.
    """

    def __init__(self, noise: Noise, hard: BoolArray) -> None:
        self.threshold = np.inf
        self.noise = noise
        self._hard = hard
        self._told: dict[int, Drift] = {}
        self._block = -1  # when the last day was judged

    @property
    def signals(self) -> Collection[int]:
        """That drift."""
        return self._told.keys()

    def forget(self, signal: int) -> None:
        """It is judged elsewhere from here on."""
        self._told.pop(signal, None)

    def update(
        self,
        step: Step,
        days: DailyMeans,
        gates: Gates,
        changed: Collection[int],
        block: int,
        end: int,
    ) -> Step:
        """What a block brought, together with what the week says if it ended a day.

        Args:
            step: What was seen of changes at once; these are told as long as their signal drifts.
            days: Of all signals.
            gates: What is worth telling.
            changed: Signals that have changed at once: not judged.
            block: Its number.
            end: Its end, microseconds.
        """
        week = days.week()
        if week is None:
            return self._still(step)
        found, over, moved = self._judge(week, gates, changed, block, end)
        for signal, shift in moved.items():
            days.move(signal, shift)
        step = self._still(step)
        return Step(step.found + found, step.recovered + over, step.settled + list(moved))

    def _still(self, step: Step) -> Step:
        """What is over of changes at once, but that the same signals drift."""
        if not self._told:
            return step
        recovered, settled = (
            [signal for signal in ended if signal not in self._told]
            for ended in (step.recovered, step.settled)
        )
        return Step(step.found, recovered, settled)

    def _judge(
        self, week: Week, gates: Gates, changed: Collection[int], block: int, end: int
    ) -> tuple[list[Finding], list[int], dict[int, float]]:
        """What is told, what is over, the shifts of what has settled."""
        blocks, self._block = max(block - self._block, 1), block
        shift, size, days = week.shift, np.abs(week.shift), week.days
        records = np.maximum(week.sample / np.maximum(days, 1), 1.0)
        noise = self.noise
        variance = (noise.white / records + noise.long_run / blocks) * noise.factor**2
        gate: FloatArray = np.where(shift > 0, gates.warning[0], gates.warning[1])
        limit = week.limits(self.threshold, variance, gate)
        creeps = noise.shares & np.isfinite(gates.warning).all(axis=0)
        asked = gates.tested & (~self._hard | creeps) & (days > 0)
        asked[list(changed)] = False
        sure = asked & (size > limit) & (week.halves() >= _HALF * size)
        found = [
            self._tell(week, signal, float(size[signal] / limit[signal]), end)
            for signal in np.flatnonzero(sure).tolist()
            if self._is_news(signal, float(shift[signal]))
        ]
        fresh = {each.signal for each in found}
        waiting = [each for each in self._told if asked[each] and each not in fresh]
        over = [each for each in waiting if size[each] <= limit[each] / 2]
        moved = self._settle([each for each in waiting if each not in over], shift, gate, end)
        for signal in (*over, *moved):
            del self._told[signal]
        return found, over, moved

    def _is_news(self, signal: int, shift: float) -> bool:
        told = self._told.get(signal)
        return told is None or shift * told.effect < 0 or abs(shift) >= 2 * abs(told.effect)

    def _tell(self, week: Week, signal: int, score: float, end: int) -> Finding:
        shift = float(week.shift[signal])
        self._told[signal] = Drift(shift, shift, end)
        onset, since = week.began(signal)
        return Finding(
            signal=signal,
            detector=WEEKLY,
            direction="up" if shift > 0 else "down",
            critical=False,
            level=float(week.level[signal]),
            shift=shift,
            score=score,
            sample=int(week.sample[signal]),
            onset=onset,
            since=since,
        )

    def _settle(
        self, signals: list[int], shift: FloatArray, gate: FloatArray, end: int
    ) -> dict[int, float]:
        """Shifts of those that have not moved for long; the others are followed from here on."""
        moved = {}
        for signal in signals:
            told, now = self._told[signal], float(shift[signal])
            if end - told.anchor < SETTLED:
                continue
            if abs(now - told.level) <= gate[signal] / 2:
                moved[signal] = now
            else:
                told.level, told.anchor = now, end
        return moved

    def state(self) -> dict[str, Any]:
        """All of it, as plain values."""
        return {"told": list(self._told.items()), "block": self._block}

    @classmethod
    def restore(cls, state: Mapping[str, Any], noise: Noise, hard: BoolArray) -> Drifts:
        """From ``state``, without the threshold."""
        found = cls(noise, hard)
        found._told = {int(signal): msgspec.convert(each, Drift) for signal, each in state["told"]}
        found._block = int(state["block"])
        return found
