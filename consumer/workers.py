"""Several workers of one group on one host: started, started again when one dies, ended together.

They share nothing but the log on standard error; the group shares out the work. A worker ends when
its standard input does, so none outlives this process, whatever ends it.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import FrameType
from typing import Final

from . import logs
from .kafka_settings import KafkaSettings
from .settings import Settings

LOOK_EVERY: Final = 0.2  # seconds
STOP_WITHIN: Final = 12.0  # seconds; a worker itself takes 10 at most
FIRST_WAIT: Final = 1.0  # seconds before a dead worker is started again; doubled each time
LONGEST_WAIT: Final = 60.0
STEADY: Final = 60.0  # seconds alive after which the next death counts as the first
MISTAKE: Final = 2  # exit status of what another start will not mend


@dataclass(frozen=True, slots=True)
class Place:
    """One of the workers.

    Attributes:
        process: Running; None: not now.
        started: When it was, by the monotonic clock.
        due: When it is to be started, likewise; infinite: no more.
        wait: Seconds before it is started after its next death.
    """

    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    due: float = 0.0
    wait: float = FIRST_WAIT


class Workers:
    """The workers of this process.

    Args:
        command: Starts one; its number is appended.
        count: How many.
    """

    def __init__(self, command: Sequence[str], count: int) -> None:
        self._command = list(command)
        self._places = [Place() for _ in range(count)]
        self._stop_by = float("inf")
        self._signals = 0
        self._status = 0

    def run(self) -> int:
        """Until all have ended by themselves, or a signal ends them; the worst exit status."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._signalled)
        logs.event("started", workers=len(self._places))
        wake = threading.Event()
        try:
            while any(p.process or p.due < float("inf") for p in self._places):
                self._look(time.monotonic())
                wake.wait(LOOK_EVERY)
        finally:
            for place in self._places:
                if place.process is not None:
                    place.process.kill()
                    place.process.wait()
        logs.event("stopped")
        return self._status

    def _look(self, now: float) -> None:
        if self._signals and self._stop_by == float("inf"):
            self._end_all(now)
        kill = self._signals > 1 or now > self._stop_by
        for number, place in enumerate(self._places):
            if place.process is None:
                if place.due <= now:
                    self._places[number] = self._begin(number, place, now)
                continue
            if kill:
                place.process.kill()
            status = place.process.poll()
            if status is not None:
                self._places[number] = self._ended(number, place, status, now)

    def _begin(self, number: int, place: Place, now: float) -> Place:
        # A group of its own: Ctrl-C reaches this process alone, which passes it on once.
        process = subprocess.Popen(
            [*self._command, str(number)], stdin=subprocess.PIPE, process_group=0
        )
        logs.event("a worker is started", number=number, pid=process.pid)
        return replace(place, process=process, started=now, due=float("inf"))

    def _ended(self, number: int, place: Place, status: int, now: float) -> Place:
        assert place.process is not None  # noqa: S101 - narrows the type
        if place.process.stdin is not None:
            place.process.stdin.close()
        stopping = self._stop_by < float("inf")
        if status == 0 or stopping:
            clean = status in (0, -signal.SIGTERM)  # told to end before it could say how it does
            self._status = max(self._status, 0 if clean else abs(status))
            return replace(place, process=None)
        steady = now - place.started > STEADY
        if status == MISTAKE and not steady:
            # The others read the same configuration, and will say the same.
            self._status = MISTAKE
            self._end_all(now)
            return replace(place, process=None)
        wait = FIRST_WAIT if steady else place.wait
        logs.event(
            "a worker died", logging.ERROR, number=number, status=status, starts_again_in=wait
        )
        return replace(place, process=None, due=now + wait, wait=min(2 * wait, LONGEST_WAIT))

    def _end_all(self, now: float) -> None:
        self._stop_by = now + STOP_WITHIN
        for number, place in enumerate(self._places):
            self._places[number] = replace(place, due=float("inf"))
            if place.process is not None and place.process.poll() is None:
                place.process.terminate()

    def _signalled(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self._signals += 1  # the loop acts on it: nothing else is safe in here


def command(flags: Sequence[str]) -> list[str]:
    """What starts a worker with the flags of ``run``."""
    return [sys.executable, "-m", "consumer", "run", *flags, "--number"]


def own_settings(settings: Settings, number: int) -> Settings:
    """The settings of worker ``number``: a member name and a port of its own, where there is one.

    Args:
        settings: As configured for all of them.
        number: From 0.
    """
    changed: dict[str, object] = {}
    member = settings.kafka.get("group.instance.id")
    if member is not None:
        changed["kafka"] = KafkaSettings(
            {**settings.kafka, "group.instance.id": f"{member}-{number}"}
        )
    if settings.health is not None:
        host, _, port = settings.health.rpartition(":")
        if int(port):
            changed["health"] = f"{host}:{int(port) + number}"
    return settings.model_copy(update=changed)


def end_with_parent() -> None:
    """Ask this process to stop when its standard input ends: the one that started it is gone."""

    def wait() -> None:
        while os.read(0, 4096):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, daemon=True, name="parent").start()
