"""A new normal: what was learned or given goes, and what comes is learned."""

from __future__ import annotations

from fnmatch import fnmatchcase

import numpy as np
import pytest

from alerts.commands import Command, Match
from alerts.events import Event, Resolved
from alerts.incidents import IncidentBook
from consumer.judges import Read
from consumer.judging import MonitoredModel, MonitorJudges
from sketches import profile
from sketches.detection import DetectionSettings
from sketches.given import GivenBaseline
from sketches.monitor import ModelMonitor
from sketches.profile import Profile
from tests.alert_reports import T0
from tests.streams import DAY, WINDOW, Records, normal, windows

SETTINGS = DetectionSettings(learn_for=DAY, learn_records=5_000)
LEARNED = 144  # windows of a day
SHIFT = 3 * LEARNED + 8  # after the cold start
ACCEPT = SHIFT + 30


def shifted(number: int, held: Records, random: np.random.Generator) -> None:
    del random
    if number >= SHIFT:
        held.numbers["x"] += 2.0


def stream(count: int) -> list[tuple[int, Profile]]:
    return list(windows({"x": normal}, count, alter=shifted))


def given(version: str = "") -> GivenBaseline:
    parts = [one for _, one in windows({"x": normal}, 40, seed=5)]
    return GivenBaseline("model", version, "", (), profile.merge(parts))


def fold(model: MonitoredModel, end: int, one: Profile, version: str = "1") -> list[Event]:
    return model.fold(end, WINDOW, Read((), one.records, {(version, ""): one}), lambda *_: ())


@pytest.mark.parametrize("prior", [None, "", "1"])
def test_the_incident_ends_and_the_new_normal_is_learned(prior: str | None) -> None:
    monitor, book = ModelMonitor(SETTINGS, "topic", "model"), IncidentBook("topic", "model")
    model = MonitoredModel(monitor, book)
    if prior is not None:
        model.give(given(prior))
    found = stream(ACCEPT + 2 * LEARNED)
    for end, one in found[:ACCEPT]:
        fold(model, end, one)
    before = model.standing()
    assert before.open == 1
    said = Command("f" * 20, "accept", T0, "ann", "a new source", Match(model="model"))
    assert model.command(said, lambda *_: ()) == []
    after = [event for end, one in found[ACCEPT:] for event in fold(model, end, one)]
    assert [event.reason for event in after if isinstance(event, Resolved)] == ["accepted"]
    assert len(after) == 1, "the new normal is normal"
    standing = model.standing()
    assert (standing.learned, standing.open, standing.watched) == (1.0, 0, before.watched)


def test_a_given_baseline_of_every_version_goes_for_versions_to_come_as_well() -> None:
    monitor = ModelMonitor(SETTINGS, "topic", "model")
    monitor.give(given())
    (end, one), *rest = stream(20)
    monitor.fold(end, WINDOW, {("1", ""): one})
    monitor.relearn(end, lambda _: True)
    reports = [monitor.fold(end, WINDOW, {("2", ""): one}) for end, one in rest]
    assert [name[:2] for name in reports[-1].learning] == [("1", ""), ("2", "")]
    whole = [n for n in monitor._streams if n is not None and len(n) == 3]
    assert whole == []


def test_a_given_baseline_of_every_version_stays_where_one_version_is_accepted() -> None:
    monitor = ModelMonitor(SETTINGS, "topic", "model")
    monitor.give(given())
    (end, one), *rest = stream(20)
    monitor.fold(end, WINDOW, {("1", ""): one, ("2", ""): one})
    monitor.relearn(end, lambda name: name is not None and fnmatchcase(name[0], "2"))
    for end, one in rest:
        monitor.fold(end, WINDOW, {("1", ""): one, ("2", ""): one})
    assert [n for n in monitor._streams if n is not None and len(n) == 3] == [("1", "", "given")]
    again = ModelMonitor.restore(SETTINGS, monitor.state())
    assert again.state() == monitor.state()


def test_a_restored_model_stands_as_it_stood_and_answers_alike() -> None:
    judges = MonitorJudges("app")
    model = judges.model("topic", "model", SETTINGS)
    for end, one in stream(ACCEPT):
        fold(model, end, one)
    assert model.standing().records > 0
    other = judges.restored_model("topic", "model", SETTINGS, model.state())
    assert other.standing() == model.standing()
    said = Command("f" * 20, "silence", T0, "ann", "known", Match(model="model"))
    told = model.command(said, lambda *_: ())
    assert len(told) == 1
    assert other.command(said, lambda *_: ()) == told
