"""The root cause that changes point at, and whom an incident concerns."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from alerts.causes import Cause, cause
from alerts.events import Updated
from sketches.detection import Change, DetectionSettings, Ownership
from tests.alert_reports import HOUR, MINUTE, T0, Told, change, missing


def _up(signal: str, feature: str = "income", **facts: Any) -> Change:
    return change(feature, signal, direction="up", **facts)


ALONE: dict[str, Cause] = {
    "kind": "schema_break",
    "rejects": "schema_break",
    "magnitude": "unit_change",
    "stuck": "stuck",
    "missing": "missing",
    "non_finite": "missing",
    "volume": "volume",
    "late": "upstream",
    "unseen": "new_category",
    "gradual": "gradual",
    "location": "shift",
    "spread": "shift",
    "shape": "shift",
    "zeros": "shift",
    "outside": "shift",
    "vanished": "shift",
    "distance": "shift",
    "errors": "unknown",
    "of a later release": "unknown",
}
ORDER = ("kind", "magnitude", "stuck", "missing", "volume", "unseen", "gradual", "location")


@pytest.mark.parametrize(("signal", "expected"), ALONE.items())
def test_one_signal_alone(signal: str, expected: Cause) -> None:
    assert cause([_up(signal)]) == expected


@pytest.mark.parametrize("at", range(len(ORDER)))
def test_what_explains_the_others_comes_first(at: int) -> None:
    together = [_up(signal, f"f{n}") for n, signal in enumerate(ORDER[at:])]
    assert cause(reversed(together)) == ALONE[ORDER[at]]


def test_nothing_known_points_at_nothing() -> None:
    assert cause([]) == "unknown"


def test_fewer_nulls_or_rejects_break_nothing() -> None:
    assert cause([missing(direction="down")]) == "shift"
    assert cause([change("", "rejects", direction="down"), _up("stuck")]) == "stuck"


@pytest.mark.parametrize(
    ("features", "watched", "expected"),
    [
        (12, 40, "upstream"),
        (11, 40, "shift"),
        (3, 5, "upstream"),
        (2, 2, "shift"),
        (3, None, "shift"),
    ],
)
def test_many_features_at_once(features: int, watched: int | None, expected: Cause) -> None:
    moved = [change(f"f{n}") for n in range(features)]
    assert (
        cause([*moved, change("f0", "spread"), change("", "errors")], watched=watched) == expected
    )
    assert cause([*moved, missing("f0")], watched=watched) == "missing"


@pytest.mark.parametrize(
    ("deployed", "expected"),
    [
        ({"3": T0}, "version"),
        ({"3": T0 - HOUR}, "version"),
        ({"3": T0 - HOUR - 1}, "shift"),
        ({"3": T0 + MINUTE}, "shift"),
        ({"4": T0}, "shift"),
        ({}, "shift"),
    ],
)
def test_only_versions_just_deployed(deployed: dict[str, int], expected: Cause) -> None:
    assert cause([change(), change("@prediction")], deployed=deployed) == expected
    assert cause([change(), change(version="2")], deployed=deployed) == "shift"
    assert cause([change("", "errors", version=""), change()], deployed=deployed) == expected
    assert cause([change("", "errors", version="")], deployed=deployed) == "unknown"


def test_the_enumeration_is_that_of_the_contract() -> None:
    assert set(ALONE.values()) | {"version"} == set(get_args(Cause))


def test_an_incident_keeps_the_cause_that_began_it() -> None:
    told = Told(watched=40)
    (opened,) = told.say(T0 + 10 * MINUTE, change(), _up("magnitude"))
    assert opened.cause == "unit_change"
    assert "Most likely a unit change: values are off by a factor." in opened.text
    told.say(T0 + HOUR, recovered=(_up("magnitude"),))
    (resolved,) = told.say(T0 + 2 * HOUR, recovered=(change(),))
    assert resolved.cause == "unit_change"


def test_a_root_cause_seen_later_is_told_and_leads() -> None:
    told = Told()
    told.say(T0 + 10 * MINUTE, change(score=9.0))
    later = _up("magnitude", score=1.2, onset=T0)
    (updated,) = told.say(T0 + 20 * MINUTE, later)  # a fault: it does not wait
    assert isinstance(updated, Updated)
    assert (updated.why, updated.cause) == (("cause",), "unit_change")
    assert [each.signal for each in updated.changes] == ["magnitude", "location"]
    assert updated.summary.startswith("credit-risk v3: cause now unit change: income off by a")
    assert told.say(T0 + 2 * HOUR, later) == []
    assert told.say(T0 + 3 * HOUR, _up("spread", onset=T0)) == []  # farther from the root


def test_what_a_model_leaves_out_the_table_for_all_says() -> None:
    settings = DetectionSettings(
        owners={
            "*": Ownership({"team": "platform", "site": "a"}, "ops", "https://r", None),
            "m": Ownership({"team": "risk"}, "risk-ml", None, "https://d"),
        }
    )
    assert settings.ownership("m") == Ownership(
        {"site": "a", "team": "risk"}, "risk-ml", "https://r", "https://d"
    )
    assert settings.ownership("").owner == "ops"
    assert DetectionSettings().ownership("m") == Ownership()
