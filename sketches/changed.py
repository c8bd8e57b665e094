"""A change of one signal: proposed, told, gone on, over."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

import msgspec

from .course import Course

# Microseconds at a new, stable level after which it is the new normal.
SETTLED: Final = 604_800_000_000


class Finding(NamedTuple):
    """A confirmed change of one signal, in the unit of the signal."""

    signal: int
    detector: str
    direction: Literal["up", "down"]
    critical: bool
    level: float  # expected now
    shift: float  # mean since onset less what was expected
    score: float
    sample: int
    onset: int
    since: int | None = None  # it came slowly, and began then at the earliest


class Step(NamedTuple):
    """What one block brought; signals by number."""

    found: list[Finding]
    recovered: list[int]
    settled: list[int]


class Waiting(msgspec.Struct, array_like=True):
    """A proposal that is not confirmed yet."""

    detector: str
    block: int  # the first one of the change, at the earliest
    proposed: int  # block of the proposal


class Changed(msgspec.Struct, array_like=True):
    """A change that has been told and goes on.

    Attributes:
        detector: That proposed it.
        block: First block of it.
        onset: Its start, microseconds.
        told: Block in which it was told.
        effect: Told last, in the unit of the signal, with its sign.
        critical: Told as critical.
        muted: It was told when it could not be critical, and does not become so.
        anchor: Time since which the new level is followed.
        weight: Of the blocks since then.
        total: Sum of weight times deviation since then.
        course: How it went; None: whether it came slowly is not asked.
        since: It came slowly, and began then at the earliest; None: not that one knows.
    """

    detector: str
    block: int
    onset: int
    told: int
    effect: float
    critical: bool
    muted: bool
    anchor: int
    weight: float = 0.0
    total: float = 0.0
    course: Course | None = None
    since: int | None = None

    def came_slowly(self, noise: tuple[float, float]) -> bool:
        """Whether that turns out now; its onset is then where the rise began.

        Args:
            noise: As for ``Course.rise``.
        """
        if self.course is None or self.since is not None:
            return False
        rise = self.course.rise(*noise)
        if rise is not None:
            self.onset, self.since = rise
        return rise is not None
