from __future__ import annotations

import numpy as np
import pytest

from sketches import histogram
from sketches.profile import merge, profile_table
from sketches.reading import GRID, RANGES, clipped_sums, range_cuts
from sketches.table import Table


def test_every_value_is_in_a_range_of_its_own_feature() -> None:
    """Also those at the limits that values are clipped to, which rounding may put beside them."""
    random = np.random.default_rng(0)
    values = random.lognormal(size=(500, 60)) * random.lognormal(sigma=9.0, size=60)
    names = tuple(f"f{at:02d}" for at in range(60))
    found = profile_table(Table(500, names, values)).numbers
    bins, rows = found.histogram, np.arange(60)
    low, high = np.quantile(values, (0.2, 0.7), axis=0)
    cuts, ranges = range_cuts(bins, low, high)
    assert ranges.shape == (60, GRID)
    assert ranges[:, 0].tolist() == (rows * RANGES).tolist()
    scale = np.ones(60)
    held = clipped_sums(bins, rows, low, high, (low + high) / 2, scale, ranges)[2]
    assert held.sum(axis=1).tolist() == found.count.tolist()
    assert (held[:, 0] >= (values < 0.98 * low).sum(axis=0)).all()
    last = ranges[:, -1] % RANGES
    assert (held[rows, last] >= (values > 1.02 * high).sum(axis=0)).all()
    assert cuts.shape == (60, RANGES - 1)


@pytest.mark.parametrize("features", [1, 3])
def test_bins_added_up_in_a_table_are_those_that_are_sorted(features: int) -> None:
    random = np.random.default_rng(1)
    names, sizes = ("a", "b", "c")[:features], np.array([1.0, 1e-3, 1e6])[:features]
    chunks = [
        profile_table(Table(200, names, values))
        for values in random.normal(size=(60, 200, features)) * sizes
    ]
    whole = merge(chunks).numbers.histogram
    parts = [chunk.numbers.histogram for chunk in chunks]
    owner, scale, index, count = (
        np.concatenate(column)
        for column in zip(*((h.owner(), h.scale, h.index, h.count) for h in parts), strict=True)
    )
    assert len(owner) > 2 * histogram._FEW
    sorted_ = histogram.gather(features, owner, scale.astype(np.int64), index, count)
    for name in ("starts", "scale", "index", "count", "folded"):
        assert getattr(whole, name).tolist() == getattr(sorted_, name).tolist(), name
