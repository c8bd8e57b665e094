"""A real Prometheus scrapes a worker: rules and every panel of the dashboard have something."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest

from bench.records import Load, generate
from tests.kafka_broker import free_ports
from tests.waiting import wait_until
from tests.worker_runs import ROOT, App, Worker

pytestmark = [pytest.mark.kafka, pytest.mark.xdist_group("prometheus")]

RULES = ROOT / "deploy/prometheus/rules.yml"
DASHBOARD = ROOT / "deploy/grafana/dashboard.json"
MAY_BE_EMPTY = "streamgauge_client_errors_total"  # of a run without trouble


@pytest.fixture(scope="module")
def tools() -> None:
    absent = [name for name in ("prometheus", "promtool") if shutil.which(name) is None]
    if absent:
        why = f"{' and '.join(absent)} not found: install Debian's package prometheus"
        if os.environ.get("CI") == "true":
            pytest.fail(why, pytrace=False)
        pytest.skip(why)


class Prometheus:
    def __init__(self, port: int) -> None:
        self._port = port

    def get(self, path: str, **query: str) -> Any:
        url = f"http://127.0.0.1:{self._port}{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, timeout=5) as answer:
            return orjson.loads(answer.read())["data"]

    def answers(self, expression: str) -> list[Any]:
        found: list[Any] = self.get("/api/v1/query", query=expression)["result"]
        return found

    def is_up(self) -> bool:
        try:
            return bool(self.answers("streamgauge_ready == 1"))
        except OSError:
            return False


@contextmanager
def prometheus(folder: Path, scraped: int) -> Iterator[Prometheus]:
    (port,) = free_ports(1)
    config = folder / "prometheus.yml"
    config.write_text(
        "global: {scrape_interval: 500ms, scrape_timeout: 400ms, evaluation_interval: 500ms}\n"
        f"rule_files: ['{RULES}']\n"
        "scrape_configs:\n"
        "  - job_name: streamgauge\n"
        f"    static_configs: [{{targets: ['127.0.0.1:{scraped}']}}]\n"
    )
    log = folder / "prometheus.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={config}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=out,
            stderr=out,
        )
    try:
        found = Prometheus(port)
        wait_until(found.is_up, 40, "Prometheus has scraped a ready worker")
        yield found
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)


@pytest.fixture(scope="module")
def running(
    tools: None, kafka: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Worker, Prometheus]]:
    del tools
    folder = tmp_path_factory.mktemp("prometheus")
    (port,) = free_ports(1)
    with App(kafka, f"app-{port}", f"predictions-{port}", folder) as app:
        app.overrides["health"] = f"127.0.0.1:{port}"
        app.make_topic(2)
        load = Load(
            records=24_000,
            features=5,
            models=2,
            per_second=400.0,
            shift_at=0.6,
            broken_every=977,
            late_every=331,
        )
        app.feed((number % 2, *one) for number, one in enumerate(generate(load)))
        worker = app.run()
        worker.says("partitions begin")
        with prometheus(folder, port) as server:
            wait_until(
                lambda: (
                    server.answers("sum(streamgauge_model_open_incidents) > 0")
                    and server.answers("sum(streamgauge_lag_records) == 0")
                ),
                40,
                "all is read, and incidents are open",
            )
            yield worker, server


def test_the_rules_do_what_their_tests_say(tools: None) -> None:
    del tools
    for command in (["check", "rules", "rules.yml"], ["test", "rules", "rules.test.yml"]):
        done = subprocess.run(
            ["promtool", *command], cwd=RULES.parent, capture_output=True, check=False
        )
        assert done.returncode == 0, (done.stdout + done.stderr).decode()


def test_every_rule_is_judged_and_none_fires_for_a_sound_worker(
    running: tuple[Worker, Prometheus],
) -> None:
    _, server = running

    def judged() -> list[Any]:
        (group,) = server.get("/api/v1/rules")["groups"]
        rules: list[Any] = group["rules"]
        return rules if all(rule["health"] == "ok" for rule in rules) else []

    rules = wait_until(judged, 20, "every rule has been evaluated without an error")
    told = {rule["name"]: rule["state"] for rule in rules}
    assert "firing" not in told.values(), told


def test_every_panel_of_the_dashboard_shows_something(running: tuple[Worker, Prometheus]) -> None:
    _, server = running
    panels = orjson.loads(DASHBOARD.read_bytes())["panels"]
    assert len(panels) >= 15
    for panel in panels:
        for target in panel["targets"]:
            expression = target["expr"].replace("$job", "streamgauge")
            if MAY_BE_EMPTY in expression:
                server.answers(expression)
            else:
                wait_until(
                    lambda ask=expression: server.answers(ask),  # type: ignore[misc]
                    15,
                    f"{panel['title']}: {expression}",
                )


def test_a_worker_that_stops_is_told_of(running: tuple[Worker, Prometheus]) -> None:
    worker, server = running
    assert worker.stop() == 0
    pending = 'ALERTS{alertname="StreamgaugeDown", alertstate="pending"}'
    wait_until(lambda: server.answers(pending), 20, "StreamgaugeDown waits for its two minutes")
