"""Raw records of several models, and what is done to them: incidents of eight kinds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from bench.study.raw import Tables, taken
from bench.study.scores import Injection
from bench.study.streams import SHARES, START
from consumer.batch import RecordKey
from sketches.blocks import DAY
from sketches.table import PREDICTION, BoolArray, Kind, Table

NUMBERS = ("age", "amount", "balance", "duration", "income", "price", PREDICTION)
TEXTS = ("channel", "city", "device")
NAMES = [f"value-{at:02d}" for at in range(len(SHARES))]
HOUR = DAY // 24

# Table, which feature, time since the fault began as a share of its length -> what is logged.
Break = Callable[[Table, int, float, np.random.Generator], Table]


class Fault(NamedTuple):
    """One kind of incident: the cause that must be named, and what is done."""

    cause: str
    change: Break
    abrupt: bool = True
    version: bool = False


class Size(NamedTuple):
    """Of a world: ``slot`` microseconds for each incident, in the first ``length`` of which it is.

    Attributes:
        models: Their number.
        records: Of a model in a window, on average.
        window: Microseconds.
        days: Of the baseline.
        slots: Incidents of each model.
        slot: Microseconds.
        length: Microseconds that one lasts.
    """

    models: int
    records: int
    window: int
    days: int
    slots: int
    slot: int
    length: int


def number(name: str) -> int:
    """Its column."""
    return NUMBERS.index(name)


def _schema(table: Table, feature: int, share: float, random: np.random.Generator) -> Table:
    """A number is sent as a text."""
    at = feature % 6
    texts: list[str | None] = [repr(round(value, 3)) for value in table.numbers[:, at].tolist()]
    numbers = table.numbers.copy()
    numbers[:, at] = np.nan
    kinds = {NUMBERS[at]: np.full(table.length, Kind.TEXT, dtype=np.uint8)}
    return replace(
        table,
        numbers=numbers,
        text_names=(*table.text_names, NUMBERS[at]),
        texts=(*table.texts, texts),
        kinds=table.kinds | kinds,
    )


def _unit(table: Table, feature: int, share: float, random: np.random.Generator) -> Table:
    return _scaled(table, feature % 6, 1000.0, 0.0)


def _scaled(table: Table, at: int, factor: float, shift: float) -> Table:
    numbers = table.numbers.copy()
    numbers[:, at] = numbers[:, at] * factor + shift
    return replace(table, numbers=numbers)


def _stuck(table: Table, feature: int, share: float, random: np.random.Generator) -> Table:
    numbers = table.numbers.copy()
    numbers[:, feature % 6] = 103.25
    return replace(table, numbers=numbers)


def _nulls(table: Table, feature: int, share: float, random: np.random.Generator) -> Table:
    return emptied(table, feature % 6, random.random(table.length) < 0.5, Kind.NULL)


def emptied(table: Table, at: int, rows: BoolArray, kind: Kind) -> Table:
    """Without the numbers of one column in some rows, shape (n,)."""
    numbers = table.numbers.copy()
    numbers[rows, at] = np.nan
    kinds = table.kinds.get(NUMBERS[at])
    held = np.full(table.length, Kind.NUMBER, dtype=np.uint8) if kinds is None else kinds.copy()
    held[rows] = kind
    return replace(table, numbers=numbers, kinds=table.kinds | {NUMBERS[at]: held})


def _category(table: Table, feature: int, share: float, random: np.random.Generator) -> Table:
    at = feature % len(TEXTS)
    new = (random.random(table.length) < 0.05).tolist()
    column = ["brand-new" if one else old for one, old in zip(new, table.texts[at], strict=True)]
    return replace(table, texts=(*table.texts[:at], column, *table.texts[at + 1 :]))


def _gradual(table: Table, feature: int, share: float, random: np.random.Generator) -> Table:
    """A whole standard deviation, in the course of the incident."""
    return _scaled(table, feature % 6, 1.0, 10.0 * share)


def _volume(table: Table, feature: int, share: float, random: np.random.Generator) -> Table:
    return taken(table, random.random(table.length) < 0.5)


def _version(table: Table, feature: int, share: float, random: np.random.Generator) -> Table:
    return _scaled(table, number(PREDICTION), 1.0, 10.0)


def _spike(table: Table, feature: int, share: float, random: np.random.Generator) -> Table:
    """Three standard deviations, for the time of a spike."""
    return _scaled(table, feature % 6, 1.0, 30.0)


KINDS = {
    "schema break": Fault("schema_break", _schema),
    "unit change": Fault("unit_change", _unit),
    "stuck": Fault("stuck", _stuck),
    "nulls": Fault("missing", _nulls),
    "new category": Fault("new_category", _category),
    "gradual": Fault("gradual", _gradual, abrupt=False),
    "volume": Fault("volume", _volume),
    "version": Fault("version", _version, version=True),
}
SPIKE = Fault("shift", _spike)


class Scheduled(NamedTuple):
    """An injection and how it is made."""

    injection: Injection
    kind: str
    change: Break
    feature: int
    version: str


def schedule(size: Size, kinds: Sequence[str], seed: int) -> list[Scheduled]:
    """One incident in each slot of each model, the kinds in turn, times and features by chance."""
    random = np.random.default_rng(seed)
    found = []
    for model in range(size.models):
        for slot in range(size.slots):
            kind = kinds[(model * size.slots + slot) % len(kinds)]
            held = SPIKE if kind == "spike" else KINDS[kind]
            late = int(random.integers(0, max(size.slot // size.window // 8, 1))) * size.window
            start = START + size.days * DAY + slot * size.slot + late
            injection = Injection(
                f"model-{model:02d}", held.cause, start, start + size.length, held.abrupt
            )
            version = str(slot + 2) if held.version else "1"
            feature = int(random.integers(0, 6))
            found.append(Scheduled(injection, kind, held.change, feature, version))
    return found


Spoil = Callable[[Table, np.random.Generator], Table]


def feature_of(each: Scheduled) -> str:
    """The feature that an injection is made in; empty: the records of the model as a whole."""
    if each.kind == "volume":
        return ""
    if each.kind == "new category":
        return TEXTS[each.feature % len(TEXTS)]
    return PREDICTION if each.kind == "version" else NUMBERS[each.feature % 6]


def windows(
    size: Size, scheduled: Sequence[Scheduled], seed: int, spoil: Spoil | None = None
) -> Iterator[Tables]:
    """Every window of all models, the injections in it.

    Args:
        size: Of the world.
        scheduled: Injections.
        seed: Of the records.
        spoil: Done to every table before all else.
    """
    random, other = np.random.default_rng(seed), np.random.default_rng(seed + 1)
    count = (size.days * DAY + size.slots * size.slot) // size.window
    of_model: dict[str, list[Scheduled]] = {}
    for each in scheduled:
        of_model.setdefault(each.injection.model, []).append(each)
    for at in range(count):
        start = START + at * size.window
        tables: dict[RecordKey, Table] = {}
        for model in range(size.models):
            name, version = f"model-{model:02d}", "1"
            table = drawn(random, int(random.poisson(size.records)) + 1, start)
            if spoil is not None:
                table = spoil(table, other)
            for each in of_model.get(name, ()):
                injection = each.injection
                if injection.start <= start < injection.end:
                    share = (start + size.window - injection.start) / size.length
                    table = each.change(table, each.feature, share, other)
                    version = each.version
            tables[RecordKey(name, version, "")] = table
        yield tables


def drawn(random: np.random.Generator, records: int, time: int) -> Table:
    """Numbers of mean 100 and standard deviation 10, half of it by the hour in one; Zipf texts."""
    values = random.normal(100.0, 10.0, (records, len(NUMBERS)))
    values[:, 0] += 5.0 * np.sin(2 * np.pi * time / DAY)
    places = random.choice(len(SHARES), (records, len(TEXTS)), p=SHARES)
    texts = tuple([NAMES[at] for at in column] for column in places.T.tolist())
    return Table(records, NUMBERS, np.round(values, 3), TEXTS, texts)
