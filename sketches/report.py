"""What a monitor says about one window."""

from __future__ import annotations

import msgspec

from .detection import Change

Key = tuple[str, str, str, str]  # version, segment, feature, signal


class Trial(msgspec.Struct, frozen=True):
    """False alarms in the part of a baseline that was watched on trial.

    Attributes:
        weeks: Its length.
        alarms: Changes that would have been told, those within an hour counted once.
        low: Lower end of the 90 % Poisson interval of the rate a week.
        high: Its upper end.
        raised: Signals whose noise was raised for it.
    """

    weeks: float
    alarms: int
    low: float
    high: float
    raised: int


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
        trial: What the watch would have told in the last part of the baseline itself.
        detectable: (feature, signal, smallest lasting effect that is told), in the unit of the
            signal's effect, for the main signal of each feature.
    """

    id: str
    version: str
    segment: str
    whole: bool
    records: int
    start: int
    end: int
    trial: Trial | None = None
    detectable: tuple[tuple[str, str, float], ...] = ()


class StreamBudget(msgspec.Struct, frozen=True):
    """How a stream keeps to its budget; the attributes are those of ``BaselineLearned``.

    Attributes:
        watched: False: its baseline is still being learned.
    """

    version: str
    segment: str
    watched: bool
    trial: Trial | None
    detectable: tuple[tuple[str, str, float], ...]


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
