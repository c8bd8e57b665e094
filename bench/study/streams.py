"""Streams in which nothing changes, drawn as the statistics of their windows.

A stream is one model of 100 features with four signals each. Of numbers: location, spread, missing
and distance (of a text feature beside it); a stream of texts alone has two distances. Means and
spreads are those of records that are drawn and clipped as a reference would clip them, or of their
exact distribution where that is known.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from sketches.blocks import DAY
from sketches.distances import chance_js, signed_js
from sketches.signals import RULES, Layout, binomial
from sketches.table import FloatArray

FEATURES = 100
START = 20_020 * DAY  # a Monday
MISSING = 0.01
SHARES = 1 / np.arange(1, 31) / np.sum(1 / np.arange(1, 31))  # Zipf, 30 categories
RARE = 0.0005
HELD = 15_000  # records that the shares of a reference are known by

Draw = Callable[[np.random.Generator, tuple[int, ...]], FloatArray]
Move = Callable[[np.random.Generator, int], Iterator[FloatArray]]  # (random, windows a day)


class Window(NamedTuple):
    """Records in it, and its signals, shape (S,)."""

    records: int
    values: FloatArray


class Stream(NamedTuple):
    """A null stream.

    Attributes:
        name: For people, and for the cache.
        window: Its length, microseconds.
        layout: Of its signals.
        white: Shape (S,), variance of one record's part; NaN: that of a share.
        begin: Random numbers to windows, without end.
        draw: One record's value; None: it is normal about the level of its window.
    """

    name: str
    window: int
    layout: Layout
    white: FloatArray
    begin: Callable[[np.random.Generator], Iterator[Window]]
    draw: Draw | None


def layout(signals: tuple[str, ...], features: int = FEATURES) -> Layout:
    """Of so many features with these signals each."""
    names = tuple(f"feature_{at:03d}" for at in range(features))
    return Layout(names * len(signals), tuple(s for s in signals for _ in range(features)))


NUMBERS = layout(("location", "spread", "missing", "distance"))
TEXTS = layout(("distance", "unseen", "missing", "distance"))


def _white(held: Layout, kurtosis: float) -> FloatArray:
    by_signal = {
        "location": 1.0,
        "spread": max(kurtosis - 1, 0.1) / 4,
        "distance": float(chance_js(SHARES[None])[0]),
    }
    return np.array([by_signal.get(signal, math.nan) for signal in held.signals])


def white_noise(stream: Stream, level: FloatArray, records: float) -> FloatArray:
    """Variance of one record's part in each signal, shape (S,)."""
    share = np.array([RULES[signal].unit == "share" for signal in stream.layout.signals])
    return np.where(share, binomial(level, records), stream.white)


def distances(random: np.random.Generator, records: int, shares: FloatArray) -> FloatArray:
    """Of windows with these shares from references with Zipf's, shape (FEATURES,)."""
    after = random.multinomial(records, shares, FEATURES).astype(np.float64)
    return signed_js(np.tile(SHARES * HELD, (FEATURES, 1)), after)


def missing(random: np.random.Generator, records: int, share: float = MISSING) -> FloatArray:
    """Shares of missing values, (FEATURES,)."""
    found: FloatArray = random.binomial(records, share, FEATURES) / records
    return found


def by_records(name: str, draw: Draw, tails: float, window: int, records: int) -> Stream:
    """A stream of independent records, clipped at the quantile ``tails`` and its mirror."""
    sample = draw(np.random.default_rng(1), (400_000,))
    low, high = np.quantile(sample, [tails, 1 - tails])
    sample = np.clip(sample, low, high)
    centre, scale = sample.mean(), sample.std()
    kurtosis = float((((sample - centre) / scale) ** 4).mean())

    def begin(random: np.random.Generator) -> Iterator[Window]:
        while True:
            size = int(random.poisson(records)) + 1
            values = (np.clip(draw(random, (FEATURES, size)), low, high) - centre) / scale
            spread = _spread(values.var(axis=1), size, kurtosis)
            parts = (values.mean(axis=1), spread, missing(random, size))
            yield Window(size, np.concatenate([*parts, distances(random, size, SHARES)]))

    return Stream(name, window, NUMBERS, _white(NUMBERS, kurtosis), begin, draw)


def by_level(name: str, move: Move, window: int, records: int, draw: Draw | None = None) -> Stream:
    """A stream of normal records about a level that moves from window to window."""

    def begin(random: np.random.Generator) -> Iterator[Window]:
        for level in move(random, DAY // window):
            size = int(random.poisson(records)) + 2
            yield Window(size, normal(random, size, level))

    return Stream(name, window, NUMBERS, _white(NUMBERS, 3.0), begin, draw)


def normal(random: np.random.Generator, size: int, level: FloatArray | float) -> FloatArray:
    """Signals of a window of normal records about a level."""
    location = level + random.normal(size=FEATURES) / math.sqrt(size)
    spread = np.log(random.chisquare(size - 1, FEATURES) / (size - 1)) / 2
    parts = (location, spread, missing(random, size))
    return np.concatenate([*parts, distances(random, size, SHARES)])


def wandering(phi: float, size: float = 0.3) -> Move:
    """AR(1) between windows."""

    def move(random: np.random.Generator, per_day: int) -> Iterator[FloatArray]:
        level = np.zeros(FEATURES)
        while True:
            level = phi * level + random.normal(size=FEATURES) * (1 - phi**2) ** 0.5
            yield size * level

    return move


def season(random: np.random.Generator, per_day: int) -> Iterator[FloatArray]:
    """Half a standard deviation by the hour, another at weekends, a size that varies by the day."""
    number, size = 0, np.ones(FEATURES)
    while True:
        if number % per_day == 0:
            size = 1 + 0.1 * random.normal(size=FEATURES)
        weekend = number // per_day % 7 >= 5
        yield 0.5 * size * math.sin(2 * math.pi * number / per_day) - 0.5 * weekend
        number += 1


def bursts(random: np.random.Generator, per_day: int) -> Iterator[FloatArray]:
    """Skew and correlated, like delays by weather: AR(1) 0.8 of exponential steps."""
    level = np.zeros(FEATURES)
    while True:
        level = 0.8 * level + 0.6 * (random.exponential(size=FEATURES) - 1)
        yield 0.3 * level


def still(random: np.random.Generator, per_day: int) -> Iterator[FloatArray]:
    """No move at all."""
    level = np.zeros(FEATURES)
    while True:
        yield level


def events(name: str, share: float, window: int, records: int) -> Stream:
    """A stream of independent records that are 0, or 1 with the probability ``share``."""
    scale = math.sqrt(share * (1 - share))
    kurtosis = (1 - 3 * share * (1 - share)) / scale**2

    def begin(random: np.random.Generator) -> Iterator[Window]:
        while True:
            size = int(random.poisson(records)) + 1
            mean = random.binomial(size, share, FEATURES) / size
            parts = (mean - share) / scale, _spread(mean * (1 - mean) / scale**2, size, kurtosis)
            rest = missing(random, size), distances(random, size, SHARES)
            yield Window(size, np.concatenate([*parts, *rest]))

    def draw(random: np.random.Generator, shape: tuple[int, ...]) -> FloatArray:
        return (random.random(shape) < share).astype(np.float64)

    return Stream(name, window, NUMBERS, _white(NUMBERS, kurtosis), begin, draw)


def _spread(variance: FloatArray, size: int, kurtosis: float) -> FloatArray:
    """Logarithm of the spread, drawn to that of the baseline as the worker does."""
    prior = max(kurtosis - 1, 0.0)
    found: FloatArray = np.log(np.maximum((variance * size + prior) / (size + prior), 0.01)) / 2
    return found


def texts(name: str, window: int, records: int) -> Stream:
    """A stream of categories alone."""

    def begin(random: np.random.Generator) -> Iterator[Window]:
        while True:
            size = int(random.poisson(records)) + 1
            near = (distances(random, size, SHARES) for _ in range(2))
            shares = missing(random, size, RARE), missing(random, size)
            first, second = near
            yield Window(size, np.concatenate([first, *shares, second]))

    return Stream(name, window, TEXTS, _white(TEXTS, 3.0), begin, None)


def records_of(
    stream: Stream, window: Window, random: np.random.Generator, features: int
) -> FloatArray:
    """The records of a window of a stream of numbers, shape (n, features)."""
    if stream.draw is not None:
        return stream.draw(random, (window.records, features))
    # A window's mean has the level in it, and little noise beside that of a record.
    found: FloatArray = window.values[:features] + random.normal(size=(window.records, features))
    return found


def bench_world(records: int = 6_000) -> Stream:
    """Windows of a minute, more by day; three quarters of the features have a daily cycle."""
    window = 60_000_000

    def begin(random: np.random.Generator) -> Iterator[Window]:
        per_day = DAY // window
        cycle = np.where(np.arange(FEATURES) % 4 < 3, 0.5, 0.0)
        phase = random.uniform(0, 2 * math.pi, FEATURES)
        wobble = np.zeros(FEATURES)
        number = 0
        while True:
            if number % per_day == 0:
                size = cycle * (1 + 0.1 * random.normal(size=FEATURES))
                day = 0.033 * random.normal(size=FEATURES)
            wobble = 0.95 * wobble + 0.03 * math.sqrt(1 - 0.95**2) * random.normal(size=FEATURES)
            turn = 2 * math.pi * number / per_day
            count = int(random.poisson(records * (1 - 0.6 * math.cos(turn)))) + 2
            level = size * np.sin(turn + phase) + day + wobble
            yield Window(count, normal(random, count, level))
            number += 1

    return Stream("bench world", window, NUMBERS, _white(NUMBERS, 3.0), begin, None)


def nulls(window: int, records: int) -> dict[str, Stream]:
    """The null streams by name, ``records`` in a window of ``window`` microseconds."""
    size = window, records
    found = [
        by_level("N(0,1)", still, *size, draw=lambda r, s: r.normal(size=s)),
        by_level("N x1000", still, *size, draw=lambda r, s: 1000 * r.normal(size=s)),
        by_records("t3", lambda r, s: r.standard_t(3, size=s), 0.01, *size),
        by_records("lognormal 1.5", lambda r, s: np.exp(1.5 * r.normal(size=s)), 0.01, *size),
        by_level("AR(1) 0.3", wandering(0.3), *size),
        by_level("AR(1) 0.8", wandering(0.8), *size),
        by_level("day and weekend", season, *size),
        by_level("bursts", bursts, *size),
        events("Bernoulli 0.01", 0.01, *size),
        texts("Zipf", *size),
    ]
    return {stream.name: stream for stream in found}


def independent(per_second: int) -> Stream:
    """Independent normal records in windows of ten seconds."""
    name = f"{per_second:,} records/s"
    return by_level(name, still, 10_000_000, per_second * 10)
