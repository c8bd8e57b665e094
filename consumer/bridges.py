"""``streamgauge bridge``: all bridges of a configuration in one process, apart from detection.

Each has a thread and a consumer group of its own, so that a target that is slow or away holds back
no other one.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from alerts.board import Board
from alerts.events import EventFormatError, UnknownTypeError, from_message
from consumer import logs
from consumer.alert_reader import alert_partitions
from consumer.bridge import Bridge
from consumer.endpoint import Endpoint
from consumer.kafka import Admin
from consumer.mistakes import Mistake, SettingsError
from consumer.settings import Settings
from consumer.settings_bridges import BridgeSettings, with_secrets
from consumer.targets import address, target

STUCK_AFTER: Final = 120.0  # seconds without a turn; an attempt at every replica takes less
SECOND: Final = 1_000_000


class BridgeThread(threading.Thread):
    """One bridge until it is told to stop.

    Args:
        settings: Where Kafka and the alerts topic are.
        bridge: With its secrets.
        stop: Set from outside, and by the first bridge that cannot go on.

    Attributes:
        bridge: The bridge; None: it has not begun.
        turned: When it last went round.
        failure: Why it ended before it was told to.

    Raises:
        SettingsError: A certificate cannot be read.
    """

    def __init__(self, settings: Settings, bridge: BridgeSettings, stop: threading.Event) -> None:
        super().__init__(name=bridge.name, daemon=True)
        self._settings, self._bridge, self._end = settings, bridge, stop
        self._to = target(bridge, settings.app)
        self.bridge: Bridge | None = None
        self.turned = time.monotonic()
        self.failure: BaseException | None = None

    def run(self) -> None:
        """Go round."""
        try:
            self.bridge = bridge = Bridge(self._settings, self._bridge, self._to)
            try:
                while not self._end.is_set():
                    bridge.turn()
                    self.turned = time.monotonic()
            finally:
                bridge.close()
                logs.event("bridge ends", bridge=self.name, **bridge.counts)
        except BaseException as error:  # noqa: BLE001 - the process ends with it
            self.failure = error
            self._end.set()


def run(settings: Settings) -> int:
    """All bridges of the configuration until SIGTERM or SIGINT; the exit status.

    Raises:
        KafkaFailure: One of them cannot go on, or there is no alerts topic.
        SettingsError: A secret or a certificate cannot be read, or nothing can listen at
            ``health``.
    """
    alert_partitions(settings, Admin(settings.kafka))
    stop = threading.Event()
    bridges = [with_secrets(bridge) for bridge in settings.bridges.values()]
    threads = [BridgeThread(settings, bridge, stop) for bridge in bridges]
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    endpoint = _endpoint(settings, threads)
    for bridge, thread in zip(bridges, threads, strict=True):
        to = ", ".join(map(address, bridge.url))
        group = bridge.group(settings.group)
        logs.event("bridge begins", bridge=bridge.name, kind=bridge.kind, to=to, group=group)
        thread.start()
    while not stop.wait(1.0):
        oldest = min(thread.turned for thread in threads)
        if endpoint is not None and time.monotonic() - oldest < STUCK_AFTER:
            endpoint.turn()
    for bridge, thread in zip(bridges, threads, strict=True):
        thread.join(bridge.timeout / SECOND * len(bridge.url) + 5.0)
    if endpoint is not None:
        endpoint.close()
    for thread in threads:
        if thread.failure is not None:
            raise thread.failure
    return 0


def _endpoint(settings: Settings, threads: Sequence[BridgeThread]) -> Endpoint | None:
    if settings.health is None:
        return None
    from consumer.bridge_metrics import exposition  # noqa: PLC0415 - only where somebody may ask

    ready = lambda: all(thread.bridge is not None for thread in threads)  # noqa: E731
    try:
        return Endpoint(settings.health, ready, exposition(threads))
    except OSError as error:
        text = (
            f"nothing can listen at {settings.health}: {error.strerror}; beside a worker on the "
            "same host, start it with --set health=127.0.0.1:8081"
        )
        raise SettingsError([Mistake("health", text)]) from None


def preview(settings: Settings, values: Iterable[bytes]) -> Iterator[str]:
    """What the bridges would send, in order.

    Args:
        settings: With the bridges.
        values: Of the messages of the alerts topic.
    """
    bridges = [with_secrets(bridge) for bridge in settings.bridges.values()]
    told = [(one.name, target(one, settings.app), Board(one.routes)) for one in bridges]
    for value in values:
        now = time.time_ns() // 1_000
        for name, to, board in told:
            try:
                news = board.apply(from_message(value), value, now)
            except UnknownTypeError:
                continue
            except (EventFormatError, ValueError) as error:
                yield f"{name}: skipped: {error}"
                continue
            text = to.shown(news, now) if news is not None else ""
            if text:
                yield f"{name}: {text}"
