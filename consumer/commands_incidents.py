"""The commands ``incidents`` and ``incident``: what the alerts topic says, for a person."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Annotated, Literal

import typer

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


def add_to(app: typer.Typer) -> None:
    """Make them commands of ``app``."""
    app.command()(incidents)
    app.command()(incident)


def incidents(
    config: Config = None,
    set_: Set = None,
    bootstrap: Bootstrap = None,
    all_: Annotated[
        bool, typer.Option("--all", help="Those that are resolved, losses and limits as well.")
    ] = False,
    json: Annotated[
        bool, typer.Option("--json", help="The newest event of each, as it is, one a line.")
    ] = False,
    model: Annotated[
        str | None, typer.Option(metavar="PATTERN", help="Only models that it fits.")
    ] = None,
    severity: Annotated[Literal["warning", "critical"] | None, typer.Option()] = None,
    pending: Annotated[
        bool,
        typer.Option("--pending", help="What may become one as well; reads the profiles log."),
    ] = False,
    label: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="Only with this label. May be repeated."),
    ] = None,
) -> None:
    """List the incidents that are open, the worst first."""
    with explained():
        settings = load_settings(config, set_, bootstrap, need_inputs=False)
        if pending and json:
            fail("--pending is for people; streamgauge models --json has it")
        pairs = [one.partition("=") for one in label or ()]
        for name, equals, _ in pairs:
            if not equals:
                fail(f"--label {name}: write NAME=VALUE")
        labels = {name: value for name, _, value in pairs}
        show = import_module("consumer.incidents").show_all
        wanted = {"all_": all_, "json": json, "pending": pending}
        end(show(settings, **wanted, model=model, severity=severity, labels=labels))


def incident(
    id_: Annotated[str, typer.Argument(metavar="ID", help="Of the incident, or how it begins.")],
    config: Config = None,
    set_: Set = None,
    bootstrap: Bootstrap = None,
    json: Annotated[bool, typer.Option("--json", help="Its events as they are.")] = False,
    plot: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A picture as well: FILE.png or FILE.svg."),
    ] = None,
) -> None:
    """Tell the story of one incident."""
    with explained():
        if plot is not None and plot.suffix not in (".png", ".svg"):
            fail(f"--plot {plot}: name a file that ends in .png or .svg")
        settings = load_settings(config, set_, bootstrap, need_inputs=False)
        known = import_module("consumer.incidents")
        try:
            more = config_words(config)
            end(known.show_one(settings, id_, json=json, plot=plot, more=more))
        except known.NoSuchIncidentError as error:
            fail(str(error))
