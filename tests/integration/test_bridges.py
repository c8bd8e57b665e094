"""Alerts from a real topic to a real Alertmanager and to others, whoever of them is away."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from alerts.drill import opened, resolved
from alerts.events import Opened
from alerts.notices import limit_reached
from tests.alertmanager_server import Alertmanager, HttpServer, Request, http_server, program
from tests.waiting import wait_until
from tests.worker_runs import App, Worker, steady

IN_CI = os.environ.get("CI", "").lower() in {"1", "true"}
pytestmark = [
    pytest.mark.kafka,
    pytest.mark.xdist_group("bridges"),
    pytest.mark.skipif(
        program() is None and not IN_CI, reason="no Alertmanager: install prometheus-alertmanager"
    ),
]
SECRET = "a secret of the tests"  # noqa: S105 - it is none
T0 = 1_795_489_200_000_000


@pytest.fixture
def app(kafka: str, app_name: str, topic_name: str, tmp_path: Path) -> Iterator[App]:
    with App(kafka, app_name, topic_name, tmp_path) as one:
        yield one


@pytest.fixture
def pager() -> Iterator[HttpServer]:
    with http_server() as server:
        yield server


@pytest.fixture
def hook() -> Iterator[HttpServer]:
    with http_server() as server:
        yield server


@pytest.fixture
def alertmanager(tmp_path: Path, pager: HttpServer) -> Iterator[Alertmanager]:
    one = Alertmanager(tmp_path, pager.url)
    yield one
    one.kill()


class Suspicious:
    """Answers as a receiver does that verifies signatures, and whose first two tries fail."""

    def __init__(self) -> None:
        self._tries = 0

    def __call__(self, request: Request) -> tuple[int, dict[str, str]]:
        self._tries += 1
        if self._tries <= 2:
            return 503, {}
        told = request.headers
        signed = f"{told['webhook-id']}.{told['webhook-timestamp']}.".encode() + request.body
        digest = hmac.new(SECRET.encode(), signed, hashlib.sha256).digest()
        good = told["webhook-signature"] == f"v1,{base64.b64encode(digest).decode()}"
        fresh = abs(time.time() - int(told["webhook-timestamp"])) < 60
        return (200 if good and fresh else 401), {}


def configure(app: App, alertmanager: Alertmanager, hook: HttpServer, start: str) -> None:
    (app.folder / "hook-secret").write_text(SECRET)
    hook.answer = Suspicious()
    app.config.write_text(
        app.config.read_text()
        + f"""
[bridges.pager]
kind = "alertmanager"
url = "{alertmanager.url}"
resend_every = "500ms"
retry_at_most = "500ms"
start = "{start}"

[bridges.hook]
kind = "webhook"
url = "{hook.url}"
secret_file = "hook-secret"
start = "{start}"
"""
    )


def drills(count: int, app: App) -> list[Opened]:
    return [
        opened(app.name, f"model-{number}", "critical", {}, T0, f"{app.name} {number}")
        for number in range(count)
    ]


def told(server: HttpServer) -> list[tuple[str, str]]:
    """Status and incident of what Alertmanager's receiver was notified of, in order."""
    return [
        (alert["status"], alert["labels"]["incident"])
        for body in server.bodies()
        for alert in body["alerts"]
    ]


def firing(alertmanager: Alertmanager) -> set[str]:
    return {alert["labels"]["incident"] for alert in alertmanager.alerts()}


def stopped(bridge: Worker) -> dict[str, dict[str, Any]]:
    """End a bridge; its last word about each of its targets."""
    assert bridge.stop() == 0, bridge.text
    return {one["bridge"]: one for one in bridge.events("bridge ends")}


def test_a_fault_is_paged_and_its_end_too(
    app: App, alertmanager: Alertmanager, pager: HttpServer, hook: HttpServer
) -> None:
    app.make_topic(1)
    configure(app, alertmanager, hook, "earliest")
    alertmanager.start()
    app.feed(steady(3_000, per_second=50))
    broken = [
        (partition, when, value.replace(b'"x":', b'"y":'))
        for partition, when, value in steady(2_000, start=60, per_second=50)
        if value is not None
    ]
    app.feed(broken)
    app.drain()
    bridge = app.command("bridge")
    wait_until(lambda: firing(alertmanager), 20, f"it fires; the bridge said:\n{bridge.text}")
    labels = [alert["labels"] for alert in alertmanager.alerts()]
    assert {(one["alertname"], one["model"]) for one in labels} == {("ModelDataChanged", "m")}
    app.feed(steady(30_000, start=100, per_second=50))
    app.drain()
    wait_until(lambda: not firing(alertmanager), 20, f"it is resolved:\n{bridge.text}")
    incident = labels[0]["incident"]
    wait_until(lambda: ("resolved", incident) in told(pager), 10, "the pager hears of the end")
    assert told(pager).index(("firing", incident)) < told(pager).index(("resolved", incident))


def test_what_is_away_loses_nothing_and_blocks_nothing(
    app: App, alertmanager: Alertmanager, pager: HttpServer, hook: HttpServer
) -> None:
    assert app.command("topics", "create").ended() == 0
    configure(app, alertmanager, hook, "earliest")
    first, second, third = drills(3, app)
    bridge = app.command("bridge")
    app.tell(first, second, limit_reached(app.name, "t", "models", None))
    wait_until(lambda: len(hook.taken) == 3, 20, f"the hook has all:\n{bridge.text}")
    bridge.says("the target does not take alerts; they wait on the topic")
    app.tell(resolved(first, T0, T0 + 1), third)
    wait_until(lambda: len(hook.taken) == 5, 20, f"the hook is not held back:\n{bridge.text}")

    alertmanager.start()
    open_ones = {second.incident, third.incident}
    wait_until(lambda: firing(alertmanager) >= open_ones, 20, f"what waited:\n{bridge.text}")
    assert first.incident not in firing(alertmanager)
    bridge.says("the target takes alerts again")

    alertmanager.kill()  # with its alerts, which it does not keep
    alertmanager.start()
    wait_until(lambda: firing(alertmanager) >= open_ones, 20, "what goes on is said again")

    ends = stopped(bridge)
    assert ends["pager"]["sent"] == ends["hook"]["sent"] == 5
    assert ends["hook"]["failed"] == 2
    paged = told(pager)
    again = app.command("bridge")
    app.tell(resolved(second, T0, T0 + 1))
    wait_until(lambda: len(hook.taken) == 6, 20, f"one more:\n{again.text}")
    wait_until(lambda: second.incident not in firing(alertmanager), 20, "it is resolved")
    assert firing(alertmanager) >= {third.incident}
    ends = stopped(again)
    assert ends["pager"]["sent"] == ends["hook"]["sent"] == 1
    wait_until(lambda: told(pager)[len(paged) :], 10, "the pager hears of the end")
    assert told(pager)[len(paged) :] == [("resolved", second.incident)]
    ids = [request.headers["ce-id"] for request in hook.taken]
    assert len(ids) == len(set(ids)) == 6


def test_another_process_takes_over(app: App, alertmanager: Alertmanager, hook: HttpServer) -> None:
    assert app.command("topics", "create").ended() == 0
    configure(app, alertmanager, hook, "earliest")
    alertmanager.start()
    first, second = app.command("bridge"), app.command("bridge")
    for bridge in (first, second):
        bridge.says("bridge begins", times=2)
    begun = drills(8, app)
    app.tell(*begun)
    all_of_them = {event.incident for event in begun}
    wait_until(lambda: firing(alertmanager) == all_of_them, 20, "all fire")
    first.kill()
    alertmanager.kill()
    alertmanager.start()
    wait_until(lambda: firing(alertmanager) == all_of_them, 20, f"one says it all:\n{second.text}")
    app.tell(*(resolved(event, T0, T0 + 1) for event in begun))
    wait_until(lambda: not firing(alertmanager), 20, f"all are resolved:\n{second.text}")
    wait_until(lambda: len({one.headers["ce-id"] for one in hook.taken}) == 16, 10, "the hook too")


def test_the_way_is_proved_by_a_test_alert(
    app: App, alertmanager: Alertmanager, pager: HttpServer, hook: HttpServer
) -> None:
    assert app.command("topics", "create").ended() == 0
    configure(app, alertmanager, hook, "latest")
    alertmanager.start()
    bridge = app.command("bridge")
    bridge.says("bridge begins", times=2)
    test = app.command("test-alert", "--for", "1h")
    wait_until(lambda: "it is resolved after 1h" in test.text, 20, "both bridges took it")
    wait_until(lambda: told(pager), 10, f"the pager is called:\n{test.text}")
    assert "ok    pager: taken after" in test.text
    assert "ok    hook: taken after" in test.text
    test.send(signal.SIGINT)
    assert test.ended() == 0, test.text
    wait_until(lambda: [one[0] for one in told(pager)] == ["firing", "resolved"], 10, "its end")
    assert {
        body["labels"]["test"] for body in map(orjson.loads, [one.body for one in hook.taken])
    } == {"true"}
