"""Row 7 of the pass levels: gross faults are found within two blocks, at any rate of records."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest

from sketches.detection import Change, DetectionSettings
from sketches.monitor import ModelMonitor
from sketches.profile import CHUNK
from tests.streams import DAY, SECOND, START, Records

SETTINGS = DetectionSettings(learn_for=3 * DAY, learn_records=5_000)
RATES = (10, 100, 1000)  # records a second; blocks of 10 s, learned as if they were longer
BLOCK = 600 * SECOND
LEARNED = 3 * 144 + 30
LETTERS = np.array(list("abcdefghij"))
ROUNDS = 4


def draw(random: np.random.Generator, rate: int) -> Records:
    size = min(max(int(random.poisson(10 * rate)), 100), CHUNK)
    names = LETTERS[np.minimum(random.geometric(0.4, size), 10) - 1].tolist()
    return Records(
        {"x": random.normal(size=size), "y": np.exp(1.5 * random.normal(size=size))},
        {"city": names},
    )


@cache
def learned(rate: int) -> bytes:
    """The state of a monitor after three quiet days and some hours."""
    random = np.random.default_rng(rate)
    pool = [draw(random, rate).profile() for _ in range(150)]
    monitor = ModelMonitor(SETTINGS, "t", "m")
    for number in range(LEARNED):
        one = pool[int(random.integers(len(pool)))]
        report = monitor.fold(START + (number + 1) * BLOCK, BLOCK, {("1", ""): one})
        assert not report.changes
    return monitor.state()


def nulls(held: Records, random: np.random.Generator) -> None:
    held.numbers["x"][random.random(held.length) < 0.5] = np.nan


def unit(held: Records, random: np.random.Generator) -> None:
    held.numbers["x"] *= 1000


def heavy_unit(held: Records, random: np.random.Generator) -> None:
    held.numbers["y"] *= 1000


def stuck(held: Records, random: np.random.Generator) -> None:
    held.numbers["x"][:] = 0.3


def unseen(held: Records, random: np.random.Generator) -> None:
    held.texts["city"] = ["mars" if random.random() < 0.05 else name for name in held.texts["city"]]


def halved(held: Records, random: np.random.Generator) -> None:
    kept = held.length // 2
    held.numbers = {name: values[:kept] for name, values in held.numbers.items()}
    held.texts = {name: values[:kept] for name, values in held.texts.items()}


FAULTS: list[tuple[Callable[[Records, np.random.Generator], None], tuple[str, str]]] = [
    (nulls, ("x", "missing")),
    (unit, ("x", "magnitude")),
    (heavy_unit, ("y", "magnitude")),
    (stuck, ("x", "stuck")),
    (unseen, ("city", "unseen")),
    (halved, ("", "volume")),
]


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize(("fault", "key"), FAULTS, ids=lambda each: getattr(each, "__name__", ""))
def test_a_gross_fault_is_found_within_two_blocks(
    fault: Callable[[Records, np.random.Generator], None], key: tuple[str, str], rate: int
) -> None:
    for seed in range(ROUNDS):
        random = np.random.default_rng(1000 + seed)
        monitor = ModelMonitor.restore(SETTINGS, learned(rate))
        found: list[Change] = []
        records = number = 0
        while records < 2 * SETTINGS.min_records or number < 2:
            held = draw(random, rate)
            fault(held, random)
            end = START + (LEARNED + number + 1) * BLOCK
            found += monitor.fold(end, BLOCK, {("1", ""): held.profile()}).changes
            records, number = records + held.length, number + 1
        mine = [one for one in found if (one.feature, one.signal) == key]
        assert mine, (seed, [(one.feature, one.signal) for one in found])
        assert not {one.feature for one in found} - {key[0]}
