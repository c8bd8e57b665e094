"""How far two distributions are apart: Jensen-Shannon, PSI, Kolmogorov-Smirnov and Wasserstein.

Samples of one distribution are apart by chance, the more so the smaller they are. What chance gives
on average is taken off, so that a figure means the same for a hundred records as for a million:

- Jensen-Shannon divergence of k filled cells: (k - 1)(1/n + 1/m) / (8 ln 2), since it is a
  chi-square over 8 to second order; the distance is the root of what is left;
- PSI: (k - 1)(1/n + 1/m), the same chi-square; an empty cell counts as half a value;
- Kolmogorov-Smirnov: sqrt(1/n + 1/m) sqrt(pi / 2) ln 2, the mean of Kolmogorov's distribution;
- Wasserstein: |F - G| is on average sqrt(2 / pi) sqrt(F (1 - F) (1/n + 1/m)) everywhere.

Sources: Yurdakul and Naranjo, "Statistical properties of the population stability index" (Journal
of Risk Model Validation, 2020) for PSI.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final

import numpy as np

from . import histogram
from .numbers import Numbers
from .reading import common_scale, share_below
from .table import FloatArray, IntArray

_KOLMOGOROV: Final = math.sqrt(math.pi / 2) * math.log(2)  # mean of Kolmogorov's distribution
_HALF: Final = 0.5  # values of an empty cell


def signed_js(before: FloatArray, after: FloatArray) -> FloatArray:
    """Signed root of the Jensen-Shannon divergence of cell counts less its expectation by chance.

    A cell counts as far as it is filled.

    Args:
        before: Shape (T, cells), m counts a row.
        after: Shape (T, cells), n counts a row.

    Returns:
        Shape (T,), NaN where there is no count; negative: closer than chance.
    """
    if not len(before):
        return np.zeros(0)
    m, n = before.sum(axis=1), after.sum(axis=1)
    p = before / np.maximum(m, 1)[:, None]
    q = after / np.maximum(n, 1)[:, None]
    # The divergence is the entropy of the mixture less the mean entropy of the parts.
    one, other, mixed = _p_log_p(np.stack([p, q, (p + q) / 2]))
    divergence = (one + other) / 2 - mixed
    filled = np.minimum(p * n[:, None], 1).sum(axis=1)
    some = (m > 0) & (n > 0)
    inverse = 1 / np.maximum(n, 1) + 1 / np.maximum(m, 1)
    rest = divergence - np.maximum(filled - 1, 0) * inverse / (8 * math.log(2))
    return np.where(some, np.sign(rest) * np.sqrt(np.abs(rest)), np.nan)


def _p_log_p(shares: FloatArray) -> FloatArray:
    found: FloatArray = (shares * np.log2(np.maximum(shares, 1e-300))).sum(axis=-1)
    return found


def chance_js(before: FloatArray) -> FloatArray:
    """Variance of one value's part in ``signed_js`` where nothing changed, shape (T,)."""
    filled = (before > 0).sum(axis=1)
    found: FloatArray = np.sqrt(2 * np.maximum(filled - 1, 0.5)) / (8 * math.log(2))
    return found


def psi(before: FloatArray, after: FloatArray) -> FloatArray:
    """Population stability index of cell counts less what chance gives, not below 0.

    Args:
        before: Shape (T, cells).
        after: Likewise.

    Returns:
        Shape (T,), NaN where there is no count.
    """
    m, n = before.sum(axis=1), after.sum(axis=1)
    used = (before > 0) | (after > 0)
    p = np.where(used, np.maximum(before, _HALF), 1.0)
    q = np.where(used, np.maximum(after, _HALF), 1.0)
    p /= np.maximum(np.where(used, p, 0).sum(axis=1), _HALF)[:, None]
    q /= np.maximum(np.where(used, q, 0).sum(axis=1), _HALF)[:, None]
    whole = np.where(used, (q - p) * np.log(q / p), 0.0).sum(axis=1)
    inverse = 1 / np.maximum(n, 1) + 1 / np.maximum(m, 1)
    chance = np.maximum(used.sum(axis=1) - 1, 0) * inverse
    return np.where((m > 0) & (n > 0), np.maximum(whole - chance, 0.0), np.nan)


def functions_apart(before: Numbers, after: Numbers) -> tuple[float, float]:
    """Kolmogorov-Smirnov and Wasserstein distances of one feature, less what chance gives.

    Both are read on the same bins, the finest that both sides have: a value in a bin that one side
    cut finer than the other would seem to be two values.

    Args:
        before: One feature with values.
        after: The same feature, likewise.
    """
    scale = np.maximum(common_scale(before.histogram), common_scale(after.histogram))
    sides = [_widened(each, scale) for each in (before, after)]
    borders = np.concatenate(
        [
            np.ldexp(side.histogram.index + step, side.histogram.scale.astype(np.int64))
            for side in sides
            for step in (0.0, 1.0)
        ]
    )
    largest = np.finfo(np.float64).max / 4
    edges = np.unique(np.clip(borders, -largest, largest))
    low, high = (share_below(side, edges[None, :])[0] for side in sides)
    apart = np.abs(low - high)
    sizes = 1 / before.count[0] + 1 / after.count[0]
    ks = max(float(apart.max()) - _KOLMOGOROV * math.sqrt(sizes), 0.0)
    width = np.diff(edges)
    way = float((_mean_size(low - high) * width).sum())
    both = (low * before.count[0] + high * after.count[0]) / (before.count[0] + after.count[0])
    stray = np.sqrt(np.maximum(both * (1 - both), 0.0) * sizes)
    chance = math.sqrt(2 / math.pi) * float(((stray[1:] + stray[:-1]) / 2 * width).sum())
    return ks, max(way - chance, 0.0)


def _widened(found: Numbers, scale: IntArray) -> Numbers:
    return replace(found, histogram=histogram.widened(found.histogram, scale))


def _mean_size(difference: FloatArray) -> FloatArray:
    """Mean of |d| between neighbouring points of a piecewise straight d."""
    one, other = difference[:-1], difference[1:]
    size = np.abs(one) + np.abs(other)
    crossing = (one * other < 0) & (size > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        through = (one * one + other * other) / (2 * size)
    found: FloatArray = np.where(crossing, through, size / 2)
    return found
