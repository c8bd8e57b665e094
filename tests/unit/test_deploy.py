"""The container files, as far as they can be checked without a container engine."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from consumer.settings import load

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def test_what_the_image_copies_is_there() -> None:
    sources = [
        name
        for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE)
        for name in line.split()[:-1]
    ]
    assert sources
    assert not [name for name in sources if not (ROOT / name).exists()]


def test_stages_and_services_fit() -> None:
    stages = set(re.findall(r"^FROM \S+ AS (\w+)$", DOCKERFILE, re.MULTILINE))
    services = COMPOSE["services"]
    targets = {one["build"]["target"] for one in services.values() if "build" in one}
    assert targets <= stages
    waited = {name for one in services.values() for name in one.get("depends_on", {})}
    assert waited <= services.keys()
    assert services["feeder"]["profiles"] == ["demo"]


def test_the_worker_is_no_root_and_its_health_check_asks_where_it_answers() -> None:
    worker = DOCKERFILE.partition("AS worker")[2].partition("FROM ")[0]
    assert re.search(r"^USER 10001$", worker, re.MULTILINE)
    service = COMPOSE["services"]["worker"]
    (volume,) = service["volumes"]
    config = ROOT / volume.split(":")[0]
    settings = load(config, environ=service["environment"])
    assert settings.health is not None
    assert f"http://{settings.health}/healthz" in worker
    assert settings.kafka["bootstrap.servers"] == "kafka:19092"


def test_the_example_configuration_loads() -> None:
    assert load(ROOT / "streamgauge.example.toml", environ={}).inputs


def test_the_bridge_leads_to_the_alertmanager_beside_it() -> None:
    services = COMPOSE["services"]
    bridge = services["bridge"]
    assert bridge["profiles"] == services["alertmanager"]["profiles"] == ["paging"]
    config = ROOT / bridge["volumes"][0].split(":")[0]
    settings = load(config, environ=bridge["environment"])
    assert settings.bridges["alertmanager"].url == ("http://alertmanager:9093",)
