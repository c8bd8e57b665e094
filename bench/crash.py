"""``make crash``: kill -9 and rebalances on real Kafka; alerts must equal the undisturbed run's.

Every run reads the same topic from its beginning with fresh internal topics. Half of the runs kill
one worker again and again at named points of the order of effects; the others have two workers join
and leave, by SIGKILL or SIGTERM, at random moments. A last ``run --drain`` finishes each run. Then
the alerts topic must hold the undisturbed run's events, byte for byte (repetitions are allowed if
they are equal), and an audit of all topics must find nothing.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import orjson
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from bench.records import Load, generate
from consumer.audit import audit
from consumer.audit_topics import KafkaTopics
from consumer.kafka import Admin
from consumer.scan import read_range
from consumer.settings import load
from consumer.tail import alert_messages
from tests.kafka_broker import Kafka
from tests.waiting import wait_until

TOPIC = "crash-predictions"
APP = "crash"
PARTITIONS = 4
PACE = 400  # records each tenth of a second
LOAD = Load(
    records=80_000,
    features=10,
    models=3,
    per_second=20.0,
    shift_at=0.3,
    shift_until=0.4,
    broken_every=977,
    late_every=331,
)
BETWEEN = ("after_profiles", "before_commit")  # published, not committed

POINTS = (*BETWEEN, *BETWEEN, *BETWEEN, "after_feed", "after_commit")
CONFIG = """\
app = "crash"
learn_for = "10min"
learn_records = 3000

[kafka]
"bootstrap.servers" = "{bootstrap}"
"session.timeout.ms" = 6000
"heartbeat.interval.ms" = 1500

[topics]
create = true
profile_partitions = 4

[inputs.crash]
topics = ["crash-predictions"]
window = "10s"
idle_after = "5min"
"""


class Run:
    """Workers of one run, all of them ended when it is left."""

    def __init__(self, config: Path, log: Path) -> None:
        self._config, self._log = config, log
        self._workers: list[subprocess.Popen[bytes]] = []
        self.kills: Counter[str] = Counter()

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            if worker.poll() is None:
                worker.kill()
            worker.wait()

    def start(self, *flags: str, failpoint: str = "") -> subprocess.Popen[bytes]:
        """A worker; with a failpoint it kills itself there."""
        command = [sys.executable, "-m", "consumer", "run", "-c", str(self._config), *flags]
        environment = {**os.environ, "STREAMGAUGE_FAILPOINT": failpoint}
        with self._log.open("ab") as log:
            worker = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        self._workers.append(worker)
        return worker

    def drain(self) -> None:
        """Finish the run."""
        worker = self.start("--drain")
        if worker.wait(120) != 0:
            raise SystemExit(f"run --drain ended with {worker.returncode}, see {self._log}")


def main() -> int:
    """Do all runs; 1 if any of them differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="crash-") as folder,
        Kafka() as kafka,
    ):
        config = Path(folder) / "streamgauge.toml"
        config.write_text(CONFIG.format(bootstrap=kafka.bootstrap))
        admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
        _reset(admin)
        _feed(kafka.bootstrap)
        with Run(config, Path(folder) / "calm.log") as calm:
            calm.drain()
        wanted = _alerts(config)
        kinds = Counter(orjson.loads(value)["type"] for value in wanted.values())
        _say(f"undisturbed: {len(wanted)} events ({dict(kinds)})")
        if not kinds["opened"]:
            raise SystemExit("the undisturbed run opened no incident: nothing would be compared")
        different, violations, kills = 0, 0, Counter[str]()
        for number in range(options.runs):
            seed = options.seed * 1000 + number
            _reset(admin)
            begun = time.monotonic()
            log = Path(folder) / f"run-{seed}.log"
            feeder = threading.Thread(target=_feed, args=(kafka.bootstrap,))
            feeder.start()
            with Run(config, log) as run:
                (_killed if number % 2 == 0 else _pair)(run, random.Random(seed))
                feeder.join()
                if not _same_input(kafka.bootstrap):
                    raise SystemExit(f"seed {seed}: the input topic is not as it was generated")
                if number % 4 < 2:  # a decision that is committed and not acted upon
                    run.start("--drain", failpoint="after_idle_decision:2").wait(60)
                    run.kills["after_idle_decision"] += 1
                run.drain()
            found = _alerts(config)
            same = found == wanted
            violations += _audited(config)
            _tell_differences(wanted, found)
            different += not same
            kills += run.kills
            told = ", ".join(f"{name} x{count}" for name, count in run.kills.items())
            verdict = "equal" if same else f"DIFFERENT, log:\n{log.read_text()[-4000:]}"
            _say(f"seed {seed}: {told}; {time.monotonic() - begun:.0f} s; {verdict}")
    between = sum(kills[name] for name in BETWEEN)
    deaths = sum(kills.values()) - kills["SIGTERM"]
    _say(
        f"{options.runs} runs, {deaths} kills ({between} between publish and commit), "
        f"{kills['SIGTERM']} SIGTERM: {different} differ, the audits found {violations} violations"
    )
    return 1 if different or violations else 0


def _tell_differences(wanted: dict[str, bytes], found: dict[str, bytes]) -> None:
    """Show where each event that differs does so first."""
    for name in sorted(wanted.keys() | found.keys()):
        calm_run, this_run = wanted.get(name, b"none"), found.get(name, b"none")
        if calm_run != this_run:
            pairs = enumerate(zip(calm_run, this_run, strict=False))
            at = next((place for place, (a, b) in pairs if a != b), 0)
            near = slice(max(0, at - 300), at + 200)
            _say(f"undisturbed: ...{calm_run[near]!r}\nthis run:    ...{this_run[near]!r}")


def _audited(config: Path) -> int:
    """How many violations an audit of all topics finds; they are told."""
    settings = load(config)
    report = audit(settings, KafkaTopics(settings))
    if report.violations:
        _say("\n".join(report.lines()))
    return len(report.violations)


def _feed(bootstrap: str) -> None:
    """Write the log at a steady pace, with its own times, so that every run reads the same."""
    # Idempotent: a first attempt that is repeated must not change the order of the log.
    producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True})
    for number, (when, value) in enumerate(generate(LOAD)):
        producer.produce(TOPIC, value, partition=number % PARTITIONS, timestamp=when)
        if number % PACE == PACE - 1:
            producer.flush(30)
            time.sleep(0.1)
    if producer.flush(60):
        raise SystemExit("the log could not be written")


def _same_input(bootstrap: str) -> bool:
    """Whether the topic holds the log as it was generated: else runs cannot be compared."""
    client = {"bootstrap.servers": bootstrap}
    places = [(TOPIC, number) for number in range(PARTITIONS)]
    ends = Admin(client).offsets(dict.fromkeys(places, "latest"))
    read = [
        [value for batch in read_range(client, place, 0, ends[place]) for value in batch.values]
        for place in places
    ]
    written = [value for _, value in generate(LOAD)]
    return read == [written[number::PARTITIONS] for number in range(PARTITIONS)]


def _reset(admin: AdminClient) -> None:
    """Remove what a run left, its topics and its group, and make the input topic again."""
    mine = [TOPIC, *(f"{APP}-{name}" for name in ("profiles", "alerts", "state", "rejects"))]
    present = [name for name in mine if name in admin.list_topics(timeout=5).topics]
    for future in admin.delete_topics(present).values() if present else ():
        future.result()

    def group_is_gone() -> bool:
        (future,) = admin.delete_consumer_groups([APP]).values()
        error = future.exception()
        return error is None or "GROUP_ID_NOT_FOUND" in str(error)

    wait_until(group_is_gone, 30, "the consumer group is empty and deleted", 0.5)
    wait_until(lambda: not set(mine) & admin.list_topics(timeout=5).topics.keys(), 30, "no topics")
    for future in admin.create_topics(
        [NewTopic(TOPIC, PARTITIONS, 1, config={"retention.ms": "-1"})]
    ).values():
        future.result()


def _killed(run: Run, rng: random.Random) -> None:
    """One worker after the other dies at a named point."""
    for _ in range(rng.randint(2, 4)):
        point = rng.choice(POINTS)
        worker = run.start(failpoint=f"{point}:{rng.randint(1, 4)}")
        try:
            worker.wait(15)
            run.kills[point] += 1
        except subprocess.TimeoutExpired:  # the point was not reached so often
            worker.kill()
            worker.wait()
            run.kills["at random"] += 1


def _pair(run: Run, rng: random.Random) -> None:
    """Two workers join and leave."""
    alive = [run.start()]
    for _ in range(rng.randint(4, 6)):
        time.sleep(rng.uniform(2.0, 4.0))
        if len(alive) < 2:
            point = rng.choice(BETWEEN)
            alive.append(run.start(failpoint=f"{point}:{rng.randint(2, 8)}"))
            continue
        for worker in alive:
            if worker.poll() is not None:
                run.kills[BETWEEN[0]] += 1
        alive = [worker for worker in alive if worker.poll() is None]
        if alive:
            worker = alive.pop(rng.randrange(len(alive)))
            number = rng.choice([signal.SIGKILL, signal.SIGTERM])
            worker.send_signal(number)
            worker.wait(30)
            run.kills[number.name] += 1
    for worker in alive:
        worker.terminate()
        worker.wait(30)


def _alerts(config: Path) -> dict[str, bytes]:
    """Event id -> bytes; equal ids must have equal bytes."""
    settings = load(config)
    found: dict[str, bytes] = {}
    for _, value, _ in alert_messages(settings, "earliest", follow=False):
        name = orjson.loads(value)["id"]
        if found.setdefault(name, value) != value:
            raise SystemExit(f"event {name} was published with two contents")
    return found


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
