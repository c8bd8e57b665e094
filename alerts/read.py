"""Events and incidents as they count: repetitions and older revisions left out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Literal, NamedTuple

from alerts.events import (
    Event,
    EventFormatError,
    NoData,
    Opened,
    Resolved,
    UnknownTypeError,
    Updated,
    from_message,
)
from sketches.detection import Severity

Message = tuple[bytes | None, bytes, list[tuple[str, bytes]]]
State = Literal["open", "resolved", "told"]


class Incident(NamedTuple):
    """An incident as it stands.

    Attributes:
        id: Its id; for a silence, a loss or a limit the id of that.
        state: ``open``; ``resolved``; or ``told``: a loss or a limit, which nothing follows.
        event: Its newest event, which says all that is known.
    """

    id: str
    state: State
    event: Event


def read(
    messages: Iterable[Message],
    *,
    model: str | None = None,
    severity: Severity | None = None,
    labels: Mapping[str, str] | None = None,
    state: State | None = None,
    unreadable: Callable[[EventFormatError], None] | None = None,
) -> Iterator[Incident]:
    """Each incident as it stands after each event that is news about it.

    Lazy: over messages that never end it never ends. Over those up to now, the last one of each
    incident is how things stand: ``{each.id: each for each in read(messages)}``.

    Args:
        messages: Key, value and headers of the messages of the alerts topic, in order.
        model: Only incidents of models that this shell pattern fits.
        severity: Only those of it.
        labels: Only those with these labels.
        state: Only while they are in it.
        unreadable: As for ``events``.
    """
    for event in events(messages, unreadable):
        incident = as_it_stands(event)
        if fits(incident, model=model, severity=severity, labels=labels, state=state):
            yield incident


def as_it_stands(event: Event) -> Incident:
    """The incident whose newest event this is."""
    return Incident(event.incident, state_of(event), event)


def fits(
    incident: Incident,
    *,
    model: str | None = None,
    severity: Severity | None = None,
    labels: Mapping[str, str] | None = None,
    state: State | None = None,
) -> bool:
    """Whether ``read`` with these filters tells of an incident."""
    event = incident.event
    return (
        (model is None or fnmatchcase(event.model, model))
        and (severity is None or event.severity == severity)
        and (state is None or incident.state == state)
        and (labels or {}).items() <= event.labels.items()
    )


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


def state_of(event: Event) -> State:
    """The state of an incident whose newest event this is."""
    if isinstance(event, Opened | Updated | NoData):
        return "open"
    return "resolved" if isinstance(event, Resolved) else "told"


def is_silenced(event: Event) -> bool:
    """Whether an operator said that nobody is to be called about it for now."""
    return isinstance(event, Opened | Updated | NoData) and event.silenced is not None


def is_open(event: Event) -> bool:
    """Whether an incident whose last event this is goes on."""
    return state_of(event) == "open"
