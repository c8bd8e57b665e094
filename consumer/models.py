"""``streamgauge models``: what is watched, from the topics alone; no worker need run."""

from __future__ import annotations

import shutil
import sys
import time
from collections import Counter
from contextlib import suppress
from typing import Final

from consumer.batch import RawBatch
from consumer.durations import HOUR
from consumer.incidents import WIDTH
from consumer.kafka import Admin, Scan
from consumer.kafka_failures import KafkaFailure
from consumer.log import LogFormatError, WatermarkRecord, decode
from consumer.log_partitions import LogPartition
from consumer.model_texts import TopicFacts, Watched, as_json, table
from consumer.scan import read_range
from consumer.settings import Settings
from consumer.state_topic import kept_values

RECENT: Final = HOUR  # in which rejects are counted


def show(settings: Settings, *, json: bool) -> int:
    """Print every model of every topic; exit status.

    Raises:
        KafkaFailure: The topics do not exist, or cannot be read.
    """
    now = time.time_ns() // 1_000
    topics, models = read(settings, now)
    width = shutil.get_terminal_size((WIDTH, 24)).columns if sys.stdout.isatty() else WIDTH
    rows = sorted(models, key=lambda each: (each.topic, each.model))
    lines = [as_json(topics, e) for e in rows] if json else table(topics, rows, now, width)
    for line in lines:
        sys.stdout.write(line + "\n")
    sys.stdout.flush()
    return 0


def read(settings: Settings, now: int) -> tuple[dict[str, TopicFacts], list[Watched]]:
    """Restore each partition of the log from its snapshot, and fold it to its end.

    Args:
        settings: Which topics.
        now: Microseconds.

    Raises:
        KafkaFailure: The topics do not exist, or cannot be read.
    """
    admin = Admin(settings.kafka)
    counts = admin.topics()
    for topic in (settings.profiles_topic, settings.state_topic):
        if topic not in counts:
            text = f"there is no topic {topic}; make it with: streamgauge topics create"
            raise KafkaFailure("refused", "UNKNOWN_TOPIC_OR_PART", text)
    models: list[Watched] = []
    rejects: dict[str, Counter[str]] = {}
    parts = []
    for number in range(counts[settings.profiles_topic]):
        part = _folded(settings, admin, number, counts[settings.profiles_topic], now, rejects)
        seen = part.coverage()
        models += [Watched(*name, each, seen[name]) for name, each in part.standings().items()]
        parts.append(part)
    lags = _lags(settings, admin, counts)
    topics = {}
    for topic, said in parts[0].progress().items():
        counted = rejects.get(topic, Counter())
        facts = len(said.borders), lags.get(topic), said.folded, counted.total(), counted
        topics[topic] = TopicFacts(*facts)
    return topics, models


def _folded(
    settings: Settings,
    admin: Admin,
    number: int,
    partitions: int,
    now: int,
    rejects: dict[str, Counter[str]],
) -> LogPartition:
    """A partition of the log, folded to its end; its rejects are counted in the first one."""
    place = settings.profiles_topic, number
    low, high = (admin.offsets({place: end})[place] for end in ("earliest", "latest"))
    kept = kept_values(settings, admin, number)
    part = LogPartition(settings, number, partitions, kept, low, high)
    begin = part.position
    if number == 0:
        begin = min(begin, admin.offsets({place: now - RECENT})[place])
    for raw in read_range(settings.kafka, place, begin, high, group=settings.group):
        part.feed(raw)
        part.take_events()
        if number == 0:
            _count(raw, now, rejects)
    return part


def _count(raw: RawBatch, now: int, rejects: dict[str, Counter[str]]) -> None:
    """Rejects of each topic; every partition of the log holds the same watermarks."""
    for at, value in zip(raw.timestamps.tolist(), raw.values, strict=True):
        if at < now - RECENT:
            continue
        with suppress(LogFormatError):
            record = decode(value or b"")
            if isinstance(record, WatermarkRecord):
                rejects.setdefault(record.topic, Counter()).update(record.rejects)


def _lags(settings: Settings, admin: Admin, counts: dict[str, int]) -> dict[str, int]:
    """Input topic -> records that are written and not committed."""
    places = [(t, n) for t in settings.matching(counts) for n in range(counts[t])]
    if not places:
        return {}
    scan = Scan(settings.kafka, {}, settings.group)
    try:
        committed = scan.committed(places)
    finally:
        scan.close()
    ends = admin.offsets(dict.fromkeys(places, "latest"))
    found: dict[str, int] = {}
    for place in places:
        commit = committed.get(place)
        if commit is not None:
            found[place[0]] = found.get(place[0], 0) + max(ends[place] - commit[0], 0)
    return found
