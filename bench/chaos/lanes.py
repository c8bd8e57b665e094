"""Runs side by side: each lane is a process with a cluster of its own to break."""

from __future__ import annotations

import faulthandler
import multiprocessing
import signal
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from functools import partial
from multiprocessing.util import Finalize
from typing import Final, NamedTuple

from bench.chaos.cluster import Clusters
from bench.chaos.disk import Unavailable
from bench.chaos.rows import Mode, table
from bench.chaos.run import References, Result, run

LONGEST: Final = 900.0  # seconds of a run beside those of the mixed one
TRIES: Final = 2  # of a run that cannot be made: a killed broker may take its load twice
ENDS_WITHIN: Final = 60.0  # seconds of an end, after which its stacks are printed


class Task(NamedTuple):
    """One run to be made."""

    row: int
    mode: Mode
    seed: int


class Done(NamedTuple):
    """What became of a run.

    Attributes:
        task: The run.
        result: None: it could not be made, which says nothing about what is tested.
        error: Why not.
        unavailable: This machine does not allow the fault.
        seconds: That it took.
    """

    task: Task
    result: Result | None
    error: str
    unavailable: bool
    seconds: float


def all_done(tasks: Sequence[Task], jobs: int, minutes: float) -> Iterator[Done]:
    """Make all runs, in their order, ``jobs`` at a time; yields each as it ends.

    Args:
        tasks: The runs.
        jobs: Lanes.
        minutes: Of the mixed run.
    """
    with multiprocessing.get_context("fork").Pool(jobs, _begin) as pool:
        done = pool.imap_unordered(partial(_done, minutes), tasks)
        for _ in tasks:
            yield done.next(timeout=LONGEST + 120 * minutes)
        faulthandler.dump_traceback_later(ENDS_WITHIN)  # says what the end waits for
    faulthandler.cancel_dump_traceback_later()


_clusters = Clusters()
_known = References()


def _begin() -> None:
    """The parent ends a lane by SIGTERM, and its clusters and workers have to end with it."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Finalize(None, _end, exitpriority=10)


def _end() -> None:
    faulthandler.dump_traceback_later(ENDS_WITHIN)
    _clusters.close()


def _done(minutes: float, task: Task) -> Done:
    begun = time.monotonic()
    result, error, unavailable = None, "", False
    for _ in range(TRIES):
        try:
            result = run(table(minutes)[task.row], task.mode, task.seed, _clusters, _known)
            break
        except Unavailable as reason:
            error, unavailable = str(reason), True
            break
        except Exception:  # noqa: BLE001 - it goes on, on a new cluster
            error = traceback.format_exc()
            _clusters.close()
    return Done(task, result, error, unavailable, time.monotonic() - begun)
