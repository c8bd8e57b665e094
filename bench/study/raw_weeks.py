"""A model-week of a null stream from raw records, to be equal in kind to its statistics."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from bench.study import raw
from bench.study.raw import Tables
from bench.study.scores import rate
from bench.study.streams import SHARES, Stream
from consumer.batch import RecordKey
from sketches.blocks import DAY
from sketches.table import Table


def run(stream: Stream, records: int, size: tuple[int, int, int], seed: int) -> dict[str, Any]:
    """False alarms of a stream whose records are drawn.

    Args:
        stream: With a ``draw``.
        records: Of a window.
        size: Days of the baseline, days under watch, features.
        seed: Of the records.
    """
    days, watch, features = size
    events = raw.replayed(
        _windows(stream, records, (days + watch) * DAY // stream.window, features, seed),
        stream.window,
        days,
    )
    told = raw.told(events)
    critical = sum(one.severity == "critical" for one in told)
    weeks = watch / 7
    return {"warnings": rate(len(told), weeks), "critical": rate(critical, weeks)}


def _windows(
    stream: Stream, records: int, count: int, features: int, seed: int
) -> Iterator[Tables]:
    assert stream.draw is not None  # noqa: S101 - the caller's part
    random = np.random.default_rng(seed)
    names = tuple(f"feature_{at:03d}" for at in range(features))
    categories = [f"value-{at:02d}" for at in range(len(SHARES))]
    for _ in range(count):
        size = int(random.poisson(records)) + 1
        places = random.choice(len(SHARES), size, p=SHARES).tolist()
        texts: list[str | None] = [categories[at] for at in places]
        values = stream.draw(random, (size, features))
        yield {RecordKey("model", "1", ""): Table(size, names, values, ("city",), (texts,))}
