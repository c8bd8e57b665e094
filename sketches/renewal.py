"""The noise of a young stream, measured again while it is watched.

A baseline of a day knows nothing of how days differ, and its noise is that about a level, whatever
season the expectation learns afterwards. So each time a stream has become twice as old, its noise
is measured anew from the residuals of the later half: what it was compared with by then is the
forecast in use. What is told as a change is left out; but what changes again and again in the first
two weeks of a stream whose baseline has not seen every day of the week is like that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any, Final

import numpy as np

from .blocks import DAY
from .residuals import Noise, measure
from .scales import LEVELS, WILD, WINDOWS, Scales
from .state import pack_small, unpack_small
from .table import BoolArray, IntArray
from .windowed import Dyadic

_LEAST: Final = 64  # blocks that noise is measured from
_WEEK: Final = 7 * DAY
_YOUNG: Final = 2 * _WEEK
NEVER: Final = (0, 2**62)  # start and end of what is not to be renewed
_OFTEN: Final = 2  # changes of a signal that are no exception any more
_OLD: Final = 56 * DAY  # what is known by then stays
_SUMS: Final = ("count", "weight", "first", "second", "third", "inverse")
_ALL: Final = (*_SUMS, "highest", "lowest")


class Renewal:
    """Moments of the means of 1, 2, 4, .. 128 blocks side by side, of L signals.

    Args:
        start: Of the baseline, microseconds.
        end: Its end.
    """

    def __init__(self, start: int, end: int) -> None:
        self.start = start
        self.due = 2 * end - start
        self._learns = end - start < _WEEK
        self._told: dict[int, int] = {}  # signal -> changes
        self._begin(0)

    def _begin(self, columns: int) -> None:
        self._held = np.zeros((len(_ALL), LEVELS, columns))
        self._held[-2], self._held[-1] = -np.inf, np.inf

    @property
    def over(self) -> bool:
        """Nothing is measured any more."""
        return self.due - self.start > _OLD

    def add(
        self,
        last: Dyadic,
        block: int,
        first: IntArray,
        by_records: BoolArray,
        changed: BoolArray,
        left_out: BoolArray,
    ) -> None:
        """A block.

        Args:
            last: Means of the last blocks, of L signals.
            block: Its number.
            first: Shape (L,), block from which on each is watched.
            by_records: Shape (L,), as for ``Watch``.
            changed: Shape (L,), what is told as a change: no measure of the largest mean.
            left_out: Shape (L,), what says nothing at all.
        """
        lacking = len(last.signals) - self._held.shape[2]
        if lacking:
            held = self._held
            self._begin(len(last.signals))
            self._held[:, :, : held.shape[2]] = held
        length = block + 1
        levels = min((length & -length).bit_length(), LEVELS)  # whose windows end with it
        mean, sample, windows = last.mean[:levels], last.sample[:levels], WINDOWS[:levels, None]
        known = (sample > 0) & (windows <= length - first)
        if left_out.any():
            known &= ~left_out
        quiet = known & ~changed if changed.any() else known
        held = self._held[:, :levels]
        far = np.where(held[0] >= _LEAST * windows, WILD, np.inf)
        far *= np.sqrt(np.maximum(held[3], 1e-300) / np.maximum(held[1], 1e-300))
        mean = np.minimum(np.maximum(mean, -far), far)  # a wild window says nothing of the others
        weight = np.where(by_records, sample, 1.0) * known
        first_moment = weight * mean
        squared = first_moment * mean
        held[0] += known * windows
        held[1] += weight
        held[2] += first_moment
        held[3] += squared
        held[4] += squared * mean
        held[5] += weight / np.maximum(sample, 1.0)
        np.maximum(held[6], mean, out=held[6], where=quiet)
        np.minimum(held[7], mean, out=held[7], where=quiet)

    def tell(self, signals: Sequence[int]) -> None:
        """These have changed."""
        for signal in signals if not self.over else ():
            self._told[signal] = self._told.get(signal, 0) + 1

    def left_out(self, changed: Sequence[int], now: int) -> list[int]:
        """Of the signals that are told as changed those whose changes are no part of the noise."""
        young = self._learns and now - self.start < _YOUNG
        return [each for each in changed if not young or self._told.get(each, 0) < _OFTEN]

    def measured(
        self, noise: Noise, signals: IntArray, by_records: BoolArray, now: int
    ) -> tuple[Noise, IntArray]:
        """The noise of all signals, and which of them have been measured anew.

        Args:
            noise: As it was.
            signals: Shape (L,), of the columns; the first column is none's.
            by_records: Shape (L,).
            now: End of the last block, microseconds.
        """
        enough = self._held[0, 0] >= _LEAST
        enough[:1] = False
        chosen = enough.nonzero()[0]
        held, mine = self._held[:, :, chosen], signals[chosen]
        self.due = now + max(now - self.start, DAY)
        self._begin(len(signals))
        if not len(chosen):
            return noise, mine
        scales = Scales(1, by_records[chosen])
        for at, name in enumerate(_ALL):
            setattr(scales, name, held[at][:, None])
        none = np.zeros(len(chosen))
        white, floor, shares = noise.white[mine], noise.floor[mine], noise.shares[mine]
        fresh = measure(scales, none, white, floor, shares)
        whole = {each.name: getattr(noise, each.name).copy() for each in fields(noise)}
        for name, values in whole.items():
            values[..., mine] = getattr(fresh, name)
        return replace(noise, **whole), mine

    def state(self) -> dict[str, Any]:
        """All of it, as plain values."""
        return {
            "start": self.start,
            "due": self.due,
            "learns": self._learns,
            "told": list(self._told.items()),
            "held": pack_small(self._held),
        }

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> Renewal:
        """From ``state``."""
        found = cls(state["start"], state["start"])
        found.due, found._learns = state["due"], bool(state["learns"])
        found._held = unpack_small(state["held"])
        found._told = dict(state["told"])
        return found


def columns_of(signals: IntArray, chosen: Sequence[int]) -> BoolArray:
    """Which columns are those of some signals; the first one is none's."""
    if not len(chosen):
        return np.zeros(len(signals), dtype=bool)
    found: BoolArray = (signals[:, None] == np.array(chosen)).any(axis=1)
    found[:1] = False
    return found
