"""Peak memory of the whole worker by models, features and open windows.

Each point is a process of its own that reads a topic of a real Kafka to its end as fast as it can,
learns the baselines of all models and watches them for most of the log. What Python, the libraries
and the client take is told apart, from a process that finds nothing to read.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from bench.records import Load
from bench.runs import Bench, say

WINDOW = 10  # seconds
WINDOWS = 30  # of event time in a log, or twice those that stay open
LEARN = {"learn_for": "60s", "learn_records": "500"}
TARGETS = {"1x100": 220.0, "100x50": 450.0}


class Point(NamedTuple):
    """What a worker has to hold; ``lateness`` in windows is what stays open."""

    models: int
    features: int
    records: int
    lateness: int = 1

    @property
    def key(self) -> str:
        """Its name in the results."""
        late = f" {self.lateness} windows late" if self.lateness > 1 else ""
        return f"{self.models}x{self.features}{late}"

    @property
    def load(self) -> Load:
        """Its log."""
        seconds = WINDOW * max(WINDOWS, 2 * self.lateness)
        return Load(self.records, self.features, self.models, self.records / seconds)


POINTS = (
    Point(1, 20, 100_000),
    Point(1, 100, 60_000),
    Point(1, 300, 30_000),
    Point(20, 50, 150_000),
    Point(100, 20, 150_000),
    Point(100, 50, 150_000),
    Point(1, 100, 60_000, lateness=60),
    Point(20, 50, 150_000, lateness=60),
)
QUICK = (Point(1, 20, 10_000), Point(5, 20, 10_000, lateness=60))


def run(bench: Bench, *, quick: bool, rounds: int) -> dict[str, object]:
    """All points; megabytes by name."""
    points = QUICK if quick else POINTS
    bench.fill("memory-empty", None)
    for number, point in enumerate(points):
        bench.fill(f"memory-{number}", point.load)
    start = _peak(bench, "memory-empty", 0, {})
    peaks: dict[str, list[float]] = {point.key: [] for point in points}
    for _ in range(min(rounds, 3)):
        for number, point in enumerate(points):
            settings = {
                **LEARN,
                "inputs.bench.window": f"{WINDOW}s",
                "inputs.bench.lateness": f"{point.lateness * WINDOW}s",
            }
            peaks[point.key].append(_peak(bench, f"memory-{number}", point.records, settings))
    say(f"{start:.1f} MB with nothing to read\n")
    say(f"{'models x features':>24} {'peak MB':>8} {'min-max':>13}")
    for key, found in peaks.items():
        target = f"  (target: at most {TARGETS[key]:.0f})" if key in TARGETS else ""
        say(
            f"{key:>24} {statistics.median(found):8.1f} {min(found):6.1f}-{max(found):6.1f}{target}"
        )
    medians = {key: round(statistics.median(found), 1) for key, found in peaks.items()}
    return {
        "rss_mb": {key: megabytes for key, megabytes in medians.items() if key in TARGETS},
        "memory": {"all_rss_mb": medians, "start_rss_mb": round(start, 1)},
    }


def _peak(bench: Bench, topic: str, records: int, settings: Mapping[str, str]) -> float:
    """Megabytes that one worker over a topic held at most."""
    app, config = bench.app(topic)
    command = [sys.executable, "-m", "consumer", "run", "--drain", "-c", str(config)]
    for name, value in settings.items():
        command += ["--set", f"{name}={value}"]
    peak = 0.0
    with tempfile.TemporaryFile() as log:
        worker = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            # Not of ``wait4``, whose peak begins with that of the process that started this one.
            while worker.poll() is None:
                peak = max(peak, _high_water(worker.pid))
                time.sleep(0.02)
        finally:
            if worker.poll() is None:
                worker.kill()
                worker.wait()
        if worker.returncode:
            log.seek(0)
            raise SystemExit(f"the worker failed:\n{log.read().decode()[-4000:]}")
    bench.require_counted(app, records)
    return peak


def _high_water(pid: int) -> float:
    """Peak of a process's resident memory so far, megabytes; 0 once it has ended."""
    with Path(f"/proc/{pid}/status").open() as status:
        kilobytes = next((line.split()[1] for line in status if line.startswith("VmHWM")), "0")
    return int(kilobytes) / 1024
