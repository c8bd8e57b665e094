"""The signals of one stream under watch: residuals to detectors, detections to findings.

ADWIN and PageHinkley propose that something changed since a block, and so do means over the last 2,
4, 6, 8, 16, .. 128 blocks where these have not. The change is told once the mean since then is
confirmed: farther from what is expected than the noise that the baseline has over so many blocks
allows within the budget, and far enough to be worth telling. Until it is, it waits. One block is no
change. What comes too slowly for that is seen in the means of days (``sketches.gradual``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
import numpy as np

from .budget import Thresholds
from .changed import SETTLED, Changed, Finding, Step, Waiting
from .course import Course, course_of
from .detectors import Bank
from .expectation import Expectation
from .gradual import Drifts
from .rates import Part
from .recovery import are_back, is_stable
from .renewal import NEVER, Renewal, columns_of
from .residuals import Critical, Noise, Points, smallest
from .scales import LEVELS
from .signals import Gates
from .state import pack, unpack
from .table import BoolArray, FloatArray, IntArray
from .windowed import LENGTHS, RING, Dyadic, LastBlocks, Means

_PATIENCE: Final = 8  # blocks that a proposal waits to be confirmed
QUIET: Final = 1_800_000_000  # microseconds near what is expected after which a change is over
_SURER: Final = 0.5  # standard deviations that a critical change is surer by
LASTING: Final = 180_000_000  # a critical change has gone on for so long, and for two blocks
WINDOWED: Final = "WindowMean"  # the name of the third detector


class Watch:
    """One stream of S signals after its baseline is known.

    Args:
        noise: Of the baseline.
        expectation: Learned from it.
        by_records: Shape (S,): a block weighs by its records in a mean; else all blocks the same.
        hard: Shape (S,): the signal is held to the budget of the hard ones.
        thresholds: From the budget, for soft and for hard signals.
        block_length: Usual length of a block, microseconds.
        known: Start and end of a baseline that is to be renewed as the stream gets older.
    """

    def __init__(
        self,
        noise: Noise,
        expectation: Expectation,
        by_records: BoolArray,
        hard: BoolArray,
        thresholds: tuple[Thresholds, Thresholds],
        block_length: float,
        known: tuple[int, int] = NEVER,
    ) -> None:
        signals = len(by_records)
        self.noise = noise
        self.expectation = expectation
        self.bank = Bank(signals, thresholds[0].page_hinkley, thresholds[0].adwin)
        self._by_records = by_records
        self._hard = hard
        self._drifts = Drifts(noise, hard)
        self._renewal = Renewal(*known)
        self.retune(thresholds)
        self._now = 0
        self._quiet = int(min(max(2, np.ceil(QUIET / max(block_length, 1.0))), RING))
        self._expected = np.zeros(signals)
        self._last = LastBlocks(by_records)
        self._waiting: dict[int, Waiting] = {}
        self._changed: dict[int, Changed] = {}

    @property
    def changed(self) -> list[int]:
        """Signals that have changed, at once or slowly, and not come back."""
        return sorted({*self._changed, *self._drifts.signals})

    @property
    def block(self) -> int:
        """Number of the last block; -1: none yet."""
        return self._last.block

    @property
    def waits(self) -> bool:
        """Whether something is proposed and not confirmed."""
        return bool(self._waiting)

    def retune(self, thresholds: tuple[Thresholds, Thresholds]) -> None:
        """Hold to another budget; an ADWIN takes its delta when it restarts next."""
        soft, hard = self._thresholds = thresholds
        warning = np.where(self._hard, *_columns(hard.warning, soft.warning))
        critical = np.where(self._hard, *_columns(hard.critical, soft.critical))
        plain = np.where(self._hard, *_columns(hard.plain, soft.plain))
        self._warning = self.noise.critical(warning, plain)
        self._critical = self.noise.critical(critical, np.minimum(critical, plain + _SURER))
        self._drifts.noise = self.noise
        self._drifts.threshold = soft.warning[-1]  # as the longest windows, less often
        self.bank.threshold = soft.page_hinkley
        self.bank.delta = soft.adwin

    def detectable(self, records: float, gates: Gates) -> FloatArray:
        """``smallest`` change that a window of any length tells, records of a usual block given."""

        def limits(means: Points) -> FloatArray:
            return self._limits(means, self._warning, gates.warning)

        return smallest(limits, len(self._hard), records)

    def update(
        self,
        values: FloatArray,
        records: int,
        start: int,
        end: int,
        gates: Gates,
        span: Sequence[Part] = (),
    ) -> Step:
        """One block.

        Args:
            values: Shape (S,), NaN: the block says nothing about that signal.
            records: In the block.
            start: Its start, microseconds.
            end: Its end.
            gates: What is worth telling.
            span: The block by hours, for a model as a whole.
        """
        self._now = end
        self._expected = self.expectation.at((start + end) // 2, span)
        away = values - self._expected
        known = np.isfinite(away)
        all_known = bool(known.all())
        if not all_known:
            away[~known] = 0.0
        last = self._last.add(away, known, float(records), start)
        changed = list(self._changed)
        if not self._renewal.over:
            self._renew(last, end)
        weight = np.where(self._by_records, float(records), 1.0) * known
        if changed:
            weight[changed] = 0.0  # what is changed is not what is to be expected
        self.expectation.add(values if all_known else np.where(known, values, 0.0), weight)
        z = self.noise.standardise(away, float(records))
        fed = known & gates.tested & (away != 0)  # at its constant value it says nothing
        fed[changed] = False
        adwin, page_hinkley = self.bank.update(z, self.block, fed)
        self._propose("ADWIN", adwin)
        self._propose("PageHinkley", page_hinkley)
        again, recovered, settled = self._follow(away, known, records, end, gates)
        self._look(last, gates)
        found = self._confirm(last, end, gates)
        step = Step(sorted(found + again), recovered, settled)
        days = self.expectation.days
        return self._drifts.update(step, days, gates, self._changed.keys(), self.block, end)

    def _renew(self, last: Dyadic, end: int) -> None:
        """Measure the noise anew, now and then."""
        renewal, signals = self._renewal, last.signals
        mine, first = self._by_records[signals], self._last.first[signals]
        changed = list(self._changed)
        told, out = columns_of(signals, changed), renewal.left_out(changed, end)
        renewal.add(last, self.block, first, mine, told, columns_of(signals, out))
        if end < renewal.due:
            return
        self.noise, fresh = renewal.measured(self.noise, signals, mine, end)
        self.bank.restart(fresh, self.block)
        self.retune(self._thresholds)

    def pending(self, gates: Gates) -> tuple[Points, FloatArray, list[tuple[str, int]]]:
        """Means since what is proposed and not confirmed, their limits; detectors and onsets."""
        signals = sorted(self._waiting)
        waiting = [self._waiting[signal] for signal in signals]
        means = self._last.means(signals)
        held = np.maximum(means.since([each.block for each in waiting]), 1)
        points = means.at(held - 1, np.arange(len(signals)))
        by = [(each.detector, self._last.start(each.block)) for each in waiting]
        return points, self._limits(points, self._warning, gates.warning), by

    def _look(self, last: Dyadic, gates: Gates) -> None:
        """Propose what the means of the last 2, 4, 6, 8, .. blocks show and nothing else did."""
        mean = last.mean
        near = np.abs(mean[1:]) > gates.least.take(last.signals)
        if self._changed:
            near[:, self._last.column[[*self._changed]]] = False
        row, column = near.nonzero()
        row += 1
        signal = last.signals[column]
        ready = gates.tested[signal] & (LENGTHS[row] <= self.block + 1 - self._last.first[signal])
        if not ready.any():
            return
        row, column, signal = row[ready], column[ready], signal[ready]
        points = Points(signal, LENGTHS[row], mean[row, column], last.sample[row, column])
        # Both parts show it: one wild block is not all there is.
        size = np.abs(points.shift)
        both = (last.parts(row, column) >= size / 2).nonzero()[0]
        if not len(both):
            return
        points, size = points.some(both), size[both]
        sure = size > self._limits(points, self._warning, gates.warning)
        for signal, blocks in zip(
            points.signals[sure].tolist(), points.blocks[sure].tolist(), strict=True
        ):
            self._propose_window(signal, blocks)

    def forget(self, signals: Sequence[int]) -> None:
        """These are judged elsewhere from here on: nothing is changed in them any more."""
        for signal in signals:
            self._waiting.pop(signal, None)
            self._changed.pop(signal, None)
            self._drifts.forget(signal)

    def _propose(self, detector: str, proposals: list[tuple[int, int]]) -> None:
        for signal, block in proposals:
            known = self._waiting.get(signal)
            if known is None or block > known.block:
                self._waiting[signal] = Waiting(detector, max(block, 0), self.block)

    def _propose_window(self, signal: int, blocks: int) -> None:
        """The window has seen the change; it may have begun up to as long before it."""
        first = max(self.block + 1 - 2 * blocks, int(self._last.first[signal]))
        known = self._waiting.get(signal)
        if known is None:
            self._waiting[signal] = Waiting(WINDOWED, first, self.block)
        elif known.block > self.block + 1 - blocks:
            known.block = first

    def _limits(self, means: Points, critical: Critical, gate: FloatArray) -> FloatArray:
        """Limits of means; ``gate`` has the shape (2, S)."""
        signals = means.signals
        gates = np.where(means.shift > 0, gate[0, signals], gate[1, signals])
        return self.noise.limits(means, critical, gates)

    def _are_critical(
        self, means: Means, rows: IntArray, columns: IntArray, gates: Gates
    ) -> BoolArray:
        """Far enough off, for long enough, and in the last quarter of that time as well."""
        whole, recent = means.at(rows, columns), means.at(rows // 4, columns)
        rises = whole.shift > 0
        gate = np.where(rises, *gates.critical[:, whole.signals])
        began = self._last.starts(means.number[rows, columns])
        found: BoolArray = np.where(rises, recent.shift, -recent.shift) > gate
        found &= (rows > 0) & (self._now - began >= LASTING)
        likely = found.nonzero()[0]
        if len(likely):
            whole = whole.some(likely)
            limits = self._limits(whole, self._critical, gates.critical)
            found[likely] = np.abs(whole.shift) > limits
        return found

    def _confirm(self, last: Dyadic, end: int, gates: Gates) -> list[Finding]:
        self._give_up()
        # Where no mean passes what is worth telling, there is nothing to confirm.
        waiting = sorted(self._waiting)
        if not waiting:
            return []
        largest = np.abs(last.mean[1:, self._last.column[waiting]]).max(axis=0)
        near = (largest > gates.least[waiting]).tolist()
        far = [signal for signal, passes in zip(waiting, near, strict=True) if passes]
        return self._confirmed(far, end, gates) if far else []

    def _confirmed(self, signals: list[int], end: int, gates: Gates) -> list[Finding]:
        waiting = [self._waiting[signal] for signal in signals]
        means = self._last.means(signals)
        held = means.since([each.block for each in waiting])
        score = self._scores(means, held, gates)
        # The likeliest onset: where the mean since then stands out most.
        rows = np.argmax(score, axis=0)
        columns = np.flatnonzero(np.max(score, axis=0) >= 0)
        best = means.at(rows[columns], columns)
        limits = self._limits(best, self._warning, gates.warning)
        critical = self._are_critical(means, rows[columns], columns, gates).tolist()
        for at, column in enumerate(columns.tolist()):
            first = int(means.number[rows[column], column])
            changed = self._changed[signals[column]] = Changed(
                waiting[column].detector,
                first,
                self._last.start(first),
                self.block,
                float(best.shift[at]),
                critical[at],
                not np.isfinite(gates.critical[:, signals[column]]).any(),
                end,
                course=self._course(signals[column]),
            )
            changed.came_slowly(self.noise.part(signals[column]))
        self._renewal.tell(best.signals.tolist())
        for signal in best.signals.tolist():
            del self._waiting[signal]
            since = self._changed[signal].onset
            self.expectation.leave_out(np.array([signal]), since)
        return [self._finding(best, at, limits) for at in range(len(limits))]

    def _scores(self, means: Means, held: IntArray, gates: Gates) -> FloatArray:
        """How far each mean stands out of its own noise, -1 where no change is confirmed.

        Args:
            means: Of K blocks of C signals.
            held: Shape (C,), how many of them count.
            gates: What is worth telling.

        Returns:
            Shape (K, C).
        """
        gate = gates.warning[:, means.signals]
        # A limit is never below the gate.
        near = np.abs(means.shift) > np.where(means.shift > 0, gate[0], gate[1])
        near &= np.arange(len(near))[:, None] < held
        near[0] = False  # one block is no change
        found = np.full(near.shape, -1.0)
        rows, columns = np.nonzero(near)
        if not len(rows):
            return found
        points = means.at(rows, columns)
        size = np.abs(points.shift)
        sure = size > self._limits(points, self._warning, gates.warning)
        sure &= means.halves(rows, columns) >= size / 2
        found[near] = np.where(sure, size / self.noise.strays(points), -1.0)
        return found

    def _course(self, signal: int) -> Course | None:
        """How a soft signal went in the last day; of a hard one nobody asks."""
        if self._hard[signal]:
            return None
        return course_of(self.expectation.lately(signal), self._last.single(signal), self._now)

    def _give_up(self) -> None:
        """Forget old proposals: what is there is seen by the windowed means, as it was before."""
        for signal in [*self._waiting]:
            if self.block - self._waiting[signal].proposed >= _PATIENCE:
                del self._waiting[signal]

    def _finding(self, means: Points, at: int, limits: FloatArray) -> Finding:
        signal, shift, limit = int(means.signals[at]), float(means.shift[at]), float(limits[at])
        changed = self._changed[signal]
        return Finding(
            signal=signal,
            detector=changed.detector,
            direction="up" if shift > 0 else "down",
            critical=changed.critical,
            level=float(self._expected[signal]),
            shift=shift,
            score=abs(shift) / limit if limit > 0 else 1.0,
            sample=int(means.sample[at]),
            onset=changed.onset,
            since=changed.since,
        )

    def _follow(
        self, away: FloatArray, known: BoolArray, records: int, end: int, gates: Gates
    ) -> tuple[list[Finding], list[int], list[int]]:
        """What became of the changes told before."""
        signals = [signal for signal in sorted(self._changed) if known[signal]]
        if not signals:
            return [], [], []
        changed = [self._changed[signal] for signal in signals]
        means = self._last.means(signals)
        weight = np.where(self._by_records[means.signals], float(records), 1.0)
        moved = (weight * away[means.signals]).tolist()
        began = self._last.start(self.block)
        for each, more, far in zip(changed, weight.tolist(), moved, strict=True):
            each.weight += more
            each.total += far
            if each.course is not None:
                each.course.add(began, end, 1, more, far)
        back = are_back(
            [each.effect for each in changed],
            self.block - np.array([each.told for each in changed]),
            means,
            self._expected[means.signals],
            self.noise,
            gates.least,
            self._warning,
            self._quiet,
        )
        early = np.array([end - each.anchor < SETTLED for each in changed])
        again = self._grown(changed, means, gates, ~back & early)
        settled = []
        for at in np.flatnonzero(~back & ~early).tolist():
            if is_stable(changed[at], means, at, self.noise, self._warning, gates.least):
                settled.append(signals[at])
            else:
                changed[at].anchor, changed[at].weight, changed[at].total = end, 0.0, 0.0
        recovered = means.signals[back].tolist()
        for signal in recovered:
            self._restart(signal, 0.0)
        for signal in settled:
            told = self._changed[signal]
            self._restart(signal, told.total / told.weight)
        return again, recovered, settled

    def _grown(
        self, changed: list[Changed], means: Means, gates: Gates, asked: BoolArray
    ) -> list[Finding]:
        """A change is told again if it doubled, turned round, or has become critical."""
        column, effect = np.arange(len(changed)), np.array([each.effect for each in changed])
        since = means.since([each.block for each in changed])
        whole = np.maximum(since, 1) - 1
        recent = np.minimum(whole, self._quiet - 1)
        lately, all_of_it = means.shift[recent, column], means.shift[whole, column]
        turned = lately * effect < 0
        at = np.where((np.abs(lately) > np.abs(all_of_it)) | turned, recent, whole)
        points = means.at(at, column)
        size = np.abs(points.shift)
        fresh = self.block - np.array([each.told for each in changed]) < self._quiet
        calm = ~np.array([each.critical or each.muted for each in changed])
        # Where it changes nothing, it is not asked.
        critical = self._are_critical(means, at, column, gates) if (calm | turned).any() else calm
        worse = critical & calm
        more = (size >= 2 * np.abs(effect)) | turned
        slow = np.array(
            [
                # Asked ever less often.
                (self.block - each.told).bit_count() == 1
                and each.came_slowly(self.noise.part(signal))
                for signal, each in zip(means.signals.tolist(), changed, strict=True)
            ]
        )
        told = asked & (since > 0) & ~(turned & fresh) & (worse | more | slow)
        if not told.any():
            return []
        limits = self._limits(points, self._warning, gates.warning)
        told &= worse | slow | (size > limits)
        found = []
        for place in np.flatnonzero(told).tolist():
            each = changed[place]
            if turned[place]:
                each.block = int(means.number[at[place], place])
                each.onset = self._last.start(each.block)
                each.critical = False
                each.anchor, each.weight, each.total = self._now, 0.0, 0.0
                each.course, each.since = None, None
            each.critical = each.critical or (bool(critical[place]) and not each.muted)
            each.effect = float(points.shift[place])
            each.told = self.block
            found.append(self._finding(points, place, limits))
        return found

    def _restart(self, signal: int, shift: float) -> None:
        """Watch on from what is expected plus ``shift``, the detectors as new."""
        del self._changed[signal]
        self._waiting.pop(signal, None)
        self.bank.restart(np.array([signal]), self.block)
        self._last.forget(signal)
        if shift:
            self.expectation.move(signal, shift)

    def state(self) -> dict[str, Any]:
        """All of it, as plain values."""
        return {
            "noise": self.noise.state(),
            "expectation": self.expectation.state(),
            "hard": pack(self._hard),
            "bank": self.bank.state(),
            "quiet": self._quiet,
            "last": self._last.state(),
            "waiting": list(self._waiting.items()),
            "changed": list(self._changed.items()),
            "drifts": self._drifts.state(),
            "renewal": self._renewal.state(),
        }

    @classmethod
    def restore(cls, state: Mapping[str, Any], thresholds: tuple[Thresholds, Thresholds]) -> Watch:
        """From ``state``: goes on exactly as the one it was taken from.

        Args:
            state: What ``state`` gave.
            thresholds: From the budget that holds now.
        """
        found = cls.__new__(cls)
        found.noise = Noise.restore(state["noise"])
        found.expectation = Expectation.restore(state["expectation"])
        found._last = LastBlocks.restore(state["last"])
        found._by_records, found._hard = found._last.by_records, unpack(state["hard"])
        found._renewal = Renewal.restore(state["renewal"])
        found._drifts = Drifts.restore(state["drifts"], found.noise, found._hard)
        found._now = 0
        found.bank = Bank.restore(state["bank"])
        found.retune(thresholds)
        found._quiet = int(state["quiet"])
        found._expected = np.zeros(len(found._hard))
        found._waiting = {
            int(signal): msgspec.convert(each, Waiting) for signal, each in state["waiting"]
        }
        found._changed = {
            int(signal): msgspec.convert(each, Changed) for signal, each in state["changed"]
        }
        return found


def _columns(*rows: Sequence[float]) -> list[FloatArray]:
    return [np.array(row)[:LEVELS, None] for row in rows]
