"""When an input partition is idle or stalled: what the clock says, decided by a pure function.

A partition read to its end that brings nothing is idle. One that has unread data and does not move,
or that moves while its event time stands still, is stalled after a while: it is not waited for any
more. Nothing is concluded while a partition is paused, or while its end is not known.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, Literal, NamedTuple

REPEAT_AFTER = 60.0  # seconds
LOOK_EVERY = 1.0  # seconds


class Activity(StrEnum):
    """What the log was told of a partition; the ``state`` of a watermark record."""

    ACTIVE = "active"
    IDLE = "idle"
    STALLED = "stalled"


class Due(StrEnum):
    """What is to be done now."""

    NOTHING = "nothing"
    CLOSE = "close"  # commit the idle decision and act on it; an idle mark if nothing is open
    ACTIVE_MARK = "active_mark"
    IDLE_MARK = "idle_mark"  # once more
    STALLING = "stalling"  # for people: it will be waited for up to the limit
    STALLED_MARK = "stalled_mark"


MARKS: Final[dict[Due, Literal["active", "idle", "stalled"]]] = {
    Due.ACTIVE_MARK: "active",
    Due.IDLE_MARK: "idle",
    Due.STALLED_MARK: "stalled",
}


class Limits(NamedTuple):
    """Seconds.

    Attributes:
        idle_after: A partition read to its end and silent for so long is idle.
        stall_limit: One that does not move is waited for so long.
    """

    idle_after: float
    stall_limit: float


class Sight(NamedTuple):
    """What is seen of a partition.

    Attributes:
        position: The offset after the last one read.
        newest: ``max_event_time``; None: no record yet.
        high: Offset after the last record of the log, transactions still open included; None: the
            broker does not say.
        paused: Not read at present, on our own account.
    """

    position: int
    newest: int | None
    high: int | None
    paused: bool = False


class Quiet(NamedTuple):
    """What is remembered of a partition. Times in seconds of a monotonic clock.

    Attributes:
        told: The last word in the log by this process; None: none yet.
        sight: As of the last look.
        looked_at: When that was.
        read_at: When the position was last seen to move.
        end_at: When it was last seen at the end.
        moved_at: When event time was last seen to go on.
        told_at: When the last mark was due.
        warned: ``STALLING`` was told since the position last moved.
    """

    told: Activity | None
    sight: Sight
    looked_at: float
    read_at: float
    end_at: float
    moved_at: float
    told_at: float
    warned: bool = False


def begin(now: float, sight: Sight) -> Quiet:
    """A partition that has just been assigned."""
    return Quiet(None, sight, now, now, now, now, now)


def is_due(quiet: Quiet, now: float, position: int, limits: Limits) -> bool:
    """Whether to ask the broker where the partition ends, and look.

    Moved, it is worth a look without asking. Else at most once a second, and once a minute when the
    log has been told already that the partition is silent.
    """
    if position != quiet.sight.position:
        return False
    if quiet.told in (Activity.IDLE, Activity.STALLED):
        return now - quiet.looked_at >= LOOK_EVERY and (
            quiet.told == Activity.STALLED or now - quiet.told_at >= REPEAT_AFTER
        )
    return now - quiet.read_at >= limits.idle_after and now - quiet.looked_at >= LOOK_EVERY


def look(quiet: Quiet, now: float, sight: Sight, limits: Limits) -> tuple[Quiet, Due]:
    """What a look at the partition tells.

    Args:
        quiet: From the look before.
        now: Monotonic clock, seconds.
        sight: What is seen now.
        limits: Of its input.
    """
    seen = quiet.sight
    quiet = quiet._replace(sight=sight, looked_at=now)
    if sight.position != seen.position or sight.newest != seen.newest:
        return _moved(quiet, now, limits, on=sight.newest != seen.newest)
    if sight.paused or seen.paused:
        # Its silence is our own doing: all clocks start when it is read again.
        return quiet._replace(read_at=now, end_at=now, moved_at=now, told_at=now), Due.NOTHING
    if sight.high is not None and sight.position >= sight.high:
        return _at_end(quiet, now, limits)
    return _behind(quiet, now, limits)


def _moved(quiet: Quiet, now: float, limits: Limits, *, on: bool) -> tuple[Quiet, Due]:
    """Records came; ``on``: event time went on with them."""
    silent = quiet.told not in (Activity.ACTIVE, Activity.STALLED)
    quiet = quiet._replace(read_at=now, warned=False)
    if on or silent:
        quiet = quiet._replace(moved_at=now)
    elif quiet.told == Activity.ACTIVE and now - quiet.moved_at >= limits.stall_limit:
        return _told(quiet, now, Activity.STALLED, Due.STALLED_MARK)
    if silent or (on and quiet.told == Activity.STALLED):
        # Also at the first record of this process: the owner before may have said "idle".
        return _told(quiet, now, Activity.ACTIVE, Due.ACTIVE_MARK)
    if quiet.told == Activity.STALLED:
        return _repeated(quiet, now, Due.STALLED_MARK)
    return quiet, Due.NOTHING


def _at_end(quiet: Quiet, now: float, limits: Limits) -> tuple[Quiet, Due]:
    quiet = quiet._replace(end_at=now)
    if quiet.told == Activity.IDLE:
        return _repeated(quiet, now, Due.IDLE_MARK)
    if now - quiet.read_at >= limits.idle_after:
        return _told(quiet, now, Activity.IDLE, Due.CLOSE)
    return quiet, Due.NOTHING


def _behind(quiet: Quiet, now: float, limits: Limits) -> tuple[Quiet, Due]:
    """There is something to read, or nobody knows."""
    if quiet.told == Activity.IDLE:
        # It stays idle until it can be read: whatever it held is closed.
        return _repeated(quiet, now, Due.IDLE_MARK)
    if quiet.told == Activity.STALLED:
        return _repeated(quiet, now, Due.STALLED_MARK)
    still = now - max(quiet.read_at, quiet.end_at)
    if still >= limits.stall_limit:
        return _told(quiet, now, Activity.STALLED, Due.STALLED_MARK)
    if not quiet.warned and still >= limits.idle_after:
        return quiet._replace(warned=True), Due.STALLING
    return quiet, Due.NOTHING


def _told(quiet: Quiet, now: float, activity: Activity, due: Due) -> tuple[Quiet, Due]:
    return quiet._replace(told=activity, told_at=now), due


def _repeated(quiet: Quiet, now: float, mark: Due) -> tuple[Quiet, Due]:
    if now - quiet.told_at < REPEAT_AFTER:
        return quiet, Due.NOTHING
    return quiet._replace(told_at=now), mark
