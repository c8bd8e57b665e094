"""What a profile says of each feature, for a person: its type, range, shape, and what is odd."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from .categories import Categories
from .given import GivenBaseline, TimedProfile, autocorrelation
from .numbers import Numbers
from .reading import quantiles, share_below
from .table import Kind

CELLS: Final = 20  # of the sketch of a distribution
SHOWN: Final = 3  # categories by name
_FEW: Final = 100  # values that say little
_TAIL_VALUES: Final = 1_000  # that it takes to know a 99.9 % quantile
_TAIL: Final = 12.0  # of a normal distribution 4.6, exponential 9.0, Student's t with 3 df 13.4
_UNIQUE: Final = 0.95  # distinct values over values
_RELATED: Final = 0.7  # correlation of neighbouring blocks that is strong
_LEAST_BLOCKS: Final = 12
_MIXED: Final = 0.001  # share of values of another type worth telling
_SHARES: Final = (0.01, 0.05, 0.5, 0.95, 0.99)
_TYPES: Final = {
    Kind.NUMBER: "number",
    Kind.TEXT: "text",
    Kind.BOOLEAN: "boolean",
    Kind.NON_FINITE: "not finite",
    Kind.OTHER: "object",
}


@dataclass(frozen=True, slots=True)
class Description:
    """One feature.

    Attributes:
        name: Its name.
        type: Of most of its values; ``empty``: it has none.
        missing: Share of the records without a value.
        minimum: Of its numbers; NaN: none, or withheld.
        maximum: Likewise.
        quantiles: 1, 5, 50, 95 and 99 % of its numbers; empty: it has none.
        cells: Share of its numbers in each of ``CELLS`` equal parts of the range from the 1 to the
            99 % quantile; of text, of its most frequent values.
        top: The most frequent texts, each with its share of the texts.
        distinct: Different texts, about.
        warnings: What will make it hard to watch.
    """

    name: str
    type: str
    missing: float
    minimum: float
    maximum: float
    quantiles: tuple[float, ...]
    cells: tuple[float, ...]
    top: tuple[tuple[str, float], ...]
    distinct: int
    warnings: tuple[str, ...]


def describe(baseline: GivenBaseline) -> list[Description]:
    """All features of a baseline, in order of their names."""
    profile = baseline.profile
    missing, numbers = profile.missing(), profile.numbers
    place = {name: at for at, name in enumerate(numbers.names)}
    at_quantiles = quantiles(numbers.histogram, (*_SHARES, 0.25, 0.75, 0.001, 0.999))
    # The middle of a bin may lie beyond the values in it; NaN: they are withheld.
    at_quantiles = np.fmax(at_quantiles, numbers.minimum[:, None])
    at_quantiles = np.fmin(at_quantiles, numbers.maximum[:, None])
    related = _related(numbers.names, baseline.blocks)
    found = []
    for row, name in enumerate(profile.names):
        kinds = profile.kinds[row]
        at, texts = place.get(name, -1), profile.texts.get(name)
        warnings = _common_warnings(kinds.tolist(), profile.records)
        cells: tuple[float, ...] = ()
        if at >= 0:
            cells = _cells(numbers.select([name]), at_quantiles[at])
            warnings += _number_warnings(numbers, at, at_quantiles[at], name in baseline.unique)
            warnings += related.get(name, [])
        if texts is not None:
            warnings += _text_warnings(texts)
            total = max(texts.total, 1)
            cells = cells or tuple(n / total for n in list(texts.counts.values())[:CELLS])
        found.append(
            Description(
                name=name,
                type=_type(kinds.tolist()),
                missing=float(missing[row] / max(profile.records, 1)),
                minimum=float(numbers.minimum[at]) if at >= 0 else math.nan,
                maximum=float(numbers.maximum[at]) if at >= 0 else math.nan,
                quantiles=tuple(at_quantiles[at, : len(_SHARES)].tolist()) if at >= 0 else (),
                cells=cells,
                top=_top(texts),
                distinct=round(texts.distinct()) if texts is not None else 0,
                warnings=tuple(warnings),
            )
        )
    return found


def _type(kinds: Sequence[int]) -> str:
    held = [(kinds[kind], -kind, name) for kind, name in _TYPES.items() if kinds[kind]]
    return max(held)[2] if held else "empty"


def _top(texts: Categories | None) -> tuple[tuple[str, float], ...]:
    if texts is None:
        return ()
    return tuple((value, n / texts.total) for value, n in list(texts.counts.items())[:SHOWN])


def _cells(one: Numbers, at: np.typing.NDArray[np.float64]) -> tuple[float, ...]:
    low, high = float(at[0]), float(at[4])
    if not low < high or not math.isfinite(high - low):
        return (1.0,)
    below = share_below(one, np.linspace(low, high, CELLS + 1)[None, 1:-1])[0]
    shares = np.diff(below, prepend=0.0, append=1.0)
    return tuple(np.maximum(shares, 0.0).tolist())


def _common_warnings(kinds: list[int], records: int) -> list[str]:
    present = sum(kinds[Kind.NUMBER :])
    if not present:
        return ["no value at all: nothing but its missing share can be watched"]
    found = []
    if present < _FEW:
        found.append(f"too few values: {present} of {records:,} records have one")
    others = sorted(_TYPES[kind] for kind in _TYPES if kinds[kind] > _MIXED * present)
    if len(others) > 1:
        found.append(f"mixed types: {' and '.join(others)}")
    return found


def _number_warnings(
    numbers: Numbers, at: int, points: np.typing.NDArray[np.float64], unique: bool
) -> list[str]:
    count = int(numbers.count[at])
    low, median, high = points[7], points[2], points[8]
    quarter, three_quarters = points[5], points[6]
    if numbers.minimum[at] == numbers.maximum[at] or numbers.m2[at] == 0:
        return ["constant"]
    found = []
    if unique:
        found.append("unique ids, it seems: whole numbers, all different; include = false hides it")
    sides = [
        (float(high - median), float(three_quarters - median)),
        (float(median - low), float(median - quarter)),
    ]
    ratio = max((far / near for far, near in sides if near > 0), default=0.0)
    if count >= _TAIL_VALUES and ratio > _TAIL and not unique:
        found.append(f"heavy tail: the outermost 0.1 % lie {ratio:.0f} times as far out as half do")
    return found


def _text_warnings(texts: Categories) -> list[str]:
    if texts.total and len(texts.counts) == 1 and not texts.other:
        return ["constant"]
    if texts.total >= _FEW and texts.distinct() >= _UNIQUE * texts.total:
        return ["unique ids, it seems: nearly every value is new; include = false hides it"]
    if texts.other:
        return [f"about {texts.distinct():,.0f} different values: unseen ones are not told"]
    return []


def _related(names: Sequence[str], blocks: Sequence[TimedProfile]) -> dict[str, list[str]]:
    """Number features whose mean goes on from block to block."""
    if len(blocks) < _LEAST_BLOCKS:
        return {}
    means: dict[str, list[float]] = {name: [] for name in names}
    for block in blocks:
        held = block.profile.numbers
        for name, mean in zip(held.names, held.mean.tolist(), strict=True):
            if name in means and math.isfinite(mean):
                means[name].append(mean)
    found = {}
    for name, values in means.items():
        if len(values) >= _LEAST_BLOCKS and (r := autocorrelation(values)) > _RELATED:
            found[name] = [f"strong autocorrelation: {r:.2f} from one block to the next"]
    return found
