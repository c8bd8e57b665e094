"""``chaos.json``: one entry for each row and mode, kept while the code is the same."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import orjson

from bench.chaos.rows import Mode, Row
from bench.chaos.run import Result
from tests.kafka_broker import VERSION

ROOT = Path(__file__).parents[2]


def commit() -> str:
    """Short name of the commit, with ``+`` where files differ from it."""
    git = ["git", "-C", str(ROOT)]
    name = subprocess.run(
        [*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True
    ).stdout.strip()
    dirty = subprocess.run([*git, "diff", "--quiet", "HEAD"], check=False).returncode
    return name + ("+" if dirty else "")


def load(path: Path) -> dict[str, Any]:
    """What the file holds of this commit; else an empty result."""
    now = commit()
    if path.exists():
        found: dict[str, Any] = orjson.loads(path.read_bytes())
        if found.get("commit") == now and not now.endswith("+"):
            return found
    names = ("confluent-kafka", "numpy", "orjson", "msgspec")
    return {
        "commit": now,
        "date": datetime.now(UTC).date().isoformat(),
        "versions": {
            "python": platform.python_version(),
            "kafka": VERSION,
            **{name: version(name) for name in names},
        },
        "cores": os.cpu_count(),
        "rows": [],
    }


def has(found: dict[str, Any], row: Row, mode: Mode, count: int) -> bool:
    """Whether that row has been done so often, without a violation."""
    return any(
        (one["row"], one["mode"]) == (row.number, mode)
        and one["runs"] >= count
        and not one["violations"]
        for one in found["rows"]
    )


def entry(row: Row, mode: Mode, results: list[Result]) -> dict[str, Any]:
    """A row of the file; a failpoint that was never reached is a violation."""
    violations = sum(len(result.violations) for result in results)
    told: dict[str, Any] = {
        "row": row.number,
        "fault": row.name,
        "mode": mode,
        "runs": len(results),
        "violations": violations,
        "recovery_s": round(max(result.recovery for result in results), 1),
        "recovery_median_s": round(median(result.recovery for result in results), 1),
        "stop_s": round(max(result.stop for result in results), 1),
        "bound_s": row.bound,
    }
    if row.point:
        told["reached"] = sum(result.reached for result in results)
        told["violations"] += not told["reached"]
    return told


def leave_out(found: dict[str, Any], row: Row, why: str) -> None:
    """Note a row that this machine does not allow."""
    others = [one for one in found.setdefault("left_out", []) if one["row"] != row.number]
    found["left_out"] = [*others, {"row": row.number, "fault": row.name, "why": why}]


def merge(path: Path, found: dict[str, Any], new: dict[str, Any]) -> None:
    """Put an entry in its place and write the file."""
    others = [o for o in found["rows"] if (o["row"], o["mode"]) != (new["row"], new["mode"])]
    found["rows"] = sorted([*others, new], key=lambda one: (one["row"], one["mode"]))
    path.write_bytes(orjson.dumps(found, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
