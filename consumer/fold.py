"""The detect stage of one partition of the ``<app>-profiles`` log: records in, alert events out.

A fold over an ordered log: no I/O, no clock, nothing random. The time in an event is event time, or
within a silence the wall time of idle marks in the log; nothing in it depends on how closings were
joined into watermark records, which differs from run to run.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from operator import attrgetter
from typing import Final, NamedTuple

from alerts.commands import Command, event_of
from alerts.events import Event, owned
from alerts.notices import heartbeat
from consumer import snapshots
from consumer.completeness import Completeness, Held
from consumer.evidence import Evidence
from consumer.given_baselines import ArrivingBaselines, kept_messages
from consumer.judges import Judges, ModelJudge, Standing, TopicJudge
from consumer.log import (
    BaselineRecord,
    CommandRecord,
    LogRecord,
    ProfileRecord,
    SettingsRecord,
    WatermarkRecord,
    log_partition,
    settings_digest,
)
from consumer.log_borders import LogBorders, Loss
from consumer.silence import Silence
from consumer.snapshots import FoldState, ModelPart, TopicPart
from sketches.coverage import Coverage
from sketches.detection import DetectionSettings

HEARD: Final = 1_000  # ids of commands that are remembered


class TopicProgress(NamedTuple):
    """How far one input topic is, for metrics and for the alignment of readers.

    Attributes:
        folded: Every window that ends at or before it has been judged; None: none yet.
        slowest: Last border of the slowest active input partition; None: none is active, or an
            active one has no border.
        borders: Input partition -> its last border.
        states: Input partition -> ``active``, ``idle`` or ``stalled``.
        missing: Partitions that have not spoken yet; no window is complete before.
        waiting: Windows closed by some partitions and not by all.
        oldest: End of the earliest of these; None: none waits. A partition with a border far beyond
            it is one to hold back.
        models: Models known.
    """

    folded: int | None
    slowest: int | None
    borders: dict[int, int | None]
    states: dict[int, str]
    missing: int
    waiting: int
    oldest: int | None
    models: int


class Given(NamedTuple):
    """A given baseline that came through the log.

    Attributes:
        id: Its id.
        topic: Input topic.
        model: Model.
        since: End of the last window folded before it took effect; None: none was.
        why: Empty: it took effect; else why it cannot be read.
    """

    id: str
    topic: str
    model: str
    since: int | None
    why: str


class _Model:
    __slots__ = ("evidence", "judge", "silence")

    def __init__(self, judge: ModelJudge, silence: Silence | None, evidence: Evidence) -> None:
        self.judge = judge
        self.silence = silence  # None: it never had a readable record
        self.evidence = evidence


class _Topic:
    __slots__ = ("alarm", "beat", "judge", "limited", "models", "windows")

    def __init__(self, judge: TopicJudge, windows: Completeness) -> None:
        self.judge = judge
        self.windows = windows
        self.models: dict[str, _Model] = {}
        self.limited: set[str] = set()
        self.alarm: int | None = None  # no model is silent for too long before it
        self.beat: int | None = None  # event time of the last heartbeat, told or due


class Fold:
    """One partition of the log, folded record by record.

    Args:
        app: Name of the application, part of incident ids.
        settings: Detection settings that hold until the log brings others.
        partition: Number of this partition of the log.
        partitions: How many partitions the log has. What concerns a whole input topic stands in all
            of them, and is told by one.
        judges: Makes the part that judges a model; another one in tests.
    """

    def __init__(
        self,
        app: str,
        settings: DetectionSettings,
        *,
        partition: int = 0,
        partitions: int = 1,
        judges: Judges,
    ) -> None:
        self.app = app
        self.partition = partition
        self.partitions = partitions
        self.settings = settings
        self.next_offset = 0  # of the log: the first one not applied
        self._digest = settings_digest(settings)
        self._judges = judges
        self._borders = LogBorders()
        self._topics: dict[str, _Topic] = {}
        self._generation = 0
        self._arriving = ArrivingBaselines()
        self._given: list[Given] = []
        self._kept: list[tuple[bytes, bytes]] = []  # of baselines, for the state topic
        self._commands: list[Command] = []  # those that hold for models to come as well
        self._heard: list[str] = []  # ids of the last commands

    def apply(self, offset: int, record: LogRecord) -> list[Event]:
        """Fold one record of the log.

        Args:
            offset: Its offset; one that has been applied does nothing.
            record: Decoded.

        Returns:
            The events that follow, in order; the same ones whenever the same log is folded.
        """
        if offset < self.next_offset:
            return []
        self.next_offset = offset + 1
        if isinstance(record, ProfileRecord):
            self._borders.hold(record)
            return []
        if isinstance(record, SettingsRecord):
            self._settle(record)
            return []
        if isinstance(record, BaselineRecord):
            self._give(record)
            return []
        if isinstance(record, CommandRecord):
            return self._owned(self._command(record.command))
        return self._owned(self._close(record))

    def progress(self) -> dict[str, TopicProgress]:
        """How far each input topic is."""
        facts = {}
        for name, topic in self._topics.items():
            state = topic.windows.state
            facts[name] = TopicProgress(
                folded=state.folded,
                slowest=topic.windows.slowest(),
                borders={p: said.through for p, said in sorted(state.inputs.items())},
                states={p: said.state for p, said in sorted(state.inputs.items())},
                missing=state.partitions - len(state.inputs),
                waiting=len(state.waiting),
                oldest=topic.windows.oldest,
                models=len(topic.models),
            )
        return facts

    def standings(self) -> dict[tuple[str, str], Standing]:
        """(topic, model) -> how it stands."""
        return {
            (name, model): each.judge.standing()._replace(
                silent=each.silence is not None and each.silence.told
            )
            for name, topic in self._topics.items()
            for model, each in topic.models.items()
        }

    def coverage(self) -> dict[tuple[str, str], list[Coverage]]:
        """(topic, model) -> what is seen of each of its versions and segments."""
        return {
            (name, model): each.judge.coverage()
            for name, topic in self._topics.items()
            for model, each in topic.models.items()
        }

    @property
    def repeated(self) -> int:
        """Repetitions in the log, profiles and watermarks, dropped so far."""
        return self._borders.repeated

    @property
    def waiting_bytes(self) -> int:
        """Bytes of profiles that wait for their watermark, or for other partitions."""
        windows = sum(topic.windows.waiting_bytes for topic in self._topics.values())
        return self._borders.waiting + windows

    def snapshot(self, offset: int) -> list[tuple[bytes, bytes]]:
        """Everything this fold knows, as messages for the compacted state topic, in order.

        Args:
            offset: The log offset to go on from, at or after the record applied last.

        Raises:
            ValueError: ``offset`` has been applied.
        """
        if offset < self.next_offset:
            raise ValueError(f"a snapshot at {offset}, but {self.next_offset - 1} has been applied")
        self._generation += 1
        kept, self._kept = self._kept, []
        state = FoldState(
            v=snapshots.FORMAT_VERSION,
            app=self.app,
            partition=self.partition,
            partitions=self.partitions,
            settings=self.settings,
            digest=self._digest,
            borders=self._borders.state(),
            topics={name: _topic_part(topic) for name, topic in self._topics.items()},
            arriving=self._arriving.waiting(),
            commands=self._commands,
            heard=self._heard,
        )
        return kept + snapshots.to_messages(state, offset, self._generation)

    @classmethod
    def restore(
        cls,
        app: str,
        messages: Mapping[bytes, bytes],
        *,
        partition: int = 0,
        partitions: int = 1,
        judges: Judges,
    ) -> tuple[Fold, int]:
        """A fold that goes on exactly where the newest whole snapshot was taken.

        Args:
            app: Name of the application.
            messages: Key -> last value of the state topic's partition.
            partition: Number of this partition of the log.
            partitions: How many partitions the log has.
            judges: As for ``Fold``.

        Returns:
            The fold, and the log offset to go on from.

        Raises:
            snapshots.SnapshotError: There is none, or none that this release can use; the fold is
                then rebuilt from the log.
        """
        state, offset, generation = snapshots.from_messages(messages, partition)
        if (state.app, state.partitions) != (app, partitions):
            raise snapshots.SnapshotError(
                f"the snapshot is of {state.app!r} with {state.partitions} partitions of the log, "
                f"this is {app!r} with {partitions}"
            )
        fold = cls(app, state.settings, partition=partition, partitions=partitions, judges=judges)
        fold.next_offset = offset
        fold._digest = state.digest
        fold._generation = generation
        fold._borders = LogBorders.restore(state.borders)
        fold._arriving = ArrivingBaselines(state.arriving)
        fold._commands, fold._heard = list(state.commands), list(state.heard)
        try:
            for name, part in state.topics.items():
                fold._topics[name] = fold._restored(name, part)
        except (ValueError, TypeError, KeyError, LookupError) as error:
            raise snapshots.SnapshotError(
                f"the state of a model cannot be read: {error}"
            ) from error
        return fold, offset

    def _restored(self, name: str, part: TopicPart) -> _Topic:
        topic = _Topic(self._judges.restored_topic(name, part.judge), Completeness(part.windows))
        topic.limited = set(part.limited)
        topic.alarm, topic.beat = part.alarm, part.beat
        for model, each in part.models.items():
            judge = self._judges.restored_model(name, model, self.settings, each.judge)
            topic.models[model] = _Model(judge, each.silence, each.evidence)
        return topic

    def _settle(self, record: SettingsRecord) -> None:
        if record.digest == self._digest:
            return
        self._digest = record.digest
        self.settings = record.settings
        for topic in self._topics.values():
            topic.alarm = None
            for model in topic.models.values():
                model.judge.settle(record.settings)
                if model.silence is not None:
                    _lower(topic, model.silence.deadline(record.settings.learn_for))

    def _owned(self, events: list[Event]) -> list[Event]:
        """Whom each concerns is said here, for all that judges tell now and later."""
        if not self.settings.owners:
            return events
        return [owned(event, self.settings.ownership(event.model)) for event in events]

    def _command(self, command: Command) -> list[Event]:
        """Every partition acts on it, one tells of it; sent twice, it counts once."""
        if command.id in self._heard:
            return []
        self._heard = [*self._heard[-HEARD:], command.id]
        now = min((t.windows.state.folded or 0 for t in self._topics.values()), default=0)
        self._commands = [
            each for each in self._commands if not each.is_over(now) and each.id != command.ends
        ]
        if command.kind in ("silence", "expect"):
            self._commands.append(command)
        events: list[Event] = []
        if log_partition(command.id, "", self.partitions) == self.partition:
            events.append(event_of(self.app, command))
        for name, topic in self._topics.items():
            for model_name, model in topic.models.items():
                if command.concerns(name, model_name):
                    events += model.judge.command(command, model.evidence.ranges)
        return events

    def take_given(self) -> list[Given]:
        """The baselines that came since the last call."""
        taken, self._given = self._given, []
        return taken

    def _give(self, record: BaselineRecord) -> None:
        """A baseline, once all its parts are there, holds from the next window on."""
        arrived = self._arriving.add(record)
        if arrived is None:
            return
        topic = self._topic(record.topic)
        since = topic.windows.state.folded
        if arrived.baseline is not None:
            self._model(record.topic, topic, record.model).judge.give(arrived.baseline)
            self._kept += kept_messages(arrived.records, self.partition, since)
        self._given.append(Given(record.id, record.topic, record.model, since, arrived.why))

    def _topic(self, name: str) -> _Topic:
        topic = self._topics.get(name)
        if topic is None:
            topic = self._topics[name] = _Topic(self._judges.topic(name), Completeness())
        return topic

    def _model(self, name: str, topic: _Topic, model_name: str) -> _Model:
        model = topic.models.get(model_name)
        if model is None:
            judge = self._judges.model(name, model_name, self.settings)
            model = topic.models[model_name] = _Model(judge, None, Evidence())
            for command in self._commands:  # what operators said of such ones holds for it too
                if command.concerns(name, model_name):
                    judge.command(command, model.evidence.ranges)
        return model

    def _close(self, record: WatermarkRecord) -> list[Event]:
        name = record.topic
        topic = self._topic(name)
        step = self._borders.close(record)
        events: list[Event] = []
        speaks = log_partition(name, "", self.partitions) == self.partition
        for loss in step.losses:
            if speaks or loss.reason != "offsets":
                events += topic.judge.loss(loss)
        for limit in sorted(record.limited.keys() - topic.limited):
            topic.limited.add(limit)
            if speaks:
                events += topic.judge.limit(limit, record.through)
        topic.windows.hear(record, step)
        border = topic.windows.border()
        if border is not None:
            while (taken := topic.windows.take(border)) is not None:
                events += self._window(name, topic, *taken)
            topic.windows.passed(border)
        now = topic.windows.quiet()
        if now is None:
            now = topic.windows.state.folded
        if now is not None:
            events += self._silent(topic, now)
            events += self._beats(name, topic, now)
        return events

    def _window(self, name: str, topic: _Topic, end: int, held: list[Held]) -> list[Event]:
        """Judge one complete window; ``held`` is sorted by model, then input partition."""
        window = max(each.window for each in held)
        events = self._silent(topic, end - window)
        if topic.beat is None:
            topic.beat = end - window
        events += self._beats(name, topic, end - window)
        models = [list(mine) for _, mine in groupby(held, key=attrgetter("model"))]
        for mine, read in zip(models, self._judges.read_all(models), strict=True):
            model = self._model(name, topic, mine[0].model)
            for each in read.unread:
                events += topic.judge.loss(_unread(name, end, window, each))
            if read.records:
                if model.silence is None:
                    model.silence = Silence(end, end)
                if model.silence.told:
                    since = model.silence.last
                    events += model.judge.data_back(since, max(since, end - window))
                model.silence.data(end)
                _lower(topic, model.silence.deadline(self.settings.learn_for))
            model.evidence.add(
                end - window, end, ((each.partition, each.first, each.last) for each in mine)
            )
            events += model.judge.fold(end, window, read, model.evidence.ranges)
        return events

    def _beats(self, name: str, topic: _Topic, now: int) -> list[Event]:
        """A heartbeat for each multiple of its period that ``now`` has passed.

        Every one of them, whatever ``now`` skipped: which borders come depends on how closings were
        joined, which multiples lie below them does not.
        """
        every, events = self.settings.heartbeat_every, []
        if every is None or topic.beat is None or not topic.models:
            return []
        for at in range((topic.beat // every + 1) * every, now + 1, every):
            topic.beat = at
            count = sum(model.judge.standing().open for model in topic.models.values())
            models = len(topic.models)
            events.append(heartbeat(self.app, name, self.partition, at, every, models, count))
        return list(events)

    def _silent(self, topic: _Topic, now: int) -> list[Event]:
        """Tell of the models that have been silent for too long at ``now``, by when they were."""
        if topic.alarm is None or now <= topic.alarm:
            return []
        learn_for = self.settings.learn_for
        due = []
        topic.alarm = None
        for name, model in topic.models.items():
            if model.silence is None or model.silence.told:
                continue
            deadline = model.silence.deadline(learn_for)
            if deadline < now:
                due.append((deadline, name, model.judge, model.silence))
            else:
                _lower(topic, deadline)
        events: list[Event] = []
        for deadline, _, judge, silence in sorted(due, key=lambda each: each[:2]):
            silence.told = True
            events += judge.no_data(silence.last, deadline)
        return events


def _lower(topic: _Topic, deadline: int) -> None:
    if topic.alarm is None or deadline < topic.alarm:
        topic.alarm = deadline


def _unread(topic: str, end: int, window: int, held: Held) -> Loss:
    return Loss(topic, held.partition, "unreadable", end, since=end - window, until=end)


def _topic_part(topic: _Topic) -> TopicPart:
    return TopicPart(
        windows=topic.windows.state,
        judge=topic.judge.state(),
        limited=sorted(topic.limited),
        alarm=topic.alarm,
        beat=topic.beat,
        models={
            name: ModelPart(model.judge.state(), model.silence, model.evidence)
            for name, model in topic.models.items()
        },
    )
