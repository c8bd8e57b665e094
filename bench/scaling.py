"""More processes of one group, what they cost together and what they gain; and a restart.

One, two and four processes drain the same topic of eight partitions, in turn, each time as the same
app with new internal topics, so that their alerts must be equal to the byte. CPU time is that of
all processes together, less what as many processes take on an empty topic, joining and leaving the
group included. Wall times mean something only with a core for each process.

The restart is of a worker that knows the baselines of all models and stopped cleanly. Records that
open an incident of one model wait in the topic. ``restart_s`` is the time from the start of the
process until an event stands in the alerts topic.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import orjson
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from bench.records import Load, generate
from bench.runs import PARTITIONS, Bench, Cost, measured, say
from consumer.kafka import Admin
from consumer.log import WatermarkRecord, decode
from consumer.settings import load
from consumer.tail import alert_messages
from tests.waiting import wait_until

PROCESSES = (1, 2, 4)
INPUT_PARTITIONS = 8
ENDS_WITHIN = 120.0  # seconds
LOAD = Load(800_000, 20, 4, per_second=1_400.0, shift_at=0.7)
QUICK_LOAD = Load(24_000, 5, 1, per_second=60.0, shift_at=0.7)
LEARN = ("--set", "learn_for=4min")  # a baseline of few windows alarms at large changes only
# A member hears of another one with its next heartbeat; by default one alone may be done by then.
SHARING = ("--set", "kafka.heartbeat.interval.ms=300")
LEARN_SECONDS, INCIDENT_SECONDS = 300, 160  # of event time
RESTART_SETTINGS = (*LEARN, "--set", "learn_records=500", "--set", "min_records=30")
ALERT_WITHIN = 30.0  # seconds

Alerts = dict[str, tuple[bytes | None, bytes]]  # event id -> key and value


class Taken(NamedTuple):
    """One run: microseconds of CPU a record, seconds, the least share that a process had."""

    cpu: float
    wall: float
    least: float


class State(NamedTuple):
    """What a restarted worker has to restore."""

    models: int
    features: int
    pace: int  # records per second of event time


RESTART = State(100, 100, 300)
QUICK_RESTART = State(10, 20, 30)


def run(bench: Bench, *, quick: bool, rounds: int) -> dict[str, object]:
    """Both measurements; the numbers by name."""
    found: dict[str, object] = {}
    if quick:
        found |= _scaling(bench, QUICK_LOAD, PROCESSES[:2], rounds)
    else:
        found |= _scaling(bench, LOAD, PROCESSES, rounds)
    return found | _restart(bench, QUICK_RESTART if quick else RESTART, min(rounds, 3))


# --- more processes-----------------------------------------------------------------------------


def _scaling(
    bench: Bench, log: Load, processes: tuple[int, ...], rounds: int
) -> dict[str, dict[str, float | None]]:
    """CPU and wall of so many processes, by the ratio to one; their alerts must be the same."""
    bench.fill("scaling-empty", None, INPUT_PARTITIONS)
    bench.fill("scaling", log, INPUT_PARTITIONS)
    empty, full = bench.app("scaling-empty"), bench.app("scaling")
    taken: dict[int, list[Taken]] = {number: [] for number in processes}
    wanted: Alerts | None = None
    for _ in range(rounds):
        for number in processes:
            start = _drained(bench, empty, number)
            whole = _drained(bench, full, number)
            bench.require_counted(full[0], log.records)
            cpu = (whole.cpu - start.cpu) / log.records * 1e6
            least = _least_share(bench, full[0], number)
            taken[number].append(Taken(cpu, whole.wall - start.wall, least))
            wanted = _compared(wanted, _alerts(full[1]), number)
    say(f"{len(wanted or ())} events, equal in all runs\n")
    return _table(taken)


def _table(taken: dict[int, list[Taken]]) -> dict[str, dict[str, float | None]]:
    """Print all, and give the ratios to one process."""
    say(
        f"{'processes':>9} {'us of CPU':>9} {'min-max':>13} {'ratio':>6} {'min-max':>10}"
        f" {'faster':>6} {'least share':>11}"
    )
    cores = os.cpu_count() or 1
    cpu_ratio: dict[str, float | None] = {}
    wall_ratio: dict[str, float | None] = {}
    for number, runs in taken.items():
        cpus = [run.cpu for run in runs]
        ratios = [run.cpu / alone.cpu for alone, run in zip(taken[1], runs, strict=True)]
        faster = statistics.median(
            alone.wall / run.wall for alone, run in zip(taken[1], runs, strict=True)
        )
        least = statistics.median(run.least for run in runs)
        say(
            f"{number:>9} {statistics.median(cpus):9.2f} {min(cpus):6.2f}-{max(cpus):6.2f}"
            f" {statistics.median(ratios):6.2f} {min(ratios):5.2f}-{max(ratios):4.2f}"
            f" {faster:6.2f} {least:11.0%}" + ("" if number <= cores else f"  (on {cores} cores)")
        )
        if number > 1:
            cpu_ratio[str(number)] = round(statistics.median(ratios), 3)
            wall_ratio[str(number)] = round(faster, 2) if number <= cores else None
    return {"cpu_scaling": cpu_ratio, "wall_scaling": wall_ratio}


def _drained(bench: Bench, app: tuple[str, Path], number: int) -> Cost:
    """So many processes of a clean app, started together, until the last has ended."""
    name, config = app
    _clean(bench.bootstrap, name, config)
    log = config.with_suffix(".log")
    log.unlink(missing_ok=True)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begun = time.monotonic()
    with _workers(number, log, "--drain", "-c", str(config), *LEARN, *SHARING) as workers:
        for worker in workers:
            _ended(worker, log)
    wall = time.monotonic() - begun
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
    return Cost(cpu, wall)


def _least_share(bench: Bench, app: str, number: int) -> float:
    """Share of the records in the watermarks of the process that had the fewest."""
    shares: Counter[str] = Counter()
    for record in map(decode, bench.values(f"{app}-profiles", 0)):
        if isinstance(record, WatermarkRecord):
            shares[record.writer] += record.records
    return min(shares.values()) / shares.total() if len(shares) == number else 0.0


def _clean(bootstrap: str, name: str, config: Path) -> None:
    """Remove an app's topics and its group."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    settings = load(config)
    topics = {settings.profiles_topic, settings.alerts_topic, settings.state_topic}
    topics.add(settings.rejects_topic)
    present = topics & admin.list_topics(timeout=5).topics.keys()
    for future in admin.delete_topics(list(present)).values() if present else ():
        future.result()

    def group_is_gone() -> bool:
        (future,) = admin.delete_consumer_groups([name]).values()
        error = future.exception()
        return error is None or "GROUP_ID_NOT_FOUND" in str(error)

    wait_until(group_is_gone, 30, "the consumer group is empty and deleted", 0.5)
    wait_until(lambda: not topics & admin.list_topics(timeout=5).topics.keys(), 30, "no topics")


def _alerts(config: Path) -> Alerts:
    """All events; equal ids must have equal bytes."""
    found: Alerts = {}
    for key, value, _ in alert_messages(load(config), "earliest", follow=False):
        name = orjson.loads(value)["id"]
        if found.setdefault(name, (key, value)) != (key, value):
            raise SystemExit(f"event {name} was published with two contents")
    return found


def _compared(wanted: Alerts | None, found: Alerts, number: int) -> Alerts:
    """End the bench if alerts differ from those of the first run."""
    if not any(orjson.loads(value)["type"] == "opened" for _, value in found.values()):
        raise SystemExit("no incident was opened: nothing would be compared")
    if wanted is None or wanted == found:
        return found
    differ = [name for name in wanted | found if wanted.get(name) != found.get(name)]
    raise SystemExit(
        f"{number} processes: {len(differ)} of {len(wanted)} events differ, the first of them\n"
        f"{wanted.get(differ[0])}\n{found.get(differ[0])}"
    )


# --- restart ------------------------------------------------------------------------------------


def _restart(bench: Bench, state: State, rounds: int) -> dict[str, float]:
    """Seconds from start to the first new event, once all models are learned."""
    learned, each = LEARN_SECONDS * state.pace, INCIDENT_SECONDS * state.pace
    total = learned + rounds * each
    records = generate(
        Load(total, state.features, state.models, state.pace, shift_at=learned / total)
    )
    bench.fill("restart", None)
    _write(bench.bootstrap, "restart", islice(records, learned))
    app, config = bench.app("restart")
    command = ["-c", str(config), *RESTART_SETTINGS]
    measured(["-m", "consumer", "run", "--drain", *command])
    bench.require_counted(app, learned)
    say(f"\n{state.models} models of {state.features} features are learned; seconds since start of")
    say(f"{'the loop':>9} {'reading':>8} {'first event':>12}")
    found = []
    for number in range(rounds):
        if number:  # close what the round before has opened, so that each begins alike
            measured(["-m", "consumer", "run", "--drain", *command])
        # One model goes on, in one partition: how fast a backlog is worked off is another question.
        rest = list(islice(records, each))[number % state.models :: state.models]
        _write(bench.bootstrap, "restart", rest, partitions=1)
        found.append(_until_event(config, command, f"model-{number % state.models}"))
    middle = statistics.median(found)
    say(f"median {middle:.2f} s, {min(found):.2f}-{max(found):.2f}")
    return {"restart_s": round(middle, 2)}


def _write(
    bootstrap: str, topic: str, records: Iterable[tuple[int, bytes]], partitions: int = PARTITIONS
) -> None:
    """Append to the partitions of a topic in turn."""
    producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True})
    for number, (when, value) in enumerate(records):
        producer.produce(topic, value, partition=number % partitions, timestamp=when)
        if number % 10_000 == 0:
            producer.flush(60)
    if producer.flush(60):
        raise SystemExit(f"{topic}: not every record could be written")


def _until_event(config: Path, command: Sequence[str], model: str) -> float:
    """Start a worker and wait until an incident of a model is in the alerts topic; seconds."""
    settings = load(config)
    admin = Admin(settings.kafka)
    places = [(settings.alerts_topic, n) for n in range(admin.topics()[settings.alerts_topic])]

    def events() -> int:
        return sum(admin.offsets(dict.fromkeys(places, "latest")).values())

    known, before = _alerts(config), events()
    log = config.with_suffix(".log")
    log.unlink(missing_ok=True)
    begun, begun_at = time.monotonic(), time.time()
    with _workers(1, log, *command) as (worker,):
        wait_until(lambda: worker.poll() is not None or events() > before, ALERT_WITHIN, "an event")
        found = time.monotonic() - begun
        worker.terminate()
        _ended(worker, log)
    new = [orjson.loads(v) for name, (_, v) in _alerts(config).items() if name not in known]
    kinds = {(event["type"], event["model"]) for event in new}
    if not {("opened", model)} <= kinds <= {("opened", model), ("updated", model)}:
        raise SystemExit(f"not an incident of {model}, but {kinds}")
    said = {entry["message"]: entry["time"] for entry in map(orjson.loads, log.open("rb"))}
    loop, reading = (
        datetime.fromisoformat(said[message]).timestamp() - begun_at
        for message in ("started", "partitions begin")
    )
    say(f"{loop:9.2f} {reading:8.2f} {found:12.2f}")
    return found


# --- processes ----------------------------------------------------------------------------------


@contextmanager
def _workers(number: int, log: Path, *flags: str) -> Iterator[list[subprocess.Popen[bytes]]]:
    """So many workers, killed in the end if they still run."""
    workers: list[subprocess.Popen[bytes]] = []
    try:
        with log.open("ab") as out:
            for _ in range(number):
                command = [sys.executable, "-m", "consumer", "run", *flags]
                workers.append(subprocess.Popen(command, stdout=out, stderr=out))
        yield workers
    finally:
        for worker in workers:
            if worker.poll() is None:
                worker.kill()
            worker.wait()


def _ended(worker: subprocess.Popen[bytes], log: Path) -> None:
    """Wait for a worker's good end."""
    try:
        status: object = worker.wait(ENDS_WITHIN)
    except subprocess.TimeoutExpired:
        status = f"none within {ENDS_WITHIN:g} s"
    if status != 0:
        raise SystemExit(f"exit status of a worker: {status}\n{log.read_text()[-4000:]}")
