"""The signals of one stream under watch: residuals to detectors, detections to findings.

A detector proposes that something changed since a block; the change is told once the mean since
then is confirmed: farther from the expected level than the noise that the baseline has over so many
blocks allows within the budget, and far enough to be worth telling. Until it is, it waits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

import msgspec
import numpy as np

from .budget import Thresholds, student
from .detectors import Bank
from .residuals import Noise, Points
from .signals import Gates
from .state import pack, unpack
from .table import BoolArray, FloatArray, IntArray

RING: Final = 128  # blocks whose residuals are kept
STARTS: Final = 2048  # blocks whose start is remembered
_PATIENCE: Final = 8  # blocks that a proposal without effect waits
QUIET: Final = 1_800_000_000  # microseconds near the level after which a change is over
SETTLED: Final = 604_800_000_000  # at a new, stable level for so long: it is the new normal


class Finding(NamedTuple):
    """A confirmed change of one signal, in the unit of the signal."""

    signal: int
    detector: str
    direction: Literal["up", "down"]
    critical: bool
    level: float  # expected
    shift: float  # mean since onset minus level
    score: float
    sample: int
    onset: int


class Step(NamedTuple):
    """What one block brought; signals by number."""

    found: list[Finding]
    recovered: list[int]
    settled: list[int]


class Waiting(msgspec.Struct, array_like=True):
    """A proposal that is not confirmed yet."""

    detector: str
    block: int  # the first one of the change, at the earliest
    proposed: int  # block of the proposal


class Changed(msgspec.Struct, array_like=True):
    """A change that has been told and goes on.

    Attributes:
        detector: That proposed it.
        block: First block of it.
        onset: Its start, microseconds.
        told: Block in which it was told.
        effect: Told last, in the unit of the signal, with its sign.
        critical: Told as critical.
        anchor: Time since which the new level is followed.
        weight: Of the blocks since then.
        total: Sum of weight times deviation since then.
    """

    detector: str
    block: int
    onset: int
    told: int
    effect: float
    critical: bool
    anchor: int
    weight: float = 0.0
    total: float = 0.0


class Means(NamedTuple):
    """Of the last 1, 2, .. K blocks that say something about each of C signals.

    Attributes:
        signals: Shape (C,), their numbers.
        shift: Shape (K, C), mean deviation from the level.
        sample: Shape (K, C), records.
        number: Shape (K, C), number of the earliest block; -1: so many do not say anything.
    """

    signals: IntArray
    shift: FloatArray
    sample: FloatArray
    number: IntArray

    def since(self, blocks: Sequence[int]) -> IntArray:
        """How many blocks of each signal are the one of this number or later, shape (C,)."""
        found: IntArray = np.count_nonzero(self.number >= np.array(blocks), axis=0)
        return found

    def at(self, rows: IntArray, columns: IntArray) -> Points:
        """Single ones: of ``rows + 1`` blocks of the signals in these columns."""
        place = rows, columns
        return Points(self.signals[columns], rows + 1, self.shift[place], self.sample[place])


class Watch:
    """One stream of S signals after its baseline is known.

    Args:
        noise: Of the baseline.
        by_records: Shape (S,): a block weighs by its records in a mean; else all blocks the same.
        shares: Shape (S,): the signal is a share.
        thresholds: From the budget.
        block_length: Usual length of a block, microseconds.
    """

    def __init__(
        self,
        noise: Noise,
        by_records: BoolArray,
        shares: BoolArray,
        thresholds: Thresholds,
        block_length: float,
    ) -> None:
        signals = len(noise.level)
        self.noise = noise
        self.bank = Bank(signals, thresholds.page_hinkley, thresholds.adwin)
        self.retune(thresholds)
        self.block = -1
        self._by_records = by_records
        self._shares = shares
        self._now = 0
        self._quiet = int(min(max(2, np.ceil(QUIET / max(block_length, 1.0))), RING))
        self._away = np.full((RING, signals), np.nan)
        self._records = np.zeros(RING)
        self._starts = np.zeros(STARTS, dtype=np.int64)
        self._waiting: dict[int, Waiting] = {}
        self._changed: dict[int, Changed] = {}

    @property
    def changed(self) -> list[int]:
        """Signals that have changed and not come back."""
        return sorted(self._changed)

    def retune(self, thresholds: Thresholds) -> None:
        """Hold to another budget; an ADWIN takes its delta when it restarts next."""
        self._warning = student(thresholds.warning, self.noise.df)
        self._critical = student(thresholds.critical, self.noise.df)
        self.bank.threshold = thresholds.page_hinkley
        self.bank.delta = thresholds.adwin

    def update(self, values: FloatArray, records: int, start: int, end: int, gates: Gates) -> Step:
        """One block.

        Args:
            values: Shape (S,), NaN: the block says nothing about that signal.
            records: In the block.
            start: Its start, microseconds.
            end: Its end.
            gates: What is worth telling.
        """
        self.block += 1
        self._now = end
        away = values - self.noise.level
        away = np.where(np.isfinite(away), away, np.nan)
        slot = self.block % RING
        self._away[slot] = away
        self._records[slot] = records
        self._starts[self.block % STARTS] = start
        z = self.noise.standardise(away, float(records))
        fed = np.isfinite(z) & gates.tested
        if self._changed:
            fed[list(self._changed)] = False
        adwin, page_hinkley = self.bank.update(np.where(fed, z, 0.0), self.block, fed)
        self._propose("ADWIN", adwin)
        self._propose("PageHinkley", page_hinkley)
        again, recovered, settled = self._follow(away, records, end, gates)
        found = self._confirm(end, gates)
        return Step(sorted(found + again), recovered, settled)

    def _propose(self, detector: str, proposals: list[tuple[int, int]]) -> None:
        for signal, block in proposals:
            known = self._waiting.get(signal)
            if known is None or block > known.block:
                self._waiting[signal] = Waiting(detector, max(block, 0), self.block)

    def _means(self, signals: Sequence[int]) -> Means:
        """Mean deviations of the last 1, 2, .. blocks that say something."""
        columns = np.array(signals)
        number = np.arange(self.block, max(self.block - RING, -1), -1)[:, None]
        slots = number % RING
        away, records = self._away[slots, columns], self._records[slots]
        known = np.isfinite(away) & (records > 0)
        if not known.all():
            order = np.argsort(~known, axis=0, kind="stable")
            known = np.take_along_axis(known, order, axis=0)
            away = np.where(known, np.take_along_axis(away, order, axis=0), 0.0)
            number = np.where(known, number[order, 0], -1)
            records = np.where(known, records[order, 0], 0.0)
        weight = np.where(self._by_records[columns], records, 1.0)
        shift = np.cumsum(weight * away, axis=0)
        shift /= np.maximum(np.cumsum(weight, axis=0), 1e-300)
        sample = np.broadcast_to(np.cumsum(records, axis=0), shift.shape)
        return Means(columns, shift, sample, np.broadcast_to(number, shift.shape))

    def _limits(self, means: Points, quantiles: FloatArray, gate: FloatArray) -> FloatArray:
        """Limits of means; ``gate`` has the shape (2, S)."""
        signals = means.signals
        gates = np.where(means.shift > 0, gate[0, signals], gate[1, signals])
        return self.noise.limits(means, quantiles, gates)

    def _are_critical(self, means: Points, gates: Gates) -> BoolArray:
        limits = self._limits(means, self._critical, gates.critical)
        found: BoolArray = np.abs(means.shift) > limits
        return found

    def _confirm(self, end: int, gates: Gates) -> list[Finding]:
        if not self._waiting:
            return []
        signals = sorted(self._waiting)
        waiting = [self._waiting[signal] for signal in signals]
        means = self._means(signals)
        held = means.since([each.block for each in waiting])
        score = self._scores(means, held, gates)
        # The likeliest onset: where the mean since then stands out most.
        rows = np.argmax(score, axis=0)
        columns = np.flatnonzero(np.max(score, axis=0) >= 0)
        best = means.at(rows[columns], columns)
        limits = self._limits(best, self._warning, gates.warning)
        critical = self._are_critical(best, gates).tolist()
        for at, column in enumerate(columns.tolist()):
            first = int(means.number[rows[column], column])
            self._changed[signals[column]] = Changed(
                waiting[column].detector,
                first,
                int(self._starts[first % STARTS]),
                self.block,
                float(best.shift[at]),
                critical[at],
                end,
            )
        for signal in best.signals.tolist():
            del self._waiting[signal]
        self._give_up(means, held, gates)
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
        found = np.full(near.shape, -1.0)
        points = means.at(*np.nonzero(near))
        size = np.abs(points.shift)
        sure = size > self._limits(points, self._warning, gates.warning)
        found[near] = np.where(sure, size / self.noise.strays(points), -1.0)
        return found

    def _give_up(self, means: Means, held: IntArray, gates: Gates) -> None:
        """Forget proposals too old, or without anything to see in the blocks since."""
        column, last = np.arange(len(held)), np.maximum(held - 1, 0)
        recent = np.minimum(last, _PATIENCE - 1)
        size = np.maximum(np.abs(means.shift[last, column]), np.abs(means.shift[recent, column]))
        nothing = (size < gates.least[means.signals] / 2).tolist()
        for at, signal in enumerate(means.signals.tolist()):
            waiting = self._waiting.get(signal)
            if waiting is None or not held[at]:
                continue
            age = self.block - waiting.proposed + 1
            if age > RING or (age >= _PATIENCE and nothing[at]):
                del self._waiting[signal]

    def _finding(self, means: Points, at: int, limits: FloatArray) -> Finding:
        signal, shift, limit = int(means.signals[at]), float(means.shift[at]), float(limits[at])
        changed = self._changed[signal]
        return Finding(
            signal=signal,
            detector=changed.detector,
            direction="up" if shift > 0 else "down",
            critical=changed.critical,
            level=float(self.noise.level[signal]),
            shift=shift,
            score=abs(shift) / limit if limit > 0 else 1.0,
            sample=int(means.sample[at]),
            onset=changed.onset,
        )

    def _follow(
        self, away: FloatArray, records: int, end: int, gates: Gates
    ) -> tuple[list[Finding], list[int], list[int]]:
        """What became of the changes told before."""
        known = np.isfinite(away)
        signals = [signal for signal in sorted(self._changed) if known[signal]]
        if not signals:
            return [], [], []
        changed = [self._changed[signal] for signal in signals]
        means = self._means(signals)
        weight = np.where(self._by_records[means.signals], float(records), 1.0)
        moved = (weight * away[means.signals]).tolist()
        for each, more, far in zip(changed, weight.tolist(), moved, strict=True):
            each.weight += more
            each.total += far
        back = self._are_back(changed, means, gates)
        early = np.array([end - each.anchor < SETTLED for each in changed])
        again = self._grown(changed, means, gates, ~back & early)
        settled = []
        for at in np.flatnonzero(~back & ~early).tolist():
            if self._is_stable(at, changed[at], means, gates):
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

    def _are_back(self, changed: list[Changed], means: Means, gates: Gates) -> BoolArray:
        """Near the level for long enough, and by enough records to tell that from chance, (C,).

        Near: within half of what a change must be. Enough: had the change gone on, a mean so much
        nearer would be three standard deviations of its own noise (of a share, that of the share it
        had gone to) away; but never more than four times ``QUIET``.
        """
        since = self.block - np.array([each.told for each in changed])
        most = np.minimum(means.since([0] * len(changed)), 4 * self._quiet)
        long = (since >= self._quiet) & (most >= self._quiet)
        if not long.any():
            return long
        signals, effect = means.signals, np.array([each.effect for each in changed])
        white = self.noise.white[signals]
        share = np.minimum(np.maximum(self.noise.level[signals] + effect, 0.0), 1.0)
        white = np.where(self._shares[signals], np.maximum(white, share * (1 - share)), white)
        rows = slice(self._quiet - 1, 4 * self._quiet)
        nearer = np.abs(effect) - np.sign(effect) * means.shift[rows]
        enough = nearer >= 3 * np.sqrt(white / np.maximum(means.sample[rows], 1))
        enough |= np.arange(self._quiet, self._quiet + len(enough))[:, None] >= most
        at = np.argmax(enough, axis=0) + self._quiet - 1
        points = means.at(at, np.arange(len(at)))
        limits = self.noise.limits(points, self._warning, gates.least[signals])
        found: BoolArray = long & (at < since) & (np.abs(points.shift) <= limits / 2)
        return found

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
        critical = self._are_critical(points, gates)
        limits = self._limits(points, self._warning, gates.warning)
        size = np.abs(points.shift)
        fresh = self.block - np.array([each.told for each in changed]) < self._quiet
        worse = critical & ~np.array([each.critical for each in changed])
        more = ((size >= 2 * np.abs(effect)) | turned) & (size > limits)
        told = asked & (since > 0) & ~(turned & fresh) & (worse | more)
        found = []
        for place in np.flatnonzero(told).tolist():
            each = changed[place]
            if turned[place]:
                each.block = int(means.number[at[place], place])
                each.onset = int(self._starts[each.block % STARTS])
                each.critical = False
                each.anchor, each.weight, each.total = self._now, 0.0, 0.0
            each.critical = each.critical or bool(critical[place])
            each.effect = float(points.shift[place])
            each.told = self.block
            found.append(self._finding(points, place, limits))
        return found

    def _is_stable(self, column: int, changed: Changed, means: Means, gates: Gates) -> bool:
        since = int(np.count_nonzero(means.number[:, column] > changed.told))
        if not since:
            return False
        mean = means.at(np.array([since - 1]), np.array([column]))
        apart = abs(float(mean.shift[0]) - changed.total / max(changed.weight, 1e-300))
        limit = self.noise.limits(mean, self._warning, np.zeros(1))[0]
        return bool(apart <= max(gates.least[mean.signals[0]], limit))

    def _restart(self, signal: int, shift: float) -> None:
        """Watch on from the level plus ``shift``, the detectors as new."""
        del self._changed[signal]
        self._waiting.pop(signal, None)
        self.bank.restart(np.array([signal]), self.block)
        if shift:
            self.noise = self.noise.moved(signal, shift)
            self._away[:, signal] -= shift

    def state(self) -> dict[str, Any]:
        """All of it, as plain values."""
        kept = min(self.block + 1, RING)
        blocks = np.arange(self.block - kept + 1, self.block + 1) % RING
        return {
            "noise": self.noise.state(),
            "by_records": pack(self._by_records),
            "shares": pack(self._shares),
            "bank": self.bank.state(),
            "block": self.block,
            "quiet": self._quiet,
            "away": pack(self._away[blocks]),
            "records": pack(self._records[blocks]),
            "starts": pack(self._starts[: min(self.block + 1, STARTS)]),
            "waiting": list(self._waiting.items()),
            "changed": list(self._changed.items()),
        }

    @classmethod
    def restore(cls, state: Mapping[str, Any], thresholds: Thresholds) -> Watch:
        """From ``state``: goes on exactly as the one it was taken from.

        Args:
            state: What ``state`` gave.
            thresholds: From the budget that holds now.
        """
        noise = Noise.restore(state["noise"])
        found = cls.__new__(cls)
        found.noise = noise
        found._by_records = unpack(state["by_records"])
        found._shares = unpack(state["shares"])
        found._now = 0
        found.bank = Bank.restore(state["bank"])
        found.retune(thresholds)
        found.block = int(state["block"])
        found._quiet = int(state["quiet"])
        away, records = unpack(state["away"]), unpack(state["records"])
        found._away = np.full((RING, len(noise.level)), np.nan)
        found._records = np.zeros(RING)
        slots = np.arange(found.block - len(away) + 1, found.block + 1) % RING
        found._away[slots] = away
        found._records[slots] = records
        starts = unpack(state["starts"])
        found._starts = np.zeros(STARTS, dtype=np.int64)
        found._starts[: len(starts)] = starts
        found._waiting = {
            int(signal): msgspec.convert(each, Waiting) for signal, each in state["waiting"]
        }
        found._changed = {
            int(signal): msgspec.convert(each, Changed) for signal, each in state["changed"]
        }
        return found
