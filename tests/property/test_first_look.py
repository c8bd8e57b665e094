"""What is skipped while learning, because nothing can have happened, changes nothing."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sketches.blocks import Block
from sketches.first_look import FirstLook
from sketches.reading import QUANTILES, typical_sizes
from tests.streams import Records

NUMBER = st.one_of(
    st.sampled_from([0.0, 1.0, -1.0, 5e-324, 1.7e308, -3.25]),
    st.floats(allow_nan=False, allow_infinity=False),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(NUMBER, min_size=4, max_size=4), min_size=1, max_size=60))
def test_typical_sizes_are_those_of_a_plain_walk(rows: list[list[float]]) -> None:
    columns = np.array(rows).T
    held = Records({name: columns[at] for at, name in enumerate("abcd")}).profile().numbers
    bins = held.histogram
    found, totals = typical_sizes(bins)
    for feature in range(bins.features):
        mine = slice(bins.starts[feature], bins.starts[feature + 1])
        walk = []
        columns_of_bins = (bins.scale[mine], bins.index[mine], bins.count[mine])
        for scale, index, count in np.stack(columns_of_bins, axis=1).tolist():
            try:
                size = abs(math.ldexp(index + 0.5, scale)) if index else 0.0
            except OverflowError:
                size = math.inf
            if size:
                walk.append((min(size, float(np.finfo(np.float64).max)), count))
        assert totals[feature] == sum(count for _, count in walk)
        for at, share in enumerate(QUANTILES):
            passed, wanted = 0, sum(count for _, count in walk) * share
            for size, count in sorted(walk):
                passed += count
                if passed >= wanted:
                    assert found[feature, at] == size
                    break
            else:
                assert math.isnan(found[feature, at])


FAULT = st.sampled_from(["", "", "", "null", "some null", "stuck", "unit", "text", "few", "new"])


def altered(fault: str, size: int, random: np.random.Generator) -> Records:
    values = random.normal(10, 3, size)
    texts: dict[str, list[str | None]] = {"c": ["xyz"[k] for k in random.integers(0, 3, size)]}
    if fault == "null":
        values[:] = np.nan
    elif fault == "some null":
        values[random.random(size) < 0.3] = np.nan
    elif fault == "stuck":
        values[:] = values[0]
    elif fault == "unit":
        values *= 1000
    elif fault == "text":
        texts["a"] = ["q"] * size
        values[: size // 2] = np.nan
    numbers = {"a": values, "b": random.normal(size=size)}
    if fault == "new":
        numbers["0"] = random.normal(size=size)
    return Records(numbers, texts)


@settings(max_examples=30, deadline=None)
@given(st.lists(FAULT, min_size=1, max_size=14), st.integers(0, 2**32 - 1))
def test_a_quiet_block_is_what_judging_finds(faults: list[str], seed: int) -> None:
    random = np.random.default_rng(seed)
    quick, plain = FirstLook(), FirstLook()
    with pytest.MonkeyPatch.context() as patch:
        for number, fault in enumerate(["", "", "", *faults]):
            block = Block(number * 10_000_000, (number + 1) * 10_000_000)
            found = altered(fault, 8 if fault == "few" else 120, random).profile()
            quick.add(block, found)
            with patch.context() as slow:
                slow.setattr(FirstLook, "_is_quiet", lambda *_: False)
                plain.add(block, found)
            assert (quick.begun, quick.over) == (plain.begun, plain.over)
            assert quick.state() == plain.state()
