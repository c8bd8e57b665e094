"""``make bench``: what the whole worker costs beside the floor, on real Kafka, in one run.

The floor is a loop of ``consume`` and ``orjson.loads`` with the worker's own client settings. Both
are processes of their own, taken in turn; their CPU time includes librdkafka's threads. What
starting costs is measured on an empty topic in the same run and subtracted from both. After each
run of the worker its watermark records must account for every record of the topic.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import orjson
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from bench.records import Load, generate
from consumer.batch import RawBatch
from consumer.kafka import Admin
from consumer.log import WatermarkRecord, decode
from consumer.scan import read_range
from tests.kafka_broker import Kafka

PARTITIONS = 4
PACKAGES = ("confluent-kafka", "numpy", "orjson", "msgspec", "river")
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


class Case(NamedTuple):
    """One comparison; ``key`` is its name in the results."""

    key: str
    features: int
    models: int
    records: int


class Cost(NamedTuple):
    """What a process took: CPU seconds, and its peak of memory in MB."""

    cpu: float
    rss: float


def cases(quick: bool) -> list[Case]:
    """What is compared."""
    scale = 0.15 if quick else 1.0
    full = [
        Case("5", 5, 1, 600_000),
        Case("20", 20, 1, 300_000),
        Case("100", 100, 1, 80_000),
        Case("300", 300, 1, 30_000),
        Case("20x50models", 20, 50, 300_000),
    ]
    return [case._replace(records=int(case.records * scale)) for case in full]


def measured(command: Sequence[str]) -> Cost:
    """Run a process to its end."""
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen([sys.executable, *command], stdout=log, stderr=log)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            log.seek(0)
            raise SystemExit(f"{' '.join(command)} failed:\n{log.read().decode()[-4000:]}")
    return Cost(used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


class Bench:
    """A broker with the topics of all cases, and the processes that read them."""

    def __init__(self, bootstrap: str, folder: Path) -> None:
        self._bootstrap, self._folder = bootstrap, folder
        self._runs = 0
        self._admin = AdminClient({"bootstrap.servers": bootstrap})

    def fill(self, topic: str, case: Case | None) -> None:
        """Make the topic of a case; None: an empty one."""
        for future in self._admin.create_topics([NewTopic(topic, PARTITIONS, 1)]).values():
            future.result()
        if case is None:
            return
        producer = Producer(
            {
                "bootstrap.servers": self._bootstrap,
                "compression.type": "lz4",
                "enable.idempotence": True,
            }
        )
        load = Load(case.records, case.features, case.models, per_second=2_000.0)
        for number, (when, value) in enumerate(generate(load)):
            producer.produce(topic, value, partition=number % PARTITIONS, timestamp=when)
            if number % 10_000 == 0:
                producer.flush(60)
        producer.flush(60)

    def floor(self, topic: str, records: int) -> Cost:
        """The floor over a topic."""
        return measured(["-m", "bench.floor", self._bootstrap, topic, "--records", str(records)])

    def worker(self, topic: str, records: int) -> Cost:
        """The worker over a topic, with its own internal topics; every record must be counted."""
        self._runs += 1
        app = f"bench-{self._runs}"
        config = self._folder / f"{app}.toml"
        config.write_text(CONFIG.format(app=app, bootstrap=self._bootstrap, topic=topic))
        cost = measured(["-m", "consumer", "run", "--drain", "-c", str(config)])
        counted = self._counted(f"{app}-profiles")
        if counted != records:
            raise SystemExit(f"{topic}: {counted} of {records} records were profiled")
        return cost

    def _counted(self, topic: str) -> int:
        client = {"bootstrap.servers": self._bootstrap}
        place = topic, 0  # every partition of the log holds all watermarks
        end = Admin(client).offsets({place: "latest"})[place]
        seen: set[tuple[int, int | None]] = set()
        counted = 0
        batches: Sequence[RawBatch] = list(read_range(client, place, 0, end)) if end else []
        for value in (value for batch in batches for value in batch.values):
            record = decode(value or b"")
            if (
                isinstance(record, WatermarkRecord)
                and (record.partition, record.through) not in seen
            ):
                seen.add((record.partition, record.through))
                counted += record.records
        return counted


def compare(bench: Bench, case: Case, rounds: int, start: tuple[Cost, Cost]) -> dict[str, float]:
    """Floor and worker in turn; medians of CPU microseconds per record, and of their ratio."""
    topic = f"case-{case.key}"
    bench.fill(topic, case)
    floors, workers, ratios = [], [], []
    for _ in range(rounds):
        floor = bench.floor(topic, case.records)
        worker = bench.worker(topic, case.records)
        floors.append((floor.cpu - start[0].cpu) / case.records * 1e6)
        workers.append((worker.cpu - start[1].cpu) / case.records * 1e6)
        ratios.append(workers[-1] / floors[-1])
    return {
        "floor_us": round(statistics.median(floors), 2),
        "worker_us": round(statistics.median(workers), 2),
        "ratio": round(statistics.median(ratios), 2),
        "ratio_min": round(min(ratios), 2),
        "ratio_max": round(max(ratios), 2),
        "rss_mb": round(worker.rss, 1),
    }


def main() -> int:
    """Run all cases, print a table, and the results as JSON on the last line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a smoke run of under two minutes")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    rounds = options.rounds or (1 if options.quick else 5)
    found: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, Kafka() as kafka:
        bench = Bench(kafka.bootstrap, Path(folder))
        bench.fill("empty", None)
        start = bench.floor("empty", 0), bench.worker("empty", 0)
        say(f"starting costs {start[0].cpu:.2f} s (floor), {start[1].cpu:.2f} s (worker) of CPU\n")
        say(f"{'case':>12} {'floor us':>9} {'worker us':>10} {'ratio':>6}  min-max      RSS MB")
        for case in cases(options.quick):
            row = found[case.key] = compare(bench, case, rounds, start)
            say(
                f"{case.key:>12} {row['floor_us']:9.2f} {row['worker_us']:10.2f}"
                f" {row['ratio']:6.2f}  {row['ratio_min']:.2f}-{row['ratio_max']:.2f}"
                f" {row['rss_mb']:11.1f}"
            )
    results = {
        "commit": commit(),
        "date": datetime.now(UTC).date().isoformat(),
        "cores": os.cpu_count(),
        "versions": {"python": platform.python_version()} | {p: version(p) for p in PACKAGES},
        "quick": options.quick,
        "rounds": rounds,
        "worker_over_floor": {key: row["ratio"] for key, row in found.items()},
        "cases": found,
        "bench_rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
    }
    line = orjson.dumps(results).decode()
    if options.out:
        options.out.write_bytes(orjson.dumps(results, option=orjson.OPT_INDENT_2) + b"\n")
    say("\n" + line)
    return 0


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


if __name__ == "__main__":
    sys.exit(main())
