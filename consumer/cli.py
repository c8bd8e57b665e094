"""The command ``streamgauge``: reads the command line and starts what it names.

What a command needs is imported when it runs, so that the small ones start at once.
"""

from __future__ import annotations

import os
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from consumer import commands_bridge, commands_incidents, commands_operate
from consumer.command_line import (
    Bootstrap,
    Config,
    Set,
    admin_for,
    end,
    explained,
    fail,
    load_settings,
    moment,
)
from consumer.commands_audit import audit
from consumer.commands_baseline import baseline_app
from consumer.commands_budget import budget
from consumer.durations import to_microseconds

if TYPE_CHECKING:
    from consumer.findings import Finding

app = typer.Typer(
    name="streamgauge",
    help="Watches Kafka prediction topics and publishes drift alerts to Kafka.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
topics_app = typer.Typer(help="The topics that belong to streamgauge itself.", no_args_is_help=True)
app.add_typer(topics_app, name="topics")
app.add_typer(baseline_app, name="baseline")


def main() -> None:
    """Run the command line; a mistake of the user's ends with a text and status 2."""
    # Nothing here multiplies matrices: numpy's threads for that would start, spin and wait.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    app(prog_name="streamgauge")


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415

        try:
            typer.echo(f"streamgauge {version('streamgauge')}")
        except PackageNotFoundError:  # run from a source tree
            typer.echo("streamgauge (not installed)")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Watches Kafka prediction topics and publishes drift alerts to Kafka."""


@app.command()
def run(
    config: Config = None,
    set_: Set = None,
    bootstrap: Bootstrap = None,
    drain: Annotated[
        bool, typer.Option("--drain", help="Close every open window, then exit.")
    ] = False,
    workers: Annotated[
        int, typer.Option(min=1, max=64, help="Processes of one group on this host.")
    ] = 1,
    number: Annotated[int | None, typer.Option(hidden=True)] = None,
) -> None:
    """Read the inputs and publish alerts until stopped."""
    with explained():
        settings = load_settings(config, set_, bootstrap)
        if workers > 1:
            flags = [word for one in set_ or () for word in ("--set", one)]
            flags += ["-c", str(config)] if config is not None else []
            flags += ["--bootstrap", bootstrap] if bootstrap is not None else []
            flags += ["--drain"] if drain else []
            end(import_module("consumer.launch").run_many(flags, workers))
        launch = import_module("consumer.launch")
        try:
            status = launch.run(settings, drain=drain, number=number)
        except launch.Stopped as stopped:
            fail(str(stopped))
        end(status)


@app.command()
def check(config: Config = None, set_: Set = None, bootstrap: Bootstrap = None) -> None:
    """Prove configuration, broker, topics and permissions; say what to do about each problem."""
    with explained():
        settings = load_settings(config, set_, bootstrap)
        from consumer import check as checks  # noqa: PLC0415
        from consumer.decoders import decoder_for  # noqa: PLC0415
        from consumer.latest import latest  # noqa: PLC0415

        admin, failed = admin_for(settings), False
        for finding in checks.check(
            settings, admin, partial(latest, settings.kafka, admin), partial(decoder_for, settings)
        ):
            _show(finding)
            failed |= finding.level == "FAIL"
        typer.echo("not ready: see the lines with FAIL" if failed else "ready: streamgauge run")
        end(int(failed))


@topics_app.command("create")
def topics_create(config: Config = None, set_: Set = None, bootstrap: Bootstrap = None) -> None:
    """Make the internal topics that are missing; the others are left as they are."""
    with explained():
        settings = load_settings(config, set_, bootstrap, need_inputs=False)
        from consumer import topics  # noqa: PLC0415
        from consumer.kafka_errors import KafkaProblem  # noqa: PLC0415

        admin = admin_for(settings)
        try:
            states = topics.create(admin, settings)
        except KafkaProblem as problem:  # the client's last word says why
            raise KafkaProblem(*(admin.last_error() or (problem.code, problem.text))) from None
        words = {"made": "made", "fine": "left", "differs": "left", "failed": "FAIL"}
        for state in states:
            text = state.text.replace("; run: ", "\n        run ")
            word = "DIFFERS" if state.state == "differs" and state.grave else words[state.state]
            typer.echo(f"{word:<7} {state.name}: {text}")
        end(int(any(state.grave for state in states)))


@app.command()
def replay(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT...",
            help="JSON-lines files (.gz, - for standard input), each one partition, or "
            "topic:NAME[@FROM..TO].",
        ),
    ],
    config: Config = None,
    set_: Set = None,
    bootstrap: Bootstrap = None,
    out: Annotated[
        Path, typer.Option(help="Where the alert events go, one JSON object a line.")
    ] = Path("alerts.jsonl"),
    baseline_until: Annotated[
        str | None, typer.Option(metavar="TIME", help="End of the baseline's learning.")
    ] = None,
    baseline: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE", help="Compare with it from the beginning, as if it had been published."
        ),
    ] = None,
    log: Annotated[
        bool, typer.Option("--log", help="INPUT is the profiles log itself, folded again.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no summary.")] = False,
) -> None:
    """Run records through the same code without a worker, and write the alerts to a file."""
    with explained():
        need_kafka = log or any(one.startswith("topic:") for one in inputs)
        settings = load_settings(
            config, set_, bootstrap, need_kafka=need_kafka, need_inputs=not log
        )
        until = None if baseline_until is None else moment("--baseline-until", baseline_until)
        if log and baseline:
            fail("--baseline: a log has its own, where they were published; leave out --log")
        replay = import_module("consumer.replay")
        read = import_module("consumer.baselines").read_file
        try:
            status = replay.run(
                settings,
                inputs,
                out,
                baseline_until=until,
                baselines=[read(path) for path in baseline or ()],
                log=log,
                quiet=quiet,
            )
        except replay.ReplayError as error:
            fail(str(error))
        end(status)


@app.command()
def tail(
    config: Config = None,
    set_: Set = None,
    bootstrap: Bootstrap = None,
    json: Annotated[bool, typer.Option("--json", help="The events as they are.")] = False,
    from_: Annotated[
        str, typer.Option("--from", metavar="earliest|latest|TIME", help="Where to begin.")
    ] = "latest",
    follow: Annotated[bool, typer.Option(help="Wait for further events.")] = True,
) -> None:
    """Follow the alerts topic, one line per event."""
    with explained():
        settings = load_settings(config, set_, bootstrap, need_inputs=False)
        begin = (
            from_ if from_ in ("earliest", "latest") else to_microseconds(moment("--from", from_))
        )
        end(import_module("consumer.tail").main(settings, begin=begin, json=json, follow=follow))


@app.command()
def schema() -> None:
    """Print the JSON Schema of the alert events."""
    text: str | bytes = import_module("alerts.schema").schema_text()
    typer.echo(text if isinstance(text, str) else text.decode())


# In the order in which a newcomer meets them: `--help` lists them so.
commands_incidents.add_to(app)
commands_operate.add_to(app)
commands_bridge.add_to(app)
app.command()(budget)
app.command()(audit)

_COLOURS: dict[str, str] = {"ok": "green", "warn": "yellow", "FAIL": "red"}


def _show(finding: Finding) -> None:
    level, rest = str(finding)[:5], str(finding)[5:]
    typer.echo(typer.style(level, fg=_COLOURS[finding.level]) + rest)
