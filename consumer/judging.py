"""The judges of the worker and of replay: profiles to monitors, their reports to incidents."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

import msgspec

from alerts import notices
from alerts.commands import ANY, Command
from alerts.events import Event
from alerts.incidents import Context, IncidentBook
from consumer.completeness import Held
from consumer.judges import Moved, Ranges, Read, Standing
from consumer.log_borders import Loss
from sketches import codec, profile
from sketches.coverage import Coverage
from sketches.detection import DetectionSettings
from sketches.given import GivenBaseline
from sketches.monitor import ModelMonitor
from sketches.profile import Profile
from sketches.report import MonitorReport, StreamBudget

_TOGETHER = 2**18  # bytes of profiles that are decoded at once
RETIRED = 86_400_000_000  # microseconds of the model's data without a record of a version, segment
_NONE = Standing(0, 0, 0, 0.0, 0, 0, ())  # before the first window


class _Kept(msgspec.Struct, frozen=True, array_like=True):
    monitor: bytes
    book: bytes
    versions: dict[str, int | None] = {}
    last: Standing = _NONE
    lived: int = 0
    seen: list[tuple[str, str, int]] = []


class MonitoredModel:
    """One model: the monitor sees changes, the book makes incidents of them.

    Args:
        monitor: Of the model.
        book: Of its incidents.
        versions: Version -> start of its first window; None: as old as the model itself.
        remind_every: As in the detection settings.
        last: How it stood after the last window.
    """

    def __init__(
        self,
        monitor: ModelMonitor,
        book: IncidentBook,
        versions: dict[str, int | None] | None = None,
        remind_every: int | None = None,
        last: Standing = _NONE,
    ) -> None:
        self._monitor = monitor
        self._book = book
        self._versions = versions or {}
        self._remind_every = remind_every
        self._last = last
        self._lived = 0  # microseconds of windows with data
        self._seen: dict[tuple[str, str], int] = {}  # version, segment -> that, at its last record

    def fold(self, end: int, window: int, read: Read, ranges: Ranges) -> list[Event]:
        """As ``ModelJudge.fold``."""
        for accepted in self._book.accepted(end - window):
            self._accept(accepted, end - window)
        report = self._monitor.fold(end, window, read.profiles)
        learned = min((part for *_, part in report.learning), default=1.0)
        self._last = Standing(read.records, window, end, learned, report.watched, 0, ())
        since = end - window if self._versions else None
        for version, _ in read.profiles:
            self._versions.setdefault(version, since)
        report = self._without_retired(report, read, window)
        return list(self._book.apply(report, self._context(ranges)))

    def _without_retired(self, report: MonitorReport, read: Read, window: int) -> MonitorReport:
        """What is changed in records that come no more is not watched any longer.

        A silent model retires nothing: only windows with data count.
        """
        self._lived += window
        for part in read.profiles:
            self._seen[part] = self._lived
        gone = {
            (version, segment)
            for version, segment, feature, _ in report.active
            if feature  # else it is of the model as a whole
            and self._lived - self._seen.setdefault((version, segment), self._lived) >= RETIRED
        }
        for version, segment in sorted(gone):
            self._monitor.retire(version, segment)
        if not gone:
            return report
        active = tuple(key for key in report.active if not key[2] or key[:2] not in gone)
        return msgspec.structs.replace(report, active=active)

    def budgets(self) -> tuple[StreamBudget, ...]:
        """How each version and segment keeps to its budget."""
        return self._monitor.budgets()

    def command(self, command: Command, ranges: Ranges) -> list[Event]:
        """As ``ModelJudge.command``."""
        return list(self._book.command(command, self._context(ranges)))

    def _context(self, ranges: Ranges) -> Context:
        deployed = {name: at for name, at in self._versions.items() if at is not None}
        return Context(ranges, self._last.watched or None, deployed, self._remind_every)

    def _accept(self, command: Command, start: int) -> None:
        match = command.match
        whole = match.version == match.segment == ANY

        def chosen(name: tuple[str, str] | None) -> bool:
            if name is None:
                return whole
            return fnmatchcase(name[0], match.version) and fnmatchcase(name[1], match.segment)

        for version, segment in self._monitor.relearn(start, chosen):
            self._book.accept(version, segment)

    def no_data(self, since: int, at: int) -> list[Event]:
        """As ``ModelJudge.no_data``."""
        return list(self._book.no_data(since, at))

    def data_back(self, since: int, at: int) -> list[Event]:
        """As ``ModelJudge.data_back``."""
        return list(self._book.data_back(since, at))

    def settle(self, settings: DetectionSettings) -> None:
        """As ``ModelJudge.settle``: what is known is kept, and judged by other settings."""
        self._monitor.apply_settings(settings)
        self._remind_every = settings.remind_every

    def give(self, baseline: GivenBaseline) -> None:
        """As ``ModelJudge.give``."""
        self._monitor.give(baseline)

    def standing(self) -> Standing:
        """As ``ModelJudge.standing``."""
        moved = tuple(Moved(each.feature, each.signal, each.score) for each in self._book.changed)
        return self._last._replace(open=self._book.open, moved=moved)

    def coverage(self) -> list[Coverage]:
        """As ``ModelJudge.coverage``."""
        return self._monitor.coverage()

    def state(self) -> bytes:
        """As ``ModelJudge.state``."""
        return msgspec.msgpack.encode(
            _Kept(
                self._monitor.state(),
                self._book.state(),
                self._versions,
                self._last,
                self._lived,
                [(*part, at) for part, at in self._seen.items()],
            )
        )


class TopicNotices:
    """Events about a topic as a whole; each says all of it, so there is no state."""

    def __init__(self, app: str, topic: str) -> None:
        self._app = app
        self._topic = topic

    def loss(self, loss: Loss) -> list[Event]:
        """As ``TopicJudge.loss``."""
        return [notices.data_loss(self._app, loss)]

    def limit(self, name: str, at: int | None) -> list[Event]:
        """As ``TopicJudge.limit``."""
        return [notices.limit_reached(self._app, self._topic, name, at)]

    def state(self) -> bytes:
        """Nothing."""
        return b""


class MonitorJudges:
    """Makes the judges of every model and topic.

    Args:
        app: Name of the application, part of what incidents are known by.
    """

    def __init__(self, app: str) -> None:
        self._app = app

    def read_all(self, models: Iterable[Sequence[Held]]) -> Iterator[Read]:
        """As ``Judges.read_all``."""
        some: list[Sequence[Held]] = []
        size = 0
        for held in models:
            some.append(held)
            size += sum(len(payload) for each in held for payload in each.payloads)
            if size > _TOGETHER:
                yield from _read(some)
                some, size = [], 0
        yield from _read(some)

    def model(self, topic: str, model: str, settings: DetectionSettings) -> MonitoredModel:
        """As ``Judges.model``."""
        monitor = ModelMonitor(settings, topic, model)
        book = IncidentBook(topic, model, self._app)
        return MonitoredModel(monitor, book, remind_every=settings.remind_every)

    def topic(self, topic: str) -> TopicNotices:
        """As ``Judges.topic``."""
        return TopicNotices(self._app, topic)

    def restored_model(
        self, topic: str, model: str, settings: DetectionSettings, state: bytes
    ) -> MonitoredModel:
        """As ``Judges.restored_model``."""
        kept = msgspec.msgpack.decode(state, type=_Kept)
        book = IncidentBook.restore(kept.book)
        if (book.topic, book.model) != (topic, model):
            raise ValueError(f"the state is of model {book.model!r} of topic {book.topic!r}")
        monitor = ModelMonitor.restore(settings, kept.monitor)
        found = MonitoredModel(monitor, book, kept.versions, settings.remind_every, kept.last)
        found._lived = kept.lived
        found._seen = {(version, segment): at for version, segment, at in kept.seen}
        return found

    def restored_topic(self, topic: str, state: bytes) -> TopicNotices:
        """As ``Judges.restored_topic``."""
        del state
        return self.topic(topic)


def _read(models: Sequence[Sequence[Held]]) -> list[Read]:
    """Profiles of some models, decoded and merged at once."""
    decoded = iter(codec.decode_all([each.payloads for held in models for each in held]))
    found: list[dict[tuple[str, str], list[Profile]]] = []
    unread: list[list[Held]] = []
    for held in models:
        found.append({})
        unread.append([])
        for each in held:
            one = next(decoded)
            if one is None:
                unread[-1].append(each)
                continue
            if each.late:
                one = replace(one, late=max(one.late, one.records))
            found[-1].setdefault((each.version, each.segment), []).append(one)
    merged = iter(profile.merge_all([of[name] for of in found for name in sorted(of)]))
    reads = []
    for held, of, lost in zip(models, found, unread, strict=True):
        profiles = {name: next(merged) for name in sorted(of)}
        records = sum(one.records for one in profiles.values())
        reads.append(Read(held, records, profiles, lost))
    return reads
