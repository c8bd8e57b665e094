"""One bridge: alert events to a target outside of Kafka, at least once.

An event is committed after its target took it; until then nothing further is read for that target,
so what waits is bounded by one reading.
"""

from __future__ import annotations

import logging
import random
import time
from collections import Counter, deque
from collections.abc import Sequence
from typing import Final, NamedTuple

from alerts.alertmanager import Alert
from alerts.board import Board, News
from alerts.events import EventFormatError, UnknownTypeError, from_message
from consumer import logs
from consumer.alert_reader import AlertReader, Received
from consumer.kafka_failures import KafkaFailure
from consumer.settings import Settings
from consumer.settings_bridges import BridgeSettings
from consumer.target_errors import Refused, Unavailable
from consumer.targets import Target

MOST_WAITING: Final = 100  # events that are read before they are taken
TURN: Final = 0.2  # seconds
SEND_FOR: Final = 1.0  # seconds before a commit, whatever waits still
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
        self._repeated: frozenset[int] = frozenset()  # partitions that were
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

    @property
    def waiting(self) -> int:
        """Events that were read and are not taken yet."""
        return len(self._waiting)

    @property
    def away(self) -> bool:
        """Whether the last attempt failed."""
        return self._away_since is not None

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
            # An end that lies ahead of this clock would be none yet.
            news = board.apply(from_message(value), value, min(received.at, _now()))
        except UnknownTypeError:
            news = None
        except (EventFormatError, ValueError) as error:  # of another format, or of someone else
            if not received.past:
                self.counts["unreadable"] += 1
                where = f"partition {received.partition}, offset {received.offset}"
                text = "skipped what is no alert event"
                self._log_once(text, logging.WARNING, f"{where}: {error}")
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
        now, partitions = time.monotonic(), self._reader.partitions
        due = now >= self._next_repeat or partitions - self._repeated  # what is new is said at once
        if self._waiting or not due or now < self._next_try:
            return
        self._next_repeat = now + self._bridge.resend_every / SECOND
        self._repeated = partitions
        boards = [self._boards.get(partition) for partition in partitions]
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
                self._next_repeat = now + self._bridge.resend_every / SECOND

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
            self._next_repeat = 0.0  # it may have forgotten what goes on
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
