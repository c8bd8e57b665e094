"""The clusters of an invocation: each is started when a row needs it and kept for the next."""

from __future__ import annotations

import os
import signal
from contextlib import ExitStack
from typing import Final, Literal

from confluent_kafka.admin import AdminClient

from bench.chaos.disk import Disk
from bench.chaos.proxy import Proxy
from tests.kafka_broker import Kafka
from tests.waiting import wait_until

Kind = Literal["one", "three", "small"]  # small: one node, a disk that can be full
DISK: Final = 96  # megabytes
SETTLED_WITHIN = 60.0  # seconds


class Cluster:
    """Kafka with a proxy before each node.

    Attributes:
        kafka: The nodes.
        proxies: Node -> what stands before it.
        bootstrap: For the harness, past the proxies.
        proxied: For workers.
        disk: Of the node of a small one.
    """

    def __init__(self, kind: Kind, stack: ExitStack) -> None:
        nodes = 3 if kind == "three" else 1
        self.disk = stack.enter_context(Disk(DISK)) if kind == "small" else None
        data = {} if self.disk is None else {"log.dirs": str(self.disk.path / "data")}
        self.proxies = {node: Proxy() for node in range(1, nodes + 1)}
        for proxy in self.proxies.values():
            stack.callback(proxy.close)
        ports = {node: proxy.port for node, proxy in self.proxies.items()}
        self.kafka = stack.enter_context(Kafka(nodes, data, behind=ports))
        for node, proxy in self.proxies.items():
            proxy.target = self.kafka.behind_ports[node]
        self.bootstrap = self.kafka.bootstrap
        self.proxied = ",".join(f"127.0.0.1:{port}" for port in ports.values())

    @property
    def admin(self) -> AdminClient:
        """A client of its own: one that has seen its broker die asks coordinators in vain."""
        client: dict[str, str | int | float | bool] = {
            "bootstrap.servers": self.bootstrap,
            "socket.timeout.ms": 10_000,
            "log_level": 0,
        }
        return AdminClient(client)

    def stop_cleanly(self, node: int) -> None:
        """End a node by SIGTERM, as a restart does."""
        pid = self.kafka.pids[node]
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: node not in self.kafka.pids, 30, f"node {node} ends")

    def leader(self, topic: str, partition: int) -> int:
        """Node that leads a partition."""
        found: int = (
            self.admin.list_topics(topic, timeout=10).topics[topic].partitions[partition].leader
        )
        return found

    def heal(self) -> None:
        """All nodes up, every partition led and in sync, nothing between."""
        for proxy in self.proxies.values():
            proxy.heal()
        if self.disk is not None:
            self.disk.free()
        for node in self.kafka.nodes:
            if node not in self.kafka.pids:
                self.kafka.start(node)
        self.kafka.wait_ready()

        admin = self.admin

        def in_sync() -> bool:
            topics = admin.list_topics(timeout=10).topics.values()
            parts = [part for topic in topics for part in topic.partitions.values()]
            return all(p.leader > 0 and len(p.isrs) == len(p.replicas) for p in parts)

        wait_until(in_sync, SETTLED_WITHIN, "every partition is in sync", 0.2)


class Clusters:
    """At most one, of the kind that was asked for last: the machine is small."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._started: dict[Kind, Cluster] = {}

    def close(self) -> None:
        """End it; the next one that is asked for is new."""
        stack, self._stack, self._started = self._stack, ExitStack(), {}
        stack.close()

    def get(self, kind: Kind) -> Cluster:
        """A cluster of that kind, healthy."""
        if kind not in self._started:
            self.close()
            self._started = {kind: Cluster(kind, self._stack)}
        self._started[kind].heal()
        return self._started[kind]
