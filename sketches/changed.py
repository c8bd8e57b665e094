"""A change of one signal: proposed, told, gone on, over."""

from __future__ import annotations

from typing import Literal, NamedTuple

import msgspec


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
