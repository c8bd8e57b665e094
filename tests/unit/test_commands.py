"""What operators say: who is called, what is closed, and what is taken as normal from then on."""

from __future__ import annotations

from typing import Any

import pytest

from alerts.alertmanager import Alert
from alerts.board import Board
from alerts.commands import Command, Match, event_of, hidden_by
from alerts.events import Event, IncidentEvent, Resolved, Updated, encode
from alerts.incident import CALM, FLAPS
from alerts.incidents import IncidentBook
from tests.alert_reports import HOUR, MINUTE, T0, Told, change, check, missing

NOW = T0 + 10 * MINUTE


def command(kind: Any, **facts: Any) -> Command:
    plain = {"id": f"{len(kind):020x}", "at": T0, "by": "ann", "why": "a migration"}
    return Command(**{**plain, "kind": kind, **facts})


def give(told: Told, said: Command) -> list[IncidentEvent]:
    events = told.book.command(said, told.context)
    for event in events:
        check(event)
    return events


def whys(events: list[IncidentEvent]) -> list[tuple[str, ...]]:
    return [event.why for event in events if isinstance(event, Updated)]


def test_a_silence_covers_what_is_open_and_ends_by_itself() -> None:
    told = Told()
    told.say(NOW, change())
    silence = command("silence", match=Match(feature="inc*"), until=T0 + 2 * HOUR)
    (silenced,) = give(told, silence)
    assert (whys([silenced]), silenced.silenced) == ([("silenced",)], silence.id)
    assert told.say(NOW + MINUTE) == []
    (again,) = told.say(T0 + 2 * HOUR)
    assert (whys([again]), again.silenced) == ([("silence_ended",)], None)


def test_what_opens_under_a_silence_is_marked_and_another_feature_is_not() -> None:
    told = Told()
    give(told, command("silence", match=Match(feature="income"), until=T0 + 9 * HOUR))
    (opened,) = told.say(NOW, change())
    assert opened.silenced
    (grown,) = told.say(T0 + HOUR, missing("age", onset=T0 + HOUR - MINUTE))
    assert grown.silenced is None  # somebody has to know of age


def test_a_silence_can_be_ended() -> None:
    told = Told()
    told.say(NOW, change())
    silence = command("silence", until=T0 + 9 * HOUR)
    give(told, silence)
    (again,) = give(told, command("end", ends=silence.id))
    assert (whys([again]), again.silenced) == ([("silence_ended",)], None)


def test_a_planned_change_is_marked_by_its_onset() -> None:
    told = Told()
    give(told, command("expect", since=T0 - HOUR, until=T0 + HOUR))
    (planned,) = told.say(NOW, change())
    assert planned.silenced
    (not_planned,) = told.say(T0 + 4 * HOUR, change("age", onset=T0 + 3 * HOUR))
    assert not_planned.silenced is None


def test_a_silence_of_another_cause_does_not_cover_no_data() -> None:
    told = Told()
    give(told, command("silence", match=Match(cause="stuck"), until=T0 + HOUR))
    assert told.book.no_data(T0, NOW)[0].silenced is None


@pytest.mark.parametrize("kind", ["silence", "expect"])
def test_silence_of_the_whole_model_covers_no_data(kind: str) -> None:
    book = IncidentBook("predictions", "credit-risk")
    told = Told()
    told.book = book
    give(told, command(kind, until=T0 + HOUR))
    assert [event.silenced is not None for event in book.no_data(T0, NOW)] == [True]
    assert [event.silenced is not None for event in book.no_data(T0, T0 + 2 * HOUR)] == [False]


def test_somebody_acknowledges_and_reminders_stop() -> None:
    told = Told()
    told.context = told.context._replace(remind_every=4 * HOUR)
    (opened,) = told.say(NOW, change())
    assert told.say(NOW + 3 * HOUR) == []
    assert whys(told.say(NOW + 4 * HOUR)) == [("reminder",)]
    (told_so,) = give(told, command("ack", incident=opened.incident))
    assert told_so.acknowledged is not None
    assert (told_so.acknowledged.by, told_so.acknowledged.why) == ("ann", "a migration")
    assert "acknowledged by ann" in told_so.summary
    assert told.say(NOW + 20 * HOUR) == []
    (resolved,) = told.say(NOW + 21 * HOUR, recovered=(change(),))
    assert isinstance(resolved, Resolved)
    assert resolved.acknowledged == told_so.acknowledged


def test_somebody_resolves_and_a_change_that_grows_reopens_it() -> None:
    told = Told()
    (opened,) = told.say(NOW, change())
    (resolved,) = give(told, command("resolve", incident=opened.incident))
    assert isinstance(resolved, Resolved)
    assert resolved.reason == "operator"
    assert told.say(NOW + MINUTE) == []
    (again,) = told.say(NOW + 2 * MINUTE, change(effect=4.0))
    assert (again.incident, whys([again])) == (opened.incident, [("reopened",)])


def test_a_command_about_no_open_incident_does_nothing() -> None:
    told = Told()
    told.say(NOW, change())
    assert give(told, command("ack", incident="f" * 20)) == []
    assert give(told, command("resolve", incident="f" * 20)) == []


def test_a_new_normal_is_due_from_its_time_on_and_closes_what_is_changed() -> None:
    told = Told()
    (opened,) = told.say(NOW, change())
    accept = command("accept", since=T0 + HOUR)
    assert give(told, accept) == []
    assert told.book.accepted(T0 + HOUR - 1) == []
    assert told.book.accepted(T0 + HOUR) == [accept]
    assert told.book.accepted(T0 + HOUR) == []
    told.book.accept("3", "")
    told.known.clear()
    (resolved,) = told.say(T0 + HOUR + MINUTE)
    assert isinstance(resolved, Resolved)
    assert (resolved.incident, resolved.reason) == (opened.incident, "accepted")


def test_what_comes_and_goes_is_told_as_flapping_and_held_open() -> None:
    told = Told()
    now = NOW
    told.say(now, change())
    for turn in range(FLAPS):
        (gone,) = told.say(now + 10 * MINUTE, recovered=(change(),))
        assert isinstance(gone, Resolved)
        now += 20 * MINUTE
        (back,) = told.say(now, change(onset=now - MINUTE))
        assert whys([back]) == [("reopened", *(("flapping",) if turn == FLAPS - 1 else ()))]
    assert back.flapping
    count = len(told.events)
    for _ in range(5):  # it goes on: nobody is told
        told.say(now + 10 * MINUTE, recovered=(change(),))
        now += 20 * MINUTE
        told.say(now, change(onset=now - MINUTE))
    assert len(told.events) == count
    told.say(now + MINUTE, recovered=(change(),))
    assert told.say(now + CALM) == []
    (resolved,) = told.say(now + MINUTE + CALM)
    assert isinstance(resolved, Resolved)
    assert len({event.incident for event in told.events}) == 1


def test_a_book_with_commands_goes_on_from_its_state() -> None:
    told = Told()
    give(told, command("silence", match=Match(feature="age"), until=T0 + 3 * HOUR))
    (opened,) = told.say(NOW, change())
    give(told, command("ack", incident=opened.incident))
    told.say(NOW + MINUTE, recovered=(change(),))
    other = Told()
    other.book = IncidentBook.restore(told.book.state())
    other.known = set(told.known)
    for step in (change(onset=NOW + 2 * MINUTE), missing("age", onset=NOW + 2 * MINUTE)):
        assert other.say(NOW + 5 * MINUTE, step) == told.say(NOW + 5 * MINUTE, step)
    assert other.book.state() == told.book.state()


def test_the_event_of_a_command_says_who_did_what() -> None:
    said = command("silence", match=Match(model="credit*", feature="age"), until=T0 + HOUR)
    event = event_of("app", said)
    check(event)
    assert event.summary == (
        "silence until 2026-11-24T04:00Z: model credit*, feature age, by ann: a migration"
    )
    assert (event.command, event.command_id, event.match) == (
        "silence",
        said.id,
        {"model": "credit*", "feature": "age"},
    )


def test_all_that_is_changed_must_be_covered() -> None:
    silences = [command("silence", match=Match(feature=name), until=None) for name in ("a", "b")]
    both = [change("a"), change("b")]
    assert hidden_by(silences, both, "shift", T0)
    assert not hidden_by(silences[:1], both, "shift", T0)
    assert not hidden_by([], both, "shift", T0)
    versions = [command("silence", match=Match(version="3", cause="shift"))]
    assert hidden_by(versions, both, "shift", T0)
    assert not hidden_by(versions, both, "missing", T0)


def test_a_silence_ends_the_call_and_its_end_begins_it_again() -> None:
    told = Told()
    board = Board(())
    (opened,) = told.say(NOW, change())
    (firing,) = news(board, opened)
    assert firing.ends is None
    silence = command("silence", until=T0 + 2 * HOUR)
    (over,) = news(board, *give(told, silence))
    assert over.ends is not None
    (again,) = news(board, *told.say(T0 + 2 * HOUR))
    assert (again.labels, again.ends) == (firing.labels, None)
    assert news(board, event_of("app", silence)) == []


def test_nobody_is_called_about_what_opens_under_a_silence() -> None:
    told, board = Told(), Board(())
    give(told, command("silence", until=T0 + 2 * HOUR))
    assert news(board, *told.say(NOW, change())) == []
    (firing,) = news(board, *told.say(T0 + 2 * HOUR))
    assert firing.ends is None


def test_nobody_is_told_of_the_end_of_what_was_silenced_all_along() -> None:
    told, board = Told(), Board(())
    give(told, command("silence", until=T0 + 9 * HOUR))
    (opened,) = told.say(NOW, change())
    (resolved,) = told.say(NOW + MINUTE, recovered=(change(),))
    assert resolved.silenced is not None
    assert [board.apply(each, encode(each), T0) for each in (opened, resolved)] == [None, None]
    # Who begins later does not know whether others were told.
    assert Board(()).apply(resolved, encode(resolved), T0) is not None


def news(board: Board, *events: Event) -> list[Alert]:
    found: list[Alert] = []
    for event in events:
        said = board.apply(event, encode(event), T0 + 3 * HOUR)
        found += said.alerts if said is not None else ()
    return found
