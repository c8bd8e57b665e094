"""The baseline of a training set, through real Kafka: published, used, kept, replayed."""

from __future__ import annotations

import csv
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest
from confluent_kafka import Producer

from consumer.log import FORMAT_VERSION, log_partition
from tests.waiting import wait_until
from tests.worker_runs import START, App, Worker, record

pytestmark = [pytest.mark.kafka, pytest.mark.xdist_group("given_baseline")]

PER_SECOND = 100


@pytest.fixture
def app(kafka: str, app_name: str, tmp_path: Path) -> Iterator[App]:
    with App(kafka, app_name, f"in-{app_name}", tmp_path) as found:
        found.make_topic(1)
        yield found


def predictions(
    first: int, seconds: int, x: float, y: float
) -> Iterator[tuple[int, int, bytes | None]]:
    chance = random.Random(first)
    for number in range(seconds * PER_SECOND):
        when = START + first * 1_000 + number * 1_000 // PER_SECOND
        features = {"x": chance.gauss(x, 1.0), "y": chance.gauss(y, 1.0)}
        yield 0, when, record(when, features=features)


def training_set(path: Path) -> str:
    chance = random.Random(0)
    with path.open("w", newline="") as file:
        rows = ([chance.gauss(0, 1), chance.gauss(0, 1)] for _ in range(5_000))
        csv.writer(file).writerows([["x", "y"], *rows])
    return str(path)


def said(worker: Worker) -> str:
    assert worker.ended(30) == 0, worker.text
    return worker.text


def of_a_kind_to_come(app: App) -> None:
    """A record such as a later release might write, before this one is rolled back to."""
    producer = Producer({"bootstrap.servers": app.bootstrap})
    value = msgspec.msgpack.encode({"type": "a kind to come", "v": FORMAT_VERSION})
    place = log_partition(app.topic, "m", app.settings.topics.profile_partitions)
    producer.produce(app.settings.profiles_topic, value, partition=place)
    assert producer.flush(20) == 0


def told(app: App, feature: str) -> list[dict[str, Any]]:
    """What the alerts say of a feature."""
    return [
        change
        for event in app.of_type("opened") + app.of_type("updated")
        for change in event["changes"]
        if change["feature"] == feature
    ]


def test_built_published_told_of_kept_over_a_restart_and_the_same_in_a_replay(app: App) -> None:
    file = str(app.folder / "m.baseline")
    csv_file = training_set(app.folder / "train.csv")
    built = said(app.command("baseline", "build", csv_file, "--model", "m", "--out", file))
    id = re.findall(r"^baseline ([0-9a-f]{16})", built, re.MULTILINE)[0]
    worker = app.run()
    worker.says("partitions begin")
    of_a_kind_to_come(app)
    assert f"published: baseline {id}" in said(app.command("baseline", "publish", file))
    worker.says("a given baseline holds")
    worker.says("a record of the log is skipped")
    app.feed(predictions(0, 80, x=1.0, y=0.0))
    wait_until(lambda: bool(told(app, "x")), 20, "the difference from the training set is told")
    assert {change["baseline"] for change in told(app, "x")} == {id}
    assert not told(app, "y")
    assert worker.stop() == 0

    again = app.run()
    again.says("partitions begin")
    app.feed(predictions(80, 80, x=1.0, y=2.0))
    wait_until(lambda: bool(told(app, "y")), 20, "a later change is told")
    assert {change["baseline"] for change in told(app, "y")} == {id}
    assert again.stop() == 0
    app.drain()

    assert app.replayed("--baseline", file) == app.alerts()
    assert app.replayed() != app.alerts()
    assert id in said(app.command("baseline", "show", id[:8]))
    differences = said(app.command("baseline", "diff", id, "live:m"))
    assert "skipped: not a record of the profiles log" in differences
    ranked = [line.split()[0] for line in differences.partition("feature ")[2].splitlines()[1:3]]
    assert set(ranked) == {"x", "y"}


def test_what_cannot_be_published_is_said(app: App) -> None:
    file = app.folder / "m.baseline"
    file.write_bytes(orjson.dumps({"not": "a baseline"}))
    refused = app.command("baseline", "publish", str(file))
    assert refused.ended(20) == 2
    assert "m.baseline: not a baseline" in refused.text
    unknown = app.command("baseline", "show", "0123456789abcdef")
    assert unknown.ended(20) == 2
    assert "there is no such topic" in unknown.text
