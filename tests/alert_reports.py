"""What a monitor would report, written down by tests of the alerts, and the schema's judgement."""

from __future__ import annotations

from typing import Any, NamedTuple

import orjson
from jsonschema import Draft202012Validator

from alerts.events import Event, IncidentEvent, encode, to_message
from alerts.incident import Key
from alerts.incidents import Context, IncidentBook
from alerts.schema import schema
from sketches.detection import Change

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
T0 = 1_795_489_200 * SECOND  # 2026-11-24T03:00:00Z
BASELINE = "b1f29c0d77aa4e21"


class Report(NamedTuple):
    now: int
    changes: tuple[Change, ...] = ()
    active: tuple[Key, ...] = ()
    recovered: tuple[Key, ...] = ()
    settled: tuple[Key, ...] = ()


def change(feature: str = "income", signal: str = "location", **facts: Any) -> Change:
    """A fall of a mean, unless told otherwise; detected ten minutes after its onset."""
    onset = facts.pop("onset", T0)
    plain: dict[str, Any] = {
        "version": "3",
        "segment": "",
        "feature": feature,
        "signal": signal,
        "detector": "PageHinkley",
        "direction": "down",
        "severity": "critical",
        "before": 52_000.0,
        "after": 18_000.0,
        "unit": "value",
        "effect": 1.8,
        "effect_unit": "sd",
        "score": 2.4,
        "sample": 3_200,
        "baseline_sample": 10_000,
        "onset": onset,
        "detected": onset + 10 * MINUTE,
        "baseline": BASELINE,
    }
    return Change(**{**plain, **facts})


def missing(feature: str = "age", **facts: Any) -> Change:
    plain: dict[str, Any] = {
        "direction": "up",
        "severity": "warning",
        "before": 0.002,
        "after": 0.48,
        "unit": "share",
        "effect": 47.8,
        "effect_unit": "points",
        "score": 1.9,
        "detector": "ADWIN",
    }
    return change(feature, "missing", **{**plain, **facts})


def key(of: Change) -> Key:
    return of.version, of.segment, of.feature, of.signal


def ranges(onset: int, detected: int) -> tuple[tuple[int, int, int], ...]:
    """Two partitions, one record a second."""
    first, last = (onset - T0) // SECOND, (detected - T0) // SECOND
    return (0, 1_000_000 + first, 1_000_000 + last), (1, 2_000_000 + first, 2_000_000 + last)


class Told:
    """A book, and everything it said, each event checked against the schema."""

    def __init__(self, model: str = "credit-risk", watched: int | None = None) -> None:
        self.book = IncidentBook("predictions", model)
        self.context = Context(ranges, watched)
        self.known: set[Key] = set()
        self.events: list[IncidentEvent] = []

    def say(self, now: int, *changes: Change, **ends: tuple[Change, ...]) -> list[IncidentEvent]:
        """One report; what changed stays active until it recovers or settles."""
        self.known |= {key(each) for each in changes}
        gone = {name: tuple(key(each) for each in some) for name, some in ends.items()}
        for some in gone.values():
            self.known -= set(some)
        lost = gone.pop("forgotten", None)
        assert lost is None or not gone
        report = Report(now, changes, tuple(sorted(self.known)), **gone)
        told = self.book.apply(report, self.context)
        for event in told:
            check(event)
        self.events += told
        return told


def _closed(part: Any) -> Any:
    if isinstance(part, dict):
        closed = {name: _closed(value) for name, value in part.items()}
        return closed | {"additionalProperties": False} if "properties" in part else closed
    return [_closed(each) for each in part] if isinstance(part, list) else part


# Closed: what is not described does not come either.
_VALIDATOR = Draft202012Validator(_closed(schema()))


def check(event: Event) -> None:
    """Valid by the schema, within the size, and the key says what the body says."""
    id_, value, headers = to_message(event, "streamgauge")
    body = orjson.loads(value)
    _VALIDATOR.validate(body)
    assert value == encode(event)
    assert len(value) < 65_536
    assert id_.decode() == body["incident"]
    assert dict(headers)["ce_id"].decode() == body["id"]
    assert "NaN" not in value.decode()
    assert event.summary
    assert event.text
    assert "\n" not in event.summary + event.text
