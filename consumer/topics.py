"""The internal topics: what they are to be like, making them, and whether they are so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal, NamedTuple, Protocol

from consumer.durations import DAY, MILLISECOND, format_duration
from consumer.kafka_errors import KafkaProblem, explain
from consumer.settings import Settings

_DAY_MS: Final = DAY // MILLISECOND
SMALLEST_MESSAGE_LIMIT: Final = 524_288  # a part of a profile or a snapshot and its frame
BROKER_DEFAULT: Final = -1


class TopicSpec(NamedTuple):
    """A topic as it is to be; ``replication`` -1 is the broker's default."""

    name: str
    partitions: int
    replication: int
    config: Mapping[str, str]


class Admin(Protocol):
    """What is asked of a cluster. Every call may raise ``KafkaProblem``."""

    def topics(self) -> dict[str, int]:
        """Number of partitions of every topic that this user may see."""
        ...

    def topic_config(self, name: str) -> dict[str, str]:
        """The settings of a topic that hold, defaults included."""
        ...

    def create_topics(self, specs: Sequence[TopicSpec]) -> dict[str, KafkaProblem | None]:
        """Make topics; for each what went wrong."""
        ...


class Difference(NamedTuple):
    """One setting of an existing topic that is not as it should be.

    ``grave``: results would be wrong or lost; otherwise it only costs something.
    """

    setting: str
    found: str
    wanted: str
    grave: bool
    why: str

    def __str__(self) -> str:
        return f"{self.setting} is {self.found}, should be {self.wanted}: {self.why}"


def specs(settings: Settings) -> tuple[TopicSpec, ...]:
    """The four internal topics."""
    copies = settings.topics.replication_factor or BROKER_DEFAULT
    many = settings.topics.profile_partitions
    state = {
        "cleanup.policy": "compact",
        "segment.bytes": str(32 * 1_024 * 1_024),
        "min.cleanable.dirty.ratio": "0.1",
    }
    return (
        _spec(settings.profiles_topic, many, copies, _kept(7)),
        _spec(settings.alerts_topic, 3, copies, _kept(30)),
        _spec(settings.state_topic, many, copies, state),
        _spec(settings.rejects_topic, 3, copies, _kept(7)),
    )


def _kept(days: int) -> dict[str, str]:
    return {"cleanup.policy": "delete", "retention.ms": str(days * _DAY_MS)}


def _spec(name: str, partitions: int, copies: int, config: dict[str, str]) -> TopicSpec:
    return TopicSpec(name, partitions, copies, config | {"message.timestamp.type": "LogAppendTime"})


_WHY: Final = {
    "cleanup.policy": "with another policy streamgauge's data are deleted or kept for ever",
    "message.timestamp.type": "a backfill writes old times, and would be deleted at once",
    "retention.ms": "data go after another time than the documentation says",
    "segment.bytes": "compaction of the state comes late, and a restart reads more",
    "min.cleanable.dirty.ratio": "compaction of the state comes late, and a restart reads more",
}


def differences(spec: TopicSpec, found: Mapping[str, str]) -> list[Difference]:
    """Settings of an existing topic that are not those of its spec; unknown ones are left out."""
    wrong: list[Difference] = []
    for setting, wanted in spec.config.items():
        has = found.get(setting)
        if has is None or _same(has, wanted):
            continue
        # Deleting later than wanted costs space; sooner, or for ever in place of compaction, data.
        grave = setting in ("cleanup.policy", "message.timestamp.type") or (
            setting == "retention.ms" and _shorter(has, wanted)
        )
        wrong.append(Difference(setting, _shown(setting, has), wanted, grave, _WHY[setting]))
    limit = found.get("max.message.bytes", "")
    if limit.isdigit() and int(limit) < SMALLEST_MESSAGE_LIMIT:
        why = "larger profiles and snapshots would be refused"
        wanted = str(SMALLEST_MESSAGE_LIMIT)
        wrong.append(Difference("max.message.bytes", limit, wanted, True, why))
    return wrong


def _same(has: str, wanted: str) -> bool:
    try:
        return float(has) == float(wanted)
    except ValueError:
        return has.replace(" ", "") == wanted


def _shorter(has: str, wanted: str) -> bool:
    return has.lstrip("-").isdigit() and 0 <= int(has) < int(wanted)


def _shown(setting: str, value: str) -> str:
    if setting == "retention.ms" and value.isdigit():
        return f"{value} ({format_duration(int(value) * MILLISECOND)})"
    return value


def fix_command(bootstrap: str, topic: str, wrong: Sequence[Difference]) -> str:
    """The command that puts the settings of a topic right."""
    config = ",".join(f"{one.setting}={one.wanted}" for one in wrong)
    return (
        f"kafka-configs.sh --bootstrap-server {bootstrap} --alter --entity-type topics "
        f"--entity-name {topic} --add-config {config}"
    )


class TopicState(NamedTuple):
    """How one internal topic stands.

    ``state``: ``fine``, ``made``, ``missing``, ``differs`` or ``failed``; ``text`` says more.
    """

    name: str
    state: Literal["fine", "made", "missing", "differs", "failed"]
    text: str
    grave: bool = False


def verify(admin: Admin, settings: Settings) -> list[TopicState]:
    """How the internal topics stand; changes nothing.

    Raises:
        KafkaProblem: The cluster cannot be asked at all.
    """
    existing = admin.topics()
    states: list[TopicState] = []
    for spec in specs(settings):
        # A broker that does not answer this question once will not do so four times.
        silent = any("_TIMED_OUT" in state.text for state in states)
        states.append(_verify_one(None if silent else admin, settings, spec, existing))
    return states


def create(admin: Admin, settings: Settings) -> list[TopicState]:
    """Make the internal topics that are missing, and look at the others.

    Raises:
        KafkaProblem: The cluster cannot be asked at all.
    """
    existing = admin.topics()
    wanted = specs(settings)
    missing = [_beside(spec, settings, existing) for spec in wanted if spec.name not in existing]
    outcome = admin.create_topics(missing) if missing else {}
    states: list[TopicState] = []
    for spec in wanted:
        if spec.name in existing:
            states.append(_verify_one(admin, settings, spec, existing))
            continue
        problem = outcome.get(spec.name)
        if problem is None:
            made = next(one for one in missing if one.name == spec.name)
            states.append(TopicState(spec.name, "made", _many(made.partitions)))
        elif problem.code == "TOPIC_ALREADY_EXISTS":  # another worker was quicker
            states.append(TopicState(spec.name, "fine", "exists"))
        else:
            text = explain(problem.code, problem.text)
            states.append(TopicState(spec.name, "failed", text, grave=True))
    return states


def _beside(spec: TopicSpec, settings: Settings, existing: Mapping[str, int]) -> TopicSpec:
    """Profiles and state have as many partitions as the one of the two that exists."""
    pair = (settings.profiles_topic, settings.state_topic)
    if spec.name in pair:
        for name in pair:
            if name in existing:
                return spec._replace(partitions=existing[name])
    return spec


def _verify_one(
    admin: Admin | None, settings: Settings, spec: TopicSpec, existing: Mapping[str, int]
) -> TopicState:
    partitions = existing.get(spec.name)
    if partitions is None:
        return TopicState(spec.name, "missing", "does not exist", grave=True)
    log = existing.get(settings.profiles_topic)
    if spec.name == settings.state_topic and log is not None and log != partitions:
        text = (
            f"has {_many(partitions)}, {settings.profiles_topic} has {_many(log)}; they must be as "
            f"many: add partitions to the smaller one, or delete {spec.name} (a snapshot only "
            "saves time) and run `streamgauge topics create`"
        )
        return TopicState(spec.name, "differs", text, grave=True)
    if admin is None:
        return TopicState(spec.name, "differs", f"{_many(partitions)}; its settings cannot be seen")
    try:
        wrong = differences(spec, admin.topic_config(spec.name))
    except KafkaProblem as problem:
        text = f"{_many(partitions)}; its settings cannot be seen ({problem.code})"
        return TopicState(spec.name, "differs", text)
    if not wrong:
        return TopicState(spec.name, "fine", _many(partitions))
    bootstrap = str(settings.kafka.get("bootstrap.servers", "HOST:9092"))
    text = "; ".join(map(str, wrong)) + f"; run: {fix_command(bootstrap, spec.name, wrong)}"
    return TopicState(spec.name, "differs", text, grave=any(one.grave for one in wrong))


def _many(partitions: int) -> str:
    return "1 partition" if partitions == 1 else f"{partitions} partitions"
