"""``python -m bench.soak --minutes 30``: memory of one worker under a steady stream.

Event time runs ten times as fast as the wall clock, so that a window of each partition closes every
second and many windows, snapshots and commits pass. The resident memory is sampled every second;
after a warm-up a straight line through it gives megabytes per hour. Its error comes from the means
of blocks, because neighbouring samples are anything but independent. A slope fails nothing, it is
there to be read; a record that was not profiled does.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import orjson
from confluent_kafka import Producer

from bench.records import Load, generate
from bench.runs import PARTITIONS, Bench, commit, measured, say
from tests.kafka_broker import Kafka

TOPIC = "soak"
FASTER = 10  # event time than the wall clock
FEATURES, MODELS = 20, 5
TURN = 0.1  # seconds between two bursts of the producer
WARM_UP = 0.2  # of all samples
BLOCKS = 10
STOPS_WITHIN = 60.0  # seconds
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Line(NamedTuple):
    """Megabytes per hour, and the standard error of that."""

    slope: float
    error: float


class Feeder(threading.Thread):
    """Writes a load at a steady pace."""

    def __init__(self, bootstrap: str, load: Load, pace: int) -> None:
        super().__init__(daemon=True)
        self._servers, self._load, self._pace = bootstrap, load, pace
        self.halt = threading.Event()
        self.written = False

    def run(self) -> None:
        """Write until all is written or somebody says halt."""
        producer = Producer({"bootstrap.servers": self._servers, "enable.idempotence": True})
        burst = max(1, int(self._pace * TURN))
        begun = time.monotonic()
        for number, (when, value) in enumerate(generate(self._load)):
            if number % burst == 0:
                producer.poll(0)
                due = begun + number / self._pace
                if self.halt.wait(max(0.0, due - time.monotonic())):
                    return
            producer.produce(TOPIC, value, partition=number % PARTITIONS, timestamp=when)
        self.written = producer.flush(60) == 0


def main() -> int:
    """Feed, sample, print; 1 unless every record was profiled."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--pace", type=int, default=2_000, help="records a second")
    parser.add_argument("--out", type=Path, help="results of other parts in it are kept")
    options = parser.parse_args()
    records = int(options.minutes * 60) * options.pace
    load = Load(records, FEATURES, MODELS, per_second=options.pace / FASTER)
    with tempfile.TemporaryDirectory(prefix="soak-") as folder, Kafka() as kafka:
        bench = Bench(kafka.bootstrap, Path(folder))
        bench.fill(TOPIC, None)
        app, config = bench.app(TOPIC)
        log = Path(folder) / "worker.log"
        samples = _soaked(config, log, Feeder(kafka.bootstrap, load, options.pace))
        measured(["-m", "consumer", "run", "--drain", "-c", str(config)])
        bench.require_counted(app, records)
    kept = np.asarray(samples[int(len(samples) * WARM_UP) :])
    line = fit(kept[:, 0], kept[:, 1])
    say(
        f"{records} records in {options.minutes:g} minutes, all of them profiled\n"
        f"{kept[:, 1].mean():.1f} MB on average, {kept[:, 1].min():.1f}-{kept[:, 1].max():.1f}\n"
        f"slope {line.slope:+.2f} MB per hour, standard error {line.error:.2f}"
    )
    if options.out:
        results = orjson.loads(options.out.read_bytes()) if options.out.exists() else {}
        results |= {
            "soak_mb_per_hour": round(line.slope, 2),
            "soak_mb_per_hour_error": round(line.error, 2),
            "soak_minutes": options.minutes,
            "soak_commit": commit(),
        }
        options.out.write_bytes(orjson.dumps(results, option=orjson.OPT_INDENT_2) + b"\n")
    return 0


def _soaked(config: Path, log: Path, feeder: Feeder) -> list[tuple[float, float]]:
    """(Seconds, megabytes) of a worker while it is fed, after which it stops cleanly."""
    command = [sys.executable, "-m", "consumer", "run", "-c", str(config)]
    with log.open("wb") as out:
        worker = subprocess.Popen(command, stdout=out, stderr=out)
    samples: list[tuple[float, float]] = []
    feeder.start()
    try:
        begun = time.monotonic()
        while feeder.is_alive():
            if worker.poll() is not None:
                raise SystemExit(f"the worker ended:\n{log.read_text()[-4000:]}")
            samples.append((time.monotonic() - begun, resident(worker.pid)))
            if len(samples) % 60 == 0:
                say(f"{len(samples) // 60:4} min {samples[-1][1]:8.1f} MB")
            feeder.join(begun + len(samples) - time.monotonic())
        if not feeder.written:
            raise SystemExit("the records could not be written")
        worker.terminate()
        if worker.wait(STOPS_WITHIN) != 0:
            raise SystemExit(f"the worker ended badly:\n{log.read_text()[-4000:]}")
    finally:
        feeder.halt.set()
        if worker.poll() is None:
            worker.kill()
        worker.wait()
        feeder.join()
    return samples


def resident(pid: int) -> float:
    """Resident memory of a process, megabytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE / 1e6


def fit(seconds: np.ndarray, megabytes: np.ndarray) -> Line:
    """Least squares; the error from how far the means of blocks are from a line of their own."""
    hours = seconds / 3600
    slope = float(np.polyfit(hours, megabytes, 1)[0])
    when = np.array([block.mean() for block in np.array_split(hours, BLOCKS)])
    means = np.array([block.mean() for block in np.array_split(megabytes, BLOCKS)])
    residuals = means - np.polyval(np.polyfit(when, means, 1), when)
    spread = float(((when - when.mean()) ** 2).sum())
    return Line(slope, float(np.sqrt((residuals**2).sum() / (BLOCKS - 2) / spread)))


if __name__ == "__main__":
    sys.exit(main())
