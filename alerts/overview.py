"""The incidents as they stand, and what may become one: a table for a terminal. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from alerts.causes import points_at
from alerts.events import (
    DataLoss,
    Event,
    Heartbeat,
    LimitReached,
    NoData,
    Opened,
    Operator,
    Resolved,
    Updated,
)
from alerts.lines import cut, painted, wrapped
from alerts.listing import changed_feature
from alerts.read import Incident, is_open, is_silenced, state_of
from alerts.texts import phrase, short, subject
from alerts.units import moment, rfc3339, share
from sketches.detection import Change

NARROWEST: Final = 60  # characters of a line; a narrower terminal wraps
MOST_PENDING: Final = 3  # changes that are named


class Pending(NamedTuple):
    """Changes of one model that detectors propose, not sure enough to be told yet.

    Attributes:
        topic: Input topic.
        model: Model.
        changes: At least one; the score says how near it is to be told, 0 to 1.
    """

    topic: str
    model: str
    changes: tuple[Change, ...]


def table(
    incidents: Iterable[Incident],
    width: int = 80,
    pending: Iterable[Pending] = (),
    colour: bool = False,
) -> list[str]:
    """A line and a summary for each incident, the worst first; one line if there is none.

    Args:
        incidents: As they stand.
        width: Characters of a line.
        pending: What may become one; listed last.
        colour: With ANSI colours; for a terminal only.
    """
    width = max(width, NARROWEST)
    rows: list[tuple[tuple[str, str, str, str], str, str, str]] = [
        (
            (each.id[:8], each.event.severity, state_word(each.event), cause_word(each.event)),
            _moment(began(each.event)),
            short(each.event.owner or "-"),
            each.event.summary,
        )
        for each in ranked(incidents)
    ]
    rows += [
        (
            ("-", "-", "pending", points_at(each.changes[0])),
            moment(rfc3339(min(one.onset for one in each.changes))),
            "-",
            f"{_whom(each)}: {pending_text(each)}",
        )
        for each in pending
    ]
    if not rows:
        return ["no incidents"]
    long = max(len(since) for _, since, _, _ in rows)
    told = [f"{'ID':8} {'SEVERITY':8} {'STATE':8} {'CAUSE':12} {'SINCE':{long}} OWNER"]
    for (id_, severity, state, cause), since, owner, text in rows:
        row = f"{id_:8} {severity:8} {state:8} {cause:12} {since:{long}} {owner}"
        row = cut(row, width)
        if colour:
            shown = severity if state in ("open", "acked") else state
            row = row[:9] + painted(row[9:26], shown.upper()) + row[26:]
        told += [row, *wrapped(text, width, "    ", "  ")]
    return told


def pending_text(pending: Pending) -> str:
    """The changes that are nearest to be told, and how near."""
    changes = sorted(pending.changes, key=lambda each: -each.score)
    where = len({(each.version, each.segment) for each in changes}) > 1
    said = [
        f"{phrase(changed_feature(each), where)}, {share(round(each.score, 2))} of what it takes"
        for each in changes[:MOST_PENDING]
    ]
    if (rest := len(changes) - len(said)) > 0:
        said.append(f"{rest:,} more")
    return "; ".join(said)


def _whom(pending: Pending) -> str:
    versions = sorted({each.version for each in pending.changes})
    segments = sorted({each.segment for each in pending.changes})
    return subject(pending.topic, pending.model, versions, segments)


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


def state_word(event: Event) -> str:
    """Of an open incident also whether somebody looks after it, or nobody is to be called."""
    if is_silenced(event):
        return "silenced"
    if isinstance(event, Opened | Updated) and is_open(event) and event.acknowledged is not None:
        return "acked"
    return state_of(event)


def cause_word(event: Event) -> str:
    """The root cause; ``-`` of what has none."""
    return "-" if isinstance(event, DataLoss | LimitReached | Operator | Heartbeat) else event.cause


def _moment(time: str | None) -> str:
    return "-" if time is None else moment(time)
