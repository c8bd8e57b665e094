from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from consumer import check as checks
from consumer import topics
from consumer.batch import NO_TIME, Batch, Group, RawBatch, RecordKey, Reject
from consumer.durations import SECOND
from consumer.findings import Finding
from consumer.kafka_errors import KafkaProblem, address, explain
from consumer.settings import FieldMap, InputSettings, Settings
from consumer.topics import TopicSpec
from sketches.table import PREDICTION, Table

NOW = 1_700_000_000 * SECOND


class FakeCluster:
    """A cluster in a dictionary."""

    def __init__(
        self, existing: Mapping[str, int], configs: Mapping[str, Any] | None = None
    ) -> None:
        self.existing = dict(existing)
        self.configs = dict(configs or {})
        self.denied: dict[str, frozenset[str] | None] = {}  # None: may not even be described
        self.group: frozenset[str] | KafkaProblem = frozenset()
        self.failure: KafkaProblem | None = None
        self.heard: tuple[str, str] | None = None
        self.refuse: dict[str, KafkaProblem] = {}
        self.made: list[TopicSpec] = []

    def topics(self) -> dict[str, int]:
        if self.failure:
            raise self.failure
        return dict(self.existing)

    def topic_config(self, name: str) -> dict[str, str]:
        found = self.configs.get(name, {"message.timestamp.type": "LogAppendTime"})
        if isinstance(found, KafkaProblem):
            raise found
        return dict(found)

    def create_topics(self, specs: Sequence[TopicSpec]) -> dict[str, KafkaProblem | None]:
        self.made += [spec for spec in specs if spec.name not in self.refuse]
        return {spec.name: self.refuse.get(spec.name) for spec in specs}

    def last_error(self) -> tuple[str, str] | None:
        return self.heard

    def allowed(self, topic: str) -> frozenset[str]:
        found = self.denied.get(topic, frozenset())
        if found is None:
            raise KafkaProblem("TOPIC_AUTHORIZATION_FAILED", "Topic authorization failed")
        if topic not in self.existing:
            raise KafkaProblem("UNKNOWN_TOPIC_OR_PART", "Unknown topic")
        return found

    def group_allowed(self, group: str) -> frozenset[str]:
        if isinstance(self.group, KafkaProblem):
            raise self.group
        return self.group

    def try_transactions(self, name: str) -> None:
        raise KafkaProblem("_TIMED_OUT", f"start transactions as {name}: timed out")


def settings_with(**more: Any) -> Settings:
    values: dict[str, Any] = {
        "kafka": {"bootstrap.servers": "h:9092"},
        "inputs": (InputSettings(name="flights", topics=("flights",)),),
    }
    return Settings(**values | more)


def good_cluster(settings: Settings) -> FakeCluster:
    made = {spec.name: spec for spec in topics.specs(settings)}
    existing = {"flights": 2, **{name: spec.partitions for name, spec in made.items()}}
    return FakeCluster(existing, {name: spec.config for name, spec in made.items()})


def batch_of(times: Sequence[int], stamps: Sequence[int], rejects: int = 0, **more: Any) -> Batch:
    n = len(times)
    table = Table(n, ("distance", PREDICTION), np.zeros((n, 2)), ("carrier",), (["AA"] * n,))
    group = Group(RecordKey("delay", "1", ""), np.arange(n), more.get("table", table))
    return Batch(
        offsets=np.arange(n + rejects),
        timestamps=np.array([*stamps, *[NOW] * rejects], np.int64),
        times=np.array([*times, *[NO_TIME] * rejects], np.int64),
        groups=(group,) if n else (),
        rejects=tuple(
            Reject(n + i, "json_syntax", 3, "unexpected \x1b[31m") for i in range(rejects)
        ),
        reject_model="flights",
        limited={},
    )


def raw(partition: int, batch: Batch) -> RawBatch:
    return RawBatch(
        "flights", partition, batch.offsets, batch.timestamps, [b""] * len(batch.offsets)
    )


def dense(partition: int = 0) -> Batch:
    times = [NOW + partition * 1_000 + i for i in range(100)]
    return batch_of(times, times)


def run(
    settings: Settings, cluster: FakeCluster, batches: Sequence[Batch] | KafkaProblem | None = None
) -> list[Finding]:
    decoded = [dense(0), dense(1)] if batches is None else batches

    def latest(topic: str, partitions: int, count: int) -> list[RawBatch]:
        if isinstance(decoded, KafkaProblem):
            raise decoded
        return [raw(number, batch) for number, batch in enumerate(decoded)]

    def decoder_for(one: InputSettings, topic: str) -> Any:
        assert not isinstance(decoded, KafkaProblem)
        return lambda read: decoded[read.partition]

    return list(checks.check(settings, cluster, latest, decoder_for))


def problems(findings: Sequence[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.level != "ok"]


def test_all_is_well() -> None:
    settings = settings_with()
    found = run(settings, good_cluster(settings))
    assert not problems(found)
    text = "\n".join(map(str, found))
    assert "ok    kafka: h:9092 answers; 5 topics seen" in text
    assert "2 partitions; 200 of the 200 latest records can be read" in text
    assert "model       delay version 1" in text
    assert "event time  from the usual field in 200 records, newest 2023-11-14T22:13:20" in text
    assert "numbers     1: distance" in text
    assert "texts       1: carrier" in text
    assert "found       prediction; not found: score, label, latency" in text


def test_no_broker_says_what_the_client_heard_and_stops() -> None:
    cluster = FakeCluster({})
    cluster.failure = KafkaProblem("_TRANSPORT", "Local: Broker transport failure")
    cluster.heard = (
        "_TRANSPORT",
        "h:9092/bootstrap: Connect to ipv4#1.2.3.4:9092 failed: Connection refused",
    )
    (finding,) = problems(run(settings_with(), cluster))
    assert finding.level == "FAIL"
    assert finding.text == "no answer from h:9092"
    assert finding.do == "no Kafka at h:9092; check bootstrap.servers and that the broker runs"


def test_topic_missing_with_its_neighbours() -> None:
    settings = settings_with(inputs=(InputSettings(name="a", topics=("flihgts",)),))
    (finding,) = problems(run(settings, good_cluster(settings)))
    assert (finding.level, finding.text) == ("FAIL", 'topic "flihgts" does not exist')
    assert finding.do == 'did you mean "flights"?'
    settings = settings_with(inputs=(InputSettings(name="a", topics=("zzz",)),))
    (finding,) = problems(run(settings, good_cluster(settings)))
    assert "topics that this user may see: flights, streamgauge-alerts" in finding.do


def test_expression_without_topics() -> None:
    settings = settings_with(inputs=(InputSettings(name="a", topics=("^streamgauge", "^zz")),))
    found = problems(run(settings, good_cluster(settings)))
    assert [(one.level, one.text) for one in found] == [
        ("warn", 'no topic matches "^streamgauge" yet'),
        ("warn", 'no topic matches "^zz" yet'),
    ]


def test_permissions_name_principal_topic_and_operation() -> None:
    settings = settings_with(
        kafka={"bootstrap.servers": "h:1", "sasl.username": "sg", "security.protocol": "SASL_SSL"}
    )
    cluster = good_cluster(settings)
    cluster.denied = {
        "flights": frozenset({"DESCRIBE"}),
        "streamgauge-alerts": frozenset({"READ"}),
        "streamgauge-profiles": frozenset({"READ", "WRITE"}),
        "streamgauge-rejects": frozenset({"ALL"}),
    }
    cluster.group = frozenset({"DESCRIBE"})
    found = problems(run(settings, cluster))
    assert [(one.level, one.text) for one in found] == [
        ("FAIL", "no permission: READ on group streamgauge"),
        ("FAIL", "no permission: READ on topic flights"),
        ("FAIL", "no permission: WRITE on topic streamgauge-alerts"),
    ]
    assert {one.do for one in found} == {"let an administrator allow it to User:sg"}


def test_a_topic_that_may_not_be_seen_is_not_called_missing() -> None:
    settings = settings_with()
    cluster = good_cluster(settings)
    del cluster.existing["flights"]
    cluster.denied = {"flights": None}
    cluster.group = KafkaProblem("GROUP_AUTHORIZATION_FAILED", "no")
    found = problems(run(settings, cluster))
    assert [one.text for one in found] == [
        "no permission: READ on group streamgauge",
        "no permission: DESCRIBE and READ on topic flights",
    ]
    assert "User:ANONYMOUS" in found[1].do


def test_a_group_that_does_not_exist_yet_is_fine() -> None:
    settings = settings_with()
    cluster = good_cluster(settings)
    cluster.group = KafkaProblem("GROUP_ID_NOT_FOUND", "no such group")
    assert not problems(run(settings, cluster))
    cluster.group = KafkaProblem("_TIMED_OUT", "Timed out")
    (finding,) = problems(run(settings, cluster))
    assert finding.level == "warn"


def test_transactions_are_tried_where_they_are_wanted() -> None:
    settings = settings_with(delivery="exactly_once")
    (finding,) = problems(run(settings, good_cluster(settings)))
    assert (finding.level, finding.text) == ("FAIL", "a transaction cannot be started")


def test_internal_topics_missing() -> None:
    settings = settings_with()
    found = problems(run(settings, FakeCluster({"flights": 2})))
    assert [one.level for one in found] == ["FAIL"] * 4
    assert "streamgauge topics create" in found[0].do
    settings = settings_with(topics={"create": True})
    assert not problems(run(settings, FakeCluster({"flights": 2})))


def test_internal_topic_with_wrong_settings_names_the_command() -> None:
    settings = settings_with()
    cluster = good_cluster(settings)
    name = settings.profiles_topic
    cluster.configs[name] = cluster.configs[name] | {"message.timestamp.type": "CreateTime"}
    (finding,) = problems(run(settings, cluster))
    assert finding.level == "FAIL"
    assert (
        "message.timestamp.type is CreateTime, should be LogAppendTime: a backfill" in finding.text
    )
    assert finding.do == (
        "run kafka-configs.sh --bootstrap-server h:9092 --alter --entity-type topics "
        "--entity-name streamgauge-profiles --add-config message.timestamp.type=LogAppendTime"
    )


def test_create_time_without_event_time() -> None:
    settings = settings_with()
    cluster = good_cluster(settings)
    cluster.configs["flights"] = {"message.timestamp.type": "CreateTime"}
    batches = [batch_of([NO_TIME] * 50, [NOW + i for i in range(50)])]
    (finding,) = problems(run(settings, cluster, batches))
    assert finding.level == "warn"
    assert "LogAppendTime" in finding.do
    assert not problems(run(settings, cluster))  # records carry their own time


def test_rejects_are_counted_with_reasons_fit_for_a_terminal() -> None:
    settings = settings_with()
    cluster = good_cluster(settings)
    times = [NOW + i for i in range(50)]
    (finding,) = problems(run(settings, cluster, [batch_of(times, times, rejects=3)]))
    assert (finding.level, finding.text) == ("warn", "3 of 53 records would be rejected")
    assert finding.more == ("3 x json_syntax: unexpected ?[31m",)
    (finding,) = problems(run(settings, cluster, [batch_of([], [], rejects=3)]))
    assert (finding.level, finding.text) == (
        "FAIL",
        "2 partitions; 0 of the 3 latest records can be read",
    )


def test_empty_topic() -> None:
    settings = settings_with()
    (finding,) = problems(run(settings, good_cluster(settings), []))
    assert finding.level == "warn"
    assert "no record yet" in finding.text


def test_unreadable_topic() -> None:
    settings = settings_with()
    problem = KafkaProblem("TOPIC_AUTHORIZATION_FAILED", "Fetch from broker 1 failed")
    (finding,) = problems(run(settings, good_cluster(settings), problem))
    assert finding.level == "FAIL"
    assert "allow READ and DESCRIBE" in finding.do


def test_few_records_per_profile() -> None:
    times = [NOW + i * 5 * 60 * SECOND for i in range(100)]
    (finding,) = problems(
        run(settings_with(), good_cluster(settings_with()), [batch_of(times, times)])
    )
    assert "a window of 10s holds about 1.0 records" in finding.text
    assert finding.do == 'set window = "1h" for this input'


def test_event_time_in_the_wrong_unit_or_missing() -> None:
    one = InputSettings(name="flights", topics=("flights",), fields=FieldMap(event_time="at"))
    settings = settings_with(inputs=(one,))
    stamps = [NOW + i for i in range(50)]
    batches = [batch_of([t // 1_000 for t in stamps], stamps)]
    (finding,) = problems(run(settings, good_cluster(settings), batches))
    assert finding.text == "event times are 53 years before Kafka's time"
    assert "event_time_unit" in finding.do
    batches = [batch_of([NO_TIME] * 10 + stamps[10:], stamps)]
    (finding,) = problems(run(settings, good_cluster(settings), batches))
    assert finding.text == "10 records have no time that can be read at at"
    batches = [batch_of([2**62] * 50, stamps)]
    (finding,) = problems(run(settings, good_cluster(settings), batches))
    assert "after Kafka's time" in finding.text


def test_no_features() -> None:
    times = [NOW + i for i in range(50)]
    batches = [batch_of(times, times, table=Table(50, (), np.zeros((50, 0))))]
    (finding,) = problems(run(settings_with(), good_cluster(settings_with()), batches))
    assert finding.text == "no features were found"


@pytest.mark.parametrize(
    ("kafka", "expected"),
    [
        ({"sasl.username": "a"}, "nobody is logged in"),
        (
            {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN"},
            "over the network as it is",
        ),
        ({"enable.ssl.certificate.verification": False}, "anybody can pose as the broker"),
        ({"ssl.endpoint.identification.algorithm": "none"}, "anybody can pose as the broker"),
    ],
)
def test_dangerous_client_settings(kafka: dict[str, Any], expected: str) -> None:
    settings = settings_with(kafka={"bootstrap.servers": "h:1"} | kafka)
    (finding,) = problems(checks.configuration(settings))
    assert expected in finding.text


# --- topics -----------------------------------------------------------------------------------


def test_specs() -> None:
    settings = settings_with(app="x", topics={"profile_partitions": 4, "replication_factor": 3})
    by_name = {spec.name: spec for spec in topics.specs(settings)}
    assert {name: spec.partitions for name, spec in by_name.items()} == {
        "x-profiles": 4,
        "x-alerts": 3,
        "x-state": 4,
        "x-rejects": 3,
    }
    assert {spec.replication for spec in by_name.values()} == {3}
    assert {spec.config["message.timestamp.type"] for spec in by_name.values()} == {"LogAppendTime"}
    assert by_name["x-profiles"].config["retention.ms"] == str(7 * 86_400_000)
    assert by_name["x-alerts"].config["retention.ms"] == str(30 * 86_400_000)
    assert by_name["x-state"].config == {
        "cleanup.policy": "compact",
        "segment.bytes": "33554432",
        "min.cleanable.dirty.ratio": "0.1",
        "message.timestamp.type": "LogAppendTime",
    }
    assert {spec.replication for spec in topics.specs(settings_with())} == {-1}


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ({}, []),
        ({"cleanup.policy": "compact", "segment.bytes": "33554432.0"}, []),
        ({"min.cleanable.dirty.ratio": "0.10"}, []),
        ({"min.cleanable.dirty.ratio": "0.5"}, [("min.cleanable.dirty.ratio", False)]),
        ({"cleanup.policy": "delete"}, [("cleanup.policy", True)]),
        ({"cleanup.policy": "compact,delete"}, [("cleanup.policy", True)]),
        ({"max.message.bytes": "100000"}, [("max.message.bytes", True)]),
        ({"max.message.bytes": "1048588"}, []),
    ],
)
def test_differences(found: dict[str, str], expected: list[tuple[str, bool]]) -> None:
    (state,) = (s for s in topics.specs(settings_with()) if s.name.endswith("-state"))
    assert [(one.setting, one.grave) for one in topics.differences(state, found)] == expected


def test_keeping_data_longer_is_not_grave() -> None:
    profiles = topics.specs(settings_with())[0]
    (longer,) = topics.differences(profiles, {"retention.ms": "-1"})
    (shorter,) = topics.differences(profiles, {"retention.ms": "3600000"})
    assert (longer.grave, shorter.grave) == (False, True)
    assert "retention.ms is 3600000 (1h), should be 604800000" in str(shorter)


def test_create_makes_what_is_missing_once() -> None:
    settings = settings_with()
    cluster = FakeCluster({"streamgauge-profiles": 5}, {})
    cluster.configs["streamgauge-profiles"] = topics.specs(settings)[0].config
    states = topics.create(cluster, settings)
    assert [(one.name, one.state) for one in states] == [
        ("streamgauge-profiles", "fine"),
        ("streamgauge-alerts", "made"),
        ("streamgauge-state", "made"),
        ("streamgauge-rejects", "made"),
    ]
    assert {spec.name: spec.partitions for spec in cluster.made} == {
        "streamgauge-alerts": 3,
        "streamgauge-state": 5,  # as many as the log that exists
        "streamgauge-rejects": 3,
    }
    cluster = good_cluster(settings)
    assert {one.state for one in topics.create(cluster, settings)} == {"fine"}
    assert not cluster.made


def test_create_says_why_not() -> None:
    settings = settings_with()
    cluster = FakeCluster({})
    cluster.refuse = {
        "streamgauge-alerts": KafkaProblem("CLUSTER_AUTHORIZATION_FAILED", "no"),
        "streamgauge-state": KafkaProblem("TOPIC_ALREADY_EXISTS", "another was quicker"),
        "streamgauge-rejects": KafkaProblem("INVALID_REPLICATION_FACTOR", "3 > 1"),
    }
    states = {one.name: one for one in topics.create(cluster, settings)}
    assert [one.state for one in states.values()] == ["made", "failed", "fine", "failed"]
    assert "CREATE" in states["streamgauge-alerts"].text
    assert "replication_factor" in states["streamgauge-rejects"].text


def test_state_and_log_of_different_size() -> None:
    settings = settings_with()
    cluster = good_cluster(settings)
    cluster.existing["streamgauge-state"] = 6
    by_name = {one.name: one for one in topics.verify(cluster, settings)}
    assert by_name["streamgauge-state"].grave
    assert (
        "has 6 partitions, streamgauge-profiles has 12 partitions"
        in by_name["streamgauge-state"].text
    )


def test_settings_of_a_topic_that_may_not_be_seen() -> None:
    settings = settings_with()
    cluster = good_cluster(settings)
    cluster.configs["streamgauge-alerts"] = KafkaProblem("TOPIC_AUTHORIZATION_FAILED", "no")
    (finding,) = problems(run(settings, cluster))
    assert (finding.level, finding.subject) == ("warn", "streamgauge-alerts")


# --- what the client's errors mean ------------------------------------------------------------

B = "localhost:9094/bootstrap: "


@pytest.mark.parametrize(
    ("code", "text", "expected"),
    [
        (
            "_TRANSPORT",
            B + "Connect to ipv4#127.0.0.1:9094 failed: Connection refused (after 0ms)",
            "no Kafka at localhost:9094",
        ),
        ("_ALL_BROKERS_DOWN", "1/1 brokers are down", "no broker answers at the broker"),
        (
            "_RESOLVE",
            "no.such.host:9092/bootstrap: Failed to resolve 'no.such.host:9092': "
            "Name or service not known (after 3ms)",
            "host name no.such.host:9092 is unknown",
        ),
        (
            "_TRANSPORT",
            "ssl://" + B + "SSL handshake failed: Disconnected: connecting to a PLAINTEXT broker "
            "listener? (after 2ms)",
            "localhost:9094 does not speak TLS",
        ),
        (
            "_TRANSPORT",
            B + "Disconnected: connection reset by peer (after 1ms in state APIVERSION_QUERY)",
            "may need TLS: set security.protocol",
        ),
        (
            "_TRANSPORT",
            B + "Disconnected while requesting ApiVersion: might be caused by "
            "incorrect security.protocol",
            "may need TLS",
        ),
        (
            "_SSL",
            "ssl://" + B + "SSL handshake failed: certificate verify failed: broker certificate "
            "could not be verified, verify that ssl.ca.location is correct",
            "ssl.ca.location",
        ),
        (
            "_TRANSPORT",
            "ssl://" + B + "SSL handshake failed: tlsv13 alert certificate required",
            "wants a client certificate",
        ),
        (
            "_AUTHENTICATION",
            "sasl_plaintext://" + B + "SASL authentication error: Authentication failed during "
            "authentication due to invalid credentials",
            "localhost:9094 refused the user or the password",
        ),
        (
            "_AUTHENTICATION",
            "sasl_plaintext://"
            + B
            + "SASL Handshake not supported by broker (required by mechanism PLAIN)",
            "has no SASL",
        ),
        ("_INVALID_ARG", "No provider for SASL mechanism GSSAPI: recompile", "set sasl.mechanism"),
        (
            "_INVALID_ARG",
            'No such configuration property: "a.b"',
            'does not know a setting in [kafka]: No such configuration property: "a.b"',
        ),
        ("_INVALID_ARG", 'Invalid value for "linger.ms"', "the client refuses a setting"),
        (
            "TOPIC_AUTHORIZATION_FAILED",
            "Subscribed topic not available: t",
            "allow READ and DESCRIBE",
        ),
        ("GROUP_AUTHORIZATION_FAILED", "FindCoordinator", "allow READ on it"),
        ("TRANSACTIONAL_ID_AUTHORIZATION_FAILED", "no", "transactional id"),
        ("UNKNOWN_TOPIC_OR_PART", "Subscribed topic not available: t", "does not exist"),
        ("MSG_SIZE_TOO_LARGE", "Broker: Message size too large", "message.max.bytes"),
        ("INVALID_RECORD", "Broker: Broker failed to validate record", "without a key"),
        ("_AUTO_OFFSET_RESET", "Offset out of range", "deleted before they were read"),
        ("_TIMED_OUT", "Local: Timed out", "does not answer"),
        ("SOMETHING_NEW", "odd\nthing", "odd thing (SOMETHING_NEW)"),
        ("SOMETHING_NEW", "", "Kafka gave no reason (SOMETHING_NEW)"),
    ],
)
def test_explanations(code: str, text: str, expected: str) -> None:
    assert expected in explain(code, text)


def test_explanations_stay_on_one_line_and_keep_braces() -> None:
    text = explain("_AUTHENTICATION", "h:1/b: {at} \x1b[2J" + "x" * 1_000)
    assert "\x1b" not in text
    assert len(text) < 400
    assert "{at}" in text


def test_address() -> None:
    assert address("ssl://[::1]:9092/bootstrap: no") == "[::1]:9092"
    assert address("nothing") is None
