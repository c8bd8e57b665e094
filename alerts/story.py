"""Incidents for a person who looks at them: a table of all, and the whole story of one. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from alerts.bars import bars
from alerts.event_parts import ChangedFeature
from alerts.events import (
    DataLoss,
    Event,
    Heartbeat,
    IncidentEvent,
    LimitReached,
    NoData,
    Opened,
    Operator,
    Resolved,
    Updated,
    event_type,
)
from alerts.read import Incident, is_open, is_silenced, state_of
from alerts.texts import phrase, printable, short
from alerts.units import between, moment, number
from sketches.before_after import Comparison

NARROWEST: Final = 60  # characters of a line; a narrower terminal wraps
MOST_FEATURES: Final = 12
MOST_BESIDE: Final = 10
NEAR: Final = timedelta(hours=1)  # what begins that near may have the same cause
MARGIN: Final = timedelta(minutes=10)  # records may be written so much later than their time

Part = tuple[str, str, str]  # version, segment, feature


class Seen(NamedTuple):
    """What the profiles log still holds of an incident.

    Attributes:
        parts: Of the features that changed, in what they were before and after the onset.
        note: Why there is nothing, or not all; empty: all is there.
        deployed: (time, version) of the model's versions that begin near the onset.
    """

    parts: Mapping[Part, Comparison]
    note: str = ""
    deployed: Sequence[tuple[str, str]] = ()


def table(incidents: Iterable[Incident], width: int = 80) -> list[str]:
    """Two lines for each incident, the worst first; one line if there is none.

    Args:
        incidents: As they stand.
        width: Characters of a line.
    """
    rows = ranked(incidents)
    if not rows:
        return ["no incidents"]
    width = max(width, NARROWEST)
    times = [_moment(began(each.event)) for each in rows]
    long = max(map(len, times))
    told = [f"{'ID':8} {'SEVERITY':8} {'STATE':8} {'CAUSE':12} {'SINCE':{long}} OWNER"]
    for each, since in zip(rows, times, strict=True):
        event = each.event
        row = (
            f"{each.id[:8]:8} {event.severity:8} {_state(event):8} {_cause(event):12} "
            f"{since:{long}} {short(event.owner or '-')}"
        )
        told += [_cut(row, width), _cut(f"  {printable(event.summary)}", width)]
    return told


def ranked(incidents: Iterable[Incident]) -> list[Incident]:
    """Open ones first, then by severity, then those that began first, then by id."""
    return sorted(
        incidents,
        key=lambda each: (
            each.state != "open",
            each.event.severity != "critical",
            began(each.event) or "",
            each.id,
        ),
    )


def began(event: Event) -> str | None:
    """When what an event is about began, as far as it is known."""
    if isinstance(event, Opened | Updated | Resolved):
        return event.onset
    return event.since if isinstance(event, NoData) else event.time


def story(
    history: Sequence[Event],
    beside: Iterable[Incident],
    seen: Seen,
    replay: Sequence[str],
    width: int = 80,
) -> list[str]:
    """All that is known of one incident, as lines of at most ``width`` characters.

    Args:
        history: Its events, oldest first; at least one.
        beside: All other incidents, as they stand.
        seen: What the profiles log still holds.
        replay: Commands that run its records, or the log, again.
        width: Characters of a line; commands are never cut.
    """
    width = max(width, NARROWEST)
    last = history[-1]
    told = [*_wrapped(last.summary, width), *_head(last, width), "", "TIME LINE"]
    told += _time_line(history, width)
    if isinstance(last, Opened | Updated | Resolved) and last.changes:
        told += ["", "WHAT CHANGED, before → after"]
        told += _features(last, seen, width)
    if near := _beside(last, beside, seen):
        told += ["", "WHAT ELSE CHANGED THEN", *(_cut(each, width) for each in near)]
    told += ["", "IN WORDS", *_wrapped(last.text, width)]
    if isinstance(last, Opened | Updated | Resolved) and last.evidence.ranges:
        told += ["", "EVIDENCE", *_evidence(last, width)]
    if replay:
        told += ["", "RUN IT AGAIN", *(f"  {each}" for each in replay)]
    return told


def replays(event: Event, app: str, learn_for: timedelta) -> list[str]:
    """The commands that replay what an event tells; none if it names no time.

    Args:
        event: The newest of its incident.
        app: Setting of that name.
        learn_for: How much a baseline learns from.
    """
    if not isinstance(event, Opened | Updated | Resolved) or not event.changes:
        return []
    onset, end = _time(event.onset), _time(event.evidence.end)
    start, stop = _written(onset - max(learn_for, NEAR)), _written(end + MARGIN)
    topic = printable(event.topic)
    return [
        f"streamgauge replay 'topic:{topic}@{start}..{stop}' --baseline-until {_written(onset)}",
        f"streamgauge replay --log topic:{printable(app)}-profiles",
    ]


def _head(event: Event, width: int) -> list[str]:
    state = _state(event)
    facts = [f"#{event.incident}", event.severity, "" if state == "told" else state]
    facts.append(f"cause: {_cause(event)}" if _cause(event) != "-" else "")
    told = [_cut(", ".join(filter(None, facts)), width)]
    labels = " ".join(f"{short(name)}={short(value)}" for name, value in event.labels.items())
    for name, value in (
        ("acked", _acked(event)),
        ("owner", event.owner),
        ("labels", labels),
        ("runbook", event.runbook),
        ("dashboard", event.dashboard),
    ):
        if value:  # addresses are whole, to be opened
            told.append(f"{name:9} {printable(value)}")
    return told


def _state(event: Event) -> str:
    """Of an open incident also whether somebody looks after it, or nobody is to be called."""
    if is_silenced(event):
        return "silenced"
    return "acked" if is_open(event) and _acked(event) else state_of(event)


def _acked(event: Event) -> str:
    if not isinstance(event, Opened | Updated | Resolved) or event.acknowledged is None:
        return ""
    said = event.acknowledged
    return f"by {short(said.by)} at {moment(said.at)}" + (
        f": {short(said.why)}" if said.why else ""
    )


def _time_line(history: Sequence[Event], width: int) -> list[str]:
    first = history[0]
    told: list[tuple[str, str, str]] = []
    if isinstance(first, Opened | Updated | Resolved):
        onsets = sorted({each.onset for event in history for each in _changes(event)})
        unsure = "estimated"
        if len(onsets) > 1:
            unsure += f"; its changes begin {moment(onsets[0])} to {moment(onsets[-1])}"
        seen = f"seen {between(first.onset, first.detected)} later"
        told.append((moment(first.onset), "onset", f"{unsure}; {seen}"))
    elif isinstance(first, NoData):
        told.append((moment(first.since), "last data", ""))
    told += [(_moment(event.time), _word(event), _news(event)) for event in history]
    long = max(len(time) for time, _, _ in told)
    return [
        line
        for time, word, text in told
        for line in _wrapped(f"{time:{long}} {word:10} {text}", width, long + 12)
    ]


def _word(event: Event) -> str:
    return "reopened" if isinstance(event, Updated) and event.reopened else event_type(event)


def _news(event: Event) -> str:
    if isinstance(event, Updated):
        why = ", ".join(short(each) for each in event.why)
        return f"{event.severity}: {why}; {_count(event)}"
    if isinstance(event, Opened):
        return f"{event.severity}: {_count(event)}"
    if isinstance(event, Resolved):
        lasted = between(event.onset, event.time or event.onset)
        return f"{short(event.reason)}, {lasted} after its onset"
    if isinstance(event, DataLoss):
        return short(event.reason)
    if isinstance(event, Operator | Heartbeat):
        return event.summary
    return short(event.limit) if isinstance(event, LimitReached) else event.severity


def _count(event: IncidentEvent) -> str:
    changes = f"{event.changes_total:,} change{'s' * (event.changes_total != 1)}"
    if not event.features_total:
        return changes
    of = "" if event.features_watched is None else f" of {event.features_watched:,}"
    return f"{changes}, in {event.features_total:,}{of} features"


def _features(event: IncidentEvent, seen: Seen, width: int) -> list[str]:
    told = []
    parts = len(event.versions) > 1 or len(event.segments) > 1
    shown: set[Part] = set()
    for each in event.changes[:MOST_FEATURES]:
        told += _wrapped(phrase(each, parts) + ("" if each.active else ", ended"), width, 2)
        told += _wrapped(
            f"  {short(each.detector)} at {number(each.score, 2)} times its threshold, "
            f"{each.sample:,} records since {moment(each.onset)}",
            width,
            4,
        )
        part = each.version, each.segment, each.feature
        found = seen.parts.get(part)
        if found is not None and part not in shown:
            shown.add(part)
            told += [f"    {line}" for line in bars(found, width - 4)]
    if (rest := event.changes_total - min(len(event.changes), MOST_FEATURES)) > 0:
        told.append(f"and {rest:,} more")
    if seen.note:
        told += _wrapped(f"({seen.note})", width)
    return told


def _beside(event: Event, others: Iterable[Incident], seen: Seen) -> list[str]:
    """Versions that began, and incidents, near this one."""
    since = began(event)
    if since is None:
        return []
    low = _time(since) - NEAR
    high = _time(event.detected if isinstance(event, Opened | Updated | Resolved) else since) + NEAR
    near = []
    for each in others:
        start = began(each.event)
        if each.id != event.incident and start is not None and low <= _time(start) <= high:
            near.append((start, each))
    near.sort(key=lambda one: (one[0], one[1].id))
    told = [f"{moment(time)} first records of version {short(v)}" for time, v in seen.deployed]
    told += [
        f"{moment(start)} #{each.id[:8]} {printable(each.event.summary)}"
        for start, each in near[:MOST_BESIDE]
    ]
    if len(near) > MOST_BESIDE:
        told.append(f"and {len(near) - MOST_BESIDE:,} more")
    return told


def _evidence(event: IncidentEvent, width: int) -> list[str]:
    told = [_cut(f"topic {short(event.topic)}, records of {event.evidence.start} on", width)]
    told += [
        f"  partition {each.partition}, offsets {each.start} to {each.stop - 1}"
        for each in event.evidence.ranges[:MOST_BESIDE]
    ]
    if (rest := event.evidence.partitions_total - min(len(told) - 1, MOST_BESIDE)) > 0:
        told.append(f"  and {rest:,} more partitions")
    return told


def _changes(event: Event) -> tuple[ChangedFeature, ...]:
    return event.changes if isinstance(event, Opened | Updated | Resolved) else ()


def _cause(event: Event) -> str:
    return "-" if isinstance(event, DataLoss | LimitReached | Operator | Heartbeat) else event.cause


def _moment(time: str | None) -> str:
    return "-" if time is None else moment(time)


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _written(time: datetime) -> str:
    return time.isoformat(timespec="seconds").replace("+00:00", "Z")


def _cut(line: str, width: int) -> str:
    return line if len(line) <= width else f"{line[: width - 1]}…"


def _wrapped(text: str, width: int, indent: int = 0) -> list[str]:
    return textwrap.wrap(
        printable(text), width, subsequent_indent=" " * indent, break_on_hyphens=False
    )
