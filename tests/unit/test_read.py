"""What a service reads: incidents as they stand, once, whatever is repeated or comes late."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import msgspec
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import alerts
from alerts.events import Event, EventFormatError, to_message
from alerts.read import Message
from tests.unit.test_tail import story


def messages(told: list[Event]) -> list[Message]:
    return [to_message(event, "app") for event in told]


def labelled(**labels: str) -> list[Event]:
    return [msgspec.structs.replace(event, labels=labels) for event in story()]


def test_each_incident_as_it_stands_after_each_event() -> None:
    opened, _, resolved, silent, back, limit = story()
    told = [(each.id, each.state) for each in alerts.read(messages(story()))]
    assert told == [
        (opened.incident, "open"),
        (opened.incident, "open"),
        (resolved.incident, "resolved"),
        (silent.incident, "open"),
        (back.incident, "resolved"),
        (limit.incident, "told"),
    ]


@pytest.mark.parametrize(
    ("wanted", "count"),
    [
        ({"model": "fraud"}, 2),
        ({"model": "credit-*"}, 3),
        ({"severity": "critical"}, 3),
        ({"state": "open"}, 3),
        ({"labels": {"team": "risk"}}, 6),
        ({"labels": {"team": "risk", "tier": "1"}}, 0),
        ({"model": "fraud", "state": "resolved"}, 1),
    ],
)
def test_only_what_is_wanted(wanted: dict[str, Any], count: int) -> None:
    assert len(list(alerts.read(messages(labelled(team="risk", site="a")), **wanted))) == count


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 5), max_size=30), st.randoms(use_true_random=False))
def test_repetitions_and_what_is_older_change_nothing(
    extra: list[int], chance: random.Random
) -> None:
    """A worker that starts anew repeats from some event on, in the order of the incident."""
    told = story()
    at, sent = 0, []
    while at < len(told):
        sent.append(told[at])
        at += 1
        if extra and chance.random() < 0.5:
            at = min(at, extra.pop())
    assert list(alerts.read(messages(sent))) == list(alerts.read(messages(told)))


def test_it_waits_for_no_more_than_it_tells() -> None:
    def endless() -> Iterator[Message]:
        yield from messages(story()[:1])
        raise AssertionError("read too far")

    assert next(alerts.read(endless())).state == "open"


def test_a_damaged_message_stops_the_reader_or_is_told_of() -> None:
    damaged: list[Message] = [(None, b"{", []), (None, orjson.dumps({"v": 2}), [])]
    with pytest.raises(EventFormatError):
        list(alerts.read(damaged))
    told: list[str] = []
    assert not list(alerts.read(damaged, unreadable=lambda error: told.append(str(error))))
    assert len(told) == 2
