"""Waiting for something to become true, with a deadline."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(
    condition: Callable[[], T], deadline_s: float, what: str, every_s: float = 0.05
) -> T:
    """What ``condition`` answers as soon as that is true; AssertionError after the deadline."""
    end = time.monotonic() + deadline_s
    pause = threading.Event()
    while not (answer := condition()):
        if time.monotonic() > end:
            raise AssertionError(f"not within {deadline_s:g} s: {what}")
        pause.wait(every_s)
    return answer
