"""``streamgauge bridge``: alert events to targets outside of Kafka, at least once.

Each target has a consumer group and a thread of its own, so that one that is slow or away holds
back no other, and a process of its own, so that none holds back detection. An event is committed
after its target took it; until then nothing further is read for that target, so what waits is
bounded by one reading.
"""

from __future__ import annotations

import logging
import random
import signal
import threading
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from alerts.alertmanager import Alert
from alerts.board import Board, News
from alerts.events import EventFormatError, UnknownTypeError, from_message
from consumer import logs
from consumer.alert_reader import AlertReader, Received, alert_partitions
from consumer.endpoint import Endpoint
from consumer.kafka import Admin
from consumer.kafka_failures import KafkaFailure
from consumer.settings import Settings
from consumer.settings_bridges import BridgeSettings, with_secrets
from consumer.target_errors import Refused, Unavailable
from consumer.targets import Target, address, target

MOST_WAITING: Final = 100  # events that are read before they are taken
TURN: Final = 0.2  # seconds
SEND_FOR: Final = 1.0  # seconds before a commit, whatever waits still
STUCK_AFTER: Final = 120.0  # seconds without a turn; an attempt at every replica takes less
FIRST_RETRY: Final = 0.5  # seconds
MOST_REFUSALS: Final = 3  # of one event, before it is skipped
TOLD_AGAIN_AFTER: Final = 600.0  # seconds between two words about a target that stays away
SECOND: Final = 1_000_000


class _Waiting(NamedTuple):
    received: Received
    news: News | None  # None: nothing to send, and nothing to commit before those in front of it


class Bridge:
    """What one target is told; belongs to the thread that made it.

    Args:
        settings: Where Kafka and the alerts topic are.
        bridge: With its secrets.
        to: What it leads to.

    Attributes:
        counts: Events by what became of them: sent, refused, unreadable, and failed attempts.
    """

    def __init__(self, settings: Settings, bridge: BridgeSettings, to: Target) -> None:
        self._name, self._bridge, self._target = bridge.name, bridge, to
        self._boards: dict[int, Board] = {}
        self._waiting: deque[_Waiting] = deque()
        self._refusals = self._failures = 0
        self._next_try = self._next_repeat = 0.0
        self._away_since: float | None = None
        self._told: dict[str, float] = {}  # message -> when
        self.counts: Counter[str] = Counter()
        self._reader = AlertReader(
            settings.kafka,
            settings.alerts_topic,
            bridge.group(settings.group),
            start=bridge.start,
            on_gone=self._gone,
            on_error=self._heard,
        )

    def turn(self) -> None:
        """Read once, and send what is due.

        Raises:
            KafkaFailure: Kafka will not let it read or commit, now or ever.
        """
        try:
            self._reader.hold(bool(self._waiting))
            for received in self._reader.read(MOST_WAITING, self._patience()):
                self._take(received)
            self._send()
            self._repeat()
            self._reader.commit()
        except KafkaFailure as failure:
            if failure.kind not in ("retriable", "lost"):
                raise
            self._heard(failure.code, failure.text)

    def close(self) -> None:
        """Commit what was taken and leave the group."""
        self._reader.close()

    def _patience(self) -> float:
        return min(max(self._next_try - time.monotonic(), 0.01), TURN) if self._waiting else TURN

    def _take(self, received: Received) -> None:
        board = self._boards.setdefault(received.partition, Board(self._bridge.routes))
        value = received.message[1]
        try:
            news = board.apply(from_message(value), value, received.at)
        except UnknownTypeError:
            news = None
        except (EventFormatError, ValueError) as error:  # of another format, or of someone else
            if not received.past:
                self.counts["unreadable"] += 1
                self._log("skipped", logging.WARNING, **_place(received), cause=str(error))
            news = None
        if not received.past:
            self._waiting.append(_Waiting(received, news))

    def _send(self) -> None:
        end = time.monotonic() + SEND_FOR
        while self._waiting and self._next_try <= time.monotonic() < end:
            received, news = self._waiting[0]
            if news is not None and not self._sent(received, news):
                return
            self._waiting.popleft()
            self._reader.handled(received)

    def _sent(self, received: Received, news: News) -> bool:
        """Whether this one is done with: taken, or given up."""
        try:
            self._target.send(news, _now())
        except Unavailable as failure:
            self._failed(str(failure), failure.after)
            return False
        except Refused as failure:
            return self._gives_up(received, news, str(failure))
        except (
            ValueError,
            TypeError,
            OverflowError,
        ) as error:  # somebody else's event, most likely
            return self._gives_up(received, news, f"no message can be made of it: {error}")
        self.counts["sent"] += 1
        self._works()
        return True

    def _gives_up(self, received: Received, news: News, why: str) -> bool:
        self._refusals += 1
        if self._refusals < MOST_REFUSALS:
            self._back_off(0.0)
            return False
        self._refusals = 0
        self.counts["refused"] += 1
        self._reader.handled(received, note=news.event.id)  # test-alert looks for it
        self._log(
            "the target refuses an event; it is skipped, and stays on the topic",
            logging.ERROR,
            cause=why,
            event=news.event.id,
            incident=news.event.incident,
            **_place(received),
        )
        return True

    def _repeat(self) -> None:
        """Say again what goes on, unless the target is away: then the next attempt comes first."""
        now = time.monotonic()
        if self._waiting or now < max(self._next_repeat, self._next_try):
            return
        self._next_repeat = now + self._bridge.resend_every / SECOND
        boards = [self._boards.get(partition) for partition in self._reader.partitions]
        alerts = [one for board in boards if board for one in board.standing(_now())]
        try:
            for first in range(0, len(alerts), MOST_WAITING):
                self._say_again(alerts[first : first + MOST_WAITING])
        except Unavailable as failure:
            self._next_repeat = now
            self._failed(str(failure), failure.after)
        else:
            if alerts:
                self._works()

    def _say_again(self, alerts: Sequence[Alert]) -> None:
        try:
            self._target.send_again(alerts, _now())
        except Refused as failure:
            if len(alerts) == 1:
                self._log_once("the target refuses an alert again", logging.ERROR, str(failure))
                return
            for one in alerts:  # one that it does not want costs the others nothing
                self._say_again([one])

    def _failed(self, why: str, after: float) -> None:
        self.counts["failed"] += 1
        self._back_off(after)
        if self._away_since is None:
            self._away_since = time.monotonic()
        text = "the target does not take alerts; they wait on the topic"
        self._log_once(text, logging.WARNING, why)

    def _back_off(self, after: float) -> None:
        cap = self._bridge.retry_at_most / SECOND
        pause = min(FIRST_RETRY * 2.0 ** min(self._failures, 30), cap)
        self._failures += 1
        jitter = random.uniform(0.5, 1.0)  # noqa: S311 - bridges that failed together spread
        self._next_try = time.monotonic() + max(pause * jitter, after)

    def _works(self) -> None:
        if self._away_since is not None:
            away = f"{time.monotonic() - self._away_since:.0f} s"
            self._log("the target takes alerts again", away=away, **self.counts)
            self._told.clear()
        self._away_since = None
        self._failures = self._refusals = 0
        self._next_try = 0.0

    def _gone(self, partitions: list[int]) -> None:
        for partition in partitions:
            self._boards.pop(partition, None)
        self._waiting = deque(w for w in self._waiting if w.received.partition not in partitions)

    def _heard(self, code: str, text: str) -> None:
        self._log_once("trouble with Kafka", logging.WARNING, f"{text} ({code})")

    def _log_once(self, message: str, level: int, cause: str) -> None:
        now = time.monotonic()
        if now - self._told.get(message, float("-inf")) > TOLD_AGAIN_AFTER:
            self._told[message] = now
            self._log(message, level, cause=cause)

    def _log(self, message: str, level: int = logging.INFO, **fields: object) -> None:
        logs.event(message, level, bridge=self._name, **fields)


def _place(received: Received) -> dict[str, int]:
    return {"partition": received.partition, "offset": received.offset}


def _now() -> int:
    return time.time_ns() // 1_000


class _Thread(threading.Thread):
    """One bridge until it is told to stop; ``failure`` says why it ended before."""

    def __init__(self, settings: Settings, bridge: BridgeSettings, stop: threading.Event) -> None:
        super().__init__(name=bridge.name, daemon=True)
        self._settings, self._bridge, self._end = settings, bridge, stop
        self._to = target(bridge, settings.app)
        self.turned = time.monotonic()
        self.failure: BaseException | None = None

    def run(self) -> None:
        try:
            bridge = Bridge(self._settings, self._bridge, self._to)
            try:
                while not self._end.is_set():
                    bridge.turn()
                    self.turned = time.monotonic()
            finally:
                bridge.close()
                logs.event("bridge ends", bridge=self._bridge.name, **bridge.counts)
        except BaseException as error:  # noqa: BLE001 - the process ends with it
            self.failure = error
            self._end.set()


def run(settings: Settings) -> int:
    """All bridges of the configuration until SIGTERM or SIGINT; the exit status.

    Raises:
        KafkaFailure: One of them cannot go on, or there is no alerts topic.
        SettingsError: A secret cannot be read.
        OSError: A certificate cannot be read.
    """
    alert_partitions(settings, Admin(settings.kafka))
    stop = threading.Event()
    threads = [
        _Thread(settings, with_secrets(bridge), stop) for bridge in settings.bridges.values()
    ]
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    health = Health(settings.health) if settings.health else None
    for bridge, thread in zip(settings.bridges.values(), threads, strict=True):
        logs.event(
            "bridge begins",
            bridge=bridge.name,
            kind=bridge.kind,
            to=_where(bridge),
            group=bridge.group(settings.group),
        )
        thread.start()
    while not stop.wait(1.0):
        if health is not None and _all_turn(threads):
            health.turn()
    for thread in threads:
        thread.join(max(bridge.timeout for bridge in settings.bridges.values()) / SECOND + 5.0)
    if health is not None:
        health.close()
    for thread in threads:
        if thread.failure is not None:
            raise thread.failure
    return 0


def _all_turn(threads: Sequence[_Thread]) -> bool:
    return min(thread.turned for thread in threads) > time.monotonic() - STUCK_AFTER


def _where(bridge: BridgeSettings) -> str:
    return ", ".join(map(address, bridge.url)) or "the address in its url_file"


def preview(settings: Settings, values: Iterable[bytes]) -> Iterator[str]:
    """What the bridges would send, in order.

    Args:
        settings: With the bridges.
        values: Of the messages of the alerts topic.
    """
    bridges = [with_secrets(bridge) for bridge in settings.bridges.values()]
    told = [(one.name, target(one, settings.app), Board(one.routes)) for one in bridges]
    for value in values:
        now = _now()
        for name, to, board in told:
            try:
                news = board.apply(from_message(value), value, now)
            except (EventFormatError, ValueError) as error:
                yield f"{name}: skipped: {error}"
                continue
            text = to.shown(news, now) if news is not None else ""
            if text:
                yield f"{name}: {text}"
