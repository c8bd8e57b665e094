"""What the log says about one input partition, put together from all partitions of the log."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

from consumer.audit_findings import Loss, Place, Report
from consumer.log import Lost, WatermarkRecord
from sketches.profile import Profile


class Claim(NamedTuple):
    """What a watermark says of the windows that it closes."""

    records: int
    rejects: tuple[tuple[str, int], ...]
    late: int
    clock_ahead: int


@dataclass(slots=True)
class Tally:
    """What the accepted profiles of one window add up to.

    Attributes:
        place: Where the first of them stands.
        first: Offset of the first of its records; -1: not known.
        last: Offset of the last.
    """

    place: Place
    records: int = 0
    rejects: Counter[str] = field(default_factory=Counter)
    late: int = 0
    clock_ahead: int = 0
    profiles: int = 0
    first: int = -1
    last: int = -1

    def add(self, profile: Profile, first: int, last: int) -> None:
        """Count one whole profile."""
        known = first >= 0 and (self.first >= 0 or not self.profiles)
        self.first = -1 if not known else first if not self.profiles else min(self.first, first)
        self.last = max(self.last, last)
        self.records += profile.records
        self.rejects.update(profile.rejects)
        self.late += profile.late
        self.clock_ahead += profile.clock_ahead
        self.profiles += 1


@dataclass
class Ledger:
    """One input partition: borders, windows and what watermarks claim.

    Attributes:
        topic: Input topic.
        partition: Its partition.
        borders: Border -> the offset at which it was closed, and where that stands.
        order: The borders, ascending.
        breaks: Borders at which the offsets of the input begin again.
        doubtful: Borders said to be closed at two offsets.
        exact: Borders at which no window was open.
        windows: End -> what its profiles add up to.
        claims: (previous, through) -> what its first watermark claims, and where that stands.
        begin: First offset counted, where the log holds the first watermark.
        whole: Partition of the log -> windows that end after this are wholly in it; None: all.
        through: Partition of the log -> its last border.
        doubts: (since, until]: windows of which profiles are lost, as has been reported.
        lost: Ranges that watermarks say were never read.
    """

    topic: str
    partition: int
    borders: dict[int, tuple[int, Place]] = field(default_factory=dict)
    order: list[int] = field(default_factory=list)
    breaks: set[int] = field(default_factory=set)
    doubtful: set[int] = field(default_factory=set)
    exact: set[int] = field(default_factory=set)
    windows: dict[int, Tally] = field(default_factory=dict)
    claims: dict[tuple[int | None, int], tuple[Claim, Place]] = field(default_factory=dict)
    begin: tuple[int, Place] | None = None
    whole: dict[int, int | None] = field(default_factory=dict)
    through: dict[int, int] = field(default_factory=dict)
    doubts: list[tuple[int, int]] = field(default_factory=list)
    lost: set[Lost] = field(default_factory=set)

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.topic}[{self.partition}]"

    @property
    def segment(self) -> int:
        """The border at which the offsets of the input began again for the last time."""
        return max(self.breaks, default=-(2**63))

    @property
    def stop(self) -> int:
        """The offset at which the last border was closed."""
        since = self.segment
        return max((at for b, (at, _) in self.borders.items() if b >= since), default=0)

    def doubt(self, since: int | None, until: int) -> None:
        """Profiles of the windows after ``since`` up to ``until`` are lost, and that is told."""
        self.doubts.append((-(2**63) if since is None else since, until))

    def border(self, record: WatermarkRecord, place: Place, report: Report) -> None:
        """See that a watermark's border agrees with those known, and remember it."""
        through, closed_at = record.through, record.closed_at
        if through is None:
            return
        known = self.borders.get(through)
        if known is None:
            self._between(through, closed_at, place, report)
            self.borders[through] = closed_at, place
            insort(self.order, through)
        elif known[0] != closed_at:
            self.doubtful.add(through)
            report.add(
                "chain_conflict",
                place,
                f"{self.name}: windows up to {through} are closed at offset {closed_at}; "
                f"{known[1]} says {known[0]}",
                Loss(self.topic, self.partition, "conflict", through),
            )
        if record.state == "idle":
            self.exact.add(through)

    def _between(self, through: int, closed_at: int, place: Place, report: Report) -> None:
        at = bisect_left(self.order, through)
        if at:
            before = self.order[at - 1]
            if self.borders[before][0] > closed_at:
                self.breaks.add(through)
                report.add(
                    "chain_order",
                    place,
                    f"{self.name}: border {through} is closed at offset {closed_at}, the earlier "
                    f"border {before} at {self.borders[before][0]} ({self.borders[before][1]})",
                    Loss(self.topic, self.partition, "rewound", through),
                )
        after = self.order[at] if at < len(self.order) else None
        if after is not None and after not in self.breaks and self.borders[after][0] < closed_at:
            report.add(
                "chain_order",
                place,
                f"{self.name}: border {through} is closed at offset {closed_at}, the later border "
                f"{after} at {self.borders[after][0]} ({self.borders[after][1]})",
            )

    def range(self, record: WatermarkRecord, place: Place, report: Report) -> None:
        """See that a closing's range begins where the one before ended, and what it claims."""
        assert record.through is not None  # noqa: S101 - the caller looked
        if record.previous is None:
            self.begin = self.begin or (record.start, place)
            expected, said = self.begin
        else:
            expected, said = self.borders.get(record.previous, (record.start, place))
        if record.start != expected and not record.lost and record.previous not in self.doubtful:
            kind = "chain_hole" if record.start > expected else "chain_twice"
            low, high = sorted((expected, record.start))
            words = "no range covers" if kind == "chain_hole" else "two ranges cover"
            report.add(
                kind,
                place,
                f"{self.name}: {words} offsets {low} to {high}: the range of the watermark for "
                f"windows up to {record.through} begins at {record.start}, not at {expected} "
                f"({said})",
            )
        claim = Claim(
            record.records,
            tuple(sorted(record.rejects.items())),
            record.late,
            record.clock_ahead,
        )
        before, there = self.claims.setdefault((record.previous, record.through), (claim, place))
        if before != claim:
            report.add(
                "count_claim",
                place,
                f"{self.name}: for windows up to {record.through} it says {claim}; {there} says "
                f"{before}",
            )
