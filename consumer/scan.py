"""Reading a range of offsets of one partition, without a group."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np

from consumer.batch import RawBatch
from consumer.kafka import Client, Partition, Scan
from consumer.kafka_batches import cut
from consumer.kafka_failures import KafkaFailure, PartitionError


def read_range(
    client: Client,
    partition: Partition,
    start: int,
    stop: int,
    timeout: float = 30.0,
    group: str | None = None,
) -> Iterator[RawBatch]:
    """Records ``[start, stop)`` of one partition with their keys and headers.

    Args:
        client: The user's client settings.
        partition: What to read.
        start: First offset.
        stop: Offset after the last one, as from ``Admin.offsets``.
        timeout: Seconds without progress after which it gives up.
        group: As for ``Scan``.

    Raises:
        KafkaFailure: The partition cannot be read, or not on to ``stop``: the broker is away, or a
            transaction is open.
    """
    name = f"{partition[0]}[{partition[1]}]"
    scan = Scan(client, {partition: start}, group)
    try:
        at, moved = start, time.monotonic()
        while at < stop:
            for item in scan.consume(1_000, 0.1):
                if isinstance(item, PartitionError):
                    raise KafkaFailure(item.kind, item.code, f"read {name}: {item.text}")
                rows = int(np.searchsorted(item.offsets, stop))
                if rows:
                    yield cut(item, rows)
            now = scan.position(*partition) or start
            if now > at:
                at, moved = now, time.monotonic()
            elif time.monotonic() - moved > timeout:
                code, text = scan.last_error() or ("_TIMED_OUT", "nothing came")
                why = f"read {name}: stays at offset {at} of {stop}: {text}"
                raise KafkaFailure("retriable", code, why)
    finally:
        scan.close()
