"""Defects of the alerts topic, and what an audit makes of topics that are no longer whole."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

import orjson
import pytest

from alerts.events import from_message, hash_id
from consumer.audit import Missing, audit
from consumer.audit_findings import Place, Report, Violation
from consumer.commit_state import CommitState
from consumer.start import Word, set_by_hand
from tests.audit_worlds import ALERTS, LOG, REJECTS, Message, Process, World, finish, live

START = 1_767_225_600_000


@pytest.fixture(scope="module")
def calm() -> World:
    """Models that fall silent for long at different times, and come back."""
    world = World({"t": 2, "u": 1})
    for second in [*range(0, 200, 10), *range(200, 1_200, 40), *range(1_200, 1_400, 10)]:
        for number, model in enumerate("abc"):
            if 30 + 5 * number < second < 1_150 + 20 * number:
                continue
            when = START + second * 1000 + number
            for place in world.inputs:
                value = b'{"event_time": %d, "model": "%b"}' % (when, model.encode())
                message = Message(len(world.messages[place]), when * 1000, None, value)
                world.messages[place].append(message)
        for place in world.inputs:
            when = START + second * 1000 + 900
            value = b'{"event_time": %d, "model": "steady"}' % when
            message = Message(len(world.messages[place]), when * 1000, None, value)
            world.messages[place].append(message)
    live(world, random.Random(3), 120, most=16)
    finish(world)
    world.detect(random.Random(5), repeat=0.2)
    return world


@pytest.fixture
def world(calm: World) -> World:
    return calm.copy()


def judged(world: World) -> Report:
    return audit(world.settings, world)


def found(world: World, kind: str) -> Violation:
    report = judged(world)
    mine = [one for one in report.violations if one.kind == kind]
    assert mine, report.lines()
    assert f"  look at {mine[0].place}" in report.lines()
    return mine[0]


def firsts(world: World, least: int = 1) -> list[tuple[int, int, Message]]:
    """First publications of events of at least this revision."""
    seen: set[bytes] = set()
    told = []
    for number in range(3):
        for at, message in enumerate(world.messages[ALERTS, number]):
            value = message.value or b""
            if value not in seen and from_message(value).revision >= least:
                told.append((number, at, message))
            seen.add(value)
    return told


def remove(world: World, value: bytes | None) -> None:
    """All publications of an event."""
    for number in range(3):
        held = world.messages[ALERTS, number]
        world.messages[ALERTS, number] = [m for m in held if m.value != value]


def edited(message: Message, **fields: object) -> bytes:
    return orjson.dumps({**orjson.loads(message.value or b""), **fields})


def test_a_calm_system_passes(calm: World) -> None:
    report = judged(calm)
    assert not report.violations, report.lines()
    told = report.checked[-1]
    assert told["events"] == told["due"] >= 12
    assert told["repetitions"] > 5


def test_a_missing_alert(world: World) -> None:
    message = firsts(world, least=2)[-1][2]
    remove(world, message.value)
    one = found(world, "alert_missing")
    event = from_message(message.value or b"")
    assert one.place.topic == LOG
    assert f"event {event.id} (resolved, revision 2, of {event.topic}" in one.text


def test_an_alert_too_many(world: World) -> None:
    message = firsts(world)[2][2]
    value = edited(message, id=hash_id("x"), incident=hash_id("y"))
    world.write(ALERTS, 1, hash_id("y").encode(), value)
    one = found(world, "alert_extra")
    assert one.place == Place(ALERTS, 1, world.end(ALERTS, 1) - 1)
    assert f"event {hash_id('x')}" in one.text


def test_a_test_alert_follows_from_nothing_and_is_no_violation(world: World) -> None:
    message = firsts(world)[2][2]
    labels = {"test": "true"}
    value = edited(message, id=hash_id("x"), incident=hash_id("y"), labels=labels)
    world.write(ALERTS, 1, hash_id("y").encode(), value)
    report = judged(world)
    assert not report.violations, report.lines()
    assert report.notes == ["1 events are tests that somebody sent"]


def test_an_event_with_another_text(world: World) -> None:
    message = firsts(world)[2][2]
    event = from_message(message.value or b"")
    for number in range(3):
        for each in world.messages[ALERTS, number]:
            if each.key == message.key and each.value == message.value:
                each.value = edited(message, text="nothing to see here")
    one = found(world, "alert_changed")
    assert one.place.topic == ALERTS
    assert f"event {event.id}" in one.text
    assert "nothing to see here" in one.text


def test_a_repeated_event_with_another_text(world: World) -> None:
    number, _, message = firsts(world)[2]
    world.write(ALERTS, number, message.key, edited(message, severity="critical"), message.headers)
    one = found(world, "alert_changed")
    assert one.place == Place(ALERTS, number, world.end(ALERTS, number) - 1)
    assert "was published with other content at" in one.text


def test_a_header_of_another_event(world: World) -> None:
    number, at, message = firsts(world)[-1]
    for each in world.messages[ALERTS, number]:
        if each.value == message.value:
            each.headers = message.headers[:-1]
    assert found(world, "alert_changed").text.count("headers") == 1
    assert at >= 0


def test_a_key_of_another_incident(world: World) -> None:
    number, _, message = firsts(world)[-1]
    for each in world.messages[ALERTS, number]:
        if each.value == message.value:
            each.key = b"other"
    assert "key b'other' instead of" in found(world, "alert_changed").text


def test_a_revision_skipped(world: World) -> None:
    message = firsts(world, least=2)[0][2]
    event = from_message(message.value or b"")
    first = next(
        m for _, _, m in firsts(world) if m.key == message.key and m.value != message.value
    )
    remove(world, first.value)
    one = found(world, "alert_revision")
    assert one.place.topic == ALERTS
    assert one.text == f"revision 2 of incident {event.incident} follows revision 0"


def test_events_in_the_wrong_order(world: World) -> None:
    mine = [one for one in firsts(world) if one[0] == 0]
    places = [at for _, at, _ in mine]
    held = [world.messages[ALERTS, 0][at] for at in places]
    offsets = [m.offset for m in held]
    held.reverse()
    for message, offset in zip(held, offsets, strict=True):
        message.offset = offset
    world.messages[ALERTS, 0] = held
    one = found(world, "alert_order")
    assert one.place.topic == ALERTS
    assert "which follows later" in one.text


def test_a_message_that_is_no_event(world: World) -> None:
    world.write(ALERTS, 2, b"k", b"{}")
    one = found(world, "alert_unreadable")
    assert one.place == Place(ALERTS, 2, world.end(ALERTS, 2) - 1)


# --- a live system, and topics that are no longer whole -----------------------------------------


def test_what_is_not_committed_is_not_due(world: World) -> None:
    """The detect stage has read half of the log; the profile stage is ahead of its commits."""
    world.commits[LOG, 0] = 20, ""
    world.commits[LOG, 1] = 20, ""
    events = firsts(world)
    for _, _, message in events[len(events) // 2 :]:
        remove(world, message.value)
    report = judged(world)
    assert "alert_missing" not in report.counts
    assert report.checked[-1]["due"] < report.checked[-1]["follow from the log"]


def test_a_log_that_retention_has_cut(world: World) -> None:
    for number in range(2):
        end = world.end(LOG, number)
        world.snapshot(number, end // 2)
        world.trim(LOG, number, end // 3)
    report = judged(world)
    assert not report.violations, report.lines()
    assert any("are computed from the snapshot at that offset" in text for text in report.notes)
    assert any("older than what the log still lets compute" in text for text in report.notes)
    told = report.checked[-1]
    assert 0 < told["follow from the log"] < told["events"]
    for number in range(3):
        world.messages[ALERTS, number] = []
    assert judged(world).counts["alert_missing"] == told["due"]


def test_a_cut_log_without_a_snapshot(world: World) -> None:
    for number in range(2):
        world.trim(LOG, number, world.end(LOG, number) // 3)
    report = judged(world)
    assert not report.violations, report.lines()
    assert sum("there is no snapshot" in text for text in report.notes) == 2


def test_a_defect_after_the_cut_of_the_log_is_found(world: World) -> None:
    for number in range(2):
        world.trim(LOG, number, world.end(LOG, number) // 3)
    del world.messages["u", 0][-30:-20]
    assert found(world, "count_over").text.startswith("u[0]: ")


@pytest.mark.parametrize("topic", ["t", ALERTS, REJECTS])
def test_other_topics_that_retention_has_cut(world: World, topic: str) -> None:
    for number in range(world.counts[topic]):
        world.trim(topic, number, world.end(topic, number) // 2)
    report = judged(world)
    assert not report.violations, report.lines()


def test_an_input_that_is_gone_or_compacted(world: World) -> None:
    world.compact.add("t")
    del world.counts["u"]
    report = judged(world)
    assert not report.violations
    assert Counter("compacted" in text for text in report.notes)[True] == 2
    assert any(text.startswith("u[0]: the input is gone") for text in report.notes)


def test_lost_ranges_are_listed_and_no_violation(world: World) -> None:
    """Retention took what a restarted worker had not read; the workers tell of it."""
    cut = World({"t": 1})
    cut.messages["t", 0] = world.messages["t", 0]
    first = Process(cut, "w0", cut.inputs)
    first.feed(("t", 0), 60)
    first.publish(("t", 0))
    low = first.parts["t", 0].position + 20
    cut.trim("t", 0, low)
    finish(cut)
    cut.detect(random.Random(1))
    report = judged(cut)
    assert not report.violations, report.lines()
    assert any(f" to {low} never read" in text for text in report.declared)


def test_records_that_an_operator_skipped_are_declared_and_no_violation(world: World) -> None:
    """Windows that were closed stay closed; undeclared, the same offsets would be missing."""
    for declared in (True, False):
        skipped = World({"t": 1})
        skipped.messages["t", 0] = world.messages["t", 0]
        first = Process(skipped, "w0", skipped.inputs)
        first.feed(("t", 0), 60)
        first.publish(("t", 0))
        offset, metadata = first.parts["t", 0].to_commit()
        state = CommitState.from_metadata(metadata)
        assert state is not None
        assert state.closed_through is not None
        word = Word(state.closed_through, state.closed_at, offset)
        start = set_by_hand(offset + 20, 0, skipped.end("t", 0), word, state.borders)
        skipped.starts["t", 0] = start if declared else replace(start, lost=())
        finish(skipped)
        skipped.detect(random.Random(1))
        report = judged(skipped)
        assert bool(report.violations) is not declared, report.lines()
        assert bool(report.declared) is declared


def test_there_is_nothing_to_audit(world: World) -> None:
    del world.counts[ALERTS]
    with pytest.raises(Missing, match="there is no topic app-alerts"):
        judged(world)
