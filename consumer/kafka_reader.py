"""Reading: a member of a consumer group, and a plain scan.

Every object belongs to the thread that made it: a second thread's call on a consumer can wait for
ever.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial

from consumer import kafka_defaults as defaults
from consumer.kafka_batches import Item, to_items
from consumer.kafka_client import (
    Client,
    Consumer,
    Partition,
    TopicPartition,
    ask,
    place_name,
    start,
    topic_counts,
)
from consumer.kafka_failures import Ear, OnError


class _Source:
    """What a group's reader and a plain scan have in common."""

    def __init__(self, ear: Ear, client: Client, always: Client, *, with_keys: bool) -> None:
        self._ear, self._with_keys = ear, with_keys
        self._in_callback = False
        self._consumer = start(ear, Consumer, defaults.COMMON, defaults.READ, client, always)
        self._closed = False

    def last_error(self) -> tuple[str, str] | None:
        """Code and text of the last distinct connection error."""
        return self._ear.last

    def consume(self, max_records: int, timeout: float) -> list[Item]:
        """Read up to ``max_records``, one batch per partition, then the errors.

        Waits for all of ``timeout`` unless ``max_records`` are there: keep it small. In a group the
        callbacks run in here.

        Raises:
            KafkaFailure: The client is of no use any more.
        """
        messages = ask(self._ear, "read", self._consumer.consume, max_records, timeout)
        return to_items(messages, self._with_keys, self._ear)

    def position(self, topic: str, partition: int) -> int | None:
        """Offset that is read next, past transaction markers; None before the first record."""
        place = TopicPartition(topic, partition)
        (found,) = ask(self._ear, "position", self._consumer.position, [place])
        return found.offset if found.offset >= 0 else None

    def committed(
        self, partitions: Sequence[Partition], timeout: float = 5.0
    ) -> dict[Partition, tuple[int, str] | None]:
        """Committed offset and metadata of each partition; None: nothing was ever committed."""
        if self._in_callback:
            raise RuntimeError("a callback of the reader must not wait for the broker")
        places = [TopicPartition(*p) for p in partitions]
        found = ask(self._ear, "committed offsets", self._consumer.committed, places, timeout)
        for place in found:
            if place.error is not None:
                raise self._ear.failure(place.error, f"committed offset of {place_name(place)}")
        return {
            (p.topic, p.partition): None if p.offset < 0 else (p.offset, p.metadata or "")
            for p in found
        }

    def end(self, place: Partition) -> int | None:
        """Where a partition ends, as its last fetch said; None: none has."""
        found = self._consumer.get_watermark_offsets(TopicPartition(*place), cached=True)
        return found[1] if found and found[1] >= 0 else None

    def close(self) -> None:
        """Leave the group, after ``on_revoked``; a second call does nothing."""
        if not self._closed:
            self._closed = True
            ask(self._ear, "leave", self._consumer.close)


class Reader(_Source):
    """One member of a consumer group, subscribed to ``topics`` (a ``^regex`` is one as well).

    Args:
        client: The user's client settings.
        group: Group id.
        topics: What to subscribe to.
        on_assigned: Told which partitions come; answers the offset to start at. Those it leaves out
            wait for a ``seek``. May ``pause`` them.
        on_revoked: Told which partitions go; may ``commit`` for them.
        on_lost: Told which partitions are gone already; nothing can be committed for them.
        on_error: Told code and text of every distinct connection error.

    Raises:
        KafkaFailure: The settings are not accepted.
    """

    def __init__(
        self,
        client: Client,
        group: str,
        topics: Sequence[str],
        on_assigned: Callable[[list[Partition]], Mapping[Partition, int]],
        on_revoked: Callable[[list[Partition]], None],
        on_lost: Callable[[list[Partition]], None],
        on_error: OnError,
    ) -> None:
        always = {**defaults.GROUP_ALWAYS, "group.id": group}
        super().__init__(Ear(client, on_error), client, always, with_keys=False)
        self._paused: set[Partition] = set()
        self._owned: set[Partition] = set()  # by the group's word
        self._read: set[Partition] = set()  # those of them that have got an offset to start at
        self._counts: dict[str, int] = {}
        self._counted_at = float("-inf")
        self._on_assigned = on_assigned
        self._consumer.subscribe(
            list(topics),
            on_assign=self._assign,
            on_revoke=partial(self._leave, on_revoked),
            on_lost=partial(self._leave, on_lost),
        )

    def _assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        new = [(p.topic, p.partition) for p in partitions]
        with self._called_back():
            starts = self._on_assigned(new) if new else {}
        self._owned.update(new)
        consumer.incremental_assign([TopicPartition(*p, start) for p, start in starts.items()])
        self._read.update(starts)
        # A rebalance may resume what was paused.
        self._pause(self._paused)

    def _leave(
        self,
        tell: Callable[[list[Partition]], None],
        consumer: Consumer,
        partitions: list[TopicPartition],
    ) -> None:
        gone = {(p.topic, p.partition) for p in partitions}
        try:
            with self._called_back():
                tell(sorted(gone))
        finally:
            consumer.incremental_unassign([TopicPartition(*p) for p in gone & self._read])
            for known in (self._owned, self._read, self._paused):
                known.difference_update(gone)

    @contextmanager
    def _called_back(self) -> Iterator[None]:
        # After a call that waits inside a callback, the client library aborts the process at its
        # next callback.
        self._in_callback = True
        try:
            yield
        finally:
            self._in_callback = False

    def _pause(self, partitions: Iterable[Partition]) -> None:
        here = [TopicPartition(*p) for p in partitions if p in self._read]
        if here:
            ask(self._ear, "pause", self._consumer.pause, here)

    def pause(self, partitions: Iterable[Partition]) -> None:
        """Read nothing from these until ``resume``; holds across rebalances."""
        wanted = set(partitions)
        self._paused |= wanted
        self._pause(wanted)

    def resume(self, partitions: Iterable[Partition]) -> None:
        """Read from these again, where ``pause`` stopped."""
        wanted = set(partitions)
        here = [TopicPartition(*p) for p in wanted & self._paused & self._read]
        self._paused -= wanted
        if here:
            ask(self._ear, "resume", self._consumer.resume, here)

    def seek(self, topic: str, partition: int, offset: int) -> None:
        """Read a partition from ``offset`` on; one that this member does not own is left alone."""
        name, place = (topic, partition), TopicPartition(topic, partition, offset)
        if name not in self._owned:
            return
        # Begun anew: the client cannot seek in a partition that stopped at a missing offset.
        if name in self._read:
            ask(self._ear, "seek", self._consumer.incremental_unassign, [place])
        ask(self._ear, "seek", self._consumer.incremental_assign, [place])
        self._read.add(name)
        self._pause(self._paused & {name})

    def commit(self, offsets: Iterable[tuple[str, int, int, str]]) -> None:
        """Commit (topic, partition, offset, metadata) and wait for the answer.

        Inside ``on_revoked`` it does not wait: the broker gets it before it hears that the
        partitions are free. If it is refused, the next owner reads again what this one has read.

        Raises:
            KafkaFailure: ``lost`` if another member owns a partition by now. After any other one it
                is unknown whether the offsets are committed.
        """
        places = [TopicPartition(*offset) for offset in offsets]
        if not places:
            return
        if self._in_callback:
            ask(self._ear, "commit", self._consumer.commit, offsets=places)
            return
        # Without a broker the commit itself would wait for session.timeout.ms, deaf to signals.
        ask(self._ear, "commit", self._consumer.list_topics, places[0].topic, timeout=1.0)
        done = ask(self._ear, "commit", self._consumer.commit, offsets=places, asynchronous=False)
        for place in done:
            if place.error is not None:
                raise self._ear.failure(place.error, f"commit the offset of {place_name(place)}")

    def partition_counts(self, max_age: float = 10.0, timeout: float = 5.0) -> dict[str, int]:
        """Partitions of every topic, asked again after ``max_age``, but not inside a callback."""
        if time.monotonic() - self._counted_at > max_age and not self._in_callback:
            self._counts = topic_counts(self._consumer, self._ear, timeout)
            self._counted_at = time.monotonic()
        return self._counts


class Scan(_Source):
    """Reads partitions from given offsets, without joining a group; batches carry keys and headers.

    Args:
        client: The user's client settings.
        starts: Where to begin in each partition.
        group: A group that this user may read: the client asks for its coordinator.
    """

    def __init__(
        self, client: Client, starts: Mapping[Partition, int], group: str | None = None
    ) -> None:
        # The client asks for a group id; nothing is ever committed under it.
        always = {**defaults.READ_ALWAYS, "group.id": group or "streamgauge-scan"}
        super().__init__(Ear(client), client, always, with_keys=True)
        places = [TopicPartition(*p, start) for p, start in starts.items()]
        ask(self._ear, "read topics", self._consumer.assign, places)
