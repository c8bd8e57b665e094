"""Seeded prediction logs that look like real ones, for the bench and for crash runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import orjson

CITIES = ["Lisbon", "Porto", "Braga", "Faro", "Évora", "Coimbra", "Aveiro", "Setúbal"]
START_MS = 1_767_225_600_000  # 2026-01-01T00:00:00Z


@dataclass(frozen=True, slots=True)
class Load:
    """What a log looks like.

    Attributes:
        records: How many.
        features: Features a record, four fifths of them numbers, one fifth texts.
        models: Models, taking turns.
        per_second: Records per second of event time, over all models.
        shift_at: Share of the log after which the first feature of every model is 1 sd higher.
        shift_until: Share after which it is as before.
        broken_every: Every so many records one is not JSON; 0: never.
        late_every: Every so many records one is 30 s late; 0: never.
        seed: Of the random generator.
    """

    records: int
    features: int = 20
    models: int = 1
    per_second: float = 1000.0
    shift_at: float = 1.0
    shift_until: float = 1.0
    broken_every: int = 0
    late_every: int = 0
    seed: int = 0


def generate(load: Load) -> Iterator[tuple[int, bytes]]:
    """Records as (event time in milliseconds, JSON), in order of writing."""
    rng = np.random.default_rng(load.seed)
    texts = load.features // 5
    numbers = load.features - texts
    names = [f"amount_{i:03d}" for i in range(numbers)] + [f"city_{i:03d}" for i in range(texts)]
    block = 1000
    for first in range(0, load.records, block):
        count = min(block, load.records - first)
        values = rng.standard_normal((count, numbers)) * 10.0 + 100.0
        if load.shift_at <= first / load.records < load.shift_until:
            values[:, 0] += 10.0
        values = np.round(values, 4)
        places = rng.integers(0, len(CITIES), (count, texts))
        scores = np.round(rng.random(count), 6)
        rows = zip(values.tolist(), places.tolist(), scores.tolist(), strict=True)
        for number, (row, where, score) in enumerate(rows, start=first):
            when = START_MS + int(number * 1000 / load.per_second)
            if load.broken_every and number % load.broken_every == load.broken_every - 1:
                yield when, b'{"event_time": ' + str(when).encode() + b', "features": {'
                continue
            if load.late_every and number % load.late_every == load.late_every - 1:
                when -= 30_000
            named = dict(zip(names, [*row, *(CITIES[w] for w in where)], strict=True))
            record = {
                "id": f"r{number}",
                "event_time": when,
                "model": f"model-{number % load.models}",
                "version": "1",
                "features": named,
                "score": score,
                "prediction": int(score > 0.5),
            }
            yield when, orjson.dumps(record)
