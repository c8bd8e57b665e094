"""A system under a fault: its workers, its load, and how far it has come."""

from __future__ import annotations

import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Final

from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient

from bench.chaos.bounds import Used, beyond, queued, used_by
from bench.chaos.cluster import Cluster
from bench.chaos.oracle import LARGEST, Made, Plan
from consumer.kafka import Scan
from consumer.kafka_failures import KafkaFailure
from tests.waiting import wait_until
from tests.worker_runs import App, Setting, Worker

APP: Final = "chaos"
TOPIC: Final = "chaos-predictions"
BEGIN: Final = "partitions begin"
BEGINS_WITHIN: Final = 120.0  # seconds; no promise, the machine is shared
STOPS_WITHIN: Final = 10.0  # seconds after SIGTERM
OPEN: Final = 5.0  # seconds of event time that may still be in open windows
STEP: Final = 0.05  # seconds between two writes
PER_STEP: Final = 0.01  # share of the load
PATIENCE: Final = 8.0  # times as long, however much the machine has to do

SETTINGS: Final[dict[str, Setting]] = {
    "learn_for": "15s",
    "learn_records": 800,
    "min_records": 50,
    "limits.message_bytes": LARGEST,
    "kafka.reconnect.backoff.max.ms": 1000,
}


class System:
    """Leaving it ends every process of it.

    Args:
        cluster: Where it runs.
        plan: What is fed.
        records: The same, made.
        settings: Of its workers, beside ``SETTINGS``.
        folder: For its files.
        rng: Decides every choice.

    Attributes:
        problems: Violations seen on the way.
        reached: Failpoint -> how often a worker died there.
        lost: Input partition -> records that are declared lost.
        holes: Partition and offset of what the input holds beside the load.
        slowest_stop: Seconds that the slowest SIGTERM took.
        recoveries: Seconds that each wait for it to catch up took, without waits for a CPU.
        walls: The same, with them.
        used: The most that one of its workers took.
        stack: What is left with it, once its workers have ended.
        per_step: Share of the load that is written at once, at a steady pace.
    """

    def __init__(
        self,
        cluster: Cluster,
        plan: Plan,
        records: Sequence[Made],
        settings: dict[str, Setting],
        folder: Path,
        rng: random.Random,
    ) -> None:
        self.cluster, self.plan, self.records, self.rng = cluster, plan, records, rng
        overrides: dict[str, Setting] = {"kafka.bootstrap.servers": cluster.proxied}
        self.app = App(cluster.bootstrap, APP, TOPIC, folder, SETTINGS | overrides | settings)
        self.problems: list[str] = []
        self.reached: Counter[str] = Counter()
        self.lost: dict[int, int] = {}
        self.holes: set[tuple[int, int]] = set()
        self.slowest_stop = 0.0
        self.recoveries: list[float] = []
        self.walls: list[float] = []
        self.used = Used()
        self.stack = ExitStack()
        self.per_step = PER_STEP
        self.running: list[Worker] = []
        self.fed = 0
        self._producer = Producer(
            {
                "bootstrap.servers": cluster.bootstrap,
                "enable.idempotence": True,
                "linger.ms": 5,
                "log_level": 0,
                "reconnect.backoff.max.ms": 500,
            }
        )
        self._scan = Scan({"bootstrap.servers": cluster.bootstrap}, {}, APP)

    def __enter__(self) -> System:
        reset(self.cluster.admin)
        self.app.make_topic(self.plan.partitions, copies=len(self.cluster.kafka.nodes))
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.app.workers:  # one that is stopped by SIGSTOP dies of SIGKILL too
            worker.kill()
        self.stack.close()
        self._scan.close()
        self._producer.purge()

    # --- load ------------------------------------------------------------------------------------

    def feed(self, share: float) -> None:
        """Write until that share of the load is written; does not wait for a broker."""
        until = min(len(self.records), int(len(self.records) * share))
        for made in self.records[self.fed : until]:
            wait_until(partial(self._take, made), 30, f"the writer takes {made.partition}")
        self.fed = max(self.fed, until)
        self._producer.poll(0)

    def _take(self, made: Made) -> bool:
        """A partition that was just made may not be known yet, or be forgotten once more."""
        try:
            self._producer.produce(TOPIC, made.value, partition=made.partition, timestamp=made.when)
        except (KafkaException, BufferError) as error:
            self._producer.poll(0)
            if isinstance(error, KafkaException) and "_UNKNOWN_PARTITION" not in str(error):
                raise
            return False
        return True

    def feed_while(self, share: float, seconds: float, goes_on: Callable[[], bool]) -> None:
        """Write at a steady pace up to that share, for so long, and while that is true."""
        end = time.monotonic() + seconds
        while goes_on() and time.monotonic() < end:
            self.feed(min(share, self.fed / len(self.records) + self.per_step))
            time.sleep(STEP)

    def feed_for(self, share: float, seconds: float) -> None:
        """Write at a steady pace up to that share, for so long."""
        self.feed_while(share, seconds, lambda: True)

    def settle(self) -> None:
        """Everything that was to be written is acknowledged."""
        if self._producer.flush(60):
            raise AssertionError("the load could not be written")

    def write(self, topic: str, partition: int, key: bytes | None, value: bytes | None) -> None:
        """Anything, anywhere."""
        self._producer.produce(topic, value, key, partition)

    def sees(self, partitions: int) -> None:
        """Wait until the writer knows of so many."""
        topics = self._producer.list_topics

        def known() -> bool:
            try:
                return len(topics(TOPIC, timeout=5).topics[TOPIC].partitions) == partitions
            except KafkaException:
                return False

        wait_until(known, 30, "all partitions")

    # --- workers ---------------------------------------------------------------------------------

    def start(self, *flags: str, failpoint: str = "") -> Worker:
        """One more worker."""
        worker = self.app.run(*flags, failpoint=failpoint)
        self.running.append(worker)
        return worker

    def working(self) -> Worker:
        """A worker whose partitions have begun."""
        worker = self.start()
        worker.says(BEGIN, BEGINS_WITHIN)
        return worker

    def died(self, worker: Worker, point: str, within: float = 15.0) -> bool:
        """Whether it dies at its failpoint; else it is killed."""
        try:
            status = worker.ended(within)
        except AssertionError:
            self.kill(worker)
            return False
        self.running.remove(worker)
        if status == -signal.SIGKILL:
            self.reached[point] += 1
            return True
        if status:
            self.problems.append(f"a worker ended by itself with {status}: {worker.text[-2000:]}")
        return False

    def kill(self, worker: Worker) -> None:
        """SIGKILL."""
        self._measure(worker)
        worker.kill()
        self.running.remove(worker)

    def stop(self, worker: Worker) -> None:
        """SIGTERM, and I6: it ends in time."""
        self._measure(worker)
        begun = time.monotonic()
        self.running.remove(worker)
        try:
            status = worker.stop(STOPS_WITHIN)
        except AssertionError:
            worker.send(signal.SIGABRT)  # it tells where it is, see __main__
            with suppress(AssertionError):
                worker.ended(5)
            said = worker.text[-6000:]
            self.problems.append(f"SIGTERM: not ended within {STOPS_WITHIN:g} s: {said}")
            worker.kill()
            return
        self.slowest_stop = max(self.slowest_stop, time.monotonic() - begun)
        # Before it listens to signals it dies of one; with its broker away it may say 1.
        if status not in {0, 1, -signal.SIGTERM}:
            self.problems.append(f"SIGTERM: it ended with {status}: {worker.text[-2000:]}")

    def _measure(self, worker: Worker) -> None:
        """I7: it stays within its bounds."""
        used = used_by(worker)
        if used is not None:
            self.used = self.used.most(used)
            self.problems += beyond(used)

    def see_workers(self) -> None:
        """I5: none has ended by itself, and none has failed in a way that nobody thought of."""
        for worker in [one for one in self.running if not one.alive]:
            self.running.remove(worker)
            said = worker.text[-2000:]
            self.problems.append(f"a worker ended by itself with {worker.ended()}: {said}")
        for worker in self.running:
            self._measure(worker)
        for worker in self.app.workers:
            if "Traceback" in worker.text:
                self.problems.append(f"a traceback: {worker.text[-3000:]}")

    # --- how far it has come ---------------------------------------------------------------------

    def committed(self) -> dict[int, int]:
        """Input partition -> committed offset; 0: none. Waits for a coordinator."""
        found: list[dict[int, int]] = []

        def told() -> bool:
            with suppress(KafkaFailure):
                found.append(self._committed())
            return bool(found)

        wait_until(told, 60, "the broker tells of committed offsets")
        return found[0]

    def _committed(self) -> dict[int, int]:
        places = [(TOPIC, number) for number in range(self.plan.grown)]
        commits = self._scan.committed(places)
        return {n: commit[0] if (commit := commits.get((t, n))) else 0 for t, n in places}

    def recovered(self, within: float, since: float | None = None) -> None:
        """I5: all that was written is committed in time, but for windows that are open still.

        The machine is shared: time in which a worker waits for a CPU that others have is not
        counted.
        """
        closed = int(self.fed - OPEN * self.plan.load.per_second)
        wanted = Counter(one.partition for one in self.records[: max(0, closed)])
        begun = time.monotonic() if since is None else since
        before = {worker.pid: queued(worker) for worker in self.running if worker.started < begun}

        def waited() -> float:
            return max((queued(w) - before.get(w.pid, 0.0) for w in self.running), default=0.0)

        def done() -> bool:
            try:
                commits = self._committed()
            except KafkaFailure:  # nobody answers yet
                commits = dict.fromkeys(range(self.plan.grown), -1)
            if all(commits[number] >= count for number, count in wanted.items()):
                return True
            if time.monotonic() - begun - waited() > within:
                raise AssertionError(f"{commits} committed, {dict(wanted)} written")
            return False

        try:
            wait_until(done, PATIENCE * within, "all is committed", 0.1)
        except AssertionError as error:
            said = "\n".join(worker.text[-3000:] for worker in self.running)
            self.problems.append(
                f"lag: not made good {within:g} s after the fault: {error}; "
                f"the workers said:\n{said}"
            )
        wall = time.monotonic() - begun
        self.recoveries.append(wall - min(wall, waited()))
        self.walls.append(wall)


def reset(admin: AdminClient) -> None:
    """Remove what a run left: its topics and its group."""
    mine = [TOPIC, *(f"{APP}-{name}" for name in ("profiles", "alerts", "state", "rejects"))]
    present = [name for name in mine if name in admin.list_topics(timeout=10).topics]
    for future in admin.delete_topics(present).values() if present else ():
        future.result(20)

    error: BaseException | None = None

    def group_is_gone() -> bool:
        nonlocal error
        (future,) = admin.delete_consumer_groups([APP]).values()
        error = future.exception()
        return error is None or "GROUP_ID_NOT_FOUND" in str(error)

    try:
        wait_until(group_is_gone, 40, "the consumer group is empty and deleted", 0.2)
    except AssertionError as late:
        raise AssertionError(f"{late}: {error}") from None
    gone: Callable[[], bool] = lambda: not set(mine) & admin.list_topics(timeout=5).topics.keys()  # noqa: E731
    wait_until(gone, 30, "the topics are gone")
