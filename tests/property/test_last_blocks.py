"""Means of the last blocks are those of a plain form that keeps all signals, bit for bit."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sketches.detectors import PRIOR, Bank, new_adwin
from sketches.table import BoolArray, FloatArray
from sketches.windowed import LENGTHS, RING, LastBlocks

SIGNALS = 6


class Plain:
    """Weighted deviations, weights and records of every block, of all signals alike."""

    def __init__(self, by_records: BoolArray) -> None:
        self.by_records = by_records
        self.rows: list[FloatArray] = []

    def add(self, away: FloatArray, known: BoolArray, records: float) -> None:
        weight = np.where(self.by_records, records * known, known)
        self.rows.append(np.stack([weight * away, weight, records * known]))

    def forget(self, signal: int) -> None:
        for row in self.rows:
            row[:, signal] = 0.0

    def sums(self, blocks: int, end: int) -> FloatArray:
        if blocks == 1:
            return self.rows[end - 1] if end > 0 else np.zeros((3, SIGNALS))
        late = 2 if blocks == 6 else blocks // 2
        return self.sums(late, end) + self.sums(blocks - late, end - late)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    constant=st.integers(0, SIGNALS),
    blocks=st.integers(1, 2 * RING),
    restart=st.integers(0, 2 * RING),
    volume=st.booleans(),
)
def test_means_are_the_plain_ones(
    seed: int, constant: int, blocks: int, restart: int, volume: bool
) -> None:
    random = np.random.default_rng(seed)
    by_records = np.ones(SIGNALS, dtype=bool)
    by_records[0] = not volume
    last, plain = LastBlocks(by_records), Plain(by_records)
    for number in range(blocks):
        away = random.normal(size=SIGNALS)
        away[:constant] = 0.0
        away[random.random(SIGNALS) < 0.01] = 1.0  # what was constant first differs
        known = random.random(SIGNALS) > 0.02
        away[~known] = 0.0
        records = float(random.integers(0, 200))
        found = last.add(away, known, records, number)
        plain.add(away, known, records)
        if number == restart:
            last = LastBlocks.restore(msgspec.msgpack.decode(msgspec.msgpack.encode(last.state())))
        if random.random() < 0.01:
            signal = int(random.integers(SIGNALS))
            last.forget(signal)
            plain.forget(signal)
            continue
    for level, length in enumerate(LENGTHS.tolist()):
        weighted, weight, sample = plain.sums(length, blocks)
        assert found.mean[level, 0] == 0.0
        if last.first.max() == blocks:
            continue  # forgotten after the last block: what it gave before still holds
        for signal, column in enumerate(last.column.tolist()):
            mean = weighted[signal] / max(weight[signal], 1e-300)
            assert found.mean[level, column] == mean
            assert found.sample[level, column] == sample[signal]
            assert column == 0 or found.signals[column] == signal


def test_a_signal_that_is_always_as_expected_has_no_column() -> None:
    last = LastBlocks(np.ones(3, dtype=bool))
    for number in range(200):
        away = np.array([0.0, 0.0, 1.0 if number == 150 else 0.0])
        found = last.add(away, np.ones(3, dtype=bool), 10.0, number)
    assert last.column.tolist() == [0, 0, 1]
    assert found.mean.shape == (len(LENGTHS), 2)
    means = last.means([1, 2])
    assert means.shift[:50, 1].tolist() == [0.0] * 49 + [1 / 50]
    assert (means.shift[:, 0] == 0.0).all()
    assert means.sample[:3].tolist() == [[10.0, 10.0], [20.0, 20.0], [30.0, 30.0]]


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_an_adwin_that_is_made_late_is_the_same(seed: int) -> None:
    random = np.random.default_rng(seed)
    bank, plain = Bank(3, 1e9, 0.01), [new_adwin(0.01) for _ in range(3)]
    for adwin in plain:
        for at in range(PRIOR):
            adwin.update(1.0 if at % 2 else -1.0)
    bank.delta = 0.5  # of a later budget: it holds from the next restart on
    begins = random.integers(0, 150, size=3)
    for block in range(200):
        z = np.where(block >= begins, random.normal(size=3) + (block >= 170), 0.0)
        fed = random.random(3) < 0.9
        found = bank.update(z, block, fed)[0]
        hits = [each for each in range(3) if fed[each] and z[each] and plain[each].update(z[each])]
        assert found == [(each, block + 1 - int(plain[each].get_width())) for each in hits]
        if block == 100:
            bank = Bank.restore(bank.state())


def test_a_state_cut_off_is_an_error() -> None:
    bank = Bank(2, 10.0, 0.01)
    bank.update(np.ones(2), 0, np.ones(2, dtype=bool))
    state = bank.state()
    with pytest.raises(ValueError, match="detectors"):
        Bank.restore((*state[:3], state[3][:-6], state[4]))
