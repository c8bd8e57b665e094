"""What the profile stage costs record by record, from bytes in memory, beside ``orjson.loads``.

Records come as from a topic of 4 partitions, in batches of 1,250 of each. Batch by batch the same
bytes are parsed by ``orjson.loads`` alone, decoded, added to windows and profiled, and what was
closed is encoded for the log. Times are CPU of one thread, the garbage collector is set as in the
worker. Every case is a process of its own in every round, and what is measured is its second pass:
how much memory a process has to fetch anew from the system changes these times by a third.

The parts of windows and profiles are measured in a pass of their own, in which the functions of
``PARTS`` are wrapped: each counts without the parts that it calls, and what none of them takes is
``other`` (borders, keys, kinds, and the freeing of records that are profiled).
"""

from __future__ import annotations

import gc
import statistics
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial, wraps
from time import thread_time_ns
from typing import Any, NamedTuple

import numpy as np
import orjson

from bench.records import Load, generate
from bench.runs import PARTITIONS, Bench, say
from consumer.batch import Batch, RawBatch
from consumer.borders import BorderRule
from consumer.closings import Closing, Place, combine, log_records
from consumer.decoders import decoder_for
from consumer.kafka_defaults import BATCH
from consumer.launch import GC_THRESHOLD
from consumer.log import encode
from consumer.profile_stage import PartitionProfiler
from consumer.rules import profile_rules_for
from consumer.settings import InputSettings, Settings
from sketches import categories, layers, numbers, profile, tables
from sketches.profile import CHUNK
from sketches.table import FloatArray

TOPIC = "bench"
ROWS = BATCH // PARTITIONS  # what is read at once comes from all partitions
REPEATS = 20
STAGES = ("loads", "decode", "profile", "encode")
PARTS: dict[str, tuple[Callable[..., Any], ...]] = {
    "histogram": (layers.build,),
    "moments": (numbers.build_all,),  # with extremes, zeros and the copy that both need
    "categories": (categories.count, categories.count_words),
    "tables": (tables.concatenate, tables.take, tables.interleave),
    "merging": (profile.merge,),
}


class Case(NamedTuple):
    """One load; ``key`` is its name in the results."""

    key: str
    features: int
    models: int
    records: int


CASES = (
    Case("20", 20, 1, 80_000),
    Case("100", 100, 1, 40_000),
    Case("20x50models", 20, 50, 80_000),
)


class Found(NamedTuple):
    """What one process found.

    Attributes:
        costs: Stage -> microseconds of CPU per record.
        shares: Part of windows and profiles -> its share of them.
        histogram: Nanoseconds per value of a chunk's histograms, with the extremes that they need.
        numbers: Nanoseconds per value of all that is kept of numbers.
    """

    costs: dict[str, float]
    shares: dict[str, float]
    histogram: float
    numbers: float


def run(bench: Bench, *, quick: bool, rounds: int) -> dict[str, object]:
    """All cases in turn in every round; the numbers by name."""
    rounds_of: dict[str, list[Found]] = {case.key: [] for case in CASES}
    for _ in range(rounds):
        for case in CASES:
            records = case.records // 8 if quick else case.records
            rounds_of[case.key].append(measured(load_of(records, case.features, case.models)))
    rows = {key: _row(found) for key, found in rounds_of.items()}
    _print(rows)
    every = [one for found in rounds_of.values() for one in found]
    histograms = [one.histogram for one in every]
    both = statistics.median(one.numbers for one in every)
    say(
        f"\nhistograms of 20 features x {CHUNK} values: {statistics.median(histograms):.1f} ns"
        f" per value ({min(histograms):.1f}-{max(histograms):.1f}); with moments {both:.1f} ns"
    )
    return {
        "stages": rows,
        "histogram_ns_per_value": round(statistics.median(histograms), 2),
        "numbers_ns_per_value": round(both, 2),
    }


def measured(load: Load) -> Found:
    """Measure in a process of its own."""
    command = [sys.executable, "-m", "bench.stages"]
    command += [str(size) for size in (load.records, load.features, load.models)]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{process.stderr[-4000:]}")
    return Found(**orjson.loads(process.stdout))


def main() -> None:
    """Measure one load, given as records, features and models; print a ``Found`` as JSON."""
    records, features, models = (int(size) for size in sys.argv[1:])
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD, 20, 20)
    stages = _Stages(load_of(records, features, models))
    stages.costs()  # a worker that has been running for a while has its shapes and its memory
    costs, shares = stages.costs(), stages.shares()
    columns = _number_columns(20)
    found = Found(costs, shares, _histogram_ns(columns), _numbers_ns(columns))
    say(orjson.dumps(found._asdict()).decode())


def load_of(records: int, features: int, models: int = 1) -> Load:
    """As in the runs of whole workers: 5,000 records in a window of a partition."""
    return Load(records, features, models, per_second=2_000.0)


def _batches(load: Load) -> list[RawBatch]:
    """The records of a load as they are read from partitions that were written in turn."""
    records = list(generate(load))
    found = []
    for first in range(0, len(records), PARTITIONS * ROWS):
        for partition in range(PARTITIONS):
            mine = records[first + partition : first + PARTITIONS * ROWS : PARTITIONS]
            times = np.array([when for when, _ in mine], np.int64) * 1_000
            offsets = np.arange(len(mine), dtype=np.int64) + first // PARTITIONS
            found.append(RawBatch(TOPIC, partition, offsets, times, [value for _, value in mine]))
    return [raw for raw in found if raw.values]


class _Stages:
    """The stages over one load, as often as asked."""

    def __init__(self, load: Load) -> None:
        one = InputSettings(name="bench", topics=(TOPIC,))
        self._settings = Settings(app="bench", kafka={}, inputs=(one,))
        self._input = one
        self._records = load.records
        self._raw = _batches(load)
        self._decoders = [decoder_for(self._settings, one, TOPIC) for _ in range(PARTITIONS)]

    def costs(self) -> dict[str, float]:
        """Microseconds per record by stage."""
        spent = self._pass(None)
        return {stage: spent[stage] / self._records / 1_000 for stage in STAGES}

    def shares(self) -> dict[str, float]:
        """Part of windows and profiles -> its share of them."""
        clock = _PartClock()
        with clock.wrapped():
            whole = self._pass(clock)["profile"]
        found = {part: clock.spent[part] / whole for part in PARTS}
        return found | {"other": 1 - sum(found.values())}

    def _pass(self, clock: _PartClock | None) -> Counter[str]:
        """Nanoseconds by stage; every record must be counted in a profile."""
        spent: Counter[str] = Counter()
        counted = 0
        profilers = [self._profiler(partition) for partition in range(PARTITIONS)]
        for raw in self._raw:
            profiler = profilers[raw.partition]
            begun = thread_time_ns()
            for value in raw.values:
                orjson.loads(value or b"")
            spent["loads"] += thread_time_ns() - begun
            begun = thread_time_ns()
            batch = self._decoders[raw.partition](raw)
            spent["decode"] += thread_time_ns() - begun
            counted += self._profile(profiler, batch, spent, clock)
        for profiler in profilers:
            counted += self._profile(profiler, None, spent, clock)
        if counted != self._records:
            raise SystemExit(f"stages: {counted} of {self._records} records were profiled")
        return spent

    def _profile(
        self,
        profiler: PartitionProfiler,
        batch: Batch | None,
        spent: Counter[str],
        clock: _PartClock | None,
    ) -> int:
        """Add a batch (None: close all windows) and encode what was closed; its records."""
        if clock is not None:
            clock.counts = True
        begun = thread_time_ns()
        if batch is None:
            profiler.drain(profiler.position)
        else:
            profiler.add(batch)
        closings = profiler.take()
        spent["profile"] += thread_time_ns() - begun
        if clock is not None:
            clock.counts = False
        begun = thread_time_ns()
        if closings:
            self._encode(closings, profiler.partition)
        spent["encode"] += thread_time_ns() - begun
        return sum(closing.records for closing in closings)

    def _encode(self, closings: Sequence[Closing], partition: int) -> None:
        place = Place("bench", TOPIC, partition, PARTITIONS, self._input.window, PARTITIONS)
        for _, _, record in log_records(combine(closings), place):
            encode(record)

    def _profiler(self, partition: int) -> PartitionProfiler:
        one, settings = self._input, self._settings
        return PartitionProfiler(
            TOPIC,
            partition,
            BorderRule(one.window, one.lateness, settings.limits.open_windows),
            cache(partial(profile_rules_for, settings)),
            0,
            None,
            settings.border_settings(one),
            settings.limits,
        )


class _PartClock:
    """CPU of the parts, each without the parts that it calls, while ``counts`` is set."""

    def __init__(self) -> None:
        self.spent: Counter[str] = Counter()  # nanoseconds
        self.counts = False
        self._inner = [0]

    @contextmanager
    def wrapped(self) -> Iterator[None]:
        """Every name of a part's function in the worker's modules stands for a wrapped one."""
        places = [
            (vars(module), name, value, part)
            for module in list(sys.modules.values())
            if module.__name__.partition(".")[0] in {"consumer", "sketches"}
            for name, value in list(vars(module).items())
            for part, functions in PARTS.items()
            if any(value is function for function in functions)
        ]
        for names, name, function, part in places:
            names[name] = self._timed(part, function)
        try:
            yield
        finally:
            for names, name, function, _ in places:
                names[name] = function

    def _timed(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def call(*args: object, **named: object) -> object:
            if not self.counts:
                return function(*args, **named)
            self._inner.append(0)
            begun = thread_time_ns()
            result = function(*args, **named)
            took = thread_time_ns() - begun
            self.spent[part] += took - self._inner.pop()
            self._inner[-1] += took
            return result

        return call


def _number_columns(features: int) -> FloatArray:
    """A chunk's values of so many number features of generated records, shape (CHUNK, F)."""
    load = load_of(CHUNK, features * 5 // 4)
    rows = [orjson.loads(value)["features"] for _, value in generate(load)]
    names = [name for name, value in rows[0].items() if isinstance(value, float)]
    return np.array([[row[name] for name in names] for row in rows])


def _histogram_ns(columns: FloatArray) -> float:
    """Nanoseconds per value of a chunk's histograms, with the extremes that they need."""
    features, size = columns.shape[1], columns.size
    values = np.ascontiguousarray(columns.T)
    counts = np.full(features, len(columns))
    work = np.empty(size)
    begun = thread_time_ns()
    for _ in range(REPEATS):
        low, high = values.min(axis=1), values.max(axis=1)
        layers.build(values.reshape(-1), counts, low, high, work)
    return (thread_time_ns() - begun) / REPEATS / size


def _numbers_ns(columns: FloatArray) -> float:
    """Nanoseconds per value of all that is kept of numbers, moments and histograms."""
    names = tuple(f"amount_{number:03d}" for number in range(columns.shape[1]))
    begun = thread_time_ns()
    for _ in range(REPEATS):
        numbers.build(names, columns)
    return (thread_time_ns() - begun) / REPEATS / columns.size


def _row(rounds: list[Found]) -> dict[str, object]:
    found: dict[str, object] = {}
    for stage in STAGES:
        values = [one.costs[stage] for one in rounds]
        found[f"{stage}_us"] = round(statistics.median(values), 2)
        found[f"{stage}_us_min"] = round(min(values), 2)
        found[f"{stage}_us_max"] = round(max(values), 2)
    shares = {
        part: round(statistics.median(one.shares[part] for one in rounds), 3)
        for part in (*PARTS, "other")
    }
    return found | {"profile_shares": shares}


def _print(found: dict[str, dict[str, object]]) -> None:
    say("CPU us per record, median (min-max)\n")
    say(f"{'case':>12}" + "".join(f"{stage:>20}" for stage in STAGES))
    for key, row in found.items():
        cells = (
            f"{row[f'{stage}_us']:.2f} ({row[f'{stage}_us_min']:.2f}-{row[f'{stage}_us_max']:.2f})"
            for stage in STAGES
        )
        say(f"{key:>12}" + "".join(f"{cell:>20}" for cell in cells))
    say("\nshares of windows and profiles\n")
    say(f"{'case':>12}" + "".join(f"{part:>12}" for part in (*PARTS, "other")))
    for key, row in found.items():
        shares = row["profile_shares"]
        assert isinstance(shares, dict)  # noqa: S101 - narrows the type
        say(f"{key:>12}" + "".join(f"{share:12.1%}" for share in shares.values()))


if __name__ == "__main__":
    main()
