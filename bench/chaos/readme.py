"""``python -m bench.chaos.readme``: the README's table of faults from ``bench/chaos.json``."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import orjson

ROOT = Path(__file__).parents[2]
README, RESULTS = ROOT / "README.md", ROOT / "bench" / "chaos.json"
BEGIN, END = (
    "<!-- make chaos-readme writes from here -->\n",
    "<!-- make chaos-readme: to here -->\n",
)


def section(found: Mapping[str, Any]) -> str:
    """The table, from the results: a line for each fault, its runs in each delivery."""
    rows: dict[int, list[Mapping[str, Any]]] = {}
    for row in found["rows"]:
        rows.setdefault(row["row"], []).append(row)
    table = "".join(_line(number, of) for number, of in sorted(rows.items()))
    absent = "".join(
        f"\nLeft out: {one['fault']} ({one['why']}).\n" for one in found.get("left_out", [])
    )
    versions = ", ".join(f"{name} {number}" for name, number in found["versions"].items())
    commits = ", ".join(sorted({commit for row in found["rows"] for commit in row["commits"]}))
    dates = sorted({row["date"] for row in found["rows"]})
    count = sum(row["runs"] for row in found["rows"])
    violations = sum(row["violations"] for row in found["rows"])
    return (
        f"{count} runs, {violations} violations. Measured at commit {commits}, "
        f"{' to '.join(dict.fromkeys([dates[0], dates[-1]]))}, on {found['cores']} shared cores, "
        f"{versions}. Recovery: from the end of the fault until all that can be closed is "
        f"committed, the slowest run and the median; time in which a worker waited for a CPU that "
        f"other programs had is not counted. SIGTERM: the slowest. RSS: the peak of any worker.\n\n"
        f"| row | fault | runs at least once, exactly once | violations | recovery | median "
        f"| SIGTERM | RSS |\n|---|---|---|---|---|---|---|---|\n{table}{absent}"
    )


def _line(number: int, of: Sequence[Mapping[str, Any]]) -> str:
    runs = {row["mode"]: row["runs"] for row in of}
    recoveries = [each for row in of for each in row["recoveries_s"]]
    return (
        f"| {number} | {of[0]['fault']} | {runs.get('at_least_once', '-')}, "
        f"{runs.get('exactly_once', '-')} | {sum(row['violations'] for row in of)} "
        f"| {max(recoveries)} s | {median(recoveries):.1f} s "
        f"| {max(row['stop_s'] for row in of)} s "
        f"| {max(row['rss_mb'] for row in of):.0f} MB |\n"
    )


def rewritten(readme: str, found: Mapping[str, Any] | None) -> str:
    """The README with the table as the results have it; None: there are none, nothing is shown."""
    before, rest = readme.split(BEGIN)
    _, after = rest.split(END)
    shown = "" if found is None else "\n" + section(found) + "\n"
    return before + BEGIN + shown + END + after


def results() -> Mapping[str, Any] | None:
    """What is committed of them."""
    if not RESULTS.exists():
        return None
    found: Mapping[str, Any] = orjson.loads(RESULTS.read_bytes())
    return found


def main() -> int:
    """Rewrite the README."""
    README.write_text(rewritten(README.read_text(), results()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
