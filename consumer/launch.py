"""Starting a worker: its topics, its endpoint, then its loop."""

from __future__ import annotations

import gc
from collections.abc import Sequence

from . import logs, topics
from .endpoint import Endpoint
from .kafka import Admin
from .kafka_errors import KafkaProblem
from .meters import Meters
from .settings import Settings
from .worker import ASK_WITHIN, Stopped, Worker
from .workers import Workers, command, end_with_parent, own_settings

REMEDY = (
    "make them with: streamgauge topics create\n"
    "if they exist, this user may not see them: streamgauge check tells which permissions lack"
)
GC_THRESHOLD = 500_000  # container objects made and not freed between two looks for cycles


def run_many(flags: Sequence[str], count: int) -> int:
    """Several workers with the same flags, until told to stop; the worst exit status."""
    logs.start()
    return Workers(command(flags), count).run()


def run(settings: Settings, *, drain: bool = False, number: int | None = None) -> int:
    """Make or verify the internal topics, then work until told to stop; the exit status.

    Args:
        settings: As configured.
        drain: Close every window, then end.
        number: Of this worker among those that one process started; None: it is alone.

    Raises:
        Stopped: It cannot work; the text says why and what to do.
    """
    if number is None:
        logs.start()
    else:
        logs.start(number=number)
        settings = own_settings(settings, number)
        end_with_parent()
    # Batches of decoded records are many objects and no cycles: looking at each of them again and
    # again costs more than decoding does.
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD, 20, 20)
    _have_topics(settings)
    meters = Meters()
    endpoint = _endpoint(settings, meters)
    try:
        return Worker(settings, meters, endpoint, drain=drain).run()
    finally:
        if endpoint is not None:
            endpoint.close()


def _have_topics(settings: Settings) -> None:
    admin = Admin(settings.kafka, timeout=ASK_WITHIN)
    look = topics.create if settings.topics.create else topics.verify
    try:
        states = look(admin, settings)
    except KafkaProblem as problem:  # the client's last word says why
        raise KafkaProblem(*(admin.last_error() or (problem.code, problem.text))) from None
    for state in states:
        if state.state in {"made", "differs"}:
            logs.event(f"topic {state.name}: {state.text}")
    grave = [f"{state.name}: {state.text}" for state in states if state.grave]
    if grave:
        missing = any(state.state == "missing" for state in states)
        remedy = [REMEDY] if missing else []
        raise Stopped("\n".join(grave + remedy))


def _endpoint(settings: Settings, meters: Meters) -> Endpoint | None:
    if settings.health is None:
        return None
    from .metrics import exposition  # noqa: PLC0415 - its library only where somebody may ask

    answer = exposition(meters, settings.budget)
    try:
        return Endpoint(settings.health, lambda: meters.view.ready, answer)
    except OSError as error:
        raise Stopped(f"health = {settings.health!r}: nothing can listen there: {error}") from None
