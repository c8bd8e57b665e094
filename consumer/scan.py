"""Reading a range of offsets of one partition, without a group."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final

import numpy as np

from consumer.batch import RawBatch
from consumer.kafka import Client, Partition, Scan
from consumer.kafka_batches import cut
from consumer.kafka_failures import KafkaFailure, PartitionError

# What the client says of a batch that it cannot take apart: decompressed it is larger than the
# client allows (zstd), or it is damaged. It asks for the same batch again and again.
UNREADABLE: Final = {"_BAD_COMPRESSION", "_BAD_MSG"}
TRIES: Final = 3  # of the same batch: what was damaged on its way only comes whole then

PROBED_WITHIN: Final = 10.0  # seconds without an answer


def read_range(
    client: Client,
    partition: Partition,
    start: int,
    stop: int,
    timeout: float = 30.0,
    group: str | None = None,
    *,
    passes_by: bool = False,
) -> Iterator[RawBatch]:
    """Records ``[start, stop)`` of one partition with their keys and headers.

    Args:
        client: The user's client settings.
        partition: What to read.
        start: First offset.
        stop: Offset after the last one, as from ``Admin.offsets``.
        timeout: Seconds without progress after which it gives up.
        group: As for ``Scan``.
        passes_by: Leave out batches that cannot be taken apart, as the worker does.

    Raises:
        KafkaFailure: The partition cannot be read, or not on to ``stop``: the broker is away, or a
            transaction is open.
    """
    name = f"{partition[0]}[{partition[1]}]"
    scan = Scan(client, {partition: start}, group)
    try:
        at, moved, errors = start, time.monotonic(), 0
        while at < stop:
            for item in scan.consume(1_000, 0.1):
                if isinstance(item, PartitionError):
                    if passes_by and item.code in UNREADABLE:
                        errors += 1
                        continue
                    raise KafkaFailure(item.kind, item.code, f"read {name}: {item.text}")
                rows = int(np.searchsorted(item.offsets, stop))
                if rows:
                    yield cut(item, rows)
            if errors >= TRIES:
                bad = max(at, scan.position(*partition) or start)
                scan.close()
                at, errors = readable_from(client, partition, bad, stop, group), 0
                scan = Scan(client, {partition: at}, group)
                moved = time.monotonic()
            now = scan.position(*partition) or start
            if now > at:
                at, moved = now, time.monotonic()
            elif time.monotonic() - moved > timeout:
                code, text = scan.last_error() or ("_TIMED_OUT", "nothing came")
                why = f"read {name}: stays at offset {at} of {stop}: {text}"
                raise KafkaFailure("retriable", code, why)
    finally:
        scan.close()


def readable_from(
    client: Client, partition: Partition, bad: int, stop: int, group: str | None = None
) -> int:
    """First offset at or after ``bad`` from which records can be read; ``stop``: there is none.

    How far a batch goes stands in it alone, so it is searched for.

    Raises:
        KafkaFailure: As ``read_range``.
    """
    if bad >= stop or _readable(client, partition, bad, stop, group):
        return bad
    step, low = 1, bad
    while bad + step < stop and not _readable(client, partition, bad + step, stop, group):
        low = bad + step
        step *= 2
    high = min(bad + step, stop)
    while high - low > 1:
        middle = (low + high) // 2
        if _readable(client, partition, middle, stop, group):
            high = middle
        else:
            low = middle
    return high


def _readable(
    client: Client, partition: Partition, start: int, stop: int, group: str | None
) -> bool:
    """Whether the first batch from ``start`` on can be taken apart."""
    try:
        next(read_range(client, partition, start, stop, PROBED_WITHIN, group), None)
    except KafkaFailure as failure:
        if failure.code not in UNREADABLE:
            raise
        return False
    return True
