"""``make profile``: where the worker's time goes, by function and by module.

The worker reads a generated topic of a real Kafka to its end under cProfile, and once more without
it for the true CPU time. The same is done on an empty topic, and what starting takes is subtracted
everywhere. cProfile reads the wall clock, so calls that wait for Kafka are told apart. It sees the
main thread alone and makes short functions look dearer than they are: its shares say where to look,
the CPU time without it says whether a change helped.
"""

from __future__ import annotations

import argparse
import pstats
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from bench.records import Load
from bench.runs import Bench, measured, say
from tests.kafka_broker import Kafka

ROOTS = [path for path in sorted(set(sys.path), key=len, reverse=True) if len(path) > 1]
WAITING = ("cimpl.Consumer", "cimpl.Producer", "AdminClient", "time.sleep", "acquire")
Function = tuple[str, int, str]


class Times(NamedTuple):
    """Calls, and seconds in the function itself and with all that it called."""

    calls: float = 0.0
    own: float = 0.0
    total: float = 0.0

    def __sub__(self, other: Times) -> Times:
        pairs = zip(self, other, strict=True)
        return Times(*(max(0.0, mine - theirs) for mine, theirs in pairs))


def main() -> int:
    """Fill, run, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--features", type=int, default=20)
    parser.add_argument("--models", type=int, default=1)
    parser.add_argument("--records", type=int, default=200_000)
    parser.add_argument("--rows", type=int, default=40, help="functions to list")
    parser.add_argument("--keep", type=Path, help="where to write the profile for other programs")
    options = parser.parse_args()
    load = Load(options.records, options.features, options.models, per_second=2_000.0)
    with tempfile.TemporaryDirectory(prefix="profile-") as folder, Kafka() as kafka:
        bench = Bench(kafka.bootstrap, Path(folder))
        bench.fill("empty", None)
        bench.fill("full", load)
        start, whole = bench.worker("empty", 0)[0], bench.worker("full", load.records)[0]
        kept = options.keep or Path(folder) / "full.prof"
        before = _profiled(bench, "empty", 0, Path(folder) / "empty.prof")
        found = _profiled(bench, "full", load.records, kept)
    scale = 1e6 / load.records
    times = {name: spent - before.get(name, Times()) for name, spent in found.items()}
    say(
        f"\n{load.records} records of {load.features} features, {load.models} models\n"
        f"{(whole.cpu - start.cpu) * scale:.2f} us of CPU a record without the profiler, all "
        f"threads, after {start.cpu:.2f} s for starting"
    )
    _print(times, scale, options.rows)
    return 0


def _profiled(bench: Bench, topic: str, records: int, stats: Path) -> dict[Function, Times]:
    """Times of every function while a new app reads a topic to its end."""
    app, config = bench.app(topic)
    command = ["-m", "cProfile", "-o", str(stats), "-m", "consumer", "run", "--drain"]
    measured([*command, "-c", str(config)])
    bench.require_counted(app, records)
    entries = pstats.Stats(str(stats)).stats.items()  # type: ignore[attr-defined]
    return {name: Times(calls, own, total) for name, (_, calls, own, total, _) in entries}


def _print(times: dict[Function, Times], scale: float, rows: int) -> None:
    """Both tables."""
    waits = {name for name in times if _waits(name)}
    all_own = sum(spent.own for name, spent in times.items() if name not in waits)
    waited = sum(times[name].own for name in waits)
    say(
        f"{all_own * scale:.2f} us a record under the profiler, and {waited * scale:.2f} in calls "
        "that wait, which have no share below\n"
    )
    modules: dict[str, float] = {}
    for name, spent in times.items():
        if name not in waits:
            modules[_module(name)] = modules.get(_module(name), 0.0) + spent.own
    say(f"{'own us':>8} {'share':>6}  module")
    for module in sorted(modules, key=lambda module: -modules[module])[: rows // 2]:
        own = modules[module]
        say(f"{own * scale:8.3f} {own / all_own:6.1%}  {module}")
    say(f"\n{'own us':>8} {'share':>6} {'total us':>9} {'calls':>9}  function (calls a record)")
    for name in sorted(times, key=lambda name: -times[name].own)[:rows]:
        spent = times[name]
        share = "waits" if name in waits else f"{spent.own / all_own:.1%}"
        say(
            f"{spent.own * scale:8.3f} {share:>6} {spent.total * scale:9.3f}"
            f" {spent.calls * scale / 1e6:9.4f}  {_where(name)}"
        )


def _waits(name: Function) -> bool:
    """Whether it is a call that may wait: of the Kafka client, or for a time."""
    return name[0] == "~" and any(word in name[2] for word in WAITING)


def _module(name: Function) -> str:
    """The file below its import root, packages that are not ours as a whole."""
    file = name[0]
    if file == "~":
        return "built-in functions"
    for root in ROOTS:
        if file.startswith(root):
            below = Path(file).relative_to(root)
            ours = below.parts[0] in {"consumer", "sketches", "alerts"}
            return str(below) if ours else below.parts[0]
    return file


def _where(name: Function) -> str:
    file, line, function = name
    return function if file == "~" else f"{_module(name)}:{line} {function}"


if __name__ == "__main__":
    sys.exit(main())
