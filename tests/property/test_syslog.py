"""Syslog messages, read back by a plain reader of RFC 5424's grammar."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from alerts.drill import opened
from alerts.events import Opened
from alerts.syslog import FACILITIES, MOST_BYTES, escaped, message, octet_counted
from alerts.texts import printable

T0 = 1_795_489_200_000_000
texts = st.text(max_size=200)


def read(data: bytes) -> tuple[list[str], dict[str, str], str]:
    """Header fields, parameters and text of a message, character by character."""
    text = data.decode()
    fields, rest = text.split(" ", 6)[:6], text.split(" ", 6)[6]
    assert rest[0] == "["
    at, name, parameters = 1, "", {}
    while rest[at] not in " ]":
        at += 1
    assert rest[1:at] == "streamgauge@32473"
    while rest[at] == " ":
        begin = at = at + 1
        while rest[at] != "=":
            at += 1
        name, value = rest[begin:at], ""
        assert rest[at + 1] == '"'
        at += 2
        while rest[at] != '"':
            assert rest[at] != "]", "a bracket must be escaped"
            if rest[at] == "\\" and rest[at + 1] in '"\\]':
                at += 1
            value += rest[at]
            at += 1
        assert name not in parameters
        parameters[name] = value
        at += 1
    assert rest[at : at + 2] == "] "
    assert rest[at + 2] == "\ufeff"
    return fields, parameters, rest[at + 3 :]


def event(model: str, label: str, summary: str) -> Opened:
    test = opened("app", model, "critical", {"team": label}, T0, "1")
    return msgspec.structs.replace(test, summary=summary, labels={"team": label})


@given(texts, texts, texts, texts, texts)
def test_any_text_is_read_back(model: str, label: str, summary: str, host: str, app: str) -> None:
    data = message(event(model, label, summary), "local0", host, app)
    assert len(data) <= MOST_BYTES
    fields, parameters, text = read(data)
    assert fields[0] == "<130>1"
    assert fields[1] == "2026-11-24T03:00:00.000Z"
    assert all(field and field.isascii() and field.isprintable() for field in fields)
    assert len(fields[2]) <= 255
    assert len(fields[3]) <= 48
    assert fields[4:] == ["-", "opened"]
    assert printable(model).startswith(parameters.get("model", ""))
    assert f"team={printable(label)}".startswith(parameters["labels"])
    assert printable(summary).startswith(text)
    assert text.isprintable() or not summary.isprintable()


@given(st.text(max_size=30))
def test_short_values_come_back_whole(value: str) -> None:
    plain = printable(value)
    if len(plain.encode()) > 128:
        return
    raw = escaped(value)
    back, at = "", 0
    while at < len(raw):
        at += raw[at] == "\\"
        back += raw[at]
        at += 1
    assert back == plain


@given(st.binary(max_size=300))
def test_octet_counting_finds_the_end(data: bytes) -> None:
    count, _, rest = octet_counted(data).partition(b" ")
    assert rest == data
    assert int(count) == len(data)


def test_facilities_are_numbered_as_in_the_rfc() -> None:
    assert FACILITIES.index("daemon") == 3
    assert FACILITIES.index("local0") == 16
    assert FACILITIES.index("local7") == 23


def test_the_longest_message_keeps_room_for_its_text() -> None:
    long = event("ü\x1b" * 5_000, "x" * 9_000, "s" * 9_000)
    data = message(msgspec.structs.replace(long, topic='"]\\' * 99), "local7", "h" * 999, "a" * 99)
    assert len(data) <= MOST_BYTES
    assert len(read(data)[2]) > 300
