"""What exactly once costs beside at least once: the whole worker over one topic, in turn.

The topic holds a backlog, so that a checkpoint covers as much as it can; and a slow one, where what
a transaction costs counts for more, because each covers little. What starting costs is measured on
an empty topic in both ways and subtracted. Broker CPU is not counted.
"""

from __future__ import annotations

import statistics
from typing import NamedTuple

from bench.records import Load
from bench.runs import Bench, say

MODES = ("at_least_once", "exactly_once")


class Case(NamedTuple):
    """One load of 20 features; ``key`` is its name in the results."""

    key: str
    records: int
    models: int = 1
    per_second: float = 20_000.0  # of event time


CASES = (Case("20", 400_000), Case("20x50models slow", 200_000, 50, 2_000.0))


def run(bench: Bench, *, quick: bool, rounds: int) -> dict[str, object]:
    """All cases; the numbers by name."""
    bench.fill("delivery-empty", None)
    start = dict.fromkeys(MODES, 0.0)
    for mode in MODES:
        costs = [_cpu(bench, "delivery-empty", 0, mode) for _ in range(rounds)]
        start[mode] = statistics.median(costs)
    say(f"{'case':>16} {'at least us':>12} {'exactly us':>11} {'ratio':>6}  min-max")
    found: dict[str, dict[str, float]] = {}
    for case in CASES:
        records = case.records // 7 if quick else case.records
        topic = f"delivery-{case.key.replace(' ', '-')}"
        bench.fill(topic, Load(records, 20, case.models, per_second=case.per_second))
        rows: list[tuple[float, float]] = []
        for _ in range(rounds):
            least, exactly = (
                (_cpu(bench, topic, records, mode) - start[mode]) / records * 1e6 for mode in MODES
            )
            rows.append((least, exactly))
        ratios = [exactly / least for least, exactly in rows]
        row = found[case.key] = {
            "records": records,
            "at_least_once_us": round(statistics.median(least for least, _ in rows), 2),
            "exactly_once_us": round(statistics.median(exactly for _, exactly in rows), 2),
            "ratio": round(statistics.median(ratios), 3),
            "ratio_min": round(min(ratios), 3),
            "ratio_max": round(max(ratios), 3),
        }
        say(
            f"{case.key:>16} {row['at_least_once_us']:12.2f} {row['exactly_once_us']:11.2f}"
            f" {row['ratio']:6.3f}  {row['ratio_min']:.3f}-{row['ratio_max']:.3f}"
        )
    return {"delivery": found}


def _cpu(bench: Bench, topic: str, records: int, mode: str) -> float:
    cost, _ = bench.worker(topic, records, {"delivery": mode})
    return cost.cpu
