"""A stream under the worker's own watch: learned, watched, and watched again with faults in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import NamedTuple

import numpy as np

from bench.study.scores import incidents
from bench.study.streams import START, Stream, Window, white_noise
from sketches import budget
from sketches.baseline import FLOOR, KNOWN_AFTER, RIPE, TRIED_AFTER
from sketches.blocks import DAY
from sketches.changed import Finding
from sketches.detection import DetectionSettings
from sketches.expectation import CANDIDATES, Expectation
from sketches.residuals import Noise, measure
from sketches.scales import Scales
from sketches.signals import Gates, gates
from sketches.table import FloatArray, IntArray
from sketches.trial import WatchTrial
from sketches.watch import Watch

SETTINGS = DetectionSettings()  # the defaults: 1 critical change and 5 warnings a model and week
# Signals since a change began, in seconds; numbers to draw with; the window -> its signals.
Fault = Callable[[float, np.random.Generator, Window], FloatArray]


class Watched(NamedTuple):
    """What a stream brought in which nothing changed, and what faults brought.

    Attributes:
        weeks: Under watch.
        changes: Of signals that were not changed already.
        warnings: Incidents: these changes, those within an hour as one.
        critical: Incidents with a critical change.
        alarmed: Share of the windows in which anything was changed.
        delays: Fault -> seconds to detection of each feature it was put into.
        alerts: Fault -> alerts of these features while it went on, those within an hour one.
        updates: Windows watched, times signals.
    """

    weeks: float
    changes: int
    warnings: int
    critical: int
    alarmed: float
    delays: Mapping[str, list[float | None]]
    alerts: Mapping[str, int]
    updates: int


class Plan(NamedTuple):
    """How long: days of the baseline, weeks under watch, and how often faults are put in."""

    days: int
    weeks: float
    probes: int = 0
    windows: int = 0  # that a fault lasts


class _Learned(NamedTuple):
    watch: Watch
    gates: Gates
    thresholds: tuple[budget.Thresholds, budget.Thresholds]


def run(
    stream: Stream,
    plan: Plan,
    faults: Mapping[str, tuple[str, Fault]],
    seed: int,
) -> Watched:
    """One model.

    Args:
        stream: Of its signals.
        plan: How long.
        faults: Name -> signal that is to show it, the fault.
        seed: Of all that is drawn.
    """
    random = np.random.default_rng(seed)
    windows = stream.begin(random)
    learned = _learn(stream, windows, plan.days)
    number = plan.days * (DAY // stream.window)
    total = max(round(plan.weeks * 7 * DAY / stream.window), 1)
    at = apart(random, total, plan)
    found: dict[str, list[float | None]] = {name: [] for name in faults}
    alerts = dict.fromkeys(faults, 0)
    changes, critical, active = [], [], 0
    held: list[Window] = []
    for step in range(total):
        if step in at:
            held += islice(windows, plan.windows - len(held))  # none is left out
            for name, fault in faults.items():
                told = _probe(stream, learned, held, number, fault, seed + step)
                found[name] += [times[0] / 1e6 if times else None for times in told]
                alerts[name] += sum(map(incidents, told))
        window = held.pop(0) if held else next(windows)
        going_on = set(learned.watch.changed)
        for one in _update(stream, learned, window, number):
            if one.signal not in going_on:
                changes.append(number * stream.window)
            if one.critical:
                critical.append(number * stream.window)
        active += bool(learned.watch.changed)
        number += 1
    return Watched(
        plan.weeks,
        len(changes),
        incidents(changes),
        incidents(critical),
        active / total,
        found,
        alerts,
        total * len(stream.layout),
    )


def apart(random: np.random.Generator, total: int, plan: Plan) -> set[int]:
    """Windows in which faults begin, by chance and so that none begins before another ended."""
    slot = total / max(plan.probes, 1)
    late = random.random(plan.probes) * max(slot - plan.windows, 1)
    return {int(number * slot + more) for number, more in enumerate(late.tolist())}


def _update(stream: Stream, learned: _Learned, window: Window, number: int) -> list[Finding]:
    """What is told of a window, the news of changes that go on included."""
    start = START + number * stream.window
    end = start + stream.window
    return learned.watch.update(window.values, window.records, start, end, learned.gates).found


def _learn(stream: Stream, windows: Iterator[Window], days: int) -> _Learned:
    """What ``sketches.baseline.Learner`` and ``sketches.monitor`` do with measured blocks."""
    held = stream.layout
    signals, per_day = len(held), DAY // stream.window
    by_records = np.ones(signals, dtype=bool)
    scales, expectation = Scales(len(CANDIDATES), by_records), Expectation(signals)
    judged = gates(held, SETTINGS, "study")
    both = _thresholds(stream, judged)
    trial, records = None, 0
    for number in range(days * per_day):
        window = next(windows)
        start = START + number * stream.window
        ways = window.values - expectation.forecasts(start + stream.window // 2, 0)
        ways[0] = window.values
        scales.add(ways, window.records)
        expectation.add(window.values, np.full(signals, float(window.records)))
        records += window.records
        span = (number + 1) * stream.window
        for way, after in enumerate(TRIED_AFTER, 1):
            if span - stream.window < after <= span:
                scales.restart(way)
        if trial is not None:
            trial.add(window.values, window.records, start, start + stream.window)
        elif span >= RIPE * days * DAY:
            so_far = Expectation.restore(expectation.state())
            noise = _noise(stream, scales, so_far, judged, span, records)
            watch = _watch(stream, noise, so_far, both)
            trial = WatchTrial(watch, both, judged, held, start + stream.window)
    noise = _noise(stream, scales, expectation, judged, days * DAY, records)
    if trial is not None:
        noise = noise.raised(trial.over(SETTINGS.warning_per_model_week)[1])
    return _Learned(_watch(stream, noise, expectation, both), judged, both)


def _noise(
    stream: Stream,
    scales: Scales,
    expectation: Expectation,
    judged: Gates,
    span: int,
    records: int,
) -> Noise:
    expectation.settle()
    known = sum(span >= least for least in KNOWN_AFTER)
    expectation.choice = np.minimum(expectation.choice, known)
    level = scales.mean()
    about = np.where(expectation.choice == 0, level, 0.0)
    white = white_noise(stream, level, records)
    chosen = scales.chosen(expectation.choice)
    return measure(chosen, about, white, FLOOR * judged.least, stream.layout.shares())


def _watch(
    stream: Stream,
    noise: Noise,
    expectation: Expectation,
    limits: tuple[budget.Thresholds, budget.Thresholds],
) -> Watch:
    by_records = np.ones(len(stream.layout), dtype=bool)
    hard = stream.layout.is_hard()
    return Watch(noise, expectation, by_records, hard, limits, stream.window)


def _thresholds(stream: Stream, judged: Gates) -> tuple[budget.Thresholds, budget.Thresholds]:
    """For soft and for hard signals, half of the budget each."""
    warning, critical = SETTINGS.warning_per_model_week / 2, SETTINGS.critical_per_model_week / 2
    blocks = budget.power_of_two(budget.WEEK / stream.window)
    soft, hard = (
        budget.thresholds(warning, critical, budget.power_of_two(tests), blocks)
        for tests in judged.tests(stream.layout.is_hard())
    )
    return soft, hard


def _probe(
    stream: Stream,
    learned: _Learned,
    held: list[Window],
    number: int,
    fault: tuple[str, Fault],
    seed: int,
) -> list[list[int]]:
    """When a fault in features is told, by a copy of the watch: microseconds since it began."""
    signal, change = fault
    random = np.random.default_rng(seed)
    watch = Watch.restore(learned.watch.state(), learned.thresholds)
    copy = learned._replace(watch=watch)
    rows: IntArray = np.flatnonzero(stream.layout.is_signal(signal))[: len(stream.layout) // 4]
    told: dict[int, list[int]] = {row: [] for row in np.setdiff1d(rows, watch.changed).tolist()}
    for at, window in enumerate(held):
        changed = window._replace(values=change(at * stream.window / 1e6, random, window))
        going_on = set(watch.changed)
        for one in _update(stream, copy, changed, number + at):
            if one.signal in told and one.signal not in going_on:
                told[one.signal].append((at + 1) * stream.window)
    return list(told.values())
