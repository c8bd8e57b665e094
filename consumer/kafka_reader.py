"""Reading: a member of a consumer group, and a plain scan.

Every object belongs to the thread that made it: a second thread's call on a consumer can wait for
ever.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, NamedTuple

from consumer import kafka_defaults as defaults
from consumer.batch import RawBatch
from consumer.kafka_batches import Item, to_items
from consumer.kafka_client import (
    Client,
    Consumer,
    KafkaError,
    Offset,
    Partition,
    TopicPartition,
    ask,
    place_name,
    start,
    topic_counts,
)
from consumer.kafka_failures import Ear, KafkaFailure, OnError

Told = Callable[[KafkaFailure | None], None]
OnCommit = Callable[[KafkaError | None, list[TopicPartition]], None]


class _Asked(NamedTuple):
    """A commit whose answer has not come."""

    offsets: set[tuple[str, int, int]]
    told: Told


class _Source:
    """What a group's reader and a plain scan have in common."""

    def __init__(
        self, ear: Ear, client: Client, always: Client, on_commit: OnCommit, *, with_keys: bool
    ) -> None:
        self._ear, self._with_keys = ear, with_keys
        self._in_callback = False
        make: Callable[[dict[str, Any]], Consumer]
        make = lambda conf: Consumer(conf | {"on_commit": on_commit})  # noqa: E731
        ours = defaults.COMMON, defaults.read(client)
        self._consumer = start(ear, make, *ours, client, always)
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
        always = {**defaults.group_always(client), "group.id": group}
        ear = Ear(client, on_error)
        super().__init__(ear, client, always, self._answered, with_keys=False)
        self._asked: list[_Asked] = []
        self._answers: list[tuple[Told, KafkaFailure | None]] = []
        self._early: list[Item] = []  # read while a commit was waited for
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
            # The library would remember, and never read them again if they come back.
            with suppress(KafkaFailure):
                self.resume(gone)
            consumer.incremental_unassign([TopicPartition(*p) for p in gone & self._read])
            for known in (self._owned, self._read, self._paused):
                known.difference_update(gone)
            self._forget_early(gone)

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
        self._forget_early([name])
        # Begun anew: the client cannot seek in a partition that stopped at a missing offset.
        if name in self._read:
            ask(self._ear, "seek", self._consumer.incremental_unassign, [place])
        ask(self._ear, "seek", self._consumer.incremental_assign, [place])
        self._read.add(name)
        self._pause(self._paused & {name})

    # --- commits --------------------------------------------------------------------------------
    #
    # librdkafka does not come back from a synchronous commit that was on its way as its broker
    # died. So all are asynchronous, and the answer is taken in ``consume``. One at a time: a commit
    # that the client repeats later must not undo the next one.

    def consume(self, max_records: int, timeout: float) -> list[Item]:  # noqa: D102 - as above
        items, self._early = self._early, []
        return items or self._read_on(max_records, timeout)

    def position(self, topic: str, partition: int) -> int | None:  # noqa: D102 - as above
        for item in self._early:  # read, but nobody has got it yet
            if isinstance(item, RawBatch) and (item.topic, item.partition) == (topic, partition):
                return int(item.offsets[0])
        return super().position(topic, partition)

    def _read_on(self, max_records: int, timeout: float) -> list[Item]:
        items = super().consume(max_records, timeout)
        answers, self._answers = self._answers, []
        for told, failure in answers:
            told(failure)
        return items

    def _answered(self, error: KafkaError | None, places: list[TopicPartition]) -> None:
        """Called inside ``consume``."""
        offsets = {(p.topic, p.partition, p.offset) for p in places}
        asked = next((one for one in self._asked if one.offsets == offsets), None)
        asked = asked or (self._asked[0] if self._asked else None)
        if asked is None:
            return
        self._asked.remove(asked)
        failure = None
        for place in places:
            if place.error is not None:
                failure = self._ear.failure(
                    place.error, f"commit the offset of {place_name(place)}"
                )
        if failure is None and error is not None:
            failure = self._ear.failure(error, "commit")
        self._answers.append((asked.told, failure))

    @property
    def commit_waits(self) -> bool:
        """Whether the answer to a commit has not come yet: the client holds it until a broker does.

        Nothing else may be committed before, but for what is revoked.
        """
        return bool(self._asked) and not self._in_callback

    def commit_soon(self, offsets: Iterable[Offset], told: Told) -> None:
        """Commit (topic, partition, offset, metadata); a later ``consume`` tells how it went.

        Args:
            offsets: What to commit.
            told: Told None, or what went wrong: ``lost`` if another member owns a partition by now;
                after any other failure it is unknown whether the offsets are committed.
        """
        places = [TopicPartition(*offset) for offset in offsets]
        if places:
            ask(self._ear, "commit", self._consumer.commit, offsets=places, asynchronous=True)
            self._asked.append(_Asked({(p.topic, p.partition, p.offset) for p in places}, told))

    def commit(self, offsets: Iterable[Offset], within: float = 2.0) -> None:
        """Commit and wait for the answer, after those of commits under way.

        What is read meanwhile comes with the next ``consume``; the callbacks may run in here.
        Inside ``on_revoked`` it does not wait: the broker gets it before it hears that the
        partitions are free. If it is refused, the next owner reads again what this one has read.

        Raises:
            KafkaFailure: As ``commit_soon`` tells it; ``_TIMED_OUT`` is ``retriable``, the answer
                may come yet.
        """
        if self._in_callback:
            self.commit_soon(offsets, lambda failure: None)
            return
        end = time.monotonic() + within
        self._wait(lambda: not self._asked, end)
        answers: list[KafkaFailure | None] = []
        places = list(offsets)
        self.commit_soon(places, answers.append)
        self._wait(lambda: answers or not places, end)
        if answers and answers[0] is not None:
            raise answers[0]

    def member(self) -> bytes:
        """Who this is in the group at this moment, for a transaction that commits offsets.

        Raises:
            KafkaFailure: ``lost``: nobody. The broker would take the offsets of a nobody.
        """
        told = bytes(self._consumer.consumer_group_metadata() or b"")
        mark, generation = told[:7], int.from_bytes(told[7:11], "little", signed=True)
        name = told[11:].split(b"\0")[1:2]
        if mark != b"CGMDv2:":
            raise KafkaFailure("refused", "_UNSUPPORTED_FEATURE", "membership in a new format")
        if generation < 0 or not name or not name[0]:
            raise KafkaFailure("lost", "UNKNOWN_MEMBER_ID", "this is no member of the group now")
        return told

    def _wait(self, come: Callable[[], object], end: float) -> None:
        while not come():
            if time.monotonic() > end:
                code, text = self._ear.last or ("_TIMED_OUT", "no answer")
                raise KafkaFailure("retriable", code, f"commit: no answer yet: {text}")
            self._early += self._read_on(defaults.BATCH, 0.01)

    def _forget_early(self, partitions: Container[Partition]) -> None:
        """What was read of these is read again, from wherever they begin next."""
        self._early = [
            item for item in self._early if (item.topic, item.partition) not in partitions
        ]

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
        super().__init__(Ear(client), client, always, lambda *_: None, with_keys=True)
        places = [TopicPartition(*p, start) for p, start in starts.items()]
        ask(self._ear, "read topics", self._consumer.assign, places)
