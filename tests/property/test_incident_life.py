"""Whatever the reports say: each incident has one life, and every change is in one of them."""

from __future__ import annotations

import random

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from alerts.causes import FAULTS
from alerts.events import IncidentEvent, Opened, Resolved, Updated, encode
from alerts.incident import HOLD, Key
from alerts.incidents import Context, IncidentBook
from sketches.detection import Change
from tests.alert_reports import MINUTE, T0, Report, change, check, key, ranges

PARTS = [("1", "", "a"), ("1", "", "b"), ("2", "", "a"), ("2", "eu", "c"), ("1", "", "")]
CHANGES = st.builds(
    lambda part, signal, direction, severity, effect, age: (
        part,
        signal,
        direction,
        severity,
        effect,
        age,
    ),
    st.sampled_from(PARTS),
    st.sampled_from(["location", "spread", "missing"]),
    st.sampled_from(["up", "down"]),
    st.sampled_from(["warning", "critical"]),
    st.floats(0, 1e6) | st.sampled_from([float("inf"), float("nan")]),
    st.integers(0, 300),
)
STEPS = st.lists(
    st.tuples(
        st.integers(1, 200),
        st.lists(CHANGES, max_size=4),
        st.sampled_from(["recovered", "settled", "forgotten"]),
        st.randoms(use_true_random=False),
    ),
    max_size=25,
)


def reports(steps: list[tuple[int, list[tuple], str, random.Random]]) -> list[Report]:  # type: ignore[type-arg]
    """A monitor that changes and ends what chance says."""
    now, active, made = T0, set[Key](), []
    for minutes, new, end, chance in steps:
        now += minutes * MINUTE
        changes: list[Change] = []
        for (version, segment, feature), signal, direction, severity, effect, age in new:
            one = change(
                feature,
                signal,
                version=version,
                segment=segment,
                direction=direction,
                severity=severity,
                effect=effect,
                score=effect,
                onset=now - (age + 1) * MINUTE,
                detected=now,
            )
            changes.append(one)
            if age % 2:
                other = change(
                    feature,
                    signal,
                    version=version,
                    segment=segment,
                    detector="ADWIN",
                    onset=now - MINUTE,
                    detected=now,
                )
                changes.append(other)
        again = {key(each) for each in changes}
        gone = {each for each in sorted(active) if chance.random() < 0.4} - again
        active = (active - gone) | again
        ends = {} if end == "forgotten" else {end: tuple(sorted(gone))}
        made.append(Report(now, tuple(changes), tuple(sorted(active)), **ends))
    return made


@settings(max_examples=300, deadline=None)
@given(STEPS)
def test_one_life_for_each_incident_and_an_incident_for_each_change(steps: list) -> None:  # type: ignore[type-arg]
    book = IncidentBook("predictions", "m")
    last: dict[str, IncidentEvent] = {}
    said: dict[str, int] = {}
    ids: set[str] = set()
    for report in reports(steps):
        told = book.apply(report, Context(ranges))
        assert len({event.incident for event in told}) == len(told)
        for event in told:
            check(event)
            assert event.id not in ids
            ids.add(event.id)
            before = last.get(event.incident)
            assert event.revision == (before.revision if before else 0) + 1
            assert isinstance(event, Opened) == (before is None)
            if isinstance(event, Updated):
                assert event.reopened == isinstance(before, Resolved)
                assert event.why
                if event.why not in (("reopened",), ("severity",)) and "features" not in event.why:
                    raised = "severity" in event.why
                    raised |= "cause" in event.why and event.cause in FAULTS
                    assert raised or report.now - said[event.incident] >= HOLD
            if isinstance(event, Resolved):
                assert not isinstance(before, Resolved)
                assert not any(each.active for each in event.changes)
            else:
                assert any(each.active for each in event.changes)
            last[event.incident] = event
            said[event.incident] = report.now
        goes_on = [id_ for id_, event in last.items() if not isinstance(event, Resolved)]
        assert book.open == len(goes_on)
        assert bool(goes_on) == bool(report.active)
        if report.changes:
            assert any(not isinstance(event, Resolved) for event in last.values())


@settings(max_examples=150, deadline=None)
@given(STEPS, st.randoms(use_true_random=False))
def test_restarts_and_the_order_within_a_report_change_nothing(
    steps: list,  # type: ignore[type-arg]
    chance: random.Random,
) -> None:
    plain, other = IncidentBook("predictions", "m"), IncidentBook("predictions", "m")
    for report in reports(steps):
        changes = list(report.changes)
        chance.shuffle(changes)
        if chance.random() < 0.5:
            other = IncidentBook.restore(other.state())
        expected = [encode(event) for event in plain.apply(report, Context(ranges))]
        again = other.apply(report._replace(changes=tuple(changes)), Context(ranges))
        assert [encode(event) for event in again] == expected
        assert other.state() == plain.state()
        for value in expected:
            assert orjson.loads(value)["v"] == 1
