"""One partition of the profiles log, audited record by record: chains, profiles, repetitions.

Made from the formats of the log alone. What the worker makes of the same log is not asked: the
rules stand here a second time, so that a mistake in one of the two is seen.

Pure: no I/O and no clock.
"""

from __future__ import annotations

import zlib
from collections import OrderedDict
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import NamedTuple

from consumer.audit_findings import Loss, Place, Report
from consumer.audit_ledger import Ledger, Tally
from consumer.log import LogRecord, ProfileRecord, SettingsRecord, WatermarkRecord, log_partition
from sketches import codec

WRITERS = 8  # of one input partition whose profiles are kept until their watermark comes
WINDOWS = 20_000  # of one input partition and partition of the log whose profiles are compared

Key = tuple[str, str, str, int]  # model, version, segment, part
Input = tuple[str, int]


class _Seen(NamedTuple):
    """A profile record as it was published first."""

    print: bytes
    offset: int


@dataclass
class _Chain:
    """One input partition in one partition of the log.

    Attributes:
        through: Its last border; None: none yet.
        heard: A watermark has been seen.
        waits: Writer -> its profile records since its last watermark, with their offsets.
        marked: Writers of which a watermark has been seen.
        seen: End -> key -> the profile record as it was published first.
        judged: Windows that end after this can be told from repetitions; None: none can yet.
        sure: Its border is not that of a late repetition of what the log no longer holds.
    """

    through: int | None = None
    heard: bool = False
    waits: OrderedDict[str, dict[tuple[int, Key], tuple[int, ProfileRecord]]] = field(
        default_factory=OrderedDict
    )
    marked: set[str] = field(default_factory=set)
    seen: OrderedDict[int, dict[Key, _Seen]] = field(default_factory=OrderedDict)
    judged: int | None = None
    sure: bool = False


class LogAudit:
    """Chains of one partition of the log.

    Args:
        topic: Name of the profiles topic.
        number: Of the partition.
        partitions: How many the log has.
        trimmed: Records before the first one have been deleted.
        ledgers: Input partition -> what all partitions of the log say; filled here.
        report: Takes what is found.
    """

    def __init__(
        self,
        topic: str,
        number: int,
        partitions: int,
        *,
        trimmed: bool,
        ledgers: dict[Input, Ledger],
        report: Report,
    ) -> None:
        self._topic, self._number, self._partitions = topic, number, partitions
        self._trimmed = trimmed
        self._ledgers = ledgers
        self._report = report
        self._chains: dict[Input, _Chain] = {}
        self._begun: set[str] = set()  # writers whose start is in this log
        self.profiles = self.repeated = self.watermarks = 0

    def feed(self, offset: int, record: LogRecord) -> None:
        """Take one record; offsets ascend."""
        place = Place(self._topic, self._number, offset)
        if isinstance(record, ProfileRecord):
            self._profile(place, record)
        elif isinstance(record, WatermarkRecord):
            self._watermark(place, record)
        elif isinstance(record, SettingsRecord):
            self._begun.add(record.writer)

    # --- profiles -------------------------------------------------------------------------------

    def _profile(self, place: Place, record: ProfileRecord) -> None:
        self.profiles += 1
        home = log_partition(record.topic, record.model, self._partitions)
        if home != self._number:
            what = f"{_named(record)} belongs to partition {home} of the log"
            self._report.add("log_misplaced", place, what)
        chain = self._chains.setdefault((record.topic, record.partition), _Chain())
        key = (record.model, record.version, record.segment, record.part)
        self._compare(place, record, chain, key)
        if record.writer not in chain.waits and len(chain.waits) >= WRITERS:
            chain.waits.popitem(last=False)
        mine = chain.waits.setdefault(record.writer, {})
        chain.waits.move_to_end(record.writer)
        mine.pop((record.end, key), None)  # its writer begins again
        mine[record.end, key] = place.offset, record

    def _compare(self, place: Place, record: ProfileRecord, chain: _Chain, key: Key) -> None:
        """A repetition has equal bytes; a window that is closed gets no other profile."""
        made = _print(record)
        window = chain.seen.get(record.end)
        known = window.get(key) if window is not None else None
        if known is not None:
            self.repeated += 1
            if known.print != made:
                self._report.add(
                    "profile_changed",
                    place,
                    f"{_named(record)} was published with other content at offset {known.offset}; "
                    "equal records give equal bytes, unless settings of features or the release "
                    "changed between the two",
                )
            return
        if chain.through is not None and record.end <= chain.through:
            if chain.judged is not None and record.end > chain.judged:
                self._late(place, record)
            return
        chain.seen.setdefault(record.end, {})[key] = _Seen(made, place.offset)

    def _late(self, place: Place, record: ProfileRecord) -> None:
        what = f"{_named(record)}: the window is closed, and this profile was not in it"
        self._report.add("profile_late", place, what)

    # --- watermarks -----------------------------------------------------------------------------

    def _watermark(self, place: Place, record: WatermarkRecord) -> None:
        self.watermarks += 1
        name = record.topic, record.partition
        chain = self._chains.setdefault(name, _Chain())
        ledger = self._ledgers.setdefault(name, Ledger(*name))
        ledger.lost.update(record.lost)
        ledger.border(record, place, self._report)
        through, previous = record.through, record.previous
        if through is None:
            chain.heard = True
            return
        closes = previous is None or through > previous
        if closes:
            ledger.range(record, place, self._report)
        mine = [
            (at, one)
            for at, one in chain.waits.get(record.writer, {}).values()
            if one.end <= through and (previous is None or one.end > previous)
        ]
        cut = self._cut_off(chain, record)
        if not cut:
            self._announced(place, record, mine, ledger)
        if chain.through is None or through > chain.through:
            self._accept(place, record, chain, ledger, mine, cut=cut)
        self._forget(chain, record.writer, through)
        chain.heard = True
        chain.marked.add(record.writer)

    def _cut_off(self, chain: _Chain, record: WatermarkRecord) -> bool:
        """Whether some of its profiles may have been before the first record of the log."""
        return (
            self._trimmed and record.writer not in self._begun and record.writer not in chain.marked
        )

    def _announced(
        self,
        place: Place,
        record: WatermarkRecord,
        mine: list[tuple[int, ProfileRecord]],
        ledger: Ledger,
    ) -> None:
        """Its profiles are there, as many as it says and as they were."""
        found, said = len(mine), record.profiles
        name = f"{record.topic}[{record.partition}]"
        loss = Loss(record.topic, record.partition, "profiles", record.through)
        what = f"{name}: the watermark for windows up to {record.through} by {record.writer}"
        if found != said:
            kind = "profile_lost" if found < said else "profile_extra"
            text = f"{what} says {said} profiles in this partition of the log, there are {found}"
            self._report.add(kind, place, text, loss)
            ledger.doubt(record.previous, record.through or 0)
            return
        digest = 0
        for _, one in mine:
            digest = zlib.crc32(one.payload, digest)
        if digest != record.digest:
            which = f"offsets {mine[0][0]} to {mine[-1][0]}" if mine else "none"
            text = f"{what} has another digest than its {said} profiles ({which})"
            self._report.add("profile_changed", place, text, loss)
            ledger.doubt(record.previous, record.through or 0)

    def _accept(
        self,
        place: Place,
        record: WatermarkRecord,
        chain: _Chain,
        ledger: Ledger,
        mine: list[tuple[int, ProfileRecord]],
        *,
        cut: bool,
    ) -> None:
        """The windows after the last border up to its own are closed by this watermark."""
        through, previous, before = record.through, record.previous, chain.through
        assert through is not None  # noqa: S101 - the caller looked
        apart = previous is not None and (chain.heard if before is None else before < previous)
        known = record.writer in chain.marked
        begun = record.writer in self._begun
        if self._trimmed and apart and not (known or (chain.sure and begun)):
            apart, before = False, None
        if cut:
            ledger.whole[self._number] = chain.judged = through
        elif before is None:
            ledger.whole[self._number] = previous
            chain.judged = -(2**63) if previous is None else previous
        if apart:
            self._hole(place, record, ledger, before)
            chain.judged = previous
        chain.sure = chain.sure or not self._trimmed or known or begun
        since = max((each for each in (before, previous) if each is not None), default=-(2**63))
        taken = [(at, one) for at, one in mine if one.end > since]
        if not cut:
            self._tally(taken, ledger)
        keys = {(one.end, _key(one)) for _, one in taken}
        if not cut:
            self._others(chain, keys, since, through)
        chain.through = ledger.through[self._number] = through
        while len(chain.seen) > WINDOWS:
            end, _ = chain.seen.popitem(last=False)
            chain.judged = max(end, end if chain.judged is None else chain.judged)

    def _hole(
        self, place: Place, record: WatermarkRecord, ledger: Ledger, before: int | None
    ) -> None:
        until = record.previous or 0
        ledger.doubt(before, until)
        after = "the beginning" if before is None else before
        text = f"{ledger.name}: no watermark covers the windows after {after} up to {until}"
        loss = Loss(record.topic, record.partition, "gap", until)
        self._report.add("chain_hole", place, text, loss)

    def _others(self, chain: _Chain, keys: set[tuple[int, Key]], since: int, through: int) -> None:
        """Whatever else was published for these windows repeats what has been accepted."""
        told = set()
        for waits in chain.waits.values():
            for (end, key), (at, one) in waits.items():
                if since < end <= through and (end, key) not in keys and (end, key) not in told:
                    told.add((end, key))
                    self._late(Place(self._topic, self._number, at), one)

    def _tally(self, taken: list[tuple[int, ProfileRecord]], ledger: Ledger) -> None:
        whole: dict[tuple[int, str, str, str], list[tuple[int, ProfileRecord]]] = {}
        for at, one in taken:
            whole.setdefault((one.end, *_key(one)[:3]), []).append((at, one))
        for parts in whole.values():
            at, first = parts[0]
            place = Place(self._topic, self._number, at)
            numbers = sorted(one.part for _, one in parts)
            if numbers != list(range(first.parts)):
                have = f"has parts {numbers} of {first.parts}"
                ledger.doubt(first.end - 1, first.end)
                self._report.add("profile_part", place, f"{_named(first)} {have}")
                continue
            try:
                profile = codec.decode([one.payload for _, one in parts])
            except codec.CodecError as error:
                loss = Loss(ledger.topic, ledger.partition, "unreadable", first.end)
                ledger.doubt(first.end - 1, first.end)
                self._report.add("profile_unreadable", place, f"{_named(first)}: {error}", loss)
                continue
            window = ledger.windows.get(first.end)
            if window is None:
                window = ledger.windows[first.end] = Tally(place)
            window.add(profile, first.first, max(one.last for _, one in parts))

    @staticmethod
    def _forget(chain: _Chain, writer: str, through: int) -> None:
        """What a watermark has covered is done with."""
        waits = chain.waits.get(writer)
        if waits is not None:
            for name in [name for name in waits if name[0] <= through]:
                del waits[name]
            if not waits:
                del chain.waits[writer]


def _key(record: ProfileRecord) -> Key:
    return (record.model, record.version, record.segment, record.part)


def _print(record: ProfileRecord) -> bytes:
    facts = f"{record.parts}/{record.first}/{record.last}".encode()
    return blake2b(record.payload, digest_size=12, key=facts[:64]).digest()


def _named(record: ProfileRecord) -> str:
    names = [record.model or "(no model)", record.version, record.segment]
    part = f" part {record.part}" if record.parts > 1 else ""
    return (
        f"{record.topic}[{record.partition}]: the profile of {'/'.join(filter(None, names))} in "
        f"the window up to {record.end}{part} by {record.writer}"
    )
