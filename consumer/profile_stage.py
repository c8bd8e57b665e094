"""Decoded records of one input partition to the profiles of its closed windows.

Pure: no I/O and no clock; a function of the settings, the records in offset order and the idle
decisions. How the records come in batches and where a worker restarts changes nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from consumer.admission import Admission
from consumer.batch import NO_TIME, Batch, Group, RecordKey
from consumer.borders import (
    SKIPPED,
    Assigned,
    BorderRule,
    BorderState,
    Clock,
    advance,
    close_through,
)
from consumer.closings import Closing
from consumer.commit_state import FORMAT_VERSION, CommitState, IdleDecision, kept
from consumer.open_windows import OpenWindow, close_all
from consumer.settings import Limits
from sketches.profile import ProfileRules
from sketches.table import IntArray, Table
from sketches.tables import interleave, take


class _Piece(NamedTuple):
    """Records of one key and one window in a batch: their rows in it, and their values."""

    key: RecordKey
    rows: NDArray[np.intp]
    table: Table


def _by_window(group: Group, ends: IntArray) -> list[tuple[int, _Piece]]:
    if (ends == ends[0]).all():
        return [(int(ends[0]), _Piece(*group))]
    pieces = []
    for end in np.unique(ends).tolist():
        which = np.flatnonzero(ends == end)
        if end != SKIPPED:
            piece = _Piece(group.key, group.rows[which], take(group.table, which))
            pieces.append((end, piece))
    return pieces


class PartitionProfiler:
    """Open windows of one input partition, and what to commit.

    Closings wait inside until they are taken. What ``commit_state`` says covers only what has been
    taken, so the order is: ``take``, produce, wait until all is acknowledged, commit.

    Args:
        topic: Input topic.
        partition: Input partition.
        rule: Window, lateness, limit of open windows.
        rules_for: Model -> how its features are profiled.
        offset: First offset that will be read.
        state: From the metadata of the commit; None: the group has none.
        borders: Border settings as configured, for the commit's metadata.
        limits: Models, versions and segments told apart in a window; None: the defaults.

    Raises:
        BorderSettingsChanged: ``state`` was made with other border settings.
    """

    def __init__(
        self,
        topic: str,
        partition: int,
        rule: BorderRule,
        rules_for: Callable[[str], ProfileRules],
        offset: int,
        state: CommitState | None,
        borders: Mapping[str, str | int],
        limits: Limits | None = None,
    ) -> None:
        self.topic = topic
        self.partition = partition
        self._rule = rule
        self._rules_for = rules_for
        self._limits = limits or Limits()
        self._settings = kept(borders)
        self._position = offset
        self._start = offset  # of the next closing
        self._state = BorderState()
        self._pending: IdleDecision | None = None
        if state is not None:
            state.require(offset, borders, topic, partition)
            self._pending = state.pending
            clock = Clock(NO_TIME if state.newest is None else state.newest, state.lag)
            self._state = BorderState(clock=clock)
            if state.closed_through is not None:
                self._state = BorderState(state.closed_through, state.closed_at, clock)
                self._start = state.closed_at
        self._closed_before = self.closed_through  # ``previous`` of the next closing
        self._open: dict[int, OpenWindow] = {}
        self._closings: list[Closing] = []
        self._limited: Counter[str] = Counter()
        self._committable = self._now()
        self.reached(offset)

    @property
    def position(self) -> int:
        """The offset after the last one read."""
        return self._position

    @property
    def closed_through(self) -> int | None:
        """Latest closed border, those of closings not yet taken included; None: none is."""
        return None if self._state.closed == NO_TIME else self._state.closed

    @property
    def closed_at(self) -> int:
        """The offset just after the record that closed it."""
        return self._state.closed_at

    @property
    def newest(self) -> int | None:
        """``max_event_time`` since this process reads the partition; None: no record yet."""
        return None if self._state.moved == NO_TIME else self._state.moved

    @property
    def open_windows(self) -> int:
        """How many windows are open."""
        return len(self._open)

    @property
    def has_closings(self) -> bool:
        """Whether closings wait to be taken."""
        return bool(self._closings)

    @property
    def pending(self) -> IdleDecision | None:
        """An idle decision that was committed before a restart, and whose offset is yet to come."""
        return self._pending

    def add(self, batch: Batch) -> None:
        """Count the records of a batch; it must follow what was added before."""
        size = len(batch.offsets)
        if size and int(batch.offsets[0]) < self._position:
            raise ValueError(
                f"{self.topic}[{self.partition}]: offset {batch.offsets[0]} comes after "
                f"{self._position - 1}"
            )
        self._limited.update(batch.limited)
        cut = size
        if self._pending is not None:
            cut = int(np.searchsorted(batch.offsets, self._pending.at))
        if cut < size and self._pending is not None:
            self._add(_rows(batch, 0, cut))
            self.reached(self._pending.at)
            self._add(_rows(batch, cut, size))
        else:
            self._add(batch)
        self._settle()

    def reached(self, position: int) -> None:
        """The consumer's position moved here, maybe past offsets that hold no record."""
        self._position = max(self._position, position)
        decision = self._pending
        if decision is not None and self._position >= decision.at:
            self._pending = None
            self._act(decision)
        self._settle()

    def take(self) -> list[Closing]:
        """The closings since the last call, in order; to be published before the next commit."""
        taken, self._closings = self._closings, []
        self._settle()
        return taken

    def commit_state(self, decision: IdleDecision | None = None) -> tuple[int, CommitState]:
        """The offset to commit and its metadata, as of what has been taken.

        Args:
            decision: To be committed with it, before ``decide`` acts on it.

        Raises:
            ValueError: Closings wait. One of them may be due to an earlier decision, which has to
                stay in the commit until they have been published.
        """
        offset, state = self._committable
        if decision is None:
            return offset, state
        if self._closings:
            raise ValueError("publish the closings that wait before an idle decision is committed")
        return offset, structs.replace(state, pending=decision)

    def propose_idle(self, position: int) -> IdleDecision | None:
        """What to decide about a partition read to its end at ``position`` and silent since.

        None: no window is open, an idle mark is all there is to say. Also while an earlier decision
        is pending: its offset has not been reached, so this is not the end.
        """
        self.reached(position)
        if not self._open or self._pending is not None or position < self._position:
            return None
        return IdleDecision(self._position, max(self._open))

    def decide(self, decision: IdleDecision) -> None:
        """Act on a decision that has been committed: its windows are closed.

        Raises:
            ValueError: Records were added since it was proposed, or closings wait.
        """
        if decision.at != self._position:
            raise ValueError(f"decided for offset {decision.at}, position is {self._position}")
        # Until the closing has been published, every commit has to carry the decision on.
        self._committable = self.commit_state(decision)
        self._act(decision)

    def drain(self, position: int) -> IdleDecision | None:
        """Close all windows the idle way, where nothing has to be committed before (replay)."""
        decision = self.propose_idle(position)
        if decision is not None:
            self._act(decision)
        return decision

    def _add(self, batch: Batch) -> None:
        if not len(batch.offsets):
            return
        assigned, self._state = advance(
            self._rule, self._state, batch.offsets, batch.timestamps, _times(batch)
        )
        if assigned.limited:
            self._limited["open_windows"] += assigned.limited
        self._count(batch, assigned)
        self._position = int(batch.offsets[-1]) + 1
        for crossing in assigned.crossings:
            self._close(crossing.through, crossing.closed_at)

    def _count(self, batch: Batch, assigned: Assigned) -> None:
        """Put every record into the window that it counts in."""
        ends = assigned.ends
        pieces: dict[int, list[_Piece]] = {}
        firsts = [(int(ends[0]), 0)]
        if (ends == ends[0]).all():
            pieces[int(ends[0])] = [_Piece(g.key, g.rows, g.table) for g in batch.groups]
        else:
            unique = np.unique(ends, return_index=True)
            firsts = list(zip(*(a.tolist() for a in unique), strict=True))
            for group in batch.groups:
                for end, piece in _by_window(group, ends[group.rows]):
                    pieces.setdefault(end, []).append(piece)
        pieces.pop(SKIPPED, None)
        for end, row in firsts:
            if end != SKIPPED:
                self._window(end, row, batch, assigned)
                self._put(self._open[end], pieces.get(end, []), batch, assigned)
        key = RecordKey(batch.reject_model, "", "")
        for reject in batch.rejects:
            end = int(ends[reject.row])
            if end != SKIPPED:
                rows = self._open[end].of(key)
                offset, late = int(batch.offsets[reject.row]), bool(assigned.late[reject.row])
                rows.reject(reject.reason, offset, late=late)

    def _put(
        self, window: OpenWindow, pieces: list[_Piece], batch: Batch, assigned: Assigned
    ) -> None:
        """Count the records of a batch that belong to one window.

        Keys are admitted in the order of their first records in the window, and records that join
        ``other`` stand in the order of their offsets: neither depends on how batches are cut.
        """
        admitted: dict[RecordKey, list[_Piece]] = {}
        for piece in sorted(pieces, key=lambda piece: int(piece.rows[0])):
            key, cut = window.admit(piece.key)
            for limit in cut:
                self._limited[limit] += len(piece.rows)
            admitted.setdefault(key, []).append(piece)
        late, ahead = assigned.late.any(), assigned.ahead.any()
        for key, mine in admitted.items():
            rows, table = mine[0].rows, mine[0].table
            if len(mine) > 1:
                table = interleave([piece.table for piece in mine], [piece.rows for piece in mine])
                rows = np.sort(np.concatenate([piece.rows for piece in mine]))
            window.of(key).add(
                table,
                first=int(batch.offsets[rows[0]]),
                last=int(batch.offsets[rows[-1]]),
                late=int(np.count_nonzero(assigned.late[rows])) if late else 0,
                ahead=int(np.count_nonzero(assigned.ahead[rows])) if ahead else 0,
            )

    def _window(self, end: int, row: int, batch: Batch, assigned: Assigned) -> None:
        """Open the window that ends at ``end`` unless it is; ``row`` is its first in the batch."""
        if end not in self._open:
            self._open[end] = OpenWindow(
                end,
                int(batch.offsets[row]),
                assigned.clock_before(row),
                self._rules_for,
                Admission(self._limits),
            )

    def _act(self, decision: IdleDecision) -> None:
        if self.closed_through is None or decision.through > self._state.closed:
            self._state = close_through(self._state, decision.through, decision.at)
            self._close(decision.through, decision.at, idle=True)

    def _close(self, through: int, closed_at: int, *, idle: bool = False) -> None:
        ends = sorted(end for end in self._open if end <= through)
        profiles = close_all([self._open.pop(end) for end in ends])
        self._closings.append(
            Closing(
                self.topic,
                self.partition,
                self._closed_before,
                through,
                closed_at,
                self._start,
                tuple(profiles),
                dict(sorted(self._limited.items())),
                idle,
            )
        )
        self._closed_before, self._start = through, closed_at
        self._limited.clear()

    def _settle(self) -> None:
        """What is committable moves on, unless closings wait to be published."""
        if not self._closings:
            self._committable = self._now()

    def _now(self) -> tuple[int, CommitState]:
        oldest = min(self._open.values(), key=lambda window: window.first, default=None)
        clock = self._state.clock if oldest is None else oldest.clock
        return self._position if oldest is None else oldest.first, CommitState(
            FORMAT_VERSION,
            self.closed_through,
            self._state.closed_at,
            self._settings,
            None if clock.newest == NO_TIME else clock.newest,
            clock.lag,
            self._pending,
        )


def _times(batch: Batch) -> IntArray:
    """Event times; a record that could not be read has none."""
    if not batch.rejects:
        return batch.times
    times = batch.times.copy()
    times[[reject.row for reject in batch.rejects]] = NO_TIME
    return times


def _rows(batch: Batch, start: int, stop: int) -> Batch:
    """The records at positions ``[start, stop)`` of a batch."""
    groups = []
    for group in batch.groups:
        low, high = np.searchsorted(group.rows, [start, stop]).tolist()
        if low < high:
            table = take(group.table, slice(low, high))
            groups.append(Group(group.key, group.rows[low:high] - start, table))
    return Batch(
        batch.offsets[start:stop],
        batch.timestamps[start:stop],
        batch.times[start:stop],
        tuple(groups),
        tuple(r._replace(row=r.row - start) for r in batch.rejects if start <= r.row < stop),
        batch.reject_model,
        {},
    )
