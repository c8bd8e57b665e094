"""Events for a person who follows them: one line each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from alerts.events import (
    Event,
    EventFormatError,
    Heartbeat,
    Operator,
    Resolved,
)
from alerts.lines import COLOURS, wrapped
from alerts.read import Message, is_silenced, with_values
from alerts.texts import printable
from alerts.units import moment

NARROWEST: Final = 40  # characters of a line; a narrower terminal wraps by itself
_COLOURS: Final = {**COLOURS, "OPERATOR": "36", "ALIVE": "2"}


def render(event: Event, colour: bool = False, width: int | None = None) -> str:
    """Severity (or that it is resolved), time, what is said, the incident's id.

    Args:
        event: Any event.
        colour: With ANSI colours; for a terminal only.
        width: What does not fit goes on in further lines; None: one line, however long.
    """
    word = _word(event)
    time = "-" * 17 if event.time is None else moment(event.time)
    mark = f"#{event.incident[:8]}"
    head = f"{word:8} {time} "
    told = f"{head}{printable(event.summary)}  {mark}"
    if width is not None:
        told = "\n".join(wrapped(told, max(width, NARROWEST), " " * 9))
    if not colour:
        return told
    coloured = f"\x1b[{_COLOURS[word]}m{word:8}\x1b[0m"
    return f"{coloured}{told[8 : -len(mark)]}\x1b[2m{mark}\x1b[0m"


def _word(event: Event) -> str:
    if isinstance(event, Resolved):
        return "RESOLVED"
    if isinstance(event, Operator):
        return "OPERATOR"
    if isinstance(event, Heartbeat):
        return "ALIVE"
    return "SILENCED" if is_silenced(event) else event.severity.upper()


def lines(
    messages: Iterable[Message],
    *,
    json: bool = False,
    colour: bool = False,
    width: int | None = None,
    unreadable: Callable[[EventFormatError], None] | None = None,
) -> Iterator[str]:
    """A line for each event that is news, or as many as ``width`` takes.

    Args:
        messages: Of the alerts topic, in order.
        json: The events as they are, for machines; without colours.
        colour: As for ``render``.
        width: Likewise.
        unreadable: As for ``alerts.read.events``.
    """
    for event, value in with_values(messages, unreadable):
        yield value.decode() if json else render(event, colour, width)
