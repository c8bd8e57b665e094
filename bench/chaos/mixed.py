"""The long run: faults of all kinds at random, quiet between, audits on the way."""

from __future__ import annotations

import signal
import time
from typing import Final

from bench.chaos.oracle import audited
from bench.chaos.system import STEP, System

MOST: Final = 4  # workers
QUIET: Final = (2.0, 8.0)  # seconds between two faults
BACK_WITHIN: Final = 90.0  # seconds; half-open connections take longest
AUDIT_EVERY: Final = 8  # faults


def mixed(seconds: float, system: System) -> None:
    """Until the load is written, at a pace at which that takes so long."""
    system.per_step = STEP / seconds
    end = time.monotonic() + seconds
    for _ in range(2):
        system.working()
    faults = [_kill, _stop, _join, _zombie, _node_killed, _node_restarted, _cut, _slow, _half_open]
    turn = 0
    while time.monotonic() < end:
        turn += 1
        fault = system.rng.choice(faults)
        fault(system)
        while len(system.running) < 2:
            system.start()
        system.recovered(BACK_WITHIN)
        system.see_workers()
        if turn % AUDIT_EVERY == 0:
            system.settle()
            system.problems += [f"during: {text}" for text in audited(system.app)]
        system.feed_for(1.0, system.rng.uniform(*QUIET))


def _some_time(system: System, most: float) -> None:
    system.feed_for(1.0, system.rng.uniform(0.2, most))


def _kill(system: System) -> None:
    system.kill(system.rng.choice(system.running))
    _some_time(system, 2.0)


def _stop(system: System) -> None:
    system.stop(system.rng.choice(system.running))
    _some_time(system, 2.0)


def _join(system: System) -> None:
    if len(system.running) < MOST:
        system.start()
    _some_time(system, 3.0)


def _zombie(system: System) -> None:
    worker = system.rng.choice(system.running)
    worker.send(signal.SIGSTOP)
    _some_time(system, 25.0)
    worker.send(signal.SIGCONT)


def _node_killed(system: System) -> None:
    node = system.rng.choice(list(system.cluster.kafka.nodes))
    system.cluster.kafka.kill(node)
    _some_time(system, 10.0)
    system.cluster.heal()


def _node_restarted(system: System) -> None:
    node = system.rng.choice(list(system.cluster.kafka.nodes))
    system.cluster.stop_cleanly(node)
    _some_time(system, 5.0)
    system.cluster.heal()


def _cut(system: System) -> None:
    for _ in range(system.rng.randint(1, 5)):
        for proxy in system.cluster.proxies.values():
            proxy.cut()
        _some_time(system, 1.0)


def _slow(system: System) -> None:
    for proxy in system.cluster.proxies.values():
        proxy.delay = 0.2
    _some_time(system, 8.0)
    for proxy in system.cluster.proxies.values():
        proxy.heal()


def _half_open(system: System) -> None:
    for proxy in system.cluster.proxies.values():
        proxy.silence()
    _some_time(system, 3.0)
