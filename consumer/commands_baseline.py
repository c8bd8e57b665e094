"""The commands ``streamgauge baseline ...``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from consumer.command_line import Bootstrap, Config, Set, explained, fail, load_settings

if TYPE_CHECKING:
    from sketches.given import GivenBaseline
    from sketches.profile import Profile

baseline_app = typer.Typer(
    help="What normal looks like, made of a training set.", no_args_is_help=True
)

Name = Annotated[str, typer.Argument(metavar="FILE|ID", help="A file, or an id that alerts name.")]
Compared = "A file, an id, or live:MODEL[@FROM..TO], what the profiles log holds of a model."


@baseline_app.command("build")
def build(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE...", help="CSV, Parquet, JSON lines (.gz), or topic:NAME[@FROM..TO]."
        ),
    ],
    model: Annotated[str, typer.Option(help="Name of the model; rows of others are left out.")],
    config: Config = None,
    set_: Set = None,
    bootstrap: Bootstrap = None,
    version: Annotated[
        str, typer.Option(help="For this version of the model alone.", show_default=False)
    ] = "",
    segment: Annotated[str, typer.Option(help="For this segment alone.", show_default=False)] = "",
    topic: Annotated[
        str | None, typer.Option(help="Whose field map reads the files.", show_default=False)
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="The file to write; MODEL.baseline.", show_default=False)
    ] = None,
) -> None:
    """Make a baseline of a training set, and say what is in it."""
    with _told():
        from consumer.batch import RecordKey  # noqa: PLC0415
        from consumer.training import build as build_baseline  # noqa: PLC0415
        from consumer.training_texts import training_lines  # noqa: PLC0415
        from sketches.given import to_bytes  # noqa: PLC0415

        need_kafka = any(each.startswith("topic:") for each in inputs)
        settings = load_settings(config, set_, bootstrap, need_kafka=need_kafka)
        key = RecordKey(model, version, segment)
        found = build_baseline(settings, inputs, key, topic=topic)
        typer.echo("\n".join(training_lines(found)))
        path = out or Path(f"{re.sub(r'[^A-Za-z0-9._-]', '_', model)}.baseline")
        try:
            size = path.write_bytes(to_bytes(found.baseline))
        except OSError as error:
            fail(f"{path}: {error.strerror}")
        typer.echo(f"\nwritten: {path} ({size / 1000:,.0f} kB)")


@baseline_app.command("show")
def show(name: Name, config: Config = None, set_: Set = None, bootstrap: Bootstrap = None) -> None:
    """Say what is in a baseline."""
    with _told():
        from consumer.training_texts import baseline_lines  # noqa: PLC0415

        typer.echo("\n".join(baseline_lines(_baseline(name, config, set_, bootstrap))))


@baseline_app.command("diff")
def diff(
    before: Annotated[str, typer.Argument(metavar="A", help=Compared)],
    after: Annotated[str, typer.Argument(metavar="B", help=Compared)],
    config: Config = None,
    set_: Set = None,
    bootstrap: Bootstrap = None,
) -> None:
    """Compare two, feature by feature, those farthest apart first."""
    with _told():
        from consumer.training_texts import difference_lines  # noqa: PLC0415
        from sketches.comparison import compare  # noqa: PLC0415

        one = _profile(before, config, set_, bootstrap)
        other = _profile(after, config, set_, bootstrap)
        lines = difference_lines((one[0], other[0]), compare(one[1], other[1]))
        typer.echo("\n".join(lines))


@baseline_app.command("publish")
def publish(
    file: Annotated[Path, typer.Argument(help="As `baseline build` has written it.")],
    config: Config = None,
    set_: Set = None,
    bootstrap: Bootstrap = None,
    model: Annotated[
        str | None, typer.Option(help="For another model than it was built for.")
    ] = None,
    topic: Annotated[
        str | None, typer.Option(help="Of this input topic alone.", show_default=False)
    ] = None,
) -> None:
    """Have the running workers compare with a baseline, from the next window on."""
    with _told():
        from consumer import baselines  # noqa: PLC0415

        settings = load_settings(config, set_, bootstrap)
        found = baselines.read_file(file)
        if model is not None:
            found = replace(found, model=model)
        for each in baselines.publish(settings, found, topic):
            typer.echo(f"published: baseline {found.id} for model {found.model} of topic {each}")


def _baseline(
    name: str, config: Path | None, set_: list[str] | None, bootstrap: str | None
) -> GivenBaseline:
    from consumer import baselines  # noqa: PLC0415

    if baselines.is_id(name):
        return baselines.kept(load_settings(config, set_, bootstrap, need_inputs=False), name)
    return baselines.read_file(name)


def _profile(
    name: str, config: Path | None, set_: list[str] | None, bootstrap: str | None
) -> tuple[str, Profile]:
    from consumer import baselines  # noqa: PLC0415

    if name.startswith(baselines.LIVE):
        return baselines.live(load_settings(config, set_, bootstrap, need_inputs=False), name)
    found = _baseline(name, config, set_, bootstrap)
    sources = ", ".join(found.sources)
    told = f"{name}: {found.profile.records:,} records of {sources}, id {found.id}"
    return told, found.profile


@contextmanager
def _told() -> Iterator[None]:
    """As ``explained``, and inputs that cannot be read."""
    from consumer.replay_inputs import ReplayError  # noqa: PLC0415

    with explained():
        try:
            yield
        except ReplayError as error:
            fail(str(error))
