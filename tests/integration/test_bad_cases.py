"""What a user meets when something is wrong, and that nothing is lost by it: real Kafka."""

from __future__ import annotations

import base64
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    ResourceType,
)

from bench.records import Load, generate
from consumer.log import Lost
from tests.kafka_broker import Kafka, free_ports
from tests.waiting import wait_until
from tests.worker_runs import START, App, Setting, Worker, steady

pytestmark = pytest.mark.kafka

QUICK = {"inputs.one.idle_after": "1s", "inputs.one.stall_limit": "2s"}


@pytest.fixture
def app(kafka: str, app_name: str, topic_name: str, tmp_path: Path) -> Iterator[App]:
    with App(kafka, app_name, topic_name, tmp_path) as one:
        yield one


def refused(app: App, *words: str, status: int = 2) -> str:
    """What a command says that ends by itself with a status."""
    worker = app.command(*words)
    assert worker.ended(30) == status, worker.text
    assert "Traceback" not in worker.text
    return worker.text


def set_topic(app: App, topic: str, name: str, value: str) -> None:
    entry = ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    for future in app.admin.incremental_alter_configs([resource]).values():
        future.result(20)


def states(app: App, partition: int) -> list[str]:
    return [mark.state for mark in app.watermarks().get(partition, [])]


# --- before anything runs ---------------------------------------------------------------------


def test_nothing_listens_there(app_name: str, topic_name: str, tmp_path: Path) -> None:
    (port,) = free_ports(1)
    with App(f"127.0.0.1:{port}", app_name, topic_name, tmp_path) as app:
        run, check = app.run(), app.command("check")
        want = f"no Kafka at 127.0.0.1:{port}; check bootstrap.servers and that the broker runs"
        assert (run.ended(), check.ended()) == (1, 1)
        assert run.text == f"streamgauge: {want}\n"
        assert want in check.text


def test_the_input_topic_is_missing(app: App) -> None:
    app.make_topic(1, f"{app.topic}s")
    text = refused(app, "run").splitlines()
    assert f"streamgauge: topic {app.topic}: the topic does not exist; name another one" in text[-2]
    assert text[-1] == "look at the whole with: streamgauge check"
    assert f'did you mean "{app.topic}s"?' in refused(app, "check", status=1)


def test_internal_topics_are_missing(app: App) -> None:
    app.make_topic(1)
    app.overrides["topics.create"] = False
    assert refused(app, "run").splitlines() == [
        f"streamgauge: {app.name}-profiles: does not exist",
        f"{app.name}-alerts: does not exist",
        f"{app.name}-state: does not exist",
        f"{app.name}-rejects: does not exist",
        "make them with: streamgauge topics create",
        "if they exist, this user may not see them: streamgauge check tells which permissions lack",
    ]
    refused(app, "topics", "create", status=0)
    app.feed(steady(100))
    app.drain()
    assert app.counted() == {0: 100}


def test_internal_topics_with_wrong_settings(app: App) -> None:
    app.make_topic(1)
    app.make_topic(2, f"{app.name}-state", cleanup_policy="delete")
    app.make_topic(2, f"{app.name}-profiles", max_message_bytes="1000", retention_ms="604800000")
    text = refused(app, "run")
    assert "cleanup.policy is delete, should be compact" in text
    assert (
        "max.message.bytes is 1000, should be 524288: larger profiles and snapshots would" in text
    )
    assert f"--entity-name {app.name}-state --add-config cleanup.policy=compact" in text


def test_another_window_size(app: App) -> None:
    app.make_topic(1)
    app.feed(steady(100))
    worker = app.run()
    worker.says("partition is active")
    assert worker.stop() == 0
    app.overrides["inputs.one.window"] = "2s"
    assert "window was 1s, is 2s" in refused(app, "run")
    text = refused(app, "run", "--drain")
    assert "run `streamgauge run --drain` once" in text.replace("\n", " ")
    app.overrides["inputs.one.window"] = "1s"
    app.drain()
    app.overrides["inputs.one.window"] = "2s"
    app.feed(steady(100, start=20))
    app.drain()
    assert app.counted() == {0: 200}


# --- topics that change under a running worker --------------------------------------------------


@pytest.mark.parametrize("which", ["profiles", "rejects"])
def test_an_internal_topic_is_deleted(app: App, which: str) -> None:
    app.make_topic(1)
    app.feed(steady(10))
    worker = app.run()
    worker.says("partition is active")
    app.delete_topic(f"{app.name}-{which}")
    app.feed([(0, START, b"{")])
    assert worker.ended(60) == 2
    assert "Traceback" not in worker.text
    assert f"{app.name}-{which}" in worker.text
    assert "does not exist" in worker.text


def test_partitions_of_the_log_are_added(app: App) -> None:
    app.make_topic(1)
    app.feed(steady(100))
    worker = app.run()
    worker.says("partition is active")
    new = NewPartitions(app.settings.profiles_topic, 3)
    for future in app.admin.create_partitions([new]).values():
        future.result(20)
    app.feed(steady(100, start=20))
    assert worker.ended(40) == 2
    assert f"{app.name}-profiles had 2 partitions and has 3 now" in worker.text
    assert "Traceback" not in worker.text
    text = refused(app, "run")
    assert f"has 2 partitions, {app.name}-profiles has 3 partitions" in text


def test_a_message_over_the_brokers_limit(app: App) -> None:
    app.make_topic(1)
    app.feed(steady(10))
    worker = app.run()
    worker.says("partition is active")
    set_topic(app, app.settings.rejects_topic, "max.message.bytes", "100")
    app.feed([(0, START, b"{")])
    assert worker.ended(30) == 2
    assert "a message is larger than allowed; raise message.max.bytes" in worker.text
    assert "Traceback" not in worker.text


def test_partitions_are_added(app: App) -> None:
    app.make_topic(1)
    app.feed(steady(100))
    worker = app.run(also={"start": "latest"} | QUICK)
    worker.says("partitions begin")
    app.add_partitions(2)
    app.feed(steady(50, partition=1))
    wait_until(lambda: app.counted().get(1) == 50, 30, "the new partition is read", 0.3)
    assert app.watermarks()[1][-1].partitions == 2
    assert worker.stop() == 0


def test_topics_of_no_input_that_a_pattern_matches(app: App) -> None:
    app.topic = f"{app.name}-predictions"
    app.overrides["inputs.one.topics"] = f"^{app.name}-.*"
    app.make_topic(2)
    app.feed(steady(100))
    worker = app.drain()
    left = {one["topic"] for one in worker.events(LEFT_ALONE)}
    assert left == {f"{app.name}-{name}" for name in ("alerts", "state", "rejects")}
    assert app.counted() == {0: 100}


LEFT_ALONE = "topic is left alone: no input of the configuration reads it"


# --- silence ------------------------------------------------------------------------------------


def test_an_empty_topic(app: App) -> None:
    app.make_topic(2)
    worker = app.run(also=QUICK)
    worker.says("partition is idle", times=2)
    wait_until(lambda: len(app.watermarks()) == 2, 10, "both partitions speak", 0.3)
    for partition in (0, 1):
        (mark,) = app.watermarks()[partition]
        assert (mark.state, mark.through, mark.records) == ("idle", None, 0)
    assert worker.stop() == 0


def test_a_partition_is_idle_and_back_and_idle_again(app: App) -> None:
    app.make_topic(2)
    app.feed(steady(50) + steady(50, partition=1))
    worker = app.run(also=QUICK)
    worker.says("partition is idle", times=2)
    app.feed(steady(50, start=10))
    worker.says("partition is idle", times=3)
    wait_until(lambda: app.counted() == {0: 100, 1: 50}, 10, "all windows are closed", 0.3)
    told = [state for state in states(app, 0) if state != "stalled"]
    assert told[-1] == "idle"
    assert [a for a, b in zip(told, ["", *told], strict=False) if a != b] == [
        "active",
        "idle",
        "active",
        "idle",
    ]
    assert all(mark.as_of is None for mark in app.watermarks()[0] if mark.state == "active")
    assert worker.stop() == 0


@pytest.mark.parametrize("flag", ["--drain", ""])
def test_a_partition_far_ahead_waits_and_is_let_go(app: App, flag: str) -> None:
    app.make_topic(2)
    app.feed(steady(50))
    for hour in range(1, 4):
        app.feed(steady(20_000, partition=1, start=hour * 3600, per_second=400))
    worker = app.run(*[flag] if flag else [], also={} if flag else QUICK)
    if flag:
        assert worker.ended(30) == 0
    else:
        worker.says("partition is idle", times=2)
        assert worker.stop() == 0
        app.drain()
    assert app.counted() == {0: 50, 1: 60_000}


def test_a_partition_that_stalls_is_not_waited_for(app: App) -> None:
    app.make_topic(2)
    writer = Producer({"bootstrap.servers": app.bootstrap, "transactional.id": app.name})
    writer.init_transactions(20)
    writer.begin_transaction()
    for _, when, value in steady(30, partition=1):
        writer.produce(app.topic, value, partition=1, timestamp=when)
    writer.flush(20)
    app.feed(steady(100))
    worker = app.run(also=QUICK)
    worker.says("partition is stalled")
    worker.says("a partition has unread data and does not move")
    wait_until(lambda: "stalled" in states(app, 1), 10, "the log says so", 0.3)
    writer.commit_transaction(20)
    worker.says("partition is idle", times=2)
    assert worker.stop() == 0
    app.drain()
    assert app.counted() == {0: 100, 1: 30}
    told = states(app, 1)
    assert told[:2] == ["stalled", "active"]
    assert told[-1] == "idle"


def test_a_model_appears_vanishes_and_returns(app: App) -> None:
    app.make_topic(1)
    app.overrides["inputs.one.window"] = "10s"
    always = steady(1000, per_second=1)
    other = steady(100, per_second=1) + steady(100, per_second=1, start=900)
    other = [(0, when, (value or b"").replace(b'"m"', b'"other"')) for _, when, value in other]
    app.feed(sorted(always + other, key=lambda one: one[1]))
    app.drain()
    assert [event["model"] for event in app.of_type("no_data")] == ["other"]
    assert [event["model"] for event in app.of_type("resolved")] == ["other"]
    assert app.counted() == {0: 1200}


# --- brokers and signals ------------------------------------------------------------------------


def tells_of_a_dead_broker(worker: Worker) -> None:
    worker.says("the Kafka client reports", 45)
    assert worker.alive, worker.text


def test_a_broker_dies_and_comes_back(
    kafka_cluster: Kafka, app_name: str, topic_name: str, tmp_path: Path
) -> None:
    with App(kafka_cluster.bootstrap, app_name, topic_name, tmp_path) as app:
        app.make_topic(2)
        records = list(generate(Load(records=12_000, features=3, per_second=200.0, shift_at=0.6)))
        half = len(records) // 2
        app.feed((n % 2, *one) for n, one in enumerate(records[:half]))
        worker = app.run()
        worker.says("partition is active", times=2)
        kafka_cluster.kill(1)
        gone = time.monotonic()
        tells_of_a_dead_broker(worker)
        wait_until(lambda: time.monotonic() - gone > 10, 20, "the broker is away for 10 s")
        kafka_cluster.restart(1)
        app.feed((n % 2, *one) for n, one in enumerate(records[half:], start=half))
        wait_until(lambda: app.of_type("opened"), 40, "the shift is seen", 0.5)
        warnings = [line for line in worker.text.splitlines() if '"WARNING"' in line]
        assert len(warnings) <= 12, worker.text
        assert worker.alive
        assert worker.stop() == 0
        app.drain()
        assert app.counted() == {0: 6_000, 1: 6_000}
        assert app.alerts() == app.replayed()

        # Nobody answers any more: the first SIGTERM tries to commit, the second does not wait.
        app.feed(steady(50, start=100))
        patient, hasty = app.run(), app.run()
        for one in (patient, hasty):
            one.says("partitions begin")
        kafka_cluster.kill(1)
        for one in (patient, hasty):
            tells_of_a_dead_broker(one)
        for one in (patient, hasty):
            one.send(signal.SIGTERM)
        hasty.says("stopping")
        hasty.send(signal.SIGTERM)
        # By our handler, by the system's if all was done but for the interpreter's own end, or
        # before the second signal if there was nothing left to commit.
        ended = hasty.ended(2)
        assert ended in (128 + signal.SIGTERM, -signal.SIGTERM) or hasty.events("stopped"), ended
        assert patient.ended(10) == 0, patient.text
        assert "Traceback" not in patient.text + hasty.text


def test_permissions(secured_kafka: Kafka, app_name: str, topic_name: str, tmp_path: Path) -> None:
    """Nothing is allowed, then all that the documentation asks for and no more."""
    user = f"u-{app_name}"
    secrets = secured_kafka.add_user(user, "right")
    with App(secured_kafka.bootstrap, app_name, topic_name, tmp_path) as app:
        app.make_topic(1)
        app.feed(steady(100))
        app.command("topics", "create").ended()
        password = tmp_path / "password"
        password.write_text(secrets.pop("sasl.password"))
        client: dict[str, Setting] = {f"kafka.{name}": value for name, value in secrets.items()}
        client |= {"kafka.sasl.password_file": str(password), "topics.create": False}
        denied = app.run(also=client)
        assert denied.ended() in (1, 2)
        assert "Traceback" not in denied.text
        assert "right" not in denied.text
        secured_kafka.allow(user, "READ", "GROUP", app_name)
        secured_kafka.allow(user, "READ", "TOPIC", topic_name)
        for operation in ("READ", "WRITE"):
            secured_kafka.allow(user, operation, "TOPIC", app_name)
        app.drain(also=client)
        app.feed(steady(100, start=50))
        app.drain(also=client)
        assert app.counted() == {0: 200}


def test_sigterm_in_a_backlog(app: App) -> None:
    app.make_topic(2)
    for partition in (0, 1):
        app.feed(steady(40_000, partition, per_second=1000))
    worker = app.run()
    worker.says("partitions begin")
    assert worker.stop(10.0) == 0
    assert worker.events("stopped")
    app.drain()
    assert app.counted() == {0: 40_000, 1: 40_000}


# --- what the records hold ----------------------------------------------------------------------


def test_a_committed_offset_that_the_log_lost(app: App) -> None:
    app.make_topic(1)
    app.feed(steady(100))
    app.drain()
    app.feed(steady(100, start=10))
    app.cut(0, 150)
    worker = app.drain()
    (gone,) = worker.events("records are gone unread")
    assert (gone["level"], gone["start"], gone["stop"]) == ("ERROR", 100, 150)
    assert [mark.lost for mark in app.watermarks()[0] if mark.lost] == [(Lost(100, 150),)]
    (event,) = app.of_type("data_loss")
    assert (event["topic"], event["partition"]) == (app.topic, 0)
    assert (event["start"], event["stop"]) == (100, 150)
    assert app.counted() == {0: 150}


@pytest.mark.parametrize("with_bytes", [False, True], ids=["plain", "with_bytes"])
def test_unreadable_records(app: App, with_bytes: bool) -> None:
    app.make_topic(2)
    bad = {b"{": "json_syntax", b"\xff": "encoding", b"[1]": "not_an_object", None: "tombstone"}
    app.feed(steady(20) + [(1, START, value) for value in bad])
    app.drain(also={"rejects_include_bytes": with_bytes})
    told = {
        m.key: (orjson.loads(m.value or b""), m.headers)
        for m in app.read(app.settings.rejects_topic)
    }
    assert len(told) == 4
    for offset, (value, reason) in enumerate(bad.items()):
        body, headers = told[f"{app.topic}/1/{offset}".encode()]
        place = (body["topic"], body["partition"], body["offset"], body["reason"])
        assert place == (app.topic, 1, offset, reason)
        assert headers["streamgauge.errors.reason"].decode() == reason
        want = base64.b64encode(value).decode() if with_bytes and value is not None else None
        assert body.get("bytes") == want
    assert app.counted() == {0: 20, 1: 4}


def test_committed_offsets_that_are_gone(app: App) -> None:
    app.make_topic(1)
    app.feed(steady(100))
    app.drain()
    (deleted,) = app.admin.delete_consumer_groups([app.settings.group]).values()
    deleted.result(20)
    app.feed(steady(100, start=10))
    worker = app.drain(also={"start": "latest"})
    (told,) = worker.events("the group's offset is gone: going on from the profiles log")
    assert (told["topic"], told["partition"]) == (app.topic, 0)
    assert app.counted() == {0: 200}
    assert not app.of_type("data_loss")
    assert not app.audited()["violations"]
