"""``python -m bench.chaos.readme``: the README's table of faults from ``bench/chaos.json``."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

ROOT = Path(__file__).parents[2]
README, RESULTS = ROOT / "README.md", ROOT / "bench" / "chaos.json"
BEGIN, END = (
    "<!-- make chaos-readme writes from here -->\n",
    "<!-- make chaos-readme: to here -->\n",
)


def section(found: Mapping[str, Any]) -> str:
    """The table, from the results."""
    versions = ", ".join(f"{name} {number}" for name, number in found["versions"].items())
    table = "".join(
        f"| {row['row']} | {row['fault']} | {row['mode'].replace('_', ' ')} | {row['runs']} | "
        f"{row['violations']} | {row['recovery_s']} s |\n"
        for row in found["rows"]
    )
    absent = "".join(
        f"\nLeft out: {one['fault']} ({one['why']}).\n" for one in found.get("left_out", [])
    )
    return (
        f"Measured at commit {found['commit']} on {found['date']}, {found['cores']} shared cores, "
        f"{versions}. Recovery: from the end of the fault until all that can be closed is "
        f"committed, the slowest run.\n\n"
        f"| row | fault | delivery | runs | violations | recovery |\n"
        f"|---|---|---|---|---|---|\n{table}{absent}"
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
