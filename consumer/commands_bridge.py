"""``streamgauge bridge`` and ``streamgauge test-alert``."""

from __future__ import annotations

import signal
import threading
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from consumer.command_line import Bootstrap, Config, Set, end, explained, fail, load_settings
from consumer.durations import SECOND, parse_duration

if TYPE_CHECKING:
    from alerts.events import Opened
    from consumer.drill import Drill
    from consumer.settings import Settings


def add_to(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command()(bridge)
    app.command("test-alert")(drill)


def bridge(
    config: Config = None,
    set_: Set = None,
    bootstrap: Bootstrap = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Print what would be sent of all that the topic holds; send and commit nothing.",
        ),
    ] = False,
) -> None:
    """Tell Alertmanager, webhooks and syslog servers of alerts until stopped."""
    with explained():
        settings = _with_bridges(load_settings(config, set_, bootstrap, need_inputs=False))
        bridges = import_module("consumer.bridges")
        if not dry_run:
            import_module("consumer.logs").start()
            end(bridges.run(settings))
        tail = import_module("consumer.tail")
        messages = tail.alert_messages(settings, "earliest", follow=False)
        for text in bridges.preview(settings, (value for _, value, _ in messages)):
            typer.echo(f"{text}\n")


def drill(
    config: Config = None,
    set_: Set = None,
    bootstrap: Bootstrap = None,
    model: Annotated[
        str, typer.Option(help="Whose alert it pretends to be, for routes.")
    ] = "streamgauge-test",
    severity: Annotated[Literal["warning", "critical"], typer.Option()] = "critical",
    label: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="A label, for routes. May be repeated."),
    ] = None,
    lasts: Annotated[
        str,
        typer.Option("--for", help="How long until it is resolved; receivers group for a while."),
    ] = "2min",
    resolve: Annotated[
        bool, typer.Option("--resolve", help="Resolve tests that were left open; begin none.")
    ] = False,
) -> None:
    """Send an alert marked as a test through the topic and the bridges; resolve it again."""
    with explained():
        seconds, labels = _duration(lasts), _labels(label or [])
        settings = load_settings(config, set_, bootstrap, need_inputs=False)
        way: Drill = import_module("consumer.drill").Drill(settings)
        if resolve:
            left = way.unfinished()
            typer.echo(f"{len(left)} open test{'s' * (len(left) != 1)} on {settings.alerts_topic}")
            for test in left:
                _finish(way, test)
        else:
            # Whatever ends it early, the test is resolved; a shell's background job ignores Ctrl-C.
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.default_int_handler)
            test = way.begin(model, severity, labels)
            typer.echo(f"test  #{test.incident[:8]} opened on topic {settings.alerts_topic}")
            if not settings.bridges:
                typer.echo("      no bridge is configured; streamgauge tail shows it")
            try:
                for line in way.taken(test):
                    typer.echo(line)
                if seconds:
                    typer.echo(f"      it is resolved after {lasts}, or at once on Ctrl-C")
                threading.Event().wait(seconds)
            except KeyboardInterrupt:
                typer.echo()
            _finish(way, test)
        end(int(not way.passed))


def _finish(way: Drill, test: Opened) -> None:
    event = way.end(test)
    typer.echo(f"test  #{test.incident[:8]} resolved")
    with suppress(KeyboardInterrupt):
        for line in way.taken(event):
            typer.echo(line)


def _duration(text: str) -> float:
    try:
        return parse_duration(text) / SECOND
    except ValueError as error:
        fail(f"--for: {error}")


def _labels(pairs: list[str]) -> dict[str, str]:
    found = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not name or not equals:
            fail("--label is not NAME=VALUE; write for example --label team=risk")
        found[name] = value
    return found


def _with_bridges(settings: Settings) -> Settings:
    if not settings.bridges:
        fail(
            "bridges: no target is named; write a table such as\n"
            '  [bridges.pager]\n  kind = "alertmanager"\n  url = "http://alertmanager:9093"'
        )
    return settings
