"""Fixtures for all tests: a real Kafka, and names that no other test uses."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.kafka_broker import Kafka, missing_tools

BOOTSTRAP = os.environ.get("STREAMGAUGE_TEST_BOOTSTRAP")
IN_CI = os.environ.get("CI", "").lower() in {"1", "true"}

# How long an example takes on a shared machine says nothing about the code.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


def _why_not() -> str | None:
    return None if BOOTSTRAP else missing_tools()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    why = _why_not()
    if why is None or IN_CI:
        return
    skip = pytest.mark.skip(reason=f"no real Kafka: {why}")
    for item in items:
        if item.get_closest_marker("kafka"):
            item.add_marker(skip)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    why = _why_not()
    if why is not None and not IN_CI:
        terminalreporter.write_line(
            f"REAL-KAFKA TESTS SKIPPED: {why}, or set STREAMGAUGE_TEST_BOOTSTRAP=HOST:PORT",
            yellow=True,
            bold=True,
        )


def _need_tools() -> None:
    why = missing_tools()
    if why is not None:
        pytest.fail(f"no real Kafka: {why}", pytrace=False)


@pytest.fixture(scope="session")
def kafka() -> Iterator[str]:
    """Bootstrap address of a cluster that all tests of this process share; it stays up."""
    if BOOTSTRAP:
        yield BOOTSTRAP
        return
    _need_tools()
    with Kafka() as cluster:
        yield cluster.bootstrap


@pytest.fixture
def kafka_cluster() -> Iterator[Kafka]:
    """A one-node cluster of the test's own, to be killed and restarted."""
    _need_tools()
    with Kafka() as cluster:
        yield cluster


@pytest.fixture(scope="session")
def secured_kafka() -> Iterator[Kafka]:
    """A cluster whose second listener asks for a password and for permissions."""
    _need_tools()
    with Kafka(secured=True) as cluster:
        yield cluster


@pytest.fixture
def topic_name() -> str:
    """A topic name that no other test uses."""
    return f"predictions-{uuid.uuid4().hex[:10]}"


@pytest.fixture
def app_name() -> str:
    """An app name (group, internal topics) that no other test uses."""
    return f"app-{uuid.uuid4().hex[:10]}"
