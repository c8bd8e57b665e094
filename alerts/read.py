"""Events as they count: repetitions and older revisions left out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from alerts.events import (
    Event,
    EventFormatError,
    NoData,
    Opened,
    UnknownTypeError,
    Updated,
    from_message,
)

Message = tuple[bytes | None, bytes, list[tuple[str, bytes]]]


def events(
    messages: Iterable[Message], unreadable: Callable[[EventFormatError], None] | None = None
) -> Iterator[Event]:
    """Each event that is newer than what came before of its incident, as it comes.

    Args:
        messages: Key, value and headers of the messages of the alerts topic, in order.
        unreadable: Told of each message that is no event of this format; then it is skipped.

    Raises:
        EventFormatError: A message is none, and nobody is told.
    """
    for event, _ in with_values(messages, unreadable):
        yield event


def with_values(
    messages: Iterable[Message], unreadable: Callable[[EventFormatError], None] | None = None
) -> Iterator[tuple[Event, bytes]]:
    """As ``events``, each with its message's value, which may hold fields not known here."""
    newest: dict[str, int] = {}
    for _, value, _ in messages:
        try:
            event = from_message(value)
        except UnknownTypeError:
            continue
        except EventFormatError as error:
            if unreadable is None:
                raise
            unreadable(error)
            continue
        if event.revision > newest.get(event.incident, 0):
            newest[event.incident] = event.revision
            yield event, value


def incidents(
    messages: Iterable[Message], unreadable: Callable[[EventFormatError], None] | None = None
) -> dict[str, Event]:
    """Incident id -> its last event, in the order in which the incidents began.

    Args:
        messages: As for ``events``.
        unreadable: Likewise.
    """
    return {event.incident: event for event in events(messages, unreadable)}


def is_open(event: Event) -> bool:
    """Whether an incident whose last event this is goes on."""
    return isinstance(event, Opened | Updated | NoData)
