"""What operators say (`silence`, `ack`, `resolve`, `expect`, `accept`), and what they look up."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer
from typer.models import OptionInfo

from alerts.commands import ANY, Kind, Match
from consumer.command_line import (
    Bootstrap,
    Config,
    Set,
    config_words,
    end,
    explained,
    fail,
    load_settings,
)

if TYPE_CHECKING:
    from consumer.operator_words import Written
    from consumer.settings import Settings


def _pattern(what: str) -> OptionInfo:
    found: OptionInfo = typer.Option(
        metavar="PATTERN", help=f"{what} that it is about.", show_default=False
    )
    return found


Topic = Annotated[str, _pattern("Input topics")]
Model = Annotated[str, _pattern("Models")]
Version = Annotated[str, _pattern("Versions")]
Segment = Annotated[str, _pattern("Segments")]
Feature = Annotated[str, _pattern("Features")]
Cause = Annotated[str, _pattern("Causes")]
Why = Annotated[str | None, typer.Option(metavar="TEXT", help="Why; kept with the alerts.")]
By = Annotated[
    str | None, typer.Option(metavar="NAME", help="Who; STREAMGAUGE_OPERATOR, else the login name.")
]
From = Annotated[str | None, typer.Option("--from", metavar="TIME", help="It begins then.")]
Until = Annotated[str | None, typer.Option(metavar="TIME", help="It ends then.")]
For = Annotated[str | None, typer.Option("--for", metavar="2h", help="It ends so much later.")]
Id = Annotated[
    str | None,
    typer.Option("--id", metavar="ID", help="That of one given before, which counts once."),
]
Incident = Annotated[str, typer.Argument(metavar="INCIDENT", help="Its id, or how that begins.")]
Ends = Annotated[
    str | None, typer.Option("--end", metavar="ID", help="End what streamgauge silences lists.")
]


def add_to(app: typer.Typer) -> None:
    """Make them commands of ``app``."""
    for each in (silence, silences, ack, resolve, expect, accept, models):
        app.command()(each)


def silence(
    config: Config = None,
    set_: Set = None,
    bootstrap: Bootstrap = None,
    topic: Topic = ANY,
    model: Model = ANY,
    version: Version = ANY,
    segment: Segment = ANY,
    feature: Feature = ANY,
    cause: Cause = ANY,
    for_: For = None,
    until: Until = None,
    ends: Ends = None,
    why: Why = None,
    by: By = None,
    id_: Id = None,
) -> None:
    """Have nobody called about what fits all patterns, for a time."""
    match = Match(topic, model, version, segment, feature, cause)
    with _explained():
        settings = load_settings(config, set_, bootstrap, need_inputs=False)
        from consumer.operating import command_id, give, newest, now  # noqa: PLC0415
        from consumer.operator_words import command  # noqa: PLC0415

        known = newest(settings)
        written = _written(by, why, id_)._replace(until=until, lasts=for_)
        if ends is None:
            given = command("silence", now(), written, match)
            end(give(settings, given, known, config_words(config)))
        if match != Match() or for_ is not None or until is not None:
            fail("--end ID ends all of it; leave out patterns, --for and --until")
        whole = command_id(known, ends.removeprefix("#").lower(), settings.alerts_topic)
        given = command("end", now(), written, ends=whole)
        end(give(settings, given, known, config_words(config)))


def silences(
    config: Config = None,
    set_: Set = None,
    bootstrap: Bootstrap = None,
    json: Annotated[bool, typer.Option("--json", help="The events of these, one a line.")] = False,
) -> None:
    """List silences and planned changes that hold now, and their ids."""
    with _explained():
        settings = load_settings(config, set_, bootstrap, need_inputs=False)
        from consumer import operating  # noqa: PLC0415

        end(operating.silences(settings, json=json))


def models(
    config: Config = None,
    set_: Set = None,
    bootstrap: Bootstrap = None,
    json: Annotated[bool, typer.Option("--json", help="One object a model, one a line.")] = False,
) -> None:
    """List what is watched: state, progress, lag, rejects, and what cannot be seen."""
    with _explained():
        settings = load_settings(config, set_, bootstrap, need_inputs=False)
        from consumer.models import show  # noqa: PLC0415

        end(show(settings, json=json))


def ack(
    incident: Incident,
    config: Config = None,
    set_: Set = None,
    bootstrap: Bootstrap = None,
    why: Why = None,
    by: By = None,
    id_: Id = None,
) -> None:
    """Say that somebody looks after an incident: no reminders from then on."""
    with _explained():
        settings = load_settings(config, set_, bootstrap, need_inputs=False)
        _answer("ack", incident, settings, _written(by, why, id_), config_words(config))


def resolve(
    incident: Incident,
    config: Config = None,
    set_: Set = None,
    bootstrap: Bootstrap = None,
    why: Why = None,
    by: By = None,
    id_: Id = None,
) -> None:
    """Close an incident; it is opened again when its change grows."""
    with _explained():
        settings = load_settings(config, set_, bootstrap, need_inputs=False)
        _answer("resolve", incident, settings, _written(by, why, id_), config_words(config))


def expect(
    config: Config = None,
    set_: Set = None,
    bootstrap: Bootstrap = None,
    topic: Topic = ANY,
    model: Model = ANY,
    version: Version = ANY,
    segment: Segment = ANY,
    feature: Feature = ANY,
    cause: Cause = ANY,
    from_: From = None,
    until: Until = None,
    why: Why = None,
    by: By = None,
    id_: Id = None,
) -> None:
    """Announce a planned change: nobody is called about what begins between two times."""
    match = Match(topic, model, version, segment, feature, cause)
    with _explained():
        settings = load_settings(config, set_, bootstrap, need_inputs=False)
        from consumer.operating import give, newest, now  # noqa: PLC0415
        from consumer.operator_words import command  # noqa: PLC0415

        written = _written(by, why, id_)._replace(since=from_, until=until)
        given = command("expect", now(), written, match)
        end(give(settings, given, newest(settings), config_words(config)))


def accept(
    config: Config = None,
    set_: Set = None,
    bootstrap: Bootstrap = None,
    topic: Topic = ANY,
    model: Model = ANY,
    version: Version = ANY,
    segment: Segment = ANY,
    from_: From = None,
    why: Why = None,
    by: By = None,
    id_: Id = None,
) -> None:
    """Take what comes as the new normal: learn its baseline anew, from a time on."""
    with _explained():
        settings = load_settings(config, set_, bootstrap, need_inputs=False)
        from consumer.operating import give, newest, now  # noqa: PLC0415
        from consumer.operator_words import command  # noqa: PLC0415

        written = _written(by, why, id_)._replace(since=from_)
        given = command("accept", now(), written, Match(topic, model, version, segment))
        end(give(settings, given, newest(settings), config_words(config)))


def _answer(kind: Kind, name: str, settings: Settings, written: Written, more: list[str]) -> None:
    from consumer.operating import about, give, newest, now, open_one  # noqa: PLC0415
    from consumer.operator_words import command  # noqa: PLC0415

    known = newest(settings)
    event = open_one(known, name, settings.alerts_topic)
    given = command(kind, now(), written, about(event), incident=event.incident)
    end(give(settings, given, known, more))


def _written(by: str | None, why: str | None, id_: str | None) -> Written:
    from consumer.operating import operator  # noqa: PLC0415
    from consumer.operator_words import Written  # noqa: PLC0415

    return Written(id_.lower() if id_ else uuid.uuid4().hex[:20], by or operator(), why)


@contextmanager
def _explained() -> Iterator[None]:
    """As ``explained``, and what is no command or no incident."""
    from consumer.incidents import NoSuchIncidentError  # noqa: PLC0415
    from consumer.operator_words import CommandError  # noqa: PLC0415

    with explained():
        try:
            yield
        except (CommandError, NoSuchIncidentError) as error:
            fail(str(error))
