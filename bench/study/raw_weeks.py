"""A model-week of a null stream from raw records, to be equal in kind to its statistics."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np

from bench.study import raw
from bench.study.raw import Tables
from bench.study.scores import rate
from bench.study.streams import SHARES, Stream, records_of
from consumer.batch import RecordKey
from sketches.blocks import DAY
from sketches.table import Table


def run(stream: Stream, size: tuple[int, int, int], seed: int) -> dict[str, Any]:
    """False alarms of a stream whose records are drawn.

    Args:
        stream: Null.
        size: Days of the baseline, days under watch, features.
        seed: Of the records.
    """
    days, watch, features = size
    events = raw.replayed(
        _windows(stream, (days + watch) * DAY // stream.window, features, seed),
        stream.window,
        days,
    )
    told = raw.told(events)
    critical = sum(one.severity == "critical" for one in told)
    weeks = watch / 7
    return {"warnings": rate(len(told), weeks), "critical": rate(critical, weeks)}


def _windows(stream: Stream, count: int, features: int, seed: int) -> Iterator[Tables]:
    random = np.random.default_rng(seed)
    names = tuple(f"feature_{at:03d}" for at in range(features))
    numbers = "location" in stream.layout.signals
    categories = [f"value-{at:02d}" for at in range(len(SHARES))]
    for window in islice(stream.begin(random), count):
        size = window.records
        columns = 1 if numbers else features
        places = random.choice(len(SHARES), (columns, size), p=SHARES).tolist()
        texts = tuple([categories[at] for at in column] for column in places)
        table = Table(size, (), np.zeros((size, 0)), names, texts)
        if numbers:
            values = records_of(stream, window, random, features)
            table = Table(size, names, values, ("city",), texts)
        yield {RecordKey("model", "1", ""): table}
