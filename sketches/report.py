"""What a monitor says about one window."""

from __future__ import annotations

import msgspec

from .detection import Change

Key = tuple[str, str, str, str]  # version, segment, feature, signal


class BaselineLearned(msgspec.Struct, frozen=True):
    """A baseline that has just been completed; it holds from the next window on.

    Attributes:
        id: Content hash.
        version: Of the records in it; empty: the model as a whole, or no version.
        segment: Likewise.
        whole: It is that of the model as a whole (volume, late, rejects, errors).
        records: Records in it.
        start: Start of its first window, microseconds.
        end: End of its last one.
    """

    id: str
    version: str
    segment: str
    whole: bool
    records: int
    start: int
    end: int


class MonitorReport(msgspec.Struct, frozen=True):
    """What a monitor says about one window.

    Attributes:
        now: End of the window, microseconds.
        changes: New changes, and known ones that doubled, turned or became critical.
        active: Keys of all that is still changed.
        recovered: Keys of what has returned to the baseline.
        settled: Keys of what did not return, and is taken as the new normal.
        learned: Baselines completed.
        learning: (version, segment) of streams without a baseline yet -> part of it, 0 to 1.
        watched: Different features whose signals are tested, over all streams.
    """

    now: int
    changes: tuple[Change, ...] = ()
    active: tuple[Key, ...] = ()
    recovered: tuple[Key, ...] = ()
    settled: tuple[Key, ...] = ()
    learned: tuple[BaselineLearned, ...] = ()
    learning: tuple[tuple[str, str, float], ...] = ()
    watched: int = 0
