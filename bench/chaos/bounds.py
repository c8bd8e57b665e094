"""I7: what a worker may take of the machine, read from ``/proc``."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final, NamedTuple

from tests.worker_runs import Worker

RSS_MB: Final = 256.0
FILES: Final = 128
THREADS: Final = 64
LINES: Final = 200  # of its log, whatever happens
LINES_PER_SECOND: Final = 10.0


class Used(NamedTuple):
    """What one worker took, or the most that any did.

    Attributes:
        rss_mb: Peak of its resident memory, 10^6 bytes.
        files: Open file descriptors.
        threads: Of its process.
        lines: Of its log.
        seconds: That it has run.
    """

    rss_mb: float = 0.0
    files: int = 0
    threads: int = 0
    lines: int = 0
    seconds: float = 0.0

    def most(self, other: Used) -> Used:
        """The larger of each."""
        return Used(
            max(self.rss_mb, other.rss_mb),
            max(self.files, other.files),
            max(self.threads, other.threads),
            max(self.lines, other.lines),
            max(self.seconds, other.seconds),
        )


def used_by(worker: Worker) -> Used | None:
    """What a worker takes now; None: it has ended."""
    place = Path("/proc") / str(worker.pid)
    try:
        status = dict(
            line.split(":", 1)
            for line in (place / "status").read_text().splitlines()
            if ":" in line
        )
        files = len(list((place / "fd").iterdir()))
        peak = float(status["VmHWM"].split()[0]) * 1024 / 1e6
    except (OSError, KeyError):  # KeyError: a zombie has no memory
        return None
    seconds = time.monotonic() - worker.started
    return Used(peak, files, int(status["Threads"]), worker.text.count("\n"), seconds)


def beyond(used: Used) -> list[str]:
    """The bounds that it leaves."""
    lines = LINES + LINES_PER_SECOND * used.seconds
    return [
        f"bounds: {what} {value:g}, at most {most:g}"
        for what, value, most in (
            ("RSS in MB", used.rss_mb, RSS_MB),
            ("open files", used.files, FILES),
            ("threads", used.threads, THREADS),
            ("lines of its log", used.lines, lines),
        )
        if value > most
    ]


def queued(worker: Worker) -> float:
    """Seconds that its loop has waited for a CPU which others had; 0: it has ended."""
    try:
        waited = (Path("/proc") / str(worker.pid) / "schedstat").read_text().split()[1]
    except (OSError, IndexError):
        return 0.0
    return int(waited) / 1e9
