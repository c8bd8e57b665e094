"""Means over the last blocks: of 1, 2, 4, .. 128 of all signals at once, of any number of a few."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from .residuals import Points
from .scales import LEVELS, WINDOWS
from .table import FloatArray, IntArray

_SHORTER: Final = WINDOWS[:-1]
_PLACE: Final = _SHORTER - 1  # of the rows of each length
HELD: Final = int(WINDOWS[-1]) - 1  # rows


class WindowedSums:
    """A sum of 2w blocks is that of the last w and that of the w before them.

    So each length needs its own sums of w blocks ago, and nothing drifts: a sum is always made of
    the same additions of the same blocks.

    Args:
        columns: N.
    """

    def __init__(self, columns: int) -> None:
        self._before = np.zeros((HELD, columns))
        self._parts = np.zeros((LEVELS, columns))
        self._sums = np.zeros((LEVELS, columns))

    def add(self, row: FloatArray, block: int) -> FloatArray:
        """Add a block, shape (N,), of the next number.

        Returns:
            Its sums, shape (LEVELS, N), until the next call.
        """
        rows = _PLACE + block % _SHORTER
        self._parts[0] = row
        np.take(self._before, rows, axis=0, out=self._parts[1:])
        np.cumsum(self._parts, axis=0, out=self._sums)
        self._before[rows] = self._sums[:-1]
        return self._sums

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
