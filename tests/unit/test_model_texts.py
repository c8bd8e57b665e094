"""What ``streamgauge models`` prints."""

from __future__ import annotations

from itertools import islice
from typing import Any

import numpy as np
import orjson
import pytest

from consumer.durations import SECOND
from consumer.judges import Standing
from consumer.model_texts import TopicFacts, Watched, as_json, notes, table
from sketches.changed import Waiting
from sketches.coverage import Coverage, coverage
from sketches.detection import DetectionSettings, FeatureDetection
from sketches.monitor import ModelMonitor
from sketches.stream import Stream
from tests.alert_reports import T0
from tests.streams import DAY, START, WINDOW, Records, normal, windows

FACTS = TopicFacts(2, 12_000, T0 - 20 * SECOND, 3, {"json": 3})


def covered(**facts: Any) -> Coverage:
    return Coverage("1", "", False, 1.0, 12, (), ())._replace(**facts)


def watched(model: str = "fraud", *parts: Coverage, **facts: Any) -> Watched:
    standing = Standing(500, 10 * SECOND, T0 - 20 * SECOND, 1.0, 12, 1, ())._replace(**facts)
    return Watched("predictions", model, standing, parts or (covered(),))


def test_a_table_of_80_columns_says_how_each_model_stands() -> None:
    models = [
        watched("silent", silent=True),
        watched("learning", covered(learned=0.409, watched=0), watched=0),
        watched("a" * 200),
        Watched("predictions", "none", Standing(0, 0, 0, 0.0, 0, 0, ()), ()),
    ]
    lines = table({"predictions": FACTS, "empty": FACTS}, models, T0, 80)
    assert max(map(len, lines)) <= 80
    assert lines[:2] == [
        "empty: last window 20 s ago, lag 12,000 records, rejects in an hour 3",
        "  no model yet",
    ]
    assert lines[5].endswith(" watching       20 s ago              50    1       12")
    assert lines[6].split() == ["learning", "learning", "40", "%", "20", "s", "ago", "50", "1", "0"]
    assert lines[7].split()[:4] == ["none", "no", "data", "yet"]
    assert lines[8].split()[:2] == ["silent", "silent"]
    assert table({}, [], T0, 80) == ["no window of any topic has been closed yet"]


def test_what_cannot_be_seen_is_said() -> None:
    left_out = tuple(f"f{number}" for number in range(6))
    coarse = (("age", "location", 1.25), ("", "volume", 0.5))
    model = watched("m", covered(left_out=left_out, coarse=coarse), covered(learned=0.5))
    assert notes(model) == [
        "version 1: not watched (detect = false): f0, f1, f2, f3 and 2 more",
        "version 1: too few records to tell age under 1.2 sd, volume under 0.5 (log ratio)",
        "version 1: its own baseline is learned: 50 %",
    ]


def test_for_machines_it_is_one_object() -> None:
    told = orjson.loads(as_json({"predictions": FACTS}, watched()))
    assert told["records_per_second"] == 50.0
    assert told["topic_rejects_last_hour"] == {"json": 3}
    assert told["state"] == "watching"
    assert told["coverage"][0]["learned"] == 1.0


def test_coverage_is_what_the_monitor_tests() -> None:
    rules = {"*": {"y": FeatureDetection(detect=False)}}
    settings = DetectionSettings(learn_for=DAY, learn_records=5_000, features=rules)
    monitor = ModelMonitor(settings, "topic", "model")
    learning = []
    for end, one in windows({"x": normal, "y": normal}, 170):
        monitor.fold(end, WINDOW, {("1", ""): one})
        learning.append(monitor.coverage()[0].learned)
    assert learning == sorted(learning)
    assert 0 < learning[70] < 1
    (seen,) = monitor.coverage()
    assert (seen.learned, seen.left_out) == (1.0, ("y",))
    assert seen.watched >= 1
    assert coverage({("1", ""): Stream(T0, True)}, settings, "model")[0].learned == 0.0


def test_what_is_proposed_and_not_sure_enough_yet_is_pending_and_then_told() -> None:
    settings = DetectionSettings(learn_for=2 * DAY, learn_records=5_000)

    def rising(number: int, held: Records, random: np.random.Generator) -> None:
        if number >= 500:
            held.numbers["x"] += 0.5

    monitor = ModelMonitor(settings, "topic", "model")
    stream = windows({"x": normal, "y": normal}, 520, alter=rising)
    for end, one in islice(stream, 501):
        assert not monitor.fold(end, WINDOW, {("1", ""): one}).changes
    assert not proposed(monitor)
    propose(monitor, "x", "location")  # as a detector does that has seen one window
    pending = proposed(monitor)
    (last,) = pending[0].pending
    assert proposed(ModelMonitor.restore(settings, monitor.state())) == pending
    assert (last.feature, last.signal, last.direction) == ("x", "location", "up")
    assert (last.version, last.detector) == ("1", "ADWIN")
    assert 0 < last.score <= 1
    assert (last.onset, last.detected) == (START + 500 * WINDOW, START + 501 * WINDOW)
    assert last.before == pytest.approx(0.0, abs=0.1)
    assert last.after == pytest.approx(0.5, abs=0.3)
    told = [c for end, one in stream for c in monitor.fold(end, WINDOW, {("1", ""): one}).changes]
    assert "x" in {change.feature for change in told}
    assert not any(each.feature == "x" for one in proposed(monitor) for each in one.pending)

    model = watched("fraud", pending[0])
    (note, *_) = notes(model)
    assert note.startswith("pending: x up ")
    assert "% of what it takes" in note
    (told,) = orjson.loads(as_json({"predictions": FACTS}, model))["pending"]
    assert (told["feature"], told["signal"], told["direction"]) == ("x", "location", "up")
    whole = covered(pending=(last,), whole=True)
    only = orjson.loads(as_json({"predictions": FACTS}, watched("fraud", covered(), whole)))
    assert (len(only["coverage"]), len(only["pending"])) == (1, 1)


def propose(monitor: ModelMonitor, feature: str, signal: str) -> None:
    stream = monitor._streams["1", ""]
    assert stream.watch is not None
    assert stream.baseline is not None
    layout = stream.baseline.layout
    at = list(zip(layout.features, layout.signals, strict=True)).index((feature, signal))
    stream.watch._waiting[at] = Waiting("ADWIN", stream.watch.block, stream.watch.block)


def proposed(monitor: ModelMonitor) -> list[Coverage]:
    return [each for each in monitor.coverage() if each.pending]
