"""A new version of a model starts from its parent's baseline."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from alerts.events import Event, Opened
from alerts.incidents import Context, IncidentBook
from consumer.judges import Read
from consumer.judging import MonitoredModel
from sketches import profile
from sketches.detection import Change, DetectionSettings
from sketches.given import GivenBaseline
from sketches.monitor import ModelMonitor, MonitorReport
from sketches.profile import Profile
from tests import alert_reports
from tests.streams import DAY, WINDOW, Alter, Records, normal, windows

SETTINGS = DetectionSettings(learn_for=DAY, learn_records=5_000)
LEARNED = 144  # windows of a day
SWITCH = 440  # window at which the version changes: after the cold start, at 432


def stream(count: int, alter: Alter | None = None) -> list[tuple[int, Profile]]:
    return list(windows({"x": normal, "@score": normal}, count, texts=0, alter=alter))


def fold(
    monitor: ModelMonitor, found: Sequence[tuple[int, Profile]], version: str
) -> list[MonitorReport]:
    return [monitor.fold(end, WINDOW, {(version, ""): one}) for end, one in found]


def changes(reports: Sequence[MonitorReport]) -> list[Change]:
    return [change for report in reports for change in report.changes]


def from_window(first: int, **by: float) -> Alter:
    def alter(number: int, held: Records, random: np.random.Generator) -> None:
        if number >= first:
            for name, size in by.items():
                held.numbers[name.replace("_", "@")] += size

    return alter


def test_it_is_watched_at_once_by_its_parents_baseline_and_says_so() -> None:
    monitor = ModelMonitor(SETTINGS, "topic", "model")
    found = stream(SWITCH + 60, from_window(SWITCH + 20, x=2.0))
    reports = fold(monitor, found[:SWITCH], "1")
    (parent,) = {each.id for report in reports for each in report.learned if not each.whole}
    reports = fold(monitor, found[SWITCH : SWITCH + 20], "2")
    assert not changes(reports)
    assert not reports[-1].learning
    reports = fold(monitor, found[SWITCH + 20 :], "2")
    (first, *_) = changes(reports)
    assert (first.version, first.feature, first.baseline) == ("2", "x", parent)
    assert first.baseline_version == "1"
    assert "critical" in {each.severity for each in changes(reports)}


def test_a_version_like_its_parent_is_quiet_and_so_is_its_own_baseline() -> None:
    monitor = ModelMonitor(SETTINGS, "topic", "model")
    found = stream(SWITCH + 3 * LEARNED)
    fold(monitor, found[:SWITCH], "1")
    assert not changes(fold(monitor, found[SWITCH:], "2"))


def test_what_came_with_the_version_is_told_and_wakes_nobody() -> None:
    monitor = ModelMonitor(SETTINGS, "topic", "model")
    found = stream(SWITCH + 100, from_window(SWITCH, x=2.0, _score=2.0))
    fold(monitor, found[:SWITCH], "1")
    told = changes(fold(monitor, found[SWITCH:], "2"))
    assert {each.feature for each in told} == {"x", "@score"}
    assert {each.severity for each in told if each.signal in {"location", "shape"}} == {"warning"}
    assert {each.severity for each in told if each.feature == "@score"} == {"warning"}


def test_what_came_with_the_version_names_it_as_the_cause() -> None:
    book = IncidentBook("topic", "model")
    model = MonitoredModel(ModelMonitor(SETTINGS, "topic", "model"), book)
    found = stream(SWITCH + 60, from_window(SWITCH, _score=2.0))
    told: list[Event] = []
    for number, (end, one) in enumerate(found):
        version = "1" if number < SWITCH else "2"
        read = Read((), one.records, {(version, ""): one})
        told += model.fold(end, WINDOW, read, lambda *_: ())
    assert {each.cause for each in told if isinstance(each, Opened)} == {"version"}


def test_a_version_with_inputs_all_missing_is_a_fault_and_pages() -> None:
    def alter(number: int, held: Records, random: np.random.Generator) -> None:
        if number >= SWITCH:
            held.numbers["x"][:] = np.nan

    monitor = ModelMonitor(SETTINGS, "topic", "model")
    found = stream(SWITCH + 2 * LEARNED, alter)
    fold(monitor, found[:SWITCH], "1")
    reports = fold(monitor, found[SWITCH:], "2")
    told = changes(reports)
    assert ("x", "critical") in {(each.feature, each.severity) for each in told}
    # The version's own learning, which begins with the fault, neither tells nor ends it.
    assert {each.baseline_version for each in told} == {"1"}
    assert not [key for report in reports for key in report.settled + report.recovered]
    assert ("2", "", "x", "missing") in reports[-1].active


def test_a_feature_that_the_parent_lacks_is_learned_by_the_version_itself() -> None:
    monitor = ModelMonitor(SETTINGS, "topic", "model")
    fold(monitor, stream(SWITCH), "1")
    names = {"x": normal, "@score": normal, "new": normal}
    later = list(windows(names, SWITCH + 2 * LEARNED, texts=0, alter=_new_one_moves))
    told = changes(fold(monitor, later[SWITCH:], "2"))
    assert {each.feature for each in told} == {"new"}
    assert {each.baseline_version for each in told} == {None}


def _new_one_moves(number: int, held: Records, random: np.random.Generator) -> None:
    if number >= SWITCH + LEARNED + 40:
        held.numbers["new"] += 2.0


def test_under_a_given_baseline_the_noise_goes_on_from_version_to_version() -> None:
    monitor = ModelMonitor(SETTINGS, "topic", "model")
    parts = [one for _, one in windows({"x": normal}, 40, texts=0, seed=5)]
    given = GivenBaseline("model", "", "", (), profile.merge(parts))
    monitor.give(given)
    found = stream(SWITCH + 60, from_window(SWITCH + 20, x=2.0))
    fold(monitor, found[:SWITCH], "1")
    told = changes(fold(monitor, found[SWITCH:], "2"))
    assert {each.baseline for each in told} == {given.id}
    assert {each.baseline_version for each in told} == {None}


def test_restored_in_the_middle_it_goes_on_exactly() -> None:
    one = ModelMonitor(SETTINGS, "topic", "model")
    found = stream(SWITCH + 60, from_window(SWITCH + 20, x=2.0))
    fold(one, found[:SWITCH], "1")
    fold(one, found[SWITCH : SWITCH + 10], "2")
    other = ModelMonitor.restore(SETTINGS, one.state())
    assert other.state() == one.state()
    again = ModelMonitor.restore(SETTINGS, other.state())
    assert again.state() == one.state()
    assert fold(other, found[SWITCH + 10 :], "2") == fold(one, found[SWITCH + 10 :], "2")
    assert other.state() == one.state()


def test_the_text_of_an_incident_says_whose_baseline_it_is() -> None:
    changes = (
        alert_reports.change(baseline_version="2"),
        alert_reports.missing(baseline_version="2"),
    )
    report = alert_reports.Report(alert_reports.T0 + 600_000_000, changes=changes)
    (event,) = IncidentBook("topic", "model").apply(report, Context(alert_reports.ranges))
    sentence = "Version 3 is compared with the baseline of version 2, from which it started."
    assert event.text.count(sentence) == 1
