"""The signals of one stream under watch: residuals to detectors, detections to findings.

A detector proposes that something changed since a block; the change is told once the mean since
then is confirmed: farther from the expected level than the noise that the baseline has over so many
blocks allows within the budget, and far enough to be worth telling. Until it is, it waits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple

import msgspec
import numpy as np

from .budget import Thresholds
from .detectors import Bank
from .residuals import Noise
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


@dataclass(frozen=True, slots=True)
class Means:
    """Of the last 1, 2, .. K blocks that say something about a signal.

    Attributes:
        shift: Shape (K,), mean deviation from the level.
        sample: Shape (K,), records.
        number: Shape (K,), number of the earliest block.
    """

    shift: FloatArray
    sample: FloatArray
    number: IntArray


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
        self.thresholds = thresholds
        self.bank = Bank(signals, thresholds.page_hinkley, thresholds.adwin)
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
        self.thresholds = thresholds
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
        z = self.noise.standardise(away, np.full(len(away), float(records)))
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

    def _means(self, signal: int, blocks: int) -> Means:
        """Mean deviations of the last 1, 2, .. ``blocks`` blocks that say something."""
        blocks = min(blocks, RING, self.block + 1)
        numbers = np.arange(self.block, self.block - blocks, -1)
        away, records = self._away[numbers % RING, signal], self._records[numbers % RING]
        known = np.isfinite(away) & (records > 0)
        away, records, numbers = away[known], records[known], numbers[known]
        weight = records if self._by_records[signal] else np.ones(len(away))
        shift = np.cumsum(weight * away) / np.maximum(np.cumsum(weight), 1e-300)
        return Means(shift, np.cumsum(records), numbers)

    def _limits(
        self, signal: int, means: Means, threshold: float, gate: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        gates = np.where(means.shift > 0, gate[0, signal], gate[1, signal])
        return self.noise.limits(signal, means.sample, threshold, gates)

    def _confirm(self, end: int, gates: Gates) -> list[Finding]:
        found = []
        for signal in sorted(self._waiting):
            waiting = self._waiting[signal]
            blocks = self.block - waiting.block + 1
            means = self._means(signal, blocks)
            if not len(means.shift):
                continue
            limits, own = self._limits(signal, means, self.thresholds.warning, gates.warning)
            size = np.abs(means.shift)
            sure = size > limits
            if sure.any():
                # The likeliest onset: where the mean since then stands out most.
                at = int(np.argmax(np.where(sure, size / own, -1.0)))
                del self._waiting[signal]
                first = int(means.number[at])
                self._changed[signal] = Changed(
                    waiting.detector,
                    first,
                    int(self._starts[first % STARTS]),
                    self.block,
                    float(means.shift[at]),
                    self._is_critical(signal, means, gates, at),
                    end,
                )
                found.append(self._finding(signal, means, at, float(limits[at])))
            elif self._is_vain(waiting, size, float(gates.least[signal])):
                del self._waiting[signal]
        return found

    def _is_vain(self, waiting: Waiting, size: FloatArray, least: float) -> bool:
        """A proposal too old, or without anything to see in the blocks since."""
        age = self.block - waiting.proposed + 1
        recent = size[min(_PATIENCE, len(size)) - 1]
        return age > RING or (age >= _PATIENCE and max(size[-1], recent) < least / 2)

    def _is_critical(self, signal: int, means: Means, gates: Gates, at: int) -> bool:
        limits, _ = self._limits(signal, means, self.thresholds.critical, gates.critical)
        return bool(abs(means.shift[at]) > limits[at])

    def _finding(self, signal: int, means: Means, at: int, limit: float) -> Finding:
        changed, shift = self._changed[signal], float(means.shift[at])
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
        again: list[Finding] = []
        recovered, settled = [], []
        for signal in sorted(self._changed):
            changed = self._changed[signal]
            if not np.isfinite(away[signal]):
                continue
            weight = float(records) if self._by_records[signal] else 1.0
            changed.weight += weight
            changed.total += weight * float(away[signal])
            means = self._means(signal, RING)
            limits, _ = self._limits(signal, means, self.thresholds.warning, gates.warning)
            if self._is_back(signal, changed, means, gates):
                recovered.append(signal)
            elif end - changed.anchor < SETTLED:
                again += self._grown(signal, changed, means, limits, gates)
            elif self._is_stable(signal, changed, means, gates):
                settled.append(signal)
            else:
                changed.anchor, changed.weight, changed.total = end, 0.0, 0.0
        for signal in recovered:
            self._restart(signal, 0.0)
        for signal in settled:
            changed = self._changed[signal]
            self._restart(signal, changed.total / changed.weight)
        return again, recovered, settled

    def _is_back(self, signal: int, changed: Changed, means: Means, gates: Gates) -> bool:
        """Near the level for long enough, and by enough records to tell that from chance.

        Near: within half of what a change must be. Enough: had the change gone on, a mean so much
        nearer would be three standard deviations of its own noise (of a share, that of the share it
        had gone to) away; but never more than four times ``QUIET``.
        """
        since = self.block - changed.told
        upto = min(len(means.shift), 4 * self._quiet)
        if since < self._quiet or upto < self._quiet:
            return False
        least = np.broadcast_to(gates.least, gates.warning.shape)
        limits, _ = self._limits(signal, means, self.thresholds.warning, least)
        white = float(self.noise.white[signal])
        if self._shares[signal]:
            share = min(max(float(self.noise.level[signal]) + changed.effect, 0.0), 1.0)
            white = max(white, share * (1 - share))
        half = limits / 2
        nearer = abs(changed.effect) - np.sign(changed.effect) * means.shift
        enough = nearer >= 3 * np.sqrt(white / np.maximum(means.sample, 1))
        at = self._quiet - 1
        while at < upto - 1 and not enough[at]:
            at += 1
        return at < since and bool(abs(means.shift[at]) <= half[at])

    def _grown(
        self, signal: int, changed: Changed, means: Means, limits: FloatArray, gates: Gates
    ) -> list[Finding]:
        """A change is told again if it doubled, turned round, or has become critical."""
        since = int(np.count_nonzero(means.number >= changed.block))
        recent = min(self._quiet, since) - 1
        at = since - 1
        if recent < 0:
            return []
        turned = means.shift[recent] * changed.effect < 0
        if abs(means.shift[recent]) > abs(means.shift[at]) or turned:
            at = recent
        if turned and self.block - changed.told < self._quiet:
            return []
        critical = self._is_critical(signal, means, gates, at)
        size = abs(float(means.shift[at]))
        worse = critical and not changed.critical
        more = size >= 2 * abs(changed.effect) or turned
        if not (worse or (more and size > limits[at])):
            return []
        if turned:
            changed.block = int(means.number[at])
            changed.onset = int(self._starts[changed.block % STARTS])
            changed.critical = False
            changed.anchor, changed.weight, changed.total = self._now, 0.0, 0.0
        changed.critical = changed.critical or critical
        changed.effect = float(means.shift[at])
        changed.told = self.block
        return [self._finding(signal, means, at, float(limits[at]))]

    def _is_stable(self, signal: int, changed: Changed, means: Means, gates: Gates) -> bool:
        since = int(np.count_nonzero(means.number > changed.told))
        if not since:
            return False
        apart = abs(float(means.shift[since - 1]) - changed.total / max(changed.weight, 1e-300))
        none = np.zeros_like(gates.warning)
        limits, _ = self._limits(signal, means, self.thresholds.warning, none)
        return apart <= max(float(gates.least[signal]), float(limits[since - 1]))

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
