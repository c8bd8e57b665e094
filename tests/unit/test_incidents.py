"""The life of incidents: one change is one incident, and only what matters is told."""

from __future__ import annotations

import pytest

from alerts.events import Event, IncidentEvent, Resolved, Updated, event_type, to_message
from alerts.incidents import IncidentBook
from alerts.read import events, incidents, is_open
from tests.alert_reports import (
    HOUR,
    MINUTE,
    SECOND,
    T0,
    Report,
    Told,
    change,
    key,
    missing,
)

DAY = 24 * HOUR
AT = T0 + 10 * MINUTE


def kinds(told: list[IncidentEvent]) -> list[str]:
    return [event_type(event) for event in told]


def test_opened_then_resolved_when_all_has_recovered() -> None:
    told = Told()
    fall, gone = change(), missing()
    (opened,) = told.say(AT, fall, gone)
    assert (opened.revision, opened.severity, opened.changes_total) == (1, "critical", 2)
    assert opened.onset == "2026-11-24T03:00:00.000Z"
    assert opened.detected == opened.time == "2026-11-24T03:10:00.000Z"
    assert told.say(AT + HOUR, recovered=(fall,)) == []
    (resolved,) = told.say(AT + 2 * HOUR, recovered=(gone,))
    assert isinstance(resolved, Resolved)
    assert (resolved.revision, resolved.reason) == (2, "recovered")
    assert resolved.incident == opened.incident
    assert [each.active for each in resolved.changes] == [False, False]
    assert told.book.open == 0


@pytest.mark.parametrize(
    ("ends", "reason"),
    [
        ({"settled": (change(), missing())}, "settled"),
        ({"settled": (change(),), "recovered": (missing(),)}, "settled"),
        ({"forgotten": (change(), missing())}, "expired"),
    ],
)
def test_the_reason_of_a_resolution(ends: dict[str, tuple], reason: str) -> None:  # type: ignore[type-arg]
    told = Told()
    told.say(AT, change(), missing())
    (resolved,) = told.say(AT + DAY, **ends)
    assert isinstance(resolved, Resolved)
    assert resolved.reason == reason


def test_spread_and_location_of_one_feature_are_one_incident_even_hours_apart() -> None:
    told = Told()
    told.say(AT, change())
    later = change(signal="spread", onset=T0 + 5 * HOUR)
    assert told.say(T0 + 6 * HOUR, later) == []  # the same feature: nothing new to tell
    assert told.book.open == 1
    assert told.say(T0 + 7 * HOUR, recovered=(change(),)) == []
    (resolved,) = told.say(T0 + 8 * HOUR, recovered=(later,))
    assert resolved.changes_total == 2


def test_versions_and_segments_that_change_together_are_parts_of_one_incident() -> None:
    (opened,) = Told().say(AT, *(change(version=v, segment=s) for v in "34" for s in ("", "eu")))
    assert (opened.versions, opened.segments) == (("3", "4"), ("", "eu"))
    assert (opened.changes_total, opened.features_total) == (4, 1)


def test_what_is_far_in_time_is_another_incident_and_near_it_is_the_same() -> None:
    told = Told()
    (season,) = told.say(AT, change("temperature"))
    (storm,) = told.say(AT + 30 * DAY, change("delay", onset=T0 + 30 * DAY))
    assert event_type(storm) == "opened"
    assert told.book.open == 2
    # A signal of the season's own feature, while the storm begins, belongs to the storm.
    onset = T0 + 30 * DAY + 20 * MINUTE
    spread = change("temperature", "spread", onset=onset)
    (more,) = told.say(onset + 10 * MINUTE, spread)
    assert isinstance(more, Updated)
    assert (more.incident, more.why) == (storm.incident, ("features",))
    (over,) = told.say(onset + 2 * HOUR, recovered=(spread, change("delay")))
    assert (over.incident, over.changes_total) == (storm.incident, 2)
    # Days after it, such a signal belongs to the season.
    onset = T0 + 40 * DAY
    again = change("temperature", "spread", onset=onset)
    assert told.say(onset + 10 * MINUTE, again) == []
    (over,) = told.say(onset + HOUR, recovered=(again, change("temperature")))
    assert (over.incident, over.changes_total) == (season.incident, 2)


def test_the_hour_is_inclusive_so_that_two_windows_of_an_hour_are_near() -> None:
    told = Told()
    told.say(T0 + HOUR, change("a", detected=T0 + HOUR))
    second = change("b", onset=T0 + HOUR, detected=T0 + 2 * HOUR)
    assert kinds(told.say(T0 + 2 * HOUR, second)) == ["updated"]
    told = Told()
    told.say(T0 + HOUR, change("a", detected=T0 + HOUR))
    second = change("b", onset=T0 + 2 * HOUR + SECOND, detected=T0 + 3 * HOUR)
    assert kinds(told.say(T0 + 3 * HOUR, second)) == ["opened"]

    told = Told()
    told.say(T0 + HOUR, change("a", detected=T0 + HOUR))
    second = change("b", onset=T0 + 2 * HOUR, detected=T0 + 3 * HOUR)
    assert kinds(told.say(T0 + 3 * HOUR, second)) == ["updated"]


def test_a_slow_change_detected_while_a_storm_begins_is_part_of_it() -> None:
    told = Told()
    told.say(AT, change("storm"))
    slow = change("slow", onset=T0 - 5 * DAY, detected=AT + HOUR)
    assert kinds(told.say(AT + HOUR, slow)) == ["updated"]


def test_a_part_that_recovered_is_not_the_incident_s_any_more() -> None:
    told = Told()
    told.say(AT, change("a"), change("b"))
    told.say(AT + HOUR, recovered=(change("a"),))
    onset = AT + 10 * HOUR
    later = change("a", "spread", onset=onset)
    assert kinds(told.say(onset + 10 * MINUTE, later)) == ["opened"]


def test_what_recovers_and_changes_in_one_report_goes_on() -> None:
    told = Told()
    told.say(AT, change())
    again = change(onset=AT + 10 * HOUR)
    report = Report(AT + 11 * HOUR, (again,), (key(again),), recovered=(key(again),))
    assert told.book.apply(report, told.context) == []
    assert told.book.open == 1


def test_what_is_still_changed_is_named_first() -> None:
    told = Told()
    told.say(AT, change(), missing())
    told.say(AT + HOUR, recovered=(change(),))
    (more,) = told.say(AT + 2 * HOUR, missing(severity="critical", effect=99.0))
    assert [(each.feature, each.active) for each in more.changes] == [
        ("age", True),
        ("income", False),
    ]


def test_a_slow_change_noticed_at_last_is_not_the_storm_of_five_days_ago() -> None:
    told = Told()
    told.say(AT, change("storm"))
    slow = change("slow", onset=T0 - 5 * DAY, detected=T0 + 5 * DAY)
    assert kinds(told.say(T0 + 5 * DAY, slow)) == ["opened"]


def test_a_severity_that_rises_is_told_at_once() -> None:
    told = Told()
    told.say(AT, missing())
    (raised,) = told.say(AT + 10 * SECOND, missing(severity="critical"))
    assert isinstance(raised, Updated)
    assert (raised.why, raised.severity, raised.reopened) == (("severity",), "critical", False)
    assert told.say(AT + 20 * SECOND, missing(severity="warning")) == []


def test_an_effect_that_doubles_is_told_once_and_after_a_while() -> None:
    told = Told()
    told.say(AT, change(effect=1.0))
    assert told.say(AT + HOUR, change(effect=1.9)) == []
    assert told.say(AT + HOUR, change(effect=2.0)) != []
    assert told.say(AT + HOUR + MINUTE, change(effect=4.0)) == []  # too soon
    (later,) = told.say(AT + 2 * HOUR)
    assert isinstance(later, Updated)
    assert later.why == ("effect",)
    assert told.say(AT + 3 * HOUR, change(effect=2.0)) == []
    assert told.say(AT + 4 * HOUR, change(effect=4.0)) == []
    (more,) = told.say(AT + 5 * HOUR, change(effect=2.0), missing(severity="critical"))
    assert more.changes_total == 2
    assert told.say(AT + 6 * HOUR, change(effect=4.0)) == []


def test_a_direction_that_turns_is_told() -> None:
    told = Told()
    told.say(AT, change())
    (turned,) = told.say(AT + HOUR, change(direction="up", onset=T0 + 50 * MINUTE))
    assert isinstance(turned, Updated)
    assert turned.why == ("direction",)
    assert turned.changes[0].onset == "2026-11-24T03:50:00.000Z"


def test_features_that_trickle_in_are_told_together_and_a_flood_at_once() -> None:
    told = Told()
    told.say(AT, change("a"), change("b"))
    assert told.say(AT + MINUTE, missing("c")) == []
    (flood,) = told.say(AT + 2 * MINUTE, missing("d"))
    assert isinstance(flood, Updated)
    assert flood.features_total == 4
    assert told.say(AT + 3 * MINUTE, missing("e")) == []
    assert told.say(AT + 4 * MINUTE, missing("f"), recovered=(missing("e"),)) == []
    (held,) = told.say(AT + 32 * MINUTE)
    assert held.features_total == 6
    assert [each.feature for each in held.changes if not each.active] == ["e"]
    assert told.say(AT + 33 * MINUTE, missing("g")) == []
    assert told.say(AT + 40 * MINUTE, recovered=(missing("g"),)) == []
    assert told.say(AT + 90 * MINUTE) == []  # it came and went; nobody needs to know


def test_a_change_seen_again_keeps_its_first_onset() -> None:
    told = Told()
    told.say(AT, change())
    (again,) = told.say(AT + HOUR, change(effect=4.0, onset=T0 + 30 * MINUTE))
    assert again.changes[0].onset == "2026-11-24T03:00:00.000Z"
    assert again.changes[0].effect == 4.0


def test_two_detectors_that_see_the_same_are_one_change_of_the_surer_one() -> None:
    (opened,) = Told().say(AT, change(score=1.1, detector="ADWIN"), change(score=5.0))
    assert [(each.detector, each.score) for each in opened.changes] == [("PageHinkley", 5.0)]
    assert opened.changes_total == 1


def test_what_comes_back_within_the_hour_reopens() -> None:
    told = Told()
    (opened,) = told.say(AT, change(), missing())
    told.say(AT + HOUR, recovered=(change(), missing()))
    onset = AT + 2 * HOUR - 10 * MINUTE
    back, beside = change(onset=onset, version="4"), missing("zip", onset=onset)
    (again,) = told.say(AT + 2 * HOUR, beside, back)
    assert isinstance(again, Updated)
    assert (again.incident, again.revision) == (opened.incident, 3)
    assert (again.why, again.reopened) == (("reopened",), True)
    assert again.onset == opened.onset
    assert {each.feature for each in again.changes} == {"income", "zip"}
    (resolved,) = told.say(AT + 3 * HOUR, recovered=(back, beside))
    assert (resolved.incident, resolved.revision) == (opened.incident, 4)


def test_what_comes_back_later_or_otherwise_is_opened_anew() -> None:
    told = Told()
    (first,) = told.say(AT, change())
    told.say(AT + HOUR, recovered=(change(),))
    (other,) = told.say(AT + HOUR + MINUTE, change(signal="missing", onset=AT + HOUR))
    assert (event_type(other), other.incident == first.incident) == ("opened", False)
    told = Told()
    told.say(AT, change())
    told.say(AT + HOUR, recovered=(change(),))
    (later,) = told.say(AT + 3 * HOUR, change(onset=AT + 3 * HOUR - MINUTE, detected=AT + 3 * HOUR))
    assert later.incident != first.incident


def test_a_state_goes_on_exactly_and_a_bad_one_is_refused() -> None:
    told = Told()
    told.say(AT, change(effect=0.1 + 0.2, top=(("a", 0.1, 1 / 3),)), missing())
    book = IncidentBook.restore(told.book.state())
    assert book.state() == told.book.state()
    report = Report(AT + HOUR, (), (), (key(change()), key(missing())))
    assert book.apply(report, told.context) == told.book.apply(report, told.context)
    for bad in (b"", b"\x90", b"\x95\x02\xa1a\xa1b\xa1c\x90"):
        with pytest.raises(ValueError, match=r".+"):
            IncidentBook.restore(bad)


def test_a_silence_is_an_incident_of_its_own_and_resolves_nothing() -> None:
    told = Told()
    told.say(AT, change())
    (silent,) = told.book.no_data(T0, AT)
    (back,) = told.book.data_back(T0, AT + HOUR)
    assert silent.incident == back.incident
    assert (silent.revision, back.revision, back.reason) == (1, 2, "data_back")
    assert told.book.open == 1


def test_a_reader_sees_each_revision_once_and_the_present_state() -> None:
    told = Told()
    told.say(AT, missing())
    told.say(AT + MINUTE, missing(severity="critical"))
    told.say(AT + 30 * DAY, change(onset=AT + 30 * DAY - MINUTE, detected=AT + 30 * DAY))
    told.say(AT + 31 * DAY, recovered=(missing(),))
    messages = [to_message(event, "app") for event in told.events]
    crashed = [*messages[:3], *messages[1:3], *messages]
    assert list(events(crashed)) == told.events
    now: dict[str, Event] = incidents(crashed)
    assert [is_open(event) for event in now.values()] == [False, True]
    bad: list[object] = []
    spoilt = [(None, b"spoilt", []), *messages]
    assert list(events(spoilt, bad.append)) == told.events
    assert len(bad) == 1
    with pytest.raises(ValueError, match="not an alert event"):
        list(events(spoilt))


def test_two_thousand_changes_at_once_take_no_quadratic_time() -> None:
    told = Told()
    many = tuple(
        change(f"f{at}", signal) for at in range(1_000) for signal in ("location", "spread")
    )
    told.say(AT, *many)
    told.say(AT + HOUR, *many)
    assert kinds(told.say(AT + 2 * HOUR, recovered=many)) == ["resolved"]
