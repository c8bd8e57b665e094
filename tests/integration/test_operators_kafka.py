"""What operators say, on real Kafka: it holds for every worker and every replay."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.alertmanager_server import HttpServer, http_server
from tests.waiting import wait_until
from tests.worker_runs import START, App, steady

pytestmark = [pytest.mark.kafka, pytest.mark.xdist_group("operators")]


@pytest.fixture
def app(kafka: str, app_name: str, topic_name: str, tmp_path: Path) -> Iterator[App]:
    with App(kafka, app_name, topic_name, tmp_path) as one:
        yield one


@pytest.fixture
def hook() -> Iterator[HttpServer]:
    with http_server() as server:
        yield server


def part(start: int, count: int, shift: float = 0.0) -> list[tuple[int, int, bytes | None]]:
    """``count`` records of two partitions and two models from a second on, 50 a second each."""
    found: list[tuple[int, int, bytes | None]] = []
    for partition, model in ((0, "m"), (1, "other")):
        for number, (_, when, value) in enumerate(steady(count, start=start, per_second=50)):
            row = orjson.loads(value or b"") | {"model": model}
            row["features"] = {"x": number % 7 + shift, "y": float(number % 5)}
            found.append((partition, when, orjson.dumps(row)))
    return found


def said(app: App, *words: str, status: int = 0) -> str:
    worker = app.command(*words)
    assert worker.ended(30) == status, worker.text
    return worker.text


def of(app: App, kind: str, model: str = "m") -> list[dict[str, Any]]:
    return [event for event in app.of_type(kind) if event["model"] == model]


def refolded(app: App) -> dict[str, bytes]:
    """What ``replay --log`` makes of the log."""
    out = app.folder / "refolded.jsonl"
    said(app, "replay", "--log", f"topic:{app.name}-profiles", "--out", str(out), "--quiet")
    return {orjson.loads(line)["id"]: line for line in out.read_bytes().splitlines()}


def test_silence_ack_and_a_new_normal_hold_for_workers_replays_and_bridges(
    app: App, hook: HttpServer
) -> None:
    app.make_topic(2)
    app.feed(part(0, 4_000))
    app.drain()
    why = ("--why", "a new source", "--by", "ann")
    # Before anything is open, and for good measure the same command twice.
    held = ("silence", "--model", "m", "--feature", "x", "--until", "2027-06-01", *why)
    text = said(app, *held, "--id", "0" * 19 + "1")
    assert "open incidents that it touches: none" in text
    assert "undo: streamgauge silence --end 00000000" in text
    said(app, *held, "--id", "0" * 19 + "1")
    app.feed(part(80, 2_000, shift=9.0))
    app.drain()  # a worker that read the command, and one that is new
    tail = said(app, "tail", "--from", "earliest", "--no-follow")
    assert "silence until 2027-06-01T00:00Z: model m, feature x" in tail
    assert "SILENCED" in tail
    (mine,), (other,) = of(app, "opened"), of(app, "opened", "other")
    assert (mine["silenced"], other["silenced"]) == ("0" * 19 + "1", None)
    assert len(app.of_type("operator")) == 1
    assert f"{'1':>5} ann" in said(app, "silences")

    text = said(app, "ack", other["incident"][:8], *why)
    assert "open incidents that it touches: 1" in text
    assert "no incident of topic" in said(app, "ack", "abc", *why, status=2)
    pair = [app.run(), app.run()]  # a group of two
    (seen,) = wait_until(lambda: of(app, "updated", "other"), 30, f"it is told:\n{pair[0].text}")
    assert (seen["why"], seen["acknowledged"]["by"]) == (["acknowledged"], "ann")
    for worker in pair:
        assert worker.stop() == 0, worker.text

    said(app, "accept", "--model", "m", *why)
    app.feed([*part(120, 6_000, shift=9.0), (0, START + 240_000, b"no record")])
    app.drain()
    (resolved,) = of(app, "resolved")
    assert (resolved["incident"], resolved["reason"]) == (mine["incident"], "accepted")
    assert of(app, "resolved", "other") == []

    table = said(app, "models").splitlines()  # no worker runs
    assert max(map(len, table)) <= 80
    assert table[0].startswith(f"{app.topic[:60]}")
    assert [line.split()[:2] for line in table[2:4]] == [["m", "watching"], ["other", "watching"]]

    assert refolded(app) == app.alerts()
    assert not app.audited()["violations"]
    app.config.write_text(
        app.config.read_text() + f'[bridges.hook]\nkind = "webhook"\nurl = "{hook.url}"\n'
        'start = "earliest"\n'
    )
    bridge = app.command("bridge")

    def told() -> list[dict[str, Any]]:
        return [one for one in map(orjson.loads, bodies()) if one["type"] != "operator"]

    def bodies() -> list[bytes]:
        return [one.body for one in hook.taken]

    wait_until(lambda: len(told()) >= 2, 20, f"the other one is told:\n{bridge.text}")
    assert bridge.stop() == 0
    assert {one["model"] for one in told()} == {"other"}


def test_reminders_go_on_over_a_restart_until_somebody_looks_after_it(app: App) -> None:
    app.config.write_text(f'remind_every = "60s"\n{app.config.read_text()}')
    app.make_topic(2)
    app.feed([*part(0, 4_000), *part(80, 8_000, shift=9.0)])
    app.drain()

    def reminded(model: str) -> list[dict[str, Any]]:
        return [one for one in of(app, "updated", model) if one["why"] == ["reminder"]]

    before = {model: len(reminded(model)) for model in ("m", "other")}
    assert min(before.values()) >= 1, app.alerts()
    (mine,) = of(app, "opened")
    said(app, "ack", mine["incident"], "--why", "a new source", "--by", "ann")
    app.feed(part(240, 8_000, shift=9.0))
    app.drain()  # a worker that has read neither the change nor the words
    assert len(reminded("m")) == before["m"]
    assert len(reminded("other")) > before["other"]
    assert refolded(app) == app.alerts()
