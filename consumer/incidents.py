"""``streamgauge incidents`` and ``incident``: the whole alerts topic read, and told to a person."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from alerts.events import Event, EventFormatError, Opened, Resolved, Updated
from alerts.overview import Pending, ranked, table
from alerts.read import Incident, State, as_it_stands, fits, with_values
from alerts.story import Seen, replays, story
from alerts.units import rfc3339
from consumer.durations import DAY
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
    pending: bool = False,
) -> int:
    """Print the incidents that are open, or all; exit status.

    Args:
        settings: Where they are.
        all_: Those that are not open as well.
        json: For machines.
        model: Only those of models that this shell pattern fits.
        severity: Only those of it.
        labels: Only those with these labels.
        pending: What may become one as well; it takes reading the profiles log.

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
        more = _pending(settings, model) if pending else ()
        _print(table(chosen, _width(), more, sys.stdout.isatty()))
    return 0


def show_one(
    settings: Settings, name: str, *, json: bool, plot: Path | None, more: Sequence[str] = ()
) -> int:
    """Print the story of an incident, and draw it; exit status.

    Args:
        settings: Where it is.
        name: Its id, or how that begins.
        json: Its events, for machines, and nothing else.
        plot: Where to draw it.
        more: Options that name the configuration.

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
        seen = _seen(settings, last, plot)
    beside = [as_it_stands(events[-1][0]) for events in history.values()]
    again = replays(last, seen, settings.app, timedelta(microseconds=settings.learn_for), more)
    _print(story(mine, beside, seen, again, _width()))
    return 0


def _seen(settings: Settings, event: Opened | Updated | Resolved, plot: Path | None) -> Seen:
    """What the profiles log holds of an incident; it is drawn as well."""
    parts, when = wanted(event)[:MOST_PICTURES], span(event)
    held = windows(settings, Admin(settings.kafka), event, parts)
    found = compared(held.windows, parts, when.onset)
    note = ""
    if not held.whole:
        note = "pictures of a part of the windows: reading took too long"
    elif parts and not found:
        note = f"no pictures: {settings.profiles_topic} does not hold that time any more"
    if plot is not None:
        from consumer.plot import draw  # noqa: PLC0415 - loads matplotlib

        draw(plot, event, held, parts, found)
    return Seen(
        found,
        note,
        sorted((rfc3339(end), version) for version, end in held.deployed.items()),
        held.traffic,
        (when.onset - when.since, when.until - when.onset),
        held.behind > DAY,
    )


def _pending(settings: Settings, model: str | None) -> list[Pending]:
    from consumer.models import read  # noqa: PLC0415 - loads the detect stage

    _, models = read(settings, time.time_ns() // 1_000)
    found = [one for each in models if (one := each.pending) is not None]
    return [each for each in found if model is None or fnmatchcase(each.model, model)]


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
