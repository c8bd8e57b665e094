"""The loop of one bridge: what is committed when, and what happens to what a target refuses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from alerts.alertmanager import Alert
from alerts.board import News
from alerts.drill import opened, resolved
from alerts.events import Event, Opened, encode
from consumer import bridge as module
from consumer.alert_reader import Received
from consumer.bridge import MOST_REFUSALS, Bridge
from consumer.bridges import preview
from consumer.settings import Settings
from consumer.settings_bridges import BridgeSettings
from consumer.target_errors import Refused, Unavailable

T0 = 1_795_489_200_000_000


class Log:
    """The alerts topic as a reader gives it, one partition."""

    def __init__(self, *_: object, **told: Any) -> None:
        self.gone = told["on_gone"]
        self.coming: list[Received] = []
        self.held = False
        self.committed = self._handled = 0
        self.notes: list[str] = []
        self.partitions = frozenset({0})

    def add(self, value: bytes, past: bool = False) -> None:
        offset = self.coming[-1].offset + 1 if self.coming else self.committed
        self.coming.append(Received(0, offset, T0, (None, value, []), past))

    def read(self, most: int, timeout: float) -> list[Received]:
        if self.held:
            return []
        now, self.coming = self.coming[:most], self.coming[most:]
        return now

    def hold(self, wanted: bool) -> None:
        self.held = wanted

    def handled(self, received: Received, note: str | None = None) -> None:
        self._handled = received.offset + 1
        self.notes += [note] if note else []

    def commit(self) -> None:
        self.committed = self._handled

    def close(self) -> None:
        """Nothing to leave."""


class Person:
    """A target that answers as told, then takes everything."""

    def __init__(self) -> None:
        self.answers: list[Exception | None] = []
        self.taken: list[Event] = []
        self.tries = 0
        self.repeated: list[Alert] = []

    def send(self, news: News, now: int) -> None:
        self.tries += 1
        answer = self.answers.pop(0) if self.answers else None
        if answer is not None:
            raise answer
        self.taken.append(news.event)

    def send_again(self, alerts: Sequence[Alert], now: int) -> None:
        self.repeated = list(alerts)

    def shown(self, news: News, now: int) -> str:
        return ""


class Clock:
    """Seconds; passes when told only."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def monotonic(self) -> float:
        return self.now

    def time_ns(self) -> int:
        return T0 * 1_000


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    one = Clock()
    monkeypatch.setattr(module, "time", one)
    monkeypatch.setattr(module, "AlertReader", Log)
    return one


def make(person: Person, **more: Any) -> tuple[Bridge, Log]:
    plain = {"name": "b", "kind": "webhook", "url": "http://h/"}
    one = Bridge(Settings(), BridgeSettings.model_validate({**plain, **more}), person)
    log = one._reader
    assert isinstance(log, Log)
    return one, log


def event(number: int) -> Opened:
    return opened("app", f"m{number}", "critical", {}, T0, str(number))


def test_committed_after_it_was_taken(clock: Clock) -> None:
    person = Person()
    one, log = make(person)
    log.add(encode(event(0)))
    one.turn()
    assert (person.taken, log.committed) == ([event(0)], 1)


def test_nothing_is_read_nor_committed_while_the_target_is_away(clock: Clock) -> None:
    person = Person()
    person.answers = [Unavailable("away")] * 5
    one, log = make(person)
    for number in range(250):
        log.add(encode(event(number)))
    for _ in range(20):
        one.turn()
    assert (person.tries, log.committed, len(log.coming)) == (1, 0, 150)
    assert log.held
    pauses = []
    while person.answers:
        before, tries = clock.now, person.tries
        while person.tries == tries:
            clock.now += 0.05
            one.turn()
        pauses.append(clock.now - before)
    assert all(0.24 < pause < 9 for pause in pauses)
    assert pauses[-1] > pauses[0]
    while log.coming or log.committed < 250:
        clock.now += 10
        one.turn()
    assert [each.model for each in person.taken] == [f"m{number}" for number in range(250)]
    assert one.counts == {"sent": 250, "failed": 5}


def test_attempts_do_not_get_rarer_for_ever(clock: Clock) -> None:
    person = Person()
    person.answers = [Unavailable("away")] * 40
    one, log = make(person, retry_at_most=8_000_000)
    log.add(encode(event(0)))
    begun = clock.now
    while person.answers:
        clock.now += 0.5
        one.turn()
    assert clock.now - begun < 40 * 8.5


def test_a_target_that_asks_to_wait_is_left_alone(clock: Clock) -> None:
    person = Person()
    person.answers = [Unavailable("busy", after=30.0)]
    one, log = make(person)
    log.add(encode(event(0)))
    one.turn()
    clock.now += 29
    one.turn()
    assert person.tries == 1
    clock.now += 2
    one.turn()
    assert person.taken == [event(0)]


def test_an_event_that_is_refused_is_skipped_in_the_end(clock: Clock) -> None:
    person = Person()
    person.answers = [Refused("status 400")] * MOST_REFUSALS
    one, log = make(person)
    log.add(encode(event(0)))
    log.add(encode(event(1)))
    for _ in range(10):
        clock.now += 60
        one.turn()
    assert person.taken == [event(1)]
    assert one.counts == {"refused": 1, "sent": 1}
    assert log.committed == 2
    assert log.notes == [event(0).id]


def test_what_is_no_event_of_this_format_stops_nothing(clock: Clock) -> None:
    person = Person()
    one, log = make(person)
    for value in (b"\xff", b'{"type":"of_a_later_release","v":1}', b'{"v":2}'):
        log.add(value)
    log.add(encode(event(0)).replace(b'"onset":"2026-11-24T03:00:00.000Z"', b'"onset":"soon"'))
    log.add(encode(event(1)))
    one.turn()
    assert person.taken == [event(1)]
    assert one.counts == {"unreadable": 3, "sent": 1}
    assert log.committed == 5


def test_the_past_is_known_and_not_told(clock: Clock) -> None:
    person = Person()
    one, log = make(person, kind="alertmanager")
    log.add(encode(event(0)), past=True)
    log.add(encode(event(1)), past=True)
    log.add(encode(event(0)))  # a repetition after a crash of the worker
    log.add(encode(resolved(event(1), T0, T0 + 1)))
    one.turn()
    assert [each.model for each in person.taken] == ["m1"]
    labels = {alert.labels["model"]: alert.ends for alert in person.repeated}
    assert labels["m0"] is None
    assert labels["m1"] is not None


def test_partitions_of_somebody_else_are_forgotten(clock: Clock) -> None:
    person = Person()
    person.answers = [Unavailable("away")]
    one, log = make(person, kind="alertmanager")
    log.add(encode(event(0)))
    one.turn()
    log.gone([0])
    clock.now += 100
    one.turn()
    assert not person.taken
    assert not person.repeated


def test_repetitions_begin_when_the_past_is_read(clock: Clock) -> None:
    person = Person()
    one, log = make(person, kind="alertmanager")
    log.partitions = frozenset()
    log.add(encode(event(0)), past=True)
    one.turn()
    assert not person.repeated
    log.partitions = frozenset({0})
    one.turn()
    assert [alert.labels["model"] for alert in person.repeated] == ["m0"]
    person.repeated.clear()
    clock.now += 59
    one.turn()
    assert not person.repeated
    clock.now += 2
    one.turn()
    assert person.repeated


def test_a_target_that_was_away_hears_at_once_what_goes_on(clock: Clock) -> None:
    person = Person()
    one, log = make(person, kind="alertmanager")
    log.add(encode(event(0)), past=True)
    one.turn()
    person.repeated.clear()
    person.answers = [Unavailable("away")]
    log.add(encode(event(1)))
    one.turn()
    clock.now += 1
    one.turn()
    assert {alert.labels["model"] for alert in person.repeated} == {"m0", "m1"}


def test_a_dry_run_shows_each_target_what_its_routes_let_through() -> None:
    settings = Settings.model_validate(
        {
            "bridges": {
                "pager": {"kind": "alertmanager", "url": "http://am:9093"},
                "one": {"kind": "syslog", "url": "udp://h:514", "routes": [{"models": ["m1"]}]},
            }
        }
    )
    later = b'{"type":"of_a_later_release","v":1}'
    shown = list(preview(settings, [encode(event(0)), b"x", later, encode(event(1))]))
    assert [text.splitlines()[0] for text in shown] == [
        "pager: POST http://am:9093/api/v2/alerts",
        "pager: skipped: not an alert event: JSON is malformed: invalid character (byte 0)",
        "one: skipped: not an alert event: JSON is malformed: invalid character (byte 0)",
        "pager: POST http://am:9093/api/v2/alerts",
        "one: udp://h:514",
    ]
