"""A baseline learned from the first blocks of a stream.

Its first quarter fixes a provisional reference: clip limits, category cells. The signals of the
later blocks are measured against it while it grows, so that categories seen for the first time and
distances are those of blocks that the reference did not hold yet. In the end the reference is
everything together, and the expectation and the noise are those of the blocks after the first part.

Noise about a time of the week is that of blocks less what was forecast before they came; noise
about the level is that about the level of all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any, Final

import numpy as np

from . import codec, profile
from .blocks import DAY, Block
from .detection import DetectionSettings
from .expectation import CANDIDATES, Expectation
from .first_look import FirstLook
from .given import GivenBaseline
from .prior import Prior
from .profile import Profile
from .rates import Rates
from .reference import Reference, grown, read, recentred, refreshed
from .residuals import Noise, measure
from .scales import Scales, SharedScales
from .signals import RELATIVE, Gates, Layout, binomial, white_noise
from .signals import measure as measure_features
from .state import pack, unpack
from .table import BoolArray, FloatArray

LEAST_BLOCKS: Final = 8  # that noise is measured from, whatever the settings say
_FIRST: Final = 0.25  # part of the baseline that fixes the provisional reference,
_SURELY: Final = 2 * DAY  # at most
_AT_LAST: Final = 14 * DAY  # a stream of few records is watched by what it had until then
# Event time that it takes to forecast by the hour of the day and of the week, and to see how well.
KNOWN_AFTER: Final = (2 * DAY, 10 * DAY)
TRIED_AFTER: Final = (DAY, 7 * DAY)  # from there on their residuals are those of such a forecast
_ENOUGH: Final = 50  # blocks of the first part that may stand for its records
_GROWN: Final = 0.625  # from there on new categories and distances are believed
RIPE: Final = 0.7  # of the baseline; the rest is watched on trial
_RIPE_BLOCKS: Final = 64  # that the noise on trial is measured from
_TOGETHER: Final = 8  # profiles that wait to be merged
_ALIKE: Final = 4.0  # blocks of lengths so far apart at most have the same noise
FLOOR: Final = 0.1  # least noise, of the smallest effect worth telling


@dataclass(frozen=True, slots=True)
class Baseline:
    """What is known about a stream when its baseline is complete.

    Attributes:
        id: Hash of all of it.
        records: Records in it.
        start: Start of its first window, microseconds.
        end: End of its last one.
        reference: None for the signals of a model as a whole.
        layout: Its signals.
        by_records: Shape (S,): blocks weigh by their records.
        blocks: Blocks that its noise was measured from.
        block_length: Usual length of a block, microseconds.
    """

    id: str
    records: int
    start: int
    end: int
    reference: Reference | None
    layout: Layout
    by_records: BoolArray
    blocks: int
    block_length: float

    def noise(self, scales: Scales, expectation: Expectation, gates: Gates) -> Noise:
        """Noise about the forecasts in use; a floor keeps what never varied testable.

        Args:
            scales: Moments of the signals of its blocks, for every window length.
            expectation: Learned from the same blocks.
            gates: Of the layout.
        """
        level = scales.mean()
        if self.reference is not None:
            white = white_noise(self.reference, level)
        else:
            white = binomial(level, self.records)
            white[self.layout.is_signal("volume")] = 1.0  # of the logarithm of a Poisson count
        least = gates.least
        floor = FLOOR * np.where(np.isfinite(least), least, 0.1)
        about = np.where(expectation.choice == 0, level, 0.0)
        chosen = scales.chosen(expectation.choice)
        return measure(chosen, about, white, floor, self.layout.shares())


def by_records(layout: Layout) -> BoolArray:
    """Every signal but the volume weighs by records."""
    return ~layout.is_signal("volume")


class Learner:
    """The baseline of one stream in the making.

    Args:
        start: Start of the stream's first window, microseconds.
        features: Its features are watched; else it is a model as a whole.
        prior: What it starts from; its noise alone is to be learned.
    """

    def __init__(self, start: int, features: bool, prior: Prior | None = None) -> None:
        self.start = start
        self.end = start
        self.records = 0
        self.blocks = 0
        self._features = features
        self._measured = 0  # blocks behind the scales
        self._merged: list[Profile] = []
        self._reference: Reference | None = None
        self._scales: SharedScales | None = None
        self._grown = False
        self._since = start  # of the first block measured
        self._tried = 0  # forecasts that have been tried out for long enough
        self._expectation: Expectation | None = None
        self.prior = prior
        self.look = FirstLook() if features and prior is None else None
        if prior is not None:
            self._begin(Layout.of(prior.reference))
        elif not features:
            self._begin(Layout.of_model())

    def _begin(self, layout: Layout) -> None:
        self._layout = layout
        self._by_records = by_records(layout)
        self._scales = SharedScales(len(CANDIDATES), self._by_records)
        self._expectation = Expectation(len(layout), None if self._features else Rates())

    def _until(self, settings: DetectionSettings) -> int | None:
        """Where the settings end the baseline, if this stream began before."""
        until = settings.learn_until
        return until if until is not None and until > self.start else None

    def progress(self, settings: DetectionSettings) -> float:
        """Part of what is needed, 0 to 1."""
        until = self._until(settings)
        if until is not None:
            return min((self.end - self.start) / (until - self.start), 1.0)
        span = (self.end - self.start) / max(settings.learn_for, 1)
        enough = min(span, self.records / max(settings.learn_records, 1))
        return min(max(enough, (self.end - self.start) / max(settings.learn_for, _AT_LAST)), 1.0)

    def is_over(self, end: int, settings: DetectionSettings) -> bool:
        """Whether the baseline is complete without a block that ends at ``end``."""
        if self._measured < LEAST_BLOCKS:
            return False
        if self._rehearsed() is not None:
            return True
        until = self._until(settings)
        if until is not None:
            return end > until or self.end >= until
        return self.progress(settings) >= 1.0

    def suffices(self, settings: DetectionSettings) -> bool:
        """Whether it would be a learned baseline, wherever a replay ends those."""
        long = self.end - self.start >= settings.learn_for
        return long and self.records >= settings.learn_records and self._measured >= LEAST_BLOCKS

    def _rehearsed(self) -> Learner | None:
        """The learner of the training set's blocks, if the stream's own are about as long."""
        if self.prior is None or self.prior.rehearsal is None:
            return None
        seen = self.prior.rehearsal
        ratio = self._length() / max((seen["end"] - seen["start"]) / seen["blocks"], 1.0)
        if not 1 / _ALIKE <= ratio <= _ALIKE:
            return None
        return Learner.restore({**seen, "prior": replace(self.prior, rehearsal=None).state()})

    def _length(self) -> float:
        """Usual length of a block, microseconds."""
        return (self.end - self.start) / max(self.blocks, 1)

    @property
    def layout(self) -> Layout:
        """Of the signals, once they are measured."""
        return self._layout

    def is_ripe(self, settings: DetectionSettings) -> bool:
        """Whether enough is known to watch the rest on trial."""
        enough = self._measured >= _RIPE_BLOCKS and self.prior is None
        return enough and self.progress(settings) >= RIPE

    def so_far(self) -> tuple[Baseline, Scales, Expectation]:
        """What ``finish`` would give now, in units that are not final; learning goes on."""
        assert self._scales is not None  # noqa: S101
        assert self._expectation is not None  # noqa: S101
        expectation = Expectation.restore(self._expectation.state())
        self._settle(expectation)
        self._scales.flush()
        return self._baseline("", self.records, self._reference), self._scales.whole(), expectation

    def add(
        self, block: Block, values: FloatArray | None, settings: DetectionSettings
    ) -> FloatArray | None:
        """Add a block.

        Args:
            block: Closed.
            values: Shape (S,), its signals, for a model as a whole.
            settings: How much is needed.

        Returns:
            Its signals, shape (S,); None before the first part is over.
        """
        self.end = block.end
        self.records += block.messages
        self.blocks += 1
        if values is not None:
            self._measure(values, block)
            return values
        whole = block.profile()
        if self.prior is not None:
            values = measure_features(self.prior.reference, whole)[0]
            self._measure(values, block)
            return values
        if self.look is not None:
            self.look.add(block, whole)
        if self._reference is not None:
            values = self._compare(whole, block)
        self._merged.append(whole)
        if len(self._merged) > _TOGETHER:
            self._merged = [profile.merge(self._merged)]
        self._go_on(settings)
        return values

    def _go_on(self, settings: DetectionSettings) -> None:
        progress = self.progress(settings)
        if self._reference is None:
            until = self._until(settings)
            if until is None:
                span = (self.end - self.start) / max(settings.learn_for, 1)
                enough = self.records >= _FIRST * settings.learn_records or self.blocks >= _ENOUGH
                ready = enough and (span >= _FIRST or self.end - self.start >= _SURELY)
                ready |= progress >= _FIRST
            else:
                ready = progress >= _FIRST or self.end - self.start >= _SURELY
            if ready:
                self._reference = read(self._whole())
                self._begin(Layout.of(self._reference))
        elif not self._grown and progress >= _GROWN:
            self._grow()

    def _whole(self) -> Profile:
        self._merged = [profile.merge(self._merged)] if self._merged else []
        return self._merged[0] if self._merged else Profile.empty()

    def _grow(self) -> None:
        """Begin anew what could not be judged by the first quarter alone."""
        assert self._reference is not None  # noqa: S101
        assert self._scales is not None  # noqa: S101
        assert self._expectation is not None  # noqa: S101
        self._grown = True
        self._reference, rows = refreshed(self._reference, self._whole())
        again = self._layout.is_signal(*RELATIVE)
        names = {self._reference.numbers[row] for row in rows.tolist()}
        changed = np.array([name in names for name in self._layout.features], dtype=bool)
        again |= changed & self._layout.is_signal("location", "spread")
        self._scales.forget(again)
        self._expectation.forget(again)

    def _compare(self, whole: Profile, block: Block) -> FloatArray:
        assert self._reference is not None  # noqa: S101
        reference = self._reference
        values, counted = measure_features(reference, whole)
        self._measure(values, block)
        self._reference = grown(reference, whole, counted)
        return values

    def _measure(self, values: FloatArray, block: Block) -> None:
        assert self._scales is not None  # noqa: S101
        assert self._expectation is not None  # noqa: S101
        if not self._measured:
            self._since = block.start
        middle = (block.start + block.end) // 2
        ways = values - self._expectation.forecasts(middle, 0, block.by_hour())
        ways[0] = values
        self._scales.add(ways, block.messages)
        known = np.isfinite(values)
        weight = np.where(self._by_records, float(block.messages), 1.0) * known
        self._expectation.add(np.where(known, values, 0.0), weight)
        self._measured += 1
        span = block.end - self._since
        if self._tried < len(TRIED_AFTER) and span >= TRIED_AFTER[self._tried]:
            self._tried += 1
            self._scales.restart(self._tried)

    def _settle(self, expectation: Expectation) -> None:
        expectation.settle()
        known = sum(self.end - self._since >= least for least in KNOWN_AFTER)
        expectation.choice = np.minimum(expectation.choice, known)

    def finish(self) -> tuple[Baseline, Scales, Expectation]:
        """The baseline, when it ``is_over``, the moments of its signals, what is expected of them.

        They are to be used once: the expectation rolls on.
        """
        rehearsed = self._rehearsed()
        if rehearsed is not None:
            return rehearsed.finish()
        assert self._scales is not None  # noqa: S101
        assert self._expectation is not None  # noqa: S101
        expectation = self._expectation
        self._settle(expectation)
        reference, scales, digest = None, self._scales.whole(), blake2b(digest_size=8)
        if self.prior is not None:
            self.prior.expected(expectation, scales.mean())
            found = self._baseline(self.prior.id, self.prior.records, self.prior.reference)
            return found, scales, expectation
        if self._reference is not None:
            whole = self._whole()
            reference = recentred(self._reference, whole)
            factor, shift = _units(self._reference, reference, len(self._layout))
            scales = scales.rescaled(factor, shift)
            expectation.rescale(factor, shift)
            for part in codec.encode(whole):
                digest.update(part)
        digest.update(f"{self.start} {self.end} {self.records}".encode())
        digest.update(scales.first.tobytes())
        digest.update(scales.second.tobytes())
        found = self._baseline(digest.hexdigest(), self.records, reference)
        return found, scales, expectation

    def _baseline(self, id: str, records: int, reference: Reference | None) -> Baseline:
        return Baseline(
            id=id,
            records=records,
            start=self.start,
            end=self.end,
            reference=reference,
            layout=self._layout,
            by_records=by_records(self._layout),
            blocks=self._measured,
            block_length=self._length(),
        )

    def state(self) -> dict[str, Any]:
        """All of it, as plain values."""
        return {
            "start": self.start,
            "end": self.end,
            "records": self.records,
            "blocks": self.blocks,
            "features": self._features,
            "measured": self._measured,
            "grown": self._grown,
            "merged": codec.encode_all(self._merged),
            "reference": self._reference.state() if self._reference is not None else None,
            "prior": self.prior.state() if self.prior is not None else None,
            "look": self.look.state() if self.look is not None else None,
            "since": self._since,
            "tried": self._tried,
            "scales": self._scales.state() if self._scales is not None else None,
            "expectation": self._expectation.state() if self._expectation is not None else None,
        }

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> Learner:
        """From ``state``."""
        prior = Prior.restore(state["prior"]) if state["prior"] is not None else None
        found = cls(state["start"], state["features"], prior)
        found.end, found.records, found.blocks = state["end"], state["records"], state["blocks"]
        found._measured, found._grown = state["measured"], state["grown"]
        found._merged = [codec.decode(parts) for parts in state["merged"]]
        if state["reference"] is not None:
            found._reference = Reference.restore(state["reference"])
            found._layout = Layout.of(found._reference)
        look = state["look"]
        found.look = FirstLook.restore(look) if look is not None else None
        found._since, found._tried = state["since"], state["tried"]
        if state["scales"] is not None:
            found._by_records = by_records(found._layout)
            found._scales = SharedScales.restore(state["scales"], found._by_records)
            found._expectation = Expectation.restore(state["expectation"])
        return found


def rehearse(baseline: GivenBaseline, settings: DetectionSettings) -> Prior:
    """What a stream starts from under a given baseline.

    Args:
        baseline: Given.
        settings: How much makes a baseline.
    """
    prior = Prior.of(baseline)
    if not baseline.blocks:
        return prior
    learner = Learner(baseline.blocks[0].start, True, prior)
    for each in baseline.blocks:
        block = Block(each.start, each.end)
        block.add(each.start, each.end, [each.profile], True)
        learner.add(block, None, settings)
    if not learner.suffices(settings):
        return prior
    return replace(prior, rehearsal=learner.state() | {"prior": None})


def _units(old: Reference, new: Reference, signals: int) -> tuple[FloatArray, FloatArray]:
    """Factor and shift of each signal into the units of another reference with the same limits."""
    numbers = len(old.numbers)
    factor, shift = np.ones(signals), np.zeros(signals)
    factor[:numbers] = old.scale / new.scale
    shift[:numbers] = (old.centre - new.centre) / new.scale
    shift[numbers : 2 * numbers] = np.log(old.scale) - np.log(new.scale)
    return factor, shift


def pack_baseline(baseline: Baseline) -> dict[str, Any]:
    """A baseline as plain values."""
    return {
        "id": baseline.id,
        "records": baseline.records,
        "start": baseline.start,
        "end": baseline.end,
        "blocks": baseline.blocks,
        "block_length": baseline.block_length,
        "by_records": pack(baseline.by_records),
        "reference": baseline.reference.state() if baseline.reference is not None else None,
    }


def unpack_baseline(state: Mapping[str, Any]) -> Baseline:
    """From ``pack_baseline``."""
    held = state["reference"]
    reference = Reference.restore(held) if held is not None else None
    layout = Layout.of(reference) if reference is not None else Layout.of_model()
    return Baseline(
        id=state["id"],
        records=state["records"],
        start=state["start"],
        end=state["end"],
        reference=reference,
        layout=layout,
        by_records=unpack(state["by_records"]),
        blocks=state["blocks"],
        block_length=state["block_length"],
    )
