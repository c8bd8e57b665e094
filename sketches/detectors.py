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
from typing import Any, Final, Protocol, cast

import numpy as np

from .budget import SLACK
from .state import Packed, pack_all, unpack_all
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
        rose: Shape (S,), block at which the upward sum was least: onset of a rise.
        fell: Shape (S,), likewise of a fall.
    """

    _FIELDS: Final = ("n", "mean", "up", "down", "least", "most", "rose", "fell")

    def __init__(self, signals: int) -> None:
        self.n = np.zeros(signals, dtype=np.int64)
        self.mean = np.zeros(signals)
        self.up = np.zeros(signals)
        self.down = np.zeros(signals)
        self.least = np.full(signals, np.inf)
        self.most = np.full(signals, -1.0)
        self.rose = np.zeros(signals, dtype=np.int64)
        self.fell = np.zeros(signals, dtype=np.int64)

    def update(self, z: FloatArray, block: int, fed: BoolArray) -> tuple[FloatArray, FloatArray]:
        """Feed one value to the signals in ``fed``.

        Returns:
            The statistics for a rise and for a fall, shape (S,); 0 where there is no test yet.
        """
        z = np.where(fed, z, 0.0)
        self.n += fed
        step = np.where(fed, (1.0 / np.maximum(self.n, 1)) * (z - self.mean), 0.0)
        self.mean += step
        away = z - self.mean
        self.up = np.where(fed, self.up + away - SLACK, self.up)
        self.down = np.where(fed, self.down + away + SLACK, self.down)
        lower, higher = fed & (self.up < self.least), fed & (self.down > self.most)
        self.least = np.where(lower, self.up, self.least)
        self.most = np.where(higher, self.down, self.most)
        self.rose[lower] = block + 1  # the change begins after the turn
        self.fell[higher] = block + 1
        ready = fed & (self.n >= START)
        rise = np.where(ready, self.up - self.least, 0.0)
        fall = np.where(ready, self.most - self.down, 0.0)
        return rise, fall

    def restart(self, signals: IntArray, block: int) -> None:
        """As if each had just seen ``PRIOR`` values at its expectation."""
        self.n[signals] = PRIOR
        self.mean[signals] = 0.0
        self.up[signals] = self.least[signals] = -PRIOR * SLACK
        self.down[signals] = self.most[signals] = PRIOR * SLACK
        self.rose[signals] = self.fell[signals] = block + 1

    def state(self) -> dict[str, Packed]:
        """All of it."""
        return pack_all({name: getattr(self, name) for name in self._FIELDS})

    @classmethod
    def restore(cls, state: dict[str, Packed]) -> PageHinkley:
        """From ``state``."""
        found = cls(0)
        for name, values in unpack_all(state).items():
            setattr(found, name, values)
        return found


class Bank:
    """Both detectors for each of S signals.

    Args:
        signals: S.
        threshold: PageHinkley's.
        delta: ADWIN's.
    """

    def __init__(self, signals: int, threshold: float, delta: float) -> None:
        self.threshold = threshold
        self.delta = delta
        self.page_hinkley = PageHinkley(signals)
        self.adwins = [new_adwin(delta) for _ in range(signals)]
        self.restart(np.arange(signals), -1)

    def restart(self, signals: IntArray, block: int) -> None:
        """Forget; both begin as if they had seen ``PRIOR`` values around the expectation."""
        self.page_hinkley.restart(signals, block)
        for signal in signals.tolist():
            adwin = self.adwins[signal] = new_adwin(self.delta)
            for at in range(PRIOR):
                adwin.update(1.0 if at % 2 else -1.0)  # mean 0, variance 1

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
        values = z.tolist()
        for signal in np.flatnonzero(fed & (z != 0.0)).tolist():
            adwin = self.adwins[signal]
            if adwin.update(values[signal]):
                found.append((signal, block + 1 - int(adwin.get_width())))
        rise, fall = self.page_hinkley.update(z, block, fed)
        fired = np.flatnonzero(np.maximum(rise, fall) > self.threshold)
        if not len(fired):
            return found, []
        began = np.where(rise >= fall, self.page_hinkley.rose, self.page_hinkley.fell)[fired]
        self.page_hinkley.restart(fired, block)
        return found, list(zip(fired.tolist(), began.tolist(), strict=True))

    def state(self) -> tuple[float, float, dict[str, Packed], bytes]:
        """All of it; what river's core gives for its own state is bytes."""
        parts = [adwin.__getstate__() for adwin in self.adwins]
        whole = b"".join(len(part).to_bytes(_RECORD, "little") + part for part in parts)
        return self.threshold, self.delta, self.page_hinkley.state(), zlib.compress(whole, 1)

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
        at = 0
        while at < len(whole):
            size = int.from_bytes(whole[at : at + _RECORD], "little")
            adwin = new_adwin(bank.delta)
            adwin.__setstate__(whole[at + _RECORD : at + _RECORD + size])
            bank.adwins.append(adwin)
            at += _RECORD + size
        return bank
