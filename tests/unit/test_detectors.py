from __future__ import annotations

import msgspec
import numpy as np
import pytest
from river import drift

from sketches.budget import SLACK
from sketches.detectors import PRIOR, START, Bank, PageHinkley, new_adwin


def test_page_hinkley_is_rivers_to_the_last_bit() -> None:
    random = np.random.default_rng(1)
    values = random.normal(size=(600, 5))
    values[300:, :3] += 0.7
    values[300:, 3] -= 2.0
    threshold = 12.0
    ours = PageHinkley(5)
    rivers = [
        drift.PageHinkley(min_instances=START, delta=SLACK, threshold=threshold, alpha=1)
        for _ in range(5)
    ]
    fired = np.zeros(5, dtype=bool)
    for block, row in enumerate(values):
        fed = np.flatnonzero(~fired)
        rise, fall = np.zeros((2, 5))
        rise[fed], fall[fed] = ours.update(row[fed], block, fed)
        for at in fed.tolist():
            rivers[at].update(float(row[at]))  # type: ignore[no-untyped-call]
            assert rivers[at].drift_detected == (max(rise[at], fall[at]) > threshold)
            assert ours.up[at] == rivers[at]._sum_increase
            assert ours.down[at] == rivers[at]._sum_decrease
            assert ours.least[at] == rivers[at]._min_increase
            assert ours.most[at] == rivers[at]._max_decrease
        fired |= np.maximum(rise, fall) > threshold
    assert fired[:4].all()


def test_page_hinkley_restarts_as_if_it_had_seen_its_expectation() -> None:
    ours, fed = PageHinkley(1), PageHinkley(1)
    ours.restart(np.array([0]), PRIOR - 1)
    for block in range(PRIOR):
        fed.update(np.zeros(1), block, np.array([0]))
    for name in ("n", "mean", "up", "down", "least"):
        assert getattr(ours, name) == getattr(fed, name), name
    assert ours.most == PRIOR * SLACK


def test_adwin_is_rivers() -> None:
    random = np.random.default_rng(2)
    values = np.concatenate([random.normal(size=200), random.normal(1.0, size=100)])
    ours, theirs = (
        new_adwin(0.002),
        drift.ADWIN(  # type: ignore[no-untyped-call]
            delta=0.002, clock=1
        ),
    )
    for value in values.tolist():
        theirs.update(value)  # type: ignore[no-untyped-call]
        assert ours.update(value) == theirs.drift_detected
        if theirs.drift_detected:
            return
    pytest.fail("no change was found")


def test_both_find_a_shift_and_where_it_began() -> None:
    random = np.random.default_rng(3)
    bank = Bank(3, 16.0, 0.001)
    adwin: list[tuple[int, int, int]] = []
    page_hinkley: list[tuple[int, int, int]] = []
    for block in range(400):
        z = random.normal(size=3)
        z[1] += 2.5 * (block >= 200)
        first, second = bank.update(z, block, np.ones(3, bool))
        adwin += [(block, *hit) for hit in first]
        page_hinkley += [(block, *hit) for hit in second]
    for at, signal, began in (adwin[0], page_hinkley[0]):
        assert signal == 1
        assert 200 <= at < 215
        assert began <= 201
    assert page_hinkley[0][2] >= 190  # ADWIN drops whole buckets, so it only bounds the onset


def test_state_goes_on_exactly() -> None:
    random = np.random.default_rng(4)
    first = Bank(4, 14.0, 0.01)
    values = random.normal(size=(300, 4))
    values[250:] += 1.5
    for block in range(240):
        first.update(values[block], block, np.ones(4, bool))
    packed = msgspec.msgpack.encode(first.state())
    second = Bank.restore(msgspec.msgpack.decode(packed))
    assert msgspec.msgpack.encode(second.state()) == packed
    for block in range(240, 300):
        fed = np.ones(4, bool)
        assert first.update(values[block], block, fed) == second.update(values[block], block, fed)
    assert first.state() == second.state()


def test_a_broken_state_is_an_error() -> None:
    state = Bank(1, 10.0, 0.01).state()
    with pytest.raises(ValueError, match="detectors"):
        Bank.restore((*state[:3], b"nonsense"))
