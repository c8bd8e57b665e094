"""When a change that was told is over: it went back, or stays where it is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .changed import Changed
from .residuals import Critical, Noise
from .table import BoolArray, FloatArray, IntArray
from .windowed import Means


def are_back(
    effects: Sequence[float],
    since: IntArray,
    means: Means,
    expected: FloatArray,
    noise: Noise,
    least: FloatArray,
    critical: Critical,
    quiet: int,
) -> BoolArray:
    """Near the level for long enough, and by enough records to tell that from chance, (C,).

    Near: within half of what a change must be. Enough: had the change gone on, a mean so much
    nearer would be three standard deviations of its own noise (of a share, that of the share it had
    gone to) away; but never more than four times ``quiet``.

    Args:
        effects: Of C changes, as told last.
        since: Shape (C,), blocks since then.
        means: Of the last blocks of their signals.
        expected: Shape (C,), level that they are compared with.
        noise: Of all signals.
        least: Shape (S,), smallest effect worth telling.
        critical: Of all signals.
        quiet: Blocks near the level after which a change may be over.
    """
    effect = np.array(effects)
    most = np.minimum(means.since([0] * len(effect)), 4 * quiet)
    long = (since >= quiet) & (most >= quiet)
    if not long.any():
        return long
    white = noise.white[means.signals]
    share = np.minimum(np.maximum(expected + effect, 0.0), 1.0)
    of_share = np.maximum(white, share * (1 - share))
    white = np.where(noise.shares[means.signals], of_share, white)
    rows = slice(quiet - 1, 4 * quiet)
    nearer = np.abs(effect) - np.sign(effect) * means.shift[rows]
    enough = nearer >= 3 * np.sqrt(white / np.maximum(means.sample[rows], 1))
    enough |= np.arange(quiet, quiet + len(enough))[:, None] >= most
    at = np.argmax(enough, axis=0) + quiet - 1
    found: BoolArray = long & (at < since)
    likely = found.nonzero()[0]
    if len(likely):
        points = means.at(at[likely], likely)
        limits = noise.limits(points, critical, least[points.signals])
        found[likely] = np.abs(points.shift) <= limits / 2
    return found


def is_stable(
    changed: Changed,
    means: Means,
    column: int,
    noise: Noise,
    critical: Critical,
    least: FloatArray,
) -> bool:
    """Whether a change has stayed where it was told: the mean since then is that of the last days.

    Args:
        changed: Followed since its anchor.
        means: Of the last blocks of changed signals.
        column: Of this one in them.
        noise: Of all signals.
        critical: Of all signals.
        least: Shape (S,), smallest effect worth telling.
    """
    since = int(np.count_nonzero(means.number[:, column] > changed.told))
    if not since:
        return False
    mean = means.at(np.array([since - 1]), np.array([column]))
    apart = abs(float(mean.shift[0]) - changed.total / max(changed.weight, 1e-300))
    limit = noise.limits(mean, critical, np.zeros(1))[0]
    return bool(apart <= max(least[mean.signals[0]], limit))
