"""Exactly once against real Apache Kafka: whole workers, killed, stopped, and cut off."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from bench.records import Load, generate
from consumer.log import ProfileRecord, WatermarkRecord
from tests.kafka_broker import Kafka
from tests.waiting import wait_until
from tests.worker_runs import App, steady

pytestmark = pytest.mark.kafka

RECORDS = [
    (number % 2, *one)
    for number, one in enumerate(
        generate(Load(records=8_000, features=3, per_second=200.0, shift_at=0.5))
    )
]
BEGIN = "partitions begin"


@pytest.fixture
def app(kafka: str, app_name: str, topic_name: str, tmp_path: Path) -> Iterator[App]:
    with App(kafka, app_name, topic_name, tmp_path) as one:
        one.overrides["delivery"] = "exactly_once"
        one.make_topic(2)
        yield one


def each_once(app: App, counts: dict[int, int]) -> None:
    """What a reader with ``read_committed`` sees: every result once, and no record uncounted."""
    names: Counter[tuple[object, ...]] = Counter()
    for number, records in app.log().items():
        for one in records:
            if isinstance(one, ProfileRecord):
                names[one.partition, one.end, one.model, one.version, one.segment, one.part] += 1
            elif isinstance(one, WatermarkRecord) and one.through != one.previous:
                names[number, one.partition, one.through] += 1
    assert names
    assert set(names.values()) == {1}, names.most_common(3)
    assert app.counted() == app.announced() == counts
    events = [orjson.loads(m.value or b"")["id"] for m in app.read(app.settings.alerts_topic)]
    assert len(events) == len(set(events))
    assert app.alerts() == app.replayed()


def feed_all(app: App, half: int = 0) -> None:
    middle = len(RECORDS) // 2
    app.feed([RECORDS, RECORDS[:middle], RECORDS[middle:]][half])


def test_each_result_once_though_workers_are_killed(app: App) -> None:
    feed_all(app, 1)
    for point in ("in_transaction:9", "before_commit:1", "offsets_sent:2", "after_commit:2"):
        worker = app.run(failpoint=point)
        assert worker.ended(30) == -signal.SIGKILL, worker.text
    feed_all(app, 2)
    app.run("--drain", failpoint="after_idle_decision:1").ended(30)
    app.drain()
    assert app.of_type("opened")
    each_once(app, {0: 4_000, 1: 4_000})


def test_a_zombie_publishes_nothing(app: App) -> None:
    feed_all(app, 1)
    zombie = app.run()
    zombie.says(BEGIN)
    zombie.send(signal.SIGSTOP)  # perhaps in the middle of a transaction
    heir = app.run()
    heir.says(BEGIN, 30)
    feed_all(app, 2)
    wait_until(lambda: app.of_type("opened"), 30, "the heir works", 0.3)
    zombie.send(signal.SIGCONT)
    zombie.says("partitions left")
    assert (heir.stop(), zombie.stop()) == (0, 0)
    app.drain()
    each_once(app, {0: 4_000, 1: 4_000})


@pytest.mark.long
def test_brokers_die_in_transactions(
    kafka_cluster: Kafka, app_name: str, topic_name: str, tmp_path: Path
) -> None:
    with App(kafka_cluster.bootstrap, app_name, topic_name, tmp_path) as app:
        app.overrides |= {"delivery": "exactly_once", "kafka.session.timeout.ms": 10_000}
        app.make_topic(2)
        feed_all(app, 1)
        worker = app.run()
        worker.says("partition is active")
        for part in range(4):
            middle = len(RECORDS) // 2 + part * len(RECORDS) // 8
            app.feed(RECORDS[middle : middle + len(RECORDS) // 8])
            kafka_cluster.kill(1)
            kafka_cluster.restart(1)
        wait_until(lambda: app.of_type("opened"), 40, "the shift is seen", 0.3)
        assert worker.alive
        assert worker.stop(10) == 0
        app.drain()
        each_once(app, {0: 4_000, 1: 4_000})

        app.feed(steady(200, start=1_000))
        last = app.run()
        last.says(BEGIN, 30)
        kafka_cluster.kill(1)
        last.says("the Kafka client reports")
        assert last.stop(10) == 0
        assert "Traceback" not in worker.text + last.text
