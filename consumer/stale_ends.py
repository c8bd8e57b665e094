"""Ends of logs that lie before what the group has read.

Either the topic was made anew, or a leader that was elected a moment ago does not know yet how far
its log goes: it learns that from its followers, at the latest when those that are gone have left
the in-sync replicas (KIP-207; ``replica.lag.time.max.ms`` of the brokers, 30 s).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from .kafka import Partition

HOLDS: Final = 30.0  # seconds after which such an end is believed


class StaleEnds:
    """Of the partitions that are about to begin."""

    def __init__(self) -> None:
        self._since: dict[Partition, float] = {}

    def doubted(
        self,
        commits: Mapping[Partition, tuple[int, str] | None],
        highs: Mapping[Partition, int],
        now: float,
    ) -> set[Partition]:
        """Partitions whose end is not to be believed yet.

        Args:
            commits: Offset and metadata of each partition that is to begin.
            highs: Offset after the last record of each, as its leader says.
            now: Of a monotonic clock, seconds.
        """
        behind = {p for p, commit in commits.items() if commit is not None and highs[p] < commit[0]}
        self._since = {p: self._since.get(p, now) for p in behind}
        return {p for p, since in self._since.items() if now - since < HOLDS}
