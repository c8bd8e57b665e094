"""How results reach their topics and positions are committed: at least once, or exactly once.

Both do the same in the same order, so the worker does not care which one it has: ``begin``, then
``produce`` and ``flush`` step by step, then ``commit``, whose answer is told, in a later turn of
the loop perhaps. ``commit_now`` waits for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Protocol

from .failpoints import reach
from .kafka import Client, Offset, Reader, Transactions, Writer
from .kafka_failures import KafkaFailure, OnError
from .patience import Patience
from .settings import Settings

Told = Callable[[KafkaFailure | None], None]
TELL_AFTER = 8.0  # seconds without an answer of the broker
GIVE_UP = 30.0  # seconds until the outcome of a transaction counts as unknown
ANSWER_WITHIN = 5.0  # seconds for a commit that is waited for; the answer may come later yet


class Delivery(Protocol):
    """What the worker asks for. Every call may raise ``KafkaFailure``; ``recover`` is next then."""

    @property
    def busy(self) -> bool:
        """Whether the answer to a commit is to come: nothing else can be committed before."""
        ...

    def begin(self) -> None:
        """Before anything is produced or committed."""
        ...

    def produce(
        self,
        topic: str,
        partition: int | None,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes]] = (),
    ) -> None:
        """Write one message."""
        ...

    def flush(self) -> None:
        """Return once nobody can see what follows without what was produced so far."""
        ...

    def commit(self, offsets: Sequence[Offset], told: Told) -> None:
        """Commit topic, partition, offset and metadata; ``told`` hears None, or what went wrong."""
        ...

    def commit_now(self, offsets: Sequence[Offset]) -> None:
        """Commit, after what is under way, and wait for the answer."""
        ...

    def recover(self, failure: KafkaFailure) -> None:
        """After a failure: what is not committed by now never will be."""
        ...

    def close(self) -> None:
        """Go, without waiting for a broker."""
        ...


class AtLeastOnce:
    """What is acknowledged is committed then; after a crash between the two it is repeated."""

    def __init__(
        self, client: Client, reader: Reader, patience: Patience, on_error: OnError
    ) -> None:
        self._reader, self._patience = reader, patience
        self._make = partial(Writer, client, on_error)
        self._writer = self._make()

    @property
    def busy(self) -> bool:  # noqa: D102 - as above, like all that follow
        return self._reader.commit_waits

    def begin(self) -> None:  # noqa: D102
        pass

    def produce(  # noqa: D102
        self,
        topic: str,
        partition: int | None,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes]] = (),
    ) -> None:
        self._writer.produce(topic, partition, key, value, headers)

    def flush(self) -> None:  # noqa: D102
        self._patience.wait(self._writer.flush, TELL_AFTER)

    def commit(self, offsets: Sequence[Offset], told: Told) -> None:  # noqa: D102
        self._reader.commit_soon(offsets, told)

    def commit_now(self, offsets: Sequence[Offset]) -> None:  # noqa: D102
        self._reader.commit(offsets, max(0.1, min(ANSWER_WITHIN, self._patience.left)))

    def recover(self, failure: KafkaFailure) -> None:  # noqa: D102
        if failure.kind == "fatal":
            self.close()
            self._writer = self._make()

    def close(self) -> None:  # noqa: D102
        with suppress(KafkaFailure):
            self._writer.close()


class ExactlyOnce:
    """All of a checkpoint is one transaction: its readers see it whole, with its commit, or never.

    The commit is refused once the group goes on without this member, so a process that was away and
    does not know it publishes nothing. A transaction is begun, filled and ended in one go, so none
    is open while the loop reads or partitions move.
    """

    def __init__(
        self, client: Client, name: str, reader: Reader, patience: Patience, on_error: OnError
    ) -> None:
        self._reader, self._patience = reader, patience
        self._transactions = Transactions(client, name, on_error)
        self._filled = False

    @property
    def busy(self) -> bool:  # noqa: D102
        return self._reader.commit_waits  # a partition's very first commit, of no result

    def begin(self) -> None:  # noqa: D102
        self._patience.wait(self._transactions.begin, TELL_AFTER)

    def produce(  # noqa: D102
        self,
        topic: str,
        partition: int | None,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes]] = (),
    ) -> None:
        self._transactions.produce(topic, partition, key, value, headers)
        self._filled = True
        reach("in_transaction")

    def flush(self) -> None:  # noqa: D102
        pass  # all of the transaction is seen at once

    def commit(self, offsets: Sequence[Offset], told: Told) -> None:  # noqa: D102
        self.commit_now(offsets)
        told(None)

    def commit_now(self, offsets: Sequence[Offset]) -> None:  # noqa: D102
        if not offsets and not self._filled:
            return
        self.begin()
        if offsets:
            member = self._reader.member()
            send = self._transactions.send
            self._patience.wait(lambda t: send(offsets, member, t), TELL_AFTER, GIVE_UP)
            reach("offsets_sent")
        self._patience.wait(self._transactions.commit, TELL_AFTER, GIVE_UP)
        self._filled = False

    def recover(self, failure: KafkaFailure) -> None:  # noqa: D102
        self._filled = False
        if failure.kind in {"abort", "lost", "denied", "refused"}:
            self._transactions.abort(max(0.1, min(ANSWER_WITHIN, self._patience.left)))
        else:  # fenced, or nobody knows whether the transaction was committed
            self._transactions.drop()

    def close(self) -> None:  # noqa: D102
        self._transactions.drop()


def delivery(
    settings: Settings, process: str, reader: Reader, patience: Patience, on_error: OnError
) -> Delivery:
    """The delivery that the settings ask for.

    Args:
        settings: Of this process.
        process: Random id of its start. A member with a ``group.instance.id`` has a transactional
            id that stays, so that its next start ends what this one leaves open.
        reader: The member whose positions are committed.
        patience: For a broker that is away.
        on_error: Told code and text of every distinct connection error.
    """
    if settings.delivery == "at_least_once":
        return AtLeastOnce(settings.kafka, reader, patience, on_error)
    return ExactlyOnce(
        settings.kafka, transactional_id(settings, process), reader, patience, on_error
    )


def transactional_id(settings: Settings, process: str) -> str:
    """Transactional id of a process; ``<app>-`` is the prefix of all, for permissions."""
    return f"{settings.app}-{settings.kafka.get('group.instance.id', process)}"
