"""False alarms of the watch on streams in which nothing changes, drawn as window statistics.

``python -m bench.study.nulls [WEEKS [DAYS]]``: each row is one model of 40 signals of one kind in
blocks of ten minutes, a baseline of DAYS (14) and then WEEKS (20) under watch, with the worker's
own expectation, noise, budget and detectors. The budget is 5 warnings and 1 critical change a model
and week. The reference and the profiles are left out: means are those of records clipped where a
reference would clip them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from bench.runs import say
from sketches import budget
from sketches.blocks import DAY
from sketches.distances import signed_js
from sketches.expectation import CANDIDATES, Expectation
from sketches.residuals import measure
from sketches.scales import Scales
from sketches.signals import RULES, Gates, binomial
from sketches.table import FloatArray
from sketches.watch import Watch

SIGNALS = 40
BLOCK = 600_000_000  # microseconds
PER_DAY = DAY // BLOCK
RECORDS = 120
START = 20_000 * DAY
NEAR = 3_600_000_000  # changes that near are one incident

Blocks = Iterator[tuple[int, FloatArray]]


class Kind(NamedTuple):
    """A null stream: its blocks, the rule of its signals, the variance of one record."""

    blocks: Callable[[np.random.Generator], Blocks]
    signal: str
    white: float


def _sizes(random: np.random.Generator) -> Iterator[tuple[int, int]]:
    number = 0
    while True:
        yield number, int(random.poisson(RECORDS)) + 1
        number += 1


def _records(draw: Callable[[np.random.Generator, tuple[int, int]], FloatArray]) -> Kind:
    """Clipped as a reference clips heavy tails, in standard deviations."""
    sample = draw(np.random.default_rng(1), (1, 400_000))[0]
    low, high = np.quantile(sample, [0.01, 0.99])
    clipped = np.clip(sample, low, high)
    centre, scale = clipped.mean(), clipped.std()

    def blocks(random: np.random.Generator) -> Blocks:
        for _, size in _sizes(random):
            values = np.clip(draw(random, (SIGNALS, size)), low, high)
            yield size, (values.mean(axis=1) - centre) / scale

    return Kind(blocks, "location", 1.0)


def _spread() -> Kind:
    def blocks(random: np.random.Generator) -> Blocks:
        for _, size in _sizes(random):
            yield size, np.log(random.chisquare(size - 1, SIGNALS) / (size - 1)) / 2

    return Kind(blocks, "spread", 0.5)


def _level(move: Callable[[np.random.Generator], Iterator[FloatArray]]) -> Kind:
    """A mean that moves from block to block."""

    def blocks(random: np.random.Generator) -> Blocks:
        for (_, size), level in zip(_sizes(random), move(random), strict=False):
            yield size, level + random.normal(size=SIGNALS) / np.sqrt(size)

    return Kind(blocks, "location", 1.0)


def _wandering(phi: float, size: float = 0.3) -> Kind:
    def move(random: np.random.Generator) -> Iterator[FloatArray]:
        level = np.zeros(SIGNALS)
        while True:
            level = phi * level + random.normal(size=SIGNALS) * (1 - phi**2) ** 0.5
            yield size * level

    return _level(move)


def _bursts(random: np.random.Generator) -> Iterator[FloatArray]:
    """Skew and correlated, like delays by weather: AR(1) 0.8 of exponential steps."""
    level = np.zeros(SIGNALS)
    while True:
        level = 0.8 * level + 0.6 * (random.exponential(size=SIGNALS) - 1)
        yield 0.3 * level


def _season(random: np.random.Generator) -> Iterator[FloatArray]:
    """0.5 sd of a daily sinusoid, half a sd less at weekends, a size that varies by the day."""
    number, size = 0, np.ones(SIGNALS)
    while True:
        if number % PER_DAY == 0:
            size = 1 + 0.1 * random.normal(size=SIGNALS)
        weekend = number // PER_DAY % 7 >= 5
        yield 0.5 * size * np.sin(2 * np.pi * number / PER_DAY) - 0.5 * weekend
        number += 1


def _share(share: float) -> Kind:
    def blocks(random: np.random.Generator) -> Blocks:
        for _, size in _sizes(random):
            yield size, random.binomial(size, share, SIGNALS) / size

    return Kind(blocks, "missing", share * (1 - share))


def _zipf() -> Kind:
    shares = 1 / np.arange(1, 31)
    shares /= shares.sum()

    def blocks(random: np.random.Generator) -> Blocks:
        before = random.multinomial(15_000, shares, SIGNALS).astype(np.float64)
        for _, size in _sizes(random):
            after = random.multinomial(size, shares, SIGNALS).astype(np.float64)
            yield size, signed_js(before, after)

    return Kind(blocks, "distance", np.sqrt(2 * 29) / (8 * np.log(2)))


KINDS: dict[str, Kind] = {
    "normal": _records(lambda random, shape: random.normal(size=shape)),
    "normal, spread": _spread(),
    "t3": _records(lambda random, shape: random.standard_t(3, size=shape)),
    "lognormal 1.5": _records(lambda random, shape: np.exp(1.5 * random.normal(size=shape))),
    "AR(1) 0.3": _wandering(0.3),
    "AR(1) 0.8": _wandering(0.8),
    "AR(1) 0.98": _wandering(0.98, 0.1),
    "bursts": _level(_bursts),
    "day and weekend": _level(_season),
    "Bernoulli 0.01": _share(0.01),
    "Bernoulli 0.0005": _share(0.0005),
    "Zipf": _zipf(),
}


class Found(NamedTuple):
    """What was told in the weeks under watch, and the least change that would have been."""

    changes: int
    critical: int
    incidents: int
    shift: float  # median of the signals, of what a window of 8 blocks must show


def run(kind: Kind, weeks: int, days: int, seed: int = 0) -> Found:
    """One model of one kind of signals."""
    rule = RULES[kind.signal]
    gates = Gates(
        np.ones(SIGNALS, dtype=bool),
        np.tile(np.array(rule.warning)[:, None], SIGNALS),
        np.tile(np.array(rule.critical)[:, None], SIGNALS),
    )
    blocks = kind.blocks(np.random.default_rng(seed))
    watch = _learned(kind, gates, blocks, days)
    told, critical, incidents, last = 0, 0, 0, 0
    for number in range(days * PER_DAY, days * PER_DAY + weeks * 7 * PER_DAY):
        records, values = next(blocks)
        start = START + number * BLOCK
        found = watch.update(values, records, start, start + BLOCK, gates).found
        if found:
            told += len(found)
            critical += sum(one.critical for one in found)
            incidents += start - last > NEAR
            last = start
    return Found(told, critical, incidents, _shift(watch, gates))


def _learned(kind: Kind, gates: Gates, blocks: Blocks, days: int) -> Watch:
    by_records = np.ones(SIGNALS, dtype=bool)
    scales, expectation = Scales(len(CANDIDATES), by_records), Expectation(SIGNALS)
    for number in range(days * PER_DAY):
        records, values = next(blocks)
        middle = START + number * BLOCK + BLOCK // 2
        ways = values - expectation.forecasts(middle, 0)
        ways[0] = values
        scales.add(ways, records)
        expectation.add(values, np.full(SIGNALS, float(records)))
        for way, day in ((1, 1), (2, 7)):
            if number + 1 == day * PER_DAY:
                scales.restart(way)
    expectation.settle()
    known = int(days >= 2) + int(days >= 10)
    expectation.choice = np.minimum(expectation.choice, known)
    level = scales.mean()
    share = RULES[kind.signal].unit == "share"
    white = binomial(level, RECORDS * days * PER_DAY) if share else np.full(SIGNALS, kind.white)
    about = np.where(expectation.choice == 0, level, 0.0)
    shares = np.full(SIGNALS, share)
    noise = measure(scales.chosen(expectation.choice), about, white, 0.1 * gates.least, shares)
    thresholds = budget.thresholds(2.5, 0.5, SIGNALS, 7 * PER_DAY)
    hard = np.full(SIGNALS, RULES[kind.signal].hard)
    return Watch(noise, expectation, by_records, hard, (thresholds, thresholds), BLOCK)


def _shift(watch: Watch, gates: Gates) -> float:
    return float(np.median(watch.detectable(RECORDS, gates)))


def main() -> None:
    """All kinds, a table."""
    weeks, days = (int(each) for each in [*sys.argv[1:], "20", "14"][:2])
    say(f"{SIGNALS} signals, a baseline of {days} days, {weeks} weeks under watch\n")
    say(f"{'':>18} {'incidents':>9} {'a week':>7} {'changes':>8} {'critical':>8}   seen from")
    for name, kind in KINDS.items():
        found = run(kind, weeks, days)
        say(
            f"{name:>18} {found.incidents:9} {found.incidents / weeks:7.2f} {found.changes:8}"
            f" {found.critical:8}   {found.shift:.3f}"
        )


if __name__ == "__main__":
    main()
