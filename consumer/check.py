"""``streamgauge check``: everything that must hold before anything runs, and what to do if not.

Every check is a function from the settings and a cluster to findings. Nothing is changed or
committed; no group is joined.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Protocol

from consumer import topics as internal
from consumer.batch import Decoder, RawBatch
from consumer.durations import format_duration
from consumer.findings import Finding
from consumer.kafka_errors import KafkaProblem, explain
from consumer.mistakes import nearest
from consumer.sample import describe
from consumer.settings import InputSettings, Settings

SAMPLE = 400  # records of each topic that are decoded to show how its fields are mapped


class Cluster(internal.Admin, Protocol):
    """What is asked of Kafka. Every call may raise ``KafkaProblem``."""

    def last_error(self) -> tuple[str, str] | None:
        """Code and text of the last connection error that the client told of."""
        ...

    def allowed(self, topic: str) -> frozenset[str]:
        """Operations allowed on a topic, ``READ`` and so on; empty: the broker does not say."""
        ...

    def group_allowed(self, group: str) -> frozenset[str]:
        """Operations allowed on a group; empty: the broker does not say."""
        ...

    def try_transactions(self, name: str) -> None:
        """Prove that a producer may write in transactions under a transactional id."""
        ...


Latest = Callable[[str, int, int], Sequence[RawBatch]]  # topic, partitions, records wanted
DecoderFor = Callable[[InputSettings, str], Decoder]


def check(
    settings: Settings, cluster: Cluster, latest: Latest, decoder_for: DecoderFor
) -> Iterator[Finding]:
    """All findings, in the order in which a person would look for a cause."""
    yield from configuration(settings)
    reached, existing = reach(settings, cluster)
    yield reached
    if existing is None:
        return
    yield group_permission(settings, cluster)
    if settings.delivery == "exactly_once":
        yield transactions(settings, cluster)
    for one in settings.inputs:
        found = input_topics(settings, one, existing, cluster)
        yield from found
        if any(finding.level == "FAIL" for finding in found):
            continue
        for topic in settings.matching(existing):
            if settings.input_for(topic) == one:
                yield from input_topic(one, topic, existing[topic], cluster, latest, decoder_for)
    yield from internal_topics(settings, cluster)


def configuration(settings: Settings) -> list[Finding]:
    """What is allowed but hardly meant."""
    names = ", ".join(one.name for one in settings.inputs)
    windows = ", ".join(sorted({format_duration(one.window) for one in settings.inputs}))
    found = [Finding("ok", "configuration", f"inputs {names}; windows of {windows}")]
    kafka = settings.kafka
    protocol = str(kafka.get("security.protocol", "plaintext")).lower()
    sasl = [name for name in kafka if name.startswith("sasl.")]
    if sasl and not protocol.startswith("sasl_"):
        text = f"{sasl[0]} is set, but security.protocol is {protocol}: nobody is logged in"
        found.append(Finding("warn", "kafka", text, "set security.protocol to SASL_SSL"))
    mechanism = str(kafka.get("sasl.mechanism", kafka.get("sasl.mechanisms", ""))).upper()
    if protocol == "sasl_plaintext" and mechanism == "PLAIN":
        text = "the password goes over the network as it is (PLAIN without TLS)"
        found.append(Finding("warn", "kafka", text, "set security.protocol to SASL_SSL"))
    for name, safe in (
        ("enable.ssl.certificate.verification", "true"),
        ("ssl.endpoint.identification.algorithm", "https"),
    ):
        if str(kafka.get(name, safe)).lower() != safe:
            text = f"{name} is {kafka[name]}: anybody can pose as the broker"
            do = "set ssl.ca.location to the file of the broker's authority, and leave it out"
            found.append(Finding("warn", "kafka", text, do))
    return found


def reach(settings: Settings, cluster: Cluster) -> tuple[Finding, dict[str, int] | None]:
    """Whether a broker answers; the topics that may be seen."""
    at = settings.kafka.get("bootstrap.servers", settings.kafka.get("metadata.broker.list", ""))
    try:
        existing = cluster.topics()
    except KafkaProblem as error:
        code, text = cluster.last_error() or (error.code, error.text)
        return Finding("FAIL", "kafka", f"no answer from {at}", explain(code, text)), None
    return Finding("ok", "kafka", f"{at} answers; {_count(len(existing), 'topic')} seen"), existing


def group_permission(settings: Settings, cluster: Cluster) -> Finding:
    """Whether the group may be used."""
    subject = f'group "{settings.group}"'
    try:
        allowed = _group_allowed(settings.group, cluster)
    except KafkaProblem as error:
        if "AUTHORIZATION" in error.code:
            return _denied(subject, settings, f"READ on group {settings.group}")
        if error.code == "GROUP_ID_NOT_FOUND":
            return Finding("ok", subject, "is new")
        return _unseen(subject, "its permissions", error)
    if allowed and not _has(allowed, "READ"):
        return _denied(subject, settings, f"READ on group {settings.group}")
    return Finding("ok", subject, "may be used" if allowed else "the broker names no permissions")


def transactions(settings: Settings, cluster: Cluster) -> Finding:
    """Whether results can be written in transactions."""
    subject = 'delivery "exactly_once"'
    prefix = f"{settings.app}-"
    try:
        cluster.try_transactions(f"{prefix}check")
    except KafkaProblem as error:
        if "AUTHORIZATION" in error.code:
            what = f"WRITE and DESCRIBE on transactional ids that begin with {prefix}"
            return _denied(subject, settings, what)
        do = explain(error.code, error.text)
        return Finding("FAIL", subject, "a transaction cannot be started", do)
    return Finding("ok", subject, f"transactional ids {prefix}* may be used")


def _group_allowed(group: str, cluster: Cluster) -> frozenset[str]:
    for wait in (0.1, 0.3, 0.6, 1.0):  # a new cluster makes its coordinators at the first question
        try:
            return cluster.group_allowed(group)
        except KafkaProblem as error:
            if "COORDINATOR" not in error.code:
                raise
            time.sleep(wait)
    return cluster.group_allowed(group)


def input_topics(
    settings: Settings, one: InputSettings, existing: Mapping[str, int], cluster: Cluster
) -> list[Finding]:
    """Whether the topics of an input exist and may be read; the problems only."""
    subject = f"inputs.{one.name}"
    found: list[Finding] = []
    for topic in one.topics:
        if topic.startswith("^"):
            if not any(one.claims(name) and settings.input_for(name) == one for name in existing):
                text = f'no topic matches "{topic}" yet'
                do = "check the expression, or wait: new topics are found while the worker runs"
                found.append(Finding("warn", subject, text, do))
        elif topic not in existing:
            found.append(_missing(subject, settings, topic, existing, cluster))
    for topic in settings.matching(existing):
        if settings.input_for(topic) == one:
            lacking = _lacking(cluster, topic, ("READ", "DESCRIBE"))
            if lacking:
                what = f"{' and '.join(lacking)} on topic {topic}"
                found.append(_denied(subject, settings, what))
    return found


def _missing(
    subject: str, settings: Settings, topic: str, existing: Iterable[str], cluster: Cluster
) -> Finding:
    try:
        cluster.allowed(topic)
    except KafkaProblem as error:
        if "AUTHORIZATION" in error.code:
            return _denied(subject, settings, f"DESCRIBE and READ on topic {topic}")
    seen = [name for name in existing if not name.startswith("__")]
    close = nearest(topic, seen)
    some = ", ".join(sorted(seen)[:8]) or "none"
    do = f'did you mean "{close}"?' if close else f"topics that this user may see: {some}"
    return Finding("FAIL", subject, f'topic "{topic}" does not exist', do)


def _lacking(cluster: Cluster, topic: str, wanted: Sequence[str]) -> list[str]:
    try:
        allowed = cluster.allowed(topic)
    except KafkaProblem as error:
        return list(wanted) if "AUTHORIZATION" in error.code else []
    return [one for one in wanted if not _has(allowed, one)] if allowed else []


def _has(allowed: frozenset[str], operation: str) -> bool:
    implied = operation == "DESCRIBE" and allowed & {"READ", "WRITE", "DELETE", "ALTER"}
    return operation in allowed or "ALL" in allowed or bool(implied)


def _denied(subject: str, settings: Settings, what: str) -> Finding:
    user = settings.kafka.get("sasl.username", settings.kafka.get("sasl.oauthbearer.client.id"))
    if user:
        who = f"User:{user}"
    elif settings.kafka.get("ssl.certificate.location"):
        who = "the subject of the client certificate (User:CN=...)"
    else:
        who = "User:ANONYMOUS (no sasl.username and no client certificate is set)"
    return Finding(
        "FAIL", subject, f"no permission: {what}", f"let an administrator allow it to {who}"
    )


def _unseen(subject: str, what: str, error: KafkaProblem) -> Finding:
    return Finding("warn", subject, f"{what} cannot be seen", explain(error.code, error.text))


def input_topic(
    one: InputSettings,
    topic: str,
    partitions: int,
    cluster: Cluster,
    latest: Latest,
    decoder_for: DecoderFor,
) -> list[Finding]:
    """What a topic that exists holds, and whose time its records carry."""
    subject = f"inputs.{one.name} {topic}"
    try:
        batches = latest(topic, partitions, SAMPLE)
    except KafkaProblem as error:
        do = explain(error.code, error.text)
        return [Finding("FAIL", subject, "its records cannot be read", do)]
    sample = describe([decoder_for(one, topic)(batch) for batch in batches], batches, one)
    found = [*sample.findings(subject, partitions)]
    if sample.records and sample.without_time == sample.records:
        found += _time_source(subject, topic, cluster)
    return found


def _time_source(subject: str, topic: str, cluster: Cluster) -> list[Finding]:
    try:
        kind = cluster.topic_config(topic).get("message.timestamp.type")
    except KafkaProblem as error:
        return [_unseen(subject, "the topic's settings", error)]
    if kind != "CreateTime":
        return []
    text = (
        "records carry no event time and the topic has the producers' time (CreateTime): a "
        "producer with a wrong clock would close windows early, and nothing could notice"
    )
    do = "map fields.event_time, or set message.timestamp.type=LogAppendTime on the topic"
    return [Finding("warn", subject, text, do)]


def internal_topics(settings: Settings, cluster: Cluster) -> list[Finding]:
    """Whether streamgauge's own topics exist, are as they should be, and may be used."""
    found: list[Finding] = []
    try:
        states = internal.verify(cluster, settings)
    except KafkaProblem as error:
        do = explain(error.code, error.text)
        return [Finding("FAIL", "internal topics", "cannot be looked at", do)]
    wanted = {
        settings.profiles_topic: ("READ", "WRITE", "DESCRIBE"),
        settings.alerts_topic: ("WRITE", "DESCRIBE"),
        settings.state_topic: ("READ", "WRITE", "DESCRIBE"),
        settings.rejects_topic: ("WRITE", "DESCRIBE"),
    }
    for state in states:
        lacking = _lacking(cluster, state.name, wanted[state.name])
        if lacking:
            what = f"{', '.join(lacking)} on topic {state.name}"
            found.append(_denied(state.name, settings, what))
        elif state.state == "missing" and settings.topics.create:
            found.append(Finding("ok", state.name, "will be made by run (topics.create is true)"))
        elif state.state == "missing":
            do = "run `streamgauge topics create`, or set create = true in [topics]"
            found.append(Finding("FAIL", state.name, "does not exist", do))
        elif state.state == "differs":
            text, _, command = state.text.partition("; run: ")
            do = f"run {command}" if command else ""
            found.append(Finding("FAIL" if state.grave else "warn", state.name, text, do))
        else:
            found.append(Finding("ok", state.name, state.text))
    return found


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
