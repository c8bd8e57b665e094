"""Events as lines for a person, and as they are for a machine."""

from __future__ import annotations

import re

import msgspec
import orjson

from alerts.events import Event, encode, to_message
from alerts.notices import data_back, limit_reached, no_data
from alerts.read import Message
from alerts.tail import lines, render
from tests.alert_reports import HOUR, MINUTE, T0, Told, change, missing


def story() -> list[Event]:
    told = Told()
    told.say(T0 + 10 * MINUTE, change())
    told.say(T0 + 50 * MINUTE, missing("age", version="4"))
    told.say(T0 + 26 * HOUR, recovered=(change(), missing("age", version="4")))
    return [
        *told.events,
        no_data("app", "predictions", "fraud", T0, T0 + 10 * MINUTE),
        data_back("app", "predictions", "fraud", T0, T0 + 2 * HOUR),
        limit_reached("app", "predictions", "models", None),
    ]


def messages() -> list[Message]:
    return [to_message(event, "app") for event in story()]


def test_one_line_for_each_event() -> None:
    assert [re.sub("#[0-9a-f]{8}$", "#ID", line) for line in lines(messages())] == [
        "CRITICAL 2026-11-24T03:10Z credit-risk v3: income down 52,000 → 18,000 (mean, -1.8 sd) "
        "since 03:00Z  #ID",
        "CRITICAL 2026-11-24T03:50Z credit-risk, 2 versions: now 2 features: income down 52,000 → "
        "18,000 (mean, -1.8 sd) in v3 since 03:00Z; +1 more feature  #ID",
        "RESOLVED 2026-11-25T05:00Z credit-risk, 2 versions: recovered after 26 h; it was income "
        "down 52,000 → 18,000 (mean, -1.8 sd) in v3; +1 more feature  #ID",
        "WARNING  2026-11-24T03:10Z fraud: no data since 2026-11-24T03:00Z (10 min)  #ID",
        "RESOLVED 2026-11-24T05:00Z fraud: data again after 2 h without any  #ID",
        "WARNING  ----------------- topic predictions: limit models reached; records of further "
        "models are counted, and not watched  #ID",
    ]


def test_the_first_event_and_its_resolution_name_the_same_incident() -> None:
    shown = list(lines(messages()))
    assert shown[0][-9:] == shown[2][-9:] == f"#{story()[0].incident[:8]}"


def test_repetitions_are_shown_once() -> None:
    twice = messages()[:2] * 2 + messages()
    assert list(lines(twice)) == list(lines(messages()))


def test_json_is_the_event_as_it_is_fields_of_a_later_release_too() -> None:
    later = orjson.dumps(orjson.loads(encode(story()[0])) | {"owner": "risk"})
    assert list(lines([(None, later, [])], json=True, colour=True)) == [later.decode()]


def test_colours_when_asked_only() -> None:
    assert not any("\x1b" in line for line in lines(messages()))
    coloured = list(lines(messages(), colour=True))
    assert coloured[0].startswith("\x1b[1;31mCRITICAL\x1b[0m 2026")
    assert coloured[2].startswith("\x1b[32mRESOLVED\x1b[0m 2026")
    assert coloured[3].startswith("\x1b[33mWARNING \x1b[0m 2026")
    assert [re.sub("\x1b\\[[0-9;]*m", "", line) for line in coloured] == list(lines(messages()))


def test_a_width_wraps_the_text_and_loses_nothing_of_it() -> None:
    for whole, told in zip(lines(messages()), lines(messages(), width=80), strict=True):
        first, *more = told.splitlines()
        assert max(map(len, (first, *more))) <= 80
        assert all(line.startswith(" " * 9) for line in more)
        assert " ".join(told.split()) == " ".join(whole.split())
    assert render(story()[0], width=10).splitlines()[0] == "CRITICAL 2026-11-24T03:10Z credit-risk"
    assert render(story()[0], colour=True, width=80).endswith(f"#{story()[0].incident[:8]}\x1b[0m")


def test_what_somebody_else_wrote_cannot_play_tricks() -> None:
    event = msgspec.structs.replace(story()[0], summary="ok\x1b[2J\u202egnp\r\nCRITICAL faked")
    assert render(event).isprintable()
    assert "ok\\x1b[2J\\u202egnp\\r\\nCRITICAL faked" in render(event)


def test_an_unreadable_message_is_told_of_and_skipped() -> None:
    told: list[str] = []
    spoilt = [(None, b"\xff", []), *messages()]
    assert list(lines(spoilt, unreadable=lambda error: told.append(str(error)))) == list(
        lines(messages())
    )
    assert told[0].startswith("not an alert event")
