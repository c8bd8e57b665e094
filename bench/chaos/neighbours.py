"""Faults that others cause: producers of the input topic, whoever administers the cluster."""

from __future__ import annotations

import time
from contextlib import suppress
from functools import partial
from typing import Final

from confluent_kafka import KafkaException, Message, Producer

from bench.chaos.system import APP, TOPIC, System
from consumer.kafka import Admin
from tests.waiting import wait_until

BLOCKED: Final = "blocked by open transaction"
GOES_ON: Final = "no open transaction blocks it any more"
SAID_WITHIN: Final = 60.0  # seconds
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
