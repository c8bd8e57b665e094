"""How much the full and the quick study run; all sizes are here.

A window of 400 signals takes about a millisecond to draw and to watch, and from raw records seven.
From that, the full study takes about half an hour on two cores. Windows of ten seconds, of which a
week has 60,480, are the dear ones: rows 3 and 4 have fewer model-weeks than the others.
"""

from __future__ import annotations

from typing import NamedTuple

from bench.study.watched import Plan
from bench.study.world import HOUR, Size

MINUTE, SECOND = 60_000_000, 1_000_000


class Sizes(NamedTuple):
    """Of one form of the study.

    Attributes:
        null_window: Microseconds; ``null_records`` in each.
        nulls: Of every null stream, for each of ``null_seeds``: each has a baseline of its own.
        fast: Of independent records in windows of ten seconds, rows 3 and 4; a baseline serves for
            several injections.
        world: Of the bench world.
        peers: Features tried, weeks, and records of detectors fed records.
        oracle: Runs.
        flights: Injections of each fault; 0: the year as it was alone.
        raw: A week of raw records: baseline in days, days under watch, features.
        incidents: Of each of ``incident_parts`` worlds.
        faults: The world of row 7.
        spikes: That of spikes of a minute.
        robust: That with NaN in it, and that which is restarted.
        cost: Windows that are timed.
    """

    null_window: int
    null_records: int
    nulls: Plan
    null_seeds: int
    fast: Plan
    fast_seeds: int
    world: Plan
    world_seeds: int
    peers: tuple[int, float, int]
    oracle: int
    flights: int
    raw: tuple[int, int, int]
    incidents: Size
    incident_parts: int
    faults: Size
    spikes: Size
    robust: Size
    cost: int


FULL = Sizes(
    null_window=10 * MINUTE,
    null_records=200,
    nulls=Plan(14, 2.5, 1, 144),
    null_seeds=20,
    fast=Plan(3, 0.25, 5, 60),
    fast_seeds=4,
    world=Plan(21, 2.5, 1, 2 * 1440),
    world_seeds=20,
    peers=(10, 4.0, 1_000_000),
    oracle=400,
    flights=12,
    raw=(14, 7, 100),
    incidents=Size(5, 300, MINUTE, 7, 10, 16 * HOUR, 4 * HOUR),
    incident_parts=2,
    faults=Size(1, 300, MINUTE, 7, 25, 8 * HOUR, 2 * HOUR),
    spikes=Size(1, 100, 10 * SECOND, 4, 40, HOUR, MINUTE),
    robust=Size(1, 300, 5 * MINUTE, 7, 24, 16 * HOUR, 4 * HOUR),
    cost=100,
)

QUICK = Sizes(
    null_window=30 * MINUTE,
    null_records=200,
    nulls=Plan(8, 1.0, 1, 24),
    null_seeds=1,
    fast=Plan(1, 0.01, 1, 30),
    fast_seeds=1,
    world=Plan(1, 0.02, 1, 100),
    world_seeds=1,
    peers=(2, 0.5, 20_000),
    oracle=20,
    flights=0,
    raw=(2, 1, 10),
    incidents=Size(1, 200, 10 * MINUTE, 2, 8, 16 * HOUR, 4 * HOUR),
    incident_parts=1,
    faults=Size(1, 200, 10 * MINUTE, 2, 5, 8 * HOUR, 2 * HOUR),
    spikes=Size(1, 100, 10 * SECOND, 1, 2, HOUR // 2, MINUTE),
    robust=Size(1, 200, 10 * MINUTE, 2, 4, 16 * HOUR, 4 * HOUR),
    cost=5,
)
