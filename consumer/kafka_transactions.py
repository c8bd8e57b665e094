"""Writing in transactions: a transactional producer, made anew whenever its state is not known.

What an error asks for is told by its kind. ``retriable``: the same call again. ``fatal``: a new
producer, which fences the old one (also after ``_CONFLICT`` and ``_STATE``, which the client calls
retriable). Any other: ``abort``. The client does not know version 2 of Kafka's transactions, so a
commit that was repeated might reach the broker late, in the next transaction: a new producer as
well. Calls are short: the client does not come back from a longer one while brokers are away.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Final

from consumer import kafka_defaults as defaults
from consumer.kafka_client import Client, Offset, TopicPartition, ask
from consumer.kafka_failures import Ear, KafkaFailure, OnError
from consumer.kafka_writer import Writer
from consumer.last_resort import comes_back

HANGS: Final = 4.0  # seconds that a call may take over its own timeout


class Transactions:
    """One transaction after the other under one transactional id.

    Args:
        client: The user's client settings.
        name: The transactional id. Whoever takes the same one fences this producer.
        on_error: Told code and text of every distinct connection error.
    """

    def __init__(self, client: Client, name: str, on_error: OnError | None = None) -> None:
        self._client, self._name, self._on_error = client, name, on_error
        self._ear = Ear(client)
        self._writer: Writer | None = None
        self._ready = False  # the broker knows this producer
        self._open = False  # between begin and commit or abort
        self._sent = False  # the offsets are part of the open transaction
        self._repeated = False  # a commit was

    def begin(self, timeout: float) -> None:
        """Begin a transaction unless one is open; the first aborts what an earlier producer left.

        Raises:
            KafkaFailure: ``retriable``: call it again.
        """
        if self._writer is None:
            always = defaults.transaction(self._client, self._name)
            self._writer = Writer(self._client, self._on_error, always)
        producer = self._writer.producer
        if not self._ready:
            doing = f"start transactions as {self._name}"
            ask(self._ear, doing, producer.init_transactions, timeout)
            self._ready = True
        if not self._open:
            ask(self._ear, "begin a transaction", producer.begin_transaction)
            self._open, self._sent, self._repeated = True, False, False

    def produce(
        self,
        topic: str,
        partition: int | None,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes]] = (),
    ) -> None:
        """Put a message into the open transaction."""
        if self._writer is None:
            raise KafkaFailure("fatal", "_STATE", f"write to {topic}: no transaction is open")
        self._writer.produce(topic, partition, key, value, headers)

    def send(self, offsets: Sequence[Offset], member: bytes, timeout: float) -> None:
        """Make offsets part of the open transaction, once.

        Args:
            offsets: Topic, partition, offset, metadata.
            member: ``Reader.member``: refused as ``lost`` once the group goes on without it.
            timeout: Seconds.
        """
        if self._writer is None:
            raise KafkaFailure("fatal", "_STATE", "commit: no transaction is open")
        if offsets and not self._sent:
            places = [TopicPartition(*offset) for offset in offsets]
            doing = "commit in a transaction"
            producer = self._writer.producer.send_offsets_to_transaction
            # After lost connections the client has been seen to wait here for ever (2.16.1).
            send = partial(ask, self._ear, doing, producer, places, member, timeout)
            if not comes_back(send, timeout + HANGS):
                raise KafkaFailure("fatal", "_TIMED_OUT", f"{doing}: the client does not come back")
            self._sent = True

    def commit(self, timeout: float) -> None:
        """End the open transaction; after ``retriable`` call it again, it may have been committed.

        Raises:
            KafkaFailure: A message that the broker refused is named before anything that follows.
        """
        if self._writer is None:
            raise KafkaFailure("fatal", "_STATE", "commit: no transaction is open")
        try:
            doing = "commit a transaction"
            ask(self._ear, doing, self._writer.producer.commit_transaction, timeout)
        except KafkaFailure as failure:
            self._repeated |= failure.kind == "retriable"
            refused = self._writer.take_failure()
            if refused is not None and refused.kind in {"denied", "refused"}:
                raise refused from None
            raise
        self._open = False
        if self._repeated:
            self.drop()

    def abort(self, timeout: float) -> None:
        """Make the open transaction undone; where that does not work, a new producer does it."""
        if self._writer is None or not self._open:
            return
        try:
            ask(self._ear, "abort", self._writer.producer.abort_transaction, timeout)
            self._writer.take_failure()
            self._open = False
        except KafkaFailure:
            self.drop()

    def drop(self) -> None:
        """Forget the producer without a word to the broker, which might be away; ``begin`` goes on.

        A transaction that it left open is aborted by the next ``begin`` under the same name, or by
        the broker after ``transaction.timeout.ms``.
        """
        if self._writer is not None:
            with suppress(KafkaFailure):
                self._writer.close()
        self._writer, self._ready, self._open = None, False, False
