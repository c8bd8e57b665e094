"""The end of a process that is stuck in a call of the Kafka client, where no signal reaches it."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from . import logs


@contextmanager
def ends_process(doing: str, within: float, status: int = 1) -> Iterator[None]:
    """End this process unless the block is left in time.

    Args:
        doing: What the block does, for the log.
        within: Seconds.
        status: Exit status.
    """
    clock = threading.Timer(within, _end, (doing, within, status))
    clock.daemon = True
    clock.start()
    try:
        yield
    finally:
        clock.cancel()


def comes_back(call: Callable[[], object], within: float) -> bool:
    """Make a call that may never return, in a thread of its own; signals are heard meanwhile.

    Args:
        call: What it raises is raised here.
        within: Seconds.

    Returns:
        False: it has not returned, and its thread is left behind.
    """
    raised: list[Exception] = []

    def work() -> None:
        try:
            call()
        except Exception as error:  # noqa: BLE001 - raised again below
            raised.append(error)

    thread = threading.Thread(target=work, daemon=True, name="may hang")
    thread.start()
    thread.join(within)
    if raised:
        raise raised[0]
    return not thread.is_alive()


def _end(doing: str, within: float, status: int) -> None:
    logs.event(
        "ended without waiting any longer for the Kafka client",
        logging.ERROR if status else logging.WARNING,
        doing=doing,
        waited=f"{within:g} s",
    )
    os._exit(status)
