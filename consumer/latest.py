"""The latest records of a topic, read without a group."""

from __future__ import annotations

import time

from consumer.batch import RawBatch
from consumer.kafka import Admin, Client, Scan
from consumer.kafka_errors import KafkaProblem
from consumer.kafka_failures import PartitionError

MOST_PARTITIONS = 16  # of one topic that are read


def latest(
    client: Client, admin: Admin, topic: str, partitions: int, count: int, timeout: float = 5.0
) -> list[RawBatch]:
    """About the ``count`` latest records of a topic, fewer if it holds fewer.

    Args:
        client: Client settings by librdkafka name.
        admin: Asked for the offsets.
        topic: Name.
        partitions: How many it has; the same share is read of each.
        count: Records wanted.
        timeout: Seconds after which what has come is returned: an open transaction may hold the
            rest back.

    Raises:
        KafkaProblem: It cannot be read.
    """
    places = [(topic, number) for number in range(min(partitions, MOST_PARTITIONS))]
    lows = admin.offsets(dict.fromkeys(places, "earliest"))
    ends = admin.offsets(dict.fromkeys(places, "latest"))
    share = -(-count // len(places))
    starts = {p: max(lows[p], ends[p] - share) for p in places if ends[p] > lows[p]}
    if not starts:
        return []
    scan = Scan(client, starts)
    batches: list[RawBatch] = []
    left = set(starts)
    limit = time.monotonic() + timeout
    try:
        while left and time.monotonic() < limit:
            for item in scan.consume(1_000, 0.1):
                if isinstance(item, PartitionError):
                    # The client looks for the coordinator of a group that is not used here.
                    if item.code == "GROUP_AUTHORIZATION_FAILED":
                        continue
                    raise KafkaProblem(item.code, item.text)
                batches.append(item)
            left = {place for place in left if (scan.position(*place) or 0) < ends[place]}
    finally:
        scan.close()
    return batches
