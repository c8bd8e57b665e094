"""``make bench``: what streamgauge costs, beside the floor and its peers, in one run."""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import orjson

from bench import delay, delivery, detect, end_to_end, memory, peers, ranks, scaling, stages, wire
from bench.runs import Bench, commit, say
from tests.kafka_broker import Kafka

PACKAGES = ("confluent-kafka", "numpy", "orjson", "msgspec", "river")


class _Part(Protocol):
    def __call__(self, bench: Bench, *, quick: bool, rounds: int) -> dict[str, object]: ...


PARTS: dict[str, _Part] = {
    "end_to_end": end_to_end.run,
    "stages": stages.run,
    "ranks": ranks.run,
    "peers": peers.run,
    "delivery": delivery.run,
    "delay": delay.run,
    "detect": detect.run,
    "wire": wire.run,
    "memory": memory.run,
    "scaling": scaling.run,
}


def main() -> int:
    """Run all parts, print tables, and the results as JSON on the last line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a smoke run of under two minutes")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--only", choices=PARTS, action="append", help="these parts alone")
    parser.add_argument("--out", type=Path, help="what it holds of parts not run is kept")
    options = parser.parse_args()
    rounds = options.rounds or (1 if options.quick else 5)
    old = options.out and options.out.exists()
    before: dict[str, Any] = orjson.loads(options.out.read_bytes()) if old else {}
    kept: dict[str, Any] = {
        key: held
        for key, held in before.items()
        if options.only or key.startswith(("soak", "backlog"))
    }
    results: dict[str, object] = {"soak_mb_per_hour": None} | kept
    results |= {
        "commit": commit(),
        "date": datetime.now(UTC).date().isoformat(),
        "cores": os.cpu_count(),
        "versions": {"python": platform.python_version()} | {p: version(p) for p in PACKAGES},
        "quick": options.quick,
        "rounds": kept.get("rounds", {}) | dict.fromkeys(options.only or PARTS, rounds),
    }
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, Kafka() as kafka:
        bench = Bench(kafka.bootstrap, Path(folder))
        for name in options.only or PARTS:
            say(f"\n=== {name.replace('_', ' ')}\n")
            results |= PARTS[name](bench, quick=options.quick, rounds=rounds)
    if options.out:
        options.out.write_bytes(orjson.dumps(results, option=orjson.OPT_INDENT_2) + b"\n")
    say("\n" + orjson.dumps(results).decode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
