"""Which window each record of an input partition counts in, and which records close windows.

Everything here is a function of the partition's records in offset order. Batch cuts do not matter,
and neither does a restart: what the rule needs to know of the records before the committed offset
is ``closed``, ``closed_at`` and the ``Clock``. The running maxima ``moved`` and ``top`` start anew:
a border that they reached before the commit is at or before ``closed``, so only records after it
can reach a later one.

Whose clock places a record, and how far it moves the watermark:

- A record with an event time: that time, which moves ``max_event_time``.
- A record without one (unreadable, or the field is missing): its broker timestamp, likewise. In a
  backfill the broker's clock is days ahead of the data, and one such record would close all that is
  still to come; so where the newest event time is more than 5 min behind the broker timestamp of
  the record that last had one, the timestamp is put back by as much.
- A record more than 5 min ahead of its broker timestamp: as one without an event time, but it moves
  the watermark only to 5 min before that. It has no say while others move it, and where all records
  are ahead (local time written as UTC) windows still close.

So at most ``(lateness + 5 min) / window + 2`` windows are open. Where that is more than
``open_windows``, the watermark keeps to the latest window within that many, as if the lateness were
shorter: what comes for an earlier one is late.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from consumer.batch import NO_TIME
from sketches.table import BoolArray, IntArray

AHEAD = 300_000_000  # microseconds; event times further ahead of the broker's are not believed
SKIPPED = NO_TIME  # end of the window of a record that has been counted before a restart
_FAR = 2**60  # times are cut to +-36,500 years, so that sums of them fit 64 bits


class BorderRule(NamedTuple):
    """What decides which record belongs where. Times in microseconds."""

    window: int
    lateness: int
    open_windows: int = 1000


class Clock(NamedTuple):
    """What is known of a partition's event time from the records so far.

    Attributes:
        newest: Latest event time believed; ``NO_TIME``: none yet.
        lag: Broker timestamp of the last record with one, minus ``newest``; microseconds.
    """

    newest: int = NO_TIME
    lag: int = 0


class BorderState(NamedTuple):
    """What the records so far have done.

    Attributes:
        closed: Every window that ends at or before it is closed; ``NO_TIME``: none is.
        closed_at: The offset just after the record that closed it.
        clock: Of the records so far.
        moved: ``max_event_time``; ``NO_TIME`` at the start and after a restart.
        top: Latest time that a record was placed at, likewise.
    """

    closed: int = NO_TIME
    closed_at: int = 0
    clock: Clock = Clock()
    moved: int = NO_TIME
    top: int = NO_TIME


class Crossing(NamedTuple):
    """A record that closes every window that ends at or before ``through``."""

    through: int
    closed_at: int


@dataclass(frozen=True, slots=True)
class Assigned:
    """Where n records count, in offset order.

    Attributes:
        ends: Shape (n,), end of the window that each counts in; ``SKIPPED``: counted already.
        late: Shape (n,), it is a later window than the record's own.
        ahead: Shape (n,), its event time is not believed.
        newest: Shape (n + 1,), ``Clock.newest`` before each record and after the last.
        lags: Shape (n + 1,), ``Clock.lag`` likewise.
        crossings: In order.
        limited: Of these, how often ``open_windows`` was the reason.
    """

    ends: IntArray
    late: BoolArray
    ahead: BoolArray
    newest: IntArray
    lags: IntArray
    crossings: tuple[Crossing, ...]
    limited: int

    def clock_before(self, row: int) -> Clock:
        """What was known before a record."""
        return Clock(int(self.newest[row]), int(self.lags[row]))


def advance(
    rule: BorderRule,
    state: BorderState,
    offsets: IntArray,
    timestamps: IntArray,
    times: IntArray,
) -> tuple[Assigned, BorderState]:
    """Place records and find the borders that they pass.

    Args:
        rule: Window, lateness, limit.
        state: After the records before.
        offsets: Shape (n,), ascending, n >= 1.
        timestamps: Shape (n,), the broker's or producer's, microseconds; negative: unknown.
        times: Shape (n,), event times, microseconds; ``NO_TIME`` where there is none.
    """
    placed, moves, ahead, newest, lags = _placed(state.clock, timestamps, times)
    highest = np.maximum.accumulate(moves)
    moved = np.maximum(highest, state.moved)
    top = np.maximum(highest if placed is moves else np.maximum.accumulate(placed), state.top)
    closed, crossings, limited = _borders(rule, state.closed, offsets, moved, top)
    own = _floor(rule, placed) + rule.window
    late = own <= closed
    ends = np.where(late, (closed // rule.window + 1) * rule.window, own) if late.any() else own
    if offsets[0] < state.closed_at:
        # Only after a restart: what was in a window that is closed by now was published then.
        counted = (own <= state.closed) & (offsets < state.closed_at)
        ends, late, ahead = np.where(counted, SKIPPED, ends), late & ~counted, ahead & ~counted
    assigned = Assigned(ends, late, ahead, newest, lags, crossings, limited)
    last = crossings[-1] if crossings else Crossing(state.closed, state.closed_at)
    after = BorderState(
        last.through,
        last.closed_at,
        assigned.clock_before(len(offsets)),
        int(moved[-1]),
        int(top[-1]),
    )
    return assigned, after


def close_through(state: BorderState, through: int, at: int) -> BorderState:
    """The state after an idle decision was acted upon; it must be for a later border."""
    return state._replace(closed=through, closed_at=at)


def _placed(
    clock: Clock, timestamps: IntArray, times: IntArray
) -> tuple[IntArray, IntArray, BoolArray, IntArray, IntArray]:
    """Times at which records count, times that they move the watermark to, clock-ahead, clocks."""
    low, high = int(times.min()), int(times.max())
    earliest, latest = int(timestamps.min()), int(timestamps.max())
    newest = np.empty(len(times) + 1, dtype=np.int64)
    lags = np.empty(len(times) + 1, dtype=np.int64)
    newest[0], lags[0] = clock
    within = min(low, earliest) >= -_FAR and max(high, latest) <= _FAR
    if within and high <= earliest + AHEAD:
        # All are believed, without looking at each.
        np.maximum(np.maximum.accumulate(times), clock.newest, out=newest[1:])
        np.subtract(timestamps, newest[1:], out=lags[1:])
        return times, times, np.zeros(len(times), np.bool_), newest, lags
    stamps = np.clip(timestamps, -_FAR, _FAR)
    timed = times != NO_TIME
    times = np.clip(times, -_FAR, _FAR)
    ahead = timed & (times > stamps + AHEAD) & (stamps >= 0)
    believed = timed & ~ahead
    newest[1:] = np.where(believed, times, NO_TIME)
    newest = np.maximum.accumulate(newest)
    last = np.maximum.accumulate(np.where(believed, np.arange(1, len(times) + 1), 0))
    lags[1:] = stamps - np.where(newest[1:] == NO_TIME, 0, newest[1:])
    lags = lags[np.concatenate([[0], last])]
    brokers = stamps - np.where(lags[1:] > AHEAD, lags[1:], 0)
    placed = np.where(believed, times, brokers)
    return placed, np.where(ahead, brokers - AHEAD, placed), ahead, newest, lags


def _borders(
    rule: BorderRule, closed: int, offsets: IntArray, moved: IntArray, top: IntArray
) -> tuple[IntArray | int, tuple[Crossing, ...], int]:
    """What is closed before each record, the crossings, and how many of them the limit made."""

    def border(moved: IntArray, top: IntArray) -> tuple[IntArray, IntArray]:
        watermark = _floor(rule, moved - rule.lateness)
        bound = _floor(rule, top) + (1 - rule.open_windows) * rule.window
        return watermark, np.maximum(watermark, bound)

    if border(moved[-1:], top[-1:])[1][0] <= closed:  # both only grow: none was passed
        return closed, (), 0
    watermark, passed = border(moved, top)
    after = np.maximum(passed, closed)
    before = np.empty_like(after)
    before[0], before[1:] = closed, after[:-1]
    rows: NDArray[np.intp] = np.flatnonzero(after > before)
    crossings = tuple(
        Crossing(through, offset + 1)
        for through, offset in zip(after[rows].tolist(), offsets[rows].tolist(), strict=True)
    )
    return before, crossings, int(np.count_nonzero(passed[rows] > watermark[rows]))


def _floor(rule: BorderRule, times: IntArray) -> IntArray:
    return times // rule.window * rule.window
