"""The public contract: JSON, schema, CloudEvents headers, size, what older and newer readers do."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest
from jsonschema import Draft202012Validator

from alerts.events import (
    EVENT_TYPES,
    OWNERSHIP_BYTES,
    EventFormatError,
    Opened,
    encode,
    event_type,
    from_message,
    owned,
    to_message,
)
from alerts.incidents import Context
from alerts.notices import limit_reached
from alerts.schema import schema, schema_text
from consumer.settings import Settings
from tests.alert_reports import MINUTE, T0, Report, Told, change, check, key
from tests.golden_events import DATA, NEWEST, every_type, written

GOLDEN = (
    b'{"type":"no_data","v":1,"id":"21ebcf3d9e5f0ba4c9e6","incident":"4a83608bb6a3bd4e2b51",'
    b'"revision":1,"time":"2026-11-24T03:10:00.000Z","severity":"warning","topic":"predictions",'
    b'"model":"credit-risk","since":"2026-11-24T03:00:00.000Z","summary":"credit-risk: no data",'
    b'"text":"credit-risk: no data."}'
)


# Fields that a later release of format 1 added: always written, and defaulted when they are read.
ADDED = {"cause", "labels", "owner", "runbook", "dashboard", "baseline_version", "since"} | {
    "silenced",
    "acknowledged",
    "flapping",
}


def test_every_type_is_valid_and_reads_back_as_it_was() -> None:
    told = every_type()
    assert {type(event) for event in told} == set(EVENT_TYPES)
    for event in told:
        check(event)
        assert from_message(encode(event)) == event


def test_the_schema_is_valid_complete_and_says_what_everything_is() -> None:
    Draft202012Validator.check_schema(schema())
    assert orjson.loads(schema_text()) == schema()
    named = schema()["discriminator"]["mapping"]
    assert list(named) == [event_type(struct) for struct in EVENT_TYPES]
    for name, definition in schema()["$defs"].items():
        assert definition["description"], name
        for field, facts in definition["properties"].items():
            assert field == "type" or "description" in facts or "$ref" in facts, (name, field)
        assert set(definition["properties"]) - set(definition["required"]) <= ADDED


def test_a_message_is_a_cloud_event() -> None:
    event = every_type()[0]
    key_, value, headers = to_message(msgspec.structs.replace(event, model="a/b ü"), "my app")
    assert key_ == event.incident.encode()
    assert orjson.loads(value)["model"] == "a/b ü"
    assert headers == [
        ("ce_specversion", b"1.0"),
        ("ce_id", event.id.encode()),
        ("ce_source", b"/streamgauge/my%20app/predictions/a%2Fb%20%C3%BC"),
        ("ce_type", b"io.streamgauge.incident.opened"),
        ("ce_subject", event.incident.encode()),
        ("ce_time", b"2026-11-24T03:10:00.000Z"),
        ("content-type", b"application/json"),
    ]


def test_an_event_without_a_time_and_of_a_whole_topic() -> None:
    _, _, headers = to_message(limit_reached("app", "predictions", "models", None), "app")
    assert dict(headers)["ce_source"] == b"/streamgauge/app/predictions"
    assert "ce_time" not in dict(headers)


def test_an_old_event_still_reads_and_so_does_one_with_more_fields() -> None:
    event = from_message(GOLDEN)
    assert event.summary == "credit-risk: no data"
    assert encode(event).startswith(GOLDEN[:-1])  # what was added comes after
    more = orjson.loads(GOLDEN) | {"a": {"team": "risk"}, "b": None}
    assert from_message(orjson.dumps(more)) == event


@pytest.mark.parametrize("path", sorted(DATA.glob("events-*.jsonl")), ids=lambda path: path.name)
def test_events_of_every_release_read_are_valid_and_keep_all_they_said(path: Path) -> None:
    validator = Draft202012Validator(schema())
    lines = path.read_bytes().splitlines()
    # Six types at first; a later release may add some, and never takes one away.
    assert len({type(from_message(line)) for line in lines}) >= 6
    for line in lines:
        old = orjson.loads(line)
        validator.validate(old)
        read = orjson.loads(encode(from_message(line)))
        assert_only_grown(read, old)


def assert_only_grown(read: Any, old: Any) -> None:
    if isinstance(old, dict):
        assert set(read) - set(old) <= ADDED
        for name in old:
            assert_only_grown(read[name], old[name])
    elif isinstance(old, list):
        for one, other in zip(read, old, strict=True):
            assert_only_grown(one, other)
    else:
        assert read == old


def test_the_newest_golden_events_are_what_this_release_writes() -> None:
    assert max(DATA.glob("events-*.jsonl")) == NEWEST
    assert NEWEST.read_bytes() == written(), "run make contract"


def test_owners_fit_beside_the_largest_incident() -> None:
    words = '"' * 256
    tables = {
        name: {
            "labels": {f"{letter}{name * 63}": words for letter in "abcdefgh"},
            "owner": words,
            "runbook": f"https://{words[8:]}",
            "dashboard": f"https://{words[8:]}",
        }
        for name in ("m", "x")
    }
    settings = Settings.model_validate({"models": {"m": tables["m"], "*": tables["x"]}})
    ownership = settings.detection().ownership("m")
    assert len(ownership.labels) == 16
    assert len(orjson.dumps(msgspec.structs.asdict(ownership))) < OWNERSHIP_BYTES
    event = owned(_first(*(change(f"f{at}" + "x" * 250) for at in range(300))), ownership)
    check(event)
    assert event.labels == ownership.labels


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (b"", "not an alert event"),
        (b"null", "not an alert event"),
        (b'{"v":1,"type":"other"}', "not an alert event: Invalid value 'other'"),
        (b'{"v":1,"type":"no_data"}', "not an alert event: Object missing required field"),
        (b'{"v":2,"type":"no_data"}', "format version 2 of an alert event; this release reads 1"),
        (b"{}", "format version 0"),
    ],
)
def test_what_is_no_event_is_an_error_that_says_why(value: bytes, why: str) -> None:
    with pytest.raises(EventFormatError, match=why):
        from_message(value)


def _first(*changes: Any, **more: Any) -> Opened:
    (event,) = Told(**more).say(T0 + 10 * MINUTE, *changes)
    assert isinstance(event, Opened)
    return event


def test_what_is_not_a_number_is_null() -> None:
    nan, inf = math.nan, math.inf
    event = _first(
        change(before=nan, after=inf, effect=inf, score=nan, effect_unit="ratio"),
        change("b", "distance", top=(("x", nan, 1.0000001),)),
    )
    by_name = {each.feature: each for each in event.changes}
    odd = by_name["income"]
    assert (odd.before, odd.after, odd.effect, odd.score) == (None, None, None, 0.0)
    assert (by_name["b"].top[0].before, by_name["b"].top[0].after) == (None, 1.0)


@pytest.mark.parametrize("letter", ["n", "ü", "\U0001f4a5", "\x1b", '"', "\u202e"])
def test_two_thousand_features_with_long_names_fit(letter: str) -> None:
    name = letter * (256 // len(letter.encode()))
    names = [f"{at:04}{name}" for at in range(2_000)]
    top = tuple((f"{at}{name}", 0.1, 0.2) for at in range(20))
    event = _first(
        *(
            change(each, "distance", version=each[:200], segment=each, score=at, top=top)
            for at, each in enumerate(names)
        ),
        model=name,
        watched=2_000,
    )
    assert event.changes_total == event.features_total == 2_000
    assert 1 <= len(event.changes) <= 50
    assert event.changes[0].feature == names[-1]
    assert len(event.changes[0].top) == 10
    assert "2,000 of 2,000 features moved together" in event.summary
    assert len(event.summary) < 1_000


def test_plain_names_leave_room_for_fifty_changes() -> None:
    top = tuple((f"value {at}" + "x" * 5_000 * (at == 1), 0.1, 0.2) for at in range(20))
    event = _first(*(change(f"feature_{at}", "distance", top=top) for at in range(300)))
    assert (len(event.changes), event.changes_total) == (50, 300)
    assert [len(each.top) for each in event.changes] == [10] * 5 + [3] * 45
    assert [len(moved.name) for moved in event.changes[0].top[:2]] == [7, 256]


def test_evidence_of_very_many_partitions_is_cut() -> None:
    told = Told()
    report = Report(T0 + 10 * MINUTE, (change(),), (key(change()),))
    many = tuple((at, 9_000_000_000_000, 9_100_000_000_000) for at in range(5_000))
    (event,) = told.book.apply(report, Context(lambda *_: many))
    check(event)
    assert len(event.evidence.ranges) == 200
    assert event.evidence.partitions_total == 5_000
    assert "and 4,997 more partitions" not in event.text
    assert "4,997 more partitions" in event.text


def test_the_same_log_gives_the_same_bytes_and_ids_differ_by_what_they_are_about() -> None:
    first, again = every_type(), every_type()
    assert [encode(event) for event in first] == [encode(event) for event in again]
    assert len({event.id for event in first}) == len(first)
    other = Told(model="other").say(T0 + 10 * MINUTE, change())
    assert other[0].incident != first[0].incident
