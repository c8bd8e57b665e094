"""Input partitions that a transaction of a producer holds back.

A reader with ``read_committed`` stops before the first record of a transaction that is open, and
reads nothing behind it until that is ended: by its producer, or by the broker once its
``transaction.timeout.ms`` is over. Pure: no I/O and no clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from .kafka import Partition

STILL_FOR: Final = 15.0  # seconds without a record after which the broker is asked
AGAIN_AFTER: Final = 15.0  # seconds until it is asked once more


class _Still(NamedTuple):
    """Where a partition stands, since when, and when to ask about it."""

    position: int
    asks_at: float


class HeldBack:
    """Which partitions to ask about, and which of them are held back."""

    def __init__(self) -> None:
        self._still: dict[Partition, _Still] = {}
        self._held: dict[Partition, int] = {}

    def due(self, positions: Mapping[Partition, int], now: float) -> list[Partition]:
        """Partitions that have stood still for so long that the broker is to be asked.

        Args:
            positions: Offset that is read next, of each partition that is read at present.
            now: Of a monotonic clock, seconds.
        """
        still: dict[Partition, _Still] = {}
        for place, position in positions.items():
            seen = self._still.get(place)
            same = seen is not None and seen.position == position
            still[place] = seen if seen and same else _Still(position, now + STILL_FOR)
        due = [place for place, each in still.items() if now >= each.asks_at]
        for place in due:
            still[place] = still[place]._replace(asks_at=now + AGAIN_AFTER)
        self._still = still
        return due

    def held(
        self,
        positions: Mapping[Partition, int],
        stable: Mapping[Partition, int],
        ends: Mapping[Partition, int],
    ) -> dict[Partition, int]:
        """Those that are held back since the last answer -> offset that they are held at.

        Args:
            positions: As the client has them: past what ended transactions leave in the log.
            stable: Offset before which no transaction is open, of each partition asked about.
            ends: Offset after the last record, open transactions included.
        """
        new: dict[Partition, int] = {}
        for place, offset in stable.items():
            if positions[place] < offset or offset >= ends[place]:
                continue
            if self._held.get(place) != offset:
                new[place] = self._held[place] = offset
        return new

    def freed(self) -> list[Partition]:
        """Those that were held back and have moved on, or have gone; each is told once."""
        gone = [
            place
            for place, offset in self._held.items()
            if (here := self._still.get(place)) is None or here.position > offset
        ]
        for place in gone:
            del self._held[place]
        return [place for place in gone if place in self._still]
