"""What the commands and a consumer in Java say about incidents, on real Kafka."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import orjson
import pytest
from confluent_kafka import Producer

from bench.records import Load, generate
from consumer.service import incidents
from tests.kafka_broker import jars
from tests.unit.test_contract import ALERTS
from tests.unit.test_tail import story
from tests.waiting import wait_until
from tests.worker_runs import ROOT, App

pytestmark = [pytest.mark.kafka, pytest.mark.xdist_group("incident_commands")]

LOAD = Load(records=16_000, features=5, models=2, per_second=400.0, shift_at=0.6)
README = ROOT / "README.md"
JAVA = ALERTS.parent / "examples" / "java" / "Incidents.java"


@pytest.fixture(scope="module")
def app(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """Incidents of a worker, events told twice and of a later release, and damage."""
    own = uuid.uuid4().hex[:10]
    folder = tmp_path_factory.mktemp("incidents")
    with App(kafka, f"app-{own}", f"predictions-{own}", folder) as app:
        app.make_topic(2)
        app.feed((n % 2, *one) for n, one in enumerate(generate(LOAD)))
        app.drain()
        app.tell(*story(), *story())
        producer = Producer({"bootstrap.servers": kafka})
        later = orjson.dumps({"v": 1, "type": "of a later release", "incident": "x"})
        for value in (later, b"no event"):
            producer.produce(app.settings.alerts_topic, value, b"x")
        assert producer.flush(20) == 0
        yield app


def said(app: App, *words: str, status: int = 0) -> str:
    worker = app.command(*words)
    assert worker.ended(30) == status, worker.text
    return worker.text


def newest(app: App, *words: str) -> list[str]:
    """Events of ``incidents --json``, as they are."""
    lines = said(app, "incidents", "--json", *words).splitlines()
    return [line for line in lines if line.startswith("{")]


def test_the_open_ones_as_a_table_and_for_machines(app: App) -> None:
    lines = said(app, "incidents").splitlines()
    assert len([line for line in lines if line.startswith("skipped: ")]) == 1
    lines = [line for line in lines if not line.startswith("skipped: ")]
    assert max(map(len, lines)) <= 80
    told = [orjson.loads(line) for line in newest(app)]
    assert {event["model"] for event in told} == {"model-0", "model-1"}
    rows = [line[:8] for line in lines[1:] if not line.startswith(" ")]
    assert rows == [event["incident"][:8] for event in told]
    models = {orjson.loads(line)["model"] for line in newest(app, "--all")}
    assert models >= {"fraud", "credit-risk"}
    (one,) = newest(app, "--model", "*-1")
    assert orjson.loads(one)["model"] == "model-1"
    assert "no incidents" in said(app, "incidents", "--label", "team=risk")
    pending = said(app, "incidents", "--pending").splitlines()
    assert [line for line in pending if line in lines] == lines
    assert "models --json has it" in said(app, "incidents", "--pending", "--json", status=2)


def test_the_story_of_one_with_its_pictures(app: App, tmp_path: Path) -> None:
    id_ = orjson.loads(newest(app)[-1])["incident"]
    path = tmp_path / "incident.png"
    text = said(app, "incident", f"#{id_[:8]}", "--plot", str(path))
    assert f"#{id_}" in text
    before, after = (
        next(line for line in text.splitlines() if line.startswith(f"    {word}"))
        for word in ("before", "after")
    )
    assert " records" in before
    assert " records" in after
    assert f"streamgauge replay --log topic:{app.name}-profiles -c {app.config}" in text
    assert path.read_bytes().startswith(b"\x89PNG")
    text = said(app, "incident", "abc", status=2)
    assert "no incident of topic" in text
    assert "streamgauge incidents --all lists them" in text
    assert "name a file that ends in .png or .svg" in said(
        app, "incident", "a", "--plot", "a.pdf", status=2
    )


def test_a_consumer_in_java_prints_the_same_incidents(app: App, tmp_path: Path) -> None:
    if shutil.which("javac") is None and not os.environ.get("CI"):
        pytest.skip("javac not found; install a JDK")
    path = f"{jars()}/*"
    compiler = ["javac", "-Xlint:all", "-Werror", "-cp", path, "-d", str(tmp_path), str(JAVA)]
    subprocess.run(compiler, check=True, timeout=60)
    program = ["java", "-cp", f"{path}:{tmp_path}", "Incidents"]
    done = subprocess.run(
        [*program, app.bootstrap, app.settings.alerts_topic],
        check=True,
        capture_output=True,
        timeout=60,
    )
    assert b"is no alert event" in done.stderr
    assert done.stdout.decode().splitlines() == newest(app)


def test_the_consumer_of_the_readme_sees_them_too(app: App) -> None:
    section = README.read_text().partition("## For programs\n")[2].partition("\n## ")[0]
    (program,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    assert len(program.splitlines()) <= 10
    environment = os.environ | {"STREAMGAUGE_CONFIG": str(app.config), "PYTHONUNBUFFERED": "1"}
    path = app.folder / "consumer.log"
    with path.open("wb") as out:
        running = subprocess.Popen(
            [sys.executable, "-c", program], stdout=out, stderr=out, cwd=ROOT, env=environment
        )
    due = {orjson.loads(line)["incident"] for line in newest(app)}
    assert due
    try:
        told = lambda: due <= {line.partition(" ")[0] for line in path.read_text().splitlines()}  # noqa: E731
        wait_until(told, 30, f"all open ones: {due}")
    finally:
        running.kill()
        running.wait(10)


def test_a_service_goes_on_where_its_group_was_and_is_told_nothing_twice(
    kafka: str, app_name: str, topic_name: str, tmp_path: Path
) -> None:
    with App(kafka, app_name, topic_name, tmp_path) as app:
        app.make_topic(2, app.settings.alerts_topic)
        told = story()
        app.tell(*told[:2], *told[:1])

        def of_service(most: int) -> list[tuple[str, int]]:
            end = time.monotonic() + 20
            found = incidents(
                app.settings, app_name, start="earliest", stop=lambda: time.monotonic() > end
            )
            read = [(each.id, each.event.revision) for each in islice(found, most)]
            found.close()
            return read

        opened = told[0].incident
        assert of_service(1) == [(opened, 1)]
        # Not handled: the service ended before it asked for the next one.
        assert of_service(2) == [(opened, 1), (opened, 2)]
        app.tell(*told[:2], *told)
        seen = of_service(5)
        assert seen[0] == (opened, 2)
        assert sorted(seen) == sorted((each.incident, each.revision) for each in told[1:])
