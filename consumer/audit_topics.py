"""The topics of a system as an audit reads them, and the command itself."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

from consumer.audit import Extent, Input, audit
from consumer.batch import RawBatch
from consumer.kafka import Admin, Scan
from consumer.scan import read_range
from consumer.settings import Settings

ANSWER_WITHIN = 10.0  # seconds


class KafkaTopics:
    """Topics on Kafka, read without joining the group: a running system is not disturbed."""

    def __init__(self, settings: Settings) -> None:
        self._client, self._group = settings.kafka, settings.group
        self._settings = settings
        self._admin = Admin(settings.kafka, timeout=ANSWER_WITHIN)

    def partitions(self) -> dict[str, int]:
        """As ``Topics.partitions``."""
        return self._admin.topics()

    def committed(self, places: Sequence[Input]) -> dict[Input, tuple[int, str] | None]:
        """As ``Topics.committed``."""
        scan = Scan(self._client, {}, self._group)
        try:
            return scan.committed(places)
        finally:
            scan.close()

    def extents(self, topic: str, partitions: int) -> dict[int, Extent]:
        """As ``Topics.extents``."""
        places = [(topic, number) for number in range(partitions)]
        ends = self._admin.offsets(dict.fromkeys(places, "latest"))
        lows = self._admin.offsets(dict.fromkeys(places, "earliest"))
        return {number: Extent(lows[topic, number], ends[topic, number]) for _, number in places}

    def compacted(self, topic: str) -> bool:
        """As ``Topics.compacted``."""
        return "compact" in self._admin.topic_config(topic).get("cleanup.policy", "")

    def read(self, topic: str, partition: int, start: int, stop: int) -> Iterator[RawBatch]:
        """As ``Topics.read``."""
        if start < stop:
            yield from read_range(
                self._client,
                (topic, partition),
                start,
                stop,
                group=self._group,
                passes_by=self._settings.input_for(topic) is not None,
            )


def main(settings: Settings, *, json: bool) -> int:
    """Audit and tell; 0: nothing is wrong, 1: something is.

    Raises:
        KafkaProblem: The topics cannot be read.
        Missing: There are none.
    """
    report = audit(settings, KafkaTopics(settings))
    text = report.json().decode() if json else "\n".join(report.lines())
    sys.stdout.write(text + "\n")
    return 1 if report.violations else 0
