"""Blocks: windows of one stream added together until there are enough records to test."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from . import codec, profile
from .profile import Profile
from .rates import Part, by_hour

DAY: Final = 86_400_000_000  # microseconds; no block is longer


class Block:
    """Consecutive windows of one stream.

    Attributes:
        start: Of the first window, microseconds.
        end: Of the last window.
        records: Readable records.
        late: Of these, late ones.
        errors: Of these, failed predictions.
        rejects: Records that could not be read.
        windows: (start, end, records) of each, for a model as a whole.
        profiles: Of the windows, for a stream whose features are watched.
    """

    def __init__(self, start: int, end: int) -> None:
        self.start = start
        self.end = end
        self.records = 0
        self.late = 0
        self.errors = 0
        self.rejects = 0
        self.windows: list[tuple[int, int, int]] = []
        self.profiles: list[Profile] = []

    @property
    def messages(self) -> int:
        """All records, readable or not."""
        return self.records + self.rejects

    def add(self, start: int, end: int, found: Sequence[Profile], keep: bool) -> None:
        """Add a window.

        Args:
            start: Its start.
            end: Its end.
            found: Its profiles.
            keep: Keep the profiles themselves, not only their counts.
        """
        self.end, before = end, self.messages
        for each in found:
            self.records += each.records
            self.late += each.late
            self.errors += each.errors
            self.rejects += sum(each.rejects.values())
            if keep:
                self.profiles.append(each)
        if not keep:
            self.windows.append((start, end, self.messages - before))

    def join(self, later: Block) -> Block:
        """With one that comes after it; the same block."""
        self.end = later.end
        self.records += later.records
        self.late += later.late
        self.errors += later.errors
        self.rejects += later.rejects
        self.windows += later.windows
        self.profiles += later.profiles
        return self

    def by_hour(self) -> tuple[Part, ...]:
        """The records of a model as a whole by hours; nothing where profiles are kept."""
        return by_hour(self.start, self.end, self.windows) if self.windows else ()

    def profile(self) -> Profile:
        """All windows together."""
        return profile.merge(self.profiles)

    def state(self) -> list[Any]:
        """All of it, as plain values."""
        return [
            self.start,
            self.end,
            self.records,
            self.late,
            self.errors,
            self.rejects,
            [codec.encode(each) for each in self.profiles],
            self.windows,
        ]

    @classmethod
    def restore(cls, state: Sequence[Any]) -> Block:
        """From ``state``."""
        found = cls(state[0], state[1])
        found.records, found.late, found.errors, found.rejects = state[2:6]
        found.profiles = [codec.decode(parts) for parts in state[6]]
        found.windows = [(first, last, count) for first, last, count in state[7]]
        return found
