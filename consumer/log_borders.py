"""What the log says about each input partition: borders passed once, profiles that wait, losses.

Every window of an input partition is published at least once, often more: a worker that restarts
publishes again what it had not committed, and an owner that does not know yet that it lost the
partition goes on for a while. All of them publish the same windows, but may cut them into other
watermark records. So a watermark counts for the windows between the last border and its own, its
writer's profiles for those windows are taken, and all else is a repetition: dropped and counted.
Nothing is dropped silently: what should have been there and is not becomes a ``Loss``.

Pure: no I/O and no clock. All of the state goes into a snapshot (``state``, ``restore``).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from consumer.crc import crc32_joined
from consumer.log import ProfileRecord, WatermarkRecord

WAITING_BYTES = 256_000_000  # payloads that wait for their watermark, over all input partitions
WRITERS = 8  # writers remembered per input partition: its owner, and those just before
BORDERS = 32  # borders per input partition whose ``closed_at`` is still compared
TOLD = 64  # losses per input partition that are not told again


class Loss(msgspec.Struct, frozen=True):
    """Data that will never be in a window, or of which it is not known whether they are.

    Attributes:
        topic: Input topic.
        partition: Input partition.
        reason: ``offsets``: input records that were never read. ``gap``: windows whose
            watermark never came. ``profiles``: fewer profiles than their watermark said, or others.
            ``conflict``: two workers closed the same windows at different offsets. ``rewound``:
            the input's offsets went back; the topic was made anew. ``memory``: profiles were let
            go, because too many waited for their watermarks. ``unreadable``: this release cannot
            read a profile.
        time: Border at which it was seen, microseconds (``offsets``: after which); None: nothing
            was closed yet.
        start: First offset lost (``offsets``), or the smaller of two that conflict; else None.
        stop: Offset after the last one lost, or the larger of two that conflict; else None.
        since: Windows that end after this are concerned; None: unknown or does not apply.
        until: Windows that end up to this are concerned; None likewise.
        expected: Profiles said by the watermark.
        found: Profiles found.
    """

    topic: str
    partition: int
    reason: str
    time: int | None
    start: int | None = None
    stop: int | None = None
    since: int | None = None
    until: int | None = None
    expected: int | None = None
    found: int | None = None


class Piece(msgspec.Struct, array_like=True):
    """One profile record that waits for its watermark.

    ``payload`` is None once it cannot be needed any more; ``crc`` and ``size`` then stand for it,
    so that the digest over its publication can still be checked.
    """

    end: int
    model: str
    version: str
    segment: str
    part: int
    parts: int
    first: int
    last: int
    payload: bytes | None
    crc: int = 0
    size: int = 0
    needed: bool = True  # False: somebody's watermark has passed its window


PieceKey = tuple[int, str, str, str, int]


class Wait(msgspec.Struct, array_like=True):
    """What one writer has published for one input partition since its last watermark."""

    writer: str
    touched: int  # when it last published: a count of profile records of this log partition
    pieces: list[Piece]


class InputBorder(msgspec.Struct):
    """The log's last word about one input partition."""

    through: int | None = None
    closed_at: int = -1
    heard: bool = False
    lost_to: int = -1  # input offsets below it that were lost have been told
    repeated: int = 0  # repetitions dropped: watermarks and profiles
    recent: dict[int, int] = {}  # border -> closed_at, in order
    told: list[Loss] = []
    waits: list[Wait] = []


class Accepted(NamedTuple):
    """One whole profile (all of its parts) of a window that has just been closed."""

    end: int
    model: str
    version: str
    segment: str
    payloads: tuple[bytes, ...]
    first: int
    last: int


class Step(NamedTuple):
    """What one watermark did.

    Attributes:
        moved: It brought a new border.
        current: It stands at the newest border (moved or not), so that its ``state`` is news.
        profiles: Profiles of the windows it closed, in order of publication.
        losses: Found with it, each told once.
    """

    moved: bool
    current: bool
    profiles: list[Accepted]
    losses: list[Loss]


class _Watch:
    """One input partition while it is folded: its border and, per writer, the pieces by key."""

    __slots__ = ("border", "waits")

    def __init__(self, border: InputBorder) -> None:
        self.border = border
        self.waits: dict[str, tuple[Wait, dict[PieceKey, Piece]]] = {}
        for wait in border.waits:
            self.waits[wait.writer] = (wait, {_key(piece): piece for piece in wait.pieces})
        border.waits = []  # one truth: it is written back by ``state``


class LogBorders:
    """Borders and waiting profiles of every input partition, by one partition of the log."""

    def __init__(self, waiting_bytes: int = WAITING_BYTES) -> None:
        self.waiting = 0  # bytes of payloads that wait
        self._limit = waiting_bytes
        self._count = 0  # profile records seen
        self._inputs: dict[tuple[str, int], _Watch] = {}

    @property
    def repeated(self) -> int:
        """Repetitions dropped so far."""
        return sum(watch.border.repeated for watch in self._inputs.values())

    def through(self, topic: str, partition: int) -> int | None:
        """The last border of an input partition; None: it has none."""
        watch = self._inputs.get((topic, partition))
        return None if watch is None else watch.border.through

    def hold(self, record: ProfileRecord) -> None:
        """Let a profile wait for its writer's watermark."""
        watch = self._watch(record.topic, record.partition)
        self._count += 1
        wait, pieces = self._wait(watch, record.writer)
        wait.touched = self._count
        piece = Piece(
            record.end,
            record.model,
            record.version,
            record.segment,
            record.part,
            record.parts,
            record.first,
            record.last,
            record.payload,
        )
        key = _key(piece)
        if key in pieces:
            # The writer starts anew: it lost the partition, or the broker, before its watermark.
            # The digest is over what it publishes now, so the piece moves to the end.
            self._remove(watch, pieces, [key], repeated=True)
        self.waiting += len(record.payload)
        pieces[key] = piece
        through = watch.border.through
        if through is not None and record.end <= through:
            self._pass_over(piece)
        if self.waiting > self._limit:
            self._make_room(watch, record.writer)

    def close(self, record: WatermarkRecord) -> Step:
        """Take a watermark: the windows that it closes, or that it is a repetition."""
        watch = self._watch(record.topic, record.partition)
        border = watch.border
        losses = _lost(border, record)
        through = record.through
        pieces = watch.waits[record.writer][1] if record.writer in watch.waits else {}
        if through is None or (border.through is not None and through <= border.through):
            current = through == border.through
            if (
                through is not None
                and border.recent.get(through, record.closed_at) != record.closed_at
            ):
                losses += _conflict(border, record)
                current = False
            if through is not None:
                done = [key for key in pieces if key[0] <= through]
                border.repeated += not current or bool(done)
                self._remove(watch, pieces, done, repeated=True)
            border.heard = True
            return Step(False, current, [], losses)
        mine = [piece for piece in pieces.values() if _between(piece.end, record.previous, through)]
        losses += _missing(border, record, mine)
        profiles = _whole(piece for piece in mine if piece.payload is not None)
        self._remove(watch, pieces, [key for key in pieces if key[0] <= through], repeated=False)
        border.repeated += sum(not piece.needed for piece in mine)
        border.through, border.closed_at, border.heard = through, record.closed_at, True
        border.recent[through] = record.closed_at
        if len(border.recent) > BORDERS:
            del border.recent[next(iter(border.recent))]
        for wait, others in watch.waits.values():
            if wait.writer != record.writer:
                for piece in others.values():
                    if piece.end <= through:
                        self._pass_over(piece)
        return Step(True, True, profiles, losses)

    def state(self) -> list[tuple[str, int, InputBorder]]:
        """Everything, to be encoded with msgspec."""
        told = []
        for (topic, partition), watch in self._inputs.items():
            waits = [
                Wait(wait.writer, wait.touched, list(pieces.values()))
                for wait, pieces in watch.waits.values()
                if pieces
            ]
            told.append((topic, partition, msgspec.structs.replace(watch.border, waits=waits)))
        return told

    @classmethod
    def restore(
        cls, state: Iterable[tuple[str, int, InputBorder]], waiting_bytes: int = WAITING_BYTES
    ) -> LogBorders:
        """Borders that go on exactly where ``state`` was taken."""
        borders = cls(waiting_bytes)
        for topic, partition, border in state:
            watch = _Watch(border)
            borders._inputs[topic, partition] = watch
            for wait, pieces in watch.waits.values():
                borders._count = max(borders._count, wait.touched)
                borders.waiting += sum(len(piece.payload or b"") for piece in pieces.values())
        return borders

    def _watch(self, topic: str, partition: int) -> _Watch:
        watch = self._inputs.get((topic, partition))
        if watch is None:
            watch = self._inputs[topic, partition] = _Watch(InputBorder())
        return watch

    def _wait(self, watch: _Watch, writer: str) -> tuple[Wait, dict[PieceKey, Piece]]:
        held = watch.waits.get(writer)
        if held is not None:
            return held
        empty = [name for name, (_, pieces) in watch.waits.items() if not pieces]
        for name in empty:
            del watch.waits[name]
        if len(watch.waits) >= WRITERS:  # a writer that has been gone for that long is dead
            oldest = min(watch.waits.values(), key=lambda held: held[0].touched)
            self._remove(watch, oldest[1], list(oldest[1]), repeated=True)
            del watch.waits[oldest[0].writer]
        held = watch.waits[writer] = (Wait(writer, self._count, []), {})
        return held

    def _remove(
        self, watch: _Watch, pieces: dict[PieceKey, Piece], keys: list[PieceKey], *, repeated: bool
    ) -> None:
        for key in keys:
            self.waiting -= len(pieces.pop(key).payload or b"")
        if repeated:
            watch.border.repeated += len(keys)

    def _pass_over(self, piece: Piece) -> None:
        """The piece's window has been closed by somebody's watermark: its payload is not needed."""
        piece.needed = False
        self._let_go(piece)

    def _let_go(self, piece: Piece) -> None:
        if piece.payload is not None:
            self.waiting -= len(piece.payload)
            piece.crc, piece.size = zlib.crc32(piece.payload), len(piece.payload)
            piece.payload = None

    def _make_room(self, watch: _Watch, writer: str) -> None:
        """Let payloads go, those of the writer silent for longest first, its own last."""
        mine = watch.waits[writer][0]
        held = [each for other in self._inputs.values() for each in other.waits.values()]
        held.sort(key=lambda each: (each[0] is mine, each[0].touched))
        for _, pieces in held:
            for piece in pieces.values():
                if self.waiting <= self._limit * 3 // 4:  # not at every single profile
                    return
                self._let_go(piece)


def _key(piece: Piece) -> PieceKey:
    return (piece.end, piece.model, piece.version, piece.segment, piece.part)


def _between(end: int, previous: int | None, through: int) -> bool:
    return end <= through and (previous is None or end > previous)


def _told_once(border: InputBorder, loss: Loss) -> list[Loss]:
    if loss in border.told:
        return []
    border.told.append(loss)
    del border.told[:-TOLD]
    return [loss]


def _lost(border: InputBorder, record: WatermarkRecord) -> list[Loss]:
    """The ranges never read that have not been told.

    Their time is the border before them: the next one depends on what their worker closed at once.
    """
    losses = []
    for lost in record.lost:
        start = max(lost.start, border.lost_to)
        if start < lost.stop:
            border.lost_to = lost.stop
            losses.append(
                Loss(
                    record.topic,
                    record.partition,
                    "offsets",
                    border.through,
                    start=start,
                    stop=lost.stop,
                )
            )
    return losses


def _conflict(border: InputBorder, record: WatermarkRecord) -> list[Loss]:
    assert record.through is not None  # noqa: S101 -- for the type checker; the caller looked
    loss = Loss(
        record.topic,
        record.partition,
        "conflict",
        record.through,
        start=min(border.recent[record.through], record.closed_at),
        stop=max(border.recent[record.through], record.closed_at),
        until=record.through,
    )
    return _told_once(border, loss)


def _missing(border: InputBorder, record: WatermarkRecord, mine: list[Piece]) -> list[Loss]:
    """What is wrong with a watermark that brings a new border."""
    losses = []
    topic, partition, through = record.topic, record.partition, record.through
    since = border.through
    if border.heard and record.previous is not None and (since is None or since < record.previous):
        losses.append(
            Loss(topic, partition, "gap", record.previous, since=since, until=record.previous)
        )
    if border.closed_at > record.closed_at:
        losses.append(
            Loss(
                topic,
                partition,
                "rewound",
                through,
                start=record.closed_at,
                stop=border.closed_at,
                since=since,
                until=through,
            )
        )
    # The first word about a partition after the start of what the log still holds may have lost its
    # profiles to retention: that is not a loss of data, they were judged long ago.
    cut_off = not border.heard and record.previous is not None
    if not cut_off and (len(mine) != record.profiles or _digest(mine) != record.digest):
        losses.append(
            Loss(
                topic,
                partition,
                "profiles",
                through,
                since=record.previous if since is None else since,
                until=through,
                expected=record.profiles,
                found=len(mine),
            )
        )
    gone = sum(piece.needed and piece.payload is None for piece in mine)
    if gone:
        losses.append(
            Loss(
                topic,
                partition,
                "memory",
                through,
                since=since,
                until=through,
                expected=record.profiles,
                found=len(mine) - gone,
            )
        )
    return losses


def _digest(pieces: list[Piece]) -> int:
    crc = 0
    for piece in pieces:
        if piece.payload is None:
            crc = crc32_joined(crc, piece.crc, piece.size)
        else:
            crc = zlib.crc32(piece.payload, crc)
    return crc


def _whole(pieces: Iterable[Piece]) -> list[Accepted]:
    """The profiles of which every part is there, in order of their first part."""
    together: dict[tuple[int, str, str, str], list[Piece]] = {}
    for piece in pieces:
        name = (piece.end, piece.model, piece.version, piece.segment)
        together.setdefault(name, []).append(piece)
    whole = []
    for name, parts in together.items():
        if len(parts) == parts[0].parts:
            parts.sort(key=lambda piece: piece.part)
            payloads = tuple(piece.payload for piece in parts if piece.payload is not None)
            whole.append(Accepted(*name, payloads, parts[0].first, parts[0].last))
    return whole
