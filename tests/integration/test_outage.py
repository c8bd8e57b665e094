"""Alertmanager is away for ten minutes by the clock: nothing is lost, and nothing waits for it."""

from __future__ import annotations

import os
import time
from functools import partial
from pathlib import Path

import orjson
import pytest

from alerts.drill import opened, resolved
from alerts.events import Opened, Resolved
from tests.alertmanager_server import Alertmanager, HttpServer, http_server, program
from tests.waiting import wait_until
from tests.worker_runs import App, Worker, steady

IN_CI = os.environ.get("CI", "").lower() in {"1", "true"}
pytestmark = [
    pytest.mark.kafka,
    pytest.mark.long,
    pytest.mark.xdist_group("outage"),
    pytest.mark.skipif(
        program() is None and not IN_CI, reason="no Alertmanager: install prometheus-alertmanager"
    ),
]
AWAY = 600.0  # seconds
EVERY = 10.0  # seconds from one turn to the next
EACH = 8  # incidents that begin in a turn; half of them end in the next one
PROMPTLY = 5.0  # seconds in which what does not wait for Alertmanager has to be done
T0 = 1_795_489_200_000_000


def configure(app: App, alertmanager: Alertmanager, hook: HttpServer) -> None:
    """Retries, repetitions and queues as they are by default."""
    app.config.write_text(
        app.config.read_text()
        + f'[bridges.pager]\nkind = "alertmanager"\nurl = "{alertmanager.url}"\n'
        + f'start = "earliest"\n[bridges.hook]\nkind = "webhook"\nurl = "{hook.url}"\n'
        + 'start = "earliest"\n'
    )


def ids(hook: HttpServer) -> list[str]:
    return [request.headers["ce-id"] for request in list(hook.taken)]


def _bodies(hook: HttpServer) -> list[bytes]:
    return [request.body for request in list(hook.taken)]


def firing(alertmanager: Alertmanager) -> set[str]:
    return {alert["labels"]["incident"] for alert in alertmanager.alerts()}


def data(app: App, turn: int) -> None:
    """What the model logs in the seconds of one turn; a feature is gone from the tenth on."""
    records = steady(1_000, start=60 + turn * 10, per_second=100)
    if turn >= 10:
        records = [(p, at, value and value.replace(b'"x":', b'"y":')) for p, at, value in records]
    app.feed(records)


def test_ten_minutes_without_alertmanager(
    kafka: str, app_name: str, topic_name: str, tmp_path: Path
) -> None:
    with App(kafka, app_name, topic_name, tmp_path) as app, http_server() as pager:
        alertmanager = Alertmanager(tmp_path, pager.url)
        with http_server() as hook:
            try:
                outage(app, alertmanager, hook)
            finally:
                alertmanager.kill()


def outage(app: App, alertmanager: Alertmanager, hook: HttpServer) -> None:
    app.make_topic(1)
    app.feed(steady(6_000, per_second=100))
    configure(app, alertmanager, hook)
    worker = app.run()
    worker.says("partition is active")
    alertmanager.start()
    bridge = app.command("bridge")
    before = opened(app.name, "before", "critical", {}, T0, app.name)
    app.tell(before)
    wait_until(lambda: before.incident in firing(alertmanager), 20, f"it pages:\n{bridge.text}")

    alertmanager.kill()
    going, over, waits = _ten_minutes(app, hook, before, bridge)
    told = [e for e in map(orjson.loads, _bodies(hook)) if e["model"] == "m"]
    assert told[0]["changes"][0]["feature"] == "x", "the worker's own incident, meanwhile"
    found = {event["incident"] for event in told if event["type"] != "resolved"}

    alertmanager.start()
    back = time.monotonic()
    open_ones = {each.incident for each in going} | found
    wait_until(lambda: firing(alertmanager) == open_ones, 90, f"all that waited:\n{bridge.text}")
    took = time.monotonic() - back
    assert bridge.stop() == 0, bridge.text
    ends = {one["bridge"]: one for one in bridge.events("bridge ends")}
    events = len(app.alerts())
    assert ends["pager"]["sent"] == ends["hook"]["sent"] == events == len(set(ids(hook)))
    assert len(ids(hook)) == events, "nothing was told twice"
    assert ends["hook"].get("failed", 0) == 0
    assert worker.stop() == 0
    assert not app.audited()["violations"]
    print(  # noqa: T201 - the figures of a long run
        f"away for {AWAY:g} s: {events} events, {len(over)} incidents ended meanwhile; others were "
        f"told within {max(waits):.2f} s, Alertmanager knew all {len(open_ones)} open ones "
        f"{took:.1f} s after it was back"
    )


def _ten_minutes(
    app: App, hook: HttpServer, before: Opened, bridge: Worker
) -> tuple[list[Opened], list[Resolved], list[float]]:
    """What is open afterwards, what has ended, and seconds until the webhook had each turn's."""
    going: list[Opened] = [before]
    over: list[Resolved] = []
    waits: list[float] = []
    begun = time.monotonic()
    for turn in range(round(AWAY / EVERY)):
        data(app, turn)
        ends = [resolved(each, T0, T0 + 1) for each in going[1:][-EACH // 2 :]]
        over += ends
        going = [each for each in going if each.incident not in {one.incident for one in ends}]
        new = [
            opened(app.name, f"model-{turn}-{n}", "critical", {}, T0, f"{app.name} {turn} {n}")
            for n in range(EACH)
        ]
        going += new
        wrote = time.monotonic()
        app.tell(*new, *ends)
        told = partial(_are_told, hook, {one.id for one in new} | {one.id for one in ends})
        wait_until(told, PROMPTLY, f"no wait:\n{bridge.text}")
        waits.append(time.monotonic() - wrote)
        wait_until(partial(_is_past, begun + (turn + 1) * EVERY), 2 * EVERY, "the next turn", 0.2)
    return going, over, waits


def _are_told(hook: HttpServer, due: set[str]) -> bool:
    return due <= set(ids(hook))


def _is_past(time_: float) -> bool:
    return time.monotonic() >= time_
