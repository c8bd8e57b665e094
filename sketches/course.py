"""How one change went on: whether a slow rise describes it surely better than a step does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec
import numpy as np

from .rates import HOUR
from .table import BoolArray, FloatArray, IntArray

_PARTS: Final = 64  # of a course, at most
_FINE: Final = (8, 4)  # a part is no longer than so much of what came after it, where that must be
_FEWEST: Final = 6  # parts that tell a rise from a step
_BLOCKS: Final = 4  # that a slow rise takes, at least
_SURE: Final = 12.0  # twice the logarithm of the likelihood ratio of a rise against a step,
_SHARE: Final = 0.04  # and of all that the rise explains
_AS_GOOD: Final = 4.0  # the same of onsets that explain as much, 95 %
_INEXACT: Final = 1e-6  # of what rises explain by running sums


Part = tuple[int, int, int, float, float]


class Rise(NamedTuple):
    """When a slow change began (estimate), and when it may have begun at the earliest."""

    onset: int
    since: int


class Course(msgspec.Struct, array_like=True):
    """How one signal went, as some parts of its time, the older the longer.

    Attributes:
        parts: (start, end, blocks, weight, weight times deviation) of each, in order of time;
            microseconds.
    """

    parts: list[Part] = []

    def add(self, start: int, end: int, blocks: int, weight: float, total: float) -> None:
        """Go on by a part; one that weighs nothing says nothing."""
        if weight <= 0:
            return
        self.parts.append((start, end, blocks, weight, total))
        for fine in _FINE:
            if len(self.parts) > _PARTS:
                self.parts = _coarser(self.parts, fine)

    def rise(self, white: float, long_run: float) -> Rise | None:
        """How a slow change went, where it surely was no step; else None.

        A step may lie within a part, and two explain no more either. The rise may be over.

        Args:
            white: Variance of a record's part in the signal.
            long_run: What a block adds to the variance of a sum of blocks.
        """
        if len(self.parts) < _FEWEST:
            return None
        start, end, blocks, weight, total = (
            np.array(each) for each in zip(*self.parts, strict=True)
        )
        sure = 1 / (white / weight + long_run / blocks)
        value = total / weight
        length = float(np.median((end - start) / blocks))
        step, steps = _of_steps(sure, value)
        first, last = np.triu_indices(len(start), 2)
        long = end[last] - start[first] >= _BLOCKS * length
        least = max(step + _SURE, step / (1 - _SHARE), steps)
        likely = _likely(start, end, sure, value, first[long], last[long], least)
        first, last = first[long][likely], last[long][likely]
        if not len(first):
            return None
        middle = (start + end) / 2
        risen = (middle - start[first, None]) / (end[last] - start[first])[:, None]
        shape = np.clip(risen, 0.0, 1.0)
        both = (shape * (sure * value)).sum(axis=1)
        gain = both**2 / np.maximum((shape**2 * sure).sum(axis=1), 1e-300)
        best = int(np.argmax(gain))
        if gain[best] < least:
            return None
        near = first[gain >= gain[best] - _AS_GOOD]
        return Rise(int(start[first[best]]), int(start[near.min()]))


def _coarser(parts: Sequence[Part], fine: int) -> list[Part]:
    """Neighbours joined where that leaves the older ones fine enough."""
    found, newer = [parts[-1]], 0
    for one in reversed(parts[:-1]):
        last = found[-1]
        if one[2] + last[2] <= newer / fine:
            found[-1] = (one[0], last[1], one[2] + last[2], one[3] + last[3], one[4] + last[4])
        else:
            newer += last[2]
            found.append(one)
    return found[::-1]


def _likely(
    start: IntArray,
    end: IntArray,
    sure: FloatArray,
    value: FloatArray,
    first: IntArray,
    last: IntArray,
    least: float,
) -> BoolArray:
    """Which rises may explain about as much as the best one, if that may be ``least``.

    What each explains follows from running sums, in a twentieth of the time and all but exactly.
    """
    if not len(first) or (start[1:] < end[:-1]).any():
        return np.ones(len(first), dtype=bool)
    # Times and sums from the end on: what is recent is short, and must not drown in the rest.
    length = float(end[-1] - start[0])
    begin, until = (end[-1] - start) / length, (end[-1] - end) / length
    middle = (begin + until) / 2
    powers = np.stack([sure, middle * sure, middle**2 * sure, sure * value, middle * sure * value])
    since = np.concatenate([np.cumsum(powers[:, ::-1], axis=1)[:, ::-1], np.zeros((5, 1))], axis=1)
    after = since[:, last + 1]
    within = since[:, first] - after
    onset = begin[first]
    span = onset - until[last]
    both = (onset * within[3] - within[4]) / span + after[3]
    weight = (onset**2 * within[0] - 2 * onset * within[1] + within[2]) / span**2 + after[0]
    gain = both**2 / np.maximum(weight, 1e-300)
    most = float(gain.max())
    slack = _INEXACT * (most + 1)
    if most < least - slack:
        return np.zeros(len(first), dtype=bool)
    found: BoolArray = gain >= most - _AS_GOOD - slack
    return found


def _of_steps(sure: FloatArray, value: FloatArray) -> tuple[float, float]:
    """What the best step explains, in a part that may have any value, and what two steps do."""
    weight = np.cumsum(sure[::-1])[::-1]
    total = np.cumsum((sure * value)[::-1])[::-1]
    after = total**2 / weight
    within = sure * value**2
    first, second = np.triu_indices(len(value), 1)
    between = (total[first] - total[second]) ** 2 / (weight[first] - weight[second])
    one = max(after.max(), (within[:-1] + after[1:]).max())
    return float(one), float((between + after[second]).max())


def course_of(
    hours: Sequence[tuple[int, float, float]], blocks: Sequence[tuple[int, float, float]], now: int
) -> Course:
    """The course of a signal so far.

    Args:
        hours: (start, records, records times deviation) of whole hours, ascending.
        blocks: (start, records, deviation) of the last blocks; of hours only those before count.
        now: End of the last block, microseconds.
    """
    found = Course()
    usual = sum(records for _, records, _ in blocks) / max(len(blocks), 1)
    for start, records, total in hours:
        if blocks and start + HOUR <= blocks[0][0]:
            found.add(start, start + HOUR, max(round(records / usual), 1), records, total)
    ends = [*(start for start, _, _ in blocks[1:]), now]
    for (start, records, away), end in zip(blocks, ends, strict=False):
        found.add(start, end, 1, records, records * away)
    return found
