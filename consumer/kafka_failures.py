"""What goes wrong with Kafka, told in one way and without secrets."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, NamedTuple, Protocol

from consumer.kafka_errors import KafkaProblem
from consumer.kafka_settings import HIDDEN, Value, is_secret

Kind = Literal["retriable", "lost", "abort", "denied", "refused", "fatal"]
OnError = Callable[[str, str], None]

# The client calls _CONFLICT retriable: after a fatal error in a commit it would be so for ever.
_FATAL: Final = {
    "_FATAL",
    "_FENCED",
    "_STATE",
    "_CONFLICT",
    "PRODUCER_FENCED",
    "INVALID_PRODUCER_EPOCH",
    "INVALID_PRODUCER_ID_MAPPING",
}
_LOST: Final = {
    "ILLEGAL_GENERATION",
    "UNKNOWN_MEMBER_ID",
    "FENCED_INSTANCE_ID",
    "FENCED_MEMBER_EPOCH",
    "STALE_MEMBER_EPOCH",
    "_ASSIGNMENT_LOST",
    "_MAX_POLL_EXCEEDED",
}
# Beside those that the client itself calls retriable.
_AGAIN: Final = {
    "_TRANSPORT",
    "_RESOLVE",
    "_SSL",
    "_ALL_BROKERS_DOWN",
    "_TIMED_OUT",
    "_TIMED_OUT_QUEUE",
    "_MSG_TIMED_OUT",
    "_WAIT_COORD",
    "_QUEUE_FULL",
    "_PURGE_QUEUE",  # given up with the producer or its transaction, for another reason
    "_PURGE_INFLIGHT",
    "_IN_PROGRESS",
    "_NOENT",  # no leader of a partition is known
    "REBALANCE_IN_PROGRESS",
    "NOT_COORDINATOR",
    "COORDINATOR_NOT_AVAILABLE",
    "COORDINATOR_LOAD_IN_PROGRESS",
    "REQUEST_TIMED_OUT",
    "NOT_ENOUGH_REPLICAS",
    "NOT_ENOUGH_REPLICAS_AFTER_APPEND",
    # A broker has died or moved, and the others do not know it all yet.
    "LEADER_NOT_AVAILABLE",
    "NOT_LEADER_FOR_PARTITION",
    "REPLICA_NOT_AVAILABLE",
    "BROKER_NOT_AVAILABLE",
    "LISTENER_NOT_FOUND",
    "FENCED_LEADER_EPOCH",
    "UNKNOWN_LEADER_EPOCH",
    "OFFSET_NOT_AVAILABLE",
    "KAFKA_STORAGE_ERROR",
    "NETWORK_EXCEPTION",
    "UNSTABLE_OFFSET_COMMIT",
}


class KafkaFailure(KafkaProblem):
    """Kafka did not do what was asked, and what can be done about it.

    Attributes:
        kind: ``retriable``: the same call may work later (a commit: after the next ``consume``);
            ``lost``: this member does not own the partitions any more; ``abort``: the transaction
            cannot be committed, all that it was for can be done again; ``denied``: no permission,
            or the broker did not accept who asks; ``refused``: the same call never works;
            ``fatal``: the client is of no use any more.
        code: The client's name of the error, such as ``ILLEGAL_GENERATION``.
        text: One line for people, without any secret.
    """

    def __init__(self, kind: Kind, code: str, text: str) -> None:
        super().__init__(code, text)
        self.kind: Kind = kind


class PartitionError(NamedTuple):
    """Reading a partition failed; ``topic`` is empty if the error is about the whole group.

    ``code`` is ``_AUTO_OFFSET_RESET`` where the log does not hold the offset any more (or not yet):
    nothing is read from that partition until a ``seek``. ``partition`` is -1 for a whole topic.
    """

    topic: str
    partition: int
    kind: Kind
    code: str
    text: str


class ClientError(Protocol):
    """The client library's error object."""

    def name(self) -> str:
        """Name of its code."""

    def str(self) -> str:
        """Text for people."""

    def fatal(self) -> bool:
        """Whether the client is of no use any more."""

    def retriable(self) -> bool:
        """Whether the same call may work later."""

    def txn_requires_abort(self) -> bool:
        """Whether it leaves nothing but to abort the transaction."""


def kind_of(error: ClientError) -> Kind:
    """What a caller can do about an error."""
    name = error.name()
    if "AUTHORIZATION_FAILED" in name or "AUTHENTICATION" in name:
        return "denied"
    if error.fatal() or name in _FATAL:
        return "fatal"
    if name in _LOST:
        return "lost"
    if error.txn_requires_abort():
        return "abort"
    return "retriable" if error.retriable() or name in _AGAIN else "refused"


class Ear:
    """Hears what the client library says beside its answers, and hides secrets in all of it.

    Args:
        client: The user's client settings; its secrets are those hidden.
        on_error: Told code and text of every error that differs from the one before.

    Attributes:
        last: Code and text of the last distinct error.
    """

    def __init__(self, client: Mapping[str, Value], on_error: OnError | None = None) -> None:
        secrets = (str(value) for name, value in client.items() if is_secret(name) and value)
        self._secrets = sorted(secrets, key=len, reverse=True)
        self._on_error = on_error
        self.last: tuple[str, str] | None = None

    def plain(self, text: str) -> str:
        """One line without secrets."""
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        return " ".join(text.split())

    def hear(self, code: str, text: str) -> None:
        """Take note of an error that no call has returned."""
        heard = (code, self.plain(text))
        # "1/1 brokers are down" only follows the error that says why.
        if heard == self.last or (self.last is not None and code == "_ALL_BROKERS_DOWN"):
            return
        self.last = heard
        if self._on_error is not None:
            self._on_error(*heard)

    def settings(self) -> dict[str, Any]:
        """Client settings that make the library speak to this ear."""
        return {
            "error_cb": lambda error: self.hear(error.name(), error.str()),
            "logger": _Log(self),
        }

    def failure(self, error: ClientError, doing: str) -> KafkaFailure:
        """What to raise for an error."""
        text = self.plain(f"{doing}: {error.str()}")
        return KafkaFailure(kind_of(error), error.name(), text)


class _Log(logging.Logger):
    """Takes the one thing that only the library's log tells: that a listener hangs up at once."""

    def __init__(self, ear: Ear) -> None:
        super().__init__("kafka client")
        self._ear = ear

    def handle(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if text.startswith("FAIL") and "Disconnected" in text and "in state UP" not in text:
            self._ear.hear("_TRANSPORT", text.rpartition("]: ")[2])
