"""Incidents for a Python service, as one member of its own group: at least once, resumed by Kafka.

The README has an example.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping

import alerts
from alerts.events import EventFormatError
from alerts.read import Incident, Message, State
from consumer.alert_reader import AlertReader, Received
from consumer.kafka_failures import KafkaFailure
from consumer.settings import Settings
from consumer.start import StartSetting
from sketches.detection import Severity

_AT_ONCE = 100  # messages
_WAIT = 0.5  # seconds for so many


def incidents(
    settings: Settings,
    group: str,
    *,
    start: StartSetting = "latest",
    stop: Callable[[], bool] = lambda: False,
    model: str | None = None,
    severity: Severity | None = None,
    labels: Mapping[str, str] | None = None,
    state: State | None = None,
    unreadable: Callable[[EventFormatError], None] | None = None,
) -> Generator[Incident, None, None]:
    """Each incident after each event that is news to the group, for as long as it is asked.

    An incident counts as handled once the next one is asked for; what was not handled when the
    service ended comes again. Repetitions are left out across restarts as well: what the group has
    handled is read again at the start, and not told.

    Args:
        settings: Where Kafka is, and the name of the topic.
        group: Group id, the service's own.
        start: Where a group begins that never was there: ``earliest``, ``latest`` or a time.
        stop: Asked about twice a second; true: the iteration ends.
        model: As for ``alerts.read``, as are the three below.
        severity: Likewise.
        labels: Likewise.
        state: Likewise.
        unreadable: Likewise.

    Raises:
        KafkaFailure: The topic cannot be read; what passes by itself is waited for.
    """
    reader = AlertReader(settings.kafka, settings.alerts_topic, group, start=start)
    past = False

    def messages() -> Iterator[Message]:
        nonlocal past
        while not stop():
            for received in _read(reader):
                past = received.past
                yield received.message
                reader.handled(received)
            _commit(reader)

    told = alerts.read(
        messages(),
        model=model,
        severity=severity,
        labels=labels,
        state=state,
        unreadable=unreadable,
    )
    try:
        for incident in told:
            if not past:
                yield incident
    finally:
        reader.close()


def _read(reader: AlertReader) -> list[Received]:
    try:
        return reader.read(_AT_ONCE, _WAIT)
    except KafkaFailure as failure:
        if failure.kind != "retriable":
            raise
        return []


def _commit(reader: AlertReader) -> None:
    try:
        reader.commit()
    except KafkaFailure as failure:  # read again by whoever owns the partition then
        if failure.kind not in ("retriable", "lost"):
            raise
