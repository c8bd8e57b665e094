"""Waiting for a broker that does not answer: for as long as it takes, but not once stopping."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from . import logs
from .kafka_failures import KafkaFailure

SLICE = 1.0  # seconds of one try
BETWEEN = 0.1  # seconds at least from try to try


class Patience:
    """Repeats what may work later.

    Args:
        turned: Called after every try, for whoever watches that the process is alive.

    Attributes:
        stop_by: When the process wants to be gone; infinite while it runs.
    """

    def __init__(self, turned: Callable[[], None]) -> None:
        self.stop_by = float("inf")
        self._turned = turned

    @property
    def left(self) -> float:
        """Seconds until it wants to be gone."""
        return self.stop_by - time.monotonic()

    def wait(self, call: Callable[[float], None], tell_after: float, limit: float = 1e9) -> None:
        """Call with a timeout until that works.

        Args:
            call: What to do; it may be repeated after a failure that is ``retriable``.
            tell_after: Seconds until the log is told.
            limit: Seconds after which it is given up as ``fatal``: what it did is not known.

        Raises:
            KafkaFailure: Not retriable, over the limit, or the process is to stop.
        """
        begun, told = time.monotonic(), False
        while True:
            tried = time.monotonic()
            try:
                call(max(0.05, min(SLICE, self.stop_by - tried)))
            except KafkaFailure as failure:
                now = time.monotonic()
                if failure.kind != "retriable" or now > self.stop_by:
                    raise
                if now - begun > limit:
                    text = f"no answer within {limit:g} s: {failure.text}"
                    raise KafkaFailure("fatal", failure.code, text) from None
                if now - begun > tell_after and not told:
                    told = True
                    logs.event("waiting for the broker", logging.WARNING, cause=failure.text)
                self._turned()
                time.sleep(max(0.0, min(BETWEEN - (now - tried), self.stop_by - now)))
            else:
                if told:
                    logs.event("the broker answers again")
                return
