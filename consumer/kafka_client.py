"""The one module that imports ``confluent_kafka``: its names for the others, and how it is called.

Times are microseconds since 1970-01-01 UTC, timeouts are seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
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

from consumer.kafka_failures import Ear, KafkaFailure
from consumer.kafka_settings import Value

__all__ = [
    "RAISED",
    "AdminClient",
    "Client",
    "ConfigResource",
    "Consumer",
    "IsolationLevel",
    "KafkaError",
    "Message",
    "Moment",
    "NewTopic",
    "Offset",
    "OffsetSpec",
    "Partition",
    "Producer",
    "ResourceType",
    "TopicCollection",
    "TopicPartition",
    "ask",
    "place_name",
    "reason",
    "start",
    "topic_counts",
]

Partition = tuple[str, int]  # topic and partition number
Offset = tuple[str, int, int, str]  # topic, partition, offset, metadata
Client = Mapping[str, Value]  # the user's client settings
Moment = Literal["earliest", "latest"] | int  # microseconds
T = TypeVar("T")
P = ParamSpec("P")
# A fatal error comes as a bare KafkaError, which its type stub does not know to be an exception.
RAISED: Any = (KafkaException, KafkaError)


def ask(ear: Ear, doing: str, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call the client; what it raises comes as a ``KafkaFailure`` that names what was done."""
    try:
        return call(*args, **kwargs)
    except RAISED as error:
        raise ear.failure(reason(error), doing) from None
    except SystemError as error:  # a producer's fatal error with delivery callbacks running into it
        if isinstance(error.__cause__, RAISED):
            raise ear.failure(reason(error.__cause__), doing) from None
        raise KafkaFailure("fatal", "_FATAL", f"{doing}: the client gave up") from None
    except TimeoutError:
        raise KafkaFailure("retriable", "_TIMED_OUT", f"{doing}: no answer") from None


def reason(error: Any) -> KafkaError:  # noqa: ANN401 - see RAISED
    """The client's error object in what it raised."""
    found: KafkaError = error.args[0] if isinstance(error, KafkaException) else error
    return found


def start(ear: Ear, make: Callable[[dict[str, Any]], T], *tables: Client) -> T:
    """Make a client from tables of settings, of which the later ones win."""
    settings = {name: value for table in tables for name, value in table.items()}
    try:
        return ask(ear, "client settings", make, settings | ear.settings())
    except (ValueError, TypeError) as error:
        text = ear.plain(f"client settings: {error}")
        raise KafkaFailure("refused", "_INVALID_ARG", text) from None


def place_name(place: TopicPartition) -> str:
    """``topic[partition]``."""
    return f"{place.topic}[{place.partition}]"


def topic_counts(client: Consumer | AdminClient, ear: Ear, timeout: float) -> dict[str, int]:
    """Number of partitions of every topic that may be seen."""
    found = ask(ear, "list topics", client.list_topics, timeout=timeout)
    return {name: len(t.partitions) for name, t in found.topics.items() if t.error is None}
