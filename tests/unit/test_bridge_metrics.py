"""The metrics of the bridges: right, and lintable by promtool."""

from __future__ import annotations

import shutil
import subprocess
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from prometheus_client.parser import text_string_to_metric_families

from consumer.bridge_metrics import Running, exposition


@dataclass
class Fake:
    counts: Counter[str] = field(default_factory=lambda: Counter(sent=3, failed=2))
    waiting: int = 4
    away: bool = True


@dataclass
class Thread:
    name: str
    bridge: Any


def scrape() -> str:
    threads = [Thread("pager", Fake()), Thread("not begun", None)]
    return exposition(cast("list[Running]", threads))().decode()


def test_what_became_of_events_by_bridge() -> None:
    found = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(scrape())
        for sample in family.samples
        if sample.name.startswith("streamgauge_")
    }
    assert found == {
        ("streamgauge_bridge_events_total", "pager", "sent"): 3,
        ("streamgauge_bridge_events_total", "pager", "refused"): 0,
        ("streamgauge_bridge_events_total", "pager", "unreadable"): 0,
        ("streamgauge_bridge_failed_attempts_total", "pager"): 2,
        ("streamgauge_bridge_waiting_events", "pager"): 4,
        ("streamgauge_bridge_target_up", "pager"): 0,
    }


@pytest.mark.skipif(shutil.which("promtool") is None, reason="no promtool")
def test_promtool_finds_nothing_to_say() -> None:
    ours = "".join(line for line in scrape().splitlines(True) if "streamgauge_" in line)
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=ours, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
