"""Gross faults while a baseline is being learned, and before there is one.

A block is compared with those before it, so only what no ordinary day does is told, each once:

- ``kind``: values of a JSON type that the feature had never had;
- ``missing``: a feature that was always there is null in all records of two blocks;
- ``stuck``: a feature whose values varied has one value in two blocks;
- ``magnitude``: sizes jump by a factor of five or more, far beyond any jump before, all quantiles
  alike, for two blocks.

What is null or stuck while traffic is low is not told: that may be how nights are. In the first day
of a stream it is a warning at most, since no night has been seen yet.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np

from .blocks import DAY, Block
from .detection import Change, Severity
from .profile import KINDS, Profile
from .reading import QUANTILES, most_frequent, typical_sizes
from .reference import places
from .signals import JUMP, RULES
from .state import pack_all, unpack_all
from .table import BoolArray, FloatArray, IntArray, Kind

DETECTOR: Final = "FirstLook"
FAULTS: Final = ("kind", "missing", "stuck", "magnitude")

_BEFORE: Final = (2, 3, 5, 2)  # blocks of a feature that it takes to speak of each fault
_LASTS: Final = np.array([1, 2, 2, 2])  # blocks that it lasts before it is told
_LEAST: Final = 50  # values of a block that say something
_SEEN: Final = 200  # values before that a new JSON type is new to
_PART: Final = 0.2  # of the values that have it
_ALWAYS: Final = 0.99  # share of the records in which what is always there was
_VARIED: Final = 0.7  # largest share of one value before that is no constant
_LOW: Final = 0.6  # of the usual records per second
_ALIKE: Final = math.log(2.5)
_STRAYS: Final = 3.0  # times the largest jump before
_OF_JUMP: Final = 0.4  # by which quantiles of few values may differ
_NO_WIDTH: Final = -1000.0
_VALUE_KINDS: Final = [Kind.NUMBER, Kind.TEXT, Kind.BOOLEAN, Kind.OTHER]
_KEPT: Final = 8  # sets of names whose places are remembered
_WEIGHT: Final = 0.25  # of a new block in the usual sizes


class Fault(NamedTuple):
    """One that has just become sure, or is told already."""

    feature: str
    signal: str
    before: float
    after: float
    onset: int


_OF_FAULTS: Final = ("runs", "onset", "told")  # of each fault, blocks and times


class FirstLook:
    """What one stream has shown so far, feature by feature."""

    _ARRAYS: Final = ("kinds", "blocks", "records", "frequent", "sizes", "strays", *_OF_FAULTS)

    def __init__(self) -> None:
        self.names: tuple[str, ...] = ()
        self.kinds = np.zeros((0, KINDS))
        self.blocks = np.zeros((0, len(FAULTS)))  # that a fault can be compared with
        self.records = np.zeros(0)  # since the feature came
        self.frequent = np.zeros(0)  # largest share of one value
        self.sizes = np.zeros((0, len(QUANTILES)))  # usual, logarithms; NaN: none yet
        self.strays = np.zeros(0)  # farthest that the middle size was from the usual one
        self.runs = np.zeros((0, len(FAULTS)))  # blocks that each fault has lasted
        self.onset = np.zeros((0, len(FAULTS)))
        self.told = np.zeros((0, len(FAULTS)))  # 0 never, 1 going on, 2 over
        self.start: int | None = None
        self.seconds = 0.0
        self.whole = 0  # records
        self.begun: list[Fault] = []
        self.over: list[Fault] = []
        self._known_places: dict[tuple[str, ...], IntArray] = {}

    def add(self, block: Block, profile: Profile) -> None:
        """Look at a block: ``begun`` and ``over`` say what it has shown."""
        if not set(profile.names) <= set(self.names):
            self._make_room(tuple(sorted({*self.names, *profile.names})))
        if self.start is None:
            self.start = block.start
        kinds = np.zeros((len(self.names), KINDS))
        kinds[self._places(profile.names)] = profile.kinds
        present = kinds[:, Kind.NUMBER :].sum(axis=1)
        frequent, sizes = self._of_values(profile)
        if self._is_quiet(kinds, present, frequent, sizes):
            self.begun, self.over = [], []
            self.runs[:] = 0.0
            faulty = np.zeros(self.runs.shape, dtype=bool)
        else:
            faulty = self._judge(block, profile.records, kinds, present, frequent, sizes)
        self._learn(profile.records, kinds, present, frequent, sizes, faulty)
        self.seconds += (block.end - block.start) / 1e6
        self.whole += profile.records

    def _places(self, names: tuple[str, ...]) -> IntArray:
        """Where these stand among all names."""
        known = self._known_places.get(names)
        if known is None or len(self._known_places) > _KEPT:
            self._known_places = {}
            known = self._known_places[names] = places(names, self.names)
        return known

    def _is_quiet(
        self, kinds: FloatArray, present: FloatArray, frequent: FloatArray, sizes: FloatArray
    ) -> bool:
        """Whether no feature can show a fault, begin or end one; cheaper than to judge them."""
        if (self.told == 1).any():
            return False
        if (self.blocks < _BEFORE).all():  # there is nothing to compare with
            return True
        if (present == 0).any() or (frequent >= 1.0).any():
            return False
        fresh = (self.kinds == 0) & (kinds > 0)
        if fresh[:, _VALUE_KINDS].any():
            return False
        middle = len(QUANTILES) // 2
        return not (np.abs(sizes[:, middle] - self.sizes[:, middle]) > JUMP).any()

    def _judge(
        self,
        block: Block,
        records: int,
        kinds: FloatArray,
        present: FloatArray,
        frequent: FloatArray,
        sizes: FloatArray,
    ) -> BoolArray:
        """Which fault each feature shows, shape (A, 4); sets ``begun`` and ``over``."""
        faulty, after = self._faulty(records, kinds, present, frequent, sizes)
        low = self._is_low(block, records)
        if low:
            faulty[:, 1:3] &= np.asarray(self.told[:, 1:3] == 1)
        begun: BoolArray = faulty & np.asarray(self.runs == 0)
        self.onset[begun] = block.start
        self.runs = np.where(faulty, self.runs + 1, 0)
        sure: BoolArray = faulty & np.asarray((self.runs >= _LASTS) & (self.told == 0))
        over: BoolArray = ~faulty & np.asarray(self.told == 1) & (present > 0)[:, None]
        before = self._usual()
        self.told[sure], self.told[over] = 1, 2
        self.begun = self._faults(sure, before, after)
        self.over = self._faults(over, before, after)
        return faulty

    def _faulty(
        self,
        records: int,
        kinds: FloatArray,
        present: FloatArray,
        frequent: FloatArray,
        sizes: FloatArray,
    ) -> tuple[BoolArray, FloatArray]:
        """Which fault each feature shows, and how far it goes, both of the shape (A, 4)."""
        ready = np.asarray(self.blocks >= _BEFORE)
        seen = self.kinds[:, Kind.NUMBER :].sum(axis=1)
        fresh = np.where(self.kinds == 0, kinds, 0.0)
        fresh[:, [Kind.ABSENT, Kind.NULL, Kind.NON_FINITE]] = 0.0
        part = fresh.sum(axis=1) / np.maximum(present, 1)
        foreign = (seen >= _SEEN) & (part >= _PART) & (present >= 10)
        always = seen >= _ALWAYS * np.maximum(self.records, 1)
        gone = (present == 0) & (records >= _LEAST) & always
        same = (frequent >= 1.0) & (self.frequent <= _VARIED)
        ratio = sizes - self.sizes
        known: BoolArray = np.asarray(np.isfinite(ratio).all(axis=1))
        ratio = np.where(known[:, None], ratio, 0.0)
        middle = ratio[:, len(QUANTILES) // 2]
        alike = np.ptp(ratio, axis=1) < np.maximum(_ALIKE, _OF_JUMP * np.abs(middle))
        jump = known & (np.abs(middle) > np.maximum(JUMP, _STRAYS * self.strays)) & alike
        # A mean that moves does not stretch what lies between the values, nor does a value that all
        # records of a block share, the weather's.
        width = _width(self.sizes)
        jump &= (np.abs(_width(sizes) - width - middle) < _ALIKE) & (width != _NO_WIDTH)
        faulty: BoolArray = np.stack([foreign, gone, same, jump], axis=1) & ready
        # A JSON type is new only once, but a change goes on while most values have it.
        faulty[:, 0] |= (self.told[:, 0] == 1) & (present == 0)
        after = [part, np.ones(len(part)), frequent, np.exp(sizes[:, len(QUANTILES) // 2])]
        return faulty, np.stack(after, axis=1)

    def _of_values(self, profile: Profile) -> tuple[FloatArray, FloatArray]:
        """Share of the most frequent value and logarithms of the quantiles of sizes; NaN: few."""
        frequent = np.full(len(self.names), np.nan)
        sizes = np.full((len(self.names), len(QUANTILES)), np.nan)
        held = profile.numbers
        many = np.flatnonzero(held.count >= _LEAST)
        if len(many):
            at = self._places(held.names)[many]
            wide = np.full(len(held.names), np.inf)
            same = most_frequent(held.histogram, held.count, wide)
            # A bin that holds all may hold values that differ.
            varied = (held.minimum != held.maximum) & (same == held.count)
            frequent[at] = np.where(varied, 0.99, same / np.maximum(held.count, 1))[many]
            found, values = typical_sizes(held.histogram)
            found[values < _LEAST] = np.nan
            sizes[at] = np.log(found)[many]
        for name, text in profile.texts.items():
            if text.total >= _LEAST:
                at_text = self.names.index(name)
                share = max(text.counts.values(), default=0) / text.total
                frequent[at_text] = np.fmax(frequent[at_text], share)
        return frequent, sizes

    def _is_low(self, block: Block, records: int) -> bool:
        seconds = max((block.end - block.start) / 1e6, 1e-6)
        return records / seconds < _LOW * self.whole / max(self.seconds, 1e-6)

    def _learn(
        self,
        records: int,
        kinds: FloatArray,
        present: FloatArray,
        frequent: FloatArray,
        sizes: FloatArray,
        faulty: BoolArray,
    ) -> None:
        """What is faulty is not usual."""
        here = (self.kinds + kinds).any(axis=1)
        gone, same, jump = faulty[:, 1:].T
        self.records += np.where(here & ~gone, records, 0)
        self.kinds += np.where(faulty[:, :1], 0.0, kinds)
        fine = np.isfinite(frequent) & ~same
        self.frequent = np.where(fine, np.maximum(self.frequent, frequent), self.frequent)
        new = np.isfinite(sizes).all(axis=1) & ~jump
        first = new & ~np.isfinite(self.sizes).all(axis=1)
        middle = len(QUANTILES) // 2
        stray = np.abs(sizes[:, middle] - self.sizes[:, middle])
        self.strays = np.where(new & ~first, np.fmax(self.strays, stray), self.strays)
        step = np.where(new[:, None], sizes - np.where(first[:, None], sizes, self.sizes), 0.0)
        self.sizes = np.where(first[:, None], sizes, self.sizes + _WEIGHT * step)
        for column, counted in enumerate((present > 0, present > 0, fine, new)):
            self.blocks[:, column] += counted

    def _usual(self) -> FloatArray:
        """What was usual of each fault, shape (A, 4)."""
        seen = self.kinds[:, Kind.NUMBER :].sum(axis=1)
        missing = 1 - seen / np.maximum(self.records, 1)
        middle = np.exp(self.sizes[:, len(QUANTILES) // 2])
        columns = (np.zeros(len(seen)), np.maximum(missing, 0.0), self.frequent, middle)
        return np.stack(columns, axis=1)

    def _faults(self, some: BoolArray, before: FloatArray, after: FloatArray) -> list[Fault]:
        return [
            Fault(
                self.names[row],
                FAULTS[column],
                float(before[row, column]),
                float(after[row, column]),
                int(self.onset[row, column]),
            )
            for row, column in np.argwhere(some).tolist()
        ]

    def going_on(self) -> list[tuple[str, str]]:
        """Feature and signal of what has been told and is not over."""
        return [
            (self.names[row], FAULTS[column])
            for row, column in np.argwhere(self.told == 1).tolist()
        ]

    def change(self, fault: Fault, parts: tuple[str, str], block: Block, cap: Severity) -> Change:
        """A fault as a change of a version and segment; its baseline has no id."""
        rule = RULES[fault.signal]
        if rule.effect_unit == "ratio":
            effect, gate = abs(math.log(fault.after) - math.log(fault.before)), JUMP
        else:
            gate = 100 * rule.warning[0]
            effect = 100 * abs(fault.after - fault.before)
        young = self.start is None or block.end - self.start < DAY
        severity = cap
        if young and fault.signal in {"missing", "stuck"}:
            severity = "warning"
        return Change(
            version=parts[0],
            segment=parts[1],
            feature=fault.feature,
            signal=fault.signal,
            detector=DETECTOR,
            direction="up" if fault.after >= fault.before else "down",
            severity=severity,
            before=fault.before,
            after=fault.after,
            unit=rule.unit,
            effect=effect,
            effect_unit=rule.effect_unit,
            score=effect / gate,
            sample=block.messages,
            baseline_sample=self.whole,
            onset=fault.onset,
            detected=block.end,
            baseline="",
        )

    def _make_room(self, names: tuple[str, ...]) -> None:
        place = [names.index(name) for name in self.names]
        for name in self._ARRAYS:
            old = getattr(self, name)
            lacking = np.nan if name == "sizes" else 0.0
            new = np.full((len(names), *old.shape[1:]), lacking)
            new[place] = old
            setattr(self, name, new)
        self.names, self._known_places = names, {}

    def state(self) -> dict[str, Any]:
        """All of it, as plain values."""
        return {
            "names": list(self.names),
            "start": self.start,
            "seconds": self.seconds,
            "whole": self.whole,
            "arrays": pack_all({name: getattr(self, name) for name in self._ARRAYS}),
        }

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> FirstLook:
        """From ``state``."""
        found = cls()
        found.names, found.start = tuple(state["names"]), state["start"]
        found.seconds, found.whole = state["seconds"], state["whole"]
        for name, values in unpack_all(state["arrays"]).items():
            setattr(found, name, values)
        return found


def _width(sizes: FloatArray) -> FloatArray:
    """Logarithm of the distance of the outer quantiles of sizes that are given as logarithms."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        apart = np.exp(sizes[:, -1]) - np.exp(sizes[:, 0])
        found: FloatArray = np.log(apart)
    return np.where(np.isfinite(found), found, _NO_WIDTH)
