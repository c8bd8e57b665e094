"""Profiles the slow way: one value at a time, in plain Python, with code of its own.

A histogram is a Counter of (scale, index). It follows the rule of ``sketches.layers`` word by word.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction

LARGEST = 1.7976931348623157e308
Bins = Counter[tuple[int, int]]


def histogram(values: Sequence[float], depth: int = 0) -> Bins:
    n = len(values)
    if not n:
        return Counter()
    stride = max(1, n // 256)
    sample = sorted(values[::stride][:256])
    m = len(sample)
    median = sample[m // 2]
    width = min(sample[3 * m // 4] - sample[m // 4], LARGEST)
    if not width > 0:
        away = sorted(min(abs(x - median), LARGEST) for x in sample if x != median)
        width = away[len(away) // 2] if away else 0.0
    top = max(abs(x) for x in values)
    scale = max(-1074, math.frexp(top)[1] - 53) if top else -1074
    if width > 0:
        extra = 0
        while n << (extra + 1) <= 256:  # one finer for each halving of n below 256
            extra += 1
        scale = max(scale, math.frexp(width)[1] - 1 - 6 - extra)
    centre = floored(median, scale)
    inside: dict[tuple[int, int], list[float]] = {}
    for x in values:
        inside.setdefault(bin_of(x, scale, centre, median), []).append(x)
    out: Bins = Counter()
    for place, held in inside.items():
        if depth < 8 and len(held) > max(8, n // 16) and min(held) < max(held):
            out += histogram(held, depth + 1)
        else:
            out[place] += len(held)
    return out


def bin_of(x: float, scale: int, centre: int, median: float) -> tuple[int, int]:
    if abs(floored(x, scale) - centre) <= 512:
        return scale, floored(x, scale)
    exponent = math.frexp(min(abs(x - median), LARGEST))[1]
    wider = scale + 4
    while Fraction(2) ** (wider + 4) <= Fraction(2) ** (exponent - 1) / 32:
        wider += 4
    return wider, floored(x, wider)


def floored(x: float, scale: int) -> int:
    return math.floor(math.ldexp(x, -scale))


def folded(bins: Bins, cap: int = 4096) -> tuple[Bins, int]:
    """One level after the other, until the cap holds."""
    if len(bins) <= cap:
        return bins, -1074
    level = min(scale for scale, _ in bins)  # coarser than any bin before it
    while len(bins) > cap:
        level += 1
        out: Bins = Counter()
        for place, n in bins.items():
            wider = place
            while finer(*wider, level):
                wider = wider[0] + 1, wider[1] // 2
            out[wider] += n
        bins = out
    return bins, level


def finer(scale: int, index: int, level: int) -> bool:
    """The bin is too fine for a level."""
    if level > 1023 and scale < level - 1024 - 1074:
        return True
    far = index if index >= 0 else -index - 1  # whole bins between 0 and this one
    return scale < level and far >= 64


def moments(values: Sequence[float]) -> tuple[Fraction, Fraction]:
    """Exact mean and sum of squared deviations."""
    exact = [Fraction(x) for x in values]
    mean = sum(exact, Fraction(0)) / len(exact)
    return mean, sum(((x - mean) ** 2 for x in exact), Fraction(0))


def top(values: Sequence[str], most: int = 256) -> tuple[dict[str, int], int]:
    """The most frequent values, ties by name, and how many others there are."""
    counts: dict[str, int] = {}
    for value in values:
        counts[value] = counts.get(value, 0) + 1
    ranked = sorted(counts, key=lambda value: (-counts[value], value))
    return {value: counts[value] for value in ranked[:most]}, sum(
        counts[value] for value in ranked[most:]
    )
