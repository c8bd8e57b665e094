"""Questions and orders that belong to no group."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, TypeVar

from consumer import kafka_defaults as defaults
from consumer.kafka_client import (
    AdminClient,
    Client,
    ConfigResource,
    IsolationLevel,
    Moment,
    NewTopic,
    OffsetSpec,
    Partition,
    Producer,
    ResourceType,
    TopicCollection,
    TopicPartition,
    ask,
    place_name,
    start,
    topic_counts,
)
from consumer.kafka_errors import KafkaProblem
from consumer.kafka_failures import Ear, KafkaFailure
from consumer.kafka_transactions import Transactions
from consumer.topics import TopicSpec

T = TypeVar("T")


class Admin:
    """Questions and orders that belong to no group."""

    def __init__(self, client: Client, timeout: float = 10.0) -> None:
        self._client, self._ear, self._timeout = client, Ear(client), timeout
        self._admin = start(self._ear, AdminClient, defaults.COMMON, client)

    def last_error(self) -> tuple[str, str] | None:
        """Code and text of the last distinct connection error."""
        self._admin.poll(0)
        return self._ear.last

    def _one(
        self, doing: str, call: Callable[..., Mapping[Any, Future[T]]], what: object, **how: bool
    ) -> T:
        """The answer to a question about one thing."""
        (future,) = ask(self._ear, doing, call, what, request_timeout=self._timeout, **how).values()
        return ask(self._ear, doing, future.result, self._timeout + 1.0)

    def topics(self) -> dict[str, int]:
        """Number of partitions of every topic that may be seen."""
        return topic_counts(self._admin, self._ear, self._timeout)

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
        call, what = self._admin.describe_topics, TopicCollection([topic])
        return self._operations(f"permissions on {topic}", call, what)

    def group_allowed(self, group: str) -> frozenset[str]:
        """Operations that the broker lets this user do on a group; a reader needs ``READ``.

        ``retriable`` while the group has no coordinator yet.
        """
        call = self._admin.describe_consumer_groups
        return self._operations(f"permissions on group {group}", call, [group])

    def try_transactions(self, name: str) -> None:
        """Prove that this user may write in transactions: a producer of that name is made ready.

        Raises:
            KafkaFailure: It may not, or no coordinator answers.
        """
        tried = Transactions(self._client, name)
        end = time.monotonic() + self._timeout
        try:
            while True:
                try:
                    tried.begin(1.0)
                except KafkaFailure as failure:
                    if failure.kind != "retriable" or time.monotonic() > end:
                        raise
                else:
                    return
        finally:
            tried.drop()

    def _operations(
        self, doing: str, call: Callable[..., Mapping[Any, Future[Any]]], what: object
    ) -> frozenset[str]:
        found = self._one(doing, call, what, include_authorized_operations=True)
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

        Raises:
            KafkaFailure: Also ``retriable``: a leader that is new has been seen to answer -1.
        """
        times = {p: m for p, m in moments.items() if not isinstance(m, str)}
        found = self._offsets({p: "latest" if p in times else m for p, m in moments.items()})
        unknown = [f"{topic}[{number}]" for (topic, number), at in found.items() if at < 0]
        if unknown:
            why = f"list offsets: not known yet of {', '.join(unknown)}"
            raise KafkaFailure("retriable", "OFFSET_NOT_AVAILABLE", why)
        later = self._offsets(times)
        return found | {p: offset for p, offset in later.items() if offset >= 0}

    def stable_ends(self, places: Iterable[Partition]) -> dict[Partition, int]:
        """Offsets before which no transaction is open: as far as ``read_committed`` reads.

        Raises:
            KafkaFailure: As ``offsets``.
        """
        return self._offsets(dict.fromkeys(places, "latest"), IsolationLevel.READ_COMMITTED)

    def _offsets(
        self,
        moments: Mapping[Partition, Moment],
        isolation: IsolationLevel = IsolationLevel.READ_UNCOMMITTED,
    ) -> dict[Partition, int]:
        self._admin.poll(0)  # what the client has to tell would pile up
        if not moments:
            return {}
        asked = ask(
            self._ear,
            "list offsets",
            self._admin.list_offsets,
            {TopicPartition(*p): _spec(moment) for p, moment in moments.items()},
            isolation_level=isolation,
            request_timeout=self._timeout,
        )
        found: dict[Partition, int] = {}
        for place, future in asked.items():
            answer = ask(
                self._ear, f"offsets of {place_name(place)}", future.result, self._timeout + 1.0
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
    """The client library's own broker, in this process and on loopback; gives its address.

    For a first look: topics are made on first use with 4 partitions, about 5 MiB are kept of each,
    nothing is kept after the end.
    """
    holder = Producer({"test.mock.num.brokers": 1, "log_level": 3})
    brokers = holder.list_topics(timeout=10).brokers.values()
    yield ",".join(f"{broker.host}:{broker.port}" for broker in brokers)
    del holder
