"""Events that are whole by themselves: silence, lost data, a limit reached. No state."""

from __future__ import annotations

from typing import Final, Protocol

from alerts.event_parts import Evidence
from alerts.events import DataLoss, Heartbeat, LimitReached, NoData, Resolved, hash_id
from alerts.listing import event_id
from alerts.texts import short, subject
from alerts.units import duration, moment, rfc3339


class Loss(Protocol):
    """Data that were not watched, or of which it is not known; times in microseconds."""

    @property
    def topic(self) -> str:
        """Input topic."""
        ...

    @property
    def partition(self) -> int:
        """Input partition."""
        ...

    @property
    def reason(self) -> str:
        """One of those that ``DataLoss.reason`` names."""
        ...

    @property
    def time(self) -> int | None:
        """Border at which it was seen; None: nothing was closed yet."""
        ...

    @property
    def start(self) -> int | None:
        """First offset, or one of two that conflict."""
        ...

    @property
    def stop(self) -> int | None:
        """Offset after the last one, or the other of the two."""
        ...

    @property
    def since(self) -> int | None:
        """Windows that end after this are concerned."""
        ...

    @property
    def until(self) -> int | None:
        """Windows that end up to this are concerned."""
        ...

    @property
    def expected(self) -> int | None:
        """Profiles that should be there."""
        ...

    @property
    def found(self) -> int | None:
        """Profiles that were."""
        ...


def no_data(app: str, topic: str, model: str, since: int, at: int) -> NoData:
    """The model has been silent for too long.

    Args:
        app: Name of the application.
        topic: Input topic.
        model: Model.
        since: End of its last window with data.
        at: When the silence became too long.
    """
    incident = _silence(app, topic, model, since)
    who = subject(topic, model)
    last = moment(rfc3339(since))
    return NoData(
        v=1,
        id=event_id(incident, "no_data", at, 1),
        incident=incident,
        revision=1,
        time=rfc3339(at),
        severity="warning",
        topic=topic,
        model=model,
        since=rfc3339(since),
        summary=f"{who}: no data since {last} ({duration(at - since)})",
        text=(
            f"{who}: no readable record since {last}, {duration(at - since)} at the time of this "
            f"event; that is longer than usual. Nothing about it can be seen now, so what is open "
            f"stays open. Look at whether it still serves, and whether its records still reach "
            f"topic {short(topic)}."
        ),
    )


def data_back(app: str, topic: str, model: str, since: int, at: int) -> Resolved:
    """Data again after ``no_data``.

    Args:
        app: Name of the application.
        topic: Input topic.
        model: Model.
        since: End of the last window with data before the silence.
        at: Start of the first one after it.
    """
    incident = _silence(app, topic, model, since)
    who = subject(topic, model)
    return Resolved(
        v=1,
        id=event_id(incident, "resolved", at, 2),
        incident=incident,
        revision=2,
        time=rfc3339(at),
        severity="warning",
        topic=topic,
        model=model,
        versions=(),
        segments=(),
        onset=rfc3339(since),
        detected=rfc3339(since),
        summary=f"{who}: data again after {duration(at - since)} without any",
        text=(
            f"{who}: data again since {moment(rfc3339(at))}, after {duration(at - since)} without "
            f"any (the last were from before {moment(rfc3339(since))}). Windows in between are "
            f"not judged."
        ),
        reason="data_back",
        cause="volume",
        changes=(),
        changes_total=0,
        features_total=0,
        features_watched=None,
        evidence=Evidence(start=rfc3339(since), end=rfc3339(at), ranges=(), partitions_total=0),
    )


def data_loss(app: str, loss: Loss) -> DataLoss:
    """Data were lost, or may have been.

    Args:
        app: Name of the application.
        loss: What is known about it.
    """
    known = (loss.time, loss.start, loss.stop, loss.since, loss.until, loss.expected, loss.found)
    about = ("" if each is None else each for each in known)
    incident = hash_id(app, loss.topic, loss.partition, "data_loss", loss.reason, *about)
    where = f"topic {short(loss.topic)} partition {loss.partition}"
    fact, do = _LOSSES.get(loss.reason, ("data may be lost ({reason})", _LOOK))
    offsets = [each for each in (loss.start, loss.stop) if each is not None]
    offsets.sort()
    facts = {
        "count": f"{offsets[-1] - offsets[0]:,}" if offsets else "",
        "start": offsets[0] if offsets else "",
        "last": offsets[-1] - 1 if offsets else "",
        "stop": offsets[-1] if offsets else "",
        "expected": loss.expected,
        "found": loss.found,
        "reason": short(loss.reason),
    }
    fact = fact.format(**facts)
    span = _span(loss)
    return DataLoss(
        v=1,
        id=event_id(incident, "data_loss", loss.time, 1),
        incident=incident,
        revision=1,
        time=_maybe(loss.time),
        severity="warning",
        topic=loss.topic,
        model="",
        partition=loss.partition,
        reason=loss.reason,
        start=offsets[0] if offsets else None,
        stop=offsets[-1] if offsets else None,
        since=_maybe(loss.since),
        until=_maybe(loss.until),
        expected=loss.expected,
        found=loss.found,
        summary=f"{where}: {fact}",
        text=f"{where}: {fact}{span}. {do}",
    )


def limit_reached(
    app: str, topic: str, limit: str, at: int | None, model: str = ""
) -> LimitReached:
    """A limit of the configuration cut something for the first time.

    Args:
        app: Name of the application.
        topic: Input topic.
        limit: Name of the setting.
        at: When, microseconds; None: nothing was closed yet.
        model: Model, if it concerns one.
    """
    incident = hash_id(app, topic, model, "limit_reached", limit)
    who = subject(topic, model)
    fact, do = _LIMITS.get(limit, ("", ""))
    name = short(limit)
    if not do:
        fact = f"limit {name} reached; {fact or 'what is over it is counted, and not watched'}"
        do = (
            "Either the records hold something that does not belong there (an id as a name, say), "
            f"or limits.{name} in the configuration should be higher."
        )
    seen = "" if at is None else f"; seen at {moment(rfc3339(at))}"
    return LimitReached(
        v=1,
        id=event_id(incident, "limit_reached", at, 1),
        incident=incident,
        revision=1,
        time=_maybe(at),
        severity="warning",
        topic=topic,
        model=model,
        limit=limit,
        summary=f"{who}: {fact}",
        text=f"{who}: {fact}{seen}. This is said once. {do}",
    )


_LOOK: Final = "Compare the records of the topic with the counts in the watermarks of that time."
_FOLDED: Final = (
    "What is there has been judged. If the profiles log was cut or written by something else, "
    "find out by what; the records themselves can be replayed while the topic holds them."
)
_LOSSES: Final = {
    "offsets": (
        "{count} offsets never read, {start} to {last}",
        "Those records were not watched. They were deleted before: give the topic a longer "
        "retention, or find out why the worker was behind. Or somebody set the offset of the "
        "consumer group past them.",
    ),
    "gap": ("the watermark of some windows never came", _FOLDED),
    "profiles": ("{found} of {expected} profiles of some windows found, or others", _FOLDED),
    "conflict": (
        "two workers closed the same windows at different offsets, {start} and {stop}",
        "The first one counts. Two workers with different settings, or a topic made anew under the "
        "same name, do this.",
    ),
    "rewound": (
        "offsets went back from {stop} to {start}",
        "The topic was made anew, or the offsets of the group were set back. Its records are "
        "watched from here on.",
    ),
    "unreadable": (
        "profiles of a window cannot be read by this release",
        "Its other profiles have been judged. A newer worker writes such profiles: upgrade this "
        "one, or find out what else writes into the profiles log; the records themselves can be "
        "replayed while the topic holds them.",
    ),
    "memory": (
        "too many profiles waited for their watermark and were let go",
        "Their windows are judged without them. A worker that stopped in the middle of closing "
        "windows leaves such profiles; more memory does not help.",
    ),
}
_LIMITS: Final = {
    "models": ("records of further models are counted, and not watched", ""),
    "versions": ("further versions are watched together as “other”", ""),
    "segments": ("further segments are watched together as “other”", ""),
    "features": ("further features are not watched", ""),
    "name_bytes": ("longer names are cut", ""),
    "nesting": ("records nested more deeply are rejected", ""),
    "open_windows": (
        "the oldest open windows were closed early, and their later records count as late",
        "",
    ),
    "message_bytes": ("larger records are rejected", ""),
    "event_time_unreadable": (
        "event times that cannot be read; their records count by their Kafka timestamp",
        "See whether fields.event_time and fields.event_time_unit of the input fit its records.",
    ),
}


def heartbeat(
    app: str, topic: str, partition: int, at: int, every: int, models: int, open: int
) -> Heartbeat:
    """Judged up to here.

    Args:
        app: Name of the application.
        topic: Input topic.
        partition: Of the profiles log; it holds some of the models of the topic.
        at: A multiple of ``every``, microseconds.
        every: From one to the next.
        models: Models judged.
        open: Incidents that are open.
    """
    series = hash_id(app, topic, "heartbeat", partition)
    count = f"{models:,} model{'s' * (models != 1)}"
    said = f"{count} of {short(topic)} judged up to {moment(rfc3339(at))}, {open:,} open"
    return Heartbeat(
        v=1,
        id=event_id(series, "heartbeat", at, 1),
        incident=series,
        revision=at // every,
        time=rfc3339(at),
        severity="warning",
        topic=topic,
        model="",
        every=every // 1_000_000,
        models=models,
        open=open,
        summary=said,
        text=f"{said}. The next word of this kind is due {duration(every)} later, in event time.",
    )


def _silence(app: str, topic: str, model: str, since: int) -> str:
    return hash_id(app, topic, model, "no_data", since)


def _maybe(time: int | None) -> str | None:
    return None if time is None else rfc3339(time)


def _span(loss: Loss) -> str:
    since = "" if loss.since is None else f" after {moment(rfc3339(loss.since))}"
    until = "" if loss.until is None else f" up to {moment(rfc3339(loss.until))}"
    seen = "" if loss.time is None else f"; seen at {moment(rfc3339(loss.time))}"
    return f" (windows{since}{until}){seen}" if since or until else seen
