from __future__ import annotations

import math

import numpy as np

from sketches.blocks import DAY
from sketches.detection import Change, DetectionSettings
from sketches.monitor import ModelMonitor
from sketches.renewal import Renewal, columns_of
from sketches.residuals import Noise
from sketches.scales import LEVELS, WINDOWS
from sketches.table import FloatArray
from sketches.windowed import LastBlocks
from tests import streams
from tests.streams import WINDOW, Records, normal, watch, windows


def by_day(shifted_from: int) -> list[Change]:
    """What is told of 12 days of a season, and of a shift of half a standard deviation after it."""

    def alter(number: int, held: Records, random: np.random.Generator) -> None:
        season = math.sin(2 * math.pi * number * WINDOW / DAY)
        held.numbers["x"] += season + 0.5 * (number >= shifted_from)

    stream = windows({"x": normal}, shifted_from + 72, texts=0, alter=alter)
    _, reports = watch(stream, DetectionSettings(learn_records=1_000))
    return [change for report in reports for change in report.changes if change.feature == "x"]


def test_the_season_that_a_day_could_not_know_hides_nothing_later() -> None:
    first = 12 * DAY // WINDOW
    found = [each for each in by_day(first) if each.signal == "location"]
    late = [each for each in found if each.detected > streams.START + first * WINDOW]
    assert late
    assert late[0].detected <= streams.START + (first + 12) * WINDOW
    assert len(found) == len(late)


def measured(values: FloatArray, told: bool = False) -> Noise:
    """Of one signal that a baseline of a day took for quiet, from blocks of 100 records."""
    shape, one = (LEVELS, 1), np.ones(1)
    zeros, df = np.zeros(shape), np.full(shape, 200.0)
    noise = Noise(one, zeros, 0.01 * one, zeros, 0 * one, df, 0 * one, one, one > 2)
    by_records = np.ones(1, dtype=bool)
    last, renewal = LastBlocks(by_records), Renewal(0, DAY)
    for number, value in enumerate(values):
        held = last.add(np.array([value]), by_records, 100.0, number)
        mine = np.ones(len(held.signals), dtype=bool)
        out = columns_of(held.signals, [0] if told and value > 1 else [])
        renewal.add(held, number, last.first[held.signals], mine, out, out)
    return renewal.measured(noise, held.signals, mine, 2 * DAY)[0]


def test_moments_side_by_side_give_the_noise_of_each_length() -> None:
    random = np.random.default_rng(5)
    values = np.repeat(random.normal(0, 0.5, 512), 8)  # alike for 8 blocks
    noise = measured(values)
    means = [np.var(values[: len(values) // w * w].reshape(-1, w).mean(axis=1)) for w in WINDOWS]
    known = np.maximum(np.array(means) - 1 / (100 * WINDOWS), 0.0)
    assert np.allclose(noise.extra[:5, 0], known[:5], rtol=0.1)
    assert noise.long_run[0] > 4 * noise.extra[0, 0]


def test_what_is_told_as_a_change_is_left_out() -> None:
    random = np.random.default_rng(6)
    values = random.normal(0, 0.3, 2_000)
    values[500:900] += 5.0
    assert measured(values).extra[0, 0] > 1.0
    assert measured(values, told=True).extra[0, 0] < 0.15


def test_it_is_due_when_a_stream_is_twice_as_old_and_not_for_ever() -> None:
    renewal, ages = Renewal(0, DAY), []
    noise = measured(np.zeros(128))
    while not renewal.over:
        ages.append(renewal.due // DAY)
        renewal.measured(noise, np.zeros(1, dtype=np.int64), np.ones(1, dtype=bool), renewal.due)
    assert ages == [2, 4, 8, 16, 32]


def test_a_signal_that_changes_again_and_again_early_is_like_that() -> None:
    renewal = Renewal(0, DAY)
    renewal.tell([3, 4])
    renewal.tell([3])
    assert renewal.left_out([3, 4], 5 * DAY) == [4]
    assert renewal.left_out([3, 4], 20 * DAY) == [3, 4]
    again = Renewal.restore(renewal.state())
    assert again.state() == renewal.state()


def test_a_monitor_restored_in_between_goes_on_exactly() -> None:
    settings = DetectionSettings(learn_records=1_000)
    monitor = ModelMonitor(settings, "t", "m")
    other = monitor
    for number, (end, found) in enumerate(windows({"x": normal}, 5 * DAY // WINDOW, texts=0)):
        if number == 400:
            other = ModelMonitor.restore(settings, monitor.state())
        report = monitor.fold(end, WINDOW, {("1", ""): found})
        if number >= 400:
            assert other.fold(end, WINDOW, {("1", ""): found}) == report
    assert other.state() == monitor.state()
