"""What a decoder turns bytes into: many records of one input partition."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sketches.table import IntArray, Table

NO_TIME = np.iinfo(np.int64).min  # the record carries no event time that can be read


class RecordKey(NamedTuple):
    """Whose record it is."""

    model: str
    version: str
    segment: str


class RawBatch(NamedTuple):
    """Messages of one input partition as read, in offset order.

    Times are microseconds since 1970-01-01 UTC; ``timestamps`` are those of the broker or of the
    producer, by the topic's ``message.timestamp.type``.
    """

    topic: str
    partition: int
    offsets: IntArray
    timestamps: IntArray
    values: Sequence[bytes | None]
    keys: Sequence[bytes | None] = ()  # empty: not needed by the decoder
    headers: Sequence[Sequence[tuple[str, bytes | None]] | None] = ()

    def rows(self, start: int, stop: int) -> RawBatch:
        """Some of its messages."""
        return self._replace(
            offsets=self.offsets[start:stop],
            timestamps=self.timestamps[start:stop],
            values=self.values[start:stop],
            keys=self.keys[start:stop],
            headers=self.headers[start:stop],
        )


class Reject(NamedTuple):
    """One record that could not be read."""

    row: int  # position in the batch
    reason: str  # one of consumer.rejects.REASONS
    position: int | None  # byte of the value at which reading failed, if known
    detail: str  # what was found, without any content of the record


class Group(NamedTuple):
    """The readable records of one key in a batch."""

    key: RecordKey
    rows: NDArray[np.intp]  # positions in the batch, ascending
    table: Table  # one row for each of ``rows``


@dataclass(frozen=True, slots=True)
class Batch:
    """Many decoded records of one partition.

    Every record of the batch stands either in one group or in ``rejects``.

    Attributes:
        offsets: Shape (n,), ascending.
        timestamps: Shape (n,), microseconds.
        times: Shape (n,), event times in microseconds; ``NO_TIME`` where there is none.
        groups: The readable records by key, keys in order of first appearance.
        rejects: The others, by position.
        reject_model: The model that unreadable records are counted under.
        limited: Names of limits (``consumer.settings.Limits``) that cut something -> how often.
    """

    offsets: IntArray
    timestamps: IntArray
    times: IntArray
    groups: tuple[Group, ...]
    rejects: tuple[Reject, ...]
    reject_model: str
    limited: dict[str, int]


Decoder = Callable[[RawBatch], Batch]
