"""Kafka 4's group protocol and static membership against real Apache Kafka."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.waiting import wait_until
from tests.worker_runs import App, Worker, steady

pytestmark = pytest.mark.kafka

BEGIN = "partitions begin"


@pytest.fixture
def app(kafka: str, app_name: str, topic_name: str, tmp_path: Path) -> Iterator[App]:
    with App(kafka, app_name, topic_name, tmp_path) as one:
        one.make_topic(2)
        yield one


def next_generation(app: App) -> None:
    """Kafka 4's group protocol; the broker knows how long a session is."""
    text = app.config.read_text().splitlines(keepends=True)
    kept = [line for line in text if "session.timeout" not in line and "heartbeat" not in line]
    app.config.write_text("".join(kept))
    app.overrides["kafka.group.protocol"] = "consumer"


def owned(worker: Worker) -> int:
    names = [name for one in worker.events(BEGIN) for name in one["partitions"].split(", ")]
    return len(set(names))


def test_workers_share_by_the_new_group_protocol(app: App) -> None:
    next_generation(app)
    app.overrides["delivery"] = "exactly_once"
    app.feed(steady(200) + steady(200, 1))
    first = app.run()
    first.says(BEGIN)
    second = app.run()
    second.says(BEGIN)
    app.feed(steady(200, start=20) + steady(200, 1, start=20))
    wait_until(lambda: sum(app.announced().values()) > 600, 30, "both work", 0.3)
    assert first.events("partitions left")
    assert 0 < owned(second) < 4
    assert second.stop() == 0
    first.says(BEGIN, times=2)
    assert first.stop() == 0
    app.drain()
    assert app.counted() == app.announced() == {0: 400, 1: 400}


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_a_static_member(app: App, protocol: str) -> None:
    """It comes back to its partitions at once, and there is one of it."""
    if protocol == "consumer":
        next_generation(app)
    app.overrides["kafka.group.instance.id"] = "one"
    app.feed(steady(100))
    first = app.run()
    first.says(BEGIN)
    assert first.stop() == 0
    begun = time.monotonic()
    second = app.run()
    second.says(BEGIN)
    assert time.monotonic() - begun < 10  # with the broker's session of 45 s, too
    third = app.run()
    loser, winner = (second, third) if protocol == "classic" else (third, second)
    app.feed(steady(100, start=20))
    assert loser.ended(30) == 2
    assert "give every process its own" in loser.text
    assert "Traceback" not in loser.text
    assert winner.alive
    assert winner.stop() == 0
    app.drain()
    assert app.counted() == {0: 200}
