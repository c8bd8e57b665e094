"""What the watch over a model sees, and what it cannot."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final, NamedTuple

from .blocks import Block
from .changed import Finding
from .detection import Change, DetectionSettings
from .signals import feature_rule
from .stream import GIVEN, Name, Stream, change_of, parts

COARSE: Final = 4.0  # times the smallest effect worth telling


class Coverage(NamedTuple):
    """What is seen of the records of one version and segment.

    Attributes:
        version: Of the model.
        segment: Of its records.
        given: Compared with a given baseline, or with that of the version before.
        learned: Part of the baseline, 0 to 1.
        watched: Features under test.
        left_out: Features on which the settings alert nobody.
        coarse: (feature, signal, effect): of so few records or so much noise that nothing smaller
            than ``effect``, in the unit of the signal's effect, is ever told, though it would be
            worth it.
        pending: Changes that a detector proposes and that are not sure enough yet to be told;
            score: how near they are to that, 0 to 1.
        whole: Of the model as a whole, with nothing to say but what is pending.
    """

    version: str
    segment: str
    given: bool
    learned: float
    watched: int
    left_out: tuple[str, ...]
    coarse: tuple[tuple[str, str, float], ...]
    pending: tuple[Change, ...] = ()
    whole: bool = False


def coverage(
    streams: Mapping[Name, Stream], settings: DetectionSettings, model: str
) -> list[Coverage]:
    """Of each version and segment, in the order in which they came.

    Args:
        streams: Of the model.
        settings: That hold.
        model: Its name.
    """
    found = []
    for name, stream in streams.items():
        pending = _pending(name, stream)
        if name is None:
            if pending:
                found.append(Coverage("", "", False, 1.0, 0, (), (), pending, True))
            continue
        version, segment = parts(name)
        learned = 1.0 if stream.learner is None else stream.learner.progress(settings)
        baseline = stream.baseline
        names = sorted({*baseline.layout.features} - {""}) if baseline is not None else ()
        left_out = tuple(each for each in names if not feature_rule(settings, model, each).detect)
        given = name[2:] == (GIVEN,)
        watched = len(stream.watched())
        facts = version, segment, given, learned, watched, left_out, _coarse(stream), pending
        found.append(Coverage(*facts))
    return found


def _pending(name: Name, stream: Stream) -> tuple[Change, ...]:
    """What would be worth telling, and is not sure enough yet."""
    watch, gates, baseline = stream.watch, stream.gates, stream.baseline
    if watch is None or gates is None or baseline is None or not watch.waits:
        return ()
    points, limits, by = watch.pending(gates)
    expected = watch.expectation.at(stream.end)
    block = Block(stream.end, stream.end)
    told = []
    for at, signal in enumerate(points.signals.tolist()):
        shift, limit = float(points.shift[at]), float(limits[at])
        if abs(shift) <= gates.least[signal] or not math.isfinite(limit):
            continue
        detector, onset = by[at]
        finding = Finding(
            signal=signal,
            detector=detector,
            direction="up" if shift > 0 else "down",
            critical=False,
            level=float(expected[signal]),
            shift=shift,
            score=min(abs(shift) / limit, 1.0) if limit > 0 else 1.0,
            sample=int(points.sample[at]),
            onset=onset,
        )
        told.append(change_of(name, baseline, finding, block, None))
    return tuple(told)


def _coarse(stream: Stream) -> tuple[tuple[str, str, float], ...]:
    if stream.baseline is None or stream.gates is None:
        return ()
    layout, least = stream.baseline.layout, stream.gates.least.tolist()
    worth = dict(zip(zip(layout.features, layout.signals, strict=True), least, strict=True))
    return tuple(
        (feature, signal, effect)
        for feature, signal, effect in stream.detectable()
        if effect > COARSE * worth[feature, signal]
    )
