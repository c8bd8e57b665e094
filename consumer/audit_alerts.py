"""Whether the alerts topic says what follows from the profiles log, no more and no less.

What follows is computed by the product's own detect stage (``consumer.fold``), which is a function
of the log; the comparison is made here. Repetitions of equal bytes are allowed, as delivery at
least once makes them.

Pure: no I/O and no clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from alerts.alertmanager import is_test
from alerts.events import DataLoss, Event, EventFormatError, from_message, to_message
from alerts.units import rfc3339
from consumer.audit_findings import Loss, Place, Report
from consumer.batch import RawBatch
from consumer.fold import Fold
from consumer.log import LogRecord, log_partition

Message = tuple[bytes, bytes, list[tuple[str, bytes]]]  # key, value, headers


class Expected(NamedTuple):
    """An event that follows from the log.

    Attributes:
        message: As it has to be published.
        place: The record of the log after which it follows.
        at: When the broker took that record, microseconds.
        due: It must have been published by now.
    """

    message: Message
    place: Place
    at: int
    due: bool


class Found(NamedTuple):
    """An event on the alerts topic, at its first place."""

    event: Event
    message: Message
    place: Place
    at: int


@dataclass
class Following:
    """What follows from all partitions of the log.

    Attributes:
        app: Name of the application.
        events: Event id -> what follows, in the order of each partition of the log.
        since: Partition of the log that is folded from a snapshot -> when that was written; None:
            it cannot be folded at all. The others are folded from their beginning.
    """

    app: str
    events: dict[str, Expected] = field(default_factory=dict)
    since: dict[int, int | None] = field(default_factory=dict)

    def apply(self, fold: Fold, place: Place, at: int, record: LogRecord, *, due: bool) -> None:
        """Fold one record and remember what follows."""
        for event in fold.apply(place.offset, record):
            message = to_message(event, self.app)
            self.events.setdefault(event.id, Expected(message, place, at, due))
        fold.take_given()  # what becomes of baselines is told by events


@dataclass
class Alerts:
    """What the alerts topic says.

    Attributes:
        found: Event id -> the event, in order of partitions and offsets.
        messages: How many there are, repetitions included.
        trimmed_at: Messages up to this moment may have been deleted; None: none has.
    """

    report: Report
    found: dict[str, Found] = field(default_factory=dict)
    messages: int = 0
    trimmed_at: int | None = None
    _losses: dict[tuple[str, int, str, str | None], str] = field(default_factory=dict)

    def read(self, topic: str, partition: int, batches: Iterable[RawBatch], trimmed: bool) -> None:
        """Take all messages of one partition; equal ids must have equal bytes."""
        first: int | None = None
        for place, at, message in _messages(topic, partition, batches):
            self.messages += 1
            first = at if first is None else first
            try:
                event = from_message(message[1])
            except EventFormatError as error:
                self.report.add("alert_unreadable", place, str(error))
                continue
            known = self.found.get(event.id)
            if known is None:
                self.found[event.id] = Found(event, message, place, at)
                if isinstance(event, DataLoss):
                    name = (event.topic, event.partition, event.reason, event.until)
                    self._losses.setdefault(name, event.id)
            elif known.message != message:
                text = f"event {event.id} was published with other content at {known.place}"
                self.report.add("alert_changed", place, f"{text}: {_apart(known.message, message)}")
        if trimmed:
            cut = 2**62 if first is None else first
            self.trimmed_at = max(cut, self.trimmed_at or cut)

    def tells(self, loss: Loss) -> str | None:
        """The id of the event that declares a loss."""
        until = None if loss.until is None else rfc3339(loss.until)
        return self._losses.get((*loss[:3], until))


def compare(following: Following, alerts: Alerts, log_partitions: int, report: Report) -> None:
    """Hold what is published against what follows.

    Args:
        following: From the log.
        alerts: From the alerts topic.
        log_partitions: How many partitions the log has.
        report: Takes what is found.
    """
    unknown = tests = 0
    for name, found in alerts.found.items():
        expected = following.events.get(name)
        if expected is None:
            if is_test(found.event):  # of streamgauge test-alert
                tests += 1
            elif _must_follow(found, following, log_partitions):
                what = f"event {name} ({_words(found.event)}) follows from nothing in the log"
                report.add("alert_extra", found.place, what)
            else:
                unknown += 1
        elif found.message != expected.message:
            report.add(
                "alert_changed",
                found.place,
                f"event {name} ({_words(found.event)}) is not what follows from {expected.place}: "
                f"{_apart(expected.message, found.message)}",
            )
    if unknown:
        report.note(f"{unknown} events are older than what the log still lets compute")
    if tests:
        report.note(f"{tests} events are tests that somebody sent")
    _missing(following, alerts, report)
    _order(following, alerts, report)
    _revisions(following, alerts, report)


def _missing(following: Following, alerts: Alerts, report: Report) -> None:
    gone = 0
    for name, expected in following.events.items():
        if name in alerts.found or not expected.due:
            continue
        if alerts.trimmed_at is not None and expected.at <= alerts.trimmed_at:
            gone += 1
            continue
        event = from_message(expected.message[1])
        what = f"event {name} ({_words(event)}) follows from this record and is not published"
        report.add("alert_missing", expected.place, what)
    if gone:
        report.note(f"{gone} events may have been deleted from the alerts topic by its retention")


def _must_follow(found: Found, following: Following, log_partitions: int) -> bool:
    """Whether the part of the log that it would follow from is there."""
    event = found.event
    numbers = range(log_partitions)
    if event.model or not isinstance(event, DataLoss):
        number = log_partition(event.topic, event.model, log_partitions)
        numbers = range(number, number + 1)
    for number in numbers:
        since = following.since.get(number, 0)
        if since is None or found.at <= since:
            return False
    return True


def _order(following: Following, alerts: Alerts, report: Report) -> None:
    """What follows from one partition of the log stands in its order wherever it stands."""
    rank = {name: at for at, name in enumerate(following.events)}
    last: dict[tuple[int, int], tuple[int, Found]] = {}
    for name, found in alerts.found.items():
        expected = following.events.get(name)
        if expected is None or isinstance(found.event, DataLoss):  # many partitions tell of one
            continue
        lane = found.place.partition, expected.place.partition
        before = last.get(lane)
        if before is not None and before[0] > rank[name]:
            report.add(
                "alert_order",
                found.place,
                f"event {name} ({_words(found.event)}) comes after {before[1].event.id} "
                f"({_words(before[1].event)}, {before[1].place}), which follows later",
            )
        else:
            last[lane] = rank[name], found


def _revisions(following: Following, alerts: Alerts, report: Report) -> None:
    """The revisions of an incident count 1, 2, 3 ..., each once."""
    newest: dict[str, int] = {}
    for found in alerts.found.values():
        event = found.event
        last = newest.get(event.incident)
        if last is None:
            # The beginning of an incident may have been deleted, or be older than the log.
            begin = following.events.get(event.id) is not None and not following.since
            last = event.revision - 1 if alerts.trimmed_at is not None or not begin else 0
        if event.revision != last + 1:
            text = f"revision {event.revision} of incident {event.incident} follows revision {last}"
            report.add("alert_revision", found.place, text)
        newest[event.incident] = max(last, event.revision)


def _messages(
    topic: str, partition: int, batches: Iterable[RawBatch]
) -> Iterator[tuple[Place, int, Message]]:
    for batch in batches:
        rows = zip(
            batch.offsets.tolist(),
            batch.timestamps.tolist(),
            batch.keys,
            batch.values,
            batch.headers,
            strict=True,
        )
        for offset, at, key, value, headers in rows:
            plain = [(name, each or b"") for name, each in headers or ()]
            yield Place(topic, partition, offset), at, (key or b"", value or b"", plain)


def _words(event: Event) -> str:
    return f"{event.__struct_config__.tag}, revision {event.revision}, of {event.topic}" + (
        f", model {event.model}" if event.model else ""
    )


def _apart(wanted: Message, found: Message) -> str:
    """Where two messages differ first."""
    if wanted[0] != found[0]:
        return f"key {found[0]!r} instead of {wanted[0]!r}"
    one, other = wanted[1], found[1]
    if one != other:
        pairs = enumerate(zip(one, other, strict=False))
        at = next((place for place, (a, b) in pairs if a != b), min(len(one), len(other)))
        near = slice(max(0, at - 30), at + 30)
        return f"from byte {at} {other[near]!r} instead of {one[near]!r}"
    headers: Mapping[str, bytes] = dict(wanted[2])
    return f"headers {dict(found[2])!r} instead of {headers!r}"
