"""Faults that others cause: producers of the input topic, whoever administers the cluster."""

from __future__ import annotations

import time
from contextlib import suppress
from functools import partial
from typing import Final

from confluent_kafka import KafkaException, Message, Producer

from bench.chaos.oracle import Made
from bench.chaos.system import APP, TOPIC, System
from consumer.kafka import Admin
from consumer.rejects import TOO_LARGE
from tests.waiting import wait_until

BLOCKED: Final = "blocked by open transaction"
GOES_ON: Final = "no open transaction blocks it any more"
SAID_WITHIN: Final = 60.0  # seconds
PASSED_BY: Final = "records that cannot be read are passed by"
GZIP: Final = 40_000_000  # bytes of the record of a batch of 40 kB
ZSTD: Final = 60_000_000  # likewise, of each record of a batch of a few kB
HUNG: Final = 5  # records of the transaction that hangs


def _end(system: System, partition: int) -> int:
    """Offset after the last record of an input partition, open transactions included."""
    place = TOPIC, partition
    return Admin({"bootstrap.servers": system.cluster.bootstrap}).offsets({place: "latest"})[place]


def _stable(system: System, partition: int) -> int:
    """Offset before which no transaction of it is open."""
    place = TOPIC, partition
    return Admin({"bootstrap.servers": system.cluster.bootstrap}).stable_ends([place])[place]


def hung_transaction(system: System) -> None:
    """A producer of the input begins a transaction and sleeps; it aborts, or the broker does."""
    worker = system.working()
    system.feed_for(0.35, 1.5)
    times_out = system.rng.random() < 0.5
    partition = system.rng.randrange(system.plan.partitions)
    producer = Producer(
        {
            "bootstrap.servers": system.cluster.bootstrap,
            "transactional.id": f"{APP}-upstream",
            "transaction.timeout.ms": 35_000 if times_out else 120_000,
            "log_level": 0,
        }
    )
    producer.init_transactions(20)
    producer.begin_transaction()
    written = partial(_written, system)
    for _ in range(HUNG):
        producer.produce(TOPIC, b"{}", partition=partition, on_delivery=written)
    if producer.flush(20):
        raise AssertionError("the transaction could not be written")
    begun = time.monotonic()
    # Steadily, and less than all: the other partitions go on meanwhile.
    system.per_step = 0.001
    system.feed_while(0.7, SAID_WITHIN, lambda: worker.alive and not worker.events(BLOCKED))
    if not worker.events(BLOCKED):
        system.problems.append(f"not said within {SAID_WITHIN:g} s: {worker.text[-2000:]}")
    system.settle()  # nothing is written while it ends, so that its marker has a known place
    end = _end(system, partition)
    if not times_out:
        producer.abort_transaction(20)
    wait_until(lambda: _stable(system, partition) > end, 60.0, "the transaction ends")
    system.holes.add((partition, end))
    if times_out and time.monotonic() - begun < 30.0:
        raise AssertionError("the transaction ended too soon")
    system.feed(0.75)
    system.settle()
    with suppress(AssertionError):
        worker.says(GOES_ON, 25.0)
    if not worker.events(GOES_ON):
        system.problems.append(f"it is not said that reading goes on: {worker.text[-2000:]}")


def _written(system: System, error: object, message: Message) -> None:
    if error is not None:
        raise AssertionError(f"the transaction could not be written: {error}")
    partition, offset = message.partition(), message.offset()
    assert partition is not None and offset is not None  # noqa: S101, PT018 - it was written
    system.holes.add((partition, offset))


def bombs(system: System) -> None:
    """Small batches that become large: the client reads one with gzip, and refuses zstd's."""
    worker = system.working()
    system.feed_for(0.35, 1.5)
    system.settle()
    first, second = system.rng.sample(range(system.plan.partitions), 2)
    when = system.records[system.fed - 1].when
    # One record, which the client takes apart: it is rejected as too large.
    (offset,) = _bomb(system, first, "gzip", [bytes(GZIP)], when)
    too_large = Made(first, when, bytes(GZIP), TOO_LARGE)
    system.records = [*system.records[: system.fed], too_large, *system.records[system.fed :]]
    system.fed += 1
    # A batch of several that the client cannot take apart: declared lost.
    lost = _bomb(system, second, "zstd", [bytes(ZSTD)] * system.rng.randint(1, 6), when)
    system.holes |= {(second, each) for each in lost}
    system.lost[second] = 0  # of the load
    system.feed_for(0.7, 2.0)
    worker.says(PASSED_BY, SAID_WITHIN)
    told = [(one["partition"], one["start"], one["stop"]) for one in worker.events(PASSED_BY)]
    if set(told) != {(second, lost[0], lost[-1] + 1)}:
        system.problems.append(f"lost are {lost} of {second}, told is {told}; {offset=}")


def _bomb(system: System, partition: int, codec: str, values: list[bytes], when: int) -> list[int]:
    """Write one batch; its offsets."""
    producer = Producer(
        {
            "bootstrap.servers": system.cluster.bootstrap,
            "compression.type": codec,
            "compression.level": 3,
            "message.max.bytes": 1_000_000_000,
            "batch.size": 1_000_000_000,
            "queue.buffering.max.kbytes": 1_000_000,
            "linger.ms": 2_000,
            "log_level": 0,
        }
    )
    written: list[int] = []

    def delivered(error: object, message: Message) -> None:
        if error is not None:
            raise AssertionError(f"the bomb could not be written: {error}")
        written.append(message.offset() or 0)

    for value in values:
        producer.produce(TOPIC, value, partition=partition, timestamp=when, on_delivery=delivered)
    if producer.flush(60) or len(written) != len(values):
        raise AssertionError("the bomb could not be written")
    return sorted(written)


def commits_deleted(system: System) -> None:
    """The group is deleted while no worker runs, as the broker does with one idle for a week.

    The workers that follow are told to begin with what comes from then on.
    """
    worker = system.working()
    system.feed_for(0.4, 2.5)
    system.stop(worker)
    system.feed(0.7)
    system.settle()
    wait_until(partial(_group_deleted, system), 40, "the group is deleted", 0.2)
    if system.rng.random() < 0.7:
        system.app.overrides["start"] = "latest"


def _group_deleted(system: System) -> bool:
    admin = system.cluster.admin  # it has to outlive its answer
    (future,) = admin.delete_consumer_groups([APP]).values()
    try:
        future.result(20)
    except KafkaException:  # not empty yet
        return False
    return True
