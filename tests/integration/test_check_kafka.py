"""What ``check`` and ``topics create`` say against real Apache Kafka."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from consumer import topics
from consumer.batch import NO_TIME, Batch, Decoder, Group, RawBatch, RecordKey
from consumer.check import check, transactions
from consumer.findings import Finding
from consumer.kafka import Admin
from consumer.kafka_errors import KafkaProblem, explain
from consumer.latest import latest
from consumer.settings import InputSettings, Settings
from sketches.table import Table
from tests.kafka_broker import Kafka, free_ports
from tests.waiting import wait_until

pytestmark = pytest.mark.kafka


def settings_for(client: Mapping[str, Any], app: str, topic: str) -> Settings:
    one = InputSettings(name="one", topics=(topic,))
    return Settings(app=app, kafka=dict(client), inputs=(one,))


def make(bootstrap: str, topic: str, partitions: int, config: dict[str, str], records: int) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for future in admin.create_topics([NewTopic(topic, partitions, config=config)]).values():
        future.result(20)
    producer = Producer({"bootstrap.servers": bootstrap})
    for i in range(records):
        producer.produce(topic, b"{}", partition=i % partitions)
    assert producer.flush(20) == 0


def timeless(one: InputSettings, topic: str) -> Decoder:
    """Every record is one of model ``m`` with a feature ``x`` and no time of its own."""

    def decode(raw: RawBatch) -> Batch:
        n = len(raw.values)
        table = Table(n, ("x",), np.zeros((n, 1)))
        group = Group(RecordKey("m", "", ""), np.arange(n), table)
        return Batch(raw.offsets, raw.timestamps, np.full(n, NO_TIME), (group,), (), topic, {})

    return decode


def run(settings: Settings) -> list[Finding]:
    admin = Admin(settings.kafka, timeout=8.0)
    return list(check(settings, admin, partial(latest, settings.kafka, admin), timeless))


def problems(found: list[Finding]) -> list[tuple[str, str]]:
    return [(one.level, one.text) for one in found if one.level != "ok"]


def test_from_nothing_to_ready(kafka: str, app_name: str, topic_name: str) -> None:
    settings = settings_for({"bootstrap.servers": kafka}, app_name, topic_name)
    assert problems(run(settings))[0] == ("FAIL", f'topic "{topic_name}" does not exist')
    make(kafka, topic_name, 3, {"message.timestamp.type": "LogAppendTime"}, 900)
    assert [text for _, text in problems(run(settings))] == ["does not exist"] * 4

    admin = Admin(settings.kafka)
    assert [one.state for one in topics.create(admin, settings)] == ["made"] * 4
    assert [one.state for one in topics.create(admin, settings)] == ["fine"] * 4
    found = run(settings)
    assert problems(found) == []
    assert any("of the 402 latest records can be read" in one.text for one in found)


def test_wrong_settings_and_create_time(kafka: str, app_name: str, topic_name: str) -> None:
    settings = settings_for({"bootstrap.servers": kafka}, app_name, topic_name)
    make(kafka, topic_name, 1, {"message.timestamp.type": "CreateTime"}, 40)
    make(kafka, settings.state_topic, 12, {"cleanup.policy": "delete"}, 0)
    topics.create(Admin(settings.kafka), settings)
    found = [one for one in run(settings) if one.level != "ok"]
    assert [(one.level, one.subject) for one in found] == [
        ("warn", f"inputs.one {topic_name}"),
        ("FAIL", settings.state_topic),
    ]
    assert "LogAppendTime" in found[0].do
    assert "cleanup.policy is delete, should be compact" in found[1].text
    assert (
        f"--entity-name {settings.state_topic} --add-config cleanup.policy=compact" in found[1].do
    )


def test_no_broker_there() -> None:
    (port,) = free_ports(1)
    settings = settings_for({"bootstrap.servers": f"127.0.0.1:{port}"}, "a", "t")
    admin = Admin(settings.kafka, timeout=2.0)
    found = list(check(settings, admin, partial(latest, settings.kafka, admin), timeless))
    assert found[-1].do.startswith(f"no Kafka at 127.0.0.1:{port}; check bootstrap.servers")


def test_tls_against_a_plain_port(kafka: str) -> None:
    client = {"bootstrap.servers": kafka, "security.protocol": "SSL"}
    settings = settings_for(client, "a", "t")
    admin = Admin(settings.kafka, timeout=3.0)
    found = list(check(settings, admin, partial(latest, settings.kafka, admin), timeless))
    assert "does not speak TLS" in found[-1].do


def test_setting_that_the_client_does_not_know() -> None:
    with pytest.raises(KafkaProblem) as caught:
        Admin({"bootstrap.servers": "h:1", "a.setting.of.next.year": 1})
    assert "does not know a setting in [kafka]" in explain(caught.value.code, caught.value.text)


def test_wrong_password(secured_kafka: Kafka) -> None:
    client = secured_kafka.add_user(f"u-{uuid.uuid4().hex[:8]}", "right")
    settings = settings_for(client | {"sasl.password": "wrong-one"}, "a", "t")
    admin = Admin(settings.kafka, timeout=3.0)
    found = list(check(settings, admin, partial(latest, settings.kafka, admin), timeless))
    assert "refused the user or the password" in found[-1].do
    assert "wrong-one" not in "\n".join(map(str, found))


def test_missing_permissions(secured_kafka: Kafka, app_name: str, topic_name: str) -> None:
    user = f"u-{uuid.uuid4().hex[:8]}"
    settings = settings_for(secured_kafka.add_user(user, "right"), app_name, topic_name)
    make(secured_kafka.bootstrap, topic_name, 1, {"message.timestamp.type": "LogAppendTime"}, 40)
    plain = settings_for({"bootstrap.servers": secured_kafka.bootstrap}, app_name, topic_name)
    topics.create(Admin(plain.kafka), plain)

    found = [one for one in run(settings) if one.level == "FAIL"]
    assert {one.do for one in found} == {f"let an administrator allow it to User:{user}"}
    texts = [one.text for one in found]
    assert texts[0] == f"no permission: READ on group {app_name}"
    assert texts[1] == f"no permission: DESCRIBE and READ on topic {topic_name}"
    assert f"no permission: WRITE, DESCRIBE on topic {app_name}-alerts" in texts

    secured_kafka.allow(user, "READ", "GROUP", app_name)
    secured_kafka.allow(user, "READ", "TOPIC", topic_name)
    for operation in ("READ", "WRITE"):
        secured_kafka.allow(user, operation, "TOPIC", app_name)
    assert [one for one in run(settings) if one.level == "FAIL"] == []


def test_transactions_need_a_permission(
    secured_kafka: Kafka, app_name: str, topic_name: str
) -> None:
    user = f"u-{uuid.uuid4().hex[:8]}"
    client = secured_kafka.add_user(user, "right")
    one = InputSettings(name="one", topics=(topic_name,))
    settings = Settings(app=app_name, kafka=dict(client), inputs=(one,), delivery="exactly_once")
    admin = Admin(settings.kafka, timeout=8.0)
    found = transactions(settings, admin)
    assert found.text == (
        f"no permission: WRITE and DESCRIBE on transactional ids that begin with {app_name}-"
    )
    secured_kafka.allow(user, "WRITE", "TRANSACTIONAL_ID", f"{app_name}-")
    wait_until(lambda: transactions(settings, admin).level == "ok", 10, "it is allowed")
