"""``streamgauge tail``: the alerts topic for a person, one line per event."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from typing import Final

from alerts.events import EventFormatError
from alerts.read import Message
from alerts.tail import lines

from .alert_reader import alert_partitions
from .kafka import Admin, Scan
from .kafka_failures import KafkaFailure, PartitionError
from .settings import Settings

MOST_HELD: Final = 20_000  # messages that wait for those before them


def main(settings: Settings, *, begin: str | int, json: bool, follow: bool) -> int:
    """Print events from ``begin`` (``earliest``, ``latest`` or microseconds) on; exit status."""
    terminal = sys.stdout.isatty()
    width = shutil.get_terminal_size().columns if terminal else None
    messages = alert_messages(settings, begin, follow)
    try:
        for line in lines(
            messages, json=json, colour=terminal and not json, width=width, unreadable=_complain
        ):
            sys.stdout.write(line + "\n")
            sys.stdout.flush()
    except KeyboardInterrupt:
        return 0
    except BrokenPipeError:
        return 0
    return 0


def alert_messages(settings: Settings, begin: str | int, follow: bool) -> Iterator[Message]:
    """Messages of the alerts topic; without ``follow`` up to its present end.

    What is there already comes in order of time, though its partitions are read one beside another.

    Raises:
        KafkaFailure: There is no such topic, or it cannot be read.
    """
    topic = settings.alerts_topic
    admin = Admin(settings.kafka)
    places = [(topic, number) for number in range(alert_partitions(settings, admin))]
    starts = admin.offsets(dict.fromkeys(places, begin))  # type: ignore[arg-type]
    ends = admin.offsets(dict.fromkeys(places, "latest"))
    left = {place for place in places if starts[place] < ends[place]}
    scan = Scan(settings.kafka, starts, settings.group)
    held: list[Message] = []
    try:
        while follow or left:
            for item in scan.consume(500, 0.2):
                if isinstance(item, PartitionError):
                    if item.kind != "retriable":
                        raise KafkaFailure(item.kind, item.code, f"read {topic}: {item.text}")
                    continue
                for key, value, headers in zip(item.keys, item.values, item.headers, strict=True):
                    if value is not None:
                        held.append((key, value, [(n, v or b"") for n, v in headers or ()]))
            left = {place for place in left if (scan.position(*place) or 0) < ends[place]}
            if not left or len(held) >= MOST_HELD:
                yield from sorted(held, key=_time)
                held.clear()
    finally:
        scan.close()


def _time(message: Message) -> bytes:
    """Of its event, as it can be compared; one without comes first."""
    return dict(message[2]).get("ce_time", b"")


def _complain(error: EventFormatError) -> None:
    sys.stderr.write(f"skipped: {error}\n")
