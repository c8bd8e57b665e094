"""Signals: the numbers per block that are tested, each in the unit in which its effect is told.

Of a feature's numbers:

- ``location``: clipped mean, in standard deviations of the reference, from its centre;
- ``spread``: logarithm of the clipped standard deviation over that of the reference, drawn to 0
  where a block is too small to know it; no fall where the level has left the clip limits;
- ``shape``: distance of the shares of about 16 value ranges;
- ``zeros``, ``outside``, ``stuck``, ``magnitude``: see ``sketches.faults``.

Of every feature:

- ``missing``: share of the records in which the feature is absent or null;
- ``kind``: share of the values present whose JSON type the reference never had;
- ``non_finite``: share of the values present that are NaN or infinite.

Of its texts:

- ``unseen``: share of the values that the reference never saw;
- ``vanished``: share that frequent values had in the reference which now do not occur at all;
- ``distance``: distance of the category shares.

Distances are Jensen-Shannon distances (base 2, so 0 to 1) less what chance alone gives; negative
where shares are closer than that. Of the model as a whole: ``volume`` (logarithm of records per
second), ``late``, ``rejects``, ``errors`` (shares).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Final, NamedTuple

import numpy as np

from .blocks import Block
from .detection import DetectionSettings, FeatureDetection
from .distances import chance_js, signed_js
from .faults import NUMBER_FAULTS, level_moved, number_faults, vanished
from .numbers import Numbers
from .profile import KINDS, Profile
from .reading import QUANTILES, clipped_moments, clipped_sums
from .reference import UNSEEN, Counted, Reference, count_cells, places
from .table import BoolArray, FloatArray, IntArray, Kind

NUMBER_SIGNALS: Final = ("location", "spread", "shape", *NUMBER_FAULTS)
ALL_SIGNALS: Final = ("missing", "kind", "non_finite")
TEXT_SIGNALS: Final = ("unseen", "vanished", "distance")
# What these say depends on how much the reference has seen.
RELATIVE: Final = ("shape", "outside", "magnitude", "kind", *TEXT_SIGNALS)
MODEL_SIGNALS: Final = ("volume", "late", "rejects", "errors")
_FALLEN: Final = 0.05  # of a spread: half of what is worth telling
_MOVED: Final = 0.5  # of a spread; a factor of five gives more
_DISTANCE_OF_SD: Final = 1 / math.sqrt(8 * math.log(2))
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
JUMP: Final = math.log(5.0)
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
    "magnitude": Rule("value", "ratio", (JUMP, JUMP), (JUMP, JUMP), True),
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
        """Signals of the features of a reference, in the order in which they are measured."""
        features: tuple[str, ...] = ()
        signals: tuple[str, ...] = ()
        for names, kinds in (
            (reference.numbers, NUMBER_SIGNALS),
            (reference.names, ALL_SIGNALS),
            (reference.texts, TEXT_SIGNALS),
        ):
            features += names * len(kinds)
            signals += tuple(signal for signal in kinds for _ in names)
        return Layout(features, signals)

    @staticmethod
    def of_model() -> Layout:
        """Signals of a model as a whole."""
        return Layout(("",) * len(MODEL_SIGNALS), MODEL_SIGNALS)

    def shares(self) -> BoolArray:
        """Which signals are shares, shape (S,)."""
        return np.array([RULES[signal].unit == "share" for signal in self.signals], dtype=bool)

    def is_hard(self) -> BoolArray:
        """Which signals only faults move, shape (S,)."""
        return np.array([RULES[signal].hard for signal in self.signals], dtype=bool)

    def is_signal(self, *names: str) -> BoolArray:
        """Where these kinds of signals stand, shape (S,)."""
        return np.array([signal in names for signal in self.signals], dtype=bool)


@dataclass(frozen=True)
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

    @cached_property
    def least(self) -> FloatArray:
        """The smaller of the two warning effects, shape (S,)."""
        found: FloatArray = np.minimum(self.warning[0], self.warning[1])
        return found

    def tests(self, hard: BoolArray) -> tuple[int, int]:
        """Soft and hard signals that are tested."""
        return int((self.tested & ~hard).sum()), int((self.tested & hard).sum())

    def cold(self, layout: Layout) -> Gates:
        """Where ordinary days are not known yet: soft ones doubled, and none of them critical.

        Nor is the range of a day that of the stream.
        """
        hard = layout.is_hard() & ~layout.is_signal("outside")
        warning = np.where(hard, self.warning, 2 * self.warning)
        return Gates(self.tested, warning, np.where(hard, self.critical, _NEVER))


def feature_rule(settings: DetectionSettings, model: str, feature: str) -> FeatureDetection:
    """The first pattern of the model's own table that fits, then the first of ``*``."""
    for table in (settings.features.get(model, {}), settings.features.get("*", {})):
        for pattern, rule in table.items():
            if pattern == feature or fnmatchcase(feature, pattern):
                return rule
    return FeatureDetection()


def gates(layout: Layout, settings: DetectionSettings, model: str) -> Gates:
    """Gates of a layout; direction and minimum effect are about a feature's location and shape."""
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
        if signal == "shape":
            if rule.minimum_effect is not None:
                # A normal distribution that moves by so many standard deviations is so far away.
                least = _DISTANCE_OF_SD * rule.minimum_effect
                warning[0, at] = max(warning[0, at], least)
                critical[0, at] = max(critical[0, at], least)
            if rule.direction != "both":  # a shape has none
                warning[:, at] = critical[:, at] = _NEVER
        if rule.severity_cap == "warning":
            critical[:, at] = _NEVER
    return Gates(tested, warning, critical)


def measure(reference: Reference, profile: Profile) -> tuple[FloatArray, Counted]:
    """The feature signals of a block.

    Args:
        reference: Of F number and T text features, A in all.
        profile: Of the block.

    Returns:
        The values in the order of ``Layout.of``, shape (7 F + 3 A + 3 T,), NaN where the block says
        nothing; and what was counted for them.
    """
    held = profile.numbers
    place = places(held.names, reference.numbers)
    location, spread, ranges = _moments(reference, profile, place)
    # A unit that jumps moves the spread, be it because all is clipped; or values are out of range.
    faults = number_faults(reference, held, place, np.abs(spread) > _MOVED)
    spread = _unclipped(reference, held, place, spread)
    cells = count_cells(reference, profile)
    values = (
        *(location, spread, signed_js(reference.held, ranges), *faults),
        *_shares(reference, profile),
        *(_texts(reference, cells) if len(cells) else ()),
    )
    return np.concatenate(values), Counted(cells, ranges)


def _moments(
    reference: Reference, profile: Profile, place: IntArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Location, spread, and the values by range."""
    held = profile.numbers
    count = np.zeros(len(reference.numbers))
    count[place[place >= 0]] = held.count[place >= 0]
    first, second, ranges = clipped_sums(
        held.histogram,
        place,
        reference.low,
        reference.high,
        reference.centre,
        reference.scale,
        reference.ranges,
    )
    known = np.maximum(count, 1)
    mean = first / known
    location = np.where(count > 0, np.minimum(np.maximum(mean, -_FARTHEST), _FARTHEST), np.nan)
    spread = _spread(count, mean, second / known, reference.kurtosis)
    return location, spread, ranges


def _spread(
    count: FloatArray, mean: FloatArray, square: FloatArray, kurtosis: FloatArray
) -> FloatArray:
    """Logarithm of a standard deviation from means of x and x^2, where x is in units of it."""
    known = np.maximum(count, 1)
    variance = np.maximum(square - mean * mean, 0.0) * known / np.maximum(known - 1, 1)
    # To know a variance takes about kurtosis - 1 records, so that many of the reference are added:
    # a few records of a rare flag may have none set, which leaves the logarithm of almost nothing.
    prior = np.maximum(kurtosis - 1, 0.0)
    variance = (known * variance + prior) / (known + prior)
    ratio = np.minimum(np.maximum(np.sqrt(variance), _SMALLEST), _FARTHEST)
    return np.where(count >= _LEAST_SPREAD, np.log(ratio), np.nan)


def _unclipped(
    reference: Reference, held: Numbers, place: IntArray, spread: FloatArray
) -> FloatArray:
    """Spreads, where one fell because values left the clip limits: within limits that go along.

    What is left of the fall holds: less than both say, and none where they contradict.
    """
    fallen = (spread < -_FALLEN)[place] & (place >= 0)
    at = np.flatnonzero(fallen)
    row = place[at]
    # Withheld extremes are NaN, and may be anywhere.
    left = ~((held.minimum[at] >= reference.low[row]) & (held.maximum[at] <= reference.high[row]))
    at, row = at[left], row[left]
    if not len(at):
        return spread
    by = level_moved(reference, held, at, row)
    low, high = reference.low[row] + by, reference.high[row] + by
    centre, scale = reference.centre[row] + by, reference.scale[row]
    bins = held.histogram.select(at)
    sums = clipped_moments(bins, np.arange(len(at)), low, high, centre, scale)
    count, mean, square = sums[0], sums[1] / sums[0], sums[2] / sums[0]
    found = spread.copy()
    along = _spread(count, mean, square, reference.kurtosis[row])
    found[row] = np.minimum(np.maximum(spread[row], along), 0.0)
    return found


def _shares(reference: Reference, profile: Profile) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Missing, foreign and not finite shares of every feature of the reference, shape (A,) each."""
    place = places(reference.names, profile.names)
    kinds = np.zeros((len(place), KINDS))
    kinds[place >= 0] = profile.kinds[place[place >= 0]]
    present = kinds[:, Kind.NUMBER :].sum(axis=1)
    records = profile.records
    missing = (records - present) / records if records else np.full(len(present), np.nan)
    known = np.where(present > 0, present, np.nan)
    strange = (kinds * reference.foreign).sum(axis=1)
    return missing, strange / known, kinds[:, Kind.NON_FINITE] / known


def _texts(reference: Reference, cells: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Unseen and vanished shares and distance of every text feature, shape (T,) each."""
    total = cells.sum(axis=1)
    unseen = cells[:, UNSEEN] / np.where(total > 0, total, np.nan)
    return unseen, vanished(reference.cells, cells), signed_js(reference.cells, cells)


def white_noise(reference: Reference, level: FloatArray) -> FloatArray:
    """Variance of one record's part in each signal if records were independent, shape (S,)."""
    records = max(reference.records, 1)
    numbers, every = len(reference.numbers), len(reference.names)
    place = places(reference.numbers, reference.names)
    thin = records / np.maximum(reference.present, 1)
    held = np.maximum(reference.cells.sum(axis=1), 1)
    texts = np.maximum(records / held, 1)
    ends = np.cumsum([0, numbers * len(NUMBER_SIGNALS), every * len(ALL_SIGNALS)])
    of_numbers, of_all, of_texts = (
        binomial(part, records).reshape(len(kinds), count)
        for part, kinds, count in (
            (level[: ends[1]], NUMBER_SIGNALS, numbers),
            (level[ends[1] : ends[2]], ALL_SIGNALS, every),
            (level[ends[2] :], TEXT_SIGNALS, len(texts)),
        )
    )
    of_numbers[0] = 1.0
    of_numbers[1] = np.maximum(reference.kurtosis - 1, 0.1) / 4
    of_numbers[2] = chance_js(reference.held)
    of_numbers[NUMBER_SIGNALS.index("magnitude")] = 1.0
    of_numbers *= thin[place]
    of_all[1:] *= thin
    of_texts[2] = chance_js(reference.cells)
    of_texts *= texts
    return np.concatenate([of_numbers.ravel(), of_all.ravel(), of_texts.ravel()])


def binomial(share: FloatArray, records: float) -> FloatArray:
    """Variance of one record's 0 or 1, with half a record seen where none was."""
    known = np.clip(share, 0.5 / (records + 1), 1 - 0.5 / (records + 1))
    return known * (1 - known)


def measure_model(block: Block) -> FloatArray:
    """The signals of a model as a whole in a block, shape (4,); NaN without any record."""
    if not block.messages:
        return np.full(len(MODEL_SIGNALS), np.nan)
    return np.array(
        [
            math.log(block.messages / (max(block.end - block.start, 1) / 1e6)),
            block.late / block.records if block.records else math.nan,
            block.rejects / block.messages,
            block.errors / block.records if block.records else math.nan,
        ]
    )


def native(reference: Reference | None, feature: str, signal: str, value: float) -> float:
    """A signal's value in the unit of its rule: the feature's own, a share, a rate, a distance."""
    if signal == "volume":
        return math.exp(min(value, 700.0))
    if reference is None or RULES[signal].unit != "value":
        return min(max(value, 0.0), 1.0)
    row = reference.numbers.index(feature)
    if signal == "location":
        return float(reference.centre[row] + value * reference.scale[row])
    usual = (
        reference.sizes[row, len(QUANTILES) // 2] if signal == "magnitude" else reference.scale[row]
    )
    return float(usual * math.exp(min(value, 300.0)))
