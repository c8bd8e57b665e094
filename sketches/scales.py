"""Moments and extremes of the means of 1, 2, 4, .. 128 consecutive blocks."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from typing import Any, Final

import numpy as np

from .budget import SCALES
from .state import pack_small, unpack_small
from .table import BoolArray, FloatArray, IntArray

LEVELS: Final = SCALES  # windows of 1, 2, 4, .. 128 blocks
WINDOWS: Final = 2 ** np.arange(LEVELS)
_HELD: Final = 127  # blocks that longer windows reach back
_CHUNK: Final = 32  # blocks that are added at once
# Chosen among 4, 5 and none with the flights of the demo in view: they are no test of it.
WILD: Final = 4.0  # standard deviations of a block; what lies beyond is drawn there
_KNOWN: Final = 64  # blocks that these are known by


class Scales:
    """Of S signals, each seen in C ways: as it is, and less one forecast or another.

    Every window of w blocks in a row counts, not only those side by side: a detector looks at all
    of them. Blocks are added some at a time, so that each costs few passes over arrays. A baseline
    has its incidents too: wild blocks are drawn in, so that it is not these that are measured.

    Args:
        ways: C.
        by_records: Shape (S,): a block weighs by its records; else all blocks the same.
    """

    _MOMENTS: Final = ("count", "weight", "first", "second", "third", "inverse")
    _FIELDS: Final = (*_MOMENTS, "highest", "lowest")
    _ROWS: Final = ("_values", "_weight", "_records", "_known")

    def __init__(self, ways: int, by_records: BoolArray) -> None:
        shape = (LEVELS, ways, len(by_records))
        self._by_records = by_records
        self.count = np.zeros(shape)  # windows
        self.weight = np.zeros(shape)
        self.first = np.zeros(shape)  # sum of weight times mean
        self.second = np.zeros(shape)  # sum of weight times squared mean
        self.third = np.zeros(shape)
        self.inverse = np.zeros(shape)  # sum of weight over sample size
        self.highest = np.full(shape, -np.inf)
        self.lowest = np.full(shape, np.inf)
        self._values = np.zeros((0, *shape[1:]))  # the last blocks, times their weight
        self._weight = np.zeros((0, shape[2]))
        self._records = np.zeros((0, 1))
        self._known = np.zeros(ways, dtype=np.int64)  # blocks since each way began, _HELD at most
        self._new: list[tuple[FloatArray, FloatArray, float]] = []

    def add(self, values: FloatArray, records: float) -> None:
        """Add a block.

        Args:
            values: Shape (C, S); NaN in the first way: it says nothing about the signal.
            records: In the block.
        """
        known = np.isfinite(values[0]) & (records > 0)
        weight = np.where(self._by_records, float(records), 1.0) * known
        self._new.append((np.where(known, values, 0.0) * weight, weight, float(records)))
        if len(self._new) == _CHUNK:
            self.flush()

    def flush(self) -> None:
        """Count the blocks added last."""
        new, self._new = self._new, []
        if not new:
            return
        fresh, weights = (np.stack([each[at] for each in new]) for at in (0, 1))
        values = np.concatenate([self._values, self._drawn_in(fresh, weights[:, None])])
        weight = np.concatenate([self._weight, weights])
        records = np.concatenate([self._records, np.array([[each[2]] for each in new])])
        known = self._known + np.arange(1, len(new) + 1)[:, None]
        self._known = np.minimum(known[-1], _HELD + 1)
        held = slice(-_HELD, None)
        self._values, self._weight, self._records = values[held], weight[held], records[held]
        for level in range(LEVELS):
            if level:
                half = int(WINDOWS[level - 1])
                if len(values) <= half:
                    return
                values = values[half:] + values[:-half]
                weight = weight[half:] + weight[:-half]
                records = records[half:] + records[:-half]
            last = slice(-len(new), None)
            whole = known >= WINDOWS[level]
            kept = weight[last, None]
            whole = known[-len(kept) :] >= WINDOWS[level]
            self._count(level, values[last], kept, records[last, None], whole)

    def _drawn_in(self, values: FloatArray, weight: FloatArray) -> FloatArray:
        """Values, times their weight, no farther out than blocks usually are; shape (B, C, S)."""
        known = np.where(self.weight[0] > 0, self.weight[0], 1.0)
        mean = self.first[0] / known
        spread = np.sqrt(np.maximum(self.second[0] / known - mean**2, 0.0))
        far = np.where((self.count[0] >= _KNOWN) & (spread > 0), WILD * spread, 1e300)
        found: FloatArray = np.clip(values, (mean - far) * weight, (mean + far) * weight)
        return found

    def _count(
        self,
        level: int,
        values: FloatArray,
        weight: FloatArray,
        records: FloatArray,
        whole: BoolArray,
    ) -> None:
        """Count windows; one that reaches back to before a way began, ``whole``, says nothing."""
        if not whole.all():
            values = values * whole[:, :, None]
            weight = weight * whole[:, :, None]
        known = weight > 0
        mean = values / np.where(known, weight, 1.0)
        squared = values * mean
        sample = np.where(self._by_records, weight, records)
        inverse = np.where(known, weight / np.maximum(sample, 1.0), 0.0)
        self.count[level] += known.sum(axis=0)
        self.weight[level] += weight.sum(axis=0)
        self.inverse[level] += inverse.sum(axis=0)
        self.first[level] += values.sum(axis=0)
        self.second[level] += squared.sum(axis=0)
        self.third[level] += (squared * mean).sum(axis=0)
        top = np.where(known, mean, -np.inf).max(axis=0)
        bottom = np.where(known, mean, np.inf).min(axis=0)
        np.maximum(self.highest[level], top, out=self.highest[level])
        np.minimum(self.lowest[level], bottom, out=self.lowest[level])

    def forget(self, signals: BoolArray) -> None:
        """Begin anew for some signals, shape (S,)."""
        self.flush()
        for name in self._MOMENTS:
            getattr(self, name)[:, :, signals] = 0.0
        self.highest[:, :, signals], self.lowest[:, :, signals] = -np.inf, np.inf
        self._values[:, :, signals] = 0.0
        self._weight[:, signals] = 0.0

    def restart(self, way: int) -> None:
        """Begin anew in one way: no window reaches back to before now."""
        self.flush()
        self._known[way] = 0
        for name in self._MOMENTS:
            getattr(self, name)[:, way] = 0.0
        self.highest[:, way], self.lowest[:, way] = -np.inf, np.inf

    def rescaled(self, factor: FloatArray, shift: FloatArray) -> Scales:
        """As if every value had been ``factor * value + shift``, factor > 0.

        The first way holds values, the others residuals: these know no shift.
        """
        self.flush()
        found = Scales.restore(self.state(), self._by_records)
        moved = np.zeros(self.first.shape[1:])
        moved[0] = shift
        found.third = factor**3 * self.third + 3 * factor**2 * moved * self.second
        found.third += 3 * factor * moved**2 * self.first + moved**3 * self.weight
        found.second = factor**2 * self.second + 2 * factor * moved * self.first
        found.second += moved**2 * self.weight
        found.first = factor * self.first + moved * self.weight
        found.highest = factor * self.highest + moved
        found.lowest = factor * self.lowest + moved
        found._values = factor * self._values + moved * self._weight[:, None]
        return found

    def chosen(self, way: IntArray) -> Scales:
        """One way of each signal, shape (S,), its moments alone."""
        self.flush()
        found = Scales(1, self._by_records)
        for name in self._FIELDS:
            values = np.take_along_axis(getattr(self, name), way[None, None], axis=1)
            setattr(found, name, values)
        return found

    def append(self, signals: IntArray) -> None:
        """Signals more, shape (N,), each of which has been as one of those before."""
        self._take(np.append(np.arange(len(self._by_records)), signals))

    def select(self, signals: IntArray) -> Scales:
        """Of these signals alone, shape (N,), in their order."""
        found = copy(self)
        found._take(signals)
        return found

    def _take(self, signals: IntArray) -> None:
        self._by_records = self._by_records[signals]
        for name in (*self._FIELDS, *self._ROWS[:2]):
            setattr(self, name, getattr(self, name).take(signals, axis=-1))
        self._new = [
            (values.take(signals, axis=-1), weight[signals], records)
            for values, weight, records in self._new
        ]

    def mean(self) -> FloatArray:
        """Weighted mean of all blocks in the first way, shape (S,); 0 without any."""
        self.flush()
        weight = self.weight[0, 0]
        found: FloatArray = self.first[0, 0] / np.where(weight > 0, weight, 1.0)
        return found

    def state(self) -> dict[str, Any]:
        """All of it."""
        found: dict[str, Any] = {
            name: pack_small(getattr(self, name)) for name in (*self._FIELDS, *self._ROWS)
        }
        found["new"] = [(pack_small(v), pack_small(w), r) for v, w, r in self._new]
        return found

    @classmethod
    def restore(cls, state: Mapping[str, Any], by_records: BoolArray) -> Scales:
        """From ``state``."""
        found = cls(0, by_records)
        for name in (*cls._FIELDS, *cls._ROWS):
            setattr(found, name, unpack_small(state[name]))
        found._new = [(unpack_small(v), unpack_small(w), float(r)) for v, w, r in state["new"]]
        return found


class SharedScales:
    """``Scales`` of S signals of which most are constant: the same to the last bit, and smaller.

    Signals that have been 0 in all ways, in every block, are one signal to it, and so are those of
    them that were forgotten together. A signal is one of its own once it first differs.

    Args:
        ways: C.
        by_records: As for ``Scales``.
    """

    def __init__(self, ways: int, by_records: BoolArray) -> None:
        self._by_records = by_records
        self._scales = Scales(ways, np.ones(1, dtype=bool))
        self._column = np.zeros(len(by_records), dtype=np.int64)  # of each signal
        self._signal = np.full(1, -1)  # of each column; -1: many
        # A signal that weighs otherwise has nothing in common with others, not even when it is 0.
        other = np.flatnonzero(~by_records)
        if len(other):
            self._column[other] = np.arange(1, len(other) + 1)
            self._signal = np.append(self._signal, other)
            self._scales = Scales(ways, np.append(True, by_records[other]))

    def add(self, values: FloatArray, records: float) -> None:
        """As ``Scales.add``."""
        strays = (values != 0).any(axis=0)
        strays &= self._signal[self._column] < 0
        if strays.any():
            self._open(strays.nonzero()[0])
        held, own = np.zeros((len(values), len(self._signal))), self._signal >= 0
        held[:, own] = values[:, self._signal[own]]
        self._scales.add(held, records)

    def _open(self, signals: IntArray) -> None:
        """Signals of their own."""
        self._scales.append(self._column[signals])
        self._column[signals] = np.arange(len(signals)) + len(self._signal)
        self._signal = np.append(self._signal, signals)

    def forget(self, signals: BoolArray) -> None:
        """As ``Scales.forget``."""
        columns = np.unique(self._column[signals])
        shared = columns[self._signal[columns] < 0]
        self._scales.append(shared)
        for column in shared.tolist():
            self._column[signals & (self._column == column)] = len(self._signal)
            self._signal = np.append(self._signal, -1)
        forgotten = np.zeros(len(self._signal), dtype=bool)
        forgotten[self._column[signals]] = True
        self._scales.forget(forgotten)

    def restart(self, way: int) -> None:
        """As ``Scales.restart``."""
        self._scales.restart(way)

    def flush(self) -> None:
        """As ``Scales.flush``."""
        self._scales.flush()

    def whole(self) -> Scales:
        """Of all signals."""
        return self._scales.select(self._column)

    def state(self) -> dict[str, Any]:
        """All of it."""
        return {
            "scales": self._scales.state(),
            "column": pack_small(self._column),
            "signal": pack_small(self._signal),
        }

    @classmethod
    def restore(cls, state: Mapping[str, Any], by_records: BoolArray) -> SharedScales:
        """From ``state``."""
        found = cls(0, by_records)
        found._column = unpack_small(state["column"])
        found._signal = unpack_small(state["signal"])
        weighs = np.where(found._signal < 0, True, by_records[found._signal])
        found._scales = Scales.restore(state["scales"], weighs)
        return found
