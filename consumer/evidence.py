"""Which offsets of the input hold the records of a stretch of event time, for one model.

The newest windows are kept one by one, older ones two, four, eight ... together: for any stretch
the ranges found hold all of its records, and begin at most about 1/16 of its age too early. That
takes 16 spans per power of two of time; never more than ``SPANS * LEVELS`` are kept.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import msgspec

SPANS = 16  # of one level, at most
LEVELS = 16  # 2^20 windows of 10 s are four months; the oldest are forgotten then


class OffsetRange(NamedTuple):
    """Offsets ``[start, stop)`` of one input partition."""

    partition: int
    start: int
    stop: int


class Span(msgspec.Struct, array_like=True):
    """One or more windows: ``(start, end]`` in event time, input partition -> [first, last]."""

    start: int
    end: int
    offsets: dict[int, tuple[int, int]]


class Evidence(msgspec.Struct, array_like=True):
    """Offset ranges of one model by event time, the finest level first, each in order of time."""

    levels: list[list[Span]] = []

    def add(self, start: int, end: int, offsets: Iterable[tuple[int, int, int]]) -> None:
        """Add a window later than all before.

        Args:
            start: Its start, microseconds.
            end: Its end.
            offsets: (input partition, first offset, last offset) of its profiles; negative first
                offsets are not known, and left out.
        """
        span = Span(start, end, {})
        for partition, first, last in offsets:
            if first >= 0:
                _join(span.offsets, partition, (first, last))
        if not self.levels:
            self.levels.append([])
        self.levels[0].append(span)
        level = 0
        while len(self.levels[level]) > SPANS:
            old, new = self.levels[level][:2]
            del self.levels[level][:2]
            level += 1
            if level == LEVELS:
                return
            if level == len(self.levels):
                self.levels.append([])
            for partition, firstlast in new.offsets.items():
                _join(old.offsets, partition, firstlast)
            self.levels[level].append(Span(old.start, new.end, old.offsets))

    def ranges(self, onset: int, detected: int) -> tuple[OffsetRange, ...]:
        """The offsets that hold this model's records of ``[onset, detected)``, by partition."""
        found: dict[int, tuple[int, int]] = {}
        for level in self.levels:
            for span in reversed(level):
                if span.end <= onset:
                    break
                if span.start < detected:
                    for partition, firstlast in span.offsets.items():
                        _join(found, partition, firstlast)
        return tuple(OffsetRange(p, first, last + 1) for p, (first, last) in sorted(found.items()))


def _join(offsets: dict[int, tuple[int, int]], partition: int, more: tuple[int, int]) -> None:
    known = offsets.get(partition)
    offsets[partition] = more if known is None else (min(known[0], more[0]), max(known[1], more[1]))
