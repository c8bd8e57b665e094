"""Says which input partitions cannot be read on because a producer has not ended a transaction."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from . import logs
from .held_back import HeldBack
from .inputs import InputPartition
from .kafka import Admin, Partition, Reader


class Blocked:
    """Looks at the partitions of this process, and tells people."""

    def __init__(self, reader: Reader, admin: Admin) -> None:
        self._reader, self._admin = reader, admin
        self._held_back = HeldBack()

    def look(self, inputs: Mapping[Partition, InputPartition], now: float) -> None:
        """Ask the broker about those that stand still.

        Args:
            inputs: All that this process has.
            now: Of a monotonic clock, seconds.

        Raises:
            KafkaFailure: The broker does not say where they end.
        """
        read = {p: part.position for p, part in inputs.items() if not part.paused}
        due = self._held_back.due(read, now)
        for topic, partition in self._held_back.freed():
            logs.event("no open transaction blocks it any more", topic=topic, partition=partition)
        if not due:
            return
        stable = self._admin.stable_ends(due)  # before the end, which only grows
        ends = self._admin.offsets(dict.fromkeys(due, "latest"))
        stand = {p: max(read[p], self._reader.position(*p) or 0) for p in due}
        for (topic, partition), offset in self._held_back.held(stand, stable, ends).items():
            logs.event(
                "blocked by open transaction",
                logging.WARNING,
                topic=topic,
                partition=partition,
                offset=offset,
                unread=ends[topic, partition] - offset,
                remedy="its producer has to end it; else the broker does, after that producer's "
                "transaction.timeout.ms",
            )
