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
from alerts.read import Message, is_silenced, with_values
from alerts.texts import printable
from alerts.units import moment

_COLOURS: Final = {
    "CRITICAL": "1;31",
    "WARNING": "33",
    "RESOLVED": "32",
    "SILENCED": "2",
    "OPERATOR": "36",
    "ALIVE": "2",
}


def render(event: Event, colour: bool = False, width: int | None = None) -> str:
    """One line: severity (or that it is resolved), time, what is said, the incident's id.

    Args:
        event: Any event.
        colour: With ANSI colours; for a terminal only.
        width: The line is cut to so many characters; None: never.
    """
    word = _word(event)
    time = "-" * 17 if event.time is None else moment(event.time)
    text = printable(event.summary)
    mark = f"#{event.incident[:8]}"
    if width is not None:
        room = max(width - len(f"{word:8} {time}   {mark}"), 1)
        if len(text) > room:
            text = f"{text[: room - 1]}…"
    if not colour:
        return f"{word:8} {time} {text}  {mark}"
    return f"\x1b[{_COLOURS[word]}m{word:8}\x1b[0m {time} {text}  \x1b[2m{mark}\x1b[0m"


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
    """A line for each event that is news.

    Args:
        messages: Of the alerts topic, in order.
        json: The events as they are, for machines; without colours.
        colour: As for ``render``.
        width: Likewise.
        unreadable: As for ``alerts.read.events``.
    """
    for event, value in with_values(messages, unreadable):
        yield value.decode() if json else render(event, colour, width)
