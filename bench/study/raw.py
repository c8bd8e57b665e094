"""Raw records through the worker's own code: profiles, the log, the fold, events.

What ``streamgauge replay`` does once its input is decoded: tables of records to profiles, closed
windows to records of the log, these to ``consumer.replay.Replay``.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime

import numpy as np

from alerts.events import Event, Opened, Resolved, Updated, from_message
from bench.study.scores import Told
from bench.study.streams import START
from consumer.batch import RecordKey
from consumer.closings import Closing, Place, WindowProfile, log_records
from consumer.log import LogRecord
from consumer.replay import Replay
from consumer.settings import Settings
from sketches import profile
from sketches.profile import CHUNK, Profile, profile_tables
from sketches.table import BoolArray, Table

TOPIC = "predictions"
# Version -> table of the records of one model in one window.
Tables = Mapping[RecordKey, Table]


def replayed(windows: Iterable[Tables], window: int, days: int) -> list[Event]:
    """The events of a stream of windows.

    Args:
        windows: From ``START`` on.
        window: Length, microseconds.
        days: Of the baseline.
    """
    out = io.StringIO()
    until = START + days * 86_400_000_000
    replay = Replay(Settings(app="study", learn_records=1), out, until)
    for offset, record in enumerate(logged(windows, window)):
        replay.fold(0, 1, offset, record)
    return [from_message(line.encode()) for line in out.getvalue().splitlines()]


def logged(windows: Iterable[Tables], window: int) -> Iterator[LogRecord]:
    """The records of the log of closed windows."""
    place = Place("study", TOPIC, 0, 1, window, 1)
    previous, offset, end = None, 0, START
    for tables in windows:
        end += window
        found = []
        for key, held in profiles(tables).items():
            stop = offset + held.records
            found.append(WindowProfile(key, end, held, offset, max(stop - 1, offset)))
            offset = stop
        start = found[0].first if found else offset
        closing = Closing(TOPIC, 0, previous, end, offset, start, tuple(found), {})
        for _, _, record in log_records(closing, place):
            yield record
        previous = end


def profiles(tables: Tables) -> dict[RecordKey, Profile]:
    """By key, through the worker's code; several chunks where there are many records."""
    keys = sorted(tables)
    chunks = [(key, part) for key in keys for part in _chunks(tables[key])]
    built = profile_tables([(part, profile.ProfileRules()) for _, part in chunks])
    parts: dict[RecordKey, list[Profile]] = {}
    for (key, _), one in zip(chunks, built, strict=True):
        parts.setdefault(key, []).append(one)
    return {key: profile.merge(held) for key, held in parts.items()}


def _chunks(table: Table) -> Iterator[Table]:
    if table.length <= CHUNK:
        yield table
        return
    for first in range(0, table.length, CHUNK):
        rows = np.zeros(table.length, dtype=bool)
        rows[first : first + CHUNK] = True
        yield taken(table, rows)


def taken(table: Table, rows: BoolArray) -> Table:
    """Some rows of a table, shape (n,)."""
    at = np.flatnonzero(rows).tolist()
    return Table(
        len(at),
        table.number_names,
        table.numbers[rows],
        table.text_names,
        tuple([column[row] for row in at] for column in table.texts),
        {name: kinds[rows] for name, kinds in table.kinds.items()},
    )


def told(events: Iterable[Event]) -> list[Told]:
    """Incidents by what their last event says; data that ended is one as well."""
    found: dict[str, Told] = {}
    for event in events:
        if isinstance(event, Opened):
            opened, onset = micros(event.time), micros(event.onset)
            found[event.incident] = Told(
                event.model, opened, onset, event.cause, event.severity, event.flapping
            )
        elif isinstance(event, Updated | Resolved) and event.incident in found:
            one = found[event.incident]
            again = isinstance(event, Updated) and event.reopened
            worst = "critical" if "critical" in {one.severity, event.severity} else one.severity
            found[event.incident] = one._replace(
                cause=event.cause,
                severity=worst,
                flapping=one.flapping or event.flapping or again,
            )
    return list(found.values())


def micros(time: str | None) -> int:
    """Microseconds of a time in an event."""
    return 0 if time is None else int(datetime.fromisoformat(time).timestamp() * 1_000_000)
