"""A broker with topics of generated records, and processes that read them, to their end."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from bench.records import Load, generate
from consumer.batch import RawBatch
from consumer.kafka import Admin
from consumer.log import WatermarkRecord, decode
from consumer.scan import read_range

PARTITIONS = 4
CONFIG = """\
app = "{app}"
learn_for = "60s"
learn_records = 5000

[kafka]
"bootstrap.servers" = "{bootstrap}"

[topics]
create = true
profile_partitions = 4

[inputs.bench]
topics = ["{topic}"]
idle_after = "5min"
"""


class Cost(NamedTuple):
    """What a process took: seconds of CPU with all its threads, and seconds."""

    cpu: float
    wall: float


class Bench:
    """A broker's topics and the processes that read them.

    Args:
        bootstrap: Where Kafka is.
        folder: For configuration files.
    """

    def __init__(self, bootstrap: str, folder: Path) -> None:
        self.bootstrap = bootstrap
        self.folder = folder
        self._runs = 0
        self._admin = AdminClient({"bootstrap.servers": bootstrap})

    def fill(
        self,
        topic: str,
        load: Load | None,
        partitions: int = PARTITIONS,
        compression: str = "lz4",
    ) -> None:
        """Make a topic and write a load to its partitions in turn; None: it stays empty."""
        # The times of the records are long ago: kept, whatever the broker thinks of that.
        new = NewTopic(topic, partitions, 1, config={"retention.ms": "-1"})
        for future in self._admin.create_topics([new]).values():
            future.result()
        if load is None:
            return
        producer = Producer(
            {
                "bootstrap.servers": self.bootstrap,
                "compression.type": compression,
                "enable.idempotence": True,
            }
        )
        for number, (when, value) in enumerate(generate(load)):
            producer.produce(topic, value, partition=number % partitions, timestamp=when)
            if number % 10_000 == 0:
                producer.flush(60)
        if producer.flush(60):
            raise SystemExit(f"{topic}: not every record could be written")

    def floor(self, topic: str, records: int) -> Cost:
        """The floor over a topic."""
        return measured(["-m", "bench.floor", self.bootstrap, topic, "--records", str(records)])

    def worker(
        self, topic: str, records: int, settings: Mapping[str, str] | None = None
    ) -> tuple[Cost, str]:
        """One worker over a topic to its end, and the name of its app.

        Its internal topics are new. Every record must be counted in its watermarks.

        Args:
            topic: What it reads.
            records: Of the topic.
            settings: Further settings, as ``--set`` names them.
        """
        app, config = self.app(topic)
        command = ["-m", "consumer", "run", "--drain", "-c", str(config)]
        for name, value in (settings or {}).items():
            command += ["--set", f"{name}={value}"]
        cost = measured(command)
        self.require_counted(app, records)
        return cost, app

    def app(self, topic: str) -> tuple[str, Path]:
        """Name and configuration of a new app that reads a topic."""
        self._runs += 1
        app = f"bench-{self._runs}"
        config = self.folder / f"{app}.toml"
        config.write_text(CONFIG.format(app=app, bootstrap=self.bootstrap, topic=topic))
        return app, config

    def require_counted(self, app: str, records: int) -> None:
        """End the bench unless an app's watermarks account for so many records."""
        counted = self._counted(f"{app}-profiles")
        if counted != records:
            raise SystemExit(f"{app}: {counted} of {records} records were profiled")

    def _counted(self, topic: str) -> int:
        seen: set[tuple[int, int | None]] = set()
        counted = 0
        for value in self.values(topic, 0):  # every partition of the log holds all watermarks
            record = decode(value)
            if (
                isinstance(record, WatermarkRecord)
                and (record.partition, record.through) not in seen
            ):
                seen.add((record.partition, record.through))
                counted += record.records
        return counted

    def values(self, topic: str, partition: int) -> list[bytes]:
        """All values that a partition holds."""
        client = {"bootstrap.servers": self.bootstrap}
        place = topic, partition
        end = Admin(client).offsets({place: "latest"})[place]
        batches: Sequence[RawBatch] = list(read_range(client, place, 0, end)) if end else []
        return [value for batch in batches for value in batch.values if value is not None]


def measured(command: Sequence[str]) -> Cost:
    """Run a Python process to its end; it must succeed."""
    with tempfile.TemporaryFile() as log:
        begun = time.monotonic()
        process = subprocess.Popen([sys.executable, *command], stdout=log, stderr=log)
        _, status, used = os.wait4(process.pid, 0)
        wall = time.monotonic() - begun
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            log.seek(0)
            raise SystemExit(f"{' '.join(command)} failed:\n{log.read().decode()[-4000:]}")
    return Cost(used.ru_utime + used.ru_stime, wall)


def commit() -> str:
    """Short hash of the commit that is measured."""
    found = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    )
    return found.stdout.strip()


def say(text: str) -> None:
    """Print at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
