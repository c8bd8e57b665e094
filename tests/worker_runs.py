"""One app against real Kafka: its configuration, its worker processes, and what its topics hold."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import orjson
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    NewPartitions,
    NewTopic,
)

from alerts.events import Event, to_message
from consumer.kafka import Admin
from consumer.log import LogRecord, ProfileRecord, WatermarkRecord, decode
from consumer.scan import read_range
from consumer.settings import Settings, load
from sketches import codec
from tests.waiting import wait_until

ROOT = Path(__file__).parents[1]
START = 1_767_225_600_000  # 2026-01-01T00:00:00Z in milliseconds

Setting = str | int | bool

_CONFIG = """\
app = "{app}"
learn_for = "20s"
learn_records = 2000

[kafka]
"bootstrap.servers" = "{bootstrap}"
"session.timeout.ms" = 2500
"heartbeat.interval.ms" = 500
"topic.metadata.refresh.interval.ms" = 1000
"topic.metadata.propagation.max.ms" = 2000

[topics]
create = true
profile_partitions = 2

[inputs.one]
topics = ["{topic}"]
window = "1s"
lateness = "2s"
idle_after = "5min"
"""


class Worker:
    """One process of ``python -m consumer`` and what it said."""

    def __init__(self, command: list[str], log: Path, environment: Mapping[str, str]) -> None:
        self._log = log
        self.started = time.monotonic()
        with log.open("wb") as out:
            self._process = subprocess.Popen(
                command, stdout=out, stderr=out, stdin=subprocess.DEVNULL, cwd=ROOT, env=environment
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def text(self) -> str:
        """All that it has written."""
        return self._log.read_text(errors="replace")

    def events(self, message: str) -> list[dict[str, Any]]:
        """Its log lines of one message."""
        lines = [line for line in self.text.splitlines() if line.startswith("{")]
        told: list[dict[str, Any]] = []
        for line in lines:
            try:
                told.append(orjson.loads(line))
            except orjson.JSONDecodeError:  # not yet written to its end
                continue
        return [one for one in told if one["message"] == message]

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def says(self, message: str, within: float = 20.0, times: int = 1) -> None:
        """Wait for a message of its log."""

        def told() -> bool:
            return len(self.events(message)) >= times or not self.alive

        wait_until(told, within, f"the worker says {message!r}; it said:\n{self.text}")
        assert len(self.events(message)) >= times, self.text

    def ended(self, within: float = 30.0) -> int:
        """Its exit status (negative: the signal that ended it), once it has ended."""
        try:
            return self._process.wait(within)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still runs after {within:g} s:\n{self.text}") from None

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def stop(self, within: float = 15.0) -> int:
        """End it as an orchestrator does; its exit status."""
        self._process.terminate()
        return self.ended(within)

    def kill(self) -> None:
        """End it without any chance to react, if it runs still."""
        if self.alive:
            self._process.kill()
        self._process.wait(10)


class Message(NamedTuple):
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: dict[str, bytes]


@dataclass
class App:
    """An app, its input topic and its workers; leaving it ends all of them.

    Attributes:
        bootstrap: Where Kafka is.
        name: Of the app.
        topic: Input topic.
        folder: For its files.
        overrides: Settings that differ from those above, as flags name them.
    """

    bootstrap: str
    name: str
    topic: str
    folder: Path
    overrides: dict[str, Setting] = field(default_factory=dict)
    workers: list[Worker] = field(default_factory=list)
    _kept: dict[str, list[Message]] | None = None

    def __enter__(self) -> App:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.workers:
            worker.kill()

    @cached_property
    def config(self) -> Path:
        path = self.folder / f"{self.name}.toml"
        path.write_text(_CONFIG.format(app=self.name, bootstrap=self.bootstrap, topic=self.topic))
        return path

    @cached_property
    def settings(self) -> Settings:
        return load(self.config, self._flags(self.overrides), environ={})

    @cached_property
    def admin(self) -> AdminClient:
        return AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})

    @staticmethod
    def _flags(overrides: Mapping[str, Setting]) -> list[str]:
        plain = {True: "true", False: "false"}
        return [
            f"{name}={plain[value] if isinstance(value, bool) else value}"
            for name, value in overrides.items()
        ]

    def command(
        self, *words: str, failpoint: str = "", also: Mapping[str, Setting] | None = None
    ) -> Worker:
        """Start any command of streamgauge with this configuration; ``also``: further settings."""
        flags = self._flags({**self.overrides, **(also or {})})
        command = [sys.executable, "-m", "consumer", *words, "-c", str(self.config)]
        command += [word for flag in flags for word in ("--set", flag)]
        environment = {k: v for k, v in os.environ.items() if not k.startswith("STREAMGAUGE_")}
        log = self.folder / f"{self.name}-{len(self.workers)}.log"
        worker = Worker(command, log, environment | {"STREAMGAUGE_FAILPOINT": failpoint})
        self.workers.append(worker)
        return worker

    def run(
        self, *flags: str, failpoint: str = "", also: Mapping[str, Setting] | None = None
    ) -> Worker:
        return self.command("run", *flags, failpoint=failpoint, also=also)

    def drain(self, also: Mapping[str, Setting] | None = None, within: float = 60.0) -> Worker:
        """Read all there is, close it, exit."""
        worker = self.run("--drain", also=also)
        assert worker.ended(within) == 0, worker.text
        assert "Traceback" not in worker.text
        return worker

    def audited(self) -> dict[str, Any]:
        """What ``streamgauge audit --json`` says; its exit status agrees with it."""
        worker = self.command("audit", "--json")
        status = worker.ended(60)
        assert status in {0, 1}, worker.text
        report: dict[str, Any] = orjson.loads(worker.text)
        assert status == bool(report["violations"]), worker.text
        return report

    # --- topics ---------------------------------------------------------------------------------

    def make_topic(
        self, partitions: int, name: str | None = None, copies: int = 1, **config: str
    ) -> None:
        """``config``: settings of the topic, _ for the dot; the times of its records are old."""
        kept = {"retention.ms": "-1"}
        dotted = kept | {key.replace("_", "."): value for key, value in config.items()}
        new = NewTopic(name or self.topic, partitions, copies, config=dotted)
        for future in self.admin.create_topics([new]).values():
            future.result(20)
        everywhere = lambda: (name or self.topic) in self.admin.list_topics(timeout=5).topics  # noqa: E731
        wait_until(everywhere, 20, "the topic is there")

    def delete_topic(self, name: str) -> None:
        for future in self.admin.delete_topics([name]).values():
            future.result(20)

    def add_partitions(self, total: int) -> None:
        for future in self.admin.create_partitions([NewPartitions(self.topic, total)]).values():
            future.result(20)

    def cut(self, partition: int, before: int) -> None:
        """Delete all records before an offset."""
        place = TopicPartition(self.topic, partition, before)
        for future in self.admin.delete_records([place]).values():
            future.result(20)

    def feed(self, records: Iterable[tuple[int, int, bytes | None]]) -> int:
        """Write (partition, time in milliseconds, value); how many."""
        producer = Producer(
            {"bootstrap.servers": self.bootstrap, "linger.ms": 5, "enable.idempotence": True}
        )
        count = 0
        for partition, when, value in records:
            producer.produce(self.topic, value, partition=partition, timestamp=when)
            count += 1
            if count % 10_000 == 0:
                producer.flush(30)
        assert producer.flush(30) == 0
        return count

    def tell(self, *events: Event) -> None:
        """Write alert events, as a worker does."""
        producer = Producer({"bootstrap.servers": self.bootstrap, "partitioner": "murmur2_random"})
        for event in events:
            key, value, headers = to_message(event, self.name)
            producer.produce(self.settings.alerts_topic, value, key, headers=[*headers])
        assert producer.flush(20) == 0

    @contextmanager
    def at_rest(self) -> Iterator[None]:
        """Nobody writes while this lasts: each topic is read once."""
        self._kept = {}
        try:
            yield
        finally:
            self._kept = None

    def read(self, topic: str) -> list[Message]:
        """All that a topic holds, partition by partition."""
        if self._kept is None:
            return self._read(topic)
        if topic not in self._kept:
            self._kept[topic] = self._read(topic)
        return self._kept[topic]

    def _read(self, topic: str) -> list[Message]:
        client = self.settings.kafka
        admin = Admin(client)
        count = admin.topics().get(topic, 0)
        found: list[Message] = []
        for number in range(count):
            place = topic, number
            low, high = (admin.offsets({place: end})[place] for end in ("earliest", "latest"))
            for raw in read_range(client, place, low, high, passes_by=topic == self.topic):
                for offset, key, value, headers in zip(
                    raw.offsets.tolist(), raw.keys, raw.values, raw.headers, strict=True
                ):
                    named = {name: each or b"" for name, each in headers or ()}
                    found.append(Message(number, offset, key, value, named))
        return found

    def alerts(self) -> dict[str, bytes]:
        """Event id -> bytes; equal ids must have equal bytes."""
        found: dict[str, bytes] = {}
        for message in self.read(self.settings.alerts_topic):
            value = message.value or b""
            name = orjson.loads(value)["id"]
            assert found.setdefault(name, value) == value, f"{name} was published twice, otherwise"
        return found

    def replayed(self, *flags: str) -> dict[str, bytes]:
        """What ``streamgauge replay`` makes of the whole topic under this app's name."""
        out = self.folder / "replayed.jsonl"
        source = f"topic:{self.topic}"
        worker = self.command("replay", source, "--out", str(out), "--quiet", *flags)
        assert worker.ended(60) == 0, worker.text
        return {orjson.loads(line)["id"]: line for line in out.read_bytes().splitlines()}

    def of_type(self, kind: str) -> list[dict[str, Any]]:
        """Alert events of one type."""
        events = [orjson.loads(value) for value in self.alerts().values()]
        return [event for event in events if event["type"] == kind]

    def log(self) -> dict[int, list[LogRecord]]:
        """The profiles log by partition."""
        found: dict[int, list[LogRecord]] = defaultdict(list)
        for message in self.read(self.settings.profiles_topic):
            found[message.partition].append(decode(message.value or b""))
        return found

    def watermarks(self, log_partition: int = 0) -> dict[int, list[WatermarkRecord]]:
        """Input partition -> its watermarks, as one partition of the log has them, in order."""
        found: dict[int, list[WatermarkRecord]] = defaultdict(list)
        for record in self.log()[log_partition]:
            if isinstance(record, WatermarkRecord) and record.topic == self.topic:
                found[record.partition].append(record)
        return found

    def announced(self) -> dict[int, int]:
        """Input partition -> records and rejects that its watermarks add up to.

        Exact where no worker was disturbed: a repetition may join other closings.
        """
        return {
            partition: sum(mark.records + sum(mark.rejects.values()) for mark in told)
            for partition, told in self.watermarks().items()
        }

    def counted(self) -> dict[int, int]:
        """Input partition -> records and rejects in its profiles, each profile taken once.

        Fails if a repetition says something else, or if the watermarks leave a hole.
        """
        for partition, told in self.watermarks().items():
            through: int | None = None
            for mark in told:
                start = mark.previous
                assert start is None or (through is not None and start <= through), (
                    f"a hole after {through} in {partition}: {mark}"
                )
                if mark.through is not None:
                    through = mark.through if through is None else max(through, mark.through)
        parts: dict[tuple[Any, ...], dict[int, bytes]] = defaultdict(dict)
        for records in self.log().values():
            for each in records:
                if isinstance(each, ProfileRecord) and each.topic == self.topic:
                    name = each.partition, each.end, each.model, each.version, each.segment
                    held = parts[name].setdefault(each.part, each.payload)
                    assert held == each.payload, f"{name} was published with two contents"
        totals: Counter[int] = Counter()
        for name, payloads in parts.items():
            profile = codec.decode([payloads[part] for part in sorted(payloads)])
            totals[name[0]] += profile.records + sum(profile.rejects.values())
        return dict(totals)


def record(when: int, **named: Any) -> bytes:
    """One prediction; ``when`` in milliseconds."""
    return orjson.dumps({"event_time": when, "model": "m", "version": "1", **named})


def steady(
    count: int, partition: int = 0, start: int = 0, per_second: int = 10, **named: Any
) -> list[tuple[int, int, bytes | None]]:
    """``count`` plain predictions of one partition; ``start`` in seconds after ``START``."""
    return [
        (partition, when, record(when, features={"x": float(number % 7)}, **named))
        for number in range(count)
        for when in [START + start * 1000 + number * 1000 // per_second]
    ]
