"""The Kafka client: the one module that imports ``confluent_kafka``.

Every class belongs to the thread that made it: a second thread's call on a consumer can wait for
ever. Times are microseconds since 1970-01-01 UTC, timeouts are seconds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from typing import Any, Literal, ParamSpec, TypeVar

from confluent_kafka import (
    Consumer,
    IsolationLevel,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    ConfigResource,
    NewTopic,
    OffsetSpec,
    ResourceType,
)

from consumer import kafka_defaults as defaults
from consumer.kafka_batches import Item, to_items
from consumer.kafka_errors import KafkaProblem
from consumer.kafka_failures import Ear, KafkaFailure, OnError
from consumer.kafka_settings import Value
from consumer.topics import TopicSpec

Partition = tuple[str, int]  # topic and partition number
Client = Mapping[str, Value]  # the user's client settings
Moment = Literal["earliest", "latest"] | int  # microseconds
T = TypeVar("T")
P = ParamSpec("P")
# A fatal error comes as a bare KafkaError, which its type stub does not know to be an exception.
_RAISED: Any = (KafkaException, KafkaError)


def _ask(ear: Ear, doing: str, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    try:
        return call(*args, **kwargs)
    except _RAISED as error:
        raise ear.failure(_reason(error), doing) from None
    except SystemError as error:  # a producer's fatal error with delivery callbacks running into it
        if isinstance(error.__cause__, _RAISED):
            raise ear.failure(_reason(error.__cause__), doing) from None
        raise KafkaFailure("fatal", "_FATAL", f"{doing}: the client gave up") from None
    except TimeoutError:
        raise KafkaFailure("retriable", "_TIMED_OUT", f"{doing}: no answer") from None


def _reason(error: Any) -> KafkaError:  # noqa: ANN401 - see _RAISED
    reason: KafkaError = error.args[0] if isinstance(error, KafkaException) else error
    return reason


def _start(ear: Ear, make: Callable[[dict[str, Any]], T], *tables: Client) -> T:
    settings = {name: value for table in tables for name, value in table.items()}
    try:
        return _ask(ear, "client settings", make, settings | ear.settings())
    except (ValueError, TypeError) as error:
        text = ear.plain(f"client settings: {error}")
        raise KafkaFailure("refused", "_INVALID_ARG", text) from None


class _Source:
    """What a group's reader and a plain scan have in common."""

    def __init__(self, ear: Ear, client: Client, always: Client, *, with_keys: bool) -> None:
        self._ear, self._with_keys = ear, with_keys
        self._in_callback = False
        self._consumer = _start(ear, Consumer, defaults.COMMON, defaults.READ, client, always)
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
        messages = _ask(self._ear, "read", self._consumer.consume, max_records, timeout)
        return to_items(messages, self._with_keys, self._ear)

    def position(self, topic: str, partition: int) -> int | None:
        """Offset that is read next, past transaction markers; None before the first record."""
        place = TopicPartition(topic, partition)
        (found,) = _ask(self._ear, "position", self._consumer.position, [place])
        return found.offset if found.offset >= 0 else None

    def committed(
        self, partitions: Sequence[Partition], timeout: float = 5.0
    ) -> dict[Partition, tuple[int, str] | None]:
        """Committed offset and metadata of each partition; None: nothing was ever committed."""
        if self._in_callback:
            raise RuntimeError("a callback of the reader must not wait for the broker")
        places = [TopicPartition(*p) for p in partitions]
        found = _ask(self._ear, "committed offsets", self._consumer.committed, places, timeout)
        for place in found:
            if place.error is not None:
                raise self._ear.failure(place.error, f"committed offset of {_name(place)}")
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
            _ask(self._ear, "leave", self._consumer.close)


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
            _ask(self._ear, "pause", self._consumer.pause, here)

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
            _ask(self._ear, "resume", self._consumer.resume, here)

    def seek(self, topic: str, partition: int, offset: int) -> None:
        """Read a partition from ``offset`` on; one that this member does not own is left alone."""
        name, place = (topic, partition), TopicPartition(topic, partition, offset)
        if name not in self._owned:
            return
        # Begun anew: the client cannot seek in a partition that stopped at a missing offset.
        if name in self._read:
            _ask(self._ear, "seek", self._consumer.incremental_unassign, [place])
        _ask(self._ear, "seek", self._consumer.incremental_assign, [place])
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
            _ask(self._ear, "commit", self._consumer.commit, offsets=places)
            return
        # Without a broker the commit itself would wait for session.timeout.ms, deaf to signals.
        _ask(self._ear, "commit", self._consumer.list_topics, places[0].topic, timeout=1.0)
        done = _ask(self._ear, "commit", self._consumer.commit, offsets=places, asynchronous=False)
        for place in done:
            if place.error is not None:
                raise self._ear.failure(place.error, f"commit the offset of {_name(place)}")

    def partition_counts(self, max_age: float = 10.0, timeout: float = 5.0) -> dict[str, int]:
        """Partitions of every topic, asked again after ``max_age``, but not inside a callback."""
        if time.monotonic() - self._counted_at > max_age and not self._in_callback:
            self._counts = _counts(self._consumer, self._ear, timeout)
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
        _ask(self._ear, "read topics", self._consumer.assign, places)


def _name(place: TopicPartition) -> str:
    return f"{place.topic}[{place.partition}]"


def _counts(client: Consumer | AdminClient, ear: Ear, timeout: float) -> dict[str, int]:
    found = _ask(ear, "list topics", client.list_topics, timeout=timeout)
    return {name: len(t.partitions) for name, t in found.topics.items() if t.error is None}


class Writer:
    """An idempotent producer.

    Args:
        client: The user's client settings.
        on_error: Told code and text of every distinct connection error.
    """

    def __init__(self, client: Client, on_error: OnError | None = None) -> None:
        self._ear = Ear(client, on_error)
        self._failed: list[KafkaFailure] = []
        tables = defaults.COMMON, defaults.WRITE, client, defaults.WRITE_ALWAYS
        told = {"on_delivery": self._delivered}
        self._producer: Producer = _start(self._ear, lambda conf: Producer(conf | told), *tables)

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
                self._producer.produce(topic, value=value, key=key, **extra)
            except BufferError:
                if time.monotonic() > end:
                    text = f"write to {topic}: the queue stayed full for {timeout:g} s"
                    raise KafkaFailure("retriable", "_QUEUE_FULL", text) from None
                _ask(self._ear, f"write to {topic}", self._producer.poll, 0.1)
            except _RAISED as error:
                raise self._ear.failure(_reason(error), f"write to {topic}") from None
            else:
                return

    def flush(self, timeout: float) -> None:
        """Return once everything produced so far is acknowledged by all in-sync replicas.

        Raises:
            KafkaFailure: ``retriable``: some messages wait still, and the next ``flush`` goes on
                waiting; any other kind: a message is lost for good, and no later ``flush`` says so.
        """
        left = _ask(self._ear, "write", self._producer.flush, timeout)
        if self._failed:
            first, count = self._failed[0], len(self._failed)
            self._failed.clear()
            more = f", and {count - 1} more messages" if count > 1 else ""
            kind = "fatal" if first.kind == "retriable" else first.kind
            raise KafkaFailure(kind, first.code, first.text + more)
        if left:
            code, text = self._ear.last or ("_TIMED_OUT", "no answer")
            text = f"{left} messages are not acknowledged after {timeout:g} s: {text}"
            raise KafkaFailure("retriable", code, text)

    def close(self) -> None:
        """Drop what is not acknowledged, without waiting; the last call."""
        self._producer.purge()
        del self._producer


class Admin:
    """Questions and orders that belong to no group."""

    def __init__(self, client: Client, timeout: float = 10.0) -> None:
        self._ear, self._timeout = Ear(client), timeout
        self._admin = _start(self._ear, AdminClient, defaults.COMMON, client)

    def last_error(self) -> tuple[str, str] | None:
        """Code and text of the last distinct connection error."""
        self._admin.poll(0)
        return self._ear.last

    def _one(
        self, doing: str, ask: Callable[..., Mapping[Any, Future[T]]], what: object, **how: bool
    ) -> T:
        """The answer to a question about one thing."""
        (future,) = _ask(self._ear, doing, ask, what, request_timeout=self._timeout, **how).values()
        return _ask(self._ear, doing, future.result, self._timeout + 1.0)

    def topics(self) -> dict[str, int]:
        """Number of partitions of every topic that may be seen."""
        return _counts(self._admin, self._ear, self._timeout)

    def topic_config(self, name: str) -> dict[str, str]:
        """The settings of a topic that hold, defaults included."""
        what = ConfigResource(ResourceType.TOPIC, name)
        found = self._one(f"settings of {name}", self._admin.describe_configs, [what])
        return {key: entry.value for key, entry in found.items() if entry.value is not None}

    def allowed(self, topic: str) -> frozenset[str]:
        """Operations that the broker lets this user do on a topic: ``READ``, ``WRITE``, ...

        Without an authorizer that is all of them. Raises ``denied`` where the user may not even see
        the topic.
        """
        ask, what = self._admin.describe_topics, TopicCollection([topic])
        return self._operations(f"permissions on {topic}", ask, what)

    def group_allowed(self, group: str) -> frozenset[str]:
        """Operations that the broker lets this user do on a group; a reader needs ``READ``.

        ``retriable`` while the group has no coordinator yet.
        """
        ask = self._admin.describe_consumer_groups
        return self._operations(f"permissions on group {group}", ask, [group])

    def _operations(
        self, doing: str, ask: Callable[..., Mapping[Any, Future[Any]]], what: object
    ) -> frozenset[str]:
        found = self._one(doing, ask, what, include_authorized_operations=True)
        return frozenset(one.name for one in found.authorized_operations or ())

    def create_topics(self, specs: Sequence[TopicSpec]) -> dict[str, KafkaProblem | None]:
        """Make topics and wait until the broker lists them; for each what went wrong."""
        outcome: dict[str, KafkaProblem | None] = {}
        for spec in specs:
            new = NewTopic(spec.name, spec.partitions, spec.replication, config=dict(spec.config))
            try:
                self._one(f"create {spec.name}", self._admin.create_topics, [new])
                outcome[spec.name] = None
            except KafkaFailure as failure:
                outcome[spec.name] = failure
        made = {name for name, failure in outcome.items() if failure is None}
        end = time.monotonic() + self._timeout
        while made - self.topics().keys() and time.monotonic() < end:
            time.sleep(0.05)
        return outcome

    def offsets(self, moments: Mapping[Partition, Moment]) -> dict[Partition, int]:
        """Offsets at the log's start, at its end (open transactions included) or at a time.

        A time (microseconds) stands for the first record at or after it, or the end if there is
        none. The leaders are asked, so an answer also proves that they can be reached.
        """
        times = {p: m for p, m in moments.items() if not isinstance(m, str)}
        found = self._offsets({p: "latest" if p in times else m for p, m in moments.items()})
        later = self._offsets(times)
        return found | {p: offset for p, offset in later.items() if offset >= 0}

    def _offsets(self, moments: Mapping[Partition, Moment]) -> dict[Partition, int]:
        self._admin.poll(0)  # what the client has to tell would pile up
        if not moments:
            return {}
        asked = _ask(
            self._ear,
            "list offsets",
            self._admin.list_offsets,
            {TopicPartition(*p): _spec(moment) for p, moment in moments.items()},
            isolation_level=IsolationLevel.READ_UNCOMMITTED,
            request_timeout=self._timeout,
        )
        found: dict[Partition, int] = {}
        for place, future in asked.items():
            answer = _ask(
                self._ear, f"offsets of {_name(place)}", future.result, self._timeout + 1.0
            )
            found[place.topic, place.partition] = answer.offset
        return found


def _spec(moment: Moment) -> OffsetSpec:
    ends: dict[str, Callable[[], OffsetSpec]]
    ends = {"earliest": OffsetSpec.earliest, "latest": OffsetSpec.latest}
    at: Callable[[int], OffsetSpec] = OffsetSpec.for_timestamp
    # Times in whole milliseconds, upwards.
    return ends[moment]() if isinstance(moment, str) else at(-(-moment // 1_000))


@contextmanager
def embedded_broker() -> Iterator[str]:
    """The client library's own broker on loopback, for a first look; gives its address.

    Topics are made on first use with 4 partitions, of which it keeps about 5 MiB each.
    """
    holder = Producer({"test.mock.num.brokers": 1, "log_level": 3})
    brokers = holder.list_topics(timeout=10).brokers.values()
    yield ",".join(f"{broker.host}:{broker.port}" for broker in brokers)
    del holder
