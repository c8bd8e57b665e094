"""What must come out, known from the seeded generator alone, and whether it did."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import orjson

from bench.records import Load, generate
from consumer import rejects
from consumer.audit import audit
from consumer.audit_topics import KafkaTopics
from consumer.fold import Fold
from consumer.judging import MonitorJudges
from consumer.log import ProfileRecord, WatermarkRecord, decode
from consumer.snapshots import FoldState, SnapshotError, from_messages
from tests.worker_runs import App

LARGEST: Final = 100_000  # bytes of a record, as configured
_DEEP: Final = b'{"features": {"a": ' + b"[" * 40 + b"]" * 40 + b"}}"
POISON: Final[dict[str, bytes | None]] = {
    rejects.JSON_SYNTAX: b'{"event_time": 1767225600000, "features": {',
    rejects.TOMBSTONE: None,
    rejects.EMPTY: b"",
    rejects.TOO_LARGE: b'{"features": {"a": "' + b"a" * LARGEST + b'"}}',
    rejects.ENCODING: b'{"model": "\xff\xfe"}',
    rejects.NUMBER_RANGE: b'{"features": {"a": 1e999}}',
    rejects.TOO_DEEP: _DEEP,
    rejects.NOT_AN_OBJECT: b"[1, 2, 3]",
    rejects.FEATURES_NOT_AN_OBJECT: b'{"model": "m", "features": 7}',
    rejects.MODEL_NOT_A_NAME: b'{"model": ["m"], "features": {"a": 1}}',
    rejects.VERSION_NOT_A_NAME: b'{"model": "m", "version": [1], "features": {"a": 1}}',
}


class Made(NamedTuple):
    """One record of the load; ``reason``: why it must be rejected, None: it must not."""

    partition: int
    when: int
    value: bytes | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class Plan:
    """What is fed in a run.

    Attributes:
        load: Of the generator.
        partitions: Of the input topic as it begins.
        grown: Partitions of it after ``grows_at`` records.
        grows_at: None: never.
        poison: Every record that cannot be read has another reason than the one before.
    """

    load: Load
    partitions: int = 4
    grown: int = 4
    grows_at: int | None = None
    poison: bool = False

    def records(self) -> list[Made]:
        """The whole load in order of writing."""
        return list(self._made())

    def _made(self) -> Iterator[Made]:
        reasons = list(POISON) if self.poison else [rejects.JSON_SYNTAX]
        every = 41 if self.poison else 97
        for number, (when, value) in enumerate(generate(self.load)):
            grown = self.grows_at is not None and number >= self.grows_at
            place = number % (self.grown if grown else self.partitions)
            if number % every == every - 1:
                reason = reasons[number // every % len(reasons)]
                yield Made(place, when, POISON[reason], reason)
            else:
                yield Made(place, when, value, None)


class Outcome(NamedTuple):
    """What a run has to be held against.

    Attributes:
        app: With its topics.
        fed: All that was written.
        wanted: Events of the undisturbed run by id; None: this fault may change them.
        lost: Input partition -> records that are declared lost.
        holes: Partition and offset of what the input holds beside the load: aborted, and markers.
    """

    app: App
    fed: Sequence[Made]
    wanted: dict[str, bytes] | None
    lost: dict[int, int]
    holes: frozenset[tuple[int, int]] = frozenset()

    def placed(self) -> Iterator[tuple[Made, int]]:
        """Each record that was written, and its offset."""
        ends: Counter[int] = Counter()
        for made in self.fed:
            while (made.partition, ends[made.partition]) in self.holes:
                ends[made.partition] += 1
            yield made, ends[made.partition]
            ends[made.partition] += 1


def violations(outcome: Outcome) -> list[str]:
    """All that is not as it must be, once all workers have ended; empty: nothing.

    Raises:
        RuntimeError: The input is not what was to be written: the run says nothing.
    """
    with outcome.app.at_rest():
        return _violations(outcome)


def _violations(outcome: Outcome) -> list[str]:
    told: list[str] = []
    _see_input(outcome)
    checks: list[Callable[[Outcome], list[str]]] = [_audited, _counts, _rejects, _alerts, _states]
    if outcome.app.settings.delivery == "exactly_once":
        checks.append(_each_once)
    for check in checks:
        try:
            told += check(outcome)
        except (AssertionError, SnapshotError) as error:
            told.append(f"{check.__name__[1:]}: {error}")
    return told


def _see_input(outcome: Outcome) -> None:
    """The topic is as it was generated: else nothing can be concluded.

    A broker that is killed may forget what its idempotent producers wrote, and take it twice.
    """
    found = {(m.partition, m.offset): m.value for m in outcome.app.read(outcome.app.topic)}
    lows = {number: min(o for n, o in found if n == number) for number in outcome.lost}
    missing = 0
    for made, offset in outcome.placed():
        if offset >= lows.get(made.partition, 0):
            missing += found.pop((made.partition, offset), b"none") != made.value
    if found or missing:
        why = f"{missing} records missing, {len(found)} others"
        raise RuntimeError(f"the input topic is not as generated: {why}")


def audited(app: App, *, loses: bool = False) -> list[str]:
    """What an audit of all topics finds, of a system that runs or has stopped.

    Args:
        app: Whose topics.
        loses: Records were taken from it: that must have been declared.
    """
    report = audit(app.settings, KafkaTopics(app.settings))
    told = [f"audit: {one.kind}: {one.text}; look at {one.place}" for one in report.violations]
    if loses and not report.declared:
        told.append("audit: a loss that no data_loss event declares")
    return told


def _audited(outcome: Outcome) -> list[str]:
    return audited(outcome.app, loses=bool(outcome.lost))


def _counts(outcome: Outcome) -> list[str]:
    """I1 and I2: every record in one profile, by partition."""
    made = Counter(one.partition for one in outcome.fed)
    counted = outcome.app.counted()
    return [
        f"partition {number}: {counted.get(number, 0)} records counted, {count} written"
        for number, count in sorted(made.items())
        if not count - outcome.lost.get(number, 0) <= counted.get(number, 0) <= count
    ]


def _rejects(outcome: Outcome) -> list[str]:
    """Each record that cannot be read is told of, with its reason, and no other one."""
    wanted = {
        f"{outcome.app.topic}/{made.partition}/{offset}": made.reason
        for made, offset in outcome.placed()
        if made.reason is not None
    }
    found: dict[str, str] = {}
    for message in outcome.app.read(outcome.app.settings.rejects_topic):
        found[(message.key or b"").decode()] = orjson.loads(message.value or b"{}")["reason"]
    wrong = [name for name, why in found.items() if wanted.get(name) != why]
    absent = [name for name in wanted if name not in found and not outcome.lost]
    told = [f"reject {name}: told {found[name]}, is {wanted.get(name)}" for name in wrong[:5]]
    return told + [f"reject {name} ({wanted[name]}) is not told" for name in absent[:5]]


def _alerts(outcome: Outcome) -> list[str]:
    """I3: the events of the undisturbed run, to the byte."""
    found, wanted = outcome.app.alerts(), outcome.wanted
    if wanted is None or found == wanted:
        return []
    if outcome.holes:  # all of the input behind them has other offsets than in the undisturbed run
        found, wanted = ({k: _placeless(v) for k, v in of.items()} for of in (found, wanted))
    told = [f"event missing: {wanted[name]!r}" for name in wanted.keys() - found.keys()]
    told += [f"event too many: {found[name]!r}" for name in found.keys() - wanted.keys()]
    both = [name for name in wanted.keys() & found.keys() if wanted[name] != found[name]]
    return told + [f"event differs: {wanted[n]!r} became {found[n]!r}" for n in both]


def _placeless(event: bytes) -> bytes:
    """An event without the offsets of its evidence."""
    told = orjson.loads(event)
    told.get("evidence", {}).pop("ranges", None)
    if "text" in told:
        told["text"] = told["text"].partition(" Evidence: ")[0]
    return orjson.dumps(told)


def _states(outcome: Outcome) -> list[str]:
    """I4: the last snapshots are what a fold of the log from its beginning knows there."""
    app, settings = outcome.app, outcome.app.settings
    log = [(settings.profiles_topic, number) for number in range(2)]
    commits = KafkaTopics(settings).committed(log)
    told = []
    for place in log:
        number = place[1]
        kept = {
            message.key: message.value
            for message in app.read(settings.state_topic)
            if message.partition == number and message.key is not None
        }
        found, offset, _ = from_messages({k: v for k, v in kept.items() if v is not None}, number)
        commit = commits[place]
        if commit is None or commit[0] != offset:
            told.append(f"state of {number}: stands at {offset}, committed is {commit}")
        fold = Fold(
            settings.app,
            settings.detection(),
            partition=number,
            partitions=len(log),
            judges=MonitorJudges(settings.app),
        )
        for message in app.read(settings.profiles_topic):
            if message.partition == number and message.offset < offset:
                fold.apply(message.offset, decode(message.value or b""))
        wanted, *_ = from_messages(dict(fold.snapshot(offset)), number)
        told += [
            f"state of {number}: {name} is not what follows from the log"
            for name in FoldState.__struct_fields__
            if getattr(found, name) != getattr(wanted, name)
        ]
    return told


def _each_once(outcome: Outcome) -> list[str]:
    """I8: a reader with ``read_committed`` sees every result once.

    Rejects are told as they are read, before their window is closed: a restart tells them again.
    """
    app = outcome.app
    names: Counter[tuple[Any, ...]] = Counter()
    for number, records in app.log().items():
        for one in records:
            if isinstance(one, ProfileRecord):
                names[one.partition, one.end, one.model, one.version, one.segment, one.part] += 1
            elif isinstance(one, WatermarkRecord) and one.through != one.previous:
                names["watermark", number, one.partition, one.through] += 1
    for message in app.read(app.settings.alerts_topic):
        names["event", orjson.loads(message.value or b"{}")["id"]] += 1
    return [f"{count} times: {name}" for name, count in names.most_common(5) if count > 1]
