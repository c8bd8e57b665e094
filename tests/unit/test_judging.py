"""From the profiles of one window to what a monitor is given."""

from __future__ import annotations

from typing import Any

import numpy as np

from alerts.events import Event, Opened, Resolved, encode
from alerts.incidents import IncidentBook
from consumer.completeness import Held
from consumer.fold import Fold
from consumer.judges import Read
from consumer.judging import MonitoredModel, MonitorJudges
from consumer.log import LogRecord
from sketches import codec
from sketches.detection import DetectionSettings, Ownership
from sketches.monitor import ModelMonitor
from sketches.profile import Profile, profile_table
from sketches.table import Table
from tests.alert_reports import HOUR, T0
from tests.fold_logs import W, closing, profile, publish


def _profile(*values: float) -> Profile:
    numbers = np.array(values, dtype=np.float64)[:, None]
    return profile_table(
        Table(length=len(values), number_names=("x",), numbers=numbers, text_names=(), texts=())
    )


def _held(partition: int, *payloads: bytes, version: str = "", late: bool = False) -> Held:
    return Held("m", partition, W, version, "", W, payloads, 0, 9, late)


def test_profiles_are_merged_by_version_and_those_of_another_window_are_late() -> None:
    one, two = _profile(1.0, 2.0), _profile(3.0)
    held = [
        _held(0, *codec.encode(one)),
        _held(1, *codec.encode(two), late=True),
        _held(1, *codec.encode(two), version="2"),
    ]
    (read,) = MonitorJudges("app").read_all([held])
    assert list(read.profiles) == [("", ""), ("2", "")]
    assert read.records == 4
    assert (read.profiles["", ""].records, read.profiles["", ""].late) == (3, 1)
    assert read.profiles["2", ""].late == 0
    assert read.unread == []


def test_a_profile_that_cannot_be_read_is_named_and_the_others_are_used() -> None:
    broken = _held(1, b"\xc1")
    (read,) = MonitorJudges("app").read_all([[_held(0, *codec.encode(_profile(1.0))), broken]])
    assert read.unread == [broken]
    assert read.records == 1


def test_rejects_alone_are_no_records() -> None:
    rejects = codec.encode(Profile(rejects={"json": 3}))
    (read,) = MonitorJudges("app").read_all([[_held(0, *rejects)]])
    assert read.records == 0
    assert read.profiles["", ""].rejects == {"json": 3}


def _shifted_log(windows: int, shift_at: int) -> list[LogRecord]:
    r = np.random.default_rng(1)
    records: list[LogRecord] = []
    for at in range(windows):
        values = r.normal(5.0 if at >= shift_at else 0.0, 1.0, 100)
        end = (at + 1) * W
        made = [
            profile(end, payload=part, first=100 * at, last=100 * at + 99)
            for part in codec.encode(_profile(*values))
        ]
        records += publish([closing(at * W or None, end, 100 * (at + 1), *made)], "w")
    return records


def test_a_shift_opens_one_incident_with_its_offsets_and_so_it_does_after_a_snapshot() -> None:
    owners = {"m": Ownership({"team": "risk"}, runbook="https://wiki/m")}
    settings = DetectionSettings(learn_for=100 * W, learn_records=10_000, owners=owners)
    records = _shifted_log(windows=260, shift_at=200)
    fold = Fold("app", settings, judges=MonitorJudges("app"))
    resumed: list[bytes] = []
    events: list[Event] = []
    other = fold
    for offset, record in enumerate(records):
        events += fold.apply(offset, record)
        if other is not fold:
            resumed += [encode(event) for event in other.apply(offset, record)]
        if offset == 350:
            other, at = Fold.restore("app", dict(fold.snapshot(351)), judges=MonitorJudges("app"))
            assert at == 351
    (opened,) = [event for event in events if isinstance(event, Opened)]
    assert (opened.labels, opened.runbook) == ({"team": "risk"}, "https://wiki/m")
    assert opened.cause == "shift"
    (found,) = opened.evidence.ranges
    assert found.start <= 20_000 < found.stop
    assert resumed == [encode(event) for event in events]


def test_what_is_changed_in_a_version_that_is_retired_expires_and_is_found_again() -> None:
    settings = DetectionSettings(learn_for=48 * HOUR, learn_records=1_000)
    judges = MonitorJudges("app")
    model = judges.model("t", "m", settings)
    r = np.random.default_rng(3)

    def hours(version: str, mean: float, first: int, last: int) -> list[tuple[int, Event]]:
        nonlocal model
        told = []
        for hour in range(first, last):
            one = _profile(*r.normal(mean, 1.0, 200))
            read = Read([], one.records, {(version, ""): one}, [])
            events = model.fold(T0 + (hour + 1) * HOUR, HOUR, read, lambda since, until: ())
            told += [(hour, event) for event in events]
            if hour % 10 == 0:
                model = judges.restored_model("t", "m", settings, model.state())
        return told

    assert hours("1", 0.0, 0, 60) == []
    ((_, opened),) = hours("1", 3.0, 60, 72)
    assert isinstance(opened, Opened)
    assert hours("2", 0.0, 72, 72 + 23) == []
    ((hour, over),) = hours("2", 0.0, 95, 110)
    assert isinstance(over, Resolved)
    assert (over.incident, over.reason, hour) == (opened.incident, "expired", 72 + 23)
    # It was not retired after all: what is still changed is told.
    ((_, again),) = hours("1", 3.0, 110, 125)
    assert isinstance(again, Opened)
    assert again.changes[0].feature == "x"


def test_a_version_that_comes_after_the_model_counts_as_deployed_after_a_snapshot_too() -> None:
    seen: list[dict[str, int]] = []

    class Book(IncidentBook):
        def apply(self, *args: Any, **more: Any) -> Any:
            seen.append(args[1].deployed)
            return super().apply(*args, **more)

    def read(*versions: str) -> Read:
        one = _profile(*range(10))
        return Read((), 10, {(version, ""): one for version in versions})

    settings = DetectionSettings()
    model = MonitoredModel(ModelMonitor(settings, "t", "m"), Book("t", "m"))
    for end, versions in ((W, ("1", "2")), (2 * W, ("1",)), (3 * W, ("1", "3"))):
        model.fold(end, W, read(*versions), lambda *_: ())
    assert seen == [{}, {}, {"3": 2 * W}]
    again = MonitorJudges("streamgauge").restored_model("t", "m", settings, model.state())
    assert again.state() == model.state()
