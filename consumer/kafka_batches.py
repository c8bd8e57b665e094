"""From the client's messages to batches; what is done per message is C code mapped over a list."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, pairwise
from operator import itemgetter
from typing import Any

import numpy as np

from consumer.batch import RawBatch
from consumer.kafka_failures import Ear, PartitionError, kind_of
from sketches.table import IntArray

Item = RawBatch | PartitionError
_RUNS = 64  # of messages of one partition: so few are put together without sorting


def to_items(messages: Sequence[Any], with_keys: bool, ear: Ear) -> list[Item]:
    """One batch per partition, in offset order, then the errors.

    Args:
        messages: The client's messages, in offset order within each partition.
        with_keys: Take keys and headers over as well.
        ear: Hides secrets in error texts.
    """
    if not messages:
        return []
    stamps = _stamps(messages)
    if (stamps > 0).all():
        return _batches(messages, stamps, with_keys)
    # No timestamp: an error, or a record of a format before 2016.
    good = [m for m in messages if m.error() is None]
    errors = [_error(m, ear) for m in messages if m.error() is not None]
    return [*(_batches(good, _stamps(good), with_keys) if good else []), *errors]


def _stamps(messages: Sequence[Any]) -> IntArray:
    """Shape (n,): milliseconds."""
    pairs = map(type(messages[0]).timestamp, messages)
    return np.fromiter(map(itemgetter(1), pairs), np.int64, len(messages))


def _places(messages: Sequence[Any]) -> tuple[IntArray, list[str]]:
    """Partition of each message, with the number of its topic above the lower 32 bits; topics."""
    message, n = type(messages[0]), len(messages)
    places = np.fromiter(map(message.partition, messages), np.int64, n)
    topics = list(map(message.topic, messages))
    if topics.count(topics[0]) == n:
        return places, topics[:1]
    codes = {name: code << 32 for code, name in enumerate(dict.fromkeys(topics))}
    return places + np.fromiter(map(codes.__getitem__, topics), np.int64, n), list(codes)


def _batches(messages: Sequence[Any], stamps: IntArray, with_keys: bool) -> list[Item]:
    places, topics = _places(messages)
    borders = np.flatnonzero(np.diff(places)) + 1
    if len(borders) > _RUNS:
        order = np.argsort(places, kind="stable")
        messages = list(map(messages.__getitem__, order.tolist()))
        places, stamps = places[order], stamps[order]
        borders = np.flatnonzero(np.diff(places)) + 1
    runs: dict[int, list[slice]] = {}
    for a, b in pairwise([0, *borders.tolist(), len(messages)]):
        runs.setdefault(int(places[a]), []).append(slice(a, b))
    return [
        _batch(
            topics[place >> 32],
            place & 0xFFFFFFFF,
            list(chain.from_iterable(messages[run] for run in runs[place])),
            np.concatenate([stamps[run] for run in runs[place]]),
            with_keys,
        )
        for place in sorted(runs)
    ]


def _batch(
    topic: str, partition: int, messages: Sequence[Any], stamps: IntArray, with_keys: bool
) -> RawBatch:
    """What the messages of one partition hold."""
    message = type(messages[0])
    return RawBatch(
        topic,
        partition,
        np.fromiter(map(message.offset, messages), np.int64, len(messages)),
        stamps * 1_000,
        list(map(message.value, messages)),
        list(map(message.key, messages)) if with_keys else [],
        list(map(message.headers, messages)) if with_keys else [],
    )


def cut(batch: RawBatch, rows: int) -> RawBatch:
    """The first ``rows`` records of a batch."""
    return batch._replace(
        offsets=batch.offsets[:rows],
        timestamps=batch.timestamps[:rows],
        values=batch.values[:rows],
        keys=batch.keys[:rows],
        headers=batch.headers[:rows],
    )


def _error(message: Any, ear: Ear) -> PartitionError:  # noqa: ANN401 - the client's own class
    error, topic = message.error(), message.topic() or ""
    return PartitionError(
        topic,
        message.partition() if topic else -1,
        kind_of(error),
        error.name(),
        ear.plain(error.str()),
    )
