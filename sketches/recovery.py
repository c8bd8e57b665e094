"""When a change that was told is over."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from .residuals import Noise, Points
from .table import BoolArray, FloatArray, IntArray
from .windowed import Means


def are_back(
    effects: Sequence[float],
    since: IntArray,
    means: Means,
    expected: FloatArray,
    noise: Noise,
    limits: Callable[[Points], FloatArray],
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
        limits: How far means must be off to be told.
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
        found[likely] = np.abs(points.shift) <= limits(points) / 2
    return found
