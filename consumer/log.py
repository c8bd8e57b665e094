"""Records of the ``<app>-profiles`` log, the one ordered input of the detect stage.

Every record is a MessagePack map with a ``type`` tag and a format version ``v``. Times are
microseconds since 1970-01-01 UTC. ``through`` and ``end`` are ends of windows (exclusive).
"""

from __future__ import annotations

import zlib

import msgspec

from alerts.commands import Command
from sketches.detection import DetectionSettings

FORMAT_VERSION = 1


class ProfileRecord(msgspec.Struct, frozen=True, tag="profile", tag_field="type"):
    """One profile, or one of ``parts`` parts of it split by feature.

    ``writer``, ``topic``, ``partition``, ``end``, ``model``, ``version``, ``segment`` and ``part``
    name it; ``payload`` is ``sketches.codec``'s bytes. ``first`` and ``last`` are the offsets of
    the first and the last of its records: the evidence that an alert names. They are a function of
    the input alone; the ranges of watermark records depend on how closings were joined.
    """

    v: int
    writer: str
    topic: str
    partition: int
    end: int
    model: str
    version: str
    segment: str
    part: int
    parts: int
    payload: bytes
    first: int = -1
    last: int = -1


class Lost(msgspec.Struct, frozen=True, array_like=True):
    """Offsets ``[start, stop)`` that were not read: deleted before, or skipped by hand."""

    start: int
    stop: int


class WatermarkRecord(msgspec.Struct, frozen=True, tag="watermark", tag_field="type"):
    """Every window of one input partition that ends at or before ``through`` is closed.

    The same record, but for ``profiles`` and ``digest``, goes to every partition of the log.

    Attributes:
        writer: Random id of the process start that wrote it.
        topic: Input topic.
        partition: Input partition.
        partitions: Number of partitions of the input topic.
        window: Length of a window.
        previous: ``through`` of the watermark before; None: nothing was closed before.
        through: Latest closed border; None: the partition never held a record (idle only).
        closed_at: The offset just after the record that closed it.
        start: First offset counted since the watermark before (all of ``[start, closed_at)`` have
            been read; some of them are still in open windows).
        records: Readable records in the closed windows.
        rejects: Rejected ones, by reason.
        late: Records counted in a later window than their own.
        clock_ahead: Records whose event time was not believed.
        state: ``active``, ``idle`` (read to its end and silent) or ``stalled``.
        as_of: Wall time of an idle or stalled mark; None when active.
        profiles: Number of profile records in this partition of the log that belong to it.
        digest: CRC-32 over their payloads in order of publication.
        lost: Ranges never read.
        limited: Names of limits (``consumer.settings.Limits``) that cut something since the
            watermark before -> how often. A worker knows limits only since its own start and by
            batches, so the counts are for people; an event is made of the names alone.
    """

    v: int
    writer: str
    topic: str
    partition: int
    partitions: int
    window: int
    previous: int | None
    through: int | None
    closed_at: int
    start: int
    records: int
    rejects: dict[str, int]
    late: int
    clock_ahead: int
    state: str
    as_of: int | None
    profiles: int
    digest: int
    lost: tuple[Lost, ...] = ()
    limited: dict[str, int] = {}


class SettingsRecord(msgspec.Struct, frozen=True, tag="settings", tag_field="type"):
    """Detection settings that hold from here on; equal ``digest``: nothing changes."""

    v: int
    writer: str
    digest: str
    settings: DetectionSettings


class BaselineRecord(msgspec.Struct, frozen=True, tag="baseline", tag_field="type"):
    """A baseline that an operator gave, or one of ``parts`` parts of its bytes.

    It holds from the first window of the model that is not folded when the last part is read. The
    same record, with ``since``, stays in the compacted state topic.

    Attributes:
        writer: Random id of the command that wrote it.
        id: Of the baseline, a hash of its content.
        topic: Input topic of the model.
        model: Name of the model.
        version: Of the model; empty: every version.
        segment: Of its records; empty: those without one.
        part: Number of the part, from 0.
        payload: ``sketches.given``'s bytes, or a part of them.
        since: End of the last window folded before; None: none was, or the record is in the log.
    """

    v: int
    writer: str
    id: str
    topic: str
    model: str
    version: str
    segment: str
    part: int
    parts: int
    payload: bytes
    since: int | None = None


class CommandRecord(msgspec.Struct, frozen=True, tag="command", tag_field="type"):
    """An operator's command; the same record goes to every partition of the log."""

    v: int
    command: Command


LogRecord = ProfileRecord | WatermarkRecord | SettingsRecord | BaselineRecord | CommandRecord

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[LogRecord] = msgspec.msgpack.Decoder(LogRecord)


class LogFormatError(Exception):
    """A record of the log that this release cannot read."""


def encode(record: LogRecord) -> bytes:
    """The bytes of a log record."""
    return _encoder.encode(record)


def decode(value: bytes) -> LogRecord:
    """A log record from its bytes.

    Raises:
        LogFormatError: The bytes are not a log record, or one of a newer release.
    """
    try:
        record = _decoder.decode(value)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise LogFormatError(f"not a record of the profiles log: {error}") from error
    if record.v > FORMAT_VERSION:
        raise LogFormatError(
            f"format version {record.v} of the profiles log is newer than this release reads "
            f"({FORMAT_VERSION}); upgrade this worker"
        )
    return record


def settings_digest(settings: DetectionSettings) -> str:
    """A short hash that tells two detection settings apart."""
    return f"{zlib.crc32(msgspec.msgpack.encode(settings, order='deterministic')):08x}"


def log_partition(topic: str, model: str, partitions: int) -> int:
    """Partition of the log (of ``partitions``) that holds everything about a model of a topic."""
    return zlib.crc32(f"{topic}\0{model}".encode()) % partitions


def log_key(topic: str, model: str) -> bytes:
    """Kafka key of a profile record."""
    return f"{topic}\0{model}".encode()
