"""What the profiles log says last about an input partition."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from .kafka import Admin, Partition
from .log import LogFormatError, WatermarkRecord, decode
from .scan import read_range
from .settings import Settings
from .start import Word

CHUNK = 2_000  # offsets of the log that are read at once, from its end backwards; doubled


def last_word(settings: Settings, admin: Admin, place: Partition, reach: int) -> Word | None:
    """Find it; None: the log does not hold a border of that partition.

    Every partition of the log has all watermarks, so one is read.

    Args:
        settings: Which log.
        admin: To ask where it ends.
        place: Input partition.
        reach: Lateness and length of a window, microseconds.

    Raises:
        KafkaFailure: The log cannot be read.
    """
    log = settings.profiles_topic, 0
    low = admin.offsets({log: "earliest"})[log]
    stop = admin.offsets({log: "latest"})[log]
    marks: list[tuple[int, int]] = []
    chunk = CHUNK
    while stop > low:
        start = max(low, stop - chunk)
        for batch in read_range(settings.kafka, log, start, stop, group=settings.group):
            marks += _marks(batch.values, place)
        word = word_of(marks, reach)
        if word is not None and min(marks)[0] < word.through - reach:
            return word
        stop, chunk = start, 2 * chunk
    return word_of(marks, reach)


def heard_of(settings: Settings, admin: Admin, topic: str) -> bool:
    """Whether the log holds a border of any partition of an input topic.

    Raises:
        KafkaFailure: The log cannot be read.
    """
    log = settings.profiles_topic, 0
    low = admin.offsets({log: "earliest"})[log]
    stop = admin.offsets({log: "latest"})[log]
    return any(
        mark.topic == topic
        for batch in read_range(settings.kafka, log, low, stop, group=settings.group)
        for mark in _watermarks(batch.values)
    )


def word_of(marks: Iterable[tuple[int, int]], reach: int) -> Word | None:
    """The last word from (border, offset just after the record that closed it), in any order.

    A record of a window that is open has an event time at or after the last border. As it was read
    it moved the border to at most ``reach`` before that, unless that had been passed: so it comes
    after any border that is earlier still. (A watermark may join several borders.)
    """
    known = list(marks)
    if not known:
        return None
    through, closed_at = max(known)
    before = [at for border, at in known if border < through - reach]
    return Word(through, closed_at, max(before, default=0))


def _marks(values: Iterable[bytes | None], place: Partition) -> list[tuple[int, int]]:
    return [
        (mark.through, mark.closed_at)
        for mark in _watermarks(values)
        if (mark.topic, mark.partition) == place and mark.through is not None
    ]


def _watermarks(values: Iterable[bytes | None]) -> Iterator[WatermarkRecord]:
    """Those that tell of a border."""
    for value in values:
        try:
            record = decode(value or b"")
        except LogFormatError:  # whoever folds the log says so
            continue
        if isinstance(record, WatermarkRecord) and record.through is not None:
            yield record
