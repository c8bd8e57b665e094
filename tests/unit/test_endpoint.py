"""Liveness, readiness and metrics over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from http.client import HTTPConnection

import pytest

from consumer import endpoint
from consumer.endpoint import Endpoint

Answer = tuple[int, str]


def ask(port: int, path: str) -> Answer:
    connection = HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


@pytest.fixture
def ready() -> list[bool]:
    return [False]


@pytest.fixture
def served(ready: list[bool]) -> Iterator[Endpoint]:
    found = Endpoint("127.0.0.1:0", lambda: ready[0], lambda: b"up 1\n")
    yield found
    found.close()


def test_it_is_alive_as_long_as_the_loop_turns(
    served: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    served.turn()
    assert ask(served.port, "/healthz")[0] == 200
    monkeypatch.setattr(endpoint, "SILENT_AFTER", -1.0)
    assert ask(served.port, "/healthz")[0] == 503


def test_it_is_ready_once_all_partitions_are_begun(
    served: Endpoint, ready: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ask(served.port, "/readyz") == (503, "partitions are not begun yet\n")
    ready[0] = True
    assert ask(served.port, "/readyz") == (200, "ready\n")
    monkeypatch.setattr(endpoint, "SILENT_AFTER", -1.0)
    assert ask(served.port, "/readyz") == (503, "stuck\n")


def test_metrics_and_nothing_else(served: Endpoint) -> None:
    assert ask(served.port, "/metrics?name=x") == (200, "up 1\n")
    assert ask(served.port, "/elsewhere") == (404, "there are /healthz, /readyz and /metrics\n")
