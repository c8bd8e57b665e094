"""The parts around the Kafka client that need no broker of their own."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest
from confluent_kafka import KafkaError, Message

from consumer import kafka_defaults as defaults
from consumer.batch import RawBatch
from consumer.kafka import Admin, Reader, Scan, Writer, embedded_broker
from consumer.kafka_batches import cut, to_items
from consumer.kafka_failures import Ear, KafkaFailure, PartitionError, kind_of
from consumer.scan import read_range
from tests.waiting import wait_until


def message(topic: str, partition: int, offset: int) -> Message[bytes, bytes]:
    return Message(
        topic=topic,
        partition=partition,
        offset=offset,
        key=b"k%d" % offset,
        value=b"v%d" % offset,
        headers=[("h", b"x")],
        timestamp=(1, 1_700_000_000_000 + offset),
    )


def test_messages_are_grouped_by_partition() -> None:
    places = [("b", 1), ("a", 1), ("a", 1), ("b", 1), ("a", 0), ("b", 1), ("a", 1)]
    messages = [message(*place, offset=10 + 3 * row) for row, place in enumerate(places)]
    batches = [item for item in to_items(messages, True, Ear({})) if isinstance(item, RawBatch)]
    assert {(b.topic, b.partition): b.offsets.tolist() for b in batches} == {
        ("b", 1): [10, 19, 25],
        ("a", 1): [13, 16, 28],
        ("a", 0): [22],
    }
    for batch in batches:
        offsets = batch.offsets.tolist()
        assert list(batch.values) == [b"v%d" % o for o in offsets]
        assert list(batch.keys) == [b"k%d" % o for o in offsets]
        assert list(batch.headers) == [[("h", b"x")]] * len(offsets)
        assert batch.timestamps.tolist() == [(1_700_000_000_000 + o) * 1_000 for o in offsets]


def test_errors_stand_beside_the_records_read_with_them() -> None:
    gone = Message(topic="a", partition=3, error=KafkaError(KafkaError._AUTO_OFFSET_RESET, "gone"))
    items = to_items([message("a", 0, 5), gone, message("a", 0, 6)], False, Ear({}))
    batch, error = items
    assert isinstance(batch, RawBatch)
    assert (batch.offsets.tolist(), batch.keys, batch.headers) == ([5, 6], [], [])
    assert error == PartitionError("a", 3, "refused", "_AUTO_OFFSET_RESET", "gone")
    assert to_items([gone], False, Ear({})) == [error]
    assert to_items([], False, Ear({})) == []


def test_a_record_without_timestamp_is_a_record() -> None:
    old = Message(topic="a", partition=0, offset=4, value=b"v", timestamp=(0, -1))
    (batch,) = to_items([old], False, Ear({}))
    assert isinstance(batch, RawBatch)
    assert batch.offsets.tolist() == [4]


def test_a_batch_is_cut() -> None:
    (batch,) = to_items([message("a", 0, offset) for offset in range(5)], True, Ear({}))
    assert isinstance(batch, RawBatch)
    short = cut(batch, 2)
    assert (short.offsets.tolist(), list(short.values)) == ([0, 1], [b"v0", b"v1"])
    assert len(short.keys) == len(short.headers) == len(short.timestamps) == 2


@pytest.mark.parametrize(
    ("code", "fatal", "kind"),
    [
        (KafkaError.ILLEGAL_GENERATION, False, "lost"),
        (KafkaError.UNKNOWN_MEMBER_ID, False, "lost"),
        (KafkaError._MAX_POLL_EXCEEDED, False, "lost"),
        (KafkaError.REBALANCE_IN_PROGRESS, False, "retriable"),
        (KafkaError._TRANSPORT, False, "retriable"),
        (KafkaError._WAIT_COORD, False, "retriable"),
        (KafkaError.LEADER_NOT_AVAILABLE, False, "retriable"),
        (KafkaError.NOT_LEADER_FOR_PARTITION, False, "retriable"),
        (KafkaError.KAFKA_STORAGE_ERROR, False, "retriable"),
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, False, "denied"),
        (KafkaError.CLUSTER_AUTHORIZATION_FAILED, True, "denied"),
        (KafkaError._AUTHENTICATION, False, "denied"),
        (KafkaError._FATAL, False, "fatal"),
        (KafkaError._STATE, False, "fatal"),
        (KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER, True, "fatal"),
        (KafkaError.MSG_SIZE_TOO_LARGE, False, "refused"),
    ],
)
def test_an_error_says_what_can_be_done(code: int, fatal: bool, kind: str) -> None:
    assert kind_of(KafkaError(code, "text", fatal)) == kind


def test_secrets_are_hidden_and_causes_kept() -> None:
    told: list[tuple[str, str]] = []
    ear = Ear({"sasl.password": "hunter22"}, lambda *error: told.append(error))
    ear.hear("_ALL_BROKERS_DOWN", "1/1 brokers are down")
    ear.hear("_RESOLVE", "no host,\nfor hunter22")
    ear.hear("_RESOLVE", "no host,\nfor hunter22")
    ear.hear("_ALL_BROKERS_DOWN", "1/1 brokers are down")
    assert ear.last == ("_RESOLVE", "no host, for ***")
    assert told == [("_ALL_BROKERS_DOWN", "1/1 brokers are down"), ("_RESOLVE", "no host, for ***")]


@pytest.mark.parametrize(
    "settings",
    [
        {"sasl.pasword": "hunter22", "sasl.password": "hunter22"},
        {"security.protocol": "hunter22", "sasl.password": "hunter22"},
        {"session.timeout.ms": -5, "sasl.password": "hunter22"},
    ],
)
def test_bad_settings_are_refused_without_their_secrets(settings: dict[str, str | int]) -> None:
    client = {"bootstrap.servers": "127.0.0.1:1", **settings}
    with pytest.raises(KafkaFailure) as caught:
        Reader(client, "g", ["t"], lambda _: {}, lambda _: None, lambda _: None, lambda *_: None)
    assert (caught.value.kind, caught.value.code) == ("refused", "_INVALID_ARG")
    assert "hunter22" not in str(caught.value)


@pytest.fixture
def embedded() -> Iterator[dict[str, str]]:
    with embedded_broker() as bootstrap:
        yield {"bootstrap.servers": bootstrap}


def test_the_embedded_broker_serves(embedded: dict[str, str]) -> None:
    writer = Writer(embedded)
    for number in range(300):
        writer.produce("t", number % 2, b"k", b"%d" % number)
    writer.flush(10)
    writer.close()
    assert Admin(embedded).topics() == {"t": 4}
    read = list(read_range(embedded, ("t", 1), 10, 150))
    assert [v for batch in read for v in batch.values] == [b"%d" % n for n in range(21, 300, 2)]


def test_an_offset_out_of_range_is_told(embedded: dict[str, str]) -> None:
    writer = Writer(embedded)
    writer.produce("t", 0, b"k", b"v")
    writer.flush(10)
    scan = Scan(embedded, {("t", 0): 99})
    (error,) = wait_until(lambda: scan.consume(10, 0.05), 10, "the error")
    assert isinstance(error, PartitionError)
    assert (error.topic, error.partition, error.code) == ("t", 0, "_AUTO_OFFSET_RESET")
    scan.close()
    with pytest.raises(KafkaFailure, match=r"t\[0\]"):
        list(read_range(embedded, ("t", 0), 99, 120))


def test_a_listener_that_hangs_up_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def hang_up() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                connection.recv(1)
                connection.close()

        threading.Thread(target=hang_up, daemon=True).start()
        admin = Admin({"bootstrap.servers": f"127.0.0.1:{server.getsockname()[1]}"}, timeout=1.0)
        with pytest.raises(KafkaFailure):
            admin.topics()
        last = wait_until(admin.last_error, 5, "the cause is known")
        server.shutdown(socket.SHUT_RDWR)
    assert last is not None
    assert last[0] == "_TRANSPORT"
    assert last[1].startswith("127.0.0.1:")
    assert "Disconnected" in last[1]


def test_how_long_a_transaction_and_a_silent_connection_may_last() -> None:
    """The client refuses an answer that may come later than the transaction ends."""
    for client, transaction, silent in (
        ({}, 8_000, 8_000),
        ({"session.timeout.ms": 2_500}, 2_000, 2_000),
        ({"transaction.timeout.ms": 60_000}, 60_000, 15_000),
        ({"socket.timeout.ms": 5_000}, 8_000, 5_000),
    ):
        ours = {**client, **defaults.transaction(client, "app-1")}
        assert ours["transaction.timeout.ms"] == transaction
        assert ours["socket.timeout.ms"] == silent
        Writer({"bootstrap.servers": "127.0.0.1:1", **client}, None, ours).close()


def test_an_end_that_a_new_leader_does_not_know_is_no_end(monkeypatch: pytest.MonkeyPatch) -> None:
    admin = Admin({"bootstrap.servers": "127.0.0.1:1"})
    monkeypatch.setattr(admin, "_offsets", lambda moments: dict.fromkeys(moments, -1))
    for moment in ("latest", "earliest", 1_000_000):
        with pytest.raises(KafkaFailure, match=r"not known yet of t\[3\]") as told:
            admin.offsets({("t", 3): moment})
        assert told.value.kind == "retriable"
