"""What all commands share: their options, the settings, and mistakes as a text and a status.

A group of commands stands in a module of its own, ``commands_NAME.py``, and is added in ``cli.py``.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from consumer.durations import parse_time

if TYPE_CHECKING:
    from consumer.kafka import Admin
    from consumer.settings import Settings

USER_MISTAKE = 2
ANSWER_WITHIN = 6.0  # seconds

Config = Annotated[
    Path | None,
    typer.Option(
        "-c",
        "--config",
        envvar="STREAMGAUGE_CONFIG",
        help="Configuration; streamgauge.toml in this directory if there is one.",
        show_default=False,
    ),
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Override a setting, for example inputs.flights.window=1h. May be repeated.",
        show_default=False,
    ),
]
Bootstrap = Annotated[
    str | None,
    typer.Option(metavar="HOST:PORT", help="Override kafka.bootstrap.servers.", show_default=False),
]


def load_settings(
    config: Path | None,
    set_: Sequence[str] | None,
    bootstrap: str | None,
    *,
    need_inputs: bool = True,
    need_kafka: bool = True,
) -> Settings:
    """The settings that a command's options name."""
    from consumer.settings import load  # noqa: PLC0415

    flags = list(set_ or ())
    if bootstrap is not None:
        flags.append(f"kafka.bootstrap.servers={bootstrap}")
    return load(config, flags, need_inputs=need_inputs, need_kafka=need_kafka)


def admin_for(settings: Settings) -> Admin:
    """A client that answers soon, or says that nobody does."""
    from consumer.kafka import Admin  # noqa: PLC0415

    return Admin(settings.kafka, timeout=ANSWER_WITHIN)


def moment(flag: str, text: str) -> datetime:
    """A time that an option names."""
    try:
        return parse_time(text)
    except ValueError as error:
        fail(f"{flag}: {error}")


@contextmanager
def explained() -> Iterator[None]:
    """Errors that the user can do something about become a text and an exit status."""
    from consumer.kafka_errors import KafkaProblem, explain  # noqa: PLC0415
    from consumer.mistakes import SettingsError  # noqa: PLC0415

    try:
        yield
    except SettingsError as error:
        fail(str(error))
    except KafkaProblem as error:
        fail(explain(error.code, error.text), status=1)
    except BrokenPipeError:  # | head
        sys.stderr.close()
        raise SystemExit(0) from None


def fail(text: str, status: int = USER_MISTAKE) -> NoReturn:
    """End with a text for the user."""
    typer.echo(f"streamgauge: {text}", err=True)
    raise SystemExit(status)


def end(status: int) -> NoReturn:
    """End with a status."""
    raise SystemExit(status)


def config_words(config: Path | None) -> list[str]:
    """For a command line that is to be given once more."""
    return ["-c", str(config)] if config is not None else []
