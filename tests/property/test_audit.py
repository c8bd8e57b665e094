"""Whatever workers do to streams, what they leave passes an audit."""

from __future__ import annotations

import random
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consumer import closings
from consumer.audit import audit
from sketches import codec
from tests.audit_worlds import ALERTS, LOG, REJECTS, World, finish, live, random_inputs


def lived(seed: int) -> World:
    """Crashes, zombies and idle decisions, up to a random moment or to the end."""
    chance = random.Random(seed)
    world = World(chance.choice([{"t": 1}, {"t": 2, "u": 1}, {"t": 3}]))
    random_inputs(world, chance, chance.choice([5, 60, 150]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            closings,
            "encode_all",
            partial(codec.encode_all, max_bytes=chance.choice([100, 256_000])),
        )
        live(world, chance, chance.choice([3, 30, 60]))
        if chance.random() < 0.5:
            finish(world)
    world.detect(chance)
    return world


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32))
def test_what_workers_leave_is_clean(seed: int) -> None:
    world = lived(seed)
    report = audit(world.settings, world)
    assert not report.violations, report.lines()


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32))
def test_what_retention_leaves_of_it_is_clean(seed: int) -> None:
    world, chance = lived(seed), random.Random(seed)
    for topic in (*dict(world.inputs), LOG, ALERTS, REJECTS):
        for number in range(world.counts[topic]):
            end = world.end(topic, number)
            if topic == LOG and chance.random() < 0.7:
                world.snapshot(number, chance.randint(0, end))
            world.trim(topic, number, chance.randint(0, end))
    report = audit(world.settings, world)
    assert not report.violations, report.lines()


def test_the_trial_covers_what_it_claims() -> None:
    reports = []
    for seed in range(8):
        world = lived(seed)
        reports.append(audit(world.settings, world))
    facts = [one for report in reports for one in report.checked]
    assert sum(one.get("repeated", 0) for one in facts) > 50
    assert (
        sum(
            one["to"] - one["against the input from"]
            for one in facts
            if "against the input from" in one
        )
        > 600
    )
