"""Faults that are put into the statistics of windows."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from bench.study.streams import FEATURES, MISSING, SHARES, Window, distances, missing
from bench.study.watched import Fault
from sketches.table import FloatArray

LOCATION, SPREAD, NULLS, DISTANCE = (slice(at * FEATURES, (at + 1) * FEATURES) for at in range(4))
SWAP = 0.1  # share of the records that go from the first category to the last


def shift(size: float) -> Fault:
    """A mean that is ``size`` standard deviations higher."""
    return ramp(size, 0.0)


def ramp(size: float, length: float) -> Fault:
    """A mean that rises by ``size`` standard deviations in ``length`` seconds, and stays."""

    def change(since: float, random: np.random.Generator, window: Window) -> FloatArray:
        values = window.values.copy()
        values[LOCATION] += size * (min(since / length, 1.0) if length else 1.0)
        return values

    return change


def variance(factor: float) -> Fault:
    """A variance ``factor`` times as large."""

    def change(since: float, random: np.random.Generator, window: Window) -> FloatArray:
        values = window.values.copy()
        values[SPREAD] += math.log(factor) / 2
        return values

    return change


def nulls(more: float) -> Fault:
    """A share of missing values that is higher by ``more``."""

    def change(since: float, random: np.random.Generator, window: Window) -> FloatArray:
        values = window.values.copy()
        values[NULLS] = missing(random, window.records, MISSING + more)
        return values

    return change


def share_swap() -> Fault:
    """The first category gives a tenth of all records to the last."""
    shares = SHARES.copy()
    shares[0] -= SWAP
    shares[-1] += SWAP

    def change(since: float, random: np.random.Generator, window: Window) -> FloatArray:
        values = window.values.copy()
        values[DISTANCE] = distances(random, window.records, shares)
        return values

    return change


Faults = Mapping[str, tuple[str, Fault]]
FAST: Faults = {
    "0.15 sd": ("location", shift(0.15)),
    "0.25 sd": ("location", shift(0.25)),
    "variance x1.25": ("spread", variance(1.25)),
    "nulls +1 point": ("missing", nulls(0.01)),
    "share swap": ("distance", share_swap()),
}
SLOW: Faults = {
    "0.25 sd": ("location", shift(0.25)),
    "0.5 sd": ("location", shift(0.5)),
    "1 sd": ("location", shift(1.0)),
}
WORLD: Faults = {
    "0.25 sd": ("location", shift(0.25)),
    "0.35 sd": ("location", shift(0.35)),
    "0.5 sd": ("location", shift(0.5)),
    "1 sd": ("location", shift(1.0)),
    "ramp 0.5 sd in a day": ("location", ramp(0.5, 86_400.0)),
}
