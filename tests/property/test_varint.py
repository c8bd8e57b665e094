"""Whole numbers as bytes, many runs at once, beside a plain LEB128."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sketches import varint
from sketches.ragged import begins, spread, steps, sums
from sketches.table import IntArray

NUMBER = st.one_of(st.integers(0, 300), st.integers(0, 2**63 - 1), st.just(127), st.just(128))
RUNS = st.lists(st.lists(NUMBER, max_size=9), min_size=1, max_size=5)


def leb128(number: int) -> bytes:
    found = bytearray()
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    return bytes([*found, number])


def flat(runs: list[list[int]]) -> IntArray:
    return np.array([number for run in runs for number in run], dtype=np.int64)


def sizes(runs: list[list[int]]) -> IntArray:
    return np.array(list(map(len, runs)))


@given(RUNS)
def test_each_run_is_leb128_and_comes_back(runs: list[list[int]]) -> None:
    sent = varint.pack_all(flat(runs), sizes(runs))
    assert sent == [b"".join(map(leb128, run)) for run in runs]
    numbers, held = varint.unpack_all(sent)
    assert numbers.tolist() == flat(runs).tolist()
    assert held.tolist() == sizes(runs).tolist()


@given(RUNS, st.integers(0, 4))
def test_a_run_that_ends_within_a_number_is_refused(runs: list[list[int]], at: int) -> None:
    sent = varint.pack_all(flat(runs), sizes(runs))
    sent[at % len(sent)] += b"\x80"
    with pytest.raises(ValueError, match="within a number"):
        varint.unpack_all(sent)


def test_a_number_that_is_too_long_is_refused() -> None:
    with pytest.raises(ValueError, match="63 bits"):
        varint.unpack(b"\x80" * 9 + b"\x01")


@given(st.lists(st.lists(st.integers(-9, 9), max_size=5), min_size=1, max_size=5))
def test_steps_and_sums_of_rows(rows: list[list[int]]) -> None:
    values, held = flat(rows), sizes(rows)
    found = steps(values, begins(held))
    expected = [b - a for row in rows for a, b in zip([0, *row], row, strict=False)]
    assert found.tolist() == expected
    assert sums(found, held).tolist() == values.tolist()
    starts = np.cumsum(held) - held
    assert spread(starts, held).tolist() == list(range(len(values)))
