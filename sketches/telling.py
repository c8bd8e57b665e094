"""Which of the changes of a feature are told: one cause is one change, not five.

When a unit jumps, the mean, the spread, the shape and the share out of range move as well. Of these
only the signal that says most is told; the others are kept back until they grow by themselves. A
change is never kept back for one that is less severe.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from .changed import Step
from .gradual import WEEKLY
from .signals import Layout

# Signal -> signals of the same feature that say why it moved.
CAUSES: Final[Mapping[str, tuple[str, ...]]] = {
    "shape": ("location", "spread", "zeros", "stuck", "magnitude", "outside"),
    "spread": ("zeros", "stuck", "magnitude"),
    "location": ("zeros", "stuck", "magnitude"),
    "outside": ("magnitude", "location"),
    "stuck": ("zeros",),
    "distance": ("unseen", "vanished", "kind"),
    "unseen": ("kind",),
    "missing": ("kind",),
}


class Telling:
    """What has been told of one stream, and what is kept back."""

    def __init__(self, layout: Layout) -> None:
        at = {
            pair: signal
            for signal, pair in enumerate(zip(layout.features, layout.signals, strict=True))
        }
        self._causes = [
            [at[feature, cause] for cause in CAUSES.get(signal, ()) if (feature, cause) in at]
            for feature, signal in at
        ]
        self._features = layout.features
        self._told: dict[int, bool] = {}  # signal -> as critical
        self._kept: set[int] = set()

    def keeps(self, signal: int) -> bool:
        """Whether a changed signal is kept back."""
        return signal in self._kept

    def sift(self, step: Step) -> Step:
        """What of a step is to be told."""
        if not (step.found or step.recovered or step.settled):
            return step
        ended = {*step.recovered, *step.settled}
        untold = {signal for signal in ended if self._told.pop(signal, None) is None}
        self._kept -= ended
        severity = dict.fromkeys(self._kept, False) | self._told
        severity |= {each.signal: each.critical for each in step.found}
        told = []
        for each in step.found:
            causes = self._causes[each.signal]
            covered = any(severity.get(cause, -1) >= each.critical for cause in causes)
            if each.detector == WEEKLY:  # a feature that has changed has a story already
                mine = self._features[each.signal]
                covered |= any(self._features[told] == mine for told in self._told)
            if covered and each.signal not in self._told:
                self._kept.add(each.signal)
                continue
            self._kept.discard(each.signal)
            self._told[each.signal] = self._told.get(each.signal, False) or each.critical
            told.append(each)
        recovered = [signal for signal in step.recovered if signal not in untold]
        return Step(told, recovered, [signal for signal in step.settled if signal not in untold])

    def state(self) -> list[Any]:
        """All of it, as plain values."""
        return [sorted(self._told.items()), sorted(self._kept)]

    @classmethod
    def restore(cls, layout: Layout, state: Sequence[Any]) -> Telling:
        """From ``state``."""
        found = cls(layout)
        found._told = {int(signal): bool(critical) for signal, critical in state[0]}
        found._kept = {int(signal) for signal in state[1]}
        return found
