"""A monitor that is given the baseline of a training set."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from sketches import profile
from sketches.detection import Change, DetectionSettings
from sketches.given import GivenBaseline, TimedProfile
from sketches.monitor import ModelMonitor, MonitorReport
from sketches.prior import Prior, Priors
from sketches.profile import Profile
from tests.streams import DAY, WINDOW, Records, normal, windows

SETTINGS = DetectionSettings(learn_for=DAY, learn_records=5_000)
LEARNED = 144  # windows of a day


def training(names: Sequence[str] = ("x",), version: str = "", seed: int = 5) -> GivenBaseline:
    found = windows(dict.fromkeys(names, normal), 40, texts=0, seed=seed)
    return GivenBaseline("model", version, "", ("t.csv",), profile.merge([one for _, one in found]))


def shifted(by: float) -> object:
    def alter(number: int, held: Records, random: np.random.Generator) -> None:
        held.numbers["x"] += by

    return alter


def stream(count: int, by: float = 0.0, **named: object) -> list[tuple[int, Profile]]:
    names = {"x": normal, "y": normal}
    return list(windows(names, count, texts=0, alter=shifted(by), **named))  # type: ignore[arg-type]


def fold(
    monitor: ModelMonitor, found: Sequence[tuple[int, Profile]], version: str = "1"
) -> list[MonitorReport]:
    return [monitor.fold(end, WINDOW, {(version, ""): one}) for end, one in found]


def changes(reports: Sequence[MonitorReport]) -> list[Change]:
    return [change for report in reports for change in report.changes]


def test_a_stream_like_its_training_set_is_quiet_and_one_that_is_not_is_told_at_once() -> None:
    given = training()
    same = ModelMonitor(SETTINGS, "topic", "model")
    same.give(given)
    reports = fold(same, stream(400))
    assert not changes(reports)
    assert given.id in {each.id for report in reports for each in report.learned}
    moved = ModelMonitor(SETTINGS, "topic", "model")
    moved.give(given)
    reports = fold(moved, stream(LEARNED + 30, by=0.5))
    (first,) = [each for each in changes(reports) if each.signal == "location"]
    assert (first.feature, first.baseline, first.direction) == ("x", given.id, "up")
    assert first.effect == pytest.approx(0.5, abs=0.25)
    assert first.detected <= reports[LEARNED + 5].now


def test_one_that_is_learned_alone_sees_no_difference() -> None:
    monitor = ModelMonitor(SETTINGS, "topic", "model")
    assert not changes(fold(monitor, stream(LEARNED + 30, by=0.5)))


def test_until_its_noise_is_known_what_was_learned_is_watched_and_what_it_lacks_is_after() -> None:
    monitor, given = ModelMonitor(SETTINGS, "topic", "model"), training()
    found = stream(4 * LEARNED, seed=2)
    reports = fold(monitor, found[: 2 * LEARNED])
    (learned,) = {e.id for report in reports for e in report.learned if not e.whole}
    monitor.give(given)
    more = stream(4 * LEARNED, by=1.0, seed=2)
    reports = fold(monitor, more[2 * LEARNED : 2 * LEARNED + 20])
    assert {each.baseline for each in changes(reports) if each.feature == "x"} == {learned}
    reports = fold(monitor, more[2 * LEARNED + 20 : 3 * LEARNED + 20])
    (first,) = [each for each in changes(reports) if each.signal == "location"]
    assert (first.feature, first.baseline) == ("x", given.id)
    both = list(windows({"x": normal, "y": normal}, 4 * LEARNED, texts=0, seed=2, alter=_both))
    reports = fold(monitor, both[3 * LEARNED + 20 :])
    assert {e.baseline for e in changes(reports) if e.feature == "y"} == {learned}


def _both(number: int, held: Records, random: np.random.Generator) -> None:
    held.numbers["x"] += 1.0
    held.numbers["y"] += 1.0


def test_a_training_set_that_has_the_new_level_ends_what_was_changed() -> None:
    monitor = ModelMonitor(SETTINGS, "topic", "model")
    fold(monitor, stream(2 * LEARNED))
    more = stream(5 * LEARNED, by=1.0)
    reports = fold(monitor, more[2 * LEARNED : 2 * LEARNED + 30])
    assert ("1", "", "x", "location") in reports[-1].active
    parts = windows({"x": normal}, 40, texts=0, seed=9, alter=shifted(1.0))  # type: ignore[arg-type]
    monitor.give(GivenBaseline("model", "1", "", (), profile.merge([one for _, one in parts])))
    reports = fold(monitor, more[2 * LEARNED + 30 :])
    assert ("1", "", "x", "location") not in reports[-1].active
    assert not changes(reports)


def test_a_monitor_restored_while_it_learns_the_noise_goes_on_exactly() -> None:
    one = ModelMonitor(SETTINGS, "topic", "model")
    found = stream(3 * LEARNED, by=0.4)
    fold(one, found[: LEARNED + 40])
    one.give(training())
    fold(one, found[LEARNED + 40 : LEARNED + 80])
    other = ModelMonitor.restore(SETTINGS, one.state())
    assert other.state() == one.state()
    assert fold(one, found[LEARNED + 80 :]) == fold(other, found[LEARNED + 80 :])
    assert other.state() == one.state()
    again = ModelMonitor.restore(SETTINGS, one.state())
    assert again.state() == one.state()


def timed(count: int, window: int = WINDOW) -> GivenBaseline:
    """A training set with times, in blocks of one window."""
    found = [one for _, one in windows({"x": normal}, count, texts=0, seed=5)]
    blocks = tuple(
        TimedProfile(at * window, (at + 1) * window, one) for at, one in enumerate(found)
    )
    return GivenBaseline("model", "", "", ("t.csv",), profile.merge(found), blocks)


def test_the_noise_of_a_training_set_with_times_holds_once_the_blocks_are_alike() -> None:
    monitor, given = ModelMonitor(SETTINGS, "topic", "model"), timed(2 * LEARNED)
    monitor.give(given)
    reports = fold(monitor, stream(60, by=0.5))
    told = changes(reports)
    assert {(each.feature, each.baseline) for each in told} == {("x", given.id)}
    assert told[0].detected <= reports[20].now
    quiet = ModelMonitor(SETTINGS, "topic", "model")
    quiet.give(given)
    assert not changes(fold(quiet, stream(400)))


@pytest.mark.parametrize(
    "given",
    [timed(2 * LEARNED, window=WINDOW // 10), timed(40), timed(2 * LEARNED, window=10 * WINDOW)],
    ids=["shorter blocks", "too short a time", "longer blocks"],
)
def test_that_of_other_blocks_or_too_few_does_not(given: GivenBaseline) -> None:
    monitor = ModelMonitor(SETTINGS, "topic", "model")
    monitor.give(given)
    assert not changes(fold(monitor, stream(60, by=0.5)))


def test_a_rehearsed_monitor_restored_goes_on_exactly() -> None:
    one = ModelMonitor(SETTINGS, "topic", "model")
    found = stream(80, by=0.5)
    one.give(timed(2 * LEARNED))
    fold(one, found[:4])
    other = ModelMonitor.restore(SETTINGS, one.state())
    assert other.state() == one.state()
    assert fold(one, found[4:]) == fold(other, found[4:])
    assert other.state() == one.state()


def test_the_same_again_changes_nothing() -> None:
    monitor = ModelMonitor(SETTINGS, "topic", "model")
    monitor.give(training())
    fold(monitor, stream(20))
    before = monitor.state()
    monitor.give(training())
    assert monitor.state() == before


def test_that_of_the_version_comes_before_that_of_all() -> None:
    priors, whole, own = Priors(), training(seed=1), training(version="2", seed=2)
    for each in (whole, own):
        assert not priors.holds(each)
        priors.give(each.version, each.segment, Prior.of(each))
        assert priors.holds(each)
    found = [priors.of("1", ""), priors.of("2", ""), priors.of("2", "de")]
    assert [each.id if each else None for each in found] == [whole.id, own.id, None]
