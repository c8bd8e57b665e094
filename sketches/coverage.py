"""What the watch over a model sees, and what it cannot."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from .detection import DetectionSettings
from .signals import feature_rule
from .stream import GIVEN, Name, Stream, parts

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
    """

    version: str
    segment: str
    given: bool
    learned: float
    watched: int
    left_out: tuple[str, ...]
    coarse: tuple[tuple[str, str, float], ...]


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
        if name is None:
            continue
        version, segment = parts(name)
        learned = 1.0 if stream.learner is None else stream.learner.progress(settings)
        baseline = stream.baseline
        names = sorted({*baseline.layout.features} - {""}) if baseline is not None else ()
        left_out = tuple(each for each in names if not feature_rule(settings, model, each).detect)
        given = name[2:] == (GIVEN,)
        watched = len(stream.watched())
        found.append(Coverage(version, segment, given, learned, watched, left_out, _coarse(stream)))
    return found


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
