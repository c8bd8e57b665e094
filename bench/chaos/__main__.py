"""``python -m bench.chaos``: the rows asked for, in both modes; 1 if anything was violated."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from itertools import count
from pathlib import Path

from bench.chaos.lanes import Done, Task, all_done
from bench.chaos.results import Results, commit
from bench.chaos.rows import BOTH, Mode, Row, chosen

QUICK = "7,25,29"
ROUNDS = 10


def main() -> int:
    """Do all runs."""
    options = parser().parse_args()
    if options.quick:
        options.rows, options.modes, options.runs = QUICK, "exactly_once", 1
    os.environ["PYTHONFAULTHANDLER"] = "1"  # of the workers, for one that hangs
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that everything is ended
    rows = chosen(options.rows, options.minutes)
    results = Results(options.out, commit())
    tasks = missing(rows, options, results)
    _say(f"{len(tasks)} runs to make")
    violated, errors = set[int](), 0
    for done in all_done(tasks, min(options.jobs, max(1, len(tasks))), options.minutes):
        row = next(one for one in rows if one.number == done.task.row)
        if done.result is None:
            errors += not done.unavailable
            if done.unavailable:
                results.leave_out(row, done.error)
        else:
            entry = results.add(row, done.task.mode, done.task.seed, done.result)
            violated |= {row.number} if entry["violations"] else set()
        _say(_told(row, done))
    _say(f"{len(tasks)} runs, {errors} of them could not be made")
    _say(f"violations in rows {sorted(violated)}" if violated else "no violation")
    return 1 if violated or errors else 0


def parser() -> argparse.ArgumentParser:
    """What may be asked for."""
    options = argparse.ArgumentParser(prog="python -m bench.chaos", description=__doc__)
    options.add_argument("--rows", default="", help="1,3,20-24; default: all")
    options.add_argument("--modes", default=",".join(BOTH))
    options.add_argument("--runs", type=int, help="of a row over its modes; default: the row's own")
    options.add_argument("--seed", type=int, default=1, help="of the first run")
    options.add_argument(
        "--jobs", type=int, default=3, help="runs side by side; most of one is waiting"
    )
    options.add_argument("--out", type=Path, help="results, which grow run by run")
    options.add_argument("--again", action="store_true", help="also what the results hold already")
    options.add_argument("--minutes", type=float, default=30.0, help="of the mixed run, each mode")
    options.add_argument("--quick", action="store_true", help="the few short rows of CI")
    return options


def missing(rows: list[Row], options: argparse.Namespace, results: Results) -> list[Task]:
    """The runs that are missing; every row's share alike, and few changes of cluster.

    A row whose mode has ten runs gets one in each of ten rounds, one with fifteen one or two.
    """
    found: list[tuple[tuple[int, str, int, int], Task]] = []
    for row in rows:
        modes = [mode for mode in row.modes if mode in options.modes.split(",")]
        for mode in modes:
            if options.again:
                results.forget(row, mode)
            done = results.seeds(row, mode)
            if not done:
                results.forget(row, mode)
            # Runs that are asked for are of the modes asked for; a row's own are of all its modes.
            own = options.runs is None
            wanted = _share(row.runs, row.modes, mode) if own else _share(options.runs, modes, mode)
            seeds = (seed for seed in count(options.seed) if seed not in done)
            for at, seed in zip(range(len(done), wanted), seeds, strict=False):
                place = ROUNDS * at // wanted, row.cluster, row.number, at
                found.append((place, Task(row.number, mode, seed)))
    return [task for _, task in sorted(found)]


def _share(runs: int, modes: Sequence[Mode], mode: Mode) -> int:
    """Runs of one mode, of so many over all; the first modes have those that are left over."""
    each, more = divmod(runs, len(modes))
    return each + (modes.index(mode) < more)


def _told(row: Row, done: Done) -> str:
    """One run in words; a failing one says how to repeat it."""
    task, result = done.task, done.result
    name = f"row {row.number} ({row.name}), {task.mode}, seed {task.seed}"
    if result is None:
        what = "is left out" if done.unavailable else "could not be made"
        return f"{name}: {what} ({done.seconds:.0f} s): {done.error}"
    missed = ["its failpoint was never reached"] if row.point and not result.reached else []
    wrong = [*result.violations, *missed]
    verdict = f"{len(wrong)} VIOLATIONS" if wrong else "ok"
    lines = [
        f"{name}: {verdict}; recovered in {result.recovery:.1f} s "
        f"({result.wall:.1f} s with waits for a CPU), SIGTERM {result.stop:.1f} s, "
        f"RSS {result.used.rss_mb:.0f} MB, {done.seconds:.0f} s in all",
        *(f"  {text}" for text in wrong),
    ]
    if wrong:
        again = f"--rows {row.number} --modes {task.mode} --runs 1 --seed {task.seed}"
        lines.append(f"  again: python -m bench.chaos {again}")
    return "\n".join(lines)


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
