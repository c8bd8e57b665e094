"""``make demo``: flights through real topics into a real worker; alerts as they are published."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

from confluent_kafka import ConsumerGroupTopicPartitions, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from alerts.events import Event, Opened, Resolved, Updated, from_message
from alerts.tail import render
from consumer.kafka import Admin, Scan, embedded_broker
from consumer.kafka_failures import PartitionError

from . import flights
from .feed import feed

OUT = Path("demo-out")
CONFIG = """\
# What make demo runs; streamgauge run -c demo-out/streamgauge.toml is the same worker.
app = "demo"
start = "earliest"
learn_for = "31d"
learn_records = 20000

[kafka]
"bootstrap.servers" = "{bootstrap}"

[topics]
profile_partitions = 4

[inputs.flights]
topics = ["flight-predictions"]
window = "1h"
idle_after = "1h"
"""


def main() -> int:
    """Run the demo; exit status."""
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir()
    begun = time.monotonic()
    with embedded_broker() as bootstrap:
        (OUT / "streamgauge.toml").write_text(CONFIG.format(bootstrap=bootstrap))
        _say("A year of New York departures, scored by a small model, goes through Kafka topics")
        _say(f"(librdkafka's embedded broker at {bootstrap}) into a streamgauge worker.")
        _say("It learns in January and watches from February on. Alerts as they are published:\n")
        _make_topics(bootstrap)
        events = _run(bootstrap)
    _table(events)
    seconds = time.monotonic() - begun
    _say(f"\n336,776 records in {seconds:.0f} s. Events: {OUT / 'alerts.jsonl'}\n")
    _say("Next:")
    _say("  make demo-verify                          replay the records, compare every byte")
    _say("  streamgauge replay -c demo-out/streamgauge.toml --out my.jsonl demo-out/*.jsonl.gz")
    _say("                                            the same without Kafka; try other settings")
    _say("  streamgauge check -c streamgauge.toml     prove a configuration of your own")
    return 0


def _make_topics(bootstrap: str) -> None:
    """The embedded broker makes a topic when it is first asked for."""
    producer = Producer({"bootstrap.servers": bootstrap})
    for topic in (flights.TOPIC, "demo-profiles", "demo-alerts", "demo-state", "demo-rejects"):
        producer.list_topics(topic, timeout=10)


def _worker(*flags: str) -> subprocess.Popen[bytes]:
    log = (OUT / "worker.log").open("ab")
    command = [sys.executable, "-m", "consumer", "run", "-c", str(OUT / "streamgauge.toml")]
    return subprocess.Popen([*command, *flags], stdout=log, stderr=log)


def _run(bootstrap: str) -> list[Event]:
    """Feed, follow and drain; every event in order of publication."""
    worker = _worker()
    events: list[Event] = []
    stop = threading.Event()
    follower = threading.Thread(target=_follow, args=(bootstrap, events, stop))
    follower.start()
    try:
        admin = AdminClient({"bootstrap.servers": bootstrap})
        feed(bootstrap, lambda number: _read(admin, worker, number), OUT)
        worker.send_signal(signal.SIGTERM)
        _finish(worker)
        worker = _worker("--drain")
        _finish(worker)
    finally:
        if worker.poll() is None:
            worker.kill()
        worker.wait()
        stop.set()
        follower.join()
    return events


def _read(admin: AdminClient, worker: subprocess.Popen[bytes], partition: int) -> int:
    """Records of a partition that the worker is done with: its committed offset."""
    if worker.poll() is not None:
        raise SystemExit(f"the worker ended with status {worker.returncode}:\n{_last_lines()}")
    asked = [ConsumerGroupTopicPartitions("demo", [TopicPartition(flights.TOPIC, partition)])]
    (answer,) = admin.list_consumer_group_offsets(asked).values()
    return max(0, int(answer.result(10).topic_partitions[0].offset))


def _finish(worker: subprocess.Popen[bytes]) -> None:
    if worker.wait(60) != 0:
        raise SystemExit(f"the worker ended with status {worker.returncode}:\n{_last_lines()}")


def _last_lines() -> str:
    return "\n".join((OUT / "worker.log").read_text(errors="replace").splitlines()[-20:])


def _follow(bootstrap: str, events: list[Event], stop: threading.Event) -> None:
    """Print and keep the events of the alerts topic until it is read to its end after ``stop``."""
    places = [("demo-alerts", number) for number in range(flights.PARTITIONS)]
    scan = Scan({"bootstrap.servers": bootstrap}, dict.fromkeys(places, 0))
    colour = sys.stdout.isatty()
    with (OUT / "alerts.jsonl").open("wb") as kept:
        for value in _values(scan, bootstrap, places, stop):
            kept.write(value + b"\n")
            event = from_message(value)
            events.append(event)
            _say(render(event, colour))
    scan.close()


def _values(
    scan: Scan, bootstrap: str, places: list[tuple[str, int]], stop: threading.Event
) -> Iterator[bytes]:
    admin = Admin({"bootstrap.servers": bootstrap})
    while True:
        stopped = stop.is_set()
        for item in scan.consume(100, 0.2):
            if not isinstance(item, PartitionError):
                yield from (value for value in item.values if value is not None)
        if stopped:
            ends = admin.offsets(dict.fromkeys(places, "latest"))
            if all((scan.position(*place) or 0) >= ends[place] for place in places):
                return


def _table(events: list[Event]) -> None:
    """Incidents beside the worst days of the year."""
    worst = flights.worst_days(flights.read())
    said = {e.incident: e for e in events if isinstance(e, Opened | Updated)}  # the last word on it
    incidents = sorted(said.values(), key=lambda event: event.onset)
    ended = {event.incident: event for event in events if isinstance(event, Resolved)}
    _say("\nIncidents                                      worst days they touch (share bad)")
    for event in incidents:
        first = _day(event.onset)
        last = _day(ended[event.incident].time) if event.incident in ended else date(2013, 12, 31)
        days = [
            f"{d:%d %b} {share:.0%}" for d, share in sorted(worst.items()) if first <= d <= last
        ]
        until = f"{last:%d %b}" if event.incident in ended else "open"
        more = f" and {len(days) - 3} more" if len(days) > 3 else ""
        touched = ", ".join(days[:3]) + more
        _say(
            f"  {event.severity:8} {first:%d %b} - {until:6} {_what(event):28.28} {touched or '-'}"
        )
    found = {
        d
        for d in worst
        for event in incidents
        if _day(event.onset) <= d
        and (event.incident not in ended or d <= _day(ended[event.incident].time))
    }
    _say(f"\n{len(incidents)} incidents; {len(found)} of the 25 worst days of the year lie in one.")


def _what(event: Opened) -> str:
    names = dict.fromkeys(
        f"{change.feature or 'model'} {change.signal}" for change in event.changes
    )
    return ", ".join(names)


def _day(time: str | None) -> date:
    moment = datetime.fromisoformat(time or "2013-01-01T00:00:00Z")
    return datetime.fromtimestamp(moment.timestamp() - 5 * 3600, tz=UTC).date()


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
