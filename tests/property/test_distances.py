"""Distances against plain, slow references: sums over cells, and over every value there is."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sketches.distances import functions_apart, psi, signed_js
from sketches.profile import Profile, merge, profile_table
from sketches.table import FloatArray, Table

COUNTS = st.lists(st.tuples(st.integers(0, 400), st.integers(0, 400)), min_size=2, max_size=22)


def profile(*parts: FloatArray) -> Profile:
    return merge([profile_table(Table(len(x), ("x",), x[:, None])) for x in parts])


def slow_js(before: list[int], after: list[int]) -> float:
    n, m = sum(after), sum(before)
    total, filled = 0.0, 0.0
    for one, other in zip(before, after, strict=True):
        p, q = one / m, other / n
        total += p * math.log2(p / ((p + q) / 2)) / 2 if p else 0.0
        total += q * math.log2(q / ((p + q) / 2)) / 2 if q else 0.0
        filled += min(p * n, 1.0)
    total -= max(filled - 1, 0.0) * (1 / n + 1 / m) / (8 * math.log(2))
    return math.copysign(math.sqrt(abs(total)), total)


def slow_psi(before: list[int], after: list[int]) -> float:
    pairs = [(max(a, 0.5), max(b, 0.5)) for a, b in zip(before, after, strict=True) if a or b]
    m, n = sum(a for a, _ in pairs), sum(b for _, b in pairs)
    whole = sum((b / n - a / m) * math.log((b / n) / (a / m)) for a, b in pairs)
    return max(whole - (len(pairs) - 1) * (1 / sum(before) + 1 / sum(after)), 0.0)


@given(COUNTS)
def test_cells_are_as_far_apart_as_plain_sums_say(pairs: list[tuple[int, int]]) -> None:
    before, after = [a for a, _ in pairs], [b for _, b in pairs]
    rows = np.array([before], dtype=float), np.array([after], dtype=float)
    js, stability = signed_js(*rows)[0], psi(*rows)[0]
    if not sum(before) or not sum(after):
        assert math.isnan(js)
        assert math.isnan(stability)
        return
    assert js * abs(js) == pytest.approx(slow_js(before, after) * abs(slow_js(before, after)))
    assert stability == pytest.approx(slow_psi(before, after), abs=1e-12)


def slow_functions(one: FloatArray, other: FloatArray) -> tuple[float, float]:
    points = np.unique(np.concatenate([one, other]))
    low, high = (np.array([(side <= at).mean() for at in points]) for side in (one, other))
    sizes = 1 / len(one) + 1 / len(other)
    ks = max(float(np.abs(low - high).max()) - 0.8687 * math.sqrt(sizes), 0.0)
    width = np.diff(points)
    way = float((np.abs(low - high)[:-1] * width).sum())
    both = (low * len(one) + high * len(other)) / (len(one) + len(other))
    stray = np.sqrt(2 / math.pi * both * (1 - both) * sizes)
    return ks, max(way - float((stray[:-1] * width).sum()), 0.0)


@settings(max_examples=40)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from(["normal", "counts", "flag", "heavy"]),
    st.floats(-2, 2),
    st.integers(200, 900),
)
def test_functions_are_as_far_apart_as_all_values_say(
    seed: int, kind: str, shift: float, size: int
) -> None:
    random = np.random.default_rng(seed)

    def draw(more: float, count: int) -> FloatArray:
        if kind == "counts":
            return random.poisson(4 + more, count).astype(float)
        if kind == "flag":
            return (random.random(count) < 0.3 + more / 10).astype(float)
        values = random.normal(more, 1.0, count)
        return np.exp(values) if kind == "heavy" else values

    one, other = draw(0.0, 900), draw(shift, size)
    found = functions_apart(profile(one[:500], one[500:]).numbers, profile(other).numbers)
    wanted = slow_functions(one, other)
    width = np.subtract(*np.quantile(one, [0.9, 0.1]))
    assert found[0] == pytest.approx(wanted[0], abs=0.04)
    assert found[1] == pytest.approx(wanted[1], abs=0.05 * max(width, 1.0) + 0.02 * wanted[1])


@pytest.mark.parametrize("size", [100, 400, 4000])
def test_what_did_not_change_is_near_at_every_size(size: int) -> None:
    random = np.random.default_rng(7)
    before = profile(random.normal(size=8000))
    share = np.full(16, 1 / 16)
    held = random.multinomial(10**6, share, size=50).astype(float)
    found = random.multinomial(size, share, size=50).astype(float)
    raw = 15 / size  # what PSI gives by chance
    assert float(psi(held, found).mean()) < 0.5 * raw
    apart = [
        functions_apart(before.numbers, profile(random.normal(size=size)).numbers)
        for _ in range(30)
    ]
    assert float(np.mean([ks for ks, _ in apart])) < 0.6 * 0.87 / math.sqrt(size)
    assert float(np.mean([way for _, way in apart])) < 0.7 / math.sqrt(size)
    moved = functions_apart(before.numbers, profile(random.normal(1.0, size=size)).numbers)
    assert moved[0] == pytest.approx(0.383, abs=0.12)
    assert moved[1] == pytest.approx(1.0, abs=0.25)


def test_one_value_is_no_way_from_itself() -> None:
    five = profile(np.full(300, 5.0))
    assert functions_apart(five.numbers, profile(np.full(77, 5.0)).numbers) == (0.0, 0.0)
    ks, way = functions_apart(five.numbers, profile(np.full(300, 6.0)).numbers)
    assert ks == pytest.approx(1.0 - 0.8687 * math.sqrt(2 / 300), abs=0.01)
    assert way == pytest.approx(1.0 - math.sqrt(2 / math.pi) * 0.5 * math.sqrt(2 / 300), abs=0.01)
