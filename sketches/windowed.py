"""Means over the last blocks: of all signals at once, of any number of blocks of a few signals.

Those of all signals are over 1, 2, 4, .. 128 blocks, and over 6: what 4 blocks do not show would
wait for 8. A shift of a quarter of a standard deviation in 100 records a block is told after 6
blocks then, in the median, not after 7.
"""

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
LENGTHS: Final = np.append(WINDOWS, 2 + 4)  # of all windows, in blocks
# The later part of each, a half of it or a third: its place among the windows, and its share.
_LATER: Final = np.append(np.maximum(np.arange(LEVELS) - 1, 0), 1)
_SHARE: Final = WINDOWS[_LATER] / LENGTHS


class WindowedSums:
    """Sums over the last ``LENGTHS`` blocks, of P parts of N columns.

    A sum of 2w blocks is that of the last w and that of the w before them, one of 6 that of the
    last 2 and that of the 4 before. So each length needs its own sums of w blocks ago, and nothing
    drifts: a sum is always made of the same additions.

    Args:
        parts: P.
        columns: N.
    """

    def __init__(self, parts: int, columns: int) -> None:
        self._before = np.zeros((RING - 1, parts, columns))
        self._sums = np.zeros((len(LENGTHS), parts, columns))

    def add(self, row: FloatArray, block: int) -> FloatArray:
        """Add a block, shape (P, N), of the next number.

        Returns:
            Its sums, shape (len(LENGTHS), P, N), until the next call.
        """
        before, sums = self._before, self._sums
        sums[0] = row
        for level, blocks in enumerate(_SHORTER):
            held = before[blocks - 1 + block % blocks]
            np.add(sums[level], held, out=sums[level + 1])
            held[:] = sums[level]
        np.add(sums[1], before[3 + (block - 2) % 4], out=sums[LEVELS])
        return sums

    def forget(self, column: int) -> None:
        """As if a column had always been 0."""
        self._before[:, :, column] = 0.0

    def repeat(self, column: int, times: int) -> None:
        """So many columns more, which have been as this one."""
        self._before = _repeated(self._before, column, times)
        self._sums = _repeated(self._sums, column, times)


def _repeated(array: FloatArray, column: int, times: int) -> FloatArray:
    """With so many copies of one column, of the last axis, at its end."""
    more = np.repeat(array[..., column : column + 1], times, axis=-1)
    return np.concatenate([array, more], axis=-1)


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
    """Of the last ``LENGTHS`` blocks, of the L signals that are not always as expected.

    Attributes:
        signals: Shape (L,), their numbers. The first column stands for all others: its mean is 0,
            and its number none.
        mean: Shape (len(LENGTHS), L), deviation from what was expected.
        sample: Shape (len(LENGTHS), L), records of the blocks that say something.
    """

    signals: IntArray
    mean: FloatArray
    sample: FloatArray

    def parts(self, rows: IntArray, columns: IntArray) -> FloatArray:
        """The nearer one of the later and the earlier part of single means, as ``Means.halves``."""
        whole, later = self.mean[rows, columns], self.mean[_LATER[rows], columns]
        sign, share = np.sign(whole), _SHARE[rows]
        earlier = (whole - share * later) / (1 - share)
        found: FloatArray = np.minimum(earlier * sign, later * sign)
        return found


class LastBlocks:
    """The residuals of the last blocks of S signals.

    Most signals are constant for as long as nothing is wrong. One column stands for all that have
    always been known and exactly as expected; a signal gets its own when it first is not.

    Attributes:
        by_records: Shape (S,): a block weighs by its records in a mean; else all blocks the same.
        block: Number of the last one; -1: none yet.
        first: Shape (S,), block from which on each signal is watched.
        column: Shape (S,), of each signal in what ``add`` gives; 0: it stands with all others.
    """

    def __init__(self, by_records: BoolArray) -> None:
        self.block = -1
        self.first = np.zeros(len(by_records), dtype=np.int64)
        self.by_records = by_records
        self.column = np.zeros(len(by_records), dtype=np.int64)
        self._signals = np.zeros(1, dtype=np.int64)
        self._weighs = np.ones(1, dtype=bool)  # by_records of each column
        self._away = np.zeros((RING, 1))
        self._records = np.zeros(RING)
        self._starts = np.zeros(STARTS, dtype=np.int64)
        self._parts = 2 if by_records.all() else 3  # weight times deviation, weight, records
        self._row = np.zeros((self._parts, 1))
        self._sums = WindowedSums(self._parts, 1)
        self._open(np.flatnonzero(~by_records))

    def _open(self, signals: IntArray) -> None:
        """Give signals columns of their own: they have been known and as expected so far."""
        if not len(signals):
            return
        more, before = len(signals), len(self._signals)
        self.column[signals] = np.arange(before, before + more)
        self._signals = np.append(self._signals, signals)
        self._weighs = np.append(self._weighs, self.by_records[signals])
        self._away = _repeated(self._away, 0, more)
        self._row = _repeated(self._row, 0, more)
        self._sums.repeat(0, more)

    def add(self, away: FloatArray, known: BoolArray, records: float, start: int) -> Dyadic:
        """A block.

        Args:
            away: Shape (S,), deviations, 0 where not known.
            known: Shape (S,).
            records: In it.
            start: Its start, microseconds.
        """
        self._starts[(self.block + 1) % STARTS] = start
        strays = (away != 0) | ~known
        strays &= self.column == 0
        if strays.any():
            self._open(strays.nonzero()[0])
        away, known = away.take(self._signals), known.take(self._signals)
        away[0], known[0] = 0.0, True
        return self._add(away, known, records)

    def _add(self, away: FloatArray, known: BoolArray, records: float) -> Dyadic:
        """Both of all columns."""
        self.block += 1
        slot = self.block % RING
        self._away[slot] = away
        if not known.all():
            self._away[slot, ~known] = np.nan
        self._records[slot] = records
        row = self._row
        np.multiply(known, records, out=row[-1])
        if self._parts == 3:
            row[1] = np.where(self._weighs, row[-1], known)
        np.multiply(row[1], away, out=row[0])
        sums = self._sums.add(row, self.block)
        mean = sums[:, 0] / np.maximum(sums[:, 1], 1e-300)
        return Dyadic(self._signals, mean, sums[:, -1])

    def start(self, block: int) -> int:
        """Start of a block not too long ago, microseconds."""
        return int(self._starts[block % STARTS])

    def starts(self, blocks: IntArray) -> IntArray:
        """Starts of blocks."""
        found: IntArray = self._starts[blocks % STARTS]
        return found

    def single(self, signal: int) -> list[tuple[int, float, float]]:
        """(Start, records, deviation) of the last blocks that say something about one signal."""
        numbers = np.arange(max(self.block + 1 - RING, 0), self.block + 1)
        away = self._away[numbers % RING, self.column[signal]]
        records = self._records[numbers % RING]
        known = np.isfinite(away) & (records > 0)
        columns = self.starts(numbers[known]), records[known], away[known]
        return list(zip(*(each.tolist() for each in columns), strict=True))

    def forget(self, signal: int) -> None:
        """A signal begins anew with the next block."""
        if not self.column[signal]:
            self._open(np.array([signal]))
        column = int(self.column[signal])
        self._away[:, column] = np.nan
        self.first[signal] = self.block + 1
        self._sums.forget(column)

    def means(self, signals: Sequence[int]) -> Means:
        """Mean deviations of the last 1, 2, .. blocks that say something."""
        columns = np.array(signals)
        number = np.arange(self.block, max(self.block - RING, -1), -1)
        slots = number % RING
        away = self._away[slots[:, None], self.column[columns]]
        records, number = self._records[slots][:, None], number[:, None]
        known = np.isfinite(away)
        if not known.all() or not records.all():
            known &= records > 0
            if (known[1:] > known[:-1]).any():  # gaps, not only a beginning
                order = np.argsort(~known, axis=0, kind="stable")
                known = np.take_along_axis(known, order, axis=0)
                away = np.take_along_axis(away, order, axis=0)
                number, records = number[order, 0], records[order, 0]
            away = np.where(known, away, 0.0)
            number = np.where(known, number, -1)
            records = np.where(known, records, 0.0)
        sample = weight = np.cumsum(records, axis=0)
        by_records = self.by_records[columns]
        if by_records.all():
            away *= records
        else:
            each = np.where(by_records, records, 1.0)
            away *= each
            weight = np.cumsum(each, axis=0)
        shift = np.cumsum(away, axis=0)
        shift /= np.maximum(weight, 1e-300)
        shape = shift.shape
        return Means(columns, shift, np.broadcast_to(sample, shape), np.broadcast_to(number, shape))

    def state(self) -> dict[str, Any]:
        """All of it, as plain values; the sums follow from the rest."""
        kept = min(self.block + 1, RING)
        blocks = np.arange(self.block - kept + 1, self.block + 1) % RING
        return {
            "block": self.block,
            "first": pack(self.first),
            "by_records": pack(self.by_records),
            "signals": pack(self._signals[1:]),
            "away": pack(self._away[blocks]),
            "records": pack(self._records[blocks]),
            "starts": pack(self._starts[: min(self.block + 1, STARTS)]),
        }

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> LastBlocks:
        """From ``state``."""
        found = cls(unpack(state["by_records"]))
        signals = unpack(state["signals"])
        found._open(signals[found.column[signals] == 0])
        away, records = unpack(state["away"]), unpack(state["records"])
        found.block = int(state["block"]) - len(away)
        for row, held in zip(away, records.tolist(), strict=True):
            known = np.isfinite(row)
            found._add(np.where(known, row, 0.0), known, held)
        found.first = unpack(state["first"])
        starts = unpack(state["starts"])
        found._starts[: len(starts)] = starts
        return found
