"""Liveness over HTTP."""

from __future__ import annotations

from http.client import HTTPConnection

import pytest

from consumer import health
from consumer.health import Health


def ask(port: int, path: str) -> int:
    connection = HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


def test_it_answers_as_long_as_the_loop_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    served = Health("127.0.0.1:0")
    try:
        served.turn()
        assert ask(served.port, "/healthz") == 200
        assert ask(served.port, "/elsewhere") == 404
        monkeypatch.setattr(health, "SILENT_AFTER", -1.0)
        assert ask(served.port, "/healthz") == 503
    finally:
        served.close()
