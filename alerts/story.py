"""The whole story of one incident for a person who looks at it. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from alerts.bars import bars, course
from alerts.causes import together
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
from alerts.lines import cut, wrapped
from alerts.overview import NARROWEST, began, cause_word, state_word
from alerts.read import Incident
from alerts.texts import WHY, cause_text, phrase, printable, short
from alerts.units import between, duration, microseconds, moment, number, share
from sketches.before_after import Comparison

MOST_FEATURES: Final = 12
MOST_MOVED: Final = 5
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
        traffic: End of each window, microseconds, and its records; empty: not asked for.
        lengths: Of what is shown before and after the onset, microseconds.
        sent_again: The records were written long after their own time.
    """

    parts: Mapping[Part, Comparison]
    note: str = ""
    deployed: Sequence[tuple[str, str]] = ()
    traffic: Mapping[int, int] = {}
    lengths: tuple[int, int] = (0, 0)
    sent_again: bool = False


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
    told = [*wrapped(last.summary, width), *_head(last, width), "", "TIME LINE"]
    told += _time_line(history, width)
    if isinstance(last, Opened | Updated | Resolved) and last.changes:
        told += ["", "WHAT CHANGED, before → after"]
        told += _features(last, seen, width)
    else:
        told += ["", "IN WORDS", *wrapped(last.text, width)]
    if near := _beside(last, beside, seen):
        told += ["", "WHAT ELSE CHANGED THEN", *(cut(each, width) for each in near)]
    if isinstance(last, Opened | Updated | Resolved) and last.evidence.ranges:
        told += ["", "EVIDENCE", *_evidence(last, width)]
    if replay:
        told += ["", "RUN IT AGAIN", *(f"  {each}" for each in replay)]
    return told


def replays(
    event: Event, seen: Seen, app: str, learn_for: timedelta, more: Sequence[str] = ()
) -> list[str]:
    """The commands that replay what an event tells; none if it names no time.

    Args:
        event: The newest of its incident.
        seen: What is known of its records.
        app: Setting of that name.
        learn_for: How much a baseline learns from.
        more: Options that name the configuration.
    """
    if not isinstance(event, Opened | Updated | Resolved) or not event.changes:
        return []
    onset, end = _time(event.onset), _time(event.evidence.end)
    source = f"topic:{event.topic}"
    if not seen.sent_again:  # the range is that of Kafka's times
        source += f"@{_written(onset - max(learn_for, NEAR))}..{_written(end + MARGIN)}"
    words = [["replay", source, "--baseline-until", _written(onset)]]
    words.append(["replay", "--log", f"topic:{app}-profiles"])
    return [printable(shlex.join(["streamgauge", *each, *more])) for each in words]


def _head(event: Event, width: int) -> list[str]:
    state = state_word(event)
    facts = [f"#{event.incident}", event.severity, "" if state == "told" else state]
    facts.append(f"cause: {cause_word(event)}" if cause_word(event) != "-" else "")
    told = [cut(", ".join(filter(None, facts)), width)]
    if isinstance(event, Opened | Updated | Resolved) and event.changes:
        told += _looks(event, width)
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


def _looks(event: IncidentEvent, width: int) -> list[str]:
    """Where to look, and what it was compared with."""
    many, watched, lead = event.features_total, event.features_watched, event.changes[0]
    told = [f"likely    {cause_text(event.cause)}"]
    if together(many, watched) and watched is not None:
        text = (
            f"{many:,} of {watched:,} features moved together: a join, a schema, a unit, a source"
        )
        told.append(f"upstream  {text}")
    baseline = f"baseline {short(lead.baseline, 13)} of" if lead.baseline else "while learning:"
    told.append(f"against   {baseline} {lead.baseline_sample:,} records")
    return [line for each in told for line in wrapped(each, width, " " * 10)]


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
        slow = [each.since for event in history for each in _changes(event) if each.since]
        if slow:
            unsure += f"; slow, from {moment(min(slow))} on at the earliest"
        seen = f"seen {between(first.onset, first.detected)} later"
        told.append((moment(first.onset), "onset", f"{unsure}; {seen}"))
    elif isinstance(first, NoData):
        told.append((moment(first.since), "last data", ""))
    told += [(_moment(event.time), _word(event), _news(event)) for event in history]
    long = max(len(time) for time, _, _ in told)
    return [
        line
        for time, word, text in told
        for line in wrapped(f"{time:{long}} {word:10} {text}", width, " " * (long + 12))
    ]


def _word(event: Event) -> str:
    return "reopened" if isinstance(event, Updated) and event.reopened else event_type(event)


def _news(event: Event) -> str:
    if isinstance(event, Opened | Updated):
        why = event.why if isinstance(event, Updated) else ()
        words = [_why(event, each) for each in why if each != "reopened"]
        lead = [phrase(event.changes[0], _apart(event), moved=1)] if event.changes else []
        return f"{event.severity}: {'; '.join([*words, *lead, _count(event)])}"
    if isinstance(event, Resolved):
        lasted = between(event.onset, event.time or event.onset)
        return f"{short(event.reason)}, {lasted} after its onset"
    if isinstance(event, DataLoss):
        return short(event.reason)
    if isinstance(event, Operator | Heartbeat):
        return event.summary
    return short(event.limit) if isinstance(event, LimitReached) else event.severity


def _why(event: IncidentEvent, reason: str) -> str:
    if reason == "acknowledged" and event.acknowledged is not None:
        said = event.acknowledged
        return f"acknowledged by {short(said.by)}" + (f" ({short(said.why)})" if said.why else "")
    return WHY.get(reason, short(reason))


def _apart(event: IncidentEvent) -> bool:
    """Whether it takes version and segment to say which part of the model changed."""
    return len(event.versions) > 1 or len(event.segments) > 1


def _count(event: IncidentEvent) -> str:
    changes = f"{event.changes_total:,} change{'s' * (event.changes_total != 1)}"
    if not event.features_total:
        return changes
    of = "" if event.features_watched is None else f" of {event.features_watched:,}"
    return f"{changes} in {event.features_total:,}{of} features"


def _features(event: IncidentEvent, seen: Seen, width: int) -> list[str]:
    told = []
    if seen.parts:
        before, after = map(duration, seen.lengths)
        told.append(f"(pictures: records of {before} before the onset and of {after} after it)")
    shown: set[Part] = set()
    for each in event.changes[:MOST_FEATURES]:
        ended = "" if each.active else ", ended"
        told += wrapped(phrase(each, _apart(event), moved=0) + ended, width, "  ")
        told += wrapped(
            f"{short(each.detector)} at {number(each.score, 2)} times its threshold, "
            f"{each.sample:,} records since {moment(each.onset)}",
            width,
            "    ",
            "  ",
        )
        told += [
            f"    {short(one.name) or '(empty)':18} {share(one.before):>7} → {share(one.after)}"
            for one in (each.top[:MOST_MOVED] if each.signal in ("distance", "shape") else ())
        ]
        if each.signal == "volume" and seen.traffic:
            ends, counts = zip(*sorted(seen.traffic.items()), strict=True)
            onset = microseconds(event.onset)
            told += [f"    {line}" for line in course(ends, counts, onset, width - 4)]
        part = each.version, each.segment, each.feature
        found = seen.parts.get(part)
        if found is not None and part not in shown:
            shown.add(part)
            told += [f"    {line}" for line in bars(found, width - 4)]
    if (rest := event.changes_total - min(len(event.changes), MOST_FEATURES)) > 0:
        told.append(f"and {rest:,} more")
    if seen.note:
        told += wrapped(f"({seen.note})", width)
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
    told = [cut(f"topic {short(event.topic)}, records of {event.evidence.start} on", width)]
    told += [
        f"  partition {each.partition}, offsets {each.start} to {each.stop - 1}"
        for each in event.evidence.ranges[:MOST_BESIDE]
    ]
    if (rest := event.evidence.partitions_total - min(len(told) - 1, MOST_BESIDE)) > 0:
        told.append(f"  and {rest:,} more partitions")
    return told


def _changes(event: Event) -> tuple[ChangedFeature, ...]:
    return event.changes if isinstance(event, Opened | Updated | Resolved) else ()


def _moment(time: str | None) -> str:
    return "-" if time is None else moment(time)


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _written(time: datetime) -> str:
    return time.isoformat(timespec="seconds").replace("+00:00", "Z")
