"""Metrics in Prometheus' words, made of a worker's ``Meters`` at each scrape.

Bounded whatever the input does: rows by model and by feature are those that stand out most, the
rest is one row ``other``; names are cut, and reasons and codes are closed sets.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from alerts.texts import printable

from .judges import Moved, Standing
from .meters import BUCKETS, Meters, Times, View
from .settings import Budget

MODELS: Final = 100  # rows of each metric by model
FEATURES: Final = 10  # rows of a model
FEATURE_ROWS: Final = 500  # in all
LABEL: Final = 128  # characters of a name
OTHER: Final = "other"
_MICROSECONDS: Final = 1e6

Named = tuple[tuple[str, str], Standing]  # (topic, model), how it stands


def exposition(meters: Meters, budget: Budget) -> Callable[[], bytes]:
    """A function that answers a scrape in the text format 0.0.4.

    Args:
        meters: Of the worker.
        budget: False incidents that its user accepts.
    """
    registry = CollectorRegistry()
    registry.register(_Worker(meters, budget))
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    return lambda: generate_latest(registry)


class _Worker(Collector):
    def __init__(self, meters: Meters, budget: Budget) -> None:
        self._meters = meters
        self._budget = budget

    def describe(self) -> list[Metric]:
        """Nothing beforehand: what is told depends on what is there."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Everything, once."""
        meters, view = self._meters, self._meters.view
        yield from _counted(meters)
        yield from _progress(view, time.time())
        yield from _models(view)
        yield _gauge(
            "budget_incidents_per_model_week",
            "False incidents that the configuration accepts.",
            ["severity"],
            [
                (("critical",), self._budget.critical_per_model_week),
                (("warning",), self._budget.warning_per_model_week),
            ],
        )


def _counted(meters: Meters) -> Iterator[Metric]:
    """Counters and durations since the process began; items are copied before they are used."""
    by_topic = (
        ("records", "Readable records in closed windows.", meters.records),
        ("late_records", "Records counted in a later window than their own.", meters.late),
        ("clock_ahead_records", "Records whose event time was not believed.", meters.clock_ahead),
    )
    for name, says, counts in by_topic:
        rows = [((topic,), count) for topic, count in list(counts.items())]
        yield _counter(name, says, ["topic"], rows)
    yield _counter(
        "rejected_records",
        "Records that could not be read.",
        ["topic", "reason"],
        list(meters.rejects.items()),
    )
    yield _counter(
        "events", "Alert events published.", ["type", "severity"], list(meters.events.items())
    )
    errors = [((code,), count) for code, count in list(meters.errors.items())]
    yield _counter("client_errors", "Errors that the Kafka client reported.", ["code"], errors)
    yield _counter("rebalances", "Times the group gave partitions.", [], [((), meters.rebalances)])
    yield _counter(
        "restarts_from_commit",
        "Times everything went on from the last commit after an unclear outcome.",
        [],
        [((), meters.restarts)],
    )
    yield _histogram("turn_seconds", "One turn of the loop, the wait included.", meters.turns)
    yield _histogram(
        "checkpoint_seconds", "Publishing and committing what is due.", meters.checkpoints
    )


def _progress(view: View, now: float) -> Iterator[Metric]:
    yield _gauge("ready", "1: every partition given to this worker has been begun.", [],
                 [((), float(view.ready))])  # fmt: skip
    behind = [
        ((part.topic, str(part.partition)), part.behind)
        for part in view.partitions
        if part.behind is not None
    ]
    yield _gauge("lag_records", "Records not read yet.", ["topic", "partition"], behind)
    yield _gauge(
        "assigned_partitions",
        "Partitions that this worker has.",
        ["kind"],
        [(("input",), len(view.partitions)), (("log",), view.logs)],
    )
    folded = [
        ((name,), now - topic.folded / _MICROSECONDS)
        for name, topic in view.topics.items()
        if topic.folded is not None
    ]
    yield _gauge(
        "folded_delay_seconds",
        "Now less the end of the last window that was judged.",
        ["topic"],
        folded,
    )
    states = [
        ((name, state), sum(said == state for said in topic.states.values()))
        for name, topic in view.topics.items()
        for state in ("active", "idle", "stalled")
    ]
    yield _gauge(
        "input_partitions",
        "Input partitions by what their last watermark said.",
        ["topic", "state"],
        states,
    )
    silent = [((name,), topic.missing) for name, topic in view.topics.items()]
    yield _gauge(
        "input_partitions_unheard",
        "Input partitions that have not spoken yet; no window is complete before.",
        ["topic"],
        silent,
    )
    waiting = [((name,), topic.waiting) for name, topic in view.topics.items()]
    yield _gauge("waiting_windows", "Windows that some partitions have not closed.", ["topic"],
                 waiting)  # fmt: skip
    yield _gauge("waiting_bytes", "Profiles that wait for a watermark or other partitions.", [],
                 [((), view.waiting_bytes)])  # fmt: skip


def _models(view: View) -> Iterator[Metric]:
    standings = sorted(view.models.items(), key=_outstanding)
    shown, rest = standings[:MODELS], standings[MODELS:]
    one = ["topic", "model"]
    yield _gauge("models", "Models known.", [], [((), len(standings))])
    yield _by_model("model_open_incidents", "Incidents that are open.", one, shown, rest,
                    lambda each: float(each.open), sum)  # fmt: skip
    yield _by_model("model_records_per_second", "In its last window with data.", one, shown, rest,
                    _rate, sum)  # fmt: skip
    yield _by_model("model_learning_ratio", "Part of the baseline learned; 1: all of it.", one,
                    shown, rest, lambda each: each.learned, min)  # fmt: skip
    yield _by_model("model_watched_features", "Features whose signals are tested.", one, shown,
                    rest, lambda each: float(each.watched), sum)  # fmt: skip
    yield _by_model("model_change_score", "Largest change over its threshold; 0: none is open.",
                    one, shown, rest, _score, max)  # fmt: skip
    ends = [(_names(name), each.end / _MICROSECONDS) for name, each in shown if each.end]
    yield _gauge("model_last_window_timestamp_seconds", "End of its last window with data.", one,
                 ends)  # fmt: skip
    yield _gauge(
        "feature_change_score",
        "Changes that are open, over their threshold.",
        [*one, "feature", "signal"],
        _features(shown),
    )


def _outstanding(named: Named) -> tuple[object, ...]:
    name, standing = named
    return -standing.open, -_score(standing), name


def _score(standing: Standing) -> float:
    return max((each.score for each in standing.moved), default=0.0)


def _rate(standing: Standing) -> float:
    return standing.records * _MICROSECONDS / standing.window if standing.window else 0.0


def _names(name: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(printable(each)[:LABEL] for each in name)


def _by_model(
    name: str,
    says: str,
    labels: list[str],
    shown: list[Named],
    rest: list[Named],
    value: Callable[[Standing], float],
    together: Callable[[Iterable[float]], float],
) -> Metric:
    rows = [(_names(each), value(standing)) for each, standing in shown]
    if rest:
        rows.append(((OTHER, OTHER), together(value(standing) for _, standing in rest)))
    return _gauge(name, says, labels, rows)


def _features(shown: list[Named]) -> list[tuple[tuple[str, ...], float]]:
    rows: list[tuple[tuple[str, ...], float]] = []
    for name, standing in shown:
        ranked = sorted(standing.moved, key=_rank)
        room = max(min(FEATURES, FEATURE_ROWS - len(rows) - 1), 0)
        rows += [(_names((*name, *each[:2])), each.score) for each in ranked[:room]]
        if room and len(ranked) > room:
            rows.append((_names((*name, OTHER, OTHER)), ranked[room].score))
    return rows


def _rank(moved: Moved) -> tuple[object, ...]:
    return -moved.score, moved.feature, moved.signal


def _gauge(
    name: str, says: str, labels: list[str], rows: Iterable[tuple[tuple[str, ...], float]]
) -> GaugeMetricFamily:
    found = GaugeMetricFamily(f"streamgauge_{name}", says, labels=labels)
    for values, number in _once(rows):
        found.add_metric(values, number)
    return found


def _counter(
    name: str, says: str, labels: list[str], rows: Iterable[tuple[tuple[str, ...], float]]
) -> CounterMetricFamily:
    found = CounterMetricFamily(f"streamgauge_{name}", says, labels=labels)
    for values, number in _once(rows):
        found.add_metric(values, number)
    return found


def _once(
    rows: Iterable[tuple[tuple[str, ...], float]],
) -> Iterator[tuple[tuple[str, ...], float]]:
    """Names that were cut may be equal: a scrape with one row twice is refused as a whole."""
    seen = set()
    for values, number in rows:
        if values not in seen:
            seen.add(values)
            yield values, number


def _histogram(name: str, says: str, times: Times) -> HistogramMetricFamily:
    found = HistogramMetricFamily(f"streamgauge_{name}", says)
    heads = [*map(str, BUCKETS), "+Inf"]
    buckets = list(zip(heads, accumulate(list(times.counts)), strict=True))
    found.add_metric([], buckets, times.total)
    return found
