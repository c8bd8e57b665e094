"""Operators' commands as they are written, and what is said of them."""

from __future__ import annotations

import shlex
from typing import Any

import msgspec
import pytest

from alerts.commands import Command, Match, event_of
from alerts.events import Event, Operator
from alerts.notices import no_data
from alerts.operators import again, answer, holding, table, touched
from consumer.durations import HOUR, format_time
from consumer.operating import about
from consumer.operator_words import CommandError, Written, command
from tests.alert_reports import T0, Told, change, missing

ID = "0123456789abcdef0123"
OTHER = "f" * 20
WRITTEN = Written(ID, "ann", "a migration")


def silence(match: Match = Match(), **facts: Any) -> Command:  # noqa: B008 - immutable
    return command("silence", T0, WRITTEN._replace(lasts="2h", **facts), match)


def told_event(given: Command) -> Operator:
    return event_of("app", given)


def opened(feature: str = "income", **facts: Any) -> Event:
    told = Told()
    (event,) = told.say(T0 + HOUR, change(feature, **facts))
    return event


def test_a_silence_for_two_hours_ends_in_two_hours() -> None:
    given = silence(Match(model="fraud*"))
    assert (given.id, given.by, given.why, given.until) == (ID, "ann", "a migration", T0 + 2 * HOUR)
    until = command("silence", T0, WRITTEN._replace(until=format_time(T0 + 2 * HOUR)))
    assert until.until == given.until


@pytest.mark.parametrize(
    ("kind", "facts", "match", "says"),
    [
        ("silence", {}, Match(), "say how long: --for 2h"),
        ("silence", {"lasts": "2 hours"}, Match(), "--for: "),
        ("silence", {"lasts": "0s"}, Match(), "--for 0s: more than nothing"),
        ("silence", {"lasts": "9999999d"}, Match(), "at most 3660d"),
        ("silence", {"until": "9999-01-01"}, Match(), "--until 9999-01-01: at most 3660d"),
        ("silence", {"until": "soon"}, Match(), '--until: "soon" is not a time'),
        ("silence", {"until": "2020-01-01"}, Match(), "--until is over already"),
        ("silence", {"lasts": "2h", "until": "2030-01-01"}, Match(), "leave one out"),
        ("silence", {"lasts": "2h", "why": " "}, Match(), "say why: --why TEXT"),
        ("silence", {"lasts": "2h", "why": "x" * 1_001}, Match(), "--why: 1,001 characters"),
        ("silence", {"lasts": "2h", "why": "a\nb"}, Match(), "--why: one line"),
        ("silence", {"lasts": "2h", "why": "\x1b[2J"}, Match(), "--why: one line"),
        ("silence", {"lasts": "2h", "by": "x" * 129}, Match(), "--by: 129 characters"),
        ("silence", {"lasts": "2h", "id": "7"}, Match(), "--id"),
        ("silence", {"lasts": "2h"}, Match(model="m" * 257), "--model: 257 characters"),
        ("expect", {"until": "2030-01-01"}, Match(), "--from TIME"),
        ("expect", {"since": "2027-01-01"}, Match(), "say how long"),
        ("expect", {"since": "2027-01-02", "until": "2027-01-01"}, Match(), "later than --from"),
        ("accept", {}, Match(), "--model NAME"),
    ],
)
def test_what_is_no_command_says_what_to_write(
    kind: Any, facts: dict[str, str], match: Match, says: str
) -> None:
    with pytest.raises(CommandError) as error:
        command(kind, T0, WRITTEN._replace(**facts), match)
    assert says in str(error.value)


def test_a_silence_touches_what_it_covers_whole() -> None:
    told = Told()
    told.say(T0 + HOUR, change("income"), missing("age"))
    both = told.events[-1]
    silent = no_data("app", "predictions", "credit-risk", T0, T0 + HOUR)
    events = [both, opened("income"), silent]

    def hit(match: Match) -> list[Event]:
        return touched(silence(match), events)

    assert hit(Match()) == events
    assert hit(Match(feature="inc*")) == [events[1]]
    assert hit(Match(model="fraud*")) == []
    assert hit(Match(cause="stuck")) == []


def test_a_planned_change_touches_what_begins_in_its_time() -> None:
    event = opened()
    times = {"since": format_time(T0 - HOUR), "until": format_time(T0 + HOUR)}
    assert touched(command("expect", T0, WRITTEN._replace(**times)), [event]) == [event]
    times = {"since": format_time(T0 + HOUR), "until": format_time(T0 + 2 * HOUR)}
    assert touched(command("expect", T0, WRITTEN._replace(**times)), [event]) == []


def test_the_others_touch_what_they_name() -> None:
    event = opened()
    ack = command("ack", T0, WRITTEN, about(event), incident=event.incident)
    assert touched(ack, [event, opened("age")]) == [event]
    accept = command("accept", T0, WRITTEN, Match(model=event.model, version="3"))
    assert touched(accept, [event]) == [event]
    assert touched(msgspec.structs.replace(accept, match=Match(version="4")), [event]) == []
    hidden = msgspec.structs.replace(event, silenced=OTHER)
    assert touched(command("end", T0, WRITTEN, ends=OTHER), [event, hidden]) == [hidden]


def test_names_with_signs_of_patterns_stand_for_themselves() -> None:
    event = msgspec.structs.replace(opened(), model="m[1]*")
    given = command("ack", T0, WRITTEN, about(event), incident=event.incident)
    assert given.concerns(event.topic, "m[1]*")
    assert not given.concerns(event.topic, "m1")


def test_what_holds_is_what_is_neither_ended_nor_over() -> None:
    one, other = silence(), silence(id=OTHER)
    end = command("end", T0, WRITTEN._replace(id="a" * 20), ends=OTHER)
    soon = command("accept", T0, WRITTEN._replace(since=format_time(T0 + HOUR)), Match(model="m"))
    at_once = command("accept", T0, WRITTEN._replace(id="b" * 20), Match(model="m"))
    events = [told_event(each) for each in (one, other, end, at_once)]
    assert [each.command_id for each in holding(events, T0 + HOUR)] == [ID]
    assert holding(events, T0 + 2 * HOUR) == []
    assert len(holding([told_event(soon)], T0)) == 1
    assert holding([told_event(soon)], T0 + HOUR) == []


@pytest.mark.parametrize(
    ("given", "undo"),
    [
        (silence(Match(model="fraud*")), f"streamgauge silence --end {ID[:8]} --why TEXT"),
        (command("ack", T0, WRITTEN, incident=OTHER), "streamgauge resolve ffffffff"),
        (command("resolve", T0, WRITTEN, incident=OTHER), "opened again"),
        (command("accept", T0, WRITTEN, Match(model="m")), "streamgauge baseline publish"),
        (command("end", T0, WRITTEN, ends=OTHER), "give the silence again"),
    ],
)
def test_the_answer_fits_the_line_and_says_how_to_undo(given: Command, undo: str) -> None:
    lines = answer(given, [opened()] * 7, 80)
    assert max(map(len, lines)) <= 80
    assert f"id: {ID}" in lines
    assert "open incidents that it touches: 7" in lines
    assert "  and 2 more" in lines
    assert undo in " ".join(line.strip() for line in lines)


def test_the_same_command_is_given_again_by_its_id() -> None:
    given = silence(Match(model="fraud *"))
    words = shlex.split(again(given, ["-c", "my file.toml"]))
    assert words[:4] == ["streamgauge", "silence", "--model", "fraud *"]
    assert words[-4:] == ["--id", ID, "-c", "my file.toml"]
    until = words[words.index("--until") + 1]
    assert command("silence", T0, WRITTEN._replace(until=until)).until == given.until
    assert shlex.split(again(command("ack", T0, WRITTEN, incident=OTHER)))[:3] == [
        "streamgauge",
        "ack",
        OTHER,
    ]


def test_what_holds_is_a_table_of_80_columns() -> None:
    given = silence(Match(model="fraud*", feature="a" * 90))
    held = [told_event(given), told_event(silence(id=OTHER))]
    hidden = msgspec.structs.replace(opened(), silenced=ID)
    lines = table(held, [hidden], 80)
    assert max(map(len, lines)) <= 80
    assert lines[1].split() == [ID[:8], "silence", "until", "2026-11-24T05:00Z", "1", "ann"]
    assert lines[4].strip() == "everything: a migration"
    (none,) = table([], [], 80)
    assert none == "nothing is silenced (what was said counts once a worker has read it)"


def test_a_model_without_data_is_hidden_by_a_silence_of_all_of_it() -> None:
    event = no_data("app", "t", "m", T0, T0 + HOUR)
    assert touched(silence(Match(model="m")), [event]) == [event]
    assert touched(silence(Match(model="m", feature="x")), [event]) == []
