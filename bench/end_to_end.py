"""What the whole worker costs beside the floor, both over the same topics of a real Kafka.

The floor is a loop of ``consume`` and ``orjson.loads`` with the worker's own client settings. Both
are processes of their own, taken in turn; their CPU time includes librdkafka's threads. What
starting costs is measured on an empty topic in the same run and subtracted from both. After each
run of the worker its watermark records must account for every record of the topic.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import NamedTuple

from bench.records import Load
from bench.runs import Bench, Cost, say


class Case(NamedTuple):
    """One comparison; ``key`` is its name in the results."""

    key: str
    features: int
    models: int
    records: int
    compression: str = "lz4"
    per_second: float = 20_000.0  # of event time, over all models: a topic where cost matters


CASES = (
    Case("5", 5, 1, 600_000),
    Case("20", 20, 1, 400_000),
    Case("100", 100, 1, 100_000),
    Case("300", 300, 1, 30_000),
    Case("20x50models", 20, 50, 400_000),
    Case("20 uncompressed", 20, 1, 400_000, "none"),
    # What a window costs, whatever is in it, counts for more where its records are few.
    Case("20x50models slow", 20, 50, 200_000, per_second=2_000.0),
)


def run(bench: Bench, *, quick: bool, rounds: int) -> dict[str, object]:
    """All cases; the numbers by name."""
    bench.fill("empty", None)
    start = _start(bench, rounds)
    say(
        f"starting costs {start[0].cpu:.2f} s (floor), {start[1].cpu:.2f} s (worker) of CPU; "
        "below it is subtracted\n"
    )
    say(f"{'case':>16} {'floor us':>9} {'worker us':>10} {'ratio':>6}  min-max")
    found: dict[str, dict[str, float]] = {}
    for case in CASES:
        few = case._replace(records=case.records // 7) if quick else case
        row = found[case.key] = _compare(bench, few, rounds, start)
        say(
            f"{case.key:>16} {row['floor_us']:9.2f} {row['worker_us']:10.2f}"
            f" {row['ratio']:6.2f}  {row['ratio_min']:.2f}-{row['ratio_max']:.2f}"
        )
    ratios = {key: row["ratio"] for key, row in found.items()}
    return {"worker_over_floor": ratios, "end_to_end": found}


def _start(bench: Bench, rounds: int) -> tuple[Cost, Cost]:
    """Medians of what floor and worker take for nothing."""
    both = [(bench.floor("empty", 0), bench.worker("empty", 0)[0]) for _ in range(rounds)]
    floors, workers = zip(*both, strict=True)
    return _median(floors), _median(workers)


def _median(costs: Sequence[Cost]) -> Cost:
    return Cost(*map(statistics.median, zip(*costs, strict=True)))


def _compare(bench: Bench, case: Case, rounds: int, start: tuple[Cost, Cost]) -> dict[str, float]:
    """Floor and worker in turn; medians of microseconds per record, and of their ratio."""
    topic = f"case-{case.key.replace(' ', '-')}"
    load = Load(case.records, case.features, case.models, per_second=case.per_second)
    bench.fill(topic, load, compression=case.compression)
    floors, workers, ratios, walls = [], [], [], []
    for _ in range(rounds):
        floor = bench.floor(topic, case.records)
        worker, _ = bench.worker(topic, case.records)
        floors.append((floor.cpu - start[0].cpu) / case.records * 1e6)
        workers.append((worker.cpu - start[1].cpu) / case.records * 1e6)
        ratios.append(workers[-1] / floors[-1])
        walls.append((worker.wall - start[1].wall) / (floor.wall - start[0].wall))
    return {
        "records": case.records,
        "floor_us": round(statistics.median(floors), 2),
        "worker_us": round(statistics.median(workers), 2),
        "ratio": round(statistics.median(ratios), 2),
        "ratio_min": round(min(ratios), 2),
        "ratio_max": round(max(ratios), 2),
        "wall_ratio": round(statistics.median(walls), 2),
    }
