"""Records of windows that are still open, by key, profiled in chunks cut by count alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from consumer.admission import Admission
from consumer.batch import RecordKey
from consumer.borders import Clock
from consumer.closings import WindowProfile
from sketches.profile import CHUNK, Profile, ProfileRules, merge, profile_tables
from sketches.table import Table
from sketches.tables import concatenate, take

PIECES = 256  # tables of one key that are kept apart, so that many small batches cost little memory
_PARTS = 8  # profiles of one key that are added up at once
_TOGETHER = 4 * CHUNK  # rows that are profiled at once


class OpenWindow:
    """One window of an input partition.

    Attributes:
        end: Its end, microseconds.
        first: Offset of its first record.
        clock: Of the partition before that record.
    """

    __slots__ = ("_admission", "_keys", "_rules_for", "clock", "end", "first")

    def __init__(
        self,
        end: int,
        first: int,
        clock: Clock,
        rules_for: Callable[[str], ProfileRules],
        admission: Admission,
    ) -> None:
        self.end = end
        self.first = first
        self.clock = clock
        self._rules_for = rules_for
        self._admission = admission
        self._keys: dict[RecordKey, KeyRecords] = {}

    def admit(self, key: RecordKey) -> tuple[RecordKey, tuple[str, ...]]:
        """The key that records of ``key`` count under here, and the limits that changed it."""
        return self._admission.admit(key)

    def of(self, key: RecordKey) -> KeyRecords:
        """The records of a key so far."""
        records = self._keys.get(key)
        if records is None:
            records = self._keys[key] = KeyRecords(self._rules_for(key.model))
        return records

    def by_key(self) -> list[tuple[RecordKey, KeyRecords]]:
        """The keys, ascending, and their records."""
        return sorted(self._keys.items())


def close_all(windows: Iterable[OpenWindow]) -> list[WindowProfile]:
    """The profiles of windows that are closed together, by window and key."""
    found: list[WindowProfile] = []
    some: list[tuple[int, RecordKey, KeyRecords]] = []
    rows = 0
    for window in windows:
        for key, records in window.by_key():
            some.append((window.end, key, records))
            rows += records.waiting
            if rows >= _TOGETHER:
                found += _closed(some)
                some, rows = [], 0
    return found + _closed(some)


def _closed(some: Sequence[tuple[int, RecordKey, KeyRecords]]) -> list[WindowProfile]:
    rests = {at: rest for at, (_, _, one) in enumerate(some) if (rest := one.rest()) is not None}
    profiles = dict(zip(rests, profile_tables(list(rests.values())), strict=True))
    return [
        WindowProfile(key, end, one.close(profiles.get(at)), one.first, one.last)
        for at, (end, key, one) in enumerate(some)
    ]


class KeyRecords:
    """Records of one key in one window.

    Chunks are cut by count in offset order and merged in that order: the profile does not depend on
    how the records came in batches, to the last bit.

    Attributes:
        first: Offset of the first of them.
        last: Offset of the last.
        waiting: Rows that are not profiled yet.
    """

    __slots__ = (
        "_ahead",
        "_late",
        "_profiles",
        "_rejects",
        "_rules",
        "_tables",
        "first",
        "last",
        "waiting",
    )

    def __init__(self, rules: ProfileRules) -> None:
        self.first = -1
        self.last = -1
        self._rules = rules
        self._tables: list[Table] = []
        self.waiting = 0
        self._profiles: list[Profile] = []  # of the chunks so far
        self._rejects: Counter[str] = Counter()
        self._late = 0
        self._ahead = 0

    def add(self, table: Table, *, first: int, last: int, late: int, ahead: int) -> None:
        """Count readable records.

        Args:
            table: At least one row.
            first: Offset of the first row.
            last: Offset of the last.
            late: How many of them belong to an earlier window.
            ahead: How many have an event time that is not believed.
        """
        self._seen(first, last)
        self._late += late
        self._ahead += ahead
        self._tables.append(table)
        self.waiting += table.length
        if self.waiting >= CHUNK:
            self._cut()
        elif len(self._tables) >= PIECES:
            self._tables = [concatenate(self._tables)]

    def reject(self, reason: str, offset: int, *, late: bool) -> None:
        """Count a record that could not be read."""
        self._seen(offset, offset)
        self._late += late
        self._rejects[reason] += 1

    def rest(self) -> tuple[Table, ProfileRules] | None:
        """The last chunk, and how it is to be profiled; None: there is none."""
        if not self._tables:
            return None
        rows, self._tables = concatenate(self._tables), []
        return rows, self._rules

    def close(self, rest: Profile | None) -> Profile:
        """The profile of all of them, ``rest`` being that of the last chunk."""
        if rest is not None:
            self._add(rest)
        return replace(
            merge(self._profiles) if self._profiles else Profile.empty(),
            late=self._late,
            clock_ahead=self._ahead,
            rejects=dict(sorted(self._rejects.items())),
        )

    def _seen(self, first: int, last: int) -> None:
        # Within a batch the rejects come after the groups, so neither order can be relied on.
        self.first = first if self.first < 0 else min(self.first, first)
        self.last = max(self.last, last)

    def _cut(self) -> None:
        """Profile the whole chunks among the waiting rows; what is left waits on."""
        # ``take`` and ``concatenate`` see to it that a chunk does not know features that none of
        # its own rows holds.
        rows = concatenate(self._tables)
        whole = rows.length // CHUNK * CHUNK
        chunks = [slice(start, start + CHUNK) for start in range(0, whole, CHUNK)]
        tables = [(take(rows, chunk, lasting=False), self._rules) for chunk in chunks]
        for profile in profile_tables(tables):
            self._add(profile)
        self.waiting = rows.length - whole
        self._tables = [take(rows, slice(whole, None))] if self.waiting else []

    def _add(self, profile: Profile) -> None:
        self._profiles.append(profile)
        if len(self._profiles) >= _PARTS:
            self._profiles = [merge(self._profiles)]
