"""From the client's messages to batches; what is done per message is C code mapped over a list."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, pairwise
from typing import Any

import numpy as np

from consumer.batch import RawBatch
from consumer.kafka_failures import Ear, PartitionError, kind_of

Item = RawBatch | PartitionError


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
    if stamps[:, 0].all():
        return _batches(messages, stamps, with_keys)
    # No timestamp: an error, or a record of a format before 2016.
    good = [m for m in messages if m.error() is None]
    errors = [_error(m, ear) for m in messages if m.error() is not None]
    return [*(_batches(good, _stamps(good), with_keys) if good else []), *errors]


def _stamps(messages: Sequence[Any]) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Shape (n, 2): type and milliseconds."""
    timestamp = type(messages[0]).timestamp
    flat = chain.from_iterable(map(timestamp, messages))
    return np.fromiter(flat, np.int64, 2 * len(messages)).reshape(-1, 2)


def _batches(
    messages: Sequence[Any], stamps: np.ndarray[Any, np.dtype[np.int64]], with_keys: bool
) -> list[Item]:
    message, n = type(messages[0]), len(messages)
    topics = list(map(message.topic, messages))
    places = np.fromiter(map(message.partition, messages), np.int64, n)
    names = {name: code << 32 for code, name in enumerate(dict.fromkeys(topics))}
    if len(names) > 1:
        places += np.fromiter(map(names.__getitem__, topics), np.int64, n)
    order = np.argsort(places, kind="stable")
    rows = order.tolist()
    messages = list(map(messages.__getitem__, rows))
    offsets = np.fromiter(map(message.offset, messages), np.int64, n)
    timestamps = stamps[order, 1] * 1_000
    values = list(map(message.value, messages))
    keys = list(map(message.key, messages)) if with_keys else []
    headers = list(map(message.headers, messages)) if with_keys else []
    borders = (np.flatnonzero(np.diff(places[order])) + 1).tolist()
    return [
        RawBatch(
            topics[rows[a]],
            int(places[rows[a]]) & 0xFFFFFFFF,
            offsets[a:b],
            timestamps[a:b],
            values[a:b],
            keys[a:b],
            headers[a:b],
        )
        for a, b in pairwise([0, *borders, n])
    ]


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
