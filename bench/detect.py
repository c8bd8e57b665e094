"""What the detect stage costs: bytes of the profiles log in, alert events out, without Kafka.

Every window of 10 s is one profile of one model, made of generated numbers and encoded as the
profile stage publishes it, and its watermark. What is timed is all that a worker does with them:
``LogPartition.feed`` decodes, folds and encodes events. A feature of numbers has four signals. Once
the baseline is learned, a tenth of the features is half a standard deviation higher in every second
stretch of the windows. Times are CPU of this thread, the garbage collector is set as in the worker.

A week is 60,480 windows, of which the baseline is learned from the first day. Fewer are folded,
with a seventh of them to learn from, and the time is scaled; it may be if the second half of the
watched windows takes no longer than the first. What happens once, when the baseline is complete,
is scaled with the rest: few windows look too slow.
"""

from __future__ import annotations

import gc
import statistics
from collections.abc import Iterator
from itertools import islice
from time import thread_time
from typing import NamedTuple

import numpy as np

from bench.records import START_MS
from bench.runs import Bench, say
from consumer.batch import RawBatch, RecordKey
from consumer.closings import Closing, Place, WindowProfile, log_records
from consumer.launch import GC_THRESHOLD
from consumer.log import ProfileRecord, decode, encode
from consumer.log_partitions import LogPartition
from consumer.settings import Settings
from sketches import codec
from sketches.profile import profile_table
from sketches.table import Table

WINDOW = 10_000_000  # microseconds
START = START_MS * 1000
WEEK = 7 * 8640  # windows
SIGNALS = 4  # of a number: location, spread, missing, unseen
FEATURES = 100
RECORDS = 500  # of a window
TARGET_MS, TARGET_WEEK_S = 2.5, 150
STRETCH = 50  # windows between the beginning and the end of a drift


class Case(NamedTuple):
    """A log: windows to learn from, and windows to watch after them."""

    features: int
    records: int
    learn: int
    watch: int


class Cost(NamedTuple):
    """Seconds of CPU of each window, and of reading the profiles alone, of all."""

    windows: list[float]
    reading: float
    events: int


def run(bench: Bench, *, quick: bool, rounds: int) -> dict[str, object]:
    """Windows of several sizes, then a week; the numbers by name."""
    del bench  # nothing here needs a broker
    threshold = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD, 20, 20)
    try:
        return _windows(quick, rounds) | _week(quick)
    finally:
        gc.set_threshold(*threshold)
        gc.unfreeze()


def _windows(quick: bool, rounds: int) -> dict[str, object]:
    learn, watch = (30, 100) if quick else (100, 400)
    main = Case(FEATURES, RECORDS, learn, watch)
    cases = {
        "100": main._replace(features=25),
        "400": main,
        "400, 200 records": main._replace(records=200),
        "400, 1000 records": main._replace(records=1000),
        "1000": main._replace(features=250),
        "10000": Case(2500, RECORDS, 12, 12 if quick else 48),
    }
    found: dict[str, list[Cost]] = {key: [] for key in cases}
    for number in range(rounds):
        for key, case in cases.items():
            found[key].append(folded(case, seed=number))
    say(f"a window of one model, {RECORDS} records unless said otherwise\n")
    say(f"{'signals':>18} {'ms':>8}  min-max         of these reading profiles   events")
    times = {}
    for key, costs in found.items():
        whole = [1e3 * statistics.fmean(cost.windows) for cost in costs]
        reading = statistics.median(1e3 * cost.reading / len(cost.windows) for cost in costs)
        times[key] = round(statistics.median(whole), 3)
        spread = f"{min(whole):.2f}-{max(whole):.2f}"
        say(f"{key:>18} {times[key]:8.2f}  {spread:15} {reading:26.2f} {costs[0].events:8}")
    say(f"\ntarget for 400 signals: {TARGET_MS} ms")
    return {
        "detect_ms_per_window": times["400"],
        "detect": {key: times[key] for key in ("100", "1000", "10000")},
        "detect_ms_by_records": {
            "200": times["400, 200 records"],
            "1000": times["400, 1000 records"],
        },
    }


def _week(quick: bool) -> dict[str, object]:
    windows = 200 if quick else 6_000
    case = Case(FEATURES, RECORDS, windows // 7, windows - windows // 7)
    partition = _partition(case)
    times: list[float] = []
    for values in _batches(_log(case, seed=0)):
        times += _fed(partition, values)
    halves = times[case.learn : case.learn + case.watch // 2], times[case.learn + case.watch // 2 :]
    learning = 1e3 * statistics.fmean(times[: case.learn])
    first, second = (1e3 * statistics.fmean(half) for half in halves)
    scaled = sum(times) * WEEK / windows
    say(
        f"\na week of 10 s windows of {FEATURES} features: {scaled:.0f} s, scaled from {windows} "
        f"windows folded in {sum(times):.1f} s (target {TARGET_WEEK_S} s)\n"
        f"a window takes {learning:.2f} ms while {case.learn} are learned from, then "
        f"{first:.2f} ms in the first half of the rest and {second:.2f} ms in the second"
    )
    return {
        "week_catch_up_s": round(scaled, 1),
        "week_windows_folded": windows,
        "week_ms_per_window": {
            "learning": round(learning, 3),
            "first_half": round(first, 3),
            "second_half": round(second, 3),
        },
    }


def folded(case: Case, seed: int) -> Cost:
    """Fold a log; the cost of the windows that are watched."""
    partition = _partition(case)
    log = _log(case, seed)
    for value in islice(log, case.learn):
        _fed(partition, [value])
    partition.take_events()
    windows: list[float] = []
    reading = 0.0
    for values in _batches(log):
        windows += _fed(partition, values)
        reading += _read(values)
    return Cost(windows, reading, len(partition.take_events()))


def _batches(log: Iterator[list[bytes]]) -> Iterator[list[list[bytes]]]:
    """Windows some at a time, so that making them stays out of the way of folding them."""
    while some := list(islice(log, STRETCH)):
        yield some


def _fed(partition: LogPartition, windows: list[list[bytes]]) -> list[float]:
    """Seconds of CPU that each window takes."""
    times = []
    for values in windows:
        offsets = np.arange(partition.position, partition.position + len(values))
        begun = thread_time()
        partition.feed(RawBatch("bench-profiles", 0, offsets, offsets, values))
        times.append(thread_time() - begun)
    return times


def _read(windows: list[list[bytes]]) -> float:
    """Seconds of CPU that it takes to make profiles of these bytes, and nothing more."""
    taken = 0.0
    for values in windows:
        records = [record for record in map(decode, values) if isinstance(record, ProfileRecord)]
        begun = thread_time()
        codec.decode([record.payload for record in records])
        taken += thread_time() - begun
    return taken


def _partition(case: Case) -> LogPartition:
    settings = Settings(
        app="bench", learn_for=case.learn * WINDOW, learn_records=case.learn * case.records
    )
    return LogPartition(settings, 0, 1, {}, 0, None)


def _log(case: Case, seed: int) -> Iterator[list[bytes]]:
    """The log records of every window."""
    rng = np.random.default_rng(seed)
    names = tuple(f"amount_{at:04d}" for at in range(case.features))
    place = Place("bench", "bench", 0, 1, WINDOW, 1)
    previous, offset = None, 0
    for number in range(case.learn + case.watch):
        values = rng.standard_normal((case.records, case.features)) * 10.0 + 100.0
        if number >= case.learn and (number - case.learn) // STRETCH % 2:
            values[:, : case.features // 10] += 5.0
        found = profile_table(Table(case.records, names, np.round(values, 4)))
        end, stop = START + (number + 1) * WINDOW, offset + case.records
        one = WindowProfile(RecordKey("model", "1", ""), end, found, offset, stop - 1)
        closing = Closing("bench", 0, previous, end, stop, offset, (one,), {})
        yield [encode(record) for _, _, record in log_records(closing, place)]
        previous, offset = end, stop
