from __future__ import annotations

import math

import numpy as np
import pytest

from sketches.blocks import Block
from sketches.detection import DetectionSettings, FeatureDetection
from sketches.distances import signed_js
from sketches.moved import moved_most
from sketches.profile import Profile, merge, profile_table
from sketches.reference import Reference, read
from sketches.signals import Layout, gates, measure, measure_model, native
from sketches.table import FloatArray, Kind, Table


def profile(x: FloatArray, city: list[str | None] | None = None) -> Profile:
    kinds = {}
    if np.isnan(x).any():
        kinds["x"] = np.where(np.isnan(x), Kind.NULL, Kind.NUMBER).astype(np.uint8)
    if city is None:
        return profile_table(Table(len(x), ("x",), x[:, None], kinds=kinds))
    return profile_table(Table(len(x), ("x",), x[:, None], ("city",), (city,), kinds))


def value(reference: Reference, found: Profile, feature: str, signal: str) -> float:
    layout = Layout.of(reference)
    at = list(zip(layout.features, layout.signals, strict=True)).index((feature, signal))
    return float(measure(reference, found)[0][at])


RANDOM = np.random.default_rng(5)
X = RANDOM.normal(100, 20, size=8000)
CITY: list[str | None] = [
    str(one) for one in RANDOM.choice(list("abcd"), 8000, p=[0.4, 0.3, 0.2, 0.1])
]
REFERENCE = read(merge([profile(X[:4000], CITY[:4000]), profile(X[4000:], CITY[4000:])]))


def test_location_is_in_standard_deviations() -> None:
    shifted = profile(RANDOM.normal(110, 20, size=4000), CITY[:4000])
    assert value(REFERENCE, shifted, "x", "location") == pytest.approx(0.5, abs=0.06)
    assert native(REFERENCE, "x", "location", 0.5) == pytest.approx(110, abs=1.5)


def test_spread_is_the_logarithm_of_a_ratio() -> None:
    wide = profile(RANDOM.normal(100, 30, size=4000), CITY[:4000])
    assert value(REFERENCE, wide, "x", "spread") == pytest.approx(math.log(1.5), abs=0.06)
    assert native(REFERENCE, "x", "spread", math.log(1.5)) == pytest.approx(30, rel=0.05)


def test_a_block_without_any_rare_value_says_little_about_the_spread() -> None:
    rare = read(profile((np.arange(5000) % 100 == 0).astype(np.float64)))
    assert -0.7 < value(rare, profile(np.zeros(150)), "x", "spread") < 0.0
    assert value(rare, profile(np.zeros(8000)), "x", "spread") < -1.5
    assert value(REFERENCE, profile(np.full(150, 100.0)), "x", "spread") < -1.5


def test_outliers_are_clipped() -> None:
    x = RANDOM.normal(100, 20, size=1000)
    x[:3] = [1e300, -1e300, 1e9]
    assert value(REFERENCE, profile(x, CITY[:1000]), "x", "location") == pytest.approx(0, abs=0.12)


def test_missing_and_unseen_shares() -> None:
    x = np.where(np.arange(1000) < 50, np.nan, X[:1000])
    city: list[str | None] = ["mars" if at < 20 else name for at, name in enumerate(CITY[:1000])]
    found = profile(x, city)
    assert value(REFERENCE, found, "x", "missing") == 0.05
    assert value(REFERENCE, found, "city", "unseen") == 0.02
    assert value(REFERENCE, found, "city", "missing") == 0.0
    moved = moved_most(REFERENCE, found, "city", "unseen")
    assert ("mars", 0.0, 0.02) in moved


def test_numbers_that_come_as_text_are_of_another_kind() -> None:
    texts: list[str | None] = [str(one) for one in X[:500].tolist()]
    table = Table(500, (), np.zeros((500, 0)), ("x", "city"), (texts, CITY[:500]))
    found = profile_table(table)
    assert value(REFERENCE, found, "x", "kind") == 1.0
    assert value(REFERENCE, found, "x", "missing") == 0.0
    assert math.isnan(value(REFERENCE, found, "x", "location"))


def test_an_absent_feature_is_missing() -> None:
    found = profile(X[:200])
    assert value(REFERENCE, found, "city", "missing") == 1.0
    assert math.isnan(value(REFERENCE, found, "city", "unseen"))
    assert math.isnan(value(REFERENCE, found, "city", "distance"))


@pytest.mark.parametrize("size", [100, 1000])
def test_distance_is_free_of_the_bias_of_small_samples(size: int) -> None:
    share = np.array([0.4, 0.3, 0.15, 0.1, 0.03, 0.02])
    before = np.zeros((400, 22))
    before[:, :6] = 1e6 * share
    after = np.zeros((400, 22))
    after[:, :6] = RANDOM.multinomial(size, share, size=400)
    found = signed_js(before, after)
    raw = 0.35 / math.sqrt(size)  # what chance alone gives, roughly
    assert abs(float(np.mean(found))) < 0.35 * raw


def test_distance_of_other_shares() -> None:
    before, after = np.zeros((1, 22)), np.zeros((1, 22))
    before[0, :2], after[0, 2:4] = 5000, 5000
    assert signed_js(before, after)[0] == pytest.approx(1.0, abs=0.01)
    assert math.isnan(signed_js(before, np.zeros((1, 22)))[0])


def test_degenerate_features_have_defined_signals() -> None:
    table = Table(
        300,
        ("constant", "zero"),
        np.column_stack([np.full(300, 7.0), np.zeros(300)]),
        kinds={"empty": np.full(300, Kind.NULL, np.uint8)},
    )
    reference = read(profile_table(table))
    layout = Layout.of(reference)
    values, _ = measure(reference, profile_table(table))
    assert np.isfinite(values[~layout.is_signal("kind", "non_finite")]).all()
    assert values[layout.is_signal("location")].tolist() == [0.0, 0.0]
    other = Table(
        300, ("constant", "zero"), np.column_stack([np.full(300, 7.5), np.full(300, 0.001)])
    )
    moved, _ = measure(reference, profile_table(other))
    assert (np.abs(moved[layout.is_signal("location")]) > 1000).all()
    assert not np.isnan(native(reference, "zero", "location", 1e6))


def test_extreme_values_do_not_warn() -> None:
    x = np.array([1e308, -1e308, 5e-324, 0.0, 1.0] * 40)
    reference = read(profile(x))
    assert np.isfinite(measure(reference, profile(x))[0]).sum() >= 3


def test_snapped_edges_are_borders_of_later_bins() -> None:
    edges = REFERENCE.edges[0]
    assert np.all(np.diff(edges[np.isfinite(edges)]) > 0)
    assert REFERENCE.shares[0].sum() == pytest.approx(1.0)
    np.testing.assert_allclose(
        REFERENCE.shares[0, : np.isfinite(edges).sum() + 1], 1 / 16, atol=0.03
    )
    constant = read(profile(np.full(500, 3.0)))
    assert np.isfinite(constant.edges[0]).sum() == 2
    assert constant.shares[0, :3].tolist() == [0.0, 1.0, 0.0]


def test_a_flag_that_is_set_more_often_is_told_by_its_two_values() -> None:
    reference = read(profile((np.arange(5000) % 20 == 0).astype(np.float64)))
    found = profile((np.arange(500) % 4 == 0).astype(np.float64))
    ranges = moved_most(reference, found, "x", "location")
    assert {(before, after) for _, before, after in ranges} == {(0.95, 0.75), (0.05, 0.25)}


def test_model_signals() -> None:
    block = Block(0, 10_000_000)
    block.records, block.late, block.rejects, block.errors = 100, 10, 25, 5
    volume, late, rejects, errors = measure_model(block).tolist()
    assert math.exp(volume) == pytest.approx(12.5)
    assert (late, rejects, errors) == (0.1, 0.2, 0.05)
    block = Block(0, 10_000_000)
    block.rejects = 7
    silent = measure_model(block)
    assert silent[2] == 1.0
    assert np.isnan(silent[[1, 3]]).all()


def test_gates_follow_the_first_pattern_that_fits() -> None:
    settings = DetectionSettings(
        features={
            "m": {"x": FeatureDetection(direction="up", minimum_effect=0.5)},
            "*": {
                "c*": FeatureDetection(severity_cap="warning"),
                "x": FeatureDetection(detect=False),
            },
        }
    )
    layout = Layout.of(REFERENCE)
    found = gates(layout, settings, "m")
    x = layout.features.index("x")
    assert found.tested.all()
    assert found.warning[:, x].tolist() == [0.5, math.inf]
    assert found.critical[0, x] == 0.5
    city = [at for at, name in enumerate(layout.features) if name == "city"]
    assert np.isinf(found.critical[:, city]).all()
    assert not gates(layout, settings, "other").tested[x]
