from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sketches.given import (
    MAGIC,
    VERSION,
    BaselineFormatError,
    GivenBaseline,
    TimedProfile,
    autocorrelation,
    from_bytes,
    to_bytes,
)
from sketches.profile import Profile, profile_table, profiles_equal
from sketches.table import Table


def profile_of(values: list[float]) -> Profile:
    return profile_table(Table(len(values), ("x",), np.array(values)[:, None]))


PROFILE = profile_of([float(value % 17) for value in range(200)])
BASELINE = GivenBaseline(
    "m", "1", "de", ("a.csv",), PROFILE, (TimedProfile(0, 60_000_000, PROFILE),), ("x",)
)
WRITTEN = to_bytes(BASELINE)


def test_a_baseline_comes_back_as_it_was() -> None:
    found = from_bytes(WRITTEN)
    assert to_bytes(found) == WRITTEN
    assert profiles_equal(found.profile, PROFILE)
    assert profiles_equal(found.blocks[0].profile, PROFILE)
    assert (found.model, found.version, found.segment, found.sources, found.unique) == (
        *("m", "1", "de", ("a.csv",), ("x",)),
    )


@given(values=st.lists(st.floats(-1e300, 1e300), min_size=1, max_size=50))
@settings(max_examples=50)
def test_any_baseline_comes_back_to_the_bit(values: list[float]) -> None:
    one = GivenBaseline("m", "", "", (), profile_of(values))
    found = from_bytes(to_bytes(one))
    assert profiles_equal(found.profile, one.profile)
    assert found.id == one.id


def test_the_id_is_that_of_the_content_alone() -> None:
    other = GivenBaseline("m", "1", "de", ("b.csv",), *(PROFILE, BASELINE.blocks, ("x",)))
    assert other.id == BASELINE.id
    assert GivenBaseline("m", "2", "de", ("a.csv",), PROFILE).id != BASELINE.id


@given(data=st.data())
@settings(max_examples=200)
def test_a_baseline_of_which_a_bit_is_wrong_is_refused(data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(WRITTEN) - 1))
    wrong = bytearray(WRITTEN)
    wrong[place] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(BaselineFormatError, match=r"build|upgrade"):
        from_bytes(bytes(wrong))


@given(length=st.integers(0, len(WRITTEN) - 1))
@settings(max_examples=200)
def test_a_part_of_a_baseline_is_refused(length: int) -> None:
    with pytest.raises(BaselineFormatError, match="build it again"):
        from_bytes(WRITTEN[:length])


def test_a_newer_baseline_is_refused_with_a_remedy() -> None:
    newer = msgspec.msgpack.encode([MAGIC, VERSION + 1, "whatever comes then"])
    with pytest.raises(BaselineFormatError, match=r"newer than this release reads .*; upgrade"):
        from_bytes(newer)


def test_another_file_is_refused_with_a_remedy() -> None:
    for data in (b"", b"a,b\n1,2\n", msgspec.msgpack.encode(["something", 1])):
        with pytest.raises(BaselineFormatError, match="streamgauge baseline build"):
            from_bytes(data)


def test_autocorrelation() -> None:
    assert autocorrelation([1.0] * 10) == 0.0
    assert autocorrelation([1.0, -1.0] * 100) == pytest.approx(-1.0, abs=0.01)
    assert autocorrelation([float(value) for value in range(100)]) > 0.9
