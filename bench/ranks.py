"""How far ranks and quantiles read from a merged histogram are from those of the values.

Every distribution is profiled in chunks, and the chunks are merged, once in their order and once in
another: both must be the same to the bit, with exact minimum, maximum and count. Then 199 quantiles
of the values are taken. The rank error is how far the share that the histogram says is below such a
value is from the true one, which for a value that is frequent is anything between the share below
it and the share up to it. A quantile that is told as one number is the middle of its bin: its error
is the share of the values strictly between it and the true one, up to half a bin more.

The last distributions only have to be counted: of 600 decades, or of subnormals alone, no rank is
promised.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final, Literal, NamedTuple

import numpy as np

from bench.runs import Bench, say
from sketches import numbers
from sketches.profile import CHUNK, Profile, profiles_equal
from sketches.reading import quantiles, share_below
from sketches.table import FloatArray

SHARES: Final = np.arange(1, 200) / 200
SIDES: Final[tuple[Literal["left"], Literal["right"]]] = ("left", "right")
MOST: Final = 0.5  # percent
_Draw = Callable[[np.random.Generator, int], FloatArray]


def _far(r: np.random.Generator, n: int) -> FloatArray:
    return np.where(r.random(n) < 0.3, r.normal(1e6, 1.0, n), r.normal(0.0, 1.0, n))


def _inflated(r: np.random.Generator, n: int) -> FloatArray:
    return np.where(r.random(n) < 0.8, 0.0, r.exponential(3.0, n))


DISTRIBUTIONS: Final[dict[str, _Draw]] = {
    "normal": lambda r, n: r.standard_normal(n),
    "lognormal": lambda r, n: r.lognormal(0.0, 1.5, n),
    "t3": lambda r, n: r.standard_t(3, n),
    "far mixture": _far,
    "integers": lambda r, n: r.poisson(20.0, n).astype(np.float64),
    "constant": lambda r, n: np.full(n, 0.1),
    "zero-inflated": _inflated,
    "1e9 + noise": lambda r, n: 1e9 + r.standard_normal(n),
    "12 decades": lambda r, n: np.power(10.0, r.uniform(-6.0, 6.0, n)),
}
COUNTED: Final[dict[str, _Draw]] = {
    "1e-300 to 1e300": lambda r, n: np.power(10.0, r.uniform(-300.0, 300.0, n)),
    "subnormals": lambda r, n: np.ldexp(r.integers(1, 2**40, n).astype(np.float64), -1074),
}


class Ranks(NamedTuple):
    """What one distribution gives.

    Attributes:
        worst: Largest rank error, percent.
        told: Largest error of a quantile as it is told, percent.
        bins: Bins of the merged histogram.
        exact: Minimum, maximum and count are those of the values.
        orderly: The chunks in another order give the same to the bit.
    """

    worst: float
    told: float
    bins: int
    exact: bool
    orderly: bool


def measured(draw: _Draw, chunks: int, seed: int = 0) -> Ranks:
    """Profile so many chunks of a distribution and read quantiles from all of them together."""
    r = np.random.default_rng(seed)
    values = draw(r, chunks * CHUNK)
    parts = [numbers.build(("x",), part[:, None]) for part in np.split(values, chunks)]
    whole = numbers.merge(parts)
    bins = whole.histogram
    other = numbers.merge([parts[at] for at in r.permutation(chunks)])
    ends = whole.minimum[0] == values.min() and whole.maximum[0] == values.max()
    counted = whole.count[0] == bins.count.sum() == len(values)
    same = profiles_equal(_bins_of(whole), _bins_of(other))
    values.sort()
    n = len(values)
    true = values[(SHARES * n).astype(np.int64)]
    below, upto = (np.searchsorted(values, true, side) / n for side in SIDES)
    said = share_below(whole, true[None, :])[0]
    worst = float(np.maximum(below - said, said - upto).max(initial=0.0))
    read = quantiles(bins, SHARES)[0]
    low, high = np.minimum(read, true), np.maximum(read, true)
    between = np.searchsorted(values, high, "left") - np.searchsorted(values, low, "right")
    told = float(between.max(initial=0)) / n
    return Ranks(100 * worst, 100 * told, len(bins.count), bool(ends and counted), same)


def _bins_of(found: numbers.Numbers) -> Profile:
    """Without the moments, whose last bits depend on the order."""
    nothing = np.zeros(1)
    return Profile(numbers=replace(found, mean=nothing, m2=nothing))


def run(bench: Bench, *, quick: bool, rounds: int) -> dict[str, object]:
    """All distributions; the rank errors by name."""
    del bench, rounds
    chunks = 4 if quick else 100
    say(f"{chunks} chunks of {CHUNK} values, largest errors at {len(SHARES)} quantiles, percent\n")
    say(f"{'':>16} {'rank':>7} {'told':>7} {'bins':>6}")
    found: dict[str, dict[str, float]] = {}
    for name, draw in (DISTRIBUTIONS | COUNTED).items():
        ranks = measured(draw, chunks)
        if not (ranks.exact and ranks.orderly):
            raise SystemExit(f"{name}: {ranks}")
        say(f"{name:>16} {ranks.worst:7.3f} {ranks.told:7.3f} {ranks.bins:6}")
        if name in DISTRIBUTIONS:
            found[name] = {"rank": round(ranks.worst, 3), "told": round(ranks.told, 3)}
    return {"rank_error_percent": found}
