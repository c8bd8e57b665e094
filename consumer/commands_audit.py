"""The command ``streamgauge audit``."""

from __future__ import annotations

from importlib import import_module
from typing import Annotated

import typer

from consumer.command_line import Bootstrap, Config, Set, end, explained, fail, load_settings


def audit(
    config: Config = None,
    set_: Set = None,
    bootstrap: Bootstrap = None,
    json: Annotated[bool, typer.Option("--json", help="One object for machines.")] = False,
) -> None:
    """Prove from the topics that every record counted once and every alert is right.

    Exit status 0: nothing is wrong; 1: something is; 2: the topics cannot be read.
    """
    with explained():
        settings = load_settings(config, set_, bootstrap)
        from consumer.kafka_errors import KafkaProblem, explain  # noqa: PLC0415

        missing = import_module("consumer.audit").Missing
        try:
            status = import_module("consumer.audit_topics").main(settings, json=json)
        except missing as error:
            fail(str(error))
        except KafkaProblem as problem:
            fail(explain(problem.code, problem.text))
        end(status)
