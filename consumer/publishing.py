"""The order of effects of a checkpoint: what is produced, when, and what is committed then."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence

from .arrivals import Arrivals
from .delivery import Delivery
from .failpoints import reach
from .inputs import InputPartition, Produced
from .kafka import Offset, Reader
from .kafka_failures import KafkaFailure
from .log import encode
from .log_partitions import LogPartition
from .meters import Meters
from .settings import Settings

ANSWERED_WITHIN = 60.0  # seconds for a commit while brokers answer other questions


class Publisher:
    """Publishes and commits what partitions have to say.

    Args:
        settings: Of this process.
        writer: Its name in the log.
        reader: Whose positions are committed.
        arrivals: Knows how many partitions topics have.
        delivery: How.
        meters: Count what is published.
    """

    def __init__(
        self,
        settings: Settings,
        writer: str,
        reader: Reader,
        arrivals: Arrivals,
        delivery: Delivery,
        meters: Meters,
    ) -> None:
        self._settings, self._writer, self._reader = settings, writer, reader
        self._arrivals, self._delivery, self._meters = arrivals, delivery, meters
        self._refused: KafkaFailure | None = None  # what a commit was answered
        self._since = 0.0  # when the last one was sent
        self._overdue = 0

    def publish(self, inputs: Iterable[InputPartition], folded: Iterable[LogPartition]) -> None:
        """Publish all that these have and commit it; the answer comes in the loop."""
        inputs, folded = list(inputs), list(folded)
        names, delivery = self._settings, self._delivery
        announcements: list[Produced] = []
        anything = False
        delivery.begin()
        for part in inputs:
            for reject in part.take_rejects():
                anything = True
                delivery.produce(names.rejects_topic, None, *reject)
            counts = self._arrivals.partitions(part.topic), self._arrivals.log_partitions()
            produced = part.take_records(self._writer, *counts)
            for number, key, record in produced.profiles:
                delivery.produce(names.profiles_topic, number, key, encode(record))
            announcements += produced.watermarks
            self._meters.closed(produced)
        for log in folded:
            for key, value, headers in log.take_events():
                anything = True
                self._meters.told(value)
                delivery.produce(names.alerts_topic, None, key, value, headers)
        delivery.flush()
        if anything or announcements:
            reach("after_profiles")
        for number, key, record in announcements:
            delivery.produce(names.profiles_topic, number, key, encode(record))
        delivery.flush()
        if announcements:
            reach("before_commit")
        if not delivery.busy:  # else the next checkpoint commits it
            self._commit(inputs, folded)

    def _commit(self, inputs: Sequence[InputPartition], folded: Sequence[LogPartition]) -> None:
        moved = [part for part in inputs if part.moved]
        read = [log for log in folded if log.moved]
        offsets: list[Offset] = [(p.topic, p.partition, *p.to_commit()) for p in moved]
        offsets += [
            (self._settings.profiles_topic, log.partition, log.position, "") for log in read
        ]
        _mark(moved, read, False)

        def told(failure: KafkaFailure | None) -> None:
            if failure is not None:
                _mark(moved, read, True)
                self._refused = failure
            elif offsets:
                reach("after_commit")

        self._since = time.monotonic()
        self._delivery.commit(offsets, told)
        if offsets:
            reach("commit_sent")

    def commit_now(self, offsets: Sequence[Offset]) -> None:
        """Commit these too, and wait until all is answered.

        Raises:
            KafkaFailure: These, or what was sent before, are not committed.
        """
        self._delivery.commit_now(offsets)
        self._raise_refused()

    def _raise_refused(self) -> None:
        failure, self._refused = self._refused, None
        if failure is not None:
            raise failure

    def answered(self) -> bool:
        """See how the commits before went; True: one is not answered though the brokers are there.

        Raises:
            KafkaFailure: One went wrong, or the brokers are away.
        """
        self._raise_refused()
        if not self._delivery.busy:
            self._overdue = 0
        elif time.monotonic() - self._since > ANSWERED_WITHIN:
            self._since = time.monotonic()
            self._reader.partition_counts(max_age=0.0)
            self._overdue += 1  # the coordinator may be the last one to come back
        return self._overdue > 1

    def snapshots(self, due: Iterable[LogPartition], owned: Mapping[int, LogPartition]) -> None:
        """Keep what folds know; only right after ``commit_now``.

        Args:
            due: Whose; those with something to commit still are passed over.
            owned: Number of a partition of the log -> its fold; others have gone meanwhile.
        """
        names, delivery = self._settings, self._delivery
        for log in due:
            if log.moved or owned.get(log.partition) is not log:
                continue
            reach("before_snapshot")
            delivery.begin()
            for key, value in log.snapshot():
                delivery.produce(names.state_topic, log.partition, key, value)
                reach("in_snapshot")
            delivery.flush()
            if names.delivery == "exactly_once":  # refused unless the partition is ours still
                delivery.commit_now([(names.profiles_topic, log.partition, log.position, "")])
            reach("after_snapshot")


def _mark(inputs: Iterable[InputPartition], folded: Iterable[LogPartition], moved: bool) -> None:
    for part in inputs:
        part.moved = moved
    for log in folded:
        log.moved = moved
