"""``streamgauge audit``: prove from the topics alone that every record counted once.

One pass over the profiles log feeds the chains (``audit_chains``) and the recomputation of alerts
(``audit_alerts``); then what was counted is held against the input topics and the rejects
(``audit_counts``).

A live system moves on while it is audited, so ends are asked for in an order: what is committed,
then the alerts, then the log, then the rest. What is committed must have been published before;
what is on the alerts topic must follow from the log as read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

from consumer.audit_alerts import Alerts, Following, compare
from consumer.audit_chains import LogAudit
from consumer.audit_counts import Counts, Offsets, Rejects, beginnings, behind, missing_rejects
from consumer.audit_findings import Place, Report
from consumer.audit_ledger import Ledger
from consumer.batch import RawBatch
from consumer.commit_state import CommitState, CommitStateError
from consumer.fold import Fold
from consumer.judging import MonitorJudges
from consumer.log import LogFormatError, decode
from consumer.settings import Settings
from consumer.snapshots import SnapshotError, manifest_key

Input = tuple[str, int]


class Extent(NamedTuple):
    """Offsets ``[low, end)`` that a partition holds."""

    low: int
    end: int


class Topics(Protocol):
    """The topics of a running or stopped system."""

    def partitions(self) -> dict[str, int]:
        """Topic -> how many partitions it has."""
        ...

    def committed(self, places: Sequence[Input]) -> dict[Input, tuple[int, str] | None]:
        """Committed offset and metadata of the group, by partition."""
        ...

    def extents(self, topic: str, partitions: int) -> dict[int, Extent]:
        """What each partition of a topic holds now."""
        ...

    def compacted(self, topic: str) -> bool:
        """Whether records may vanish from the middle of a topic."""
        ...

    def read(self, topic: str, partition: int, start: int, stop: int) -> Iterator[RawBatch]:
        """Committed records of ``[start, stop)``, with keys and headers."""
        ...


class Missing(Exception):  # noqa: N818 - what happened, as a user would say it
    """There is nothing to audit; the text says what is missing."""


class _Horizon(NamedTuple):
    """What was there as the audit began.

    Attributes:
        counts: Topic -> how many partitions.
        floors: Input partition -> committed offset and border; those whose metadata say it.
        folded: Partition of the log -> committed offset.
        alerts: Of each partition of the alerts topic.
        log: Of each partition of the profiles log.
        rejects: Of each partition of the rejects topic.
    """

    counts: dict[str, int]
    floors: dict[Input, tuple[int, int | None]]
    folded: dict[int, int]
    alerts: dict[int, Extent]
    log: dict[int, Extent]
    rejects: dict[int, Extent]


def audit(settings: Settings, topics: Topics) -> Report:
    """Read everything there is and judge it.

    Args:
        settings: Which topics, and detection settings where the log does not hold them any more.
        topics: Of the system.

    Raises:
        Missing: The internal topics do not exist.
    """
    report = Report()
    horizon = _horizon(settings, topics, report)
    ledgers: dict[Input, Ledger] = {}
    following = Following(settings.app)
    for number, extent in horizon.log.items():
        _read_log(settings, topics, horizon, number, extent, ledgers, following, report)
    alerts = Alerts(report)
    for number, extent in horizon.alerts.items():
        batches = topics.read(settings.alerts_topic, number, *extent)
        alerts.read(settings.alerts_topic, number, batches, extent.low > 0)
    rejects = Rejects(report)
    for number, extent in horizon.rejects.items():
        batches = topics.read(settings.rejects_topic, number, *extent)
        rejects.read(settings.rejects_topic, number, batches, extent.low > 0)
    borders = {name: border for name, (_, border) in horizon.floors.items() if border is not None}
    untrimmed = [number for number, extent in horizon.log.items() if extent.low == 0]
    beginnings(ledgers, untrimmed, settings.profiles_topic, report)
    behind(ledgers, borders, horizon.log, settings.profiles_topic, report)
    for name in sorted(ledgers):
        _count(topics, horizon, ledgers[name], rejects, report)
    compare(following, alerts, len(horizon.log), report)
    report.checked.append(
        {
            "what": settings.alerts_topic,
            "partitions": len(horizon.alerts),
            "events": len(alerts.found),
            "repetitions": alerts.messages - len(alerts.found),
            "follow from the log": len(following.events),
            "due": sum(each.due for each in following.events.values()),
        }
    )
    report.settle(alerts.tells)
    return report


def _horizon(settings: Settings, topics: Topics, report: Report) -> _Horizon:
    counts = topics.partitions()
    for name in (settings.profiles_topic, settings.alerts_topic, settings.rejects_topic):
        if name not in counts:
            raise Missing(f"there is no topic {name}; is `app` that of the system to audit?")
    inputs = [(t, n) for t in settings.matching(counts) for n in range(counts[t])]
    parts = range(counts[settings.profiles_topic])
    log = [(settings.profiles_topic, number) for number in parts]
    committed = topics.committed([*inputs, *log])
    floors: dict[Input, tuple[int, int | None]] = {}
    for place in inputs:
        commit = committed.get(place)
        state = _state(place, commit, report)
        if commit is not None and state is not None:
            floors[place] = commit[0], state.closed_through
    if not any(committed.values()):
        report.note(f"group {settings.group} has committed nothing: what is due is not known")
    folded = {place[1]: commit[0] for place in log if (commit := committed.get(place)) is not None}
    return _Horizon(
        counts,
        floors,
        folded,
        alerts=topics.extents(settings.alerts_topic, counts[settings.alerts_topic]),
        log=topics.extents(settings.profiles_topic, counts[settings.profiles_topic]),
        rejects=topics.extents(settings.rejects_topic, counts[settings.rejects_topic]),
    )


def _state(place: Input, commit: tuple[int, str] | None, report: Report) -> CommitState | None:
    try:
        return None if commit is None else CommitState.from_metadata(commit[1])
    except CommitStateError as error:
        report.note(f"{place[0]}[{place[1]}]: {error}")
        return None


def _read_log(
    settings: Settings,
    topics: Topics,
    horizon: _Horizon,
    number: int,
    extent: Extent,
    ledgers: dict[Input, Ledger],
    following: Following,
    report: Report,
) -> None:
    """One pass over a partition of the log: its chains, and the events that follow from it."""
    topic, partitions = settings.profiles_topic, len(horizon.log)
    chains = LogAudit(
        topic, number, partitions, trimmed=extent.low > 0, ledgers=ledgers, report=report
    )
    fold = _fold(settings, topics, horizon, number, extent, following, report)
    due = horizon.folded.get(number, 0)
    for batch in topics.read(topic, number, *extent):
        rows = zip(batch.offsets.tolist(), batch.timestamps.tolist(), batch.values, strict=True)
        for offset, at, value in rows:
            place = Place(topic, number, offset)
            try:
                record = decode(value or b"")
            except LogFormatError as error:
                report.add("log_unreadable", place, str(error))
                continue
            chains.feed(offset, record)
            if fold is not None and offset >= fold.next_offset:
                following.apply(fold, place, at, record, due=offset < due)
    report.checked.append(
        {
            "what": f"{topic}[{number}]",
            "from": extent.low,
            "to": extent.end,
            "profiles": chains.profiles,
            "repeated": chains.repeated,
            "watermarks": chains.watermarks,
        }
    )


def _fold(
    settings: Settings,
    topics: Topics,
    horizon: _Horizon,
    number: int,
    extent: Extent,
    following: Following,
    report: Report,
) -> Fold | None:
    """The detect stage at the oldest point that the log has; None: there is none to begin at."""
    partitions, judges = len(horizon.log), MonitorJudges(settings.app)
    if extent.low == 0:
        return Fold(
            settings.app,
            settings.detection(),
            partition=number,
            partitions=partitions,
            judges=judges,
        )
    name = f"{settings.profiles_topic}[{number}]"
    following.since[number] = None
    try:
        kept, written = _kept(settings, topics, horizon, number)
        fold, offset = Fold.restore(
            settings.app, kept, partition=number, partitions=partitions, judges=judges
        )
    except SnapshotError as error:
        report.note(f"alerts of {name}: the log begins at offset {extent.low}, and {error}")
        return None
    if offset < extent.low:
        report.note(
            f"alerts of {name}: the log begins at offset {extent.low}, the snapshot in "
            f"{settings.state_topic} at {offset}"
        )
        return None
    following.since[number] = written
    report.note(
        f"alerts of {name} from before offset {offset}: the log begins at {extent.low}, so they "
        "are computed from the snapshot at that offset"
    )
    return fold


def _kept(
    settings: Settings, topics: Topics, horizon: _Horizon, number: int
) -> tuple[dict[bytes, bytes], int]:
    """The state topic's partition by key, and when its newest manifest was written."""
    topic = settings.state_topic
    count = horizon.counts.get(topic, 0)
    if number >= count:
        raise SnapshotError(f"there is no partition {number} of {topic}")
    extent = topics.extents(topic, count)[number]
    kept: dict[bytes, bytes] = {}
    written = 0
    for batch in topics.read(topic, number, *extent):
        rows = zip(batch.timestamps.tolist(), batch.keys, batch.values, strict=True)
        for at, key, value in rows:
            if key is not None and value is not None:
                kept[key] = value
                written = at if key == manifest_key(number) else written
    return kept, written


def _count(
    topics: Topics, horizon: _Horizon, ledger: Ledger, rejects: Rejects, report: Report
) -> None:
    """What one input partition adds up to, against its log and the rejects."""
    name = (ledger.topic, ledger.partition)
    for lost in sorted(ledger.lost, key=lambda each: each.start):
        report.declared.append(f"{ledger.name}: offsets {lost.start} to {lost.stop} never read")
    floor = horizon.floors.get(name)
    counts = Counts(ledger, len(horizon.log), floor)
    counts.claims(report)
    facts: dict[str, object] = {
        "what": ledger.name,
        "windows": len(counts.ends),
        "records": counts.records,
        "rejects": counts.rejects,
    }
    report.checked.append(facts)
    if ledger.doubts:
        until = max(until for _, until in ledger.doubts)
        text = f"windows up to {until} are not held against the input, some are lost"
        report.note(f"{ledger.name}: {text}")
    held, low = _input(topics, horizon, ledger, report)
    if held is None:
        return
    counts.windows(held, low, "records", "count_over", report)
    kinds = ("count_over", "count_under")
    span = counts.against(held, low, "records", kinds, report)
    if span is None:
        report.note(f"{ledger.name}: no two borders to hold counts against the input between")
    else:
        facts["against the input from"], facts["to"] = span
    missing_rejects(counts, rejects, held, low, report)


def _input(
    topics: Topics, horizon: _Horizon, ledger: Ledger, report: Report
) -> tuple[Offsets | None, int]:
    """Which offsets of an input partition hold records, and where it begins."""
    count = horizon.counts.get(ledger.topic, 0)
    if ledger.partition >= count:
        report.note(f"{ledger.name}: the input is gone, counts are not held against it")
        return None, 0
    if topics.compacted(ledger.topic):
        report.note(f"{ledger.name}: the input is compacted, counts are not held against it")
        return None, 0
    extent = topics.extents(ledger.topic, count)[ledger.partition]
    stop = min(extent.end, ledger.stop)
    if stop <= extent.low:
        report.note(f"{ledger.name}: the input no longer holds what was counted")
        return None, extent.low
    return Offsets(topics.read(ledger.topic, ledger.partition, extent.low, stop)), extent.low
