"""``chaos.json``: one entry for each row and mode, which grows run by run."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Iterable, Mapping, Sequence
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
    dirty = subprocess.run(
        [*git, "diff", "--quiet", "HEAD", "--", ".", ":!bench/chaos.json"], check=False
    ).returncode
    return name + ("+" if dirty else "")


class Results:
    """What the file holds, and this invocation adds.

    Args:
        path: Of the file; it is written after each addition. None: nothing is kept.
        commit: Of the code that runs now.
    """

    def __init__(self, path: Path | None, commit: str) -> None:
        self._path, self._commit = path, commit
        names = ("confluent-kafka", "numpy", "orjson", "msgspec")
        self.found: dict[str, Any] = {"rows": [], "left_out": []}
        if path is not None and path.exists():
            self.found |= orjson.loads(path.read_bytes())
        self._now: dict[str, Any] = {
            "commit": commit,
            "date": datetime.now(UTC).date().isoformat(),
            "versions": {
                "python": platform.python_version(),
                "kafka": VERSION,
                **{name: version(name) for name in names},
            },
            "cores": os.cpu_count(),
        }

    def seeds(self, row: Row, mode: Mode) -> frozenset[int]:
        """Those that were run without a violation, of that row in that mode."""
        held = self._held(row, mode)
        return frozenset(held["seeds"]) if held and not held["violations"] else frozenset()

    def forget(self, row: Row, mode: Mode) -> None:
        """The entry begins anew: what was run before says nothing of the code as it is now."""
        held = self._held(row, mode)
        if held is not None:
            self.found["rows"].remove(held)

    def add(self, row: Row, mode: Mode, seed: int, result: Result) -> dict[str, Any]:
        """One more run; the entry that it belongs to."""
        held = self._held(row, mode)
        if held is not None:
            self.found["rows"].remove(held)
        new = entry(row, mode, {seed: result}, self._commit, self._now["date"], held)
        self.found["rows"] = sorted([*self.found["rows"], new], key=_place)
        self.found["left_out"] = self._left_out_but(row)
        self._write()
        return new

    def leave_out(self, row: Row, why: str) -> None:
        """Note a row that this machine does not allow."""
        told = {"row": row.number, "fault": row.name, "why": why}
        self.found["left_out"] = [*self._left_out_but(row), told]
        self._write()

    def _left_out_but(self, row: Row) -> list[dict[str, Any]]:
        return [one for one in self.found["left_out"] if one["row"] != row.number]

    def _held(self, row: Row, mode: Mode) -> dict[str, Any] | None:
        rows: Sequence[dict[str, Any]] = self.found["rows"]
        return next((one for one in rows if _place(one) == (row.number, mode)), None)

    def _write(self) -> None:
        if self._path is None:
            return
        head = {**self._now, "left_out": self.found["left_out"]}
        rows = ",\n".join("    " + orjson.dumps(row).decode() for row in self.found["rows"])
        told = orjson.dumps(head, option=orjson.OPT_INDENT_2).decode().removesuffix("\n}")
        self._path.write_text(f'{told},\n  "rows": [\n{rows}\n  ]\n}}\n')


def _place(held: Mapping[str, Any]) -> tuple[int, str]:
    return held["row"], held["mode"]


def entry(
    row: Row,
    mode: Mode,
    results: Mapping[int, Result],
    commit: str,
    date: str,
    held: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """An entry of the file; a run in which the failpoint was not reached has a violation.

    Args:
        row: What was done.
        mode: Delivery.
        results: Seed -> its run.
        commit: Of the code.
        date: Of these runs.
        held: The entry of runs before these; they count too.
    """
    before: Mapping[str, Any] = held or {}
    recoveries = [
        *before.get("recoveries_s", ()),
        *(round(r.recovery, 1) for r in results.values()),
    ]
    missed = sum(not one.reached for one in results.values()) if row.point else 0
    violations = sum(len(one.violations) for one in results.values()) + missed
    told: dict[str, Any] = {
        "row": row.number,
        "fault": row.name,
        "mode": mode,
        "runs": len(recoveries),
        "violations": before.get("violations", 0) + violations,
        "recovery_s": max(recoveries),
        "recovery_median_s": round(median(recoveries), 1),
        "recovery_wall_s": _most(before, "recovery_wall_s", (r.wall for r in results.values())),
        "bound_s": row.bound,
        "stop_s": _most(before, "stop_s", (one.stop for one in results.values())),
        "rss_mb": _most(before, "rss_mb", (one.used.rss_mb for one in results.values())),
        "commits": sorted({*before.get("commits", ()), commit}),
        "date": date,
        "seeds": [*before.get("seeds", ()), *results],
        "recoveries_s": recoveries,
    }
    if row.point:
        reached = sum(one.reached for one in results.values())
        told["reached"] = before.get("reached", 0) + reached
    return told


def _most(before: Mapping[str, Any], name: str, values: Iterable[float]) -> float:
    held: float = before.get(name, 0.0)
    return max(held, *(round(value, 1) for value in values))
