"""What a stream starts from instead of its own first days: a given baseline, or its parent's.

The reference and the levels of the signals are the prior's, frozen. The noise is not: a training
set without times says nothing about how blocks of the live stream stray, so it is measured in the
stream's own blocks, about their own mean. Where that mean is not the prior's level, a change is
told as soon as the noise is known. A training set with times that would do as a learned baseline
has a noise of its own, which holds once the live blocks turn out to be about as long as its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .expectation import Expectation
from .given import GivenBaseline
from .reference import Reference, read
from .signals import measure
from .state import pack, unpack
from .table import FloatArray


@dataclass(frozen=True, slots=True)
class Prior:
    """Where a stream starts.

    Attributes:
        id: Of the baseline.
        records: Behind it.
        reference: What later profiles are compared with.
        level: Shape (S,), the signals of the reference's own records.
        rehearsal: State of a learner that has seen the training set's own blocks; None: they are
            too few, or too short a time.
    """

    id: str
    records: int
    reference: Reference
    level: FloatArray
    rehearsal: Mapping[str, Any] | None = None

    @classmethod
    def of(cls, baseline: GivenBaseline) -> Prior:
        """That of a training set."""
        reference = read(baseline.profile)
        level, _ = measure(reference, baseline.profile)
        return cls(baseline.id, baseline.profile.records, reference, np.nan_to_num(level))

    def expected(self, expectation: Expectation, mean: FloatArray) -> None:
        """Expect the prior's levels, with the hours of day and week that the stream showed.

        Args:
            expectation: Learned from the stream's own blocks.
            mean: Shape (S,), of the signals of these.
        """
        for signal, shift in enumerate((self.level - mean).tolist()):
            if shift:
                expectation.move(signal, shift)
        expectation.days.begin(self.level)

    def state(self) -> dict[str, Any]:
        """All of it, as plain values."""
        return {
            "id": self.id,
            "records": self.records,
            "reference": self.reference.state(),
            "level": pack(self.level),
            "rehearsal": self.rehearsal,
        }

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> Prior:
        """From ``state``."""
        reference = Reference.restore(state["reference"])
        level, rehearsal = unpack(state["level"]), state["rehearsal"]
        return cls(state["id"], state["records"], reference, level, rehearsal)


class Priors:
    """The given baselines of one model, by version and segment."""

    def __init__(self) -> None:
        self._held: dict[tuple[str, str], Prior | None] = {}  # None: there is none any more

    def holds(self, baseline: GivenBaseline) -> bool:
        """Whether it is the one that is held already."""
        known = self._held.get((baseline.version, baseline.segment))
        return known is not None and known.id == baseline.id

    def give(self, version: str, segment: str, prior: Prior) -> None:
        """Take that of a version, or of every one."""
        self._held[version, segment] = prior

    def of(self, version: str, segment: str) -> Prior | None:
        """That of the version, else that of every version."""
        return self._held.get((version, segment), self._held.get(("", segment)))

    def names(self) -> list[tuple[str, str]]:
        """(version, segment) of those that are held; an empty version: every one."""
        return [name for name, prior in self._held.items() if prior is not None]

    def drop(self, version: str, segment: str) -> None:
        """From now on there is none for it."""
        self._held[version, segment] = None

    def state(self) -> list[Any]:
        """All of it, as plain values."""
        return [
            [*key, prior.state() if prior is not None else None]
            for key, prior in self._held.items()
        ]

    @classmethod
    def restore(cls, state: list[Any]) -> Priors:
        """From ``state``."""
        found = cls()
        found._held = {
            (each[0], each[1]): Prior.restore(each[2]) if each[2] is not None else None
            for each in state
        }
        return found
