"""Operators' commands on Kafka: what they are about is read, then every partition is told."""

from __future__ import annotations

import getpass
import glob
import os
import shutil
import sys
import time
from collections.abc import Sequence
from typing import Final, NamedTuple

from alerts import operators
from alerts.commands import Command, Match
from alerts.events import Event, EventFormatError, Opened, Updated, encode
from alerts.read import incidents
from consumer.incidents import WIDTH, named
from consumer.kafka import Admin, Writer
from consumer.kafka_failures import KafkaFailure
from consumer.log import FORMAT_VERSION, CommandRecord
from consumer.log import encode as encode_record
from consumer.operator_words import CommandError
from consumer.settings import Settings
from consumer.tail import alert_messages

FLUSH_WITHIN: Final = 15.0  # seconds, for each partition
OPERATOR: Final = "STREAMGAUGE_OPERATOR"


class Sent(NamedTuple):
    """How far a command came.

    Attributes:
        partitions: Of the log.
        took: How many of them hold it.
        why: Why the others do not; empty: all do.
    """

    partitions: int
    took: int
    why: str


def now() -> int:
    """Microseconds of the wall clock."""
    return time.time_ns() // 1_000


def operator() -> str:
    """Who gives the command, as the environment knows.

    Raises:
        CommandError: It does not.
    """
    try:
        return os.environ.get(OPERATOR) or getpass.getuser()
    except (OSError, KeyError):
        raise CommandError(f"say who you are: --by NAME, or set {OPERATOR}") from None


def newest(settings: Settings) -> dict[str, Event]:
    """The newest event of each incident and of each command on the alerts topic.

    Raises:
        KafkaFailure: The topic cannot be read.
    """
    return incidents(alert_messages(settings, "earliest", follow=False), _complain)


def open_one(known: dict[str, Event], name: str, topic: str) -> Event:
    """The open incident whose id begins so.

    Args:
        known: As ``newest`` found them.
        name: Its id, or how that begins.
        topic: Where they are from.

    Raises:
        NoSuchIncidentError: There is none, or more than one.
        CommandError: Nobody can acknowledge or resolve it.
    """
    found = known[named(name, known, topic)]
    if isinstance(found, Opened | Updated):
        return found
    id_ = f"#{found.incident[:8]}"
    if found.__struct_config__.tag == "resolved":
        raise CommandError(f"{id_} is resolved already")
    if found.__struct_config__.tag == "no_data":
        raise CommandError(
            f"{id_} is a model without data: nothing but data ends it; silence it with "
            f"streamgauge silence --model {found.model} --for 2h --why TEXT"
        )
    raise CommandError(f"{id_} is told once and not open: {found.summary}")


def about(event: Event) -> Match:
    """What fits the model of an incident, and nothing else."""
    return Match(topic=glob.escape(event.topic), model=glob.escape(event.model))


def command_id(known: dict[str, Event], name: str, topic: str) -> str:
    """The id of the silence, planned change or new normal that begins so; a whole one is itself.

    Raises:
        NoSuchIncidentError: There is none, or more than one.
    """
    ids = [each.command_id for each in operators.holding(known.values(), 0)]
    if len(name) == 20 and name not in ids:
        return name  # no worker has told of it yet
    return named(name, ids, topic, "command", "streamgauge silences")


def give(
    settings: Settings, command: Command, known: dict[str, Event], more: Sequence[str] = ()
) -> int:
    """Send a command to every partition of the log, and tell what it does; exit status.

    Args:
        settings: Where Kafka is.
        command: To send.
        known: As ``newest`` found them.
        more: Further options of the same command line.

    Raises:
        KafkaFailure: There is no log.
    """
    touched = operators.touched(command, known.values())
    sent = _send(settings, command)
    topic = settings.profiles_topic
    if not sent.why:
        _print(operators.answer(command, touched, _width()))
        return 0
    _print(
        [
            f"only {sent.took} of {sent.partitions} partitions of {topic} took it: {sent.why}",
            "give it again with the same id; where it was taken already, it counts once:",
            f"  {operators.again(command, more)}",
        ]
    )
    return 1


def silences(settings: Settings, *, json: bool) -> int:
    """Print what holds now; exit status.

    Raises:
        KafkaFailure: The alerts topic cannot be read.
    """
    known = newest(settings)
    held = operators.holding(known.values(), now())
    if json:
        _print([encode(each).decode() for each in held])
    else:
        _print(operators.table(held, known.values(), _width()))
    return 0


def _send(settings: Settings, command: Command) -> Sent:
    """One partition after the other, so that it is known which of them hold it."""
    topic = settings.profiles_topic
    partitions = Admin(settings.kafka).topics().get(topic)
    if partitions is None:
        text = f"there is no topic {topic}; make it with: streamgauge topics create"
        raise KafkaFailure("refused", "UNKNOWN_TOPIC_OR_PART", text)
    value = encode_record(CommandRecord(v=FORMAT_VERSION, command=command))
    writer = Writer(settings.kafka)
    took = 0
    try:
        for number in range(partitions):
            writer.produce(topic, number, command.id.encode(), value)
            writer.flush(FLUSH_WITHIN)
            took += 1
    except KafkaFailure as failure:
        return Sent(partitions, took, failure.text)
    finally:
        writer.close()
    return Sent(partitions, took, "")


def _print(lines: Sequence[str]) -> None:
    for line in lines:
        sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _width() -> int:
    return shutil.get_terminal_size((WIDTH, 24)).columns if sys.stdout.isatty() else WIDTH


def _complain(error: EventFormatError) -> None:
    sys.stderr.write(f"skipped: {error}\n")
