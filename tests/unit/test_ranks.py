"""Quantiles of merged histograms are near in rank, whatever the values are."""

from __future__ import annotations

import pytest

from bench.ranks import COUNTED, DISTRIBUTIONS, MOST, measured


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_quantiles_are_near_in_rank(name: str) -> None:
    found = measured(DISTRIBUTIONS[name], 3)
    assert found.worst <= MOST
    assert found.exact
    assert found.orderly


@pytest.mark.parametrize("name", COUNTED)
def test_extreme_values_are_counted(name: str) -> None:
    found = measured(COUNTED[name], 3)
    assert found.exact
    assert found.orderly
