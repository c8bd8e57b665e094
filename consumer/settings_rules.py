"""What settings demand of each other."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from consumer.durations import short
from consumer.mistakes import Mistake, dotted
from consumer.mistakes import Path as Names
from consumer.settings_values import topic_names


def internal_topics(app: str) -> tuple[str, ...]:
    """Names of the four topics that belong to streamgauge itself."""
    return tuple(f"{app}-{part}" for part in ("profiles", "alerts", "state", "rejects"))


def contradictions(
    merged: Mapping[str, Any],
    origin: Callable[[Names], str],
    *,
    need_inputs: bool,
    need_kafka: bool,
) -> list[Mistake]:
    """What is wrong in how settings stand to each other, as far as they can be read at all.

    Args:
        merged: The settings of all sources as written.
        origin: Where the setting at a path came from.
        need_inputs: At least one input must be named.
        need_kafka: ``bootstrap.servers`` must be named.
    """
    found: list[Mistake] = []
    kafka = merged.get("kafka") or {}
    if need_kafka and not (kafka.get("bootstrap.servers") or kafka.get("metadata.broker.list")):
        text = (
            'is missing; write "bootstrap.servers" = "host:9092" in [kafka], or set '
            "STREAMGAUGE_KAFKA__BOOTSTRAP_SERVERS"
        )
        found.append(Mistake("kafka.bootstrap.servers", text))
    found += _group_mistakes(kafka, origin)
    inputs = merged.get("inputs")
    if need_inputs and not inputs:
        text = 'no input is named; write a table [inputs.NAME] with topics = ["your-topic"]'
        found.append(Mistake("inputs", text))
    if not isinstance(inputs, Mapping):
        return found
    own = internal_topics(str(merged.get("app", "streamgauge")))
    claimed: dict[str, str] = {}
    for name, table in inputs.items():
        if not isinstance(table, Mapping):
            continue
        if "name" in table:
            at = ("inputs", name, "name")
            found.append(
                Mistake(
                    dotted(at),
                    "leave it out; the table's name is the input's",
                    origin(at),
                )
            )
        at = ("inputs", name, "topics")
        for topic in _listed(table.get("topics")):
            claim = _claim_mistake(topic, name, claimed, own)
            if claim is not None:
                found.append(Mistake(dotted(at), claim, origin(at)))
            claimed.setdefault(topic, name)
    return found


def _group_mistakes(kafka: Mapping[str, Any], origin: Callable[[Names], str]) -> list[Mistake]:
    """What Kafka 4's group protocol leaves to the broker."""
    if kafka.get("group.protocol", "classic") == "classic":
        return []
    text = (
        'leave it out: with "group.protocol" = "consumer" the broker decides this '
        "(group.consumer.session.timeout.ms and the like)"
    )
    ours = ("session.timeout.ms", "heartbeat.interval.ms")
    return [
        Mistake(f"kafka.{name}", text, origin(("kafka", name))) for name in ours if name in kafka
    ]


def _listed(topics: object) -> list[str]:
    with contextlib.suppress(ValueError):  # reported already
        topics = topic_names(topics)
    return [t for t in topics if isinstance(t, str)] if isinstance(topics, list | tuple) else []


def _claim_mistake(
    topic: str, name: str, claimed: Mapping[str, str], own: Sequence[str]
) -> str | None:
    if topic in own:
        return f'"{topic}" is a topic of streamgauge itself; name topics with predictions'
    if topic not in claimed:
        return None
    if claimed[topic] == name:
        return f"{short(topic)} is named twice; leave one out"
    return f'{short(topic)} is also named by input "{claimed[topic]}"; one input reads a topic'
