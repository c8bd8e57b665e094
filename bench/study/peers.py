"""What others make of the same null streams, and oracles at an equal rate of false alarms."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any, Protocol

import numpy as np
from river.drift import ADWIN, PageHinkley

from bench.study import focus
from bench.study.scores import Delays, delays, incidents, rate
from bench.study.streams import FEATURES, Stream, records_of
from sketches import budget
from sketches.blocks import DAY
from sketches.budget import WEEK
from sketches.table import FloatArray

SHIFT = 0.5  # standard deviations of a record, for a day or
LONGEST = 1_440  # windows
EVERY = 100  # values after which the dummy alarms
MOST = 4_000  # values after which an oracle's delay is infinite


class Detector(Protocol):
    """As river has them."""

    @property
    def drift_detected(self) -> bool: ...

    def update(self, x: float) -> object: ...


class Never:
    """Says nothing."""

    drift_detected = False

    def update(self, x: float) -> None:
        """Nothing."""


class Always:
    """Says so every ``EVERY`` values."""

    def __init__(self) -> None:
        self._number = 0
        self.drift_detected = False

    def update(self, x: float) -> None:
        """Count."""
        self._number += 1
        self.drift_detected = self._number % EVERY == 0


DETECTORS: dict[str, Callable[[], Detector]] = {
    "never": Never,
    f"every {EVERY}": Always,
    "ADWIN": ADWIN,
    "PageHinkley": PageHinkley,
}


def alarms(detector: Detector, values: Sequence[float]) -> int:
    """How often it detects a drift."""
    count = 0
    for value in values:
        detector.update(value)
        count += bool(detector.drift_detected)
    return count


def per_window(stream: Stream, weeks: float, features: int, seed: int) -> dict[str, Any]:
    """On the means of windows, in units of a record's deviation.

    Args:
        stream: Null.
        weeks: How long.
        features: Of the 100 that are tried; the counts are scaled to all.
        seed: Of the stream.
    """
    count = max(int(weeks * WEEK / stream.window), 1)
    shifted = min(DAY // stream.window, LONGEST)
    held = islice(stream.begin(np.random.default_rng(seed)), count + shifted)
    means = np.stack([window.values[:features] for window in held]).T
    found = {}
    moved = "location" in stream.layout.signals
    for name, make in DETECTORS.items():
        total, waits, again = 0, [], 0
        for column in means:
            detector = make()
            total += alarms(detector, column[:count].tolist())
            found_at = enumerate(_told(detector, (column[count:] + SHIFT).tolist()), 1)
            told = [at * stream.window for at, one in found_at if one]
            waits.append(told[0] / 1e6 if told else None)
            again += incidents(told)
        held_rate = rate(total, weeks * features / FEATURES)
        found[f"{name} per window"] = {
            "model_weeks": held_rate.weeks,
            "false_alarms": held_rate,
            "faults": {f"{SHIFT:g} sd": delays(waits)} if moved else {},
            "alerts_per_incident": again / len(waits) if moved else None,
        }
    return found


def per_record(stream: Stream, records: int, seed: int) -> dict[str, Any]:
    """False alarms a model-week on the single records of one feature; none of a stream of texts."""
    if "location" not in stream.layout.signals:
        return {}
    values, weeks = _singles(stream, records, np.random.default_rng(seed))
    found = {}
    for name, make in DETECTORS.items():
        held = rate(alarms(make(), values), weeks / FEATURES)
        found[f"{name} per record"] = {"model_weeks": held.weeks, "false_alarms": held}
    return found


def _singles(
    stream: Stream, records: int, random: np.random.Generator
) -> tuple[list[float], float]:
    """Records about the levels of windows, as many as a window has, and the weeks they take."""
    parts: list[FloatArray] = []
    count, windows = 0, 0
    for window in stream.begin(random):
        parts.append(records_of(stream, window, random, 1)[: records - count, 0])
        count, windows = count + window.records, windows + 1
        if count >= records:
            break
    return np.concatenate(parts).tolist(), windows * stream.window / WEEK


def _told(detector: Detector, values: Sequence[float]) -> Iterator[bool]:
    for value in values:
        detector.update(value)
        yield bool(detector.drift_detected)


def oracles(arl: float, size: float, window: float, runs: int, seed: int) -> dict[str, Delays]:
    """Delays of detectors that know all but the change.

    Args:
        arl: Windows to a false alarm.
        size: Of the shift, in standard deviations of a window's mean.
        window: Seconds.
        runs: How often.
        seed: Of the values.
    """
    random = np.random.default_rng(seed)
    limit, slack = focus.threshold(arl), budget.SLACK
    height = budget.page_hinkley_threshold(arl, slack)
    found: dict[str, list[float | None]] = {"FOCuS": [], "CUSUM": []}
    for _ in range(runs):
        # The change comes after some values: what these leave behind is part of the delay.
        before = random.normal(size=200)
        after = random.normal(size=MOST) + size
        for name, wait in (
            ("FOCuS", _focus(before, after, limit)),
            ("CUSUM", _cusum(before, after, slack, height)),
        ):
            found[name].append(None if wait is None else wait * window)
    return {name: delays(each) for name, each in found.items()}


def _focus(before: FloatArray, after: FloatArray, limit: float) -> int | None:
    state = focus.Focus()
    for value in before.tolist():
        state.update(value)
    return _first(state.update(value) > limit for value in after.tolist())


def _cusum(before: FloatArray, after: FloatArray, slack: float, height: float) -> int | None:
    state = [0.0, 0.0]

    def told(value: float) -> bool:
        state[0] = max(0.0, state[0] + value - slack)
        state[1] = max(0.0, state[1] - value - slack)
        return max(state) > height

    for value in before.tolist():
        told(value)
    return _first(told(value) for value in after.tolist())


def _first(told: Iterator[bool]) -> int | None:
    return next((number for number, one in enumerate(told, 1) if one), None)


def run_length(false: int, updates: int) -> float:
    """Windows of one signal to a false alarm, measured; by its upper limit where there was none."""
    return updates / max(false, 3) if updates else math.inf
