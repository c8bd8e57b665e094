"""Streams of records as windows of profiles, for tests of the monitor."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from sketches.detection import DetectionSettings
from sketches.monitor import ModelMonitor, MonitorReport
from sketches.profile import Profile, profile_table
from sketches.table import FloatArray, Kind, Table

SECOND = 1_000_000
DAY = 86_400 * SECOND
WINDOW = 600 * SECOND
WEEK_WINDOWS = 1008
START = 20_000 * DAY
SETTINGS = DetectionSettings(learn_for=2 * DAY, learn_records=5_000)

Draw = Callable[[np.random.Generator, int, int], FloatArray]


def normal(random: np.random.Generator, count: int, time: int) -> FloatArray:
    return random.normal(size=count)


def lognormal(random: np.random.Generator, count: int, time: int) -> FloatArray:
    values: FloatArray = np.exp(1.5 * random.normal(size=count))
    return values


def daily(random: np.random.Generator, count: int, time: int) -> FloatArray:
    return random.normal(0.5 * math.sin(2 * math.pi * time / DAY), size=count)


def constant(random: np.random.Generator, count: int, time: int) -> FloatArray:
    return np.full(count, 5.0)


def rare(random: np.random.Generator, count: int, time: int) -> FloatArray:
    return np.where(random.random(count) < 0.01, 1.0, 0.0)


def wandering(phi: float, size: float = 0.3) -> Draw:
    """A level that is AR(1) from window to window."""
    level = 0.0

    def draw(random: np.random.Generator, count: int, time: int) -> FloatArray:
        nonlocal level
        level = phi * level + float(random.normal()) * (1 - phi**2) ** 0.5
        return random.normal(size * level, size=count)

    return draw


@dataclass
class Records:
    """Records of one window, to be changed before they are profiled."""

    numbers: dict[str, FloatArray]
    texts: dict[str, list[str | None]] = field(default_factory=dict)
    errors: int = 0
    late: int = 0
    rejects: int = 0

    @property
    def length(self) -> int:
        sizes = [*map(len, self.numbers.values()), *map(len, self.texts.values())]
        return sizes[0] if sizes else 0

    def profile(self) -> Profile:
        names = tuple(self.numbers)
        columns = [self.numbers[name] for name in names]
        values = np.column_stack(columns) if columns else np.zeros((self.length, 0))
        values = np.where(np.isfinite(values), values, np.nan)
        kinds = {}
        for name in names:
            absent = np.isnan(self.numbers[name])
            strange = np.isinf(self.numbers[name])
            if absent.any() or strange.any():
                column = np.where(strange, Kind.NON_FINITE, Kind.NUMBER)
                kinds[name] = np.where(absent, Kind.NULL, column).astype(np.uint8)
        table = Table(
            length=self.length,
            number_names=names,
            numbers=values,
            text_names=tuple(self.texts),
            texts=tuple(self.texts.values()),
            kinds=kinds,
            errors=np.arange(self.length) < self.errors if self.errors else None,
        )
        whole = profile_table(table)
        rejects = {"invalid_json": self.rejects} if self.rejects else {}
        return Profile(
            records=whole.records,
            errors=whole.errors,
            late=self.late,
            rejects=rejects,
            names=whole.names,
            kinds=whole.kinds,
            numbers=whole.numbers,
            texts=whole.texts,
        )


Alter = Callable[[int, Records, np.random.Generator], None]


def windows(
    draws: Mapping[str, Draw],
    count: int,
    *,
    records: int = 150,
    texts: int = 1,
    seed: int = 0,
    alter: Alter | None = None,
) -> Iterator[tuple[int, Profile]]:
    """(end, profile) of consecutive windows; ``alter`` may change the records of each."""
    random = np.random.default_rng(seed)
    for number in range(count):
        start = START + number * WINDOW
        size = int(random.poisson(records)) + 1
        held = Records(
            {name: draw(random, size, start) for name, draw in draws.items()},
            {
                f"city{at}": [
                    "abcdefghij"[k] for k in np.minimum(random.geometric(0.4, size), 10) - 1
                ]
                for at in range(texts)
            },
        )
        if alter is not None:
            alter(number, held, random)
        yield start + WINDOW, held.profile()


def watch(
    stream: Iterator[tuple[int, Profile]], settings: DetectionSettings = SETTINGS
) -> tuple[ModelMonitor, list[MonitorReport]]:
    """All reports of a monitor over a stream of one version."""
    monitor = ModelMonitor(settings, "topic", "model")
    return monitor, [monitor.fold(end, WINDOW, {("1", ""): found}) for end, found in stream]
