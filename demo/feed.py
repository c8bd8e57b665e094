"""Writes the prediction log of the flights to a topic, no faster than it is read."""

from __future__ import annotations

import argparse
import gzip
import time
from collections.abc import Callable
from pathlib import Path

from consumer.kafka import Writer

from . import flights

AHEAD = 12_000  # records a partition may be ahead of its reader: the embedded broker keeps 5 MiB


def feed(bootstrap: str, read: Callable[[int], int] | None = None, keep: Path | None = None) -> int:
    """Write all records; the number of them.

    Args:
        bootstrap: Kafka's address.
        read: Partition -> records that its reader is done with. None: do not wait for a reader.
        keep: Folder for a copy of each partition, ``partition-N.jsonl.gz``.
    """
    writer = Writer({"bootstrap.servers": bootstrap})
    copies = []
    if keep is not None:
        copies = [
            gzip.open(keep / f"partition-{number}.jsonl.gz", "wb", 1)  # noqa: SIM115
            for number in range(flights.PARTITIONS)
        ]
    written = [0] * flights.PARTITIONS
    done = [0] * flights.PARTITIONS
    for partition, _, value in flights.log_records(flights.read()):
        while read is not None and written[partition] - done[partition] >= AHEAD:
            writer.flush(10.0)
            done[partition] = read(partition)
            if written[partition] - done[partition] >= AHEAD:
                time.sleep(0.05)
        writer.produce(flights.TOPIC, partition, None, value)
        if copies:
            copies[partition].write(value + b"\n")
        written[partition] += 1
    writer.flush(60.0)
    for copy in copies:
        copy.close()
    return sum(written)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bootstrap", default="localhost:9092")
    print("reading the flights, which takes a while", flush=True)  # noqa: T201
    print(f"{feed(parser.parse_args().bootstrap):,} records written")  # noqa: T201
