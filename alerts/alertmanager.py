"""Events as the alerts of Prometheus's Alertmanager: API v2, and the webhook body of version 4.

Labels identify an alert, so nothing stands in them that changes while an incident lasts, but its
severity and cause; when these do change, the alert under the old labels is resolved. All else are
annotations. Times are microseconds since 1970-01-01 UTC.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

import orjson

from alerts.events import DataLoss, Event, LimitReached, NoData, Opened, Resolved, Updated
from alerts.read import is_silenced
from alerts.units import rfc3339

ALERTS_PATH: Final = "/api/v2/alerts"
NEVER: Final = "0001-01-01T00:00:00Z"  # Alertmanager's own word for "has not ended"
TOLD_ONCE: Final = 3_600_000_000  # an event that nothing follows fires for so long
_ADDRESS: Final = re.compile(
    r"https?://([\w.~-]+|\[[0-9A-Fa-f:.]+\])(:\d+)?"
    r"([/?#](%[0-9A-Fa-f]{2}|[\w.~!$&'()*+,;=:@/?#-])*)?",
    re.ASCII,
)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_NAMES: Final[dict[type[Event], str]] = {
    Opened: "ModelDataChanged",
    Updated: "ModelDataChanged",
    Resolved: "ModelDataChanged",
    NoData: "ModelDataMissing",
    DataLoss: "ModelDataLost",
    LimitReached: "StreamgaugeLimitReached",
}


class Alert(NamedTuple):
    """One alert.

    Attributes:
        labels: What it is; equal labels are the same alert.
        annotations: What is known about it now.
        starts: Since when.
        ends: Until when; None: it goes on.
        source: Address of a page about it; empty: none is known.
    """

    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    starts: int
    ends: int | None
    source: str


def alert(event: Event, at: int) -> Alert | None:
    """The alert of an event; None: it says nothing of what Alertmanager keeps.

    Args:
        event: Any event.
        at: When it was written to its topic.
    """
    ends: int | None = None
    if is_silenced(event):
        ends = at  # it goes on, and nobody is called
    if isinstance(event, Opened | Updated):
        starts = _microseconds(event.onset)
    elif isinstance(event, NoData):
        starts = _microseconds(event.since)
    elif isinstance(event, Resolved):
        starts, ends = _microseconds(event.onset), min(_microseconds(event.time), at)
    elif isinstance(event, DataLoss | LimitReached):
        starts, ends = _microseconds(event.time or rfc3339(at)), at + TOLD_ONCE
    else:
        return None
    source = _address(event.dashboard)
    return Alert(label_set(event), notes(event), min(starts, at), ends, source)


def label_set(event: Event) -> dict[str, str]:
    """What to group, route and silence by; the model's own labels never replace these."""
    name = _NAMES[type(event)]
    if isinstance(event, Resolved) and event.reason == "data_back":
        name = _NAMES[NoData]
    ours = {
        "alertname": "StreamgaugeTest" if is_test(event) else name,
        "severity": event.severity,
        "incident": event.incident,
        "topic": event.topic,
        "model": event.model,
        "cause": getattr(event, "cause", None),
        "owner": event.owner,
    }
    found = {name: value for name, value in ours.items() if value}
    for name, value in sorted(event.labels.items()):
        if value:
            found.setdefault(_label_name(name), value)
    return found


def notes(event: Event) -> dict[str, str]:
    """What a person reads."""
    known = {
        "summary": event.summary,
        "description": event.text,
        "runbook_url": event.runbook,
        "dashboard_url": event.dashboard,
    }
    return {name: value for name, value in known.items() if value}


def is_test(event: Event) -> bool:
    """Whether ``streamgauge test-alert`` made it."""
    return event.labels.get("test") == "true"


def post_body(alerts: Iterable[Alert], now: int, hold: int) -> bytes:
    """What is posted to ``/api/v2/alerts``.

    Args:
        alerts: Of different labels.
        now: The time.
        hold: What goes on is not taken for ended before so long without another word about it.
    """
    return orjson.dumps(
        [_plain(one, now + hold if one.ends is None else one.ends, now) for one in alerts]
    )


def webhook_body(alerts: Sequence[Alert], receiver: str, now: int) -> bytes:
    """What Alertmanager's own webhook receivers get, version 4.

    Args:
        alerts: At least one.
        receiver: Name of the receiver.
        now: The time.
    """
    told: list[dict[str, Any]] = []
    for one in alerts:
        ended = one.ends is not None and one.ends <= now
        told.append(
            {
                "status": "resolved" if ended else "firing",
                **_plain(one, one.ends if ended else None, now),
                "fingerprint": fingerprint(one.labels),
            }
        )
    group = {name: alerts[0].labels.get(name, "") for name in ("alertname", "incident")}
    matchers = ", ".join(f'{name}="{value}"' for name, value in sorted(group.items()))
    return orjson.dumps(
        {
            "version": "4",
            "groupKey": f"{{}}:{{{matchers}}}",
            "truncatedAlerts": 0,
            "status": "firing" if any(one["status"] == "firing" for one in told) else "resolved",
            "receiver": receiver,
            "groupLabels": group,
            "commonLabels": _common([one.labels for one in alerts]),
            "commonAnnotations": _common([one.annotations for one in alerts]),
            "externalURL": "",
            "alerts": told,
        }
    )


def fingerprint(labels: Mapping[str, str]) -> str:
    """Alertmanager's name of a label set: 64-bit FNV-1a of its names and values, in order."""
    state = 0xCBF29CE484222325
    for name in sorted(labels):
        for byte in b"%s\xff%s\xff" % (name.encode(), labels[name].encode()):
            state = (state ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return f"{state:016x}"


def _plain(one: Alert, ends: int | None, now: int) -> dict[str, Any]:
    starts = min(one.starts, now, now if ends is None else ends)  # an end before it is refused
    return {
        "labels": dict(one.labels),
        "annotations": dict(one.annotations),
        "startsAt": rfc3339(starts),
        "endsAt": NEVER if ends is None else rfc3339(ends),
        "generatorURL": one.source,
    }


def _common(tables: Sequence[Mapping[str, str]]) -> dict[str, str]:
    first, *others = tables
    return {
        name: value
        for name, value in first.items()
        if all(other.get(name) == value for other in others)
    }


def _label_name(name: str) -> str:
    plain = re.sub(r"[^a-zA-Z0-9_]", "_", name)
    return plain if plain[:1].isalpha() or plain[:1] == "_" else f"_{plain}"


def _address(text: str | None) -> str:
    """An address that is one by RFC 3986: Alertmanager refuses a whole request for another one."""
    return text if text is not None and _ADDRESS.fullmatch(text) else ""


def _microseconds(time: str | None) -> int:
    if time is None:
        return 0
    moment = datetime.fromisoformat(time)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // timedelta(microseconds=1)
