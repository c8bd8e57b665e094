"""The end of a process that is stuck in a call of the Kafka client, where no signal reaches it."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from . import logs


@contextmanager
def ends_process(doing: str, within: float) -> Iterator[None]:
    """End this process with status 1 unless the block is left in time.

    Args:
        doing: What the block does, for the log.
        within: Seconds.
    """
    clock = threading.Timer(within, _end, (doing, within))
    clock.daemon = True
    clock.start()
    try:
        yield
    finally:
        clock.cancel()


def _end(doing: str, within: float) -> None:
    logs.event(
        "giving up: the Kafka client does not come back; start the worker again",
        logging.ERROR,
        doing=doing,
        waited=f"{within:g} s",
    )
    os._exit(1)
