"""``streamgauge incidents`` and ``incident``: the whole alerts topic read, and told to a person."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Final

from alerts.events import Event, EventFormatError, Opened, Resolved, Updated
from alerts.read import Incident, State, as_it_stands, fits, with_values
from alerts.story import Seen, ranked, replays, story, table
from alerts.units import rfc3339
from consumer.incident_profiles import compared, span, wanted, windows
from consumer.kafka import Admin
from consumer.settings import Settings
from consumer.tail import alert_messages
from sketches.detection import Severity

WIDTH: Final = 80  # of what is no terminal
MOST_PICTURES: Final = 6  # features


class NoSuchIncidentError(Exception):
    """No incident, or more than one, is called so; the text says what to do."""


def show_all(
    settings: Settings,
    *,
    all_: bool,
    json: bool,
    model: str | None,
    severity: Severity | None,
    labels: Mapping[str, str],
) -> int:
    """Print the incidents that are open, or all; exit status.

    Raises:
        KafkaFailure: The alerts topic cannot be read.
    """
    found: dict[str, tuple[Incident, bytes]] = {}
    for event, value in with_values(alert_messages(settings, "earliest", follow=False), _complain):
        found[event.incident] = as_it_stands(event), value
    state: State | None = None if all_ else "open"
    chosen = [
        each
        for each, _ in found.values()
        if fits(each, model=model, severity=severity, labels=labels, state=state)
    ]
    if json:
        _print(found[each.id][1].decode() for each in ranked(chosen))
    else:
        _print(table(chosen, _width()))
    return 0


def show_one(settings: Settings, name: str, *, json: bool, plot: Path | None) -> int:
    """Print the story of an incident, and draw it; exit status.

    Raises:
        NoSuchIncidentError: None is called so, or more than one.
        KafkaFailure: A topic cannot be read.
    """
    history: dict[str, list[tuple[Event, bytes]]] = {}
    for event, value in with_values(alert_messages(settings, "earliest", follow=False), _complain):
        history.setdefault(event.incident, []).append((event, value))
    id_ = named(name, history, settings.alerts_topic)
    mine = [event for event, _ in history[id_]]
    if json:
        _print(value.decode() for _, value in history[id_])
        return 0
    last = mine[-1]
    seen = Seen({})
    if isinstance(last, Opened | Updated | Resolved):
        parts = wanted(last)[:MOST_PICTURES]
        held = windows(settings, Admin(settings.kafka), last, parts)
        found = held.windows
        deployed = sorted((rfc3339(end), version) for version, end in held.deployed.items())
        seen = Seen(compared(found, parts, span(last).onset), deployed=deployed)
        if not held.whole:
            seen = seen._replace(note="pictures of a part of the windows: reading took too long")
        elif parts and not seen.parts:
            text = f"{settings.profiles_topic} does not hold the windows of that time any more"
            seen = seen._replace(note=f"no pictures: {text}")
        if plot is not None:
            from consumer.plot import draw  # noqa: PLC0415 - loads matplotlib

            draw(plot, last, found, parts, seen.parts)
    beside = [as_it_stands(events[-1][0]) for events in history.values()]
    again = replays(last, settings.app, timedelta(microseconds=settings.learn_for))
    _print(story(mine, beside, seen, again, _width()))
    return 0


def named(
    name: str,
    known: Iterable[str],
    topic: str,
    what: str = "incident",
    listed_by: str = "streamgauge incidents --all",
) -> str:
    """The id that begins so.

    Args:
        name: What the user wrote; ``#`` before it is how lines of ``tail`` show ids.
        known: Ids of all of them.
        topic: Where they are from.
        what: What they are ids of.
        listed_by: The command that lists them.

    Raises:
        NoSuchIncidentError: None does, or more than one.
    """
    start = name.removeprefix("#").lower()
    found = sorted(each for each in known if each.startswith(start)) if start else []
    if len(found) == 1:
        return found[0]
    if not found:
        text = f"no {what} of topic {topic} begins with {name!r}"
        raise NoSuchIncidentError(f"{text}; {listed_by} lists them")
    listed = ", ".join(found[:5]) + (", ..." if len(found) > 5 else "")
    raise NoSuchIncidentError(f"{len(found)} {what}s begin with {name!r} ({listed}); write more")


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _width() -> int:
    return shutil.get_terminal_size((WIDTH, 24)).columns if sys.stdout.isatty() else WIDTH


def _complain(error: EventFormatError) -> None:
    sys.stderr.write(f"skipped: {error}\n")
