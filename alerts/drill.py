"""An alert that is none: events that prove the way from the topic to whoever is paged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from alerts.event_parts import Evidence
from alerts.events import Opened, Resolved, hash_id
from alerts.listing import event_id
from alerts.units import duration, rfc3339
from sketches.detection import Severity

MODEL: Final = "streamgauge-test"
MARK: Final = {"test": "true"}  # among the labels, so that routes and people see it


def opened(
    app: str, model: str, severity: Severity, labels: Mapping[str, str], at: int, nonce: str
) -> Opened:
    """The beginning of a test.

    Args:
        app: Name of the application.
        model: Whose alert it pretends to be, for routes.
        severity: Likewise.
        labels: Likewise; the mark comes to them.
        at: The time, microseconds.
        nonce: What tells this test from all others.
    """
    now = rfc3339(at)
    incident = hash_id(app, model, "test", nonce)
    return Opened(
        v=1,
        id=event_id(incident, "opened", at, 1),
        incident=incident,
        revision=1,
        time=now,
        severity=severity,
        topic="",
        model=model,
        versions=(),
        segments=(),
        onset=now,
        detected=now,
        summary=f"{model}: test of the way of alerts; nothing has changed",
        text=(
            f"{model}: streamgauge test-alert wrote this event to find out whether alerts reach "
            "you. They do. Nothing has changed, nothing is to be done."
        ),
        changes=(),
        changes_total=0,
        features_total=0,
        features_watched=None,
        evidence=Evidence(start=now, end=now, ranges=(), partitions_total=0),
        labels={**labels, **MARK},
    )


def resolved(test: Opened, onset: int, at: int) -> Resolved:
    """The end of a test.

    Args:
        test: Its beginning.
        onset: When that was, microseconds.
        at: The time, microseconds.
    """
    lasted = duration(max(at - onset, 0))
    return Resolved(
        v=1,
        id=event_id(test.incident, "resolved", at, 2),
        incident=test.incident,
        revision=2,
        time=rfc3339(at),
        severity=test.severity,
        topic=test.topic,
        model=test.model,
        versions=(),
        segments=(),
        onset=test.onset,
        detected=test.detected,
        summary=f"{test.model}: the test of the way of alerts ended after {lasted}",
        text=f"{test.model}: the test that streamgauge test-alert began ended after {lasted}.",
        reason="test",
        changes=(),
        changes_total=0,
        features_total=0,
        features_watched=None,
        evidence=test.evidence,
        labels=test.labels,
    )
