"""What is done to a running system; each function returns when the fault has ended."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from functools import partial
from typing import Final

from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition

from bench.chaos.disk import Disk, Unavailable
from bench.chaos.system import APP, BEGIN, BEGINS_WITHIN, PER_STEP, TOPIC, System
from tests.waiting import wait_until

END_TXN: Final = 26  # its number in Kafka's protocol
HELD: Final = "EndTxn held"
Fault = Callable[[System], None]

# How each failpoint is brought about, and at which passage at most the worker dies there.
AT_START: Final = {"on_assigned": 1, "before_restore": 1, "after_restore": 6}
AT_WORK: Final = {
    "after_feed": 6,
    "in_transaction": 30,
    "after_profiles": 4,
    "before_commit": 4,
    "offsets_sent": 4,
    "commit_sent": 4,
    "after_commit": 4,
}
WHEN_IDLE: Final = {"before_idle_decision": 4, "after_idle_decision": 4}
AT_STOP: Final = {
    "before_snapshot": 1,
    "in_snapshot": 2,
    "after_snapshot": 1,
    "before_last_commit": 1,
    "after_last_commit": 1,
}
AT_REVOCATION: Final = ("on_revoked", "after_revoked", "on_lost")


def none(system: System) -> None:
    """The undisturbed run."""


def kill_at(name: str) -> Fault:
    """kill -9 at a named point."""
    for points, way in (
        (AT_START, _at_start),
        (AT_WORK, _at_work),
        (WHEN_IDLE, _when_idle),
        (AT_STOP, _at_stop),
    ):
        if name in points:
            return partial(way, name, points[name])
    return partial(_at_revocation, name)


def _at_start(name: str, most: int, system: System) -> None:
    if system.rng.random() < 0.5:  # there are commits and perhaps a snapshot to restore from
        first = system.working()
        system.feed_for(0.5, 1.0)
        (system.stop if system.rng.random() < 0.5 else system.kill)(first)
    worker = system.start(failpoint=f"{name}:{system.rng.randint(1, most)}")
    system.died(worker, name)


def _at_work(name: str, most: int, system: System) -> None:
    worker = system.start(failpoint=f"{name}:{system.rng.randint(1, most)}")
    # Slowly, or a worker that gets little CPU has fewer checkpoints than passages are wanted.
    system.per_step = 0.3 * PER_STEP
    system.feed_while(0.1, BEGINS_WITHIN, lambda: worker.alive and not worker.events(BEGIN))
    system.feed_while(0.7, 40.0, lambda: worker.alive)
    system.died(worker, name, 10.0)


def _when_idle(name: str, most: int, system: System) -> None:
    """Idle decisions move borders, so one may only come when everything is read."""
    worker = system.working()
    system.feed(1.0)
    system.settle()
    system.recovered(30.0)
    system.stop(worker)
    drains = system.start("--drain", failpoint=f"{name}:{system.rng.randint(1, most)}")
    system.died(drains, name)


def _at_stop(name: str, most: int, system: System) -> None:
    worker = system.start(failpoint=f"{name}:{system.rng.randint(1, most)}")
    worker.says(BEGIN, BEGINS_WITHIN)
    system.feed_for(0.7, system.rng.uniform(0.5, 2.0))
    worker.send(signal.SIGTERM)
    system.died(worker, name)


def _at_revocation(name: str, system: System) -> None:
    worker = system.start(failpoint=f"{name}:1")
    worker.says(BEGIN, BEGINS_WITHIN)
    system.feed_for(0.5, 1.0)
    if name == "on_lost":
        worker.send(signal.SIGSTOP)
    heir = system.start()
    system.feed_for(0.7, 1.5)
    if name == "on_lost":
        heir.says(BEGIN, BEGINS_WITHIN)
        worker.send(signal.SIGCONT)
    system.died(worker, name)


def kill_at_random(system: System) -> None:
    """kill -9 at no particular moment; the supervisor starts another one."""
    system.start()
    system.start()
    for _ in range(3):
        system.feed_for(0.7, system.rng.uniform(0.5, 3.0))
        system.kill(system.rng.choice(system.running))
        system.start()


def stop_storm(system: System) -> None:
    """SIGTERM at any moment, from before the first line of code on."""
    for _ in range(5):
        worker = system.start()
        system.feed_for(0.7, system.rng.uniform(0.0, 3.0))
        system.stop(worker)


def zombie(system: System) -> None:
    """Paused until the group has gone on without it, then back."""
    first = system.working()
    system.feed_for(0.5, system.rng.uniform(0.5, 1.5))
    first.send(signal.SIGSTOP)
    heir = system.start()
    heir.says(BEGIN, BEGINS_WITHIN)
    system.feed_for(0.7, system.rng.uniform(0.2, 2.0))
    first.send(signal.SIGCONT)


def broker_restart(system: System) -> None:
    """A clean restart of the only broker."""
    system.working()
    system.feed_for(0.5, system.rng.uniform(0.5, 1.5))
    system.cluster.stop_cleanly(1)
    system.feed_for(0.7, system.rng.uniform(0.5, 4.0))
    system.cluster.kafka.restart(1)


def broker_kill(system: System) -> None:
    """kill -9 of the only broker."""
    system.working()
    system.feed_for(0.5, system.rng.uniform(0.5, 1.5))
    system.cluster.kafka.kill(1)
    system.feed_for(0.7, system.rng.uniform(0.5, 4.0))
    system.cluster.kafka.restart(1)


def leader_kill(system: System) -> None:
    """kill -9 of the node that leads a partition of one of the topics that matter."""
    system.working()
    system.start()
    system.feed_for(0.5, system.rng.uniform(1.0, 2.0))
    topics = [TOPIC, f"{APP}-profiles", f"{APP}-alerts", f"{APP}-state", "__consumer_offsets"]
    if system.app.settings.delivery == "exactly_once":
        topics.append("__transaction_state")
    topic = system.rng.choice(topics)
    system.cluster.kafka.kill(system.cluster.leader(topic, system.rng.randrange(2)))


def rebalance_storm(system: System) -> None:
    """Up to four members that come and go."""
    end = time.monotonic() + 10.0
    while time.monotonic() < end:
        if len(system.running) < 4 and (not system.running or system.rng.random() < 0.6):
            system.start()
        else:
            way = system.stop if system.rng.random() < 0.7 else system.kill
            way(system.rng.choice(system.running))
        system.feed_for(0.7, system.rng.uniform(0.3, 1.2))


def slow_network(system: System) -> None:
    """0.3 s each way, for each chunk."""
    system.working()
    for proxy in system.cluster.proxies.values():
        proxy.delay = 0.3
    system.feed_for(0.7, 6.0)
    for proxy in system.cluster.proxies.values():
        proxy.heal()


def cut_connections(system: System) -> None:
    """All connections closed, again and again, in the middle of requests and answers."""
    system.working()
    for _ in range(6):
        system.feed_for(0.7, system.rng.uniform(0.1, 1.2))
        for proxy in system.cluster.proxies.values():
            proxy.cut()


def half_open(system: System) -> None:
    """Every connection falls silent without being closed; new ones work."""
    system.working()
    system.feed_for(0.6, system.rng.uniform(0.5, 1.5))
    for proxy in system.cluster.proxies.values():
        proxy.silence()


def poison(system: System) -> None:
    """Records that cannot be read, for every reason that there is; the worker does not mind."""
    system.working()
    system.feed_for(0.7, 2.0)


def growth(system: System) -> None:
    """The input topic gets more partitions."""
    system.working()
    grows_at = system.plan.grows_at or 0
    system.feed(grows_at / len(system.records))
    system.settle()
    system.app.add_partitions(system.plan.grown)
    system.sees(system.plan.grown)
    system.feed_for(0.7, 2.0)


def scale(system: System) -> None:
    """1 -> 4 -> 1 workers."""
    system.working()
    system.feed_for(0.3, 1.0)
    for _ in range(3):
        system.start()
        system.feed_for(0.5, system.rng.uniform(0.0, 1.0))
    wait_until(
        lambda: all(w.events(BEGIN) for w in system.running), BEGINS_WITHIN, "all four have begun"
    )
    system.feed_for(0.6, 1.0)
    for _ in range(3):
        system.stop(system.running[0])
        system.feed_for(0.7, system.rng.uniform(0.0, 1.0))


def log_cut(system: System) -> None:
    """Retention overtakes the lag: records go that nobody has read."""
    worker = system.working()
    system.feed_for(0.4, 2.0)
    system.stop(worker)
    system.feed(0.7)
    system.settle()
    gone = system.committed()[0] + system.rng.randint(600, 800)
    system.lost[0] = gone - system.committed()[0]
    system.app.cut(0, gone)


def offsets_reset(system: System) -> None:
    """Somebody sets committed offsets by hand: one forward, past unread records, one back."""
    worker = system.working()
    system.feed_for(0.4, 2.0)
    system.stop(worker)
    system.feed(0.7)
    system.settle()
    now = system.committed()
    system.lost[0] = system.rng.randint(600, 800)
    places = [
        TopicPartition(TOPIC, 0, now[0] + system.lost[0]),
        TopicPartition(TOPIC, 1, system.rng.randint(0, now[1])),
    ]
    admin = system.cluster.admin  # it has to outlive its answers
    (future,) = admin.alter_consumer_group_offsets(
        [ConsumerGroupTopicPartitions(APP, places)]
    ).values()
    future.result(20)


def broken_snapshots(system: System) -> None:
    """A byte of a snapshot is another, or all of it is deleted: the state comes from the log."""
    worker = system.working()
    system.feed_for(0.5, 2.5)
    system.stop(worker)
    system.feed(0.6)
    system.settle()
    topic = f"{APP}-state"
    newest = {(m.partition, m.key): m for m in system.app.read(topic) if m.value}
    all_gone = system.rng.random() < 0.3
    for number in sorted({partition for partition, _ in newest}):
        mine = [message for message in newest.values() if message.partition == number]
        for one in mine if all_gone else [system.rng.choice(mine)]:
            value = bytearray(one.value or b"")
            value[system.rng.randrange(len(value))] ^= 0xFF
            system.write(topic, number, one.key, None if all_gone else bytes(value))
    system.settle()


def own_disk_full(system: System) -> None:
    """No room for a worker's log."""
    disk = system.stack.enter_context(Disk(1))
    _ = system.app.config  # stays where there is room
    system.app.folder = disk.path
    system.working()
    disk.fill()
    system.feed_for(0.5, 2.0)
    system.start()  # rebalances are told of, in vain
    system.feed_for(0.7, 3.0)
    disk.free()


def broker_disk_full(system: System) -> None:
    """No room for the only broker, which ends then; it is started again once there is some."""
    disk, kafka = system.cluster.disk, system.cluster.kafka
    if disk is None:
        raise Unavailable("this cluster has no disk of its own")
    system.working()
    system.feed_for(0.4, 1.5)
    disk.fill()
    system.feed_for(0.7, 5.0)
    if 1 in kafka.pids:  # it may live on without a directory
        kafka.kill(1)
    disk.free()
    kafka.restart(1)


def broker_away_at_start(system: System) -> None:
    """Workers are started while no broker runs; the supervisor starts them again."""
    system.stop(system.working())
    system.cluster.kafka.kill(1)
    worker = system.start()
    system.feed_while(0.5, 6.0, lambda: worker.alive)
    system.cluster.kafka.restart(1)
    wait_until(lambda: not worker.alive or worker.events(BEGIN), BEGINS_WITHIN, "it begins, or not")
    if not worker.alive:
        system.running.remove(worker)
        if worker.ended() != 1 or system.cluster.proxied not in worker.text:
            system.problems.append(f"without a broker: {worker.ended()}: {worker.text}")


def late_commit(system: System) -> None:
    """The end of a transaction arrives when the next one is under way (Jepsen's case)."""
    system.working()
    proxy = system.cluster.proxies[1]
    system.feed_for(0.4, system.rng.uniform(0.5, 1.5))
    proxy.hold(END_TXN)
    system.feed_while(0.5, 10.0, lambda: not proxy.holding)
    system.feed_for(0.7, system.rng.uniform(0.5, 4.0))
    system.reached[HELD] += proxy.release()


def slow_broker(system: System) -> None:
    """The broker stands still for two seconds of three."""

    system.working()
    pid = system.cluster.kafka.pids[1]
    for _ in range(3):
        os.kill(pid, signal.SIGSTOP)
        system.feed_for(0.7, 2.0)
        os.kill(pid, signal.SIGCONT)
        system.feed_for(0.7, 1.0)
