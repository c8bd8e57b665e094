"""When a window of an input topic is complete, and what time it is in a topic that is silent.

A window is complete when the borders of all active partitions of the topic have passed it. Nothing
is complete before every partition has spoken once. A partition that is idle or stalled is not
waited for; when none is active, everything that they closed is complete, and time goes on by the
wall times of their marks. Profiles that arrive for a window already complete (of a partition that
was idle, stalled or new) join the earliest window that is not.

Pure: no I/O and no clock. ``TopicState`` is all of the state.
"""

from __future__ import annotations

import heapq

import msgspec

from consumer.log import WatermarkRecord
from consumer.log_borders import Accepted, Step

ACTIVE = "active"
IDLE = "idle"


class Held(msgspec.Struct, frozen=True, array_like=True):
    """One profile of one input partition, in the window that it counts in."""

    model: str
    partition: int
    own_end: int  # of the window that its records belong to by their event time
    version: str
    segment: str
    window: int
    payloads: tuple[bytes, ...]
    first: int
    last: int
    late: bool  # it counts in a later window than its own


class InputState(msgspec.Struct):
    """One input partition as it last spoke."""

    through: int | None
    state: str
    as_of: int | None
    doubted: str = ""  # writer of an idle mark that is not believed yet


class TopicState(msgspec.Struct):
    """One input topic: its partitions, the windows that wait for them, and what is complete.

    Attributes:
        partitions: How many partitions the topic has, by the highest word so far.
        window: Length of the newest window, microseconds.
        folded: Every window that ends at or before it is complete and has been taken.
        quiet_since: ``folded`` and the wall time since which no partition is active; None: one is.
        inputs: Partitions that have spoken.
        waiting: End of a window -> its profiles so far.
    """

    partitions: int = 0
    window: int = 0
    folded: int | None = None
    quiet_since: tuple[int, int] | None = None
    inputs: dict[int, InputState] = {}
    waiting: dict[int, list[Held]] = {}


class Completeness:
    """The windows of one input topic."""

    def __init__(self, state: TopicState | None = None) -> None:
        self.state = state or TopicState()
        self._ends = sorted(self.state.waiting)  # a sorted list is a heap
        self.waiting_bytes = sum(_bytes(held) for held in self.state.waiting.values())

    @property
    def oldest(self) -> int | None:
        """End of the earliest window that is not complete; None: none waits."""
        return self._ends[0] if self._ends else None

    def hear(self, record: WatermarkRecord, step: Step) -> None:
        """Take in a watermark and the profiles that it brought.

        Args:
            record: Of this topic.
            step: What ``LogBorders.close`` said of it.
        """
        state = self.state
        state.partitions = max(state.partitions, record.partitions, record.partition + 1)
        said = state.inputs.get(record.partition)
        if step.moved:
            state.window = record.window
        if said is None or step.moved:
            # A repetition can be the first word here only if the border was never heard of either.
            state.inputs[record.partition] = InputState(record.through, record.state, record.as_of)
        elif step.current:
            _hear_again(said, record)
        for profile in step.profiles:
            self._put(record, profile)

    def take(self, border: int) -> tuple[int, list[Held]] | None:
        """The earliest window with data that ends at or before ``border``; None: no more.

        The profiles are sorted by model, then partition, then the window of their own.
        """
        if not self._ends or self._ends[0] > border:
            return None
        end = heapq.heappop(self._ends)
        self.state.folded = end
        held = self.state.waiting.pop(end)
        self.waiting_bytes -= _bytes(held)
        held.sort(key=_order)
        return end, held

    def passed(self, border: int) -> None:
        """Every window up to ``border`` has been taken."""
        state = self.state
        if state.folded is None or border > state.folded:
            state.folded = border

    def border(self) -> int | None:
        """Up to where windows are complete; None: nothing is complete."""
        state = self.state
        if len(state.inputs) < state.partitions:
            return None
        active = [said.through for said in state.inputs.values() if said.state == ACTIVE]
        if active:
            slowest: int | None = None
            for through in active:
                if through is None:
                    return None
                if slowest is None or through < slowest:
                    slowest = through
            return slowest
        closed = [said.through for said in state.inputs.values() if said.through is not None]
        # Profiles that joined a later window than their own are to be judged now, too.
        return max([*closed, *self.state.waiting], default=None)

    def quiet(self) -> int | None:
        """Event time in a silent topic: the last border and the time since no partition is active.

        Call it after ``passed``, once per watermark. None: a partition is active, or nothing was
        ever complete.
        """
        state = self.state
        said = state.inputs.values()
        if len(said) < state.partitions or any(each.state == ACTIVE for each in said):
            state.quiet_since = None
            return None
        as_of = max((each.as_of for each in said if each.as_of is not None), default=None)
        if state.folded is None or as_of is None:
            return None
        if state.quiet_since is None or state.quiet_since[0] != state.folded:
            state.quiet_since = (state.folded, as_of)
        return state.folded + max(0, as_of - state.quiet_since[1])

    def slowest(self) -> int | None:
        """Last border of the slowest active partition; None: none is active, or one has none."""
        active = [s.through for s in self.state.inputs.values() if s.state == ACTIVE]
        known = [through for through in active if through is not None]
        return min(known) if known and len(known) == len(active) else None

    def _put(self, record: WatermarkRecord, profile: Accepted) -> None:
        state = self.state
        end, late = profile.end, False
        if state.folded is not None and end <= state.folded:
            end, late = (state.folded // record.window + 1) * record.window, True
        held = Held(
            profile.model,
            record.partition,
            profile.end,
            profile.version,
            profile.segment,
            record.window,
            profile.payloads,
            profile.first,
            profile.last,
            late,
        )
        if end not in state.waiting:
            state.waiting[end] = []
            heapq.heappush(self._ends, end)
        state.waiting[end].append(held)
        self.waiting_bytes += _bytes([held])


def _hear_again(said: InputState, record: WatermarkRecord) -> None:
    """A word that brings no new border: the partition went idle, stalled, or has records again.

    At one border, a partition says ``idle`` before ``active``, never the other way round: a record
    that made it active is in an open window, and the next idle decision closes that. So an idle
    mark that follows is one published again by a worker that restarts; the partition is still
    active. Should it be silent after all, the worker repeats the mark within a minute, and is
    believed then.
    """
    if record.state == IDLE and said.state == ACTIVE and said.doubted != record.writer:
        said.doubted = record.writer
        return
    said.state, said.as_of, said.doubted = record.state, record.as_of, ""


def _bytes(held: list[Held]) -> int:
    return sum(len(payload) for each in held for payload in each.payloads)


def _order(held: Held) -> tuple[str, int, int, str, str]:
    return (held.model, held.partition, held.own_end, held.version, held.segment)
