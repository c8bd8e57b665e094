"""The command ``streamgauge budget``."""

from __future__ import annotations

from importlib import import_module
from typing import Annotated

import typer

from consumer.command_line import Bootstrap, Config, Set, end, explained, load_settings


def budget(
    config: Config = None,
    set_: Set = None,
    bootstrap: Bootstrap = None,
    json: Annotated[bool, typer.Option("--json", help="One list for machines.")] = False,
) -> None:
    """Tell what false alarms are promised, what came of it, and how small a change is seen."""
    with explained():
        settings = load_settings(config, set_, bootstrap, need_inputs=False)
        end(import_module("consumer.budgets").main(settings, json=json))
