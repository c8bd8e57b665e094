"""Where reading of an input partition starts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple

from .commit_state import FORMAT_VERSION, BorderSettings, CommitState
from .log import Lost

StartSetting = Literal["earliest", "latest"] | datetime


@dataclass(frozen=True, slots=True)
class Start:
    """An offset to read from and what is known about the records before it.

    Attributes:
        offset: First offset to read.
        state: What the commit said; None for a partition never read by this group.
        lost: Ranges that were not read, and will not be.
        fresh: The group has no commit here: the offset must be committed before anything else, or
            a restart would choose another one.
    """

    offset: int
    state: CommitState | None
    lost: tuple[Lost, ...] = ()
    fresh: bool = False


def starting_point(
    committed: tuple[int, CommitState | None] | None,
    low: int,
    high: int,
    setting: StartSetting,
    topic_known: bool,
    offset_at: Callable[[datetime], int],
) -> Start:
    """Decide where to read from.

    Args:
        committed: The group's committed offset and the state in its metadata, if any.
        low: First offset that the log holds.
        high: Offset after its last.
        setting: ``start`` of the settings; matters for a new group only.
        topic_known: The group has commits for other partitions of the topic, so this one was added
            later and all of it is new.
        offset_at: First offset at or after a time.
    """
    if committed is None:
        if topic_known or setting == "earliest":
            return Start(low, None, fresh=True)
        if setting == "latest":
            return Start(high, None, fresh=True)
        assert isinstance(setting, datetime)  # noqa: S101 - narrows the type
        return Start(offset_at(setting), None, fresh=True)
    offset, state = committed
    if offset < low:
        return Start(low, state, (Lost(offset, low),))
    if offset > high:
        # The topic was made anew: its offsets begin again, so "counted before this offset" is void.
        begun = None if state is None else state.in_new_log()
        return Start(low, begun, (Lost(high, offset),))
    return Start(offset, state)


class Word(NamedTuple):
    """The log's last word about an input partition.

    Attributes:
        through: Latest closed border, microseconds.
        closed_at: The offset just after the record that closed it.
        open_from: No record before this offset is in a window that is open.
    """

    through: int
    closed_at: int
    open_from: int


def set_by_hand(offset: int, low: int, high: int, word: Word, borders: BorderSettings) -> Start:
    """Where to go on after somebody has set the group's offset, as ``--reset-offsets`` does.

    Windows that are closed stay closed, wherever the offset was set: they have been judged. What
    an offset set forward leaves out is declared lost.

    Args:
        offset: That was set.
        low: First offset that the log of the input holds.
        high: Offset after its last.
        word: Of the profiles log.
        borders: Border settings as they are now, as a commit keeps them.
    """
    begin = min(max(offset, low), high)
    state = CommitState(FORMAT_VERSION, word.through, word.closed_at, borders)
    if word.closed_at > high:  # the topic was made anew
        return Start(begin, state.in_new_log())
    lost = (Lost(word.open_from, begin),) if word.open_from < begin else ()
    return Start(begin, state, lost)
