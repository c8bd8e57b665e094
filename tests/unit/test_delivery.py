"""What transactions do with every kind of answer, and waiting: no broker."""

from __future__ import annotations

import re
from collections import deque
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from consumer import failpoints, kafka_transactions
from consumer.kafka_failures import KafkaFailure, kind_of
from consumer.kafka_transactions import Transactions
from consumer.patience import Patience


def failed(code: int, *, fatal: bool = False, retriable: bool = False, abort: bool = False) -> Any:
    return KafkaException(KafkaError(code, "text", fatal, retriable, abort))


class Producer:
    """Answers with what was put into ``answers``, else with success."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.answers: dict[str, deque[Exception | None]] = {}

    def __getattr__(self, name: str) -> Any:
        def call(*_: object) -> None:
            self.calls.append(name)
            answer = self.answers[name].popleft() if self.answers.get(name) else None
            if answer is not None:
                raise answer

        return call


class Writer:
    made: list[Producer]

    def __init__(self, *_: object) -> None:
        self.producer = Producer()
        self.made.append(self.producer)
        self.failure: KafkaFailure | None = None

    def produce(self, *_: object) -> None:
        self.producer.produce()

    def take_failure(self) -> KafkaFailure | None:
        return self.failure

    def close(self) -> None:
        self.producer.calls.append("close")


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Producer]:
    Writer.made = []
    monkeypatch.setattr(kafka_transactions, "Writer", Writer)
    return Writer.made


def one(transactions: Transactions) -> None:
    transactions.begin(1.0)
    transactions.produce("t", 0, None, b"v")
    transactions.send([("t", 0, 5, "meta")], b"member", 1.0)


def test_one_after_the_other_by_one_producer(made: list[Producer]) -> None:
    transactions = Transactions({}, "x")
    for _ in range(2):
        one(transactions)
        transactions.commit(1.0)
    (producer,) = made
    round_trip = ["begin_transaction", "produce", "send_offsets_to_transaction"]
    round_trip.append("commit_transaction")
    assert producer.calls == ["init_transactions", *round_trip, *round_trip]


def test_a_commit_that_times_out_is_repeated_then_the_producer_is_made_anew(
    made: list[Producer],
) -> None:
    transactions = Transactions({}, "x")
    one(transactions)
    late = failed(KafkaError._TIMED_OUT, retriable=True)
    made[0].answers["commit_transaction"] = deque([late, late, None])
    for _ in range(2):
        with pytest.raises(KafkaFailure) as caught:
            transactions.commit(1.0)
        assert caught.value.kind == "retriable"
        transactions.begin(1.0)  # in between changes nothing
        transactions.send([("t", 0, 5, "meta")], b"member", 1.0)
    transactions.commit(1.0)
    assert made[0].calls.count("commit_transaction") == 3
    assert made[0].calls.count("send_offsets_to_transaction") == 1
    assert "abort_transaction" not in made[0].calls
    assert made[0].calls[-1] == "close"
    one(transactions)
    assert len(made) == 2
    assert made[1].calls[0] == "init_transactions"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (failed(KafkaError.ILLEGAL_GENERATION, abort=True), "lost"),
        (failed(KafkaError.UNKNOWN_MEMBER_ID, abort=True), "lost"),
        (failed(KafkaError._TIMED_OUT, abort=True), "abort"),
        (failed(KafkaError._PURGE_QUEUE, retriable=True, abort=True), "abort"),
        (failed(KafkaError.TOPIC_AUTHORIZATION_FAILED, abort=True), "denied"),
        (failed(KafkaError._CONFLICT, retriable=True), "fatal"),
        (failed(KafkaError._STATE, retriable=True), "fatal"),
        (failed(KafkaError._FENCED, fatal=True), "fatal"),
        (failed(KafkaError.INVALID_PRODUCER_EPOCH), "fatal"),
        (failed(KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER, fatal=True), "fatal"),
        (failed(KafkaError.CONCURRENT_TRANSACTIONS, retriable=True), "retriable"),
        (failed(KafkaError._PURGE_QUEUE), "retriable"),
        (failed(KafkaError._PURGE_INFLIGHT), "retriable"),
    ],
)
def test_what_an_error_asks_for(error: KafkaException, kind: str) -> None:
    assert kind_of(error.args[0]) == kind


def test_an_abort_keeps_the_producer_unless_it_fails(made: list[Producer]) -> None:
    transactions = Transactions({}, "x")
    one(transactions)
    transactions.abort(1.0)
    one(transactions)
    assert len(made) == 1
    made[0].answers["abort_transaction"] = deque([failed(KafkaError._STATE, retriable=True)])
    transactions.abort(1.0)
    assert made[0].calls[-1] == "close"
    one(transactions)
    assert len(made) == 2


def test_the_message_that_a_broker_refused_is_named(made: list[Producer]) -> None:
    transactions = Transactions({}, "x")
    one(transactions)
    writer = transactions._writer
    assert isinstance(writer, Writer)
    writer.failure = KafkaFailure("refused", "MSG_SIZE_TOO_LARGE", "write to t: too large")
    made[0].answers["commit_transaction"] = deque([failed(KafkaError._FAIL, abort=True)])
    with pytest.raises(KafkaFailure, match="write to t: too large"):
        transactions.commit(1.0)


def test_patience_ends_with_what_it_waits_for_or_at_its_limit() -> None:
    turns: list[int] = []
    patience = Patience(lambda: turns.append(1))
    answers = deque([KafkaFailure("retriable", "_TRANSPORT", "away")] * 3)

    def call(timeout: float) -> None:
        if answers:
            raise answers.popleft()

    patience.wait(call, 60.0)
    assert len(turns) == 3

    def never(timeout: float) -> None:
        raise KafkaFailure("retriable", "_TIMED_OUT", "no answer")

    with pytest.raises(KafkaFailure) as caught:
        patience.wait(never, 60.0, limit=0.05)
    assert caught.value.kind == "fatal"
    patience.stop_by = 0.0  # long ago
    with pytest.raises(KafkaFailure) as caught:
        patience.wait(never, 60.0)
    assert caught.value.kind == "retriable"


def test_every_place_to_die_is_listed_and_reached() -> None:
    sources = [path.read_text() for path in Path(failpoints.__file__).parent.glob("*.py")]
    reached = re.findall(r'\breach\("(\w+)"\)', "".join(sources))
    assert set(reached) == set(failpoints.NAMES)
