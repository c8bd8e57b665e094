"""Metrics of the bridges in Prometheus' words, made at each scrape."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final, Protocol

from prometheus_client import (
    CollectorRegistry,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from consumer.bridge import Bridge

_OUTCOMES: Final = ("sent", "refused", "unreadable")


class Running(Protocol):
    """A bridge in its thread."""

    name: str
    bridge: Bridge | None


def exposition(threads: Sequence[Running]) -> Callable[[], bytes]:
    """A function that answers a scrape in the text format 0.0.4."""
    registry = CollectorRegistry()
    registry.register(_Bridges(threads))
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    return lambda: generate_latest(registry)


class _Bridges(Collector):
    def __init__(self, threads: Sequence[Running]) -> None:
        self._threads = threads

    def collect(self) -> Iterator[Metric]:
        events = CounterMetricFamily(
            "streamgauge_bridge_events",
            "Alert events by what became of them: sent; refused by the target; unreadable.",
            labels=["bridge", "outcome"],
        )
        failures = CounterMetricFamily(
            "streamgauge_bridge_failed_attempts",
            "Attempts that the target did not answer, or that will be made again.",
            labels=["bridge"],
        )
        waiting = GaugeMetricFamily(
            "streamgauge_bridge_waiting_events",
            "Events read that the target has not taken; more wait on the topic.",
            labels=["bridge"],
        )
        up = GaugeMetricFamily(
            "streamgauge_bridge_target_up",
            "1: the last attempt went well, or there was none.",
            labels=["bridge"],
        )
        for thread in self._threads:
            bridge = thread.bridge
            if bridge is None:
                continue
            for outcome in _OUTCOMES:
                events.add_metric([thread.name, outcome], bridge.counts[outcome])
            failures.add_metric([thread.name], bridge.counts["failed"])
            waiting.add_metric([thread.name], bridge.waiting)
            up.add_metric([thread.name], float(not bridge.away))
        yield from (events, failures, waiting, up)
