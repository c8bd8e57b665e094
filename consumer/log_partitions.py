"""One owned partition of the ``<app>-profiles`` log: its fold, restored, fed and kept."""

from __future__ import annotations

import logging
import time

from alerts.events import to_message
from sketches.coverage import Coverage

from . import logs
from .batch import RawBatch
from .fold import Fold, Given, TopicProgress
from .judges import Standing
from .judging import MonitorJudges
from .log import LogFormatError, decode
from .settings import Settings
from .snapshots import SnapshotError

Message = tuple[bytes, bytes, list[tuple[str, bytes]]]


class LogPartition:
    """Folds one partition of the log and holds the events that are not published yet.

    Args:
        settings: Of this process.
        partition: Number of the partition of the log.
        partitions: How many the log has.
        kept: Key -> value of the state topic's partition of the same number.
        low: First offset that the log holds.
        committed: The group's committed offset; events that follow from records before it have been
            published.
    """

    def __init__(
        self,
        settings: Settings,
        partition: int,
        partitions: int,
        kept: dict[bytes, bytes],
        low: int,
        committed: int | None,
    ) -> None:
        self.partition = partition
        self.snapshot_at = time.monotonic()
        self._app = settings.app
        self._events: list[Message] = []
        self._fold, start = self._begin(settings, partitions, kept, low)
        self.position = max(start, low)
        self._published = max(start, committed or 0)
        self.moved = False

    def _begin(
        self, settings: Settings, partitions: int, kept: dict[bytes, bytes], low: int
    ) -> tuple[Fold, int]:
        judges = MonitorJudges(settings.app)
        place = self.partition
        try:
            return Fold.restore(
                settings.app, kept, partition=place, partitions=partitions, judges=judges
            )
        except SnapshotError as error:
            if kept:
                logs.event("rebuilding from the log", logging.WARNING, partition=place, why=error)
        fold = Fold(
            settings.app,
            settings.detection(),
            partition=place,
            partitions=partitions,
            judges=judges,
        )
        return fold, low

    def feed(self, raw: RawBatch) -> None:
        """Fold what was read."""
        for offset, value in zip(raw.offsets.tolist(), raw.values, strict=True):
            if offset < self.position:
                continue
            try:
                events = self._fold.apply(offset, decode(value or b""))
            except LogFormatError as error:
                logs.event(
                    "a record of the log is skipped", logging.ERROR, offset=offset, why=error
                )
                events = []
            for given in self._fold.take_given():
                _tell(given)
            if offset >= self._published:
                self._events += [to_message(event, self._app) for event in events]
            self.position = offset + 1
        self.moved = True

    def reached(self, position: int) -> None:
        """The consumer stands here: offsets before may hold no record (transaction markers)."""
        if position > self.position:
            self.position = position
            self.moved = True

    def take_events(self) -> list[Message]:
        """The events to publish, once."""
        taken, self._events = self._events, []
        return taken

    def snapshot(self) -> list[tuple[bytes, bytes]]:
        """Messages for the state topic; only right after a commit."""
        self.snapshot_at = time.monotonic()
        return self._fold.snapshot(self.position)

    def progress(self) -> dict[str, TopicProgress]:
        """How far each input topic is."""
        return self._fold.progress()

    def standings(self) -> dict[tuple[str, str], Standing]:
        """(topic, model) -> how it stands."""
        return self._fold.standings()

    def coverage(self) -> dict[tuple[str, str], list[Coverage]]:
        """(topic, model) -> what is seen of each of its versions and segments."""
        return self._fold.coverage()

    @property
    def waiting_bytes(self) -> int:
        """Of profiles that wait."""
        return self._fold.waiting_bytes

    def slowest(self) -> dict[str, int]:
        """Input topic -> border of its slowest active partition, of all workers."""
        found = self.progress().items()
        return {topic: said.slowest for topic, said in found if said.slowest is not None}


def _tell(given: Given) -> None:
    topic, model, id = given.topic, given.model, given.id
    if given.why:
        text = "a given baseline cannot be used"
        logs.event(text, logging.ERROR, topic=topic, model=model, baseline=id, why=given.why)
    else:
        text = "a given baseline holds"
        logs.event(text, topic=topic, model=model, baseline=id, since=given.since)
