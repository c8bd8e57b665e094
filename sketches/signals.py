"""Signals: the numbers per block that are tested, each in the unit in which its effect is told.

- ``location``: clipped mean, in standard deviations of the reference, from its centre;
- ``spread``: logarithm of the clipped standard deviation over that of the reference, drawn to 0
  where a block is too small to know it;
- ``missing``: share of the records in which the feature is absent or null;
- ``unseen``: share of the values present that the reference never saw (a category, a kind);
- ``distance``: Jensen-Shannon distance of the category shares (base 2, so 0 to 1), less what chance
  alone gives; negative where they are closer than that;
- of the model: ``volume`` (logarithm of records per second), ``late``, ``rejects``, ``errors``
  (shares).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np

from .detection import DetectionSettings, FeatureDetection
from .profile import KINDS, Profile
from .reading import clipped_sums
from .reference import (
    CELLS,
    OTHER,
    TOP,
    UNSEEN,
    Reference,
    places,
    range_shares,
)
from .table import BoolArray, FloatArray, Kind

FEATURE_SIGNALS: Final = ("location", "spread", "missing", "unseen", "distance")
MODEL_SIGNALS: Final = ("volume", "late", "rejects", "errors")
_SMALLEST: Final = 0.1  # ratio of standard deviations below which there is no spread
_FARTHEST: Final = 1e10  # standard deviations; beyond it a mean is only "far"
_LEAST_SPREAD: Final = 10  # records that it takes to say something about a spread


class Rule(NamedTuple):
    """How one kind of signal is judged and told.

    ``warning`` and ``critical`` are the smallest effects (up, down) worth telling; infinite: never.
    A ``hard`` signal is one that a fault moves and ordinary days do not: half of the budget is for
    these, half for the soft ones.
    """

    unit: str
    effect_unit: str
    warning: tuple[float, float]
    critical: tuple[float, float]
    hard: bool


_NEVER: Final = math.inf
_JUMP: Final = math.log(5.0)
_SHARE_UP: Final = Rule("share", "points", (0.005, _NEVER), (0.03, _NEVER), True)
_DISTANCE: Final = Rule("distance", "distance", (0.1, _NEVER), (0.2, _NEVER), False)
RULES: Final[Mapping[str, Rule]] = {
    "location": Rule("value", "sd", (0.1, 0.1), (0.25, 0.25), False),
    # 0.1 of the logarithm of a standard deviation is 0.2 of that of a variance.
    "spread": Rule("value", "ratio", (0.1, 0.1), (0.2, 0.2), False),
    "shape": _DISTANCE,
    "zeros": Rule("share", "points", (0.1, 0.1), (0.3, 0.3), True),
    "outside": Rule("share", "points", (0.01, _NEVER), (0.05, _NEVER), True),
    "stuck": Rule("share", "points", (0.1, _NEVER), (0.3, _NEVER), True),
    "magnitude": Rule("value", "ratio", (_JUMP, _JUMP), (_JUMP, _JUMP), True),
    "missing": Rule("share", "points", (0.005, 0.005), (0.03, 0.03), True),
    "kind": _SHARE_UP,
    "non_finite": _SHARE_UP,
    "unseen": _SHARE_UP,
    "vanished": Rule("share", "points", (0.045, _NEVER), (0.1, _NEVER), True),
    "distance": _DISTANCE,
    "volume": Rule("per_second", "ratio", (math.log(1.6), -math.log(0.7)), (0.9, 0.6), True),
    "late": Rule("share", "points", (0.02, _NEVER), (0.1, _NEVER), True),
    "rejects": _SHARE_UP,
    "errors": _SHARE_UP,
}


@dataclass(frozen=True, slots=True)
class Layout:
    """The S signals of one stream, in order.

    Attributes:
        features: Feature of each; empty: the whole model.
        signals: Name of each.
    """

    features: tuple[str, ...]
    signals: tuple[str, ...]

    def __len__(self) -> int:
        """S."""
        return len(self.signals)

    @staticmethod
    def of(reference: Reference) -> Layout:
        """Signals of the features of a reference."""
        groups = (
            reference.numbers,
            reference.numbers,
            reference.names,
            reference.names,
            reference.texts,
        )
        features = tuple(name for group in groups for name in group)
        signals = tuple(
            signal for signal, group in zip(FEATURE_SIGNALS, groups, strict=True) for _ in group
        )
        return Layout(features, signals)

    @staticmethod
    def of_model() -> Layout:
        """Signals of a model as a whole."""
        return Layout(("",) * len(MODEL_SIGNALS), MODEL_SIGNALS)

    def shares(self) -> BoolArray:
        """Which signals are shares, shape (S,)."""
        return np.array([RULES[signal].unit == "share" for signal in self.signals], dtype=bool)

    def is_signal(self, name: str) -> BoolArray:
        """Where a kind of signal stands, shape (S,)."""
        return np.array([signal == name for signal in self.signals], dtype=bool)


@dataclass(frozen=True, slots=True)
class Gates:
    """What is worth telling, from the rules and the user's settings.

    Attributes:
        tested: Shape (S,).
        warning: Shape (2, S), smallest effect up and down.
        critical: Shape (2, S).
    """

    tested: BoolArray
    warning: FloatArray
    critical: FloatArray

    @property
    def least(self) -> FloatArray:
        """The smaller of the two warning effects, shape (S,)."""
        found: FloatArray = np.minimum(self.warning[0], self.warning[1])
        return found


def feature_rule(settings: DetectionSettings, model: str, feature: str) -> FeatureDetection:
    """The first pattern of the model's own table that fits, then the first of ``*``."""
    for table in (settings.features.get(model, {}), settings.features.get("*", {})):
        for pattern, rule in table.items():
            if pattern == feature or fnmatchcase(feature, pattern):
                return rule
    return FeatureDetection()


def gates(layout: Layout, settings: DetectionSettings, model: str) -> Gates:
    """Gates of a layout; a feature's direction and minimum effect are about its location."""
    tested = np.ones(len(layout), dtype=bool)
    warning, critical = np.zeros((2, len(layout))), np.zeros((2, len(layout)))
    rules = {name: feature_rule(settings, model, name) for name in {*layout.features} - {""}}
    for at, (feature, signal) in enumerate(zip(layout.features, layout.signals, strict=True)):
        warning[:, at], critical[:, at] = RULES[signal].warning, RULES[signal].critical
        rule = rules.get(feature)
        if rule is None:
            continue
        tested[at] = rule.detect
        if signal == "location":
            if rule.minimum_effect is not None:
                warning[:, at] = rule.minimum_effect
                critical[:, at] = np.maximum(critical[:, at], rule.minimum_effect)
            if rule.direction != "both":
                warning[1 if rule.direction == "up" else 0, at] = _NEVER
        if rule.severity_cap == "warning":
            critical[:, at] = _NEVER
    return Gates(tested, warning, critical)


def measure(reference: Reference, profile: Profile) -> tuple[FloatArray, FloatArray]:
    """The feature signals of a block.

    Args:
        reference: Of F number and T text features, A in all.
        profile: Of the block.

    Returns:
        The values in the order of ``Layout.of``, shape (2 F + 2 A + T,), NaN where the block says
        nothing; and the category counts by cell, shape (T, CELLS).
    """
    location, spread = _moments(reference, profile)
    cells = count_cells(reference, profile)
    missing, unseen = _shares(reference, profile, cells)
    distance = distances(reference.cells, cells)
    return np.concatenate([location, spread, missing, unseen, distance]), cells


def _moments(reference: Reference, profile: Profile) -> tuple[FloatArray, FloatArray]:
    held = profile.numbers
    place = places(held.names, reference.numbers)
    known = place >= 0
    count = np.zeros(len(reference.numbers))
    count[place[known]] = held.count[known]
    first, second = clipped_sums(
        held.histogram,
        place,
        reference.low,
        reference.high,
        reference.centre,
        reference.scale,
    )
    known = np.maximum(count, 1)
    mean = first / known
    variance = np.maximum(second / known - mean * mean, 0.0) * known / np.maximum(known - 1, 1)
    # To know a variance takes about kurtosis - 1 records, so that many of the reference are added:
    # a few records of a rare flag may have none set, which leaves the logarithm of almost nothing.
    prior = np.maximum(reference.kurtosis - 1, 0.0)
    variance = (known * variance + prior) / (known + prior)
    location = np.where(count > 0, np.minimum(np.maximum(mean, -_FARTHEST), _FARTHEST), np.nan)
    ratio = np.minimum(np.maximum(np.sqrt(variance), _SMALLEST), _FARTHEST)
    spread = np.where(count >= _LEAST_SPREAD, np.log(ratio), np.nan)
    return location, spread


def count_cells(reference: Reference, profile: Profile) -> FloatArray:
    """Values of a block by category cell of the reference, shape (T, CELLS)."""
    cells = np.zeros((len(reference.texts), CELLS))
    for row, name in enumerate(reference.texts):
        held = profile.texts.get(name)
        if held is None:
            continue
        counts, known = held.counts, reference.known[row]
        named = [counts.get(value, 0) for value in reference.top[row]]
        cells[row, : len(named)] = named
        strange = 0
        if reference.complete[row]:
            strange = sum(n for value, n in counts.items() if value not in known)
        cells[row, UNSEEN] = strange
        cells[row, OTHER] = held.total - sum(named) - strange
    return cells


def _shares(
    reference: Reference, profile: Profile, cells: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Missing and unseen share of every feature of the reference, shape (A,) each."""
    place = places(reference.names, profile.names)
    kinds = np.zeros((len(place), KINDS))
    known = place >= 0
    kinds[known] = profile.kinds[place[known]]
    foreign = reference.foreign
    strange = kinds[:, Kind.NUMBER] * foreign[:, 0]
    strange += (kinds[:, Kind.TEXT] + kinds[:, Kind.BOOLEAN]) * foreign[:, 1]
    if reference.texts:
        place = places(reference.texts, reference.names)
        own = foreign[place, 1] == 0
        strange[place[own]] += cells[own, UNSEEN]
    present = kinds[:, Kind.NUMBER :].sum(axis=1)
    records = profile.records
    missing = (records - present) / records if records else np.full(len(present), np.nan)
    unseen = np.where(present > 0, strange / np.maximum(present, 1), np.nan)
    return missing, np.minimum(unseen, 1.0)


def distances(before: FloatArray, after: FloatArray) -> FloatArray:
    """Signed root of the Jensen-Shannon divergence of cell counts less its expectation by chance.

    With k cells the divergence of samples of n and m is about (k - 1)(1/n + 1/m) / (8 ln 2) by
    chance (to second order it is a chi-square over 8); a cell counts as far as it is filled.

    Args:
        before: Shape (T, CELLS), m counts a row.
        after: Shape (T, CELLS), n counts a row.

    Returns:
        Shape (T,), NaN where there is no count.
    """
    if not len(before):
        return np.zeros(0)
    m, n = before.sum(axis=1), after.sum(axis=1)
    p = before / np.maximum(m, 1)[:, None]
    q = after / np.maximum(n, 1)[:, None]
    middle = (p + q) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(p > 0, p * np.log2(p / middle), 0) + np.where(
            q > 0, q * np.log2(q / middle), 0
        )
        divergence = terms.sum(axis=1) / 2
        filled = np.minimum(p * n[:, None], 1).sum(axis=1)
        chance = np.maximum(filled - 1, 0) * (1 / n + 1 / m) / (8 * math.log(2))
    rest = divergence - chance
    found = np.sign(rest) * np.sqrt(np.abs(rest))
    return np.where((m > 0) & (n > 0), found, np.nan)


def white_noise(reference: Reference, level: FloatArray) -> FloatArray:
    """Variance of one record's part in each signal if records were independent, shape (S,)."""
    records = max(reference.records, 1)
    place = places(reference.numbers, reference.names)
    present = np.maximum(reference.present, 1)
    thin = records / present[place]
    features = len(reference.names)
    start = 2 * len(reference.numbers)
    shares = binomial(level[start : start + 2 * features], records)
    shares[features:] *= records / present
    filled = (reference.cells > 0).sum(axis=1)
    chance = np.sqrt(2 * np.maximum(filled - 1, 0.5)) / (8 * math.log(2))
    held = np.maximum(reference.cells.sum(axis=1), 1)
    return np.concatenate(
        [
            thin,
            thin * np.maximum(reference.kurtosis - 1, 0.1) / 4,
            shares,
            chance * np.maximum(records / held, 1),
        ]
    )


def binomial(share: FloatArray, records: float) -> FloatArray:
    """Variance of one record's 0 or 1, with half a record seen where none was."""
    known = np.clip(share, 0.5 / (records + 1), 1 - 0.5 / (records + 1))
    return known * (1 - known)


def measure_model(records: int, late: int, rejects: int, errors: int, length: int) -> FloatArray:
    """The signals of a model as a whole in a block, shape (4,).

    Args:
        records: Readable records.
        late: Of these, late ones.
        rejects: Records that could not be read; the volume counts them too.
        errors: Readable records of failed predictions.
        length: Of the block, microseconds.
    """
    both = records + rejects
    if both <= 0:
        return np.full(len(MODEL_SIGNALS), np.nan)
    return np.array(
        [
            math.log(both / (max(length, 1) / 1e6)),
            late / records if records else math.nan,
            rejects / both,
            errors / records if records else math.nan,
        ]
    )


def native(reference: Reference | None, feature: str, signal: str, value: float) -> float:
    """A signal's value in the unit of its rule: the feature's own, a share, a rate, a distance."""
    if signal == "volume":
        return math.exp(min(value, 700.0))
    if reference is None or signal in {"missing", "unseen"}:
        return min(max(value, 0.0), 1.0)
    if signal == "distance":
        return min(max(value, 0.0), 1.0)
    row = reference.numbers.index(feature)
    if signal == "location":
        return float(reference.centre[row] + value * reference.scale[row])
    return float(reference.scale[row] * math.exp(min(value, 300.0)))


def moved_most(
    reference: Reference, profile: Profile, feature: str, signal: str, most: int = 5
) -> tuple[tuple[str, float, float], ...]:
    """The categories or value ranges whose shares moved most: (name, before, after)."""
    if signal in {"distance", "unseen"} and feature in reference.texts:
        row = reference.texts.index(feature)
        names, before, after = _categories_moved(reference, profile, row)
    elif signal in {"location", "spread"} and feature in profile.numbers.names:
        row = reference.numbers.index(feature)
        edges = reference.edges[row][np.isfinite(reference.edges[row])]
        before = reference.shares[row, : len(edges) + 1]
        after = range_shares(profile.numbers.select((feature,)), edges[None, :])[0]
        names = _ranges(edges)
    else:
        return ()
    order = np.argsort(-np.abs(after - before), kind="stable")[:most]
    return tuple(
        (names[at], float(before[at]), float(after[at]))
        for at in order.tolist()
        if after[at] != before[at]
    )


def _categories_moved(
    reference: Reference, profile: Profile, row: int
) -> tuple[list[str], FloatArray, FloatArray]:
    held = profile.texts.get(reference.texts[row])
    counts = held.counts if held is not None else {}
    known = reference.known[row]
    strange = [value for value in counts if value not in known] if reference.complete[row] else []
    named = [*reference.top[row], *strange[:TOP]]
    total = reference.cells[row].sum()
    before = np.zeros(len(named))
    before[: len(reference.top[row])] = reference.cells[row, : len(reference.top[row])]
    after = np.array([counts.get(name, 0) for name in named], dtype=np.float64)
    seen = held.total if held is not None else 0
    return named, before / max(total, 1), after / max(seen, 1)


def _ranges(edges: FloatArray) -> list[str]:
    if not len(edges):
        return ["all"]
    told = [f"{edge:.6g}" for edge in edges.tolist()]
    inner = [f"{low} to {high}" for low, high in pairwise(told)]
    return [f"below {told[0]}", *inner, f"{told[-1]} and above"]
