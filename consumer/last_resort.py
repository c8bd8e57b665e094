"""The end of a process that is stuck in a call of the Kafka client, where no signal reaches it."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator
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


def _end(doing: str, within: float, status: int) -> None:
    logs.event(
        "ended without waiting any longer for the Kafka client",
        logging.ERROR if status else logging.WARNING,
        doing=doing,
        waited=f"{within:g} s",
    )
    os._exit(status)
