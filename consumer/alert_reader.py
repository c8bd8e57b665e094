"""The alerts topic read by one member of a group, at least once: whoever handles it commits.

What the group has handled already is read again at the start, marked ``past``, so that a reader
with a state (which incidents are open) has it again without keeping it anywhere.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import NamedTuple

from alerts.read import Message
from consumer import logs
from consumer.durations import to_microseconds
from consumer.kafka import Admin, Client, Partition, Reader
from consumer.kafka_failures import KafkaFailure, OnError, PartitionError
from consumer.settings import Settings
from consumer.start import StartSetting

ASK_WITHIN = 5.0  # seconds for the answer to a question


class Received(NamedTuple):
    """One message of the alerts topic.

    Attributes:
        partition: Of the topic.
        offset: In the partition.
        at: The broker's time, microseconds.
        message: Key, value and headers; a group's reader leaves key and headers out.
        past: The group has handled it before: only a state wants it.
    """

    partition: int
    offset: int
    at: int
    message: Message
    past: bool


def alert_partitions(settings: Settings, admin: Admin) -> int:
    """Number of partitions of the alerts topic.

    Raises:
        KafkaFailure: There is no such topic.
    """
    topic = settings.alerts_topic
    count = admin.topics().get(topic)
    if count is None:
        raise KafkaFailure(
            "refused",
            "UNKNOWN_TOPIC_OR_PART",
            f"there is no topic {topic}; streamgauge topics create makes it",
        )
    return count


class AlertReader:
    """One member of a group; belongs to the thread that made it.

    Args:
        client: The user's client settings.
        topic: The alerts topic.
        group: Group id.
        start: Where a group begins that has never committed.
        on_gone: Told which partitions belong to someone else by now.
        on_error: Told code and text of every distinct connection error.

    Raises:
        KafkaFailure: The client settings are not accepted.
    """

    def __init__(
        self,
        client: Client,
        topic: str,
        group: str,
        *,
        start: StartSetting = "latest",
        on_gone: Callable[[list[int]], None] = lambda partitions: None,
        on_error: OnError = lambda code, text: None,
    ) -> None:
        self._topic, self._group, self._start = topic, group, start
        self._on_gone = on_gone
        self._expected: set[Partition] = set()
        self._past: dict[int, int] = {}  # partition -> where what is not handled begins
        self._behind: dict[int, int] = {}  # those of them that have not been read up to there
        self._handled: dict[int, int] = {}  # partition -> offset to commit
        self._notes: dict[int, str] = {}  # partition -> metadata of its commits
        self._admin = Admin(client, ASK_WITHIN)
        self._reader = Reader(
            client, group, [topic], self._assigned, self._revoked, self._lost, on_error
        )

    @property
    def partitions(self) -> frozenset[int]:
        """Partitions that this member owns and has read up to the present of its group."""
        return frozenset(self._past.keys() - self._behind.keys())

    def read(self, most: int, timeout: float) -> list[Received]:
        """What has come, in the order of each partition; also keeps this member in its group.

        Args:
            most: Messages at once.
            timeout: Seconds to wait for so many.

        Raises:
            KafkaFailure: ``retriable``: nothing is lost, call again; any other kind: it never will.
        """
        self._begin()
        found: list[Received] = []
        for item in self._reader.consume(most, timeout):
            if isinstance(item, PartitionError):
                self._failed(item)
                continue
            present = self._past.get(item.partition)
            if present is None:  # it belongs to someone else by now
                continue
            rows = zip(item.offsets.tolist(), item.timestamps.tolist(), item.values, strict=True)
            found += [
                Received(item.partition, offset, at, (None, value, []), offset < present)
                for offset, at, value in rows
                if value is not None
            ]
        for partition, present in list(self._behind.items()):
            if (self._reader.position(self._topic, partition) or 0) >= present:
                del self._behind[partition]
        return found

    def hold(self, wanted: bool) -> None:
        """Read nothing until told otherwise; ``read`` then only keeps this member in its group."""
        places = [(self._topic, partition) for partition in self._past]
        (self._reader.pause if wanted else self._reader.resume)(places)

    def handled(self, received: Received, note: str | None = None) -> None:
        """Nobody needs to read this one or those before it again; ``commit`` says so to Kafka.

        Args:
            received: The latest one handled of its partition.
            note: Stands in the metadata of the partition's commits from now on.
        """
        if note is not None:
            self._notes[received.partition] = note
        if not received.past and received.partition in self._past:
            self._handled[received.partition] = received.offset + 1

    def commit(self) -> None:
        """Commit what is handled and not committed.

        Raises:
            KafkaFailure: ``retriable`` or ``lost``: what is not committed is read again by whoever
                owns the partition then.
        """
        if self._handled:
            self._reader.commit(self._offsets())
            self._handled.clear()

    def close(self) -> None:
        """Commit and leave the group."""
        self._reader.close()

    def _offsets(self) -> list[tuple[str, int, int, str]]:
        return [
            (self._topic, place, offset, self._notes.get(place, ""))
            for place, offset in self._handled.items()
        ]

    def _assigned(self, partitions: list[Partition]) -> Mapping[Partition, int]:
        self._expected.update(partitions)
        return {}  # they begin once it is known where

    def _revoked(self, partitions: list[Partition]) -> None:
        gone = {number for _, number in partitions}
        mine = [offset for offset in self._offsets() if offset[1] in gone]
        try:
            self._reader.commit(mine)
        except KafkaFailure as failure:
            logs.event("not committed; it is sent again", logging.WARNING, cause=failure.text)
        self._lost(partitions)

    def _lost(self, partitions: list[Partition]) -> None:
        self._expected.difference_update(partitions)
        gone = [number for _, number in partitions]
        for number in gone:
            for known in (self._past, self._behind, self._handled):
                known.pop(number, None)
        self._on_gone(gone)

    def _failed(self, error: PartitionError) -> None:
        if (
            error.code == "_AUTO_OFFSET_RESET"
        ):  # deleted before it was read: begin where the log does
            self._expected.add((error.topic, error.partition))
        elif error.kind not in ("retriable", "lost"):
            raise KafkaFailure(error.kind, error.code, f"read {self._topic}: {error.text}")

    def _begin(self) -> None:
        """Find where new partitions begin; what fails is tried again at the next ``read``."""
        if not self._expected:
            return
        places = sorted(self._expected)
        commits = self._reader.committed(places)
        lows = self._admin.offsets(dict.fromkeys(places, "earliest"))
        highs = self._admin.offsets(dict.fromkeys(places, "latest"))
        fresh = [place for place in places if commits[place] is None]
        firsts = self._firsts(fresh, lows, highs)
        # At once, or a restart before the first alert would begin elsewhere and miss some.
        self._reader.commit([(*place, firsts[place], "") for place in fresh])
        for place in places:
            commit = commits[place]
            present = self._present(place, commit[0], lows[place], highs[place]) if commit else None
            number = place[1]
            self._past[number] = firsts[place] if present is None else present
            self._handled.pop(number, None)
            if lows[place] < self._past[number]:
                self._behind[number] = self._past[number]
            self._reader.seek(*place, lows[place])
        self._expected.clear()

    def _firsts(
        self,
        fresh: list[Partition],
        lows: Mapping[Partition, int],
        highs: Mapping[Partition, int],
    ) -> Mapping[Partition, int]:
        if self._start == "earliest":
            return lows
        if isinstance(self._start, datetime):
            return self._admin.offsets(dict.fromkeys(fresh, to_microseconds(self._start)))
        return highs

    def _present(self, place: Partition, committed: int, low: int, high: int) -> int:
        if low <= committed <= high:
            return committed
        # Retention was faster than the group, or the topic was made anew.
        logs.event(
            "alerts are gone unread",
            logging.ERROR,
            topic=place[0],
            partition=place[1],
            group=self._group,
            committed=committed,
            begins_at=low,
        )
        return low
