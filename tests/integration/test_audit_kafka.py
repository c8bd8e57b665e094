"""The audit on real Kafka: a running system, transactions, retention, and defects in its topics."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import msgspec
import orjson
import pytest
from confluent_kafka import Producer

from consumer.log import ProfileRecord, WatermarkRecord, decode, encode
from tests.waiting import wait_until
from tests.worker_runs import START, App, record, steady

pytestmark = [pytest.mark.kafka, pytest.mark.xdist_group("audit")]

RECORDS = 400


@pytest.fixture
def app(kafka: str, app_name: str, topic_name: str, tmp_path: Path) -> Iterator[App]:
    with App(kafka, app_name, topic_name, tmp_path) as one:
        yield one


@pytest.fixture(scope="module")
def calm(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """A system that has read and closed everything; no test changes it."""
    own = uuid.uuid4().hex[:10]
    folder = tmp_path_factory.mktemp("audited")
    with App(kafka, f"app-{own}", f"predictions-{own}", folder) as app:
        app.make_topic(2)
        app.feed([*steady(RECORDS, 0), *steady(RECORDS, 1), *[(0, START + 39_000, b"{")] * 3])
        app.drain()
        yield app


def copied(calm: App, folder: Path, **changed: list[tuple[int, bytes | None, bytes | None]]) -> App:
    """Another app whose topics hold the same, but for those that are named."""
    app = App(calm.bootstrap, f"app-{uuid.uuid4().hex[:10]}", calm.topic, folder)
    producer = Producer({"bootstrap.servers": calm.bootstrap})
    for name, partitions in (("profiles", 2), ("alerts", 3), ("rejects", 3), ("state", 2)):
        app.make_topic(partitions, f"{app.name}-{name}")
        for number, key, value in changed.get(name) or messages(calm, name):
            producer.produce(f"{app.name}-{name}", value, key, number)
    assert producer.flush(20) == 0
    return app


def messages(app: App, name: str) -> list[tuple[int, bytes | None, bytes | None]]:
    return [(m.partition, m.key, m.value) for m in app.read(f"{app.name}-{name}")]


def first(report: dict[str, object], kind: str) -> dict[str, object]:
    found = report["first"]
    assert isinstance(found, list)
    return next(one for one in found if one["kind"] == kind)


def test_a_calm_system_passes(calm: App) -> None:
    report = calm.audited()
    assert report["violations"] == 0, report
    facts = {one["what"]: one for one in report["checked"]}
    assert facts[f"{calm.topic}[0]"]["rejects"] == {"json_syntax": 3}
    worker = calm.command("audit")
    assert worker.ended(30) == 0
    assert worker.text.splitlines()[-1] == "no violation"


def test_a_lost_profile(calm: App, tmp_path: Path) -> None:
    held = messages(calm, "profiles")
    at = next(at for at, one in enumerate(held) if isinstance(decode(one[2] or b""), ProfileRecord))
    app = copied(calm, tmp_path, profiles=held[:at] + held[at + 1 :])
    one = first(app.audited(), "profile_lost")
    assert (one["topic"], one["partition"]) == (app.settings.profiles_topic, held[at][0])


def test_a_doubled_count_and_a_lost_reject(calm: App, tmp_path: Path) -> None:
    held = messages(calm, "profiles")
    for at, (number, key, value) in enumerate(held):
        mark = decode(value or b"")
        if isinstance(mark, WatermarkRecord) and mark.records:
            more = msgspec.structs.replace(mark, records=mark.records * 2)
            held[at] = number, key, encode(more)
    rejects = messages(calm, "rejects")[1:]
    report = copied(calm, tmp_path, profiles=held, rejects=rejects).audited()
    assert str(first(report, "count_claim")["text"]).startswith(calm.topic)
    assert "json_syntax" in str(first(report, "reject_lost")["text"])


def test_an_alert_too_many(calm: App, tmp_path: Path) -> None:
    event = {
        "type": "limit_reached", "v": 1, "id": "0" * 20, "incident": "1" * 20, "revision": 1,
        "time": None, "severity": "warning", "topic": calm.topic, "model": "", "limit": "models",
        "summary": "s", "text": "t",
    }  # fmt: skip
    alerts: list[tuple[int, bytes | None, bytes | None]] = [(2, b"1" * 20, orjson.dumps(event))]
    app = copied(calm, tmp_path, alerts=alerts)
    one = first(app.audited(), "alert_extra")
    assert (one["topic"], one["partition"], one["offset"]) == (app.settings.alerts_topic, 2, 0)


def test_a_running_system_with_transactions_upstream(app: App) -> None:
    """Committed, aborted and open transactions; the worker runs on while it is audited."""
    app.make_topic(1)
    upstream = Producer({"bootstrap.servers": app.bootstrap, "transactional.id": app.name})
    upstream.init_transactions(20)

    def write(start: int) -> None:
        upstream.begin_transaction()
        for _, when, value in steady(100, start=start):
            upstream.produce(app.topic, value, partition=0, timestamp=when)
        upstream.flush(20)

    worker = app.run()
    for turn in range(4):
        write(10 * turn)
        if turn == 2:
            upstream.abort_transaction(20)
        else:
            upstream.commit_transaction(20)
    write(40)  # stays open
    wait_until(lambda: len(app.watermarks().get(0, [])) > 0, 20, "windows are closed")
    report = app.audited()
    assert report["violations"] == 0, report
    upstream.commit_transaction(20)
    assert worker.stop() == 0
    app.drain()
    report = app.audited()
    assert report["violations"] == 0, report
    facts = {one["what"]: one for one in report["checked"]}
    assert facts[f"{app.topic}[0]"]["records"] == 400
    assert not report["notes"]


def test_records_that_are_gone_unread(app: App) -> None:
    app.make_topic(1)
    app.feed(steady(100))
    app.drain()
    app.feed(steady(200, start=20))
    app.cut(0, 200)
    app.drain()
    report = app.audited()
    assert report["violations"] == 0, report
    assert report["declared"] == [f"{app.topic}[0]: offsets 100 to 200 never read"]


def test_there_is_nothing_to_audit(app: App) -> None:
    worker = app.command("audit")
    assert worker.ended(30) == 2
    assert f"there is no topic {app.name}-profiles" in worker.text
    assert record(START)
