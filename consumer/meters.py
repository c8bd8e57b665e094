"""What one worker counts about itself, and what its loop saw last; plain numbers, no library.

The loop writes; a scrape in another thread reads. A ``View`` is replaced whole, never changed, and
counters only grow, so neither side waits for the other.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

import orjson

from .fold import TopicProgress
from .inputs import InputPartition, Published
from .judges import Standing
from .log import WatermarkRecord
from .log_partitions import LogPartition

VIEW_EVERY: Final = 1.0  # seconds
BUCKETS: Final = (0.001, 0.005, 0.025, 0.1, 0.25, 1.0, 5.0, 30.0)  # seconds


class PartitionView(NamedTuple):
    """One input partition of this worker; ``behind``: records not read yet, None: not known."""

    topic: str
    partition: int
    behind: int | None


class View(NamedTuple):
    """What the loop owned when it looked last.

    Attributes:
        partitions: Of the input topics.
        logs: Partitions of the profiles log.
        topics: Input topic -> how far the fold is; of several log partitions the slowest.
        models: (topic, model) -> how it stands.
        waiting_bytes: Of profiles that wait for a watermark or for other partitions.
        ready: Every partition that the group gave to this worker has been begun.
    """

    partitions: tuple[PartitionView, ...] = ()
    logs: int = 0
    topics: Mapping[str, TopicProgress] = {}
    models: Mapping[tuple[str, str], Standing] = {}
    waiting_bytes: int = 0
    ready: bool = False


class Times:
    """A histogram of durations in seconds, ``BUCKETS`` wide."""

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS) + 1)
        self.total = 0.0

    def add(self, seconds: float) -> None:
        """Count one."""
        self.counts[bisect_left(BUCKETS, seconds)] += 1
        self.total += seconds


class Meters:
    """Counters of one process since its start, and its last ``View``."""

    def __init__(self) -> None:
        self.view = View()
        self.viewed = float("-inf")
        self.records: Counter[str] = Counter()  # by topic
        self.late: Counter[str] = Counter()
        self.clock_ahead: Counter[str] = Counter()
        self.rejects: Counter[tuple[str, str]] = Counter()  # topic, reason
        self.events: Counter[tuple[str, str]] = Counter()  # type, severity
        self.errors: Counter[str] = Counter()  # code
        self.rebalances = 0
        self.restarts = 0
        self.turns = Times()
        self.checkpoints = Times()

    def closed(self, produced: Published) -> None:
        """Windows of an input partition were closed; every watermark says the same of them."""
        if not produced.watermarks:
            return
        mark = produced.watermarks[0][2]
        assert isinstance(mark, WatermarkRecord)  # noqa: S101 - narrows the type
        self.records[mark.topic] += mark.records
        self.late[mark.topic] += mark.late
        self.clock_ahead[mark.topic] += mark.clock_ahead
        for reason, count in mark.rejects.items():
            self.rejects[mark.topic, reason] += count

    def told(self, event: bytes) -> None:
        """An alert event is about to be published."""
        said = orjson.loads(event)
        self.events[said["type"], said.get("severity") or "none"] += 1

    def look(
        self,
        inputs: Iterable[tuple[InputPartition, int | None]],
        logs: Iterable[LogPartition],
        ready: bool,
    ) -> None:
        """Take a new ``View``, not more often than ``VIEW_EVERY``.

        Args:
            inputs: Partitions of input topics, and where each one ends as far as is known.
            logs: Partitions of the profiles log.
            ready: See ``View``.
        """
        now = time.monotonic()
        if now - self.viewed < VIEW_EVERY and ready == self.view.ready:
            return
        self.viewed = now
        held = list(logs)
        topics: dict[str, TopicProgress] = {}
        models: dict[tuple[str, str], Standing] = {}
        for log in held:
            for name, progress in log.progress().items():
                known = topics.get(name)
                if known is None or (progress.folded or 0) < (known.folded or 0):
                    topics[name] = progress
            models |= log.standings()
        self.view = View(
            partitions=tuple(
                PartitionView(
                    part.topic,
                    part.partition,
                    None if end is None else max(end - part.position, 0),
                )
                for part, end in inputs
            ),
            logs=len(held),
            topics=topics,
            models=models,
            waiting_bytes=sum(log.waiting_bytes for log in held),
            ready=ready,
        )
