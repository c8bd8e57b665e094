"""One stream of a model: what is learned of it, or watched."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
import numpy as np

from .baseline import Baseline, Learner, pack_baseline, unpack_baseline
from .blocks import Block
from .changed import Finding, Step
from .detection import Change, Severity
from .moved import moved_most
from .prior import Prior
from .profile import Profile
from .report import Key, Trial
from .signals import RULES, Gates, native
from .telling import Telling
from .trial import WatchTrial
from .watch import Watch

# Of a stream: version, segment, and GIVEN if its baseline is not of its own records; None: the
# model as a whole.
Name = tuple[str, ...] | None
GIVEN: Final = "given"


class Stream:
    """Blocks of one version and segment, or of the model as a whole.

    Args:
        start: Start of its first window, microseconds.
        features: Its features are watched; else it is a model as a whole.
        prior: As for ``Learner``.

    Attributes:
        block: That is being filled.
        end: Of the last block.
        learner: Of its baseline, or of the noise about a given one.
        baseline: In use.
        watch: Of its signals.
        telling: What of these is told.
        gates: What is worth telling.
        parent: Version that it goes on from; None: it began by itself.
        source: Version of whose records its baseline is; None: of its own, or given.
        since: Start of its first window.
        trial: Of the last part of the baseline in the making.
        tried: What came of that of the baseline in use.
    """

    __slots__ = (
        "baseline",
        "block",
        "end",
        "gates",
        "learner",
        "parent",
        "since",
        "source",
        "telling",
        "trial",
        "tried",
        "watch",
    )

    def __init__(self, start: int, features: bool, prior: Prior | None = None) -> None:
        self.block: Block | None = None
        self.end = start
        self.learner: Learner | None = Learner(start, features, prior)
        self.baseline: Baseline | None = None
        self.watch: Watch | None = None
        self.telling: Telling | None = None
        self.gates: Gates | None = None
        self.parent: str | None = None
        self.source: str | None = None
        self.since = start
        self.trial: WatchTrial | None = None
        self.tried: Trial | None = None

    def watched(self) -> set[str]:
        """Features with a signal under test."""
        if self.baseline is None or self.gates is None:
            return set()
        features, tested = self.baseline.layout.features, self.gates.tested.tolist()
        return {name for name, on in zip(features, tested, strict=True) if on and name}

    def detectable(self) -> tuple[tuple[str, str, float], ...]:
        """As in ``BaselineLearned``: the location of numbers, the distance of texts, the volume."""
        if self.baseline is None or self.watch is None or self.gates is None:
            return ()
        records = self.baseline.records / max(self.baseline.blocks, 1)
        least = self.watch.detectable(records, self.gates)
        layout = self.baseline.layout
        main = layout.is_signal("location", "distance", "volume") & self.gates.tested
        return tuple(
            (layout.features[at], layout.signals[at], float(least[at]))
            for at in np.flatnonzero(main).tolist()
        )

    def state(self) -> dict[str, Any]:
        """All of it but the gates, as plain values."""
        return {
            "end": self.end,
            "block": self.block.state() if self.block is not None else None,
            "learner": self.learner.state() if self.learner is not None else None,
            "baseline": pack_baseline(self.baseline) if self.baseline is not None else None,
            "watch": self.watch.state() if self.watch is not None else None,
            "telling": self.telling.state() if self.telling is not None else None,
            "parent": self.parent,
            "source": self.source,
            "since": self.since,
            "trial": self.trial.state() if self.trial is not None else None,
            "tried": msgspec.to_builtins(self.tried),
        }

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> Stream:
        """From ``state``, without gates and watch: these need the budget of all streams."""
        stream = cls(state["end"], False)
        stream.parent, stream.source = state["parent"], state["source"]
        stream.since = state["since"]
        stream.tried = msgspec.convert(state["tried"], Trial | None)
        if state["block"] is not None:
            stream.block = Block.restore(state["block"])
        held = state["learner"]
        stream.learner = Learner.restore(held) if held is not None else None
        if state["baseline"] is not None:
            stream.baseline = unpack_baseline(state["baseline"])
            stream.telling = Telling.restore(stream.baseline.layout, state["telling"])
        return stream


def forget_changes(streams: Mapping[Name, Stream], version: str, segment: str) -> None:
    """Nothing is changed any more in the streams of a version and segment."""
    for name in ((version, segment), (version, segment, GIVEN)):
        stream = streams.get(name)
        if stream is not None and stream.watch is not None:
            over = stream.watch.changed
            stream.watch.forget(over)
            if stream.telling is not None:
                stream.telling.sift(Step([], over, []))


def parts(name: Name) -> tuple[str, str]:
    """Version and segment of a stream."""
    return (name[0], name[1]) if name is not None else ("", "")


def key(name: Name, baseline: Baseline, signal: int) -> Key:
    """By which the change of a signal is known."""
    version, segment = parts(name)
    return version, segment, baseline.layout.features[signal], baseline.layout.signals[signal]


def change_of(
    name: Name, baseline: Baseline, finding: Finding, block: Block, whole: Profile | None
) -> Change:
    """A finding in the units of its rule, with what moved most in its block."""
    version, segment, feature, signal = key(name, baseline, finding.signal)
    rule, reference = RULES[signal], baseline.reference
    severity: Severity = "critical" if finding.critical else "warning"
    size = abs(finding.shift)
    top: tuple[tuple[str, float, float], ...] = ()
    if reference is not None and whole is not None:
        top = moved_most(reference, whole, feature, signal)
    return Change(
        version=version,
        segment=segment,
        feature=feature,
        signal=signal,
        detector=finding.detector,
        direction=finding.direction,
        severity=severity,
        before=native(reference, feature, signal, finding.level),
        after=native(reference, feature, signal, finding.level + finding.shift),
        unit=rule.unit,
        effect=size * 100 if rule.effect_unit == "points" else size,
        effect_unit=rule.effect_unit,
        score=finding.score,
        sample=finding.sample,
        baseline_sample=baseline.records,
        onset=finding.onset,
        detected=block.end,
        baseline=baseline.id,
        top=top,
        since=finding.since,
    )
