"""One owned input partition: bytes to records of the log, and what may be committed."""

from __future__ import annotations

import logging
import time
from functools import cache, partial
from typing import NamedTuple

from consumer import idleness, logs
from consumer.batch import Decoder, RawBatch
from consumer.borders import BorderRule
from consumer.closings import Closing, Place, State, combine, log_records, mark_records
from consumer.commit_state import IdleDecision
from consumer.idleness import Due, Sight
from consumer.log import LogRecord, Lost, WatermarkRecord
from consumer.profile_stage import PartitionProfiler
from consumer.rejects import RejectMessage, reject_message
from consumer.rules import profile_rules_for
from consumer.settings import Settings
from consumer.start import Start

ALIGN_WITHIN = 10 * 60 * 1_000_000  # event time that a partition may be ahead of the slowest one
ALIGN_WINDOWS = 200  # or so many windows, if that is longer: pausing throws away what was fetched
_MICROSECONDS = 1_000_000
_BEGINNING = -(2**63)

Produced = tuple[int, bytes, LogRecord]  # partition of the log, key, record


class Published(NamedTuple):
    """Records for the log: the profiles first, the watermarks once those are acknowledged."""

    profiles: list[Produced]
    watermarks: list[Produced]


class InputPartition:
    """Profiler and silence of one partition of an input topic.

    Args:
        settings: Of this process.
        topic: Input topic; an input of the settings reads it.
        partition: Its partition.
        start: Where reading begins.
        decode: The decoder of its topic, which partitions share.

    Raises:
        BorderSettingsChanged: Open windows were cut by other settings.
    """

    def __init__(
        self,
        settings: Settings,
        topic: str,
        partition: int,
        start: Start,
        decode: Decoder,
    ) -> None:
        one = settings.input_for(topic)
        if one is None:
            raise ValueError(f"no input of the configuration reads {topic}")
        self.topic, self.partition = topic, partition
        self.paused = False
        self.drained = False
        self.moved = False  # there is something to commit
        self.fresh = start.fresh
        self._input = one
        self._settings = settings
        self._decode = decode
        self._profiler = PartitionProfiler(
            topic,
            partition,
            BorderRule(one.window, one.lateness, settings.limits.open_windows),
            cache(partial(profile_rules_for, settings)),
            start.offset,
            start.state,
            settings.border_settings(one),
            settings.limits,
        )
        self._limits = idleness.Limits(
            one.idle_after / _MICROSECONDS, one.stall_limit / _MICROSECONDS
        )
        self._quiet = idleness.begin(time.monotonic(), self._sight(None))
        self._when_closed: idleness.Quiet | None = None
        self._mark: State | None = "active" if start.lost else None
        self._lost = start.lost
        self._rejects: list[RejectMessage] = []

    @property
    def position(self) -> int:
        """Offset that is read next."""
        return self._profiler.position

    def feed(self, raw: RawBatch) -> None:
        """Decode and count what was read."""
        if int(raw.offsets[0]) < self._profiler.position:
            return  # fetched before a seek
        batch = self._decode(raw)
        self._profiler.add(batch)
        with_bytes = self._settings.rejects_include_bytes
        self._rejects += [reject_message(raw, each, with_bytes) for each in batch.rejects]
        self.moved = True
        self.drained = False

    def reached(self, position: int) -> None:
        """The consumer stands here: offsets before may hold no record (transaction markers)."""
        if position > self._profiler.position:
            self._profiler.reached(position)
            self.moved = True

    def pass_by(self, lost: Lost) -> None:
        """These cannot be read: reading goes on behind them, and the log is told."""
        self._lost = (*self._lost, lost)
        self._mark = self._mark or "active"
        self.reached(lost.stop)

    # --- silence ---------------------------------------------------------------------------------

    def _sight(self, end: int | None) -> Sight:
        profiler = self._profiler
        return Sight(profiler.position, profiler.newest, end, self.paused)

    def needs_end(self, now: float) -> bool:
        """Whether the broker has to be asked where the partition ends before ``look``."""
        return idleness.is_due(self._quiet, now, self.position, self._limits)

    def look(self, now: float, end: int | None) -> IdleDecision | None:
        """See whether it is silent; an idle decision that has to be committed, then acted upon."""
        sight, seen = self._sight(end), self._quiet.sight
        if end is None and sight == seen._replace(high=None):
            return None  # nothing is known that the last look did not tell
        quiet, due = idleness.look(self._quiet, now, sight, self._limits)
        if due is Due.CLOSE:
            decision = self._profiler.propose_idle(self.position)
            if decision is not None:
                # It is idle once the decision is committed; until then it is proposed again.
                self._when_closed = quiet
                self._quiet = self._quiet._replace(looked_at=now)
                return decision
        self._quiet = quiet
        if due is Due.CLOSE:
            self._say("idle")
        elif due is Due.STALLING:
            logs.event(
                "a partition has unread data and does not move",
                logging.WARNING,
                topic=self.topic,
                partition=self.partition,
            )
        elif due is not Due.NOTHING:
            self._say(idleness.MARKS[due])
        return None

    def _say(self, state: State) -> None:
        self._mark = state
        logs.event(f"partition is {state}", topic=self.topic, partition=self.partition)

    def drain(self) -> IdleDecision | None:
        """The decision that closes everything; None: nothing is open."""
        self.drained = True
        decision = self._profiler.propose_idle(self.position)
        if decision is None:
            self._say("idle")
        return decision

    def commit_with(self, decision: IdleDecision) -> tuple[int, str]:
        """Offset and metadata that carry the decision."""
        offset, state = self._profiler.commit_state(decision)
        return offset, state.to_metadata()

    def act(self, decision: IdleDecision) -> None:
        """Close what a committed decision closes; its watermark says that the partition is idle."""
        self._profiler.decide(decision)
        if self._when_closed is not None:
            self._quiet, self._when_closed = self._when_closed, None
            logs.event("partition is idle", topic=self.topic, partition=self.partition)
        self.moved = True

    # --- what a checkpoint takes -----------------------------------------------------------------

    def take_rejects(self) -> list[RejectMessage]:
        """Messages for the rejects topic, once."""
        taken, self._rejects = self._rejects, []
        return taken

    def take_records(self, writer: str, partitions: int, log_partitions: int) -> Published:
        """Records of the log for everything closed and said since the last call.

        Args:
            writer: Id of this process start.
            partitions: Partitions of the input topic.
            log_partitions: Partitions of the log.
        """
        closings = self._profiler.take()
        if not closings and self._mark is None:
            return Published([], [])
        place = Place(
            writer, self.topic, self.partition, partitions, self._input.window, log_partitions
        )
        if closings:
            records = self._closed(combine(closings), place)
        else:
            state = self._mark or "active"
            records = mark_records(
                place,
                self._profiler.closed_through,
                self._profiler.closed_at,
                state=state,
                as_of=_as_of(state),
                lost=self._lost,
            )
        self._mark, self._lost = None, ()
        split = len(records) - log_partitions
        assert all(isinstance(each[2], WatermarkRecord) for each in records[split:])  # noqa: S101
        return Published(records[:split], records[split:])

    def _closed(self, closing: Closing, place: Place) -> list[Produced]:
        idle = closing.idle and not self._profiler.open_windows
        state: State = "idle" if idle else self._mark or "active"
        return log_records(
            closing,
            place,
            state=state,
            as_of=_as_of(state),
            lost=self._lost,
            min_records_shown=self._settings.min_records_shown,
        )

    def to_commit(self) -> tuple[int, str]:
        """Offset and metadata once everything taken so far is acknowledged."""
        offset, state = self._profiler.commit_state()
        return offset, state.to_metadata()

    # --- alignment -------------------------------------------------------------------------------

    def newest(self) -> int:
        """Latest event time read, far in the past before the first."""
        newest = self._profiler.newest
        return _BEGINNING if newest is None else newest

    def behind(self) -> int | None:
        """Latest event time if others should wait for it; None: it is silent or knows none."""
        silent = self._quiet.told in (idleness.Activity.IDLE, idleness.Activity.STALLED)
        return None if silent or self.drained else self._profiler.newest

    def ahead_of(self, slowest: int | None) -> bool:
        """Whether it is so far ahead that it should wait."""
        newest = self._profiler.newest
        if slowest is None or newest is None:
            return False
        return newest - slowest > max(ALIGN_WITHIN, ALIGN_WINDOWS * self._input.window)


def _as_of(state: State) -> int | None:
    return None if state == "active" else int(time.time() * _MICROSECONDS)
