"""Profiles for any values: the laws of merging, the reference implementation, and the wire."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from functools import reduce
from itertools import pairwise
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sketches import histogram as histograms
from sketches import numbers
from sketches.codec import CodecError, decode, decode_all, encode, encode_all
from sketches.histogram import CAP, FINEST, Histograms
from sketches.numbers import Numbers
from sketches.profile import (
    Profile,
    ProfileRules,
    merge,
    merge_all,
    profile_table,
    profile_tables,
    profiles_equal,
)
from sketches.table import FloatArray, Kind, Table
from tests.reference_profile import Bins, folded, histogram, moments, top

ANY = st.floats(allow_nan=False, allow_infinity=False)
EXTREME = st.sampled_from(
    [0.0, -0.0, 5e-324, -5e-324, 1e-300, -1e300, 1.7976931348623157e308, -1.7976931348623157e308]
)
SEVERAL = st.sampled_from([0.0, 0.1, 1.0, 1.0000000000000002, 2.0, 3.5, -1.0, 1e6, 1e6 + 1])
ORDINARY = st.floats(-1e4, 1e4)
VALUE = st.one_of(ANY, EXTREME, SEVERAL, ORDINARY)
COLUMN = st.one_of(
    st.builds(
        lambda n, x, rest: [x] * n + rest, st.integers(9, 40), VALUE, st.lists(VALUE, max_size=9)
    ),
    st.lists(VALUE, min_size=1, max_size=60),
    st.lists(SEVERAL, min_size=1, max_size=300),
    st.lists(ORDINARY, min_size=1, max_size=60),
)
TEXT = st.text(st.characters(codec="utf-8"), max_size=12)


@st.composite
def shapes(draw: st.DrawFn) -> list[float]:
    """A column of up to 3,000 values of some shape, over both ways to count bins."""
    r = np.random.default_rng(draw(st.integers(0, 2**32)))
    n = draw(st.sampled_from([3, 100, 255, 256, 257, 511, 600, 3000]))
    shape = draw(
        st.sampled_from(["normal", "lognormal", "cauchy", "zeros", "modes", "decades", "prices"])
    )
    scale = draw(st.sampled_from([1.0, 1.0, 1e-290, 1e-9, 1e6, 1e290]))
    columns: dict[str, Callable[[], FloatArray]] = {
        "normal": lambda: r.standard_normal(n),
        "lognormal": lambda: r.lognormal(0, 3, n),
        "cauchy": lambda: np.around(r.standard_cauchy(n) * 20),
        "zeros": lambda: np.where(r.random(n) < 0.9, 0.0, r.exponential(1, n)),
        "modes": lambda: np.where(r.random(n) < 0.2, r.normal(1e6, 1, n), r.normal(0, 1, n)),
        "decades": lambda: np.power(10.0, r.uniform(-8, 8, n)),
        "prices": lambda: np.round(r.lognormal(3, 1, n), 2),
    }
    found: list[float] = (columns[shape]() * scale).tolist()
    return found


def built(columns: Sequence[Sequence[float]], first: int = 0) -> Numbers:
    values = np.full((max(map(len, columns)), len(columns)), np.nan)
    for at, column in enumerate(columns):
        values[: len(column), at] = column
    names = tuple(f"f{first + at:02d}" for at in range(len(columns)))
    return numbers.build(names, values)


def counter(bins: Histograms, feature: int = 0) -> Bins:
    mine = slice(bins.starts[feature], bins.starts[feature + 1])
    keys = zip(bins.scale[mine].tolist(), bins.index[mine].tolist(), strict=True)
    found = dict(zip(keys, bins.count[mine].tolist(), strict=True))
    assert list(found) == sorted(found)
    return Counter(found)


def same(one: Numbers, other: Numbers) -> bool:
    return profiles_equal(Profile(numbers=one), Profile(numbers=other))


@given(st.lists(st.one_of(COLUMN, shapes()), min_size=1, max_size=5))
@settings(deadline=None, max_examples=150)
def test_a_chunk_has_the_bins_of_the_reference(columns: list[list[float]]) -> None:
    found = built(columns)
    for at, column in enumerate(columns):
        assert counter(found.histogram, at) == histogram(column)
        assert found.count[at] == len(column)
        assert found.minimum[at] == min(column)
        assert found.maximum[at] == max(column)
        assert found.zeros[at] == column.count(0.0)


@given(st.lists(COLUMN, min_size=1, max_size=4))
@settings(deadline=None)
def test_a_feature_does_not_depend_on_its_neighbours(columns: list[list[float]]) -> None:
    found = built(columns)
    for at, column in enumerate(columns):
        assert same(found.select([f"f{at:02d}"]), built([column], at))


@given(COLUMN)
def test_moments_are_those_of_exact_arithmetic(column: list[float]) -> None:
    found = built([column])
    mean, m2 = moments(column)
    size = max(abs(x) for x in column)
    assert abs(found.mean[0] - mean) <= 1e-13 * size
    if m2 > 1e308:
        assert found.m2[0] > 1e307
    else:
        assert math.isclose(found.m2[0], m2, rel_tol=1e-9, abs_tol=1e-24 * min(size * size, 1e300))


@given(COLUMN, COLUMN, COLUMN)
def test_merged_moments_are_those_of_all_values(
    one: list[float], two: list[float], three: list[float]
) -> None:
    found = numbers.merge([built([one]), built([two]), built([three])])
    mean, m2 = moments(one + two + three)
    size = max(abs(x) for x in one + two + three)
    assert abs(found.mean[0] - mean) <= 1e-13 * size
    if m2 > 1e308:
        assert found.m2[0] > 1e307
    else:
        assert math.isclose(found.m2[0], m2, rel_tol=1e-9, abs_tol=1e-24 * min(size * size, 1e300))


@given(st.lists(st.lists(COLUMN, min_size=1, max_size=3), min_size=1, max_size=5), st.data())
@settings(deadline=None)
def test_bins_add_up_in_every_order_and_grouping(
    chunks: list[list[list[float]]], data: st.DataObject
) -> None:
    parts = [built(columns) for columns in chunks]
    whole = numbers.merge(parts).histogram
    cut = data.draw(st.integers(0, len(parts)))
    grouped = numbers.merge([numbers.merge(parts[:cut]), numbers.merge(parts[cut:])])
    shuffled = numbers.merge(data.draw(st.permutations(parts)))
    for at in range(whole.features):
        total: Bins = sum((histogram(c[at]) for c in chunks if at < len(c)), Counter())
        assert counter(whole, at) == total
        assert counter(grouped.histogram, at) == counter(shuffled.histogram, at) == total


@given(st.lists(st.tuples(st.integers(-40, 9), st.integers(1, 3000)), min_size=2, max_size=5))
@settings(deadline=None, max_examples=15)
def test_above_the_cap_too(chunks: list[tuple[int, int]]) -> None:
    parts = [_wide(scale, size) for scale, size in chunks]
    whole = _added(parts)
    total: Bins = sum((counter(part) for part in parts), Counter())
    expected, least = folded(total)
    assert counter(whole) == expected
    assert whole.folded.tolist() == [least]
    assert len(whole.count) <= CAP
    for cut in range(len(parts) + 1):
        again = _added([_added(parts[cut:]), _added(parts[:cut])])
        assert counter(again) == expected
        assert again.folded.tolist() == [least]


def _wide(scale: int, size: int) -> Histograms:
    r = np.random.default_rng(size)
    index = np.unique(r.integers(-(2**40), 2**40, size))
    return Histograms(
        np.array([0, len(index)]),
        np.full(len(index), scale, np.int16),
        index,
        r.integers(1, 9, len(index)),
        np.full(1, FINEST, np.int16),
    )


def _added(parts: list[Histograms]) -> Histograms:
    return histograms.merge(parts, [np.zeros(1, np.int64)] * len(parts), 1)


@st.composite
def tables(draw: st.DrawFn) -> Table:
    n = draw(st.integers(0, 20))
    names = draw(st.lists(TEXT, max_size=4, unique=True))
    cell = st.one_of(st.none(), st.booleans(), VALUE, TEXT)
    values = {name: draw(st.lists(cell, min_size=n, max_size=n)) for name in names}
    return table_of(n, values)


@st.composite
def wide_tables(draw: st.DrawFn) -> Table:
    """Columns of up to 3,000 values, with gaps or without."""
    columns = draw(st.lists(shapes(), min_size=1, max_size=4))
    n = min(map(len, columns)) if draw(st.booleans()) else max(map(len, columns))
    values = np.full((n, len(columns)), np.nan)
    for at, column in enumerate(columns):
        held = column[:n]
        values[: len(held), at] = held
    names = tuple(draw(st.permutations([f"f{at:02d}" for at in range(len(columns))])))
    kinds = {
        name: np.where(np.isnan(column), np.uint8(Kind.ABSENT), np.uint8(Kind.NUMBER))
        for name, column in zip(names, values.T, strict=True)
        if np.isnan(column).any()
    }
    return Table(n, names, values, kinds=kinds)


def table_of(n: int, values: dict[str, list[bool | float | str | None]]) -> Table:
    columns: list[list[float]] = []
    texts: list[list[str | None]] = []
    kinds = {}
    for name, column in values.items():
        columns.append([x if isinstance(x, float) else math.nan for x in column])
        texts.append(
            [
                str(x).lower() if isinstance(x, bool) else x if isinstance(x, str) else None
                for x in column
            ]
        )
        kinds[name] = np.array([_kind(x) for x in column], np.uint8)
    matrix: FloatArray = np.array(columns, np.float64).reshape(len(values), n).T
    return Table(n, tuple(values), matrix, tuple(values), tuple(texts), kinds)


def _kind(value: bool | float | str | None) -> Kind:
    if isinstance(value, bool):
        return Kind.BOOLEAN
    if isinstance(value, float):
        return Kind.NUMBER
    return Kind.NULL if value is None else Kind.TEXT


@given(tables())
def test_every_value_is_counted_once_in_its_part(table: Table) -> None:
    profile = profile_table(table)
    assert profile.records == table.length
    assert all(one < other for one, other in pairwise(profile.names))
    for name, column in zip(table.text_names, table.texts, strict=True):
        counts, other = top([x for x in column if x is not None])
        held = profile.texts.get(name)
        assert (held.counts if held else {}) == counts
        assert (held.other if held else 0) == other
    for place, name in enumerate(profile.names):
        kinds = profile.kinds[place]
        assert kinds.sum() == table.length
        if kinds[Kind.NUMBER]:
            assert profile.numbers.count[profile.numbers.names.index(name)] == kinds[Kind.NUMBER]
        if kinds[Kind.TEXT] + kinds[Kind.BOOLEAN]:
            assert profile.texts[name].total == kinds[Kind.TEXT] + kinds[Kind.BOOLEAN]


@given(st.lists(tables(), max_size=4), st.integers(0, 4))
@settings(deadline=None)
def test_merging_the_first_ones_first_changes_no_bit(parts: list[Table], cut: int) -> None:
    profiles = [profile_table(table) for table in parts]
    first = merge([merge(profiles[:cut]), *profiles[cut:]])
    assert profiles_equal(first, merge(profiles))
    assert profiles_equal(merge([Profile.empty(), *profiles, Profile.empty()]), merge(profiles))


@given(
    st.lists(tables(), max_size=3),
    st.integers(0, 2**40),
    st.dictionaries(TEXT, st.integers(0, 2**40), max_size=2),
    st.sampled_from([1, 300, 256_000]),
)
@settings(deadline=None)
def test_the_wire_keeps_every_bit(
    parts: list[Table], late: int, rejects: dict[str, int], max_bytes: int
) -> None:
    whole = merge([Profile(late=late, rejects=rejects), *(profile_table(table) for table in parts)])
    sent = encode(whole, max_bytes)
    assert profiles_equal(decode(sent), whole)
    assert profiles_equal(decode(sent[::-1]), whole)


@given(st.lists(st.lists(st.one_of(tables(), wide_tables()), max_size=4), max_size=4))
@settings(deadline=None)
def test_many_merged_are_what_each_is_alone(groups: list[list[Table]]) -> None:
    profiles = [[profile_table(table) for table in tables] for tables in groups]
    found = merge_all(profiles)
    for one, parts in zip(found, profiles, strict=True):
        assert profiles_equal(one, merge(parts))
        assert profiles_equal(one, reduce(lambda a, b: merge([a, b]), parts, Profile.empty()))


@given(
    st.lists(st.one_of(tables(), wide_tables()), max_size=8),
    st.sampled_from([300, 256_000]),
    st.lists(st.binary(max_size=9), max_size=2),
    st.randoms(use_true_random=False),
)
@settings(deadline=None)
def test_many_on_the_wire_are_what_each_is_alone(
    chunks: list[Table], max_bytes: int, broken: list[bytes], order: Random
) -> None:
    profiles = [
        Profile(rejects={"json": 1}),
        *profile_tables([(t, ProfileRules()) for t in chunks]),
    ]
    sent = encode_all(profiles, max_bytes)
    assert sent == [encode(each, max_bytes) for each in profiles]
    expected: list[tuple[list[bytes], Profile | None]] = [
        *zip(sent, profiles, strict=True),
        *(([*sent[0], data], None) for data in broken),
    ]
    order.shuffle(expected)
    found = decode_all([parts for parts, _ in expected])
    for one, (_, other) in zip(found, expected, strict=True):
        assert one is other if one is None or other is None else profiles_equal(one, other)


@given(st.binary(max_size=200))
def test_bytes_that_are_no_profile_are_refused(data: bytes) -> None:
    with pytest.raises(CodecError):
        decode([data])


@given(tables(), st.data())
@settings(deadline=None, max_examples=200)
def test_damaged_bytes_are_refused_or_read_as_some_profile(
    table: Table, data: st.DataObject
) -> None:
    (whole,) = encode(profile_table(table))
    damaged = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(damaged) - 1))
        damaged[at] = data.draw(st.integers(0, 255))
    stop = data.draw(st.one_of(st.just(len(damaged)), st.integers(0, len(damaged))))
    try:
        read = decode([bytes(damaged[:stop])])
    except CodecError:
        return
    assert profiles_equal(decode(encode(read)), read)


@given(st.lists(VALUE, min_size=1, max_size=30))
def test_forced_to_texts_numbers_stay_apart(column: list[float]) -> None:
    table = table_of(len(column), {"zip": list(column)})
    profile = profile_table(table, ProfileRules(kind_of=lambda name: "categorical"))
    assert not profile.numbers.names
    assert len(profile.texts["zip"].counts) == len(set(column))
    assert {float(name) for name in profile.texts["zip"].counts} == set(column)


@given(st.lists(st.one_of(tables(), wide_tables()), max_size=6))
@settings(deadline=None, max_examples=150)
def test_many_at_once_are_what_each_is_alone(chunks: list[Table]) -> None:
    rules = ProfileRules(is_withheld=lambda name: name == "f01")
    found = profile_tables([(table, rules) for table in chunks])
    assert len(found) == len(chunks)
    for one, table in zip(found, chunks, strict=True):
        assert profiles_equal(
            one, profile_table(table, ProfileRules(is_withheld=rules.is_withheld))
        )
