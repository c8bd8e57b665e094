"""Client settings under their librdkafka names: our defaults, and what they may not become."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from consumer.kafka_settings import Value

Table = dict[str, Value]

BATCH: Final = 10_000  # records read at once

# What the user's [kafka] table may change ...
COMMON: Final[Table] = {
    "client.id": "streamgauge",
    "log_level": 6,  # down to lost connections; nothing is printed, see kafka_failures.Ear
    # New partitions, and new topics of a regular expression, are seen within this time.
    "topic.metadata.refresh.interval.ms": 30_000,
    "reconnect.backoff.max.ms": 2_000,
    # A connection that silently leads nowhere is given up after so long; the client waits a minute.
    "socket.timeout.ms": 15_000,
}
READ: Final[Table] = {
    "session.timeout.ms": 10_000,
    "heartbeat.interval.ms": 3_000,
    "max.poll.interval.ms": 120_000,
    "check.crcs": True,
    # The client's own default of a second stalls a fast reader whenever its queue was full.
    "fetch.queue.backoff.ms": 10,
    "fetch.wait.max.ms": 100,
    "queued.min.messages": 20_000,
    "queued.max.messages.kbytes": 8_192,
    "fetch.max.bytes": 8_388_608,
    "receive.message.max.bytes": 16_777_216,
}
WRITE: Final[Table] = {
    "compression.type": "lz4",
    "linger.ms": 20,
    "partitioner": "murmur2_random",
}
# ... and what it may not: whether every record counts once depends on these.
READ_ALWAYS: Final[Table] = {
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "auto.offset.reset": "error",
    "isolation.level": "read_committed",
    "enable.partition.eof": False,
}
GROUP_ALWAYS: Final[Table] = READ_ALWAYS | {
    "partition.assignment.strategy": "cooperative-sticky",
}
# Kafka 4's group protocol: the broker decides these.
_BROKERS: Final = {
    "session.timeout.ms",
    "heartbeat.interval.ms",
    "partition.assignment.strategy",
}
WRITE_ALWAYS: Final[Table] = {
    "enable.idempotence": True,
    "acks": "all",
    "delivery.report.only.error": True,
}


def read(client: Mapping[str, Value]) -> Table:
    """Our defaults for reading with the user's client settings."""
    return _fit(READ, client)


def group_always(client: Mapping[str, Value]) -> Table:
    """What the user may not change for a member of a group."""
    return _fit(GROUP_ALWAYS, client)


def transaction(client: Mapping[str, Value], name: str) -> Table:
    """What a transactional producer of that name adds.

    A transaction must end before the session of its member does: else the next owner of the
    partitions waits for it.
    """
    session = int(client.get("session.timeout.ms", READ["session.timeout.ms"]))
    longest = int(client.get("transaction.timeout.ms", min(8_000, session * 8 // 10)))
    mine: Table = {"transactional.id": name, "transaction.timeout.ms": longest}
    # The client refuses to wait for an answer longer than a transaction may last.
    silent = min(int(COMMON["socket.timeout.ms"]), longest)
    return mine if "socket.timeout.ms" in client else mine | {"socket.timeout.ms": silent}


def _fit(table: Table, client: Mapping[str, Value]) -> Table:
    if client.get("group.protocol", "classic") == "classic":
        return table
    return {name: value for name, value in table.items() if name not in _BROKERS}
