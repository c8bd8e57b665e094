"""``python -m bench.backlog``: a worker that may take 256 MB reads five million waiting records.

The limit is one of a memory control group (version 1 or 2) where one can be made: the kernel ends a
worker that needs more. Where none can, the peak of its resident memory is held against the limit.
Every record must be profiled.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

import orjson

from bench.records import Load
from bench.runs import Bench, commit, say
from tests.kafka_broker import Kafka

TOPIC: Final = "backlog"
LIMIT_MB: Final = 256
MIB: Final = 1 << 20
LOOK_EVERY: Final = 0.1  # seconds
LOAD: Final = Load(5_000_000, features=3, models=2, per_second=10_000.0)
ROOTS: Final = (  # of control groups: version 1, then 2
    (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes", "memory.max_usage_in_bytes"),
    (Path("/sys/fs/cgroup"), "memory.max", "memory.peak"),
)


class Taken(NamedTuple):
    """What the worker took.

    Attributes:
        limit: Who holds the limit.
        peak_mb: Of the control group, with the kernel's buffers; without one, of the process.
        rss_mb: Peak of the process, MiB.
        cpu_s: Seconds of CPU.
        seconds: Until all was read and closed.
    """

    limit: str
    peak_mb: float
    rss_mb: float
    cpu_s: float
    seconds: float


class Group:
    """A control group of our own."""

    def __init__(self, place: Path, peak: str) -> None:
        self._place, self._peak = place, peak

    def join(self) -> None:
        """The process that calls this is in it from now on."""
        (self._place / "cgroup.procs").write_text(str(os.getpid()))

    @property
    def peak(self) -> float:
        """The most that it ever took, MiB."""
        return int((self._place / self._peak).read_text()) / MIB


@contextmanager
def limited(megabytes: int) -> Iterator[Group | None]:
    """A control group that may take so much; None: none can be made here."""
    for root, limit, peak in ROOTS:
        place = root / f"streamgauge-{os.getpid()}"
        try:
            place.mkdir()
        except OSError:
            continue
        try:
            with suppress(OSError):
                (place / limit).write_text(str(megabytes * MIB))
                if int((place / limit).read_text()) == megabytes * MIB:
                    yield Group(place, peak)
                    return
        finally:
            place.rmdir()
    yield None


def resident(pid: int) -> float:
    """Peak of a process's resident memory, MiB; 0: it has ended."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) / 1024 if found else 0.0


def read_out(config: Path, megabytes: int) -> Taken:
    """One worker until nothing is left.

    Raises:
        SystemExit: It ended otherwise, or took too much; the text says what it said.
    """
    command = [sys.executable, "-m", "consumer", "run", "--drain", "-c", str(config)]
    with tempfile.TemporaryFile() as log, limited(megabytes) as group:
        begun = time.monotonic()
        worker = subprocess.Popen(
            command,
            stdout=log,
            stderr=log,
            preexec_fn=group.join if group else None,  # noqa: PLW1509 - it writes one file
        )
        try:
            rss = 0.0
            while not (ended := os.wait4(worker.pid, os.WNOHANG))[0]:
                rss = max(rss, resident(worker.pid))
                time.sleep(LOOK_EVERY)
        except BaseException:
            worker.kill()
            worker.wait()
            raise
        _, status, used = ended
        worker.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.monotonic() - begun
        log.seek(0)
        said = log.read().decode(errors="replace")[-4000:]
        if worker.returncode:
            raise SystemExit(f"the worker ended with {worker.returncode}:\n{said}")
        peak = group.peak if group else rss
        if peak > megabytes:
            raise SystemExit(f"the worker took {peak:.0f} MB, at most {megabytes}:\n{said}")
        who = "control group" if group else "watched"
        cpu = used.ru_utime + used.ru_stime
        return Taken(who, round(peak, 1), round(rss, 1), round(cpu, 1), round(seconds, 1))


def main() -> int:
    """Fill, read, print; a failure ends it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=LOAD.records)
    parser.add_argument("--megabytes", type=int, default=LIMIT_MB)
    parser.add_argument("--out", type=Path, help="results of other parts in it are kept")
    options = parser.parse_args()
    load = Load(options.records, LOAD.features, LOAD.models, LOAD.per_second)
    with tempfile.TemporaryDirectory(prefix="backlog-") as folder, Kafka() as kafka:
        bench = Bench(kafka.bootstrap, Path(folder))
        bench.fill(TOPIC, load)
        app, config = bench.app(TOPIC)
        taken = read_out(config, options.megabytes)
        bench.require_counted(app, options.records)
    say(
        f"{options.records} records under {options.megabytes} MB ({taken.limit}), all profiled: "
        f"{taken.seconds:.0f} s, {taken.cpu_s:.0f} s of CPU, "
        f"peak {taken.peak_mb:.0f} MB, {taken.rss_mb:.0f} MB resident"
    )
    if options.out:
        results = orjson.loads(options.out.read_bytes()) if options.out.exists() else {}
        results["backlog"] = {
            "records": options.records,
            "limit_mb": options.megabytes,
            **taken._asdict(),
            "commit": commit(),
            "date": datetime.now(UTC).date().isoformat(),
        }
        options.out.write_bytes(orjson.dumps(results, option=orjson.OPT_INDENT_2) + b"\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
