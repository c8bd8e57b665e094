"""The kinds of values that settings have: durations, topics, paths, each with its own words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import date, datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from consumer.durations import DAY, format_duration, parse_duration, parse_time, short

_LABEL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]{0,63}")
_MOST_LABELS = 8
_LONGEST_WORDS = 256  # bytes; all of a model's and of *'s fit into alerts.events.OWNERSHIP_BYTES
TOPIC_NAME = re.compile(r"[a-zA-Z0-9._-]{1,249}")

# Set while people's texts are read: there a duration has a unit. Code says integer microseconds.
written: ContextVar[bool] = ContextVar("written", default=False)


def _duration(value: object) -> object:
    if isinstance(value, str):
        return parse_duration(value)
    if isinstance(value, int) and not isinstance(value, bool) and not written.get():
        return value  # code says microseconds
    raise ValueError(f'{short(value)} is not a duration; write for example "10s", "5min" or "1h"')


def _between(low: int, high: int) -> AfterValidator:
    def check(value: int) -> int:
        if not low <= value <= high:
            allowed = f"{format_duration(low)} to {format_duration(high)}"
            raise ValueError(f'"{format_duration(value)}" is not allowed; write {allowed}')
        return value

    return AfterValidator(check)


def _start(value: object) -> object:
    if isinstance(value, str) and value in ("earliest", "latest"):
        return value
    try:
        if isinstance(value, str | date):
            return parse_time(value)
    except ValueError:
        pass
    raise ValueError(
        f'{short(value)} is not allowed; write "earliest", "latest", or a time such as '
        '"2026-01-31T12:00:00Z"'
    )


def topic_names(value: object) -> object:
    """One topic is a list of one; every entry is a topic's name or a ``^regex``."""
    if isinstance(value, str):
        value = [value] if value.startswith("^") else [part.strip() for part in value.split(",")]
    if not isinstance(value, list | tuple) or not value:
        raise ValueError(f'{short(value)} is not allowed; write a list such as ["predictions"]')
    wrong = [text for topic in value if (text := _topic_mistake(topic)) is not None]
    if wrong:
        raise ValueError("; ".join(wrong))
    return value


def _topic_mistake(topic: object) -> str | None:
    if not isinstance(topic, str):
        return f"{short(topic)} is not a topic; write its name in quotes"
    if topic.startswith("^"):
        try:
            re.compile(topic)
        except re.error as error:
            return f"{short(topic)} is not a regular expression: {error}"
        return None
    if TOPIC_NAME.fullmatch(topic) is None or topic in (".", ".."):
        return (
            f"{short(topic)} is not a topic's name (letters, digits, . _ - and at most 249 of "
            'them); a regular expression begins with "^"'
        )
    return None


def _path(value: str | None) -> str | None:
    if value is not None and not all(value.split(".")):
        raise ValueError(f'{short(value)} is not a path; write names joined by dots, such as "a.b"')
    return value


def _paths(value: object) -> object:
    items = value if isinstance(value, list | tuple) else [value]
    if not items or not all(isinstance(item, str) and all(item.split(".")) for item in items):
        raise ValueError(
            f'{short(value)} is not allowed; write the path of an object ("features") or a list '
            'of paths (["age", "trip.distance"])'
        )
    return tuple(items) if isinstance(value, list | tuple) else value


def _by_name(value: object) -> object:
    """``[inputs.NAME]`` tables as a list of inputs that know their names."""
    if isinstance(value, Mapping):
        return [
            {**table, "name": name} if isinstance(table, Mapping) else table
            for name, table in value.items()
        ]
    if isinstance(value, list) and written.get():
        raise ValueError("is a list; write one table for each input: [inputs.NAME]")
    return value


def _app(value: str) -> str:
    if TOPIC_NAME.fullmatch(value) is None or len(value) > 200 or value in (".", ".."):
        raise ValueError(
            f"{short(value)} is not allowed; write letters, digits, . _ - (it names topics)"
        )
    return value


def _listen(value: str | None) -> str | None:
    if not value:
        return None
    host, _, port = value.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or int(port) > 65_535:
        raise ValueError(f'{short(value)} is not allowed; write host:port such as "127.0.0.1:8080"')
    return value


def _labels(value: dict[str, str]) -> dict[str, str]:
    for name, text in value.items():
        if _LABEL_NAME.fullmatch(name) is None:
            raise ValueError(
                f"{short(name)} is not a label's name; write letters, digits and _ (at most 64, "
                'the first no digit), such as "team"'
            )
        if name == "test":
            raise ValueError('"test" marks the alerts of streamgauge test-alert; take another name')
        _words(text)
    if len(value) > _MOST_LABELS:
        raise ValueError(f"has {len(value)} labels; at most {_MOST_LABELS} are copied into events")
    return value


def _words(value: str | None) -> str | None:
    if value is None:
        return None
    if not value.isprintable() or len(value.encode()) > _LONGEST_WORDS:
        raise ValueError(
            f"{short(value)} is not allowed; write one line of at most {_LONGEST_WORDS} bytes"
        )
    return value or None


def _address(value: str | None) -> str | None:
    text = _words(value)
    if text is not None and re.fullmatch(r"https?://[^\s/]\S*", text) is None:
        raise ValueError(f'{short(text)} is not an address; write "https://..."')
    return text


Window = Annotated[int, BeforeValidator(_duration), _between(1_000, DAY)]
Lateness = Annotated[int, BeforeValidator(_duration), _between(0, DAY)]
Patience = Annotated[int, BeforeValidator(_duration), _between(1_000, 31 * DAY)]
AnswerWithin = Annotated[int, BeforeValidator(_duration), _between(100_000, 30_000_000)]
HeartbeatEvery = Annotated[int, BeforeValidator(_duration), _between(600_000_000, DAY)] | None
RemindEvery = Annotated[int, BeforeValidator(_duration), _between(60_000_000, 366 * DAY)] | None
LearnFor = Annotated[int, BeforeValidator(_duration), _between(0, 3_660 * DAY)]
DottedPath = Annotated[str | None, AfterValidator(_path)]
Count = Annotated[int, Field(ge=1)]
Pattern = Annotated[str, Field(min_length=1)]
Start = Annotated[Literal["earliest", "latest"] | datetime, BeforeValidator(_start)]
Topics = Annotated[tuple[str, ...], BeforeValidator(topic_names)]
Paths = Annotated[str | tuple[str, ...] | None, BeforeValidator(_paths)]
AppName = Annotated[str, AfterValidator(_app)]
Listen = Annotated[str | None, AfterValidator(_listen)]
Labels = Annotated[dict[str, str], AfterValidator(_labels)]
Owner = Annotated[str | None, AfterValidator(_words)]
Address = Annotated[str | None, AfterValidator(_address)]
InputTables = BeforeValidator(_by_name)
