"""Writing: an idempotent producer."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from consumer import kafka_defaults as defaults
from consumer.kafka_client import RAISED, Client, KafkaError, Message, Producer, ask, reason, start
from consumer.kafka_failures import Ear, KafkaFailure, OnError


class Writer:
    """An idempotent producer.

    Args:
        client: The user's client settings.
        on_error: Told code and text of every distinct connection error.
        also: Settings that the user may not change, beside those of every producer.

    Attributes:
        producer: The client's own.
    """

    def __init__(
        self, client: Client, on_error: OnError | None = None, also: Client | None = None
    ) -> None:
        self._ear = Ear(client, on_error)
        self._failed: list[KafkaFailure] = []
        always = {**defaults.WRITE_ALWAYS, **(also or {})}
        tables = defaults.COMMON, defaults.WRITE, client, always
        told = {"on_delivery": self._delivered}
        self.producer: Producer = start(self._ear, lambda conf: Producer(conf | told), *tables)

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self._failed.append(self._ear.failure(error, f"write to {message.topic()}"))

    def produce(
        self,
        topic: str,
        partition: int | None,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes]] = (),
        timeout: float = 30.0,
    ) -> None:
        """Queue one message; waits up to ``timeout`` while the queue is full.

        Without a partition the key's murmur2 hash decides, as in Java clients. Without a value the
        key is deleted from a compacted topic.

        Raises:
            KafkaFailure: Too large for this client, or the queue stayed full.
        """
        extra: dict[str, Any] = {} if partition is None else {"partition": partition}
        if headers:
            extra["headers"] = list(headers)
        end = time.monotonic() + timeout
        while True:
            try:
                self.producer.produce(topic, value=value, key=key, **extra)
            except BufferError:
                if time.monotonic() > end:
                    text = f"write to {topic}: the queue stayed full for {timeout:g} s"
                    raise KafkaFailure("retriable", "_QUEUE_FULL", text) from None
                ask(self._ear, f"write to {topic}", self.producer.poll, 0.1)
            except RAISED as error:
                raise self._ear.failure(reason(error), f"write to {topic}") from None
            else:
                return

    def flush(self, timeout: float) -> None:
        """Return once everything produced so far is acknowledged by all in-sync replicas.

        Raises:
            KafkaFailure: ``retriable``: some messages wait still, and the next ``flush`` goes on
                waiting; any other kind: a message is lost for good, and no later ``flush`` says so.
        """
        left = ask(self._ear, "write", self.producer.flush, timeout)
        failure = self.take_failure()
        if failure is not None:
            raise failure
        if left:
            code, text = self._ear.last or ("_TIMED_OUT", "no answer")
            text = f"{left} messages are not acknowledged after {timeout:g} s: {text}"
            raise KafkaFailure("retriable", code, text)

    def take_failure(self) -> KafkaFailure | None:
        """What happened to messages that are lost for good, told once."""
        if not self._failed:
            return None
        first, count = self._failed[0], len(self._failed)
        self._failed.clear()
        more = f", and {count - 1} more messages" if count > 1 else ""
        kind = "fatal" if first.kind == "retriable" else first.kind
        return KafkaFailure(kind, first.code, first.text + more)

    def close(self) -> None:
        """Drop what is not acknowledged, without waiting; the last call."""
        self.producer.purge()
        del self.producer
