"""One stream of a model: what is learned of it, or watched."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from .baseline import Baseline, Learner, pack_baseline, unpack_baseline
from .blocks import Block
from .prior import Prior
from .report import Key
from .signals import Gates
from .telling import Telling
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

    def watched(self) -> set[str]:
        """Features with a signal under test."""
        if self.baseline is None or self.gates is None:
            return set()
        features, tested = self.baseline.layout.features, self.gates.tested.tolist()
        return {name for name, on in zip(features, tested, strict=True) if on and name}

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
        }

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> Stream:
        """From ``state``, without gates and watch: these need the budget of all streams."""
        stream = cls(state["end"], False)
        stream.parent, stream.source = state["parent"], state["source"]
        stream.since = state["since"]
        if state["block"] is not None:
            stream.block = Block.restore(state["block"])
        held = state["learner"]
        stream.learner = Learner.restore(held) if held is not None else None
        if state["baseline"] is not None:
            stream.baseline = unpack_baseline(state["baseline"])
            stream.telling = Telling.restore(stream.baseline.layout, state["telling"])
        return stream


def parts(name: Name) -> tuple[str, str]:
    """Version and segment of a stream."""
    return (name[0], name[1]) if name is not None else ("", "")


def key(name: Name, baseline: Baseline, signal: int) -> Key:
    """By which the change of a signal is known."""
    version, segment = parts(name)
    return version, segment, baseline.layout.features[signal], baseline.layout.signals[signal]
