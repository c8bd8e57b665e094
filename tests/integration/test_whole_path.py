"""Records in, alerts out, through real Kafka: each counts once, whatever happens to workers."""

from __future__ import annotations

import os
import signal
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from jsonschema import Draft202012Validator

from alerts.schema import schema
from bench.records import Load, generate
from tests.worker_runs import App

pytestmark = [pytest.mark.kafka, pytest.mark.xdist_group("whole_path")]

PARTITIONS = 3
LOAD = Load(
    records=24_000,
    features=5,
    models=2,
    per_second=400.0,
    shift_at=0.6,
    broken_every=977,
    late_every=331,
)


class Calm:
    """An undisturbed run over a topic that no test changes."""

    def __init__(self, app: App) -> None:
        self.app = app
        self.produced: Counter[int] = Counter()
        app.make_topic(PARTITIONS)
        app.feed(self._records())
        app.drain()
        self.alerts = app.alerts()

    def _records(self) -> Iterator[tuple[int, int, bytes | None]]:
        for number, (when, value) in enumerate(generate(LOAD)):
            self.produced[number % PARTITIONS] += 1
            yield number % PARTITIONS, when, value


@pytest.fixture(scope="module")
def calm(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Calm]:
    own = uuid.uuid4().hex[:10]
    folder = tmp_path_factory.mktemp("calm")
    with App(kafka, f"app-{own}", f"predictions-{own}", folder) as app:
        yield Calm(app)


@pytest.fixture
def other(calm: Calm, app_name: str, tmp_path: Path) -> Iterator[App]:
    """Another app, so another group, on the same topic."""
    with App(calm.app.bootstrap, app_name, calm.app.topic, tmp_path) as app:
        yield app


def without_ids(alerts: dict[str, bytes]) -> list[dict[str, Any]]:
    events = [orjson.loads(value) for value in alerts.values()]
    for event in events:
        for name in ("id", "incident", "app", "source"):
            event.pop(name, None)
    return sorted(events, key=orjson.dumps)


def test_a_shift_becomes_an_incident(calm: Calm) -> None:
    opened = calm.app.of_type("opened")
    assert {event["model"] for event in opened} == {"model-0", "model-1"}
    validator = Draft202012Validator(schema())
    for value in calm.alerts.values():
        validator.validate(orjson.loads(value))


def test_every_record_counts_once(calm: Calm) -> None:
    assert calm.app.announced() == calm.app.counted() == dict(calm.produced)
    rejects = {message.key for message in calm.app.read(calm.app.settings.rejects_topic)}
    assert len(rejects) == LOAD.records // LOAD.broken_every


def test_the_audit_finds_nothing(calm: Calm) -> None:
    report = calm.app.audited()
    assert not report["violations"], report
    assert not report["notes"]
    facts = {one["what"]: one for one in report["checked"]}
    for partition, count in calm.produced.items():
        mine = facts[f"{calm.app.topic}[{partition}]"]
        assert mine["records"] + sum(mine["rejects"].values()) == count
        assert (mine["against the input from"], mine["to"]) == (0, count)
    alerts = facts[calm.app.settings.alerts_topic]
    assert alerts["events"] == alerts["due"] == len(calm.alerts)


def test_live_equals_replay_byte_for_byte(calm: Calm) -> None:
    assert calm.app.replayed() == calm.alerts


def test_a_second_group_is_independent(calm: Calm, other: App) -> None:
    other.drain()
    alerts = other.alerts()
    assert without_ids(alerts) == without_ids(calm.alerts)
    assert not alerts.keys() & calm.alerts.keys()
    assert calm.app.alerts() == calm.alerts


def test_workers_that_drain_together_all_end(
    kafka: str, app_name: str, topic_name: str, tmp_path: Path
) -> None:
    """Each has windows open that no record closes while it waits for the other."""
    many = generate(Load(records=200_000, features=3, per_second=2_000.0))
    with App(kafka, app_name, topic_name, tmp_path) as app:
        app.make_topic(4)
        app.feed((number % 4, *one) for number, one in enumerate(many))
        first = app.run("--drain")
        first.says("partitions begin")
        first.send(signal.SIGSTOP)  # the second one joins before all is read
        second = app.run("--drain")
        second.says("started")
        first.send(signal.SIGCONT)
        for worker in (first, second):
            assert worker.ended(60) == 0, worker.text
            assert worker.events("partition is active"), worker.text
        assert app.counted() == dict.fromkeys(range(4), 50_000)


@pytest.mark.parametrize(
    "points",
    [
        ["after_profiles:1", "after_profiles:2"],
        ["before_commit:1", "before_commit:3"],
        ["after_feed:3", "after_commit:2"],
        ["after_idle_decision:1", "after_snapshot:1"],
    ],
    ids=lambda points: points[0].partition(":")[0],
)
def test_killed_workers_change_nothing(calm: Calm, other: App, points: list[str]) -> None:
    for point in points:
        worker = other.run("--drain", failpoint=point)
        assert worker.ended(60) == -signal.SIGKILL, worker.text
    other.drain()
    assert other.counted() == dict(calm.produced)
    assert without_ids(other.alerts()) == without_ids(calm.alerts)
    assert not (report := other.audited())["violations"], report


def test_workers_that_join_and_leave_change_nothing(calm: Calm, other: App) -> None:
    first = other.run()
    first.says("partitions begin")
    second = other.run()
    second.says("partitions begin")
    assert first.stop() == 0
    third = other.run()
    third.says("partitions begin")
    second.kill()
    drain = other.run("--drain")
    drain.says("started")
    assert third.stop() == 0
    assert drain.ended(60) == 0, drain.text
    assert other.counted() == dict(calm.produced)
    alerts = other.alerts()
    assert without_ids(alerts) == without_ids(calm.alerts)
    assert alerts == other.replayed()
    assert not (report := other.audited())["violations"], report


def test_workers_of_one_process_are_started_again_and_change_nothing(
    calm: Calm, other: App
) -> None:
    crew = other.run("--workers", "2")
    crew.says("partitions begin", times=2)
    begun = crew.events("a worker is started")
    os.kill(begun[0]["pid"], signal.SIGKILL)
    crew.says("a worker is started", times=3)
    assert {event["number"] for event in crew.events("partitions begin")} <= {0, 1}
    assert crew.stop() == 0, crew.text
    other.drain()
    assert other.counted() == dict(calm.produced)
    assert without_ids(other.alerts()) == without_ids(calm.alerts)
    assert not (report := other.audited())["violations"], report


def test_budget_says_what_is_promised_and_what_can_be_seen(calm: Calm) -> None:
    plain, json = calm.app.command("budget"), calm.app.command("budget", "--json")
    assert plain.ended(20) == 0, plain.text
    assert json.ended(20) == 0, json.text
    assert "model-0" in plain.text
    told = {each["model"]: each for each in orjson.loads(json.text)}
    for name in ("model-0", "model-1"):
        assert told[name]["told"]
        assert told[name]["streams"]
