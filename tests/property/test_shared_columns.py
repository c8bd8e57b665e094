"""What is learned of signals that share a column is what each would have alone, bit for bit."""

from __future__ import annotations

import msgspec
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sketches.expectation import Expectation
from sketches.rates import HOUR
from sketches.scales import Scales, SharedScales
from sketches.table import BoolArray, FloatArray

SIGNALS, WAYS, BLOCKS = 6, 3, 120


def stray(random: np.random.Generator) -> tuple[FloatArray, BoolArray]:
    """Values of a block, shape (S,), most of them 0, and which are known."""
    values = random.normal(size=SIGNALS)
    values[:4] = 0.0
    if random.random() < 0.03:
        values[random.integers(4)] = 1.0
    known = np.ones(SIGNALS, dtype=bool)
    if random.random() < 0.05:
        known[random.integers(SIGNALS)] = False
    return values, known


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), volume=st.booleans())
def test_moments_of_windows(seed: int, volume: bool) -> None:
    random = np.random.default_rng(seed)
    by_records = np.ones(SIGNALS, dtype=bool)
    by_records[0] = not volume
    plain, shared = Scales(WAYS, by_records), SharedScales(WAYS, by_records)
    cuts = sorted(random.integers(0, BLOCKS, size=4).tolist())
    for block in range(BLOCKS):
        values, known = stray(random)
        ways = values * np.array([[1.0], [0.5], [2.0]])
        ways[:, ~known] = np.nan
        records = float(random.integers(1, 100))
        plain.add(ways, records)
        shared.add(ways, records)
        if block in cuts[:2]:
            some = random.random(SIGNALS) < 0.5
            plain.forget(some)
            shared.forget(some)
        if block == cuts[2]:
            state = msgspec.msgpack.encode(shared.state())
            shared = SharedScales.restore(msgspec.msgpack.decode(state), by_records)
        if block == cuts[3]:
            plain.restart(1)
            shared.restart(1)
    found = shared.whole()
    assert found.first.tobytes() == plain.first.tobytes()
    found.flush()
    plain.flush()
    for name in (*Scales._FIELDS, *Scales._ROWS):
        assert getattr(found, name).tobytes() == getattr(plain, name).tobytes(), name


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_tables_of_hours(seed: int) -> None:
    random = np.random.default_rng(seed)
    plain, shared = Expectation(SIGNALS), Expectation(SIGNALS)
    plain._open(np.arange(SIGNALS))
    cuts = sorted(random.integers(0, BLOCKS, size=5).tolist())
    for block in range(BLOCKS):
        values, known = stray(random)
        time = block * HOUR + HOUR // 2
        weight = np.where(known, float(random.integers(1, 100)), 0.0)
        some = random.random(SIGNALS) < 0.5
        factor = np.where(random.random(SIGNALS) < 0.5, 1.0, 2.0)
        for each in (plain, shared):
            each.at(time)
            each.add(values, weight)
            if block == cuts[0]:
                each.forget(some)
            if block == cuts[1]:
                each.rescale(factor, factor - 1)
            if block == cuts[2]:
                each.move(2, 0.5)
            if block == cuts[3]:
                each.leave_out(np.flatnonzero(some), time - 5 * HOUR)
        if block == cuts[4]:
            state = msgspec.msgpack.encode(shared.state())
            shared = Expectation.restore(msgspec.msgpack.decode(state))
        assert shared.at(time).tobytes() == plain.at(time).tobytes()
    later = (BLOCKS + 50) * HOUR
    assert shared.forecasts(later, 0).tobytes() == plain.forecasts(later, 0).tobytes()
    assert shared.choice.tolist() == plain.choice.tolist()
