"""The table of faults: what is done, in which modes, how often, and how soon it must be over."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Final, Literal

from bench.chaos import faults, neighbours
from bench.chaos.cluster import Kind
from bench.chaos.faults import Fault
from bench.chaos.mixed import mixed
from bench.chaos.oracle import Plan
from bench.records import Load
from consumer import failpoints

Mode = Literal["at_least_once", "exactly_once"]
BOTH: Final[tuple[Mode, ...]] = ("at_least_once", "exactly_once")
TRANSACTIONAL: Final = ("in_transaction", "offsets_sent")  # points of exactly once alone
LOAD: Final = Load(
    records=12_000,
    features=5,
    models=2,
    per_second=200.0,
    shift_at=0.55,
    shift_until=0.68,
    late_every=331,
)
PLAIN: Final = Plan(LOAD)
POISONED: Final = Plan(LOAD, poison=True)
GROWING: Final = Plan(LOAD, grown=6, grows_at=5_000)
SHORT: Final = 3_000  # milliseconds of a session, where its length is not the matter
DEFAULT: Final = 10_000  # as users have it


@dataclass(frozen=True, slots=True)
class Row:
    """One fault.

    Attributes:
        number: Of the row.
        name: What is done.
        fault: Does it.
        runs: Over all modes.
        modes: Deliveries that it is tried with.
        bound: Seconds after the fault within which all is read and committed.
        plan: What is fed.
        cluster: Nodes.
        session: ``session.timeout.ms``.
        point: Failpoint that a worker must die at, in every run; empty: none.
        same_alerts: Whether the events must be those of an undisturbed run.
    """

    number: int
    name: str
    fault: Fault
    runs: int
    modes: tuple[Mode, ...] = BOTH
    bound: float = 25.0
    plan: Plan = PLAIN
    cluster: Kind = "one"
    session: int = SHORT
    point: str = ""
    same_alerts: bool = True


def _kill_points() -> list[Row]:
    return [
        Row(
            number,
            f"kill -9 at {name}",
            faults.kill_at(name),
            20,
            modes=("exactly_once",) if name in TRANSACTIONAL else BOTH,
            point=name,
        )
        for number, name in enumerate(failpoints.NAMES, start=1)
    ]


_OTHERS: Final = [
    Row(21, "kill -9 at random, 2 workers", faults.kill_at_random, 30, session=DEFAULT),
    Row(22, "SIGTERM at random", faults.stop_storm, 30),
    Row(23, "zombie: SIGSTOP past the session", faults.zombie, 30, session=DEFAULT),
    Row(24, "broker restart", faults.broker_restart, 30, bound=30.0, session=DEFAULT),
    Row(25, "broker kill -9", faults.broker_kill, 30, bound=30.0, session=DEFAULT),
    Row(
        26,
        "leader kill, 3 nodes",
        faults.leader_kill,
        30,
        bound=30.0,
        cluster="three",
        session=DEFAULT,
    ),
    Row(27, "rebalance storm, up to 4 members", faults.rebalance_storm, 20),
    Row(28, "network: 0.3 s each way", faults.slow_network, 10),
    Row(29, "network: connections cut", faults.cut_connections, 20),
    Row(30, "network: half-open connections", faults.half_open, 20, bound=40.0, session=DEFAULT),
    Row(31, "records of every reject reason", faults.poison, 4, plan=POISONED),
    Row(32, "input partitions 4 to 6", faults.growth, 10, plan=GROWING, same_alerts=False),
    Row(33, "workers 1, 4, 1", faults.scale, 10),
    Row(34, "log cut below the position", faults.log_cut, 10, same_alerts=False),
    Row(35, "committed offset moved by hand", faults.offsets_reset, 10, same_alerts=False),
    Row(36, "broker stands still, 2 s of 3", faults.slow_broker, 10, session=DEFAULT),
    Row(37, "broker away at start", faults.broker_away_at_start, 6, bound=30.0),
    Row(38, "disk full at a worker", faults.own_disk_full, 4),
    Row(39, "disk full at the broker", faults.broker_disk_full, 6, bound=30.0, cluster="small"),
    Row(
        40,
        "end of a transaction comes late",
        faults.late_commit,
        20,
        modes=("exactly_once",),
        point=faults.HELD,
    ),
    Row(42, "snapshots deleted or changed", faults.broken_snapshots, 10),
    Row(43, "upstream transaction hangs", neighbours.hung_transaction, 4),
    Row(45, "compression bombs, gzip and zstd", neighbours.bombs, 4, same_alerts=False),
    Row(44, "committed offsets deleted", neighbours.commits_deleted, 6),
]
MIXED: Final = 41


def table(minutes: float) -> dict[int, Row]:
    """All rows by number; ``minutes``: of the mixed run, in each mode."""
    seconds = 60.0 * minutes
    load = replace(LOAD, records=max(LOAD.records, int(seconds * LOAD.per_second)))
    last = Row(
        MIXED,
        f"all of these at random, {minutes:g} minutes",
        partial(mixed, seconds),
        2,
        bound=90.0,
        plan=Plan(load),
        cluster="three",
        session=DEFAULT,
    )
    return {row.number: row for row in [*_kill_points(), *_OTHERS, last]}


def chosen(text: str, minutes: float) -> list[Row]:
    """Rows by number and range, ``1,3,20-24``; empty: all.

    Raises:
        ValueError: There is no such row.
    """
    rows = table(minutes)
    if not text:
        return list(rows.values())
    numbers: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        numbers += range(int(first), int(last or first) + 1)
    unknown = [number for number in numbers if number not in rows]
    if unknown:
        raise ValueError(f"no row {unknown[0]}; there are {', '.join(map(str, rows))}")
    return [rows[number] for number in numbers]
