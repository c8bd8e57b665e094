"""Streams of few records a window: what only a fault does is found in two windows all the same."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest

from sketches.detection import Change, DetectionSettings
from sketches.monitor import ModelMonitor
from tests.streams import DAY, START, Records

SETTINGS = DetectionSettings(learn_for=14 * DAY, learn_records=5_000)
HOUR = DAY // 24
LEARNED = 15 * 24
LETTERS = np.array(list("abcdefghij"))
ROUNDS = 4


def draw(random: np.random.Generator, number: int) -> Records:
    """About fifty records an hour by day, two at night."""
    rate = 26.0 - 24.0 * math.cos(2 * math.pi * number / 24)
    size = 1 + int(random.poisson(rate))
    names = LETTERS[np.minimum(random.geometric(0.4, size), 10) - 1].tolist()
    values = random.normal(size=size)
    values[random.random(size) < 0.02] = np.nan
    return Records({"x": values, "y": np.exp(1.5 * random.normal(size=size))}, {"city": names})


@cache
def learned() -> bytes:
    """The state of a monitor after two quiet weeks and a day."""
    random = np.random.default_rng(5)
    monitor = ModelMonitor(SETTINGS, "t", "m")
    for number in range(LEARNED):
        end = START + (number + 1) * HOUR
        report = monitor.fold(end, HOUR, {("1", ""): draw(random, number).profile()})
        assert not report.changes
    return monitor.state()


def nulls(held: Records, random: np.random.Generator) -> None:
    held.numbers["x"][random.random(held.length) < 0.5] = np.nan


def unit(held: Records, random: np.random.Generator) -> None:
    held.numbers["y"] *= 1000


def stuck(held: Records, random: np.random.Generator) -> None:
    held.numbers["y"][:] = 0.3


FAULTS: list[tuple[Callable[[Records, np.random.Generator], None], str]] = [
    (nulls, "x"),
    (unit, "y"),
    (stuck, "y"),
]


@pytest.mark.parametrize(("fault", "key"), FAULTS, ids=lambda each: getattr(each, "__name__", ""))
@pytest.mark.parametrize("hour", [6, 9, 15])
def test_a_gross_fault_is_found_within_two_windows(
    fault: Callable[[Records, np.random.Generator], None], key: str, hour: int
) -> None:
    for seed in range(ROUNDS):
        random = np.random.default_rng(100 + seed)
        monitor = ModelMonitor.restore(SETTINGS, learned())
        found: list[Change] = []
        for number in range(LEARNED, LEARNED + hour + 2):
            held = draw(random, number)
            if number >= LEARNED + hour:
                fault(held, random)
            end = START + (number + 1) * HOUR
            found += monitor.fold(end, HOUR, {("1", ""): held.profile()}).changes
        mine = [one for one in found if one.feature == key]
        assert mine, (seed, [(one.feature, one.signal) for one in found])
        assert mine[0].onset == START + (LEARNED + hour) * HOUR
        assert not {one.feature for one in found} - {key}


def test_a_lull_ends_its_blocks_when_as_many_records_were_expected() -> None:
    """Not when as many have come at last: it is told the later otherwise the deeper it is."""
    random = np.random.default_rng(200)
    monitor = ModelMonitor.restore(SETTINGS, learned())
    ends = []
    for number in range(LEARNED, LEARNED + 16):
        held = draw(random, number)
        if number >= LEARNED + 9:
            kept = held.length // 4
            held.numbers = {name: values[:kept] for name, values in held.numbers.items()}
            held.texts = {name: values[:kept] for name, values in held.texts.items()}
        monitor.fold(START + (number + 1) * HOUR, HOUR, {("1", ""): held.profile()})
        ends.append(monitor._streams[None].end)
    # Seven hours of about fifty records expected and a dozen seen: two to three hours a block.
    assert len({*ends[9:]} - {ends[8]}) >= 2


def test_a_night_of_few_records_is_no_fault() -> None:
    """Two records of which one is null, or both alike, are what chance has."""
    monitor = ModelMonitor.restore(SETTINGS, learned())
    random = np.random.default_rng(8)
    for number in range(LEARNED, LEARNED + 24):
        held = draw(random, number)
        if held.length < 4:
            held.numbers["x"][0] = np.nan
            held.numbers["y"][:] = 0.3
        end = START + (number + 1) * HOUR
        assert not monitor.fold(end, HOUR, {("1", ""): held.profile()}).changes
