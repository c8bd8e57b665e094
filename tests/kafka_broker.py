"""Real Apache Kafka for tests: one or more nodes of one cluster on loopback.

The jars come from Maven Central into ``.kafka`` beside the tests, or ``$STREAMGAUGE_KAFKA_CACHE``.
Nothing is left behind: a node dies with the thread that started it, whatever ends that.
"""

from __future__ import annotations

import atexit
import ctypes
import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from confluent_kafka import KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from tests.waiting import wait_until

VERSION = "4.4.0"
CLUSTER_ID = "HAljYh8uRKSX6-O10GfFLg"
STARTED_WITHIN = 60.0
PREFIX = "streamgauge-kafka-"
ADMIN = ("admin", "admin-secret")
CACHE = Path(os.environ.get("STREAMGAUGE_KAFKA_CACHE", Path(__file__).parents[1] / ".kafka"))

_POM = f"""\
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>streamgauge</groupId><artifactId>broker-for-tests</artifactId><version>1</version>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{VERSION}</version>
    </dependency>
    <dependency>
      <groupId>org.slf4j</groupId><artifactId>slf4j-nop</artifactId><version>1.7.36</version>
    </dependency>
  </dependencies>
</project>
"""

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


def missing_tools() -> str | None:
    """Why real Kafka cannot run here; None: it can."""
    absent = [name for name in ("java", "mvn") if shutil.which(name) is None]
    if "mvn" in absent and _jars_folder().exists():
        absent.remove("mvn")
    if not absent:
        return None
    return f"{' and '.join(absent)} not found; install Java 17 or later and Maven"


def _jars_folder() -> Path:
    return CACHE / f"libs-{VERSION}"


def jars() -> Path:
    """Folder of Kafka's jars, fetched at the first call; safe beside other processes."""
    folder = _jars_folder()
    if folder.exists():
        return folder
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
                Path(scratch, "pom.xml").write_text(_POM)
                command = ["mvn", "-q", "-B", "dependency:copy-dependencies"]
                options = ["-DincludeScope=runtime", "-DoutputDirectory=libs"]
                subprocess.run([*command, *options], cwd=scratch, check=True)
                Path(scratch, "libs").rename(folder)
    return folder


def free_ports(count: int) -> list[int]:
    """Ports of loopback that were free a moment ago."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def _die_with_parent() -> None:
    # Without it a test run that is killed leaves its nodes behind.
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _sweep() -> None:
    """Delete the data of runs that were killed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*-*"):
        pid = folder.name.removeprefix(PREFIX).partition("-")[0]
        if pid.isdigit() and not Path("/proc", pid).exists() and Path("/proc/self").exists():
            shutil.rmtree(folder, ignore_errors=True)


class Kafka:
    """A cluster of ``nodes`` nodes, numbered from 1, each broker and controller.

    Args:
        nodes: How many.
        settings: Settings of every node that replace those here.
        secured: Every node has a second listener, SASL_PLAINTEXT with SCRAM-SHA-512, on which
            nobody but ``ADMIN`` may do anything that no ACL allows.
        behind: Node -> port of loopback that clients of one more listener are told to use; what
            listens there passes on to ``behind_ports[node]``.
    """

    def __init__(
        self,
        nodes: int = 1,
        settings: Mapping[str, str] | None = None,
        *,
        secured: bool = False,
        behind: Mapping[int, int] | None = None,
    ) -> None:
        _sweep()
        self._folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-"))
        self._secured, self._extra = secured, dict(settings or {})
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self.nodes = range(1, nodes + 1)
        self._behind = dict(behind or {})
        ports = free_ports(3 * nodes + len(self._behind))
        self.behind_ports = dict(zip(self._behind, ports[3 * nodes :], strict=True))
        self._ports = dict(zip(self.nodes, ports[:nodes], strict=True))
        self._secure_ports = dict(zip(self.nodes, ports[nodes : 2 * nodes], strict=True))
        self._controllers = dict(zip(self.nodes, ports[2 * nodes : 3 * nodes], strict=True))
        self.bootstrap = _addresses(self._ports)
        self.secure_bootstrap = _addresses(self._secure_ports) if secured else None
        atexit.register(self.stop)

    def __enter__(self) -> Kafka:
        try:
            for node in self.nodes:
                self._format(node)
            for node in self.nodes:
                self.start(node)
            self.wait_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def pids(self) -> dict[int, int]:
        """Process ids of the nodes that run."""
        return {node: p.pid for node, p in self._processes.items() if p.poll() is None}

    def start(self, node: int) -> None:
        """Start a node that does not run; ``wait_ready`` waits for it."""
        with self._log(node).open("ab") as log:
            self._processes[node] = self._java(
                ["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"],
                ["kafka.Kafka", str(self._properties(node))],
                log.fileno(),
            )

    def kill(self, node: int) -> None:
        """End a node as ``kill -9`` does."""
        process = self._processes.pop(node)
        process.kill()
        process.wait(10)

    def restart(self, node: int) -> None:
        """Start a killed node and wait for it."""
        self.start(node)
        self.wait_ready()

    def wait_ready(self) -> None:
        """Return once every running node is known as a broker; else its log goes into the error."""
        admin = self._admin()

        def known() -> bool:
            for node, process in self._processes.items():
                if process.poll() is not None:
                    raise RuntimeError(f"Kafka node {node} ended:\n{self.log_tail(node)}")
            try:
                return set(self.pids) <= set(admin.list_topics(timeout=1).brokers)
            except KafkaException:
                return False

        try:
            wait_until(known, STARTED_WITHIN, "Kafka is ready")
        except AssertionError as error:
            logs = "\n".join(self.log_tail(node) for node in self._processes)
            raise RuntimeError(f"{error}\n{logs}") from None

    def add_user(self, name: str, password: str) -> dict[str, str]:
        """Make a user without any permission; client settings to log in as that user."""
        assert self.secure_bootstrap is not None
        info = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
        change = UserScramCredentialUpsertion(name, info, password.encode())
        admin = self._admin()
        for future in admin.alter_user_scram_credentials([change]).values():
            future.result(10)
        return {
            "bootstrap.servers": self.secure_bootstrap,
            "security.protocol": "SASL_PLAINTEXT",
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.username": name,
            "sasl.password": password,
        }

    def allow(self, user: str, operation: str, kind: str, name: str) -> None:
        """Let a user do an operation (``READ``) on every ``TOPIC``, ``GROUP``, ... of a prefix."""
        rule = AclBinding(
            ResourceType[kind],
            name,
            ResourcePatternType.PREFIXED,
            f"User:{user}",
            "*",
            AclOperation[operation],
            AclPermissionType.ALLOW,
        )
        admin = self._admin()
        for future in admin.create_acls([rule]).values():
            future.result(10)

    def _admin(self) -> AdminClient:
        return AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})

    def log_tail(self, node: int, lines: int = 60) -> str:
        """The end of a node's log."""
        path = self._log(node)
        return (
            "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
            if path.exists()
            else ""
        )

    def stop(self) -> None:
        """End all nodes and delete their data; a second call does nothing."""
        atexit.unregister(self.stop)
        for process in self._processes.values():
            process.kill()
        for process in self._processes.values():
            process.wait(10)
        self._processes.clear()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _java(self, options: list[str], program: list[str], out: int) -> subprocess.Popen[bytes]:
        command = ["java", *options, "-cp", f"{jars()}/*", *program]
        return subprocess.Popen(
            command,
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_die_with_parent,  # noqa: PLW1509 - it makes one system call
        )

    def _format(self, node: int) -> None:
        self._properties(node).write_text(
            "".join(f"{key}={value}\n" for key, value in self._settings(node).items())
        )
        program = ["kafka.tools.StorageTool", "format", "-t", CLUSTER_ID]
        program += ["-c", str(self._properties(node))]
        if self._secured:
            program += ["--add-scram", "SCRAM-SHA-512=[name={},password={}]".format(*ADMIN)]
        with self._log(node).open("ab") as log:
            tool = self._java(["-Xmx512m", "-XX:TieredStopAtLevel=1"], program, log.fileno())
            self._processes[node] = tool
            status = tool.wait(STARTED_WITHIN)
        if status != 0:
            raise RuntimeError(f"Kafka's storage was not formatted:\n{self.log_tail(node)}")

    def _properties(self, node: int) -> Path:
        return self._folder / f"node-{node}.properties"

    def _log(self, node: int) -> Path:
        return self._folder / f"node-{node}.log"

    def _settings(self, node: int) -> dict[str, str]:
        copies = min(3, len(self.nodes))
        in_sync = str(max(1, copies - 1))
        plain, secure = f"127.0.0.1:{self._ports[node]}", f"127.0.0.1:{self._secure_ports[node]}"
        advertised = f"PLAINTEXT://{plain}" + (f",SECURE://{secure}" if self._secured else "")
        listeners = advertised
        if node in self._behind:
            listeners += f",BEHIND://127.0.0.1:{self.behind_ports[node]}"
            advertised += f",BEHIND://127.0.0.1:{self._behind[node]}"
        voters = ",".join(f"{n}@127.0.0.1:{port}" for n, port in self._controllers.items())
        settings = {
            "process.roles": "broker,controller",
            "node.id": str(node),
            "controller.quorum.voters": voters,
            "listeners": f"{listeners},CONTROLLER://127.0.0.1:{self._controllers[node]}",
            "advertised.listeners": advertised,
            "inter.broker.listener.name": "PLAINTEXT",
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": (
                "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SECURE:SASL_PLAINTEXT,BEHIND:PLAINTEXT"
            ),
            "log.dirs": str(self._folder / f"data-{node}"),
            "num.partitions": "4",
            "default.replication.factor": str(copies),
            "min.insync.replicas": in_sync,
            "auto.create.topics.enable": "false",
            # Short, so that a test of an expired member or transaction need not wait.
            "group.initial.rebalance.delay.ms": "0",
            "group.min.session.timeout.ms": "1000",
            "transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
            "offsets.topic.replication.factor": str(copies),
            "offsets.topic.num.partitions": "4",
            "transaction.state.log.replication.factor": str(copies),
            "transaction.state.log.min.isr": in_sync,
            "transaction.state.log.num.partitions": "4",
            "share.coordinator.state.topic.replication.factor": str(copies),
            "share.coordinator.state.topic.min.isr": in_sync,
            "log.cleaner.dedupe.buffer.size": "2097152",
            "log.initial.task.delay.ms": "1000",
            # A node that was killed may come back once its last session has expired.
            "broker.session.timeout.ms": "3000",
            "broker.heartbeat.interval.ms": "500",
        }
        if self._secured:
            settings |= {
                "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
                "super.users": f"User:ANONYMOUS;User:{ADMIN[0]}",
                "listener.name.secure.sasl.enabled.mechanisms": "SCRAM-SHA-512",
                "listener.name.secure.scram-sha-512.sasl.jaas.config": (
                    "org.apache.kafka.common.security.scram.ScramLoginModule required;"
                ),
            }
        return settings | self._extra


def _addresses(ports: Mapping[int, int]) -> str:
    return ",".join(f"127.0.0.1:{port}" for port in ports.values())
