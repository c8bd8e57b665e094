"""The Kafka client against real Apache Kafka: what is promised, and what is said when it fails."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from consumer.batch import RawBatch
from consumer.kafka import Admin, Partition, Reader, Scan, Writer
from consumer.kafka_failures import KafkaFailure, PartitionError
from consumer.scan import read_range
from consumer.topics import TopicSpec
from tests.kafka_broker import Kafka, free_ports
from tests.waiting import wait_until

pytestmark = pytest.mark.kafka
Client = Mapping[str, str | int | float | bool]
FAST = {"session.timeout.ms": 6_000, "heartbeat.interval.ms": 500}


class Member:
    """A reader with what it was told."""

    def __init__(
        self,
        client: Client,
        group: str,
        topic: str,
        starts: Callable[[list[Partition]], Mapping[Partition, int]] | None = None,
        on_revoked: Callable[[list[Partition]], None] | None = None,
    ) -> None:
        self.owned: set[Partition] = set()
        self.lost: set[Partition] = set()
        self.errors: list[tuple[str, str]] = []
        self.items: list[RawBatch | PartitionError] = []
        self._starts = starts or (lambda partitions: dict.fromkeys(partitions, 0))
        self._on_revoked = on_revoked or (lambda partitions: None)
        self.reader = Reader(
            {**FAST, **client},
            group,
            [topic],
            self._assigned,
            self._revoked,
            self._gone,
            lambda *error: self.errors.append(error),
        )

    def _assigned(self, partitions: list[Partition]) -> Mapping[Partition, int]:
        self.owned.update(partitions)
        return self._starts(partitions)

    def _revoked(self, partitions: list[Partition]) -> None:
        self._on_revoked(partitions)
        self.owned.difference_update(partitions)

    def _gone(self, partitions: list[Partition]) -> None:
        self.lost.update(partitions)
        self.owned.difference_update(partitions)

    def turn(self) -> None:
        self.items += self.reader.consume(500, 0.05)

    def values(self) -> list[bytes | None]:
        return [v for item in self.items if isinstance(item, RawBatch) for v in item.values]

    def problems(self) -> list[PartitionError]:
        return [item for item in self.items if isinstance(item, PartitionError)]

    def until(self, condition: Callable[[], object], what: str, deadline_s: float = 20.0) -> None:
        def turn() -> object:
            self.turn()
            return condition()

        wait_until(turn, deadline_s, what, every_s=0.0)


@pytest.fixture
def client(kafka: str) -> Client:
    return {"bootstrap.servers": kafka}


@pytest.fixture
def topic(client: Client, topic_name: str) -> str:
    return make_topic(client, topic_name, 2)


def make_topic(client: Client, name: str, partitions: int, **config: str) -> str:
    spec = TopicSpec(name, partitions, -1, {k.replace("_", "."): v for k, v in config.items()})
    assert Admin(client).create_topics([spec]) == {name: None}
    return name


def write(client: Client, topic: str, count: int, partitions: int = 2, start: int = 0) -> None:
    writer = Writer(client)
    for i in range(start, start + count):
        writer.produce(topic, i % partitions, b"k%d" % i, b"v%d" % i, [("h", b"%d" % i)])
    writer.flush(20)
    writer.close()


def test_what_is_written_is_read_as_batches(client: Client, topic: str, app_name: str) -> None:
    before = time.time() * 1e6
    write(client, topic, 1_000)
    member = Member(client, app_name, topic)
    member.until(lambda: len(member.values()) == 1_000, "all are read")
    member.reader.close()
    for partition in (0, 1):
        batches = [b for b in member.items if isinstance(b, RawBatch) and b.partition == partition]
        assert [o for b in batches for o in b.offsets.tolist()] == list(range(500))
        assert [v for b in batches for v in b.values] == [
            b"v%d" % i for i in range(partition, 1_000, 2)
        ]
        assert all(b.topic == topic and len(b.timestamps) == len(b.offsets) for b in batches)
        assert all(abs(t - before) < 60e6 for b in batches for t in b.timestamps.tolist())
    assert member.owned == set()


def test_a_range_carries_keys_and_headers(client: Client, topic: str) -> None:
    write(client, topic, 1_000)
    batches = list(read_range(client, (topic, 1), 100, 450))
    assert [o for b in batches for o in b.offsets.tolist()] == list(range(100, 450))
    assert batches[0].keys[0] == b"k201"
    assert batches[0].headers[0] == [("h", b"201")]


def test_offsets_and_times(client: Client, topic: str) -> None:
    admin = Admin(client)
    write(client, topic, 10)
    assert wait_until(lambda: admin.topics().get(topic), 5, "the topic is known") == 2
    assert admin.offsets({(topic, 0): "earliest", (topic, 1): "latest"}) == {
        (topic, 0): 0,
        (topic, 1): 5,
    }
    (batch,) = read_range(client, (topic, 0), 0, 1)
    at = int(batch.timestamps[0])
    assert admin.offsets({(topic, 0): at, (topic, 1): at + 3_600_000_000}) == {
        (topic, 0): 0,
        (topic, 1): 5,
    }
    assert admin.topic_config(topic)["cleanup.policy"] == "delete"
    assert {"READ", "WRITE", "DESCRIBE"} <= admin.allowed(topic)


def test_a_commit_keeps_its_metadata(client: Client, topic: str, app_name: str) -> None:
    member = Member(client, app_name, topic)
    member.until(lambda: len(member.owned) == 2, "both partitions are assigned")
    text = '{"through":1}' + "x" * 4_000
    member.reader.commit([(topic, 0, 7, text)])
    with pytest.raises(KafkaFailure) as caught:
        member.reader.commit([(topic, 0, 8, "x" * 5_000)])
    assert (caught.value.kind, caught.value.code) == ("refused", "OFFSET_METADATA_TOO_LARGE")
    member.reader.close()
    later = Member(client, app_name, topic, lambda partitions: {})
    later.until(lambda: len(later.owned) == 2, "both partitions are assigned again")
    found = later.reader.committed([(topic, 0), (topic, 1)])
    later.reader.close()
    assert found == {(topic, 0): (7, text), (topic, 1): None}


def test_a_member_that_was_replaced_cannot_commit(
    client: Client, topic: str, app_name: str
) -> None:
    first = Member({**client, "max.poll.interval.ms": 6_000}, app_name, topic)
    first.until(lambda: len(first.owned) == 2, "the first member owns all")
    second = Member(client, app_name, topic)
    second.until(lambda: len(second.owned) == 2, "the second member takes over", 30)
    second.reader.commit([(topic, 0, 3, "second")])
    with pytest.raises(KafkaFailure) as caught:
        first.reader.commit([(topic, 0, 1, "first")])
    assert caught.value.kind == "lost"
    first.until(lambda: first.lost, "the first member is told")
    assert second.reader.committed([(topic, 0)]) == {(topic, 0): (3, "second")}
    first.reader.close()
    second.reader.close()


def test_two_readers_share_and_the_leaver_commits(
    client: Client, topic: str, app_name: str
) -> None:
    write(client, topic, 200)

    def commit(partitions: list[Partition]) -> None:
        at = [(t, p, first.reader.position(t, p), "left") for t, p in partitions]
        first.reader.commit(
            [(t, p, offset, text) for t, p, offset, text in at if offset is not None]
        )

    first = Member(client, app_name, topic, on_revoked=commit)
    first.until(lambda: len(first.values()) == 200, "the first reads all")
    first.reader.pause([(topic, 0), (topic, 1)])

    second = Member(client, app_name, topic, lambda partitions: {})

    def both() -> bool:
        second.turn()
        return len(first.owned) == len(second.owned) == 1

    first.until(both, "each owns one")
    (kept,) = first.owned
    for place, at in second.reader.committed(sorted(second.owned)).items():
        assert at == (100, "left")
        second.reader.seek(*place, at[0])
    write(client, topic, 20, start=200)

    def second_read() -> bool:
        second.turn()
        return len(second.values()) == 10

    first.until(second_read, "the second goes on where the first left")
    assert len(first.values()) == 200  # what stayed is still paused after the rebalance
    first.reader.resume([kept])
    first.until(lambda: len(first.values()) == 210, "the first goes on")
    second.reader.close()
    first.until(lambda: len(first.owned) == 2, "the first owns all again")
    first.reader.close()
    last = Member(client, app_name, topic, lambda partitions: {})
    assert last.reader.committed([kept]) == {kept: (110, "left")}  # committed while it closed
    last.reader.close()


def test_a_paused_partition_that_went_and_came_back_is_read(
    client: Client, topic: str, app_name: str
) -> None:
    """The client library remembers that it was paused, this member that it is a new one."""
    write(client, topic, 10)
    first = Member(client, app_name, topic)
    first.until(lambda: len(first.values()) == 10, "all are read")
    first.reader.pause([(topic, 0), (topic, 1)])
    second = Member(client, app_name, topic)

    def both() -> bool:
        second.turn()
        return len(second.owned) == 1 == len(first.owned)

    first.until(both, "they share")
    (back,) = second.owned
    second.reader.close()
    first.until(lambda: len(first.owned) == 2, "it is back")
    first.until(lambda: len(first.values()) == 15, "its records are read from its start again")
    assert all(item.partition == back[1] for item in first.items[-1:])
    first.reader.close()


def test_callbacks_do_not_wait(client: Client, topic: str, app_name: str) -> None:
    def starts(partitions: list[Partition]) -> Mapping[Partition, int]:
        member.reader.committed(partitions)
        return {}

    member = Member(client, app_name, topic, starts)
    with pytest.raises(RuntimeError, match="must not wait"):
        member.until(lambda: False, "the callback")
    member.reader.close()


def test_a_partition_waits_for_its_seek(client: Client, topic: str, app_name: str) -> None:
    write(client, topic, 100)
    member = Member(client, app_name, topic, lambda partitions: {})
    member.until(lambda: len(member.owned) == 2, "both are assigned")
    deadline = time.monotonic() + 0.5
    member.until(lambda: time.monotonic() > deadline, "half a second")
    assert member.items == []
    member.reader.seek(topic, 1, 40)
    member.until(lambda: len(member.values()) == 10, "read from the offset")
    assert member.reader.position(topic, 1) == 50
    assert member.reader.position(topic, 0) is None
    member.reader.seek(topic, 1, 45)
    member.until(lambda: len(member.values()) == 15, "read again")
    member.reader.close()


def test_deleted_records_are_reported(client: Client, topic: str, app_name: str) -> None:
    write(client, topic, 100)
    admin = AdminClient(dict(client))
    for future in admin.delete_records([TopicPartition(topic, 0, 30)]).values():
        future.result(10)
    member = Member(client, app_name, topic)
    member.until(lambda: member.problems() and len(member.values()) == 50, "the loss is reported")
    (problem,) = member.problems()
    assert problem[:2] == (topic, 0)
    assert problem.code == "_AUTO_OFFSET_RESET"
    assert Admin(client).offsets({(topic, 0): "earliest"}) == {(topic, 0): 30}
    member.reader.seek(topic, 0, 30)
    member.until(lambda: len(member.values()) == 70, "the rest is read")
    member.reader.close()


def test_open_transactions_hold_reading_but_not_the_end(client: Client, topic: str) -> None:
    producer = Producer({**client, "transactional.id": topic, "log_level": 0})
    producer.init_transactions(20)
    producer.begin_transaction()
    producer.produce(topic, b"open", partition=0)
    producer.flush(10)
    scan = Scan(client, {(topic, 0): 0})
    deadline = time.monotonic() + 0.5
    wait_until(lambda: scan.consume(10, 0.05) or time.monotonic() > deadline, 2, "some fetches")
    assert Admin(client).offsets({(topic, 0): "latest"}) == {(topic, 0): 1}
    assert scan.position(topic, 0) in {None, 0}
    producer.commit_transaction(20)
    got = wait_until(lambda: scan.consume(10, 0.05), 10, "the record is read")
    assert isinstance(got[0], RawBatch)
    assert got[0].values == [b"open"]
    wait_until(
        lambda: scan.consume(10, 0.05) or scan.position(topic, 0) == 2, 10, "past the marker"
    )
    scan.close()


def test_a_missing_topic_is_reported(client: Client, topic_name: str, app_name: str) -> None:
    member = Member(client, app_name, topic_name)
    member.until(member.problems, "the missing topic is reported")
    assert member.problems()[0].topic == topic_name
    assert member.problems()[0].code == "UNKNOWN_TOPIC_OR_PART"
    member.reader.close()
    with pytest.raises(KafkaFailure) as caught:
        Admin(client).topic_config(topic_name)
    assert caught.value.code == "UNKNOWN_TOPIC_OR_PART"


def test_new_partitions_and_topics_of_an_expression_come(
    client: Client, topic: str, app_name: str
) -> None:
    fast = {**client, "topic.metadata.refresh.interval.ms": 500}
    member = Member(fast, app_name, f"^{topic}.*")
    member.until(lambda: len(member.owned) == 2, "both are assigned")
    make_topic(client, f"{topic}-more", 1)
    member.until(lambda: (f"{topic}-more", 0) in member.owned, "the new topic comes")
    assert member.reader.partition_counts(max_age=0.0)[f"{topic}-more"] == 1
    member.reader.close()


def test_messages_over_the_limits_are_refused(client: Client, topic_name: str) -> None:
    topic = make_topic(client, topic_name, 1, max_message_bytes="2000")
    writer = Writer(client)
    writer.produce(topic, None, b"key", random.Random(1).randbytes(10_000))
    writer.produce(topic, None, b"key", b"small")
    with pytest.raises(KafkaFailure, match=topic) as caught:
        writer.flush(20)
    assert (caught.value.kind, caught.value.code) == ("refused", "MSG_SIZE_TOO_LARGE")
    with pytest.raises(KafkaFailure, match=topic):
        writer.produce(topic, None, b"key", bytes(2_000_000))
    writer.produce(topic, None, b"key", b"small")
    writer.flush(20)
    writer.close()


def test_writing_to_a_missing_topic_fails(client: Client, topic_name: str) -> None:
    writer = Writer({**client, "topic.metadata.propagation.max.ms": 1_000})
    writer.produce(topic_name, 0, None, b"x")
    with pytest.raises(KafkaFailure, match=topic_name) as caught:
        writer.flush(40)
    assert caught.value.code in {"_UNKNOWN_TOPIC", "UNKNOWN_TOPIC_OR_PART", "_UNKNOWN_PARTITION"}
    writer.close()


@pytest.mark.parametrize(
    ("address", "code", "words"),
    [
        ("localhost:{port}", "_TRANSPORT", "refused"),
        ("no-such-host.invalid:9092", "_RESOLVE", "resolve"),
    ],
)
def test_no_broker_tells_the_cause(address: str, code: str, words: str, app_name: str) -> None:
    wrong = {"bootstrap.servers": address.format(port=free_ports(1)[0])}
    admin = Admin(wrong, timeout=2.0)
    with pytest.raises(KafkaFailure) as caught:
        admin.topics()
    assert caught.value.kind == "retriable"
    last = admin.last_error()
    assert last is not None
    assert last[0] == code
    assert words in last[1].lower()
    member = Member(wrong, app_name, "t")
    member.until(lambda: member.errors, "the reader is told")
    assert member.errors[0][0] == code
    member.reader.close()


def test_a_killed_broker_comes_back(kafka_cluster: Kafka, topic_name: str, app_name: str) -> None:
    client = {"bootstrap.servers": kafka_cluster.bootstrap}
    make_topic(client, topic_name, 1)
    write(client, topic_name, 100, partitions=1)
    member = Member(client, app_name, topic_name)
    member.until(lambda: len(member.values()) == 100, "all are read")
    admin, writer = Admin(client, timeout=2.0), Writer(client)
    kafka_cluster.kill(1)
    writer.produce(topic_name, 0, b"key", b"while away")
    with pytest.raises(KafkaFailure) as caught:
        writer.flush(1.0)
    assert caught.value.kind == "retriable"
    begun = time.monotonic()
    asks: list[Callable[[], object]] = [
        lambda: member.reader.commit([(topic_name, 0, 100, "")]),
        lambda: admin.offsets({(topic_name, 0): "latest"}),
    ]
    for ask in asks:
        with pytest.raises(KafkaFailure) as caught:
            ask()
        assert caught.value.kind == "retriable"
    assert time.monotonic() - begun < 5.0
    kafka_cluster.restart(1)
    writer.flush(30)
    member.until(lambda: b"while away" in member.values(), "reading goes on", 30)
    member.reader.commit([(topic_name, 0, 101, "")], 20.0)
    assert member.reader.committed([(topic_name, 0)]) == {(topic_name, 0): (101, "")}
    member.reader.close()
    writer.close()


def test_a_user_without_permission(secured_kafka: Kafka, topic_name: str, app_name: str) -> None:
    make_topic({"bootstrap.servers": secured_kafka.bootstrap}, topic_name, 1)
    user = f"user-{app_name}"
    client = secured_kafka.add_user(user, "its-secret")
    admin = Admin(client)
    wait_until(lambda: admin.topics() == {}, 10, "nothing is seen")
    with pytest.raises(KafkaFailure) as caught:
        admin.allowed(topic_name)
    assert (caught.value.kind, caught.value.code) == ("denied", "TOPIC_AUTHORIZATION_FAILED")
    member = Member(client, app_name, topic_name)
    member.until(member.problems, "the denial is reported")
    assert {problem.kind for problem in member.problems()} == {"denied"}
    member.reader.close()
    secured_kafka.allow(user, "DESCRIBE", "TOPIC", topic_name)
    secured_kafka.allow(user, "READ", "GROUP", app_name)
    wait_until(lambda: topic_name in admin.topics(), 10, "the topic is seen")
    assert admin.allowed(topic_name) == {"DESCRIBE"}

    def may_read() -> bool:
        try:
            return "READ" in admin.group_allowed(app_name)
        except KafkaFailure as failure:
            if failure.kind == "retriable":  # no coordinator yet
                return False
            raise

    wait_until(may_read, 10, "the group may be read")
    denied = ("denied", "CLUSTER_AUTHORIZATION_FAILED")
    wait_until(lambda: write_fails(client, topic_name) == denied, 10, "the producer is denied")
    secured_kafka.allow(user, "WRITE", "TOPIC", app_name)  # lets it start an idempotent producer
    denied = ("denied", "TOPIC_AUTHORIZATION_FAILED")
    wait_until(lambda: write_fails(client, topic_name) == denied, 10, "the topic is denied")


def write_fails(client: Client, topic: str) -> tuple[str, str]:
    writer = Writer(client)
    writer.produce(topic, 0, None, b"x")
    with pytest.raises(KafkaFailure) as caught:
        writer.flush(20)
    writer.close()
    return caught.value.kind, caught.value.code


def test_a_wrong_password_is_never_shown(secured_kafka: Kafka, app_name: str) -> None:
    right = secured_kafka.add_user(f"user-{app_name}", "right-password")
    admin = Admin({**right, "sasl.password": "wrong-password"}, timeout=2.0)
    with pytest.raises(KafkaFailure) as caught:
        admin.topics()
    last = wait_until(admin.last_error, 5, "the cause is known")
    assert last is not None
    assert last[0] == "_AUTHENTICATION"
    assert "password" not in f"{caught.value} {last}"
