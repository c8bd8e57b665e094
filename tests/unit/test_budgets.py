"""What ``streamgauge budget`` makes of a snapshot."""

from __future__ import annotations

from collections import Counter

import numpy as np

from consumer import snapshots
from consumer.budgets import ModelBudget, budgets, lines
from consumer.fold import Fold
from consumer.judging import MonitorJudges
from consumer.snapshots import FoldState
from sketches import codec
from sketches.detection import DetectionSettings
from sketches.profile import profile_table
from sketches.report import StreamBudget, Trial
from sketches.table import Table
from tests.fold_logs import W, closing, profile, publish


def snapshot(windows: int) -> FoldState:
    """A model of one number, watched from window 150 on."""
    random = np.random.default_rng(1)
    settings = DetectionSettings(learn_for=150 * W, learn_records=10_000)
    fold = Fold("app", settings, judges=MonitorJudges("app"))
    offset = 0
    for at in range(windows):
        made = profile_table(Table(100, ("x",), random.normal(size=(100, 1))))
        end = (at + 1) * W
        parts = [
            profile(end, payload=part, first=100 * at, last=100 * at + 99)
            for part in codec.encode(made)
        ]
        for record in publish([closing(at * W or None, end, 100 * (at + 1), *parts)], "w"):
            fold.apply(offset, record)
            offset += 1
    return snapshots.from_messages(dict(fold.snapshot(offset)), 0)[0]


def test_a_model_under_watch() -> None:
    (found,) = budgets([snapshot(160)], {("t", "m"): Counter(warning=2)})
    assert (found.topic, found.model, found.warnings, found.criticals) == ("t", "m", 5, 1)
    own, whole = sorted(found.streams, key=lambda each: each.detectable)[::-1]
    assert own.trial is not None
    assert own.trial.alarms == own.trial.raised == 0
    assert own.trial.low == 0 < own.trial.high
    ((feature, signal, least),) = own.detectable
    assert (feature, signal) == ("x", "location")
    assert 0.1 < least < 1
    assert whole.detectable[0][1] == "volume"
    text = "\n".join(lines([found]))
    assert "at most 5 warnings, 1 critical" in text
    assert "told      2 warning" in text
    assert "0 alarms in" in text


def test_a_model_that_learns() -> None:
    (found,) = budgets([snapshot(20)], {})
    assert not any(each.watched for each in found.streams)
    assert "is being learned" in "\n".join(lines([found]))


def test_without_a_snapshot() -> None:
    assert lines([]) == ["no model has a snapshot yet"]


def test_the_worst_comes_first() -> None:
    def model(alarms: int) -> ModelBudget:
        trial = Trial(1.0, alarms, 0.0, 1.0, 0)
        return ModelBudget("t", "m", 5, 1, (StreamBudget("", "", True, trial, ()),), {})

    assert model(9).over() > model(3).over() > model(0).over() == 0
