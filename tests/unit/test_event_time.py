from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consumer.batch import NO_TIME
from consumer.event_time import Unit, microseconds, microseconds_of

TIME = 1_767_225_600_123_456  # 2026-01-01T00:00:00.123456Z
UNITS: list[Unit] = ["auto", "s", "ms", "us", "ns", "rfc3339"]


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        (1_767_225_600, "s", TIME // 1_000_000 * 1_000_000),
        (1_767_225_600.123456, "s", TIME),
        (1_767_225_600_123, "ms", TIME // 1_000 * 1_000),
        (1_767_225_600_123.456, "ms", TIME),
        (TIME, "us", TIME),
        (TIME * 1_000 + 999, "ns", TIME),
        ("1767225600123", "ms", TIME // 1_000 * 1_000),
        ("2026-01-01T00:00:00.123456Z", "rfc3339", TIME),
        ("2026-01-01t00:00:00.123456789z", "rfc3339", TIME),
        ("2026-01-01 01:30:00.123456+01:30", "rfc3339", TIME),
        ("2026-01-01T00:00:00.123456", "rfc3339", TIME),  # no offset: UTC
        ("2016-12-31T23:59:60Z", "rfc3339", 1_483_228_800_000_000),
    ],
)
@pytest.mark.parametrize("count", [1, 3])
def test_units(value: Any, unit: Unit, expected: int, count: int) -> None:
    assert microseconds([value] * count, unit).tolist() == [expected] * count


@pytest.mark.parametrize("scale", [1, 1_000, 1_000_000, 1_000_000_000])
def test_auto_tells_units_by_magnitude_for_each_record(scale: int) -> None:
    seconds = [631_152_000, 1_767_225_600, 4_102_444_799]  # 1990, 2026, 2099
    values = [second * scale for second in seconds]
    expected = [second * 1_000_000 for second in seconds]
    assert microseconds(values, "auto").tolist() == expected
    assert microseconds([*values, "2026-01-01T00:00:00Z", None], "auto").tolist() == [
        *expected,
        1_767_225_600_000_000,
        NO_TIME,
    ]


def test_auto_of_mixed_units() -> None:
    values = [1_767_225_600, 1_767_225_600_000, 1_767_225_600_000_000, 5, -1]
    assert microseconds(values, "auto").tolist() == [1_767_225_600_000_000] * 3 + [NO_TIME] * 2


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize(
    "value",
    [
        0,
        -1,
        -1.5,
        0.0,
        1e300,
        True,
        None,
        ...,
        "",
        "now",
        "NaT",
        "soon",
        "0",
        "-5",
        "2026-01-01",
        "2026-13-01T00:00:00Z",
        "2026-02-30T00:00:00Z",
        "2026-01-01T25:00:00Z",
        "0000-01-01T00:00:00Z",
        "1969-12-31T23:59:59Z",
        "２０２６-01-01T00:00:00Z",
        "9" * 5_000,
        [1_767_225_600],
        {"seconds": 1_767_225_600},
    ],
)
def test_what_is_no_time_is_never_one(value: Any, unit: Unit) -> None:
    assert microseconds([value], unit).tolist() == [NO_TIME]
    assert microseconds([value, value], unit).tolist() == [NO_TIME] * 2


@given(
    st.lists(
        st.one_of(
            st.integers(-(2**63), 2**64 - 1),
            st.sampled_from([1_767_225_600, 1_767_225_600_123, TIME, TIME * 1_000]),
            st.floats(allow_nan=False, allow_infinity=False),
            st.datetimes(datetime(1970, 1, 2), timezones=st.just(UTC)).map(  # noqa: DTZ001
                lambda time: time.isoformat().replace("+00:00", "Z")
            ),
            st.text(max_size=25),
        ),
        max_size=8,
    ),
    st.sampled_from(UNITS),
)
@settings(max_examples=300, deadline=None)
def test_many_at_once_are_as_one_by_one(values: list[object], unit: Unit) -> None:
    for kind in (object, int, str):
        some = [value for value in values if isinstance(value, kind)]
        assert microseconds(some, unit).tolist() == [microseconds_of(one, unit) for one in some]


def test_integers_beyond_63_bits() -> None:
    assert microseconds([2**64 - 1], "ns").tolist() == [(2**64 - 1) // 1_000]
    assert microseconds([2**64 - 1] * 2, "us").tolist() == [NO_TIME] * 2


def test_texts_that_look_plain_together_only() -> None:
    values = ["2026-01-01T00:00:00Z\n2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z"]
    assert microseconds(values, "auto").tolist() == [NO_TIME, 1_767_225_600_000_000]
