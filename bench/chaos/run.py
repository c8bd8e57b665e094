"""One run: a row, a mode, a seed."""

from __future__ import annotations

import random
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from bench.chaos import oracle
from bench.chaos.bounds import Used
from bench.chaos.cluster import Cluster, Clusters
from bench.chaos.oracle import Made, Outcome, Plan
from bench.chaos.rows import Mode, Row
from bench.chaos.system import System


class Result(NamedTuple):
    """Of one run.

    Attributes:
        violations: What is not as it must be.
        recovery: Seconds from the fault's end to all being committed, without those in which a
            worker waited for a CPU that others had.
        wall: The same, with them.
        stop: Seconds that the slowest SIGTERM took.
        reached: Times that the row's failpoint was reached.
        used: The most that one of its workers took.
    """

    violations: list[str]
    recovery: float
    wall: float
    stop: float
    reached: int
    used: Used


class References:
    """The load of each plan and the events of its undisturbed run, made when needed."""

    def __init__(self) -> None:
        self._records: dict[Plan, list[Made]] = {}
        self._events: dict[Plan, dict[str, bytes]] = {}

    def records(self, plan: Plan) -> list[Made]:
        """What is fed."""
        if plan not in self._records:
            self._records[plan] = plan.records()
        return self._records[plan]

    def events(self, plan: Plan, cluster: Cluster, folder: Path) -> dict[str, bytes]:
        """What one worker that nobody disturbs makes of it.

        Raises:
            RuntimeError: It opens no incident, so nothing would be compared; or it is wrong.
        """
        if plan not in self._events:
            records = self.records(plan)
            place = folder / f"calm-{len(self._events)}"
            place.mkdir()
            with System(cluster, plan, records, {}, place, random.Random(0)) as calm:
                calm.feed(1.0)
                calm.settle()
                calm.app.drain(within=300.0)
                found = calm.app.alerts()
                wrong = oracle.violations(Outcome(calm.app, records, found, {}))
                if wrong or not calm.app.of_type("opened"):
                    why = wrong or "it opened no incident: nothing would be compared"
                    raise RuntimeError(f"the undisturbed run is no reference: {why}")
            self._events[plan] = found
        return self._events[plan]


def run(row: Row, mode: Mode, seed: int, clusters: Clusters, known: References) -> Result:
    """Do it; every process of it has ended when this returns."""
    cluster = clusters.get(row.cluster)
    settings: dict[str, str | int | bool] = {
        "delivery": mode,
        "kafka.session.timeout.ms": row.session,
        "kafka.heartbeat.interval.ms": row.session // 5,
    }
    with tempfile.TemporaryDirectory(prefix="chaos-") as name:
        folder = Path(name)
        wanted = known.events(row.plan, cluster, folder) if row.same_alerts else None
        records = known.records(row.plan)
        rng = random.Random(f"{row.number} {mode} {seed}")
        with System(cluster, row.plan, records, settings, folder, rng) as system:
            try:
                _disturbed(row, system)
                outcome = Outcome(
                    system.app, system.records, wanted, system.lost, frozenset(system.holes)
                )
                system.problems += oracle.violations(outcome)
            except AssertionError as error:
                system.problems.append(str(error))
                system.recoveries.append(row.bound)
            finally:
                cluster.heal()
            system.see_workers()
            reached = system.reached[row.point]
            return Result(
                system.problems,
                max(system.recoveries, default=0.0),
                max(system.walls, default=0.0),
                system.slowest_stop,
                reached,
                system.used,
            )


def _disturbed(row: Row, system: System) -> None:
    """The fault and what follows it."""
    row.fault(system)
    system.see_workers()
    begun = time.monotonic()
    if not system.running:
        system.start()  # as whoever supervises it does
    system.feed(0.85)
    system.settle()
    system.recovered(row.bound, begun)
    system.feed(1.0)
    system.settle()
    system.recovered(row.bound)
    while system.running:
        system.see_workers()
        if system.running:
            system.stop(system.running[0])
    system.cluster.heal()
    system.app.drain(within=300.0)
