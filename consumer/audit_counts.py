"""Whether what was counted adds up: profiles, watermarks, rejects and the input log itself.

The records of a window lie anywhere in the input, so at most borders some records before the border
are in windows still open. What is certain: records before the first one of any later window have
been counted (lower bound), and none after the border has (upper bound). Where a partition was
closed as idle no window was open, and the two meet.

Pure: no I/O and no clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import orjson

from consumer.audit_findings import Place, Report
from consumer.audit_ledger import Claim, Ledger
from consumer.batch import RawBatch
from sketches.table import IntArray

Input = tuple[str, int]
SETTLED = 600_000_000  # microseconds after which no zombie repeats what others have written
_NEVER = -(2**63)
_EVER = 2**62


class Offsets:
    """Offsets of the records that an input partition holds, as runs of neighbours."""

    def __init__(self, batches: Iterable[RawBatch]) -> None:
        starts, stops = [], []
        for batch in batches:
            offsets = np.asarray(batch.offsets, dtype=np.int64)
            if len(offsets):
                cuts = np.flatnonzero(np.diff(offsets) != 1)
                starts.append(offsets[np.concatenate([[0], cuts + 1])])
                stops.append(offsets[np.concatenate([cuts, [len(offsets) - 1]])] + 1)
        empty = np.zeros(0, dtype=np.int64)
        self._starts: IntArray = np.concatenate([empty, *starts])
        self._sizes: IntArray = np.concatenate([empty, *stops]) - self._starts
        self._before: IntArray = np.concatenate([[0], np.cumsum(self._sizes)])

    @property
    def total(self) -> int:
        """How many."""
        return int(self._before[-1])

    def below(self, offsets: IntArray) -> IntArray:
        """How many are smaller than each of ``offsets``."""
        run = np.searchsorted(self._starts, offsets) - 1
        if not len(self._starts):
            return np.zeros(len(offsets), dtype=np.int64)
        inside = np.minimum(np.maximum(offsets - self._starts[run], 0), self._sizes[run])
        return np.where(run >= 0, self._before[run] + inside, 0)


class Reject(NamedTuple):
    """A message of the rejects topic."""

    offset: int
    reason: str
    place: Place


class Rejects:
    """What the rejects topic says, by input partition; repetitions are taken once."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._seen: dict[tuple[str, int, int], tuple[bytes, Place]] = {}
        self.found: dict[Input, list[Reject]] = {}
        self._trimmed: list[dict[Input, int]] = []  # of partitions cut by retention

    def read(self, topic: str, partition: int, batches: Iterable[RawBatch], trimmed: bool) -> None:
        """Take all messages of one partition of the rejects topic."""
        firsts: dict[Input, int] = {}
        begin: int | None = None
        for batch in batches:
            rows = zip(batch.offsets.tolist(), batch.timestamps.tolist(), batch.values, strict=True)
            for offset, at, value in rows:
                begin = at if begin is None else begin
                one = self._one(Place(topic, partition, offset), value)
                if one is not None and at >= begin + SETTLED:
                    firsts.setdefault(one[0], one[1])
        if trimmed:
            self._trimmed.append(firsts)

    def complete_from(self, name: Input) -> int | None:
        """Offset of an input partition from which on no reject has been deleted; None: unknown."""
        found = [firsts.get(name) for firsts in self._trimmed]
        return None if None in found else max((at for at in found if at is not None), default=0)

    def _one(self, place: Place, value: bytes | None) -> tuple[Input, int] | None:
        try:
            told = orjson.loads(value or b"")
            topic, partition, offset = told["topic"], int(told["partition"]), int(told["offset"])
            reason = str(told["reason"])
        except (ValueError, KeyError, TypeError) as error:
            self._report.add("reject_unreadable", place, f"not a reject message: {error!r}")
            return None
        told.pop("bytes", None)  # whether they are copied is a setting
        made = orjson.dumps(told, option=orjson.OPT_SORT_KEYS)
        name = (str(topic), partition)
        known = self._seen.get((*name, offset))
        if known is None:
            self._seen[*name, offset] = made, place
            self.found.setdefault(name, []).append(Reject(offset, reason, place))
        elif known[0] != made:
            self._report.add(
                "reject_changed",
                place,
                f"{topic}[{partition}]: the record at offset {offset} was rejected with other "
                f"words at {known[1]}",
            )
        return name, offset


class _Points(NamedTuple):
    """Borders of one input partition at which counts are compared, in order.

    Attributes:
        through: The borders.
        closed_at: Offset at which each was closed.
        first: Offset before which everything has been counted; ``_NEVER``: not known.
        base: Offset from which on what comes after the border may begin.
        counted: What the windows up to each add up to.
        places: Where each stands.
    """

    through: list[int | None]
    closed_at: IntArray
    first: IntArray
    base: IntArray
    counted: IntArray
    places: list[Place]


class Counts:
    """What one input partition adds up to.

    Args:
        ledger: After all partitions of the log.
        log_partitions: How many the log has.
        floor: Committed offset and border: records before it are in windows up to the border; None:
            not known.
    """

    def __init__(
        self, ledger: Ledger, log_partitions: int, floor: tuple[int, int | None] | None
    ) -> None:
        self.ledger = ledger
        known = [ledger.through.get(number) for number in range(log_partitions)]
        self.until = min((_NEVER if each is None else each for each in known), default=_NEVER)
        whole = [_NEVER if each is None else each for each in ledger.whole.values()]
        self.since = max(whole, default=_NEVER)
        ends = [end for end in ledger.windows if self.since < end <= self.until]
        self.ends: IntArray = np.array(sorted(ends), dtype=np.int64)
        self.tallies = [ledger.windows[end] for end in self.ends.tolist()]
        self._floor = floor if floor is not None and (floor[1] or _NEVER) <= self.until else None
        self._sums: dict[str, IntArray] = {
            "records": self._sum([each.records for each in self.tallies]),
            "late": self._sum([each.late for each in self.tallies]),
            "clock_ahead": self._sum([each.clock_ahead for each in self.tallies]),
        }
        self.reasons = sorted({reason for each in self.tallies for reason in each.rejects})
        for reason in self.reasons:
            counts = [each.rejects[reason] for each in self.tallies]
            self._sums[f"reject {reason}"] = self._sum(counts)

    @staticmethod
    def _sum(values: list[int]) -> IntArray:
        return np.concatenate([[0], np.cumsum(np.array(values, dtype=np.int64))])

    @property
    def records(self) -> int:
        """Readable records."""
        return int(self._sums["records"][-1])

    @property
    def rejects(self) -> dict[str, int]:
        """Reason -> rejected records."""
        return {reason: int(self._sums[f"reject {reason}"][-1]) for reason in self.reasons}

    def claims(self, report: Report) -> None:
        """Every watermark counts what the profiles of its windows do."""
        for (previous, through), (claim, place) in self.ledger.claims.items():
            since = _NEVER if previous is None else previous
            if through > self.until or since < self.since:
                continue
            if any(since < until and low < through for low, until in self.ledger.doubts):
                continue
            low, high = np.searchsorted(self.ends, [since, through], side="right").tolist()
            found = {name: int(sums[high] - sums[low]) for name, sums in self._sums.items()}
            rejects = {name: found.get(f"reject {name}", 0) for name in self.reasons}
            made = Claim(
                found["records"],
                tuple((name, count) for name, count in rejects.items() if count),
                found["late"],
                found["clock_ahead"],
            )
            if made != claim:
                report.add(
                    "count_claim",
                    place,
                    f"{self.ledger.name}: the watermark for windows after {previous} up to "
                    f"{through} counts {_told(claim)}; its profiles add up to {_told(made)}",
                )

    def _points(self, count: IntArray) -> _Points | None:
        """Where ``count``, a running sum over the windows, can be compared; None: nowhere."""
        ledger = self.ledger
        since = max(self.since, ledger.segment, *(until for _, until in ledger.doubts), _NEVER)
        throughs: list[int | None] = [b for b in ledger.order if since <= b <= self.until]
        if since == _NEVER and ledger.begin is not None:
            throughs.insert(0, None)
        if not throughs or any(each.first < 0 for each in self.tallies):
            return None
        marks = np.array([_NEVER if each is None else each for each in throughs], dtype=np.int64)
        places = [ledger.borders[b][1] if b is not None else ledger.begin[1] for b in throughs]  # type: ignore[index]
        closed = [ledger.borders[b][0] if b is not None else ledger.begin[0] for b in throughs]  # type: ignore[index]
        at = np.searchsorted(self.ends, marks, side="right")
        firsts = np.array([*(each.first for each in self.tallies), _EVER], dtype=np.int64)
        later = np.minimum.accumulate(firsts[::-1])[::-1][at]
        closed_at = np.array(closed, dtype=np.int64)
        floor = self._floor[0] if self._floor is not None else None
        known = np.full(len(throughs), _NEVER) if floor is None else np.minimum(later, floor)
        # A worker may still have called it idle, though a record came and opened a window.
        ends = np.minimum(later, _EVER if floor is None else floor) >= closed_at
        exact = ends & np.array([b is None or b in ledger.exact for b in throughs])
        first = np.where(exact, closed_at, np.minimum(known, closed_at))
        base = np.where(exact, closed_at, np.minimum(later, closed_at))
        return _Points(throughs, closed_at, first, base, count[at], places)

    def _unread(self, held: Offsets, start: int, stops: IntArray) -> IntArray:
        """Records from ``start`` to each of ``stops`` that watermarks declare lost.

        Some may have been counted nevertheless: whoever lost them cannot say which.
        """
        unread = np.zeros(len(stops), dtype=np.int64)
        ends = np.maximum(stops, start)
        told = start
        for lost in sorted(self.ledger.lost, key=lambda each: each.start):
            low, told = max(lost.start, told), max(lost.stop, told)
            if low < told:
                unread += held.below(np.minimum(told, ends)) - held.below(np.minimum(low, ends))
        return unread

    def against(
        self, held: Offsets, low: int, what: str, kinds: tuple[str, str], report: Report
    ) -> tuple[int, int] | None:
        """Compare what was counted with what a log holds.

        Args:
            held: Of the input partition, or of its rejects of one reason.
            low: What lies before this offset is not known.
            what: ``records`` for all of them, else a reason.
            kinds: Kinds of violation: more counted than held, fewer.
            report: Takes what is found, the first one.

        Returns:
            Offsets between which it was compared; None: nothing could be.
        """
        if what == "records":
            rejected = [self._sums[f"reject {reason}"] for reason in self.reasons]
            count = np.sum([self._sums["records"], *rejected], axis=0)
        else:
            count = self._sums.get(f"reject {what}", np.zeros(len(self.ends) + 1, dtype=np.int64))
        points = self._points(count)
        if points is None:
            return None
        fit = np.flatnonzero(points.base >= low)
        if not len(fit) or fit[0] + 1 >= len(points.through):
            return None
        begin = int(fit[0])
        start = max(int(points.closed_at[begin]), low)
        below = held.below
        most = below(points.closed_at) - below(points.base[begin : begin + 1])
        least = below(points.first) - below(np.array([start]))
        least -= self._unread(held, start, points.first)
        made = points.counted - points.counted[begin]
        wrong = (made > np.maximum(most, 0)) | ((made < least) & (points.first > start))
        wrong[: begin + 1] = False
        for at in np.flatnonzero(wrong).tolist()[:1]:
            over = bool(made[at] > max(most[at], 0))
            bound, stop = (most, points.closed_at) if over else (least, points.first)
            noun = "records" if what == "records" else f"records rejected as {what}"
            since = int(points.base[begin] if over else start)
            report.add(
                kinds[0] if over else kinds[1],
                points.places[at],
                f"{self.ledger.name}: windows up to {points.through[at]} count {made[at]} {noun} "
                f"from offset {since} to {stop[at]}, where there are {bound[at]}",
            )
        return start, int(points.closed_at[-1])

    def windows(self, held: Offsets, low: int, what: str, kind: str, report: Report) -> None:
        """No window counts more than lies between its first and its last record."""
        if not self.tallies:
            return
        first = np.array([each.first for each in self.tallies], dtype=np.int64)
        last = np.array([each.last for each in self.tallies], dtype=np.int64)
        counts = [
            each.records + each.rejects.total() if what == "records" else each.rejects[what]
            for each in self.tallies
        ]
        there = held.below(last + 1) - held.below(first)
        wrong = (np.array(counts) > there) & (first >= low)
        for at in np.flatnonzero(wrong).tolist():
            noun = "records" if what == "records" else f"records rejected as {what}"
            report.add(
                kind,
                self.tallies[at].place,
                f"{self.ledger.name}: the window up to {self.ends[at]} counts {counts[at]} {noun} "
                f"between offsets {first[at]} and {last[at]}, where there are {there[at]}",
            )


def missing_rejects(
    counts: Counts, rejects: Rejects, records: Offsets | None, low: int, report: Report
) -> None:
    """Every record counted as rejected has its message, and every message its record."""
    name = (counts.ledger.topic, counts.ledger.partition)
    found = sorted(rejects.found.get(name, []))
    complete = rejects.complete_from(name)
    if complete is None:
        report.note(f"rejects of {counts.ledger.name}: the topic no longer holds them all")
        return
    low = max(low, complete)
    for reason in sorted({*counts.reasons, *(each.reason for each in found)}):
        mine = [each.offset for each in found if each.reason == reason]
        held = Offsets([_as_batch(*name, mine)])
        counts.windows(held, low, reason, "reject_lost", report)
        counts.against(held, low, reason, ("reject_lost", "reject_extra"), report)
    if records is None or not found:
        return
    offsets = np.array([each.offset for each in found], dtype=np.int64)
    there = records.below(offsets + 1) - records.below(offsets)
    end = counts.ledger.stop
    for at in np.flatnonzero((there == 0) & (offsets >= low) & (offsets < end)).tolist():
        one = found[at]
        text = f"{counts.ledger.name}: the input holds no record at offset {one.offset}"
        report.add("reject_extra", one.place, text)


def beginnings(
    ledgers: Mapping[Input, Ledger], untrimmed: Sequence[int], topic: str, report: Report
) -> None:
    """All partitions of the log that are whole begin an input partition with the same windows."""
    for ledger in ledgers.values():
        found = {n: ledger.whole[n] for n in untrimmed if n in ledger.whole}
        first = min((_NEVER if b is None else b for b in found.values()), default=_NEVER)
        for number, border in found.items():
            if border is not None and border > first:
                ledger.doubt(None, border)
                report.add(
                    "chain_hole",
                    Place(topic, number, 0),
                    f"{ledger.name}: no watermark covers the windows up to {border} in this "
                    "partition of the log; another one has them",
                )


def behind(
    ledgers: Mapping[Input, Ledger],
    committed: Mapping[Input, int],
    log: Mapping[int, tuple[int, int]],
    topic: str,
    report: Report,
) -> None:
    """A border that is committed stands in every partition of the log.

    Args:
        ledgers: After all partitions of the log.
        committed: Input partition -> border in the metadata of the group's commit.
        log: Partition of the log -> first offset and end.
        topic: Name of the profiles topic.
        report: Takes what is found.
    """
    for name, border in committed.items():
        ledger = ledgers.get(name)
        for number, (low, end) in log.items():
            through = None if ledger is None else ledger.through.get(number)
            if (through is None and low > 0) or (through is not None and through >= border):
                continue
            report.add(
                "chain_behind",
                Place(topic, number, end),
                f"{name[0]}[{name[1]}]: windows up to {border} are committed as closed, this "
                f"partition of the log closes them up to {through}",
            )


def _as_batch(topic: str, partition: int, offsets: list[int]) -> RawBatch:
    column = np.array(offsets, dtype=np.int64)
    return RawBatch(topic, partition, column, column, ())


def _told(claim: Claim) -> str:
    facts: dict[str, Any] = {"records": claim.records, **dict(claim.rejects)}
    facts |= {"late": claim.late, "clock_ahead": claim.clock_ahead}
    return ", ".join(f"{name} {count}" for name, count in facts.items())
