"""The exposition: right, lintable by promtool, and bounded whatever the input does."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest
from prometheus_client.parser import text_string_to_metric_families

from consumer.fold import TopicProgress
from consumer.judges import Moved, Standing
from consumer.meters import Meters, PartitionView, View
from consumer.metrics import FEATURE_ROWS, FEATURES, LABEL, MODELS, exposition
from consumer.settings import Budget

Rows = dict[tuple[str, frozenset[tuple[str, str]]], float]


def standing(open_: int = 0, *moved: Moved) -> Standing:
    return Standing(50, 10_000_000, 1_000_000, 1.0, 3, open_, moved)


def scrape(meters: Meters) -> str:
    return exposition(meters, Budget())().decode()


def rows(text: str) -> Rows:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(found: Rows, name: str, **labels: str) -> float:
    return found[f"streamgauge_{name}", frozenset(labels.items())]


def working() -> Meters:
    meters = Meters()
    meters.records["t"] += 120
    meters.rejects["t", "json_syntax"] += 2
    meters.events["opened", "critical"] += 1
    meters.turns.add(0.003)
    meters.turns.add(99.0)
    progress = TopicProgress(1_000_000, None, {0: 1}, {0: "active", 1: "idle"}, 1, 0, None, 1)
    meters.view = View(
        partitions=(PartitionView("t", 0, 7), PartitionView("t", 1, None)),
        logs=2,
        topics={"t": progress},
        models={("t", "m"): standing(1, Moved("age", "location", 2.5))},
        waiting_bytes=10,
        ready=True,
    )
    return meters


def test_what_was_counted_and_seen_is_told() -> None:
    found = rows(scrape(working()))
    assert value(found, "records_total", topic="t") == 120
    assert value(found, "rejected_records_total", topic="t", reason="json_syntax") == 2
    assert value(found, "events_total", type="opened", severity="critical") == 1
    assert value(found, "turn_seconds_bucket", le="0.005") == 1
    assert value(found, "turn_seconds_bucket", le="+Inf") == value(found, "turn_seconds_count") == 2
    assert value(found, "lag_records", topic="t", partition="0") == 7
    assert value(found, "input_partitions", topic="t", state="idle") == 1
    assert value(found, "input_partitions_unheard", topic="t") == 1
    assert value(found, "model_records_per_second", topic="t", model="m") == 5
    assert value(found, "model_change_score", topic="t", model="m") == 2.5
    assert value(found, "budget_incidents_per_model_week", severity="warning") == 5
    assert (
        value(found, "feature_change_score", topic="t", model="m", feature="age", signal="location")
        == 2.5
    )
    assert ("streamgauge_lag_records", frozenset({("topic", "t"), ("partition", "1")})) not in found


def test_promtool_finds_nothing_to_mend() -> None:
    if shutil.which("promtool") is None:
        if os.environ.get("CI") == "true":
            pytest.fail("promtool is missing: install Debian's package prometheus")
        pytest.skip("promtool is missing: install Debian's package prometheus")
    checked = subprocess.run(
        ["promtool", "check", "metrics"],
        input=scrape(working()).encode(),
        capture_output=True,
        check=False,
    )
    said = (checked.stdout + checked.stderr).decode().splitlines()
    # The library's own metrics of the process are not ours to name.
    assert not [line for line in said if line.startswith("streamgauge_")]


def test_a_thousand_hostile_models_are_a_hundred_rows_and_one() -> None:
    meters = Meters()
    moved = [Moved(f"f{n}\n\x1b[31m{'x' * 500}", "location", float(n)) for n in range(50)]
    names = [("t", f'{n % 10}"{{}}\\' + "é" * 300 + str(n)) for n in range(1_000)]
    meters.view = View(models={name: standing(1, *moved) for name in names})
    text = scrape(meters)
    found = rows(text)
    models = [key for key in found if key[0] == "streamgauge_model_open_incidents"]
    features = [key for key in found if key[0] == "streamgauge_feature_change_score"]
    assert len(models) <= MODELS + 1
    assert value(found, "model_open_incidents", topic="other", model="other") == 900
    assert FEATURES < len(features) <= FEATURE_ROWS
    assert all(len(said) <= LABEL for _, labels in found for _, said in labels)
    assert len(text) < 1_000_000


def test_each_row_stands_once_even_if_names_that_were_cut_are_equal() -> None:
    meters = Meters()
    meters.view = View(models={("t", "x" * 200 + str(n)): standing() for n in range(5)})
    lines = [line for line in scrape(meters).splitlines() if "model_open_incidents{" in line]
    assert len(lines) == 1
