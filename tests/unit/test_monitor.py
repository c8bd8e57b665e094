from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from sketches.detection import Change, DetectionSettings, FeatureDetection
from sketches.monitor import ModelMonitor, StateError
from sketches.report import MonitorReport
from tests import streams
from tests.streams import (
    DAY,
    SETTINGS,
    WEEK_WINDOWS,
    WINDOW,
    Alter,
    Records,
    normal,
    watch,
    windows,
)

FROM = 440  # window at which the changes of these tests begin: after the cold start, at 432


def changes(reports: list[MonitorReport]) -> list[Change]:
    return [change for report in reports for change in report.changes]


def windows_late(change: Change) -> int:
    return (change.detected - streams.START) // WINDOW - 1 - FROM


def since(change: Callable[[Records, np.random.Generator], None], until: int = 10**9) -> Alter:
    def alter(number: int, held: Records, random: np.random.Generator) -> None:
        if FROM <= number < until:
            change(held, random)

    return alter


def shift(size: float) -> Callable[[Records, np.random.Generator], None]:
    def change(held: Records, random: np.random.Generator) -> None:
        held.numbers["x"] += size

    return change


def nulls(share: float) -> Callable[[Records, np.random.Generator], None]:
    def change(held: Records, random: np.random.Generator) -> None:
        held.numbers["x"][random.random(held.length) < share] = np.nan

    return change


def widen(held: Records, random: np.random.Generator) -> None:
    held.numbers["x"] *= math.sqrt(2)


def newcomer(held: Records, random: np.random.Generator) -> None:
    held.texts["city0"] = [
        "mars" if random.random() < 0.05 else name for name in held.texts["city0"]
    ]


def swap(held: Records, random: np.random.Generator) -> None:
    held.texts["city0"] = ["j" if random.random() < 0.2 else name for name in held.texts["city0"]]


def halve(held: Records, random: np.random.Generator) -> None:
    kept = max(held.length // 2, 1)
    held.numbers = {name: values[:kept] for name, values in held.numbers.items()}
    held.texts = {name: values[:kept] for name, values in held.texts.items()}


def late(held: Records, random: np.random.Generator) -> None:
    held.late = held.length // 5


def rejects(held: Records, random: np.random.Generator) -> None:
    held.rejects = held.length // 10


def errors(held: Records, random: np.random.Generator) -> None:
    held.errors = held.length // 10


@pytest.mark.parametrize(
    ("alter", "key", "severity"),
    [
        (shift(0.5), ("x", "location"), "critical"),
        (shift(-0.5), ("x", "location"), "critical"),
        (widen, ("x", "spread"), "critical"),
        (nulls(0.05), ("x", "missing"), "critical"),
        (nulls(1.0), ("x", "missing"), "critical"),
        (newcomer, ("city0", "unseen"), "critical"),
        (swap, ("city0", "distance"), "critical"),
        (halve, ("", "volume"), "critical"),
        (late, ("", "late"), "critical"),
        (rejects, ("", "rejects"), "critical"),
        (errors, ("", "errors"), "critical"),
    ],
    ids=lambda each: getattr(each, "__name__", str(each)),
)
def test_a_change_is_found_soon(
    alter: Callable[[Records, np.random.Generator], None], key: tuple[str, str], severity: str
) -> None:
    stream = windows({"x": normal, "y": normal}, FROM + 40, seed=3, alter=since(alter))
    _, reports = watch(stream)
    found = changes(reports)
    mine = [one for one in found if (one.feature, one.signal) == key]
    assert mine, found
    first = mine[0]
    assert 0 <= windows_late(first) <= 8
    assert abs(first.onset - (streams.START + FROM * WINDOW)) <= 4 * WINDOW
    assert any(one.severity == severity for one in mine)
    assert first.score >= 1
    assert first.effect > 0
    assert first.sample >= 100
    assert first.baseline_sample >= SETTINGS.learn_records
    assert not [one for one in found if one.feature == "y"]


def test_a_change_is_told_in_native_units() -> None:
    def scaled(random: np.random.Generator, count: int, time: int) -> np.ndarray:
        return 50_000 + 1_000 * random.normal(size=count)

    stream = windows({"x": scaled}, FROM + 20, alter=since(shift(-1_000)))
    _, reports = watch(stream)
    change = changes(reports)[0]
    assert change.before == pytest.approx(50_000, abs=60)
    assert change.after == pytest.approx(49_000, abs=200)
    assert (change.direction, change.unit, change.effect_unit) == ("down", "value", "sd")
    assert change.effect == pytest.approx(1.0, abs=0.2)
    assert change.detector in {"ADWIN", "PageHinkley"}
    assert change.top


def test_a_change_is_told_once_and_its_end_too() -> None:
    stream = windows({"x": normal}, FROM + 160, alter=since(shift(1.0), FROM + 80))
    _, reports = watch(stream)
    assert len(changes(reports)) == 1
    key = ("1", "", "x", "location")
    active = [at for at, report in enumerate(reports) if key in report.active]
    assert active == list(range(active[0], active[-1] + 1))
    over = [at for at, report in enumerate(reports) if key in report.recovered]
    assert over == [active[-1] + 1]
    assert 2 <= over[0] - (FROM + 80) <= 13


@pytest.mark.parametrize("alter", [nulls(0.05), newcomer, errors])
def test_a_share_that_is_back_is_told_within_an_hour(
    alter: Callable[[Records, np.random.Generator], None],
) -> None:
    _, reports = watch(windows({"x": normal}, FROM + 60, alter=since(alter, FROM + 40)))
    assert changes(reports)
    over = [at for at, report in enumerate(reports) if report.recovered]
    assert over
    assert over[0] >= FROM + 40
    assert over[-1] <= FROM + 40 + 6
    assert not reports[-1].active


def test_a_change_that_doubles_is_told_again() -> None:
    def alter(number: int, held: Records, random: np.random.Generator) -> None:
        held.numbers["x"] += 0.5 * (number >= FROM) + 1.0 * (number >= FROM + 30)

    _, reports = watch(windows({"x": normal}, FROM + 60, alter=alter))
    found = changes(reports)
    assert len(found) == 2
    assert found[0].onset == found[1].onset
    assert found[1].effect >= 2 * found[0].effect


def test_a_new_level_becomes_normal_after_a_week() -> None:
    count = FROM + WEEK_WINDOWS + 400
    _, reports = watch(windows({"x": normal}, count, texts=0, alter=since(shift(1.0))))
    key = ("1", "", "x", "location")
    settled = [at for at, report in enumerate(reports) if key in report.settled]
    assert len(settled) == 1
    assert 0 <= settled[0] - FROM - WEEK_WINDOWS <= 10
    assert len(changes(reports)) == 1
    assert not reports[-1].active


def test_a_change_after_settling_is_told_against_the_new_level() -> None:
    back = FROM + WEEK_WINDOWS + 100
    _, reports = watch(windows({"x": normal}, back + 30, texts=0, alter=since(shift(1.0), back)))
    first, second = changes(reports)
    assert second.direction == "down"
    assert second.before == pytest.approx(first.after, abs=0.15)
    assert second.after == pytest.approx(first.before, abs=0.15)


@pytest.mark.parametrize("seed", [0, 1])
def test_null_streams_are_quiet_for_weeks(seed: int) -> None:
    draws = {
        "normal": normal,
        "heavy": streams.lognormal,
        "wandering": streams.wandering(0.8),
        "daily": streams.daily,
        "constant": streams.constant,
        "rare": streams.rare,
    }
    settings = DetectionSettings(learn_for=3 * DAY, learn_records=10_000)
    stream = windows(draws, 2 * WEEK_WINDOWS, records=120, seed=seed)
    _, reports = watch(stream, settings)
    assert len(changes(reports)) <= 1  # budget: 5 a week


def test_nan_and_infinities_leave_detection_as_it_is() -> None:
    def alter(number: int, held: Records, random: np.random.Generator) -> None:
        strange = random.random(held.length)
        held.numbers["x"][strange < 0.05] = np.nan
        held.numbers["x"][strange > 0.95] = np.inf
        if number >= FROM:
            held.numbers["x"] += 0.5

    _, reports = watch(windows({"x": normal}, FROM + 20, alter=alter))
    found = changes(reports)
    assert found[0].signal == "location"
    assert windows_late(found[0]) <= 6
    assert all(math.isfinite(one.after) and math.isfinite(one.effect) for one in found)


@pytest.mark.parametrize("kind", ["null", "constant", "none"])
def test_degenerate_features_are_defined(kind: str) -> None:
    def alter(number: int, held: Records, random: np.random.Generator) -> None:
        if kind == "null":
            held.numbers["x"][:] = np.nan
        elif kind == "none":
            held.numbers = {}
        if number >= FROM and kind == "constant":
            held.numbers["x"] += 0.5

    draw = streams.constant if kind == "constant" else normal
    _, reports = watch(windows({"x": draw}, FROM + 20, texts=1, alter=alter))
    found = changes(reports)
    assert bool(found) == (kind == "constant")
    if found:
        assert (found[0].before, found[0].after) == pytest.approx((5.0, 5.5), abs=0.01)


def test_settings_of_features() -> None:
    rules = {
        "*": {
            "up": FeatureDetection(direction="up"),
            "capped": FeatureDetection(severity_cap="warning"),
            "off": FeatureDetection(detect=False),
            "large": FeatureDetection(minimum_effect=2.0),
        }
    }
    settings = DetectionSettings(learn_for=2 * DAY, learn_records=5_000, features=rules)

    def alter(number: int, held: Records, random: np.random.Generator) -> None:
        if number >= FROM:
            for name in held.numbers:
                held.numbers[name] -= 1.0

    draws = dict.fromkeys(("up", "capped", "off", "large", "plain"), normal)
    _, reports = watch(windows(draws, FROM + 20, texts=0, alter=alter), settings)
    found = {change.feature: change.severity for change in changes(reports)}
    assert found == {"capped": "warning", "plain": "critical"}
    assert reports[-1].watched == 4


def test_learning_is_reported_and_ends_when_both_are_reached() -> None:
    _, reports = watch(windows({"x": normal}, 300, texts=0))
    assert reports[10].learning[0][2] == pytest.approx(11 / 288, abs=0.01)
    learned = [(at, one) for at, report in enumerate(reports) for one in report.learned]
    assert [at for at, _ in learned] == [287, 287]
    assert not reports[-1].learning
    one = learned[0][1]
    assert (one.version, one.whole, one.end - one.start) == ("1", False, 2 * DAY)
    assert len(one.id) == 16


def test_learning_ends_where_it_is_told_to() -> None:
    until = streams.START + 200 * WINDOW
    settings = DetectionSettings(learn_until=until)
    _, reports = watch(windows({"x": normal}, 260, records=60), settings)
    learned = [one for report in reports for one in report.learned]
    assert {one.end for one in learned} == {until}


def test_sparse_streams_test_what_they_have_after_a_day() -> None:
    settings = DetectionSettings(learn_for=20 * DAY, learn_records=20)
    monitor = ModelMonitor(settings, "t", "m")
    random = np.random.default_rng(0)
    end, learned = streams.START, 0
    for day in range(60):
        end = streams.START + day * DAY + 3600 * streams.SECOND
        found = Records({"x": random.normal(size=1)}).profile()
        learned += len(monitor.fold(end, WINDOW, {("1", ""): found}).learned)
    assert learned == 2


def test_a_stream_of_few_records_is_watched_after_two_weeks() -> None:
    day = DAY // WINDOW

    def move(number: int, held: Records, random: np.random.Generator) -> None:
        held.numbers["x"] += 2.0 * (number >= 18 * day)

    stream = windows({"x": normal}, 22 * day, records=0, texts=0, alter=move)
    _, reports = watch(stream, DetectionSettings())
    learned = [one for report in reports for one in report.learned]
    assert {(one.end - streams.START) // DAY for one in learned} == {14}
    assert all(one.records < DetectionSettings().learn_records for one in learned)
    found = [one for one in changes(reports) if one.signal == "location"]
    assert found
    assert all(one.detected > streams.START + 18 * DAY for one in found)


def test_versions_and_segments_are_judged_apart() -> None:
    monitor = ModelMonitor(SETTINGS, "t", "m")
    shifted = windows({"x": normal}, FROM + 20, seed=1, alter=since(shift(1.0)))
    plain = windows({"x": normal}, FROM + 20, seed=2)
    found: list[Change] = []
    for (end, one), (_, other) in zip(shifted, plain, strict=True):
        found += monitor.fold(end, WINDOW, {("1", "eu"): one, ("1", "us"): other}).changes
    assert {(one.version, one.segment, one.feature) for one in found} == {("1", "eu", "x")}


def test_state_of_a_newer_release_is_refused() -> None:
    with pytest.raises(StateError, match="cannot be read"):
        ModelMonitor.restore(SETTINGS, b"\x93")
    with pytest.raises(StateError, match="version 99"):
        ModelMonitor.restore(SETTINGS, b"\x81\xa1v\x63")


def test_other_settings_hold_from_here_on() -> None:
    monitor, _ = watch(windows({"x": normal}, 320, texts=0))
    strict = DetectionSettings(features={"*": {"x": FeatureDetection(detect=False)}})
    restored = ModelMonitor.restore(strict, monitor.state())
    monitor.apply_settings(strict)
    for end, found in windows({"x": streams.constant}, 20, texts=0):
        report = monitor.fold(end + 10 * DAY, WINDOW, {("1", ""): found})
        assert report == restored.fold(end + 10 * DAY, WINDOW, {("1", ""): found})
        assert not report.changes
        assert report.watched == 0
