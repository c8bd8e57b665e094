"""What one target has been told and is to be told: the fold of the alerts topic for a bridge."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple, Protocol

from alerts.alertmanager import Alert, alert
from alerts.events import Event, Resolved
from alerts.read import is_silenced
from sketches.detection import Severity

MOST_INCIDENTS: Final = 100_000  # whose revisions are remembered
SAID_AGAIN: Final = 15 * 60_000_000  # microseconds for which an end is repeated


class Route(Protocol):
    """Which events go to a target; what is empty does not matter."""

    @property
    def models(self) -> Sequence[str]:
        """Shell patterns of the model's name."""
        ...

    @property
    def severities(self) -> Sequence[Severity]:
        """Severities of the incident."""
        ...

    @property
    def labels(self) -> Mapping[str, str]:
        """Name of a label of the model -> shell pattern of its value."""
        ...


class News(NamedTuple):
    """An event that a target is to be told.

    Attributes:
        event: The event.
        value: Its message's value, which may hold fields not known here.
        alerts: The same as alerts; more than one if an earlier one ends under its old labels.
    """

    event: Event
    value: bytes
    alerts: tuple[Alert, ...]


def matches(routes: Sequence[Route], event: Event) -> bool:
    """Whether one of the routes, or no routes at all, let an event through."""
    return not routes or any(_lets_through(route, event) for route in routes)


def _lets_through(route: Route, event: Event) -> bool:
    return (
        (not route.models or any(fnmatch.fnmatchcase(event.model, one) for one in route.models))
        and (not route.severities or event.severity in route.severities)
        and all(
            fnmatch.fnmatchcase(event.labels.get(k, ""), pattern)
            for k, pattern in route.labels.items()
        )
    )


class Board:
    """The alerts of one partition of the topic as a target knows them.

    An incident that went to the target once is told to its end, whatever the routes say of its
    later events; repetitions and older revisions are no news, nor is what operators silenced from
    its beginning.

    Args:
        routes: As for ``matches``.
    """

    def __init__(self, routes: Sequence[Route]) -> None:
        self._routes = routes
        self._seen: dict[str, tuple[int, bool]] = {}  # incident -> revision, told
        self._standing: dict[str, Alert] = {}  # by incident
        self._ended: list[tuple[int, Alert]] = []  # with the time of its event

    def apply(self, event: Event, value: bytes, at: int) -> News | None:
        """What to tell about an event; None: nothing.

        Args:
            event: The next one of the partition.
            value: Its message's value.
            at: When it was written, microseconds.
        """
        revision, told = self._seen.pop(event.incident, (0, False))
        if event.revision <= revision:
            self._seen[event.incident] = revision, told
            return None
        # The end of what was opened before this board began is told: others may still alert on it.
        ended = isinstance(event, Resolved) and event.silenced is not None and revision > 0
        hidden = is_silenced(event) or ended
        told = told or (not hidden and matches(self._routes, event))
        self._seen[event.incident] = event.revision, told
        if len(self._seen) > MOST_INCIDENTS:
            del self._seen[next(iter(self._seen))]
        return News(event, value, tuple(self._changed(event, at))) if told else None

    def standing(self, now: int) -> list[Alert]:
        """What to say once more: all that goes on, and what ended a short while ago."""
        self._ended = [one for one in self._ended if now - one[0] < SAID_AGAIN]
        over = [name for name, one in self._standing.items() if one.ends and one.ends <= now]
        for name in over:  # nothing follows them
            del self._standing[name]
        standing = {_key(one) for one in self._standing.values()}
        latest = {_key(one): one for _, one in self._ended if _key(one) not in standing}
        return [*self._standing.values(), *latest.values()]

    def _changed(self, event: Event, at: int) -> Iterable[Alert]:
        new = alert(event, at)
        if new is None:
            return
        old = self._standing.pop(event.incident, None)
        ends = new.ends is not None and new.ends <= at
        if old is not None and ends:
            new = new._replace(labels=old.labels, source=new.source or old.source)
        elif old is not None and old.labels != new.labels:
            gone = old._replace(ends=at)
            self._ended.append((at, gone))
            yield gone
        if ends:
            self._ended.append((at, new))
        else:
            self._standing[event.incident] = new
        yield new


def _key(one: Alert) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(one.labels.items()))
