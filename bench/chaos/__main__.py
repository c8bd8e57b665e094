"""``python -m bench.chaos``: the rows asked for, in both modes; 1 if anything was violated."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path

from bench.chaos import results
from bench.chaos.cluster import Clusters
from bench.chaos.disk import Unavailable
from bench.chaos.rows import BOTH, chosen
from bench.chaos.run import References, runs

QUICK = "7,17,25,29"


def main() -> int:
    """Do all runs."""
    parser = argparse.ArgumentParser(prog="python -m bench.chaos", description=__doc__)
    parser.add_argument("--rows", default="", help="1,3,20-24; default: all")
    parser.add_argument("--modes", default=",".join(BOTH))
    parser.add_argument("--runs", type=int, help="of a row over its modes; default: the row's own")
    parser.add_argument("--seed", type=int, default=1, help="of the first run")
    parser.add_argument("--out", type=Path, help="results, merged row by row")
    parser.add_argument("--again", action="store_true", help="also what the results hold already")
    parser.add_argument("--minutes", type=float, default=30.0, help="of the mixed run, each mode")
    parser.add_argument("--quick", action="store_true", help="the few short rows of CI")
    options = parser.parse_args()
    if options.quick:
        options.rows, options.runs = QUICK, 2
    os.environ["PYTHONFAULTHANDLER"] = "1"  # of the workers, for one that hangs
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that everything is ended
    found = results.load(options.out) if options.out else None
    known, failed = References(), 0
    with Clusters() as clusters:
        for row in chosen(options.rows, options.minutes):
            modes = [mode for mode in row.modes if mode in options.modes.split(",")]
            total = options.runs or row.runs
            for number, mode in enumerate(modes):
                count = (total + len(modes) - 1 - number) // len(modes)
                kept = found is not None and results.has(found, row, mode, count)
                if not count or (kept and not options.again):
                    continue
                seeds = range(options.seed, options.seed + count)
                try:
                    done = runs(row, mode, seeds, clusters, known, _say)
                except Unavailable as reason:
                    _say(f"row {row.number} ({row.name}) is left out: {reason}")
                    if found is not None:
                        results.leave_out(found, row, str(reason))
                    break
                entry = results.entry(row, mode, done)
                if row.point and not entry["reached"]:
                    _say(f"row {row.number}, {mode}: {row.point} WAS NEVER REACHED")
                failed += bool(entry["violations"])
                if found is not None:
                    results.merge(options.out, found, entry)
    _say(f"{failed} rows with violations" if failed else "no violation")
    return 1 if failed else 0


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
