"""Means over the last blocks: of 1, 2, 4, .. 128 of all signals at once, of any number of a few."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from .residuals import Points
from .scales import LEVELS, WINDOWS
from .state import pack, unpack
from .table import BoolArray, FloatArray, IntArray

RING: Final = 128  # blocks whose residuals are kept
STARTS: Final = 2048  # blocks whose start is remembered
_SHORTER: Final = WINDOWS[:-1].tolist()


class WindowedSums:
    """Sums over the last 1, 2, 4, .. 128 blocks, of N columns.

    A sum of 2w blocks is that of the last w and that of the w before them. So each length needs its
    own sums of w blocks ago, and nothing drifts: a sum is always made of the same additions.

    Args:
        columns: N.
    """

    def __init__(self, columns: int) -> None:
        self._before = np.zeros((RING - 1, columns))
        self._sums = np.zeros((LEVELS, columns))

    def add(self, row: FloatArray, block: int) -> FloatArray:
        """Add a block, shape (N,), of the next number.

        Returns:
            Its sums, shape (LEVELS, N), until the next call.
        """
        before, sums = self._before, self._sums
        sums[0] = row
        for level, blocks in enumerate(_SHORTER):
            held = before[blocks - 1 + block % blocks]
            np.add(sums[level], held, out=sums[level + 1])
            held[:] = sums[level]
        return sums

    def forget(self, column: int) -> None:
        """As if a column had always been 0."""
        self._before[:, column] = 0.0


class Means(NamedTuple):
    """Of the last 1, 2, .. K blocks that say something about each of C signals.

    Attributes:
        signals: Shape (C,), their numbers.
        shift: Shape (K, C), mean deviation from what was expected.
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

    def halves(self, rows: IntArray, columns: IntArray) -> FloatArray:
        """The nearer one of the two halves of single means of two blocks and more, shape (N,).

        Negative where it lies on the other side. What is seen in both halves is not one wild block.
        """
        whole, late = self.at(rows, columns), self.at((rows - 1) // 2, columns)
        before = np.maximum(whole.sample - late.sample, 1e-300)
        early = (whole.shift * whole.sample - late.shift * late.sample) / before
        found: FloatArray = np.minimum(
            early * np.sign(whole.shift), late.shift * np.sign(whole.shift)
        )
        return found


class Dyadic(NamedTuple):
    """Of the last 1, 2, 4, .. 128 blocks of all signals, shape (LEVELS, S).

    Attributes:
        mean: Deviation from what was expected.
        sample: Records of the blocks that say something.
    """

    mean: FloatArray
    sample: FloatArray


class LastBlocks:
    """The residuals of the last blocks of S signals.

    Attributes:
        by_records: Shape (S,): a block weighs by its records in a mean; else all blocks the same.
        block: Number of the last one; -1: none yet.
        first: Shape (S,), block from which on each signal is watched.
    """

    def __init__(self, by_records: BoolArray) -> None:
        signals = len(by_records)
        self.block = -1
        self.first = np.zeros(signals, dtype=np.int64)
        self.by_records = by_records
        self._away = np.full((RING, signals), np.nan)
        self._records = np.zeros(RING)
        self._starts = np.zeros(STARTS, dtype=np.int64)
        self._parts = 2 if by_records.all() else 3  # weight times deviation, weight, records
        self._row = np.zeros(self._parts * signals)
        self._sums = WindowedSums(self._parts * signals)

    def add(self, away: FloatArray, known: BoolArray, records: float, start: int) -> Dyadic:
        """A block.

        Args:
            away: Shape (S,), deviations, 0 where not known.
            known: Shape (S,).
            records: In it.
            start: Its start, microseconds.
        """
        self._starts[(self.block + 1) % STARTS] = start
        return self._add(away, known, records)

    def _add(self, away: FloatArray, known: BoolArray, records: float) -> Dyadic:
        self.block += 1
        slot, signals = self.block % RING, len(away)
        self._away[slot] = away
        if not known.all():
            self._away[slot, ~known] = np.nan
        self._records[slot] = records
        weighted, weight = self._row[:signals], self._row[signals : 2 * signals]
        np.multiply(known, records, out=self._row[-signals:])
        if self._parts == 3:
            weight[:] = np.where(self.by_records, self._row[-signals:], known)
        np.multiply(weight, away, out=weighted)
        sums = self._sums.add(self._row, self.block)
        mean = sums[:, :signals] / np.maximum(sums[:, signals : 2 * signals], 1e-300)
        return Dyadic(mean, sums[:, -signals:])

    def start(self, block: int) -> int:
        """Start of a block not too long ago, microseconds."""
        return int(self._starts[block % STARTS])

    def starts(self, blocks: IntArray) -> IntArray:
        """Starts of blocks."""
        found: IntArray = self._starts[blocks % STARTS]
        return found

    def forget(self, signal: int) -> None:
        """A signal begins anew with the next block."""
        signals = len(self.first)
        self._away[:, signal] = np.nan
        self.first[signal] = self.block + 1
        for column in range(signal, self._parts * signals, signals):
            self._sums.forget(column)

    def means(self, signals: Sequence[int]) -> Means:
        """Mean deviations of the last 1, 2, .. blocks that say something."""
        columns = np.array(signals)
        number = np.arange(self.block, max(self.block - RING, -1), -1)[:, None]
        slots = number % RING
        away, records = self._away[slots, columns], self._records[slots]
        known = np.isfinite(away) & (records > 0)
        if not known.all():
            if (known[1:] > known[:-1]).any():  # gaps, not only a beginning
                order = np.argsort(~known, axis=0, kind="stable")
                known = np.take_along_axis(known, order, axis=0)
                away = np.take_along_axis(away, order, axis=0)
                number, records = number[order, 0], records[order, 0]
            away = np.where(known, away, 0.0)
            number = np.where(known, number, -1)
            records = np.where(known, records, 0.0)
        weight = np.where(self.by_records[columns], records, 1.0)
        shift = np.cumsum(weight * away, axis=0)
        shift /= np.maximum(np.cumsum(weight, axis=0), 1e-300)
        sample = np.broadcast_to(np.cumsum(records, axis=0), shift.shape)
        return Means(columns, shift, sample, np.broadcast_to(number, shift.shape))

    def state(self) -> dict[str, Any]:
        """All of it, as plain values; the sums follow from the rest."""
        kept = min(self.block + 1, RING)
        blocks = np.arange(self.block - kept + 1, self.block + 1) % RING
        return {
            "block": self.block,
            "first": pack(self.first),
            "by_records": pack(self.by_records),
            "away": pack(self._away[blocks]),
            "records": pack(self._records[blocks]),
            "starts": pack(self._starts[: min(self.block + 1, STARTS)]),
        }

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> LastBlocks:
        """From ``state``."""
        found = cls(unpack(state["by_records"]))
        away, records = unpack(state["away"]), unpack(state["records"])
        found.block = int(state["block"]) - len(away)
        for row, held in zip(away, records.tolist(), strict=True):
            known = np.isfinite(row)
            found._add(np.where(known, row, 0.0), known, held)
        found.first = unpack(state["first"])
        starts = unpack(state["starts"])
        found._starts[: len(starts)] = starts
        return found
