"""Each signal of a fault moves when its fault is injected, and stays where it is otherwise."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from sketches.profile import Profile, merge, profile_table
from sketches.reference import read
from sketches.signals import RULES, Layout, measure
from sketches.table import FloatArray, Kind, Table

RANDOM = np.random.default_rng(11)
NAMES = np.array(list("abcdefgh"))


def values(size: int) -> dict[str, FloatArray]:
    zeros = RANDOM.random(size) < 0.2
    return {
        "normal": RANDOM.normal(100, 20, size),
        "around": RANDOM.normal(-1, 10, size),
        "heavy": np.exp(1.5 * RANDOM.normal(size=size)),
        "counts": RANDOM.poisson(4, size).astype(float),
        "holes": np.where(zeros, 0.0, RANDOM.normal(5, 1, size)),
        "constant": np.full(size, 7.0),
    }


def profiled(columns: dict[str, FloatArray], size: int, kind: Kind = Kind.NON_FINITE) -> Profile:
    table = np.column_stack(list(columns.values()))
    strange = {
        name: np.where(np.isnan(column), kind, Kind.NUMBER).astype(np.uint8)
        for name, column in columns.items()
        if np.isnan(column).any()
    }
    texts = NAMES[np.minimum(RANDOM.geometric(0.3, size), 8) - 1].tolist()
    return profile_table(Table(size, tuple(columns), table, ("city",), (texts,), strange))


REFERENCE = read(merge([profiled(values(1000), 1000) for _ in range(20)]))
LAYOUT = Layout.of(REFERENCE)


def signal(found: Profile, feature: str, name: str) -> float:
    at = list(zip(LAYOUT.features, LAYOUT.signals, strict=True)).index((feature, name))
    return float(measure(REFERENCE, found)[0][at])


@pytest.mark.parametrize("size", [150, 1000, 5000])
def test_nothing_moves_by_itself(size: int) -> None:
    for _ in range(20):
        found = dict(
            zip(
                zip(LAYOUT.features, LAYOUT.signals, strict=True),
                measure(REFERENCE, profiled(values(size), size))[0].tolist(),
                strict=True,
            )
        )
        for (feature, name), value in found.items():
            assert math.isfinite(value), (feature, name)
            if name in {"outside", "magnitude", "kind", "non_finite", "unseen", "vanished"}:
                assert value == 0.0, (feature, name)
            if name == "shape":
                assert value < max(2.5 / math.sqrt(size), 0.06), feature
        assert found["normal", "stuck"] == found["heavy", "stuck"] == 0.0
        assert found["constant", "stuck"] == 1.0
        assert found["holes", "zeros"] == pytest.approx(0.2, abs=0.12)


def changed(name: str, change: Callable[[FloatArray], FloatArray], size: int = 400) -> Profile:
    columns = values(size)
    columns[name] = change(columns[name])
    return profiled(columns, size)


def some(share: float, value: float) -> Callable[[FloatArray], FloatArray]:
    return lambda x: np.where(np.arange(len(x)) < share * len(x), value, x)


@pytest.mark.parametrize(
    ("feature", "name", "change", "wanted", "slack"),
    [
        ("normal", "zeros", some(0.3, 0.0), 0.3, 0.01),
        ("holes", "zeros", some(0.0, 0.0), 0.2, 0.08),
        ("normal", "outside", some(0.05, 1e6), 0.05, 0.001),
        ("normal", "outside", some(0.05, -1e300), 0.05, 0.001),
        ("normal", "outside", some(0.005, 1e6), 0.0, 0.0),  # two strays
        ("normal", "outside", lambda x: x + 600, 0.0, 0.0),  # a level that moves, and no stray
        ("normal", "outside", lambda x: np.where(x > 130, 1e6, x + 600), 0.067, 0.04),
        ("normal", "spread", lambda x: x + 600, 0.0, 0.2),
        ("normal", "spread", lambda x: x / 4 + 600, -math.log(4), 0.2),
        ("normal", "spread", lambda x: 100 + 4 * (x - 100), math.log(2.7), 0.3),  # clipped
        ("constant", "outside", some(0.5, 7.5), 0.5, 0.001),
        ("normal", "stuck", some(1.0, 3.25), 1.0, 0.0),
        ("normal", "stuck", some(0.4, 101.5), 0.4, 0.01),
        ("heavy", "stuck", some(1.0, 0.0), 1.0, 0.0),
        ("normal", "magnitude", lambda x: 1000 * x, math.log(1000), 0.05),
        ("normal", "magnitude", lambda x: x / 6, -math.log(6), 0.05),
        ("normal", "magnitude", lambda x: x + 600, 0.0, 0.0),  # a mean that moves is no unit
        ("around", "magnitude", lambda x: 1000 * x, math.log(1000), 0.2),
        ("around", "magnitude", lambda x: 70 + 6 * x, 0.0, 0.0),  # nor one that leaves 0
        ("heavy", "magnitude", lambda x: 6 * x, math.log(6), 0.4),
        ("counts", "magnitude", lambda x: 1000 * x, math.log(1000), 0.3),
        ("constant", "magnitude", lambda x: 1000 * x, math.log(1000), 0.01),
        ("normal", "non_finite", some(0.1, math.nan), 0.1, 0.001),
        ("normal", "shape", lambda x: 100 + 20 * np.sign(x - 100), 0.84, 0.1),
        ("heavy", "shape", lambda x: x + 1, 0.6, 0.2),
        ("counts", "shape", lambda x: np.where(x == 4, 3, x), 0.3, 0.1),
    ],
)  # fmt: skip
def test_its_fault_moves_it(
    feature: str,
    name: str,
    change: Callable[[FloatArray], FloatArray],
    wanted: float,
    slack: float,
) -> None:
    found = signal(changed(feature, change), feature, name)
    assert found == pytest.approx(wanted, abs=slack)
    if abs(wanted) > slack and wanted != 0.2:
        gates = RULES[name].warning
        assert abs(found) > gates[0 if found > 0 else 1]


def test_a_type_that_was_never_there() -> None:
    columns = values(400)
    columns["normal"][:100] = np.nan
    found = profiled(columns, 400, Kind.OTHER)
    assert signal(found, "normal", "kind") == 0.25
    assert signal(found, "heavy", "kind") == 0.0
    table = Table(100, (), np.zeros((100, 0)), ("normal",), ([str(at) for at in range(100)],))
    assert signal(profile_table(table), "normal", "kind") == 1.0


def test_a_category_that_is_gone_is_told_and_a_rare_one_is_not() -> None:
    names = NAMES[np.minimum(RANDOM.geometric(0.3, 600), 8) - 1]

    def without(letter: str) -> Profile:
        texts = [name for name in names.tolist() if name != letter]
        return profile_table(Table(len(texts), (), np.zeros((len(texts), 0)), ("city",), (texts,)))

    assert signal(without("b"), "city", "vanished") == pytest.approx(0.21, abs=0.01)
    assert signal(without("b"), "city", "distance") > RULES["distance"].warning[0]
    assert signal(without("g"), "city", "vanished") == 0.0
    assert math.isnan(signal(profiled(values(60), 60).select(("normal",)), "city", "vanished"))
