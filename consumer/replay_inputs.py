"""What a replay reads: files of JSON lines, one partition each, and ranges of topics."""

from __future__ import annotations

import gzip
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import IO, Protocol

import numpy as np
import orjson

from .batch import NO_TIME, Batch, Decoder, RawBatch
from .kafka import Admin, Partition
from .log import LogFormatError, LogRecord, decode
from .scan import read_range
from .settings import Settings


class ReplayError(Exception):
    """An input that cannot be replayed; the text names it and says what is allowed."""


class Source(Protocol):
    """One partition of an input topic, read in order."""

    name: str
    topic: str
    partition: int
    start: int

    def read(self, records: int) -> RawBatch | None:
        """The next messages; None at the end."""
        ...

    def share(self) -> float | None:
        """Share of it that has been read; None: unknown."""
        ...

    def where(self, offset: int) -> str:
        """Where a record stands, for an error."""
        ...


class FileSource:
    """A file of JSON lines, each a message or ``{"timestamp": ms, "key": ..., "value": ...}``."""

    def __init__(self, path: str, topic: str, partition: int) -> None:
        self.name, self.topic, self.partition, self.start = path, topic, partition, 0
        self._file, self._raw, self._size = _open(path)
        self._next = 0

    def read(self, records: int) -> RawBatch | None:
        """The next lines as messages; the timestamp of a line without one is ``NO_TIME``."""
        lines = [line.rstrip(b"\r\n") for line in islice(self._file, records)]
        if not lines:
            self._file.close()
            return None
        pairs = [_message(line) for line in lines]
        count = len(lines)
        raw = RawBatch(
            self.topic,
            self.partition,
            np.arange(self._next, self._next + count, dtype=np.int64),
            np.array([when for when, _ in pairs], dtype=np.int64),
            [value for _, value in pairs],
        )
        self._next += count
        return raw

    def share(self) -> float | None:
        """By bytes of the file."""
        return self._raw.tell() / self._size if self._size and not self._raw.closed else None

    def where(self, offset: int) -> str:
        """By line."""
        return f"{self.name}: line {offset + 1}"


def _open(path: str) -> tuple[IO[bytes] | gzip.GzipFile, IO[bytes], int]:
    if path == "-":
        return sys.stdin.buffer, sys.stdin.buffer, 0
    try:
        raw = Path(path).open("rb")  # noqa: SIM115 - closed at its end
    except OSError as error:
        raise ReplayError(f"{path}: {error.strerror}") from error
    size = Path(path).stat().st_size
    if path.endswith(".gz"):
        return gzip.GzipFile(fileobj=raw), raw, size
    return raw, raw, size


def _message(line: bytes) -> tuple[int, bytes | None]:
    """Timestamp in microseconds (``NO_TIME``: none) and value of one line."""
    if not line.startswith(b"{") or b'"value"' not in line:
        return NO_TIME, line or None
    try:
        outer = orjson.loads(line)
    except orjson.JSONDecodeError:
        return NO_TIME, line
    if not outer.keys() <= {"timestamp", "key", "value"} or "value" not in outer:
        return NO_TIME, line
    value, when = outer["value"], outer.get("timestamp")
    if value is not None:
        value = value.encode() if isinstance(value, str) else orjson.dumps(value)
    return int(when * 1000) if isinstance(when, int | float) else NO_TIME, value


class TopicSource:
    """Offsets ``[start, stop)`` of one partition of a topic."""

    def __init__(
        self, settings: Settings, topic: str, partition: int, start: int, stop: int
    ) -> None:
        self.name = f"{topic}[{partition}]"
        self.topic, self.partition, self.start = topic, partition, start
        self._stop = stop
        self._at = start
        batches = read_range(settings.kafka, (topic, partition), start, stop, group=settings.group)
        self._batches: Iterator[RawBatch] = batches if start < stop else iter(())

    def read(self, records: int) -> RawBatch | None:
        """The next batch, as the client fetched it."""
        raw = next(self._batches, None)
        if raw is not None:
            self._at = int(raw.offsets[-1]) + 1
        return raw

    def share(self) -> float | None:
        """By offsets."""
        length = self._stop - self.start
        return (self._at - self.start) / length if length else 1.0

    def where(self, offset: int) -> str:
        """By offset."""
        return f"{self.name} at offset {offset}"


def open_sources(settings: Settings, inputs: list[str], topic: str | None = None) -> list[Source]:
    """One source for every file and every partition of every topic range, in the order given.

    Args:
        settings: Which topics there are.
        inputs: Files and topic ranges.
        topic: That files are partitions of; None: the configuration's only one.

    Raises:
        ReplayError: One of them cannot be read.
    """
    sources: list[Source] = []
    files: Counter[str] = Counter()
    for text in inputs:
        if text.startswith("topic:"):
            name, first, last = _range(text)
            if settings.input_for(name) is None:
                raise ReplayError(f"{text}: no input of the configuration reads {name}")
            for (_, partition), (start, stop) in ends_of(settings, name, first, last).items():
                sources.append(TopicSource(settings, name, partition, start, stop))
        else:
            name = topic or _topic_of_files(settings)
            sources.append(FileSource(text, name, files[name]))
            files[name] += 1
    return sources


def _topic_of_files(settings: Settings) -> str:
    named = [t for one in settings.inputs for t in one.topics if not t.startswith("^")]
    if len(named) != 1:
        raise ReplayError(
            "files are replayed as partitions of the configuration's one topic, but it names "
            f"{len(named)} ({', '.join(named) or 'only patterns'}): use a configuration with one"
        )
    return named[0]


def _range(text: str) -> tuple[str, int | None, int | None]:
    name, at, span = text.removeprefix("topic:").partition("@")
    first, dots, last = span.partition("..")
    if at and not dots:
        raise ReplayError(f"{text}: a range is topic:NAME@FROM..TO, either end may be left out")
    return name, _moment(text, first), _moment(text, last)


def _moment(text: str, written: str) -> int | None:
    if not written:
        return None
    try:
        moment = datetime.fromisoformat(written)
    except ValueError as error:
        raise ReplayError(f"{text}: {written!r} is not a time such as 2026-11-24T10:00Z") from error
    return int((moment if moment.tzinfo else moment.astimezone()).timestamp() * 1_000_000)


def ends_of(
    settings: Settings, topic: str, first: int | None = None, last: int | None = None
) -> dict[Partition, tuple[int, int]]:
    """First offset and the one after the last of each partition of a topic, between two times."""
    admin = Admin(settings.kafka)
    count = admin.topics().get(topic)
    if count is None:
        raise ReplayError(f"topic:{topic}: there is no such topic")
    places = [(topic, number) for number in range(count)]
    starts = admin.offsets(dict.fromkeys(places, "earliest" if first is None else first))
    stops = admin.offsets(dict.fromkeys(places, "latest" if last is None else last))
    return {place: (starts[place], stops[place]) for place in places}


def log_records(settings: Settings, inputs: list[str]) -> Iterator[tuple[int, int, int, LogRecord]]:
    """The records of an existing profiles log: (partition, partitions, offset, record).

    Args:
        settings: Where Kafka is.
        inputs: ``topic:<app>-profiles[@FROM..TO]``; none: the configuration's own log.
    """
    for text in inputs or [f"topic:{settings.profiles_topic}"]:
        if not text.startswith("topic:"):
            raise ReplayError(f"{text}: --log folds a topic, topic:NAME[@FROM..TO]")
        name, first, last = _range(text)
        ends = ends_of(settings, name, first, last)
        for place, (start, stop) in ends.items():
            partition = place[1]
            for raw in read_range(settings.kafka, place, start, stop, group=settings.group):
                for offset, value in zip(raw.offsets.tolist(), raw.values, strict=True):
                    try:
                        yield partition, len(ends), offset, decode(value or b"")
                    except LogFormatError as error:
                        # As the worker does: a later release may have written it.
                        sys.stderr.write(f"{name}[{partition}] at {offset}: skipped: {error}\n")


def stand_in_times(decode: Decoder) -> Decoder:
    """A decoder for messages without timestamps: the event time stands for it.

    A message without any time stands beside the latest one before it.
    """
    newest = 0

    def timed(raw: RawBatch) -> Batch:
        nonlocal newest
        batch = decode(raw)
        stamps = batch.timestamps
        lacking = stamps == NO_TIME
        if lacking.any():
            own = np.where(lacking, batch.times, stamps)
            known = np.maximum.accumulate(np.where(own == NO_TIME, newest, own))
            batch = replace(batch, timestamps=np.where(own == NO_TIME, known, own))
        newest = max(newest, int(batch.timestamps.max()))
        return batch

    return timed
