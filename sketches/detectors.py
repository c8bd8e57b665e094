"""River's ADWIN and PageHinkley over many signals at once, with a state that is plain bytes.

ADWIN is river's own (its Rust core, ``river._river_rust``). Importing it alone takes 1.5 ms and
0.7 MB; ``river.drift`` would bring scipy with it: 1 to 1.5 s and 80 MB in every worker. For the
same reason PageHinkley is river's arithmetic over arrays; a test holds it equal to
``river.drift.PageHinkley`` (alpha=1, min_instances=30) to the last bit.
"""

from __future__ import annotations

import importlib
import zlib
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final, Protocol, cast

import numpy as np

from .budget import SLACK
from .state import Packed, pack_small, unpack_small
from .table import BoolArray, FloatArray, IntArray

START: Final = 30  # PageHinkley's min_instances
PRIOR: Final = 128  # values at the expectation that a detector starts with: the baseline's say
_RECORD: Final = 4  # bytes of a length in the packed ADWINs


class Adwin(Protocol):
    """What of river's ADWIN core is used."""

    def update(self, value: float) -> bool:
        """Feed a value; whether the window was cut."""
        ...

    def get_width(self) -> float:
        """Values in the window."""
        ...

    def __getstate__(self) -> bytes: ...

    def __setstate__(self, state: bytes) -> None: ...


def new_adwin(delta: float) -> Adwin:
    """River's ADWIN core with clock = 1: a test at every value."""
    try:
        module = importlib.import_module("river._river_rust").drift
    except (ImportError, AttributeError):  # another release of river: its public, heavier door
        adwin = importlib.import_module("river.drift").ADWIN(delta=delta, clock=1)
        return cast(Adwin, adwin._helper)
    core = module.AdaptiveWindowing(
        delta=delta, clock=1, max_buckets=5, min_window_length=5, grace_period=10
    )
    return cast(Adwin, core)


class PageHinkley:
    """``river.drift.PageHinkley(alpha=1, delta=SLACK, min_instances=30)`` for S signals.

    Attributes:
        n: Shape (S,), values fed.
        mean: Shape (S,), of these.
        up: Shape (S,), sum of what was above it.
        down: Shape (S,), and below.
        least: Shape (S,), least ``up``.
        most: Shape (S,), largest ``down``.
        rose: Shape (S,), block at which the upward sum was least: onset of a rise.
        fell: Shape (S,), likewise of a fall.
    """

    _START: Final = ((0.0,), (0.0,), (0.0,), (0.0,), (np.inf,), (-1.0,), (0.0,), (0.0,))

    def __init__(self, signals: int) -> None:
        # One array, so that the signals that are fed are taken out and put back at once.
        self._hold(np.repeat(np.array(self._START), signals, axis=1))

    def _hold(self, held: FloatArray) -> None:
        self._held = held
        self.n, self.mean, self.up, self.down, self.least, self.most, self.rose, self.fell = held

    def update(self, z: FloatArray, block: int, signals: IntArray) -> tuple[FloatArray, FloatArray]:
        """Feed one value to some signals.

        Args:
            z: Shape (N,).
            block: Its number.
            signals: Shape (N,), which ones, none twice.

        Returns:
            The statistics for a rise and for a fall, shape (N,); 0 where there is no test yet.
        """
        held = self._held.take(signals, axis=1)
        n, mean, up, down, least, most, rose, fell = held
        n += 1.0
        mean += (1.0 / n) * (z - mean)
        away = z - mean
        up += away
        up -= SLACK
        down += away
        down += SLACK
        rose[up < least] = fell[down > most] = block + 1.0  # the change begins after the turn
        np.minimum(least, up, out=least)
        np.maximum(most, down, out=most)
        self._held[:, signals] = held
        ready = n >= START
        return np.where(ready, up - least, 0.0), np.where(ready, most - down, 0.0)

    def restart(self, signals: IntArray, block: int) -> None:
        """As if each had just seen ``PRIOR`` values at its expectation."""
        self.n[signals] = PRIOR
        self.mean[signals] = 0.0
        self.up[signals] = self.least[signals] = -PRIOR * SLACK
        self.down[signals] = self.most[signals] = PRIOR * SLACK
        self.rose[signals] = self.fell[signals] = block + 1

    def state(self) -> Packed:
        """All of it."""
        return pack_small(self._held)

    @classmethod
    def restore(cls, state: Packed) -> PageHinkley:
        """From ``state``."""
        found = cls(0)
        found._hold(unpack_small(state))
        return found


@lru_cache(maxsize=64)
def _prior(delta: float) -> bytes:
    """State of an ADWIN that has seen ``PRIOR`` values around the expectation."""
    adwin = new_adwin(delta)
    for at in range(PRIOR):
        adwin.update(1.0 if at % 2 else -1.0)  # mean 0, variance 1
    return adwin.__getstate__()


class Bank:
    """Both detectors for each of S signals.

    Most signals are constant for as long as nothing is wrong, and an ADWIN is made when its signal
    first is not.

    Args:
        signals: S.
        threshold: PageHinkley's.
        delta: ADWIN's.
    """

    def __init__(self, signals: int, threshold: float, delta: float) -> None:
        self.threshold = threshold
        self.delta = delta
        self.page_hinkley = PageHinkley(signals)
        self._adwins: list[Adwin | None] = [None] * signals  # None: fed nothing since its restart
        self._deltas = np.full(signals, delta)
        self.restart(np.arange(signals), -1)

    def restart(self, signals: IntArray, block: int) -> None:
        """Forget; both begin as if they had seen ``PRIOR`` values around the expectation."""
        self.page_hinkley.restart(signals, block)
        self._deltas[signals] = self.delta
        for signal in signals.tolist():
            self._adwins[signal] = None

    def _begin(self, signal: int) -> Adwin:
        delta = float(self._deltas[signal])
        adwin = self._adwins[signal] = new_adwin(delta)
        adwin.__setstate__(_prior(delta))
        return adwin

    def update(
        self, z: FloatArray, block: int, fed: BoolArray
    ) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """Feed one standardised residual to each signal in ``fed``.

        Args:
            z: Shape (S,), finite where fed.
            block: Number of the block.
            fed: Shape (S,).

        Returns:
            What ADWIN and what PageHinkley found: (signal, first block of the change) each.
        """
        found = []
        signals = fed.nonzero()[0]
        if not len(signals):
            return [], []
        z = z.take(signals)
        adwins = self._adwins
        for signal, value in zip(signals.tolist(), z.tolist(), strict=True):
            if value != 0.0:
                adwin = adwins[signal] or self._begin(signal)
                if adwin.update(value):
                    found.append((signal, block + 1 - int(adwin.get_width())))
        rise, fall = self.page_hinkley.update(z, block, signals)
        hit = (np.maximum(rise, fall) > self.threshold).nonzero()[0]
        if not len(hit):
            return found, []
        fired = signals[hit]
        turned = self.page_hinkley.rose[fired], self.page_hinkley.fell[fired]
        began = np.where(rise[hit] >= fall[hit], *turned).astype(np.int64)
        self.page_hinkley.restart(fired, block)
        return found, list(zip(fired.tolist(), began.tolist(), strict=True))

    def state(self) -> tuple[float, float, Packed, bytes, Packed]:
        """All of it; what river's core gives for its own state is bytes."""
        parts = [adwin.__getstate__() if adwin is not None else b"" for adwin in self._adwins]
        whole = b"".join(len(part).to_bytes(_RECORD, "little") + part for part in parts)
        adwins, deltas = zlib.compress(whole, 1), pack_small(self._deltas)
        return self.threshold, self.delta, self.page_hinkley.state(), adwins, deltas

    @classmethod
    def restore(cls, state: Sequence[Any]) -> Bank:
        """From ``state``: goes on exactly as the bank it was taken from.

        Raises:
            ValueError: It is not such a state.
        """
        bank = cls(0, float(state[0]), float(state[1]))
        bank.page_hinkley = PageHinkley.restore(state[2])
        try:
            whole = zlib.decompress(state[3])
        except zlib.error as error:
            raise ValueError(f"the state of the detectors cannot be read: {error}") from error
        bank._deltas = unpack_small(state[4])
        at = 0
        for delta in bank._deltas.tolist():
            size = int.from_bytes(whole[at : at + _RECORD], "little")
            adwin = new_adwin(delta) if size else None
            if adwin is not None:
                adwin.__setstate__(whole[at + _RECORD : at + _RECORD + size])
            bank._adwins.append(adwin)
            at += _RECORD + size
        return bank
