"""Steps are steps, whatever their size; slow rises are slow rises."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from sketches.course import Course, Rise, course_of
from sketches.table import BoolArray, FloatArray

MINUTE = 60_000_000
HOUR = 60 * MINUTE
NOISE = 0.1  # of a window of 100 records


def rises(shape: Callable[[int], float], seed: int, before: int = 60) -> list[Rise]:
    """What is said when 8, 16, 32, .. windows have passed since window 0."""
    random, course, found = np.random.default_rng(seed), Course(), []
    for at in range(-before, 256):
        away = float(random.normal(0, NOISE)) + (shape(at) if at >= 0 else 0.0)
        course.add(at * MINUTE, (at + 1) * MINUTE, 1, 100.0, 100 * away)
        if at >= 8 and at.bit_count() == 1:
            rise = course.rise(100 * NOISE**2, 1e-6)
            found += [rise] if rise is not None else []
    return found


@pytest.mark.parametrize("size", [0.2, 0.5, 1.0, 5.0, 1_000.0])
@pytest.mark.parametrize("part", [0.3, 1.0])
def test_a_step_is_no_slow_rise(size: float, part: float) -> None:
    """``part``: of the first window that lies behind the step."""
    for seed in range(20):
        assert not rises(lambda at: size * (part if at == 0 else 1.0), seed)


def test_neither_are_two_steps_nor_a_step_that_is_over() -> None:
    for seed in range(20):
        assert not rises(lambda at: 0.5 + (at >= 50), seed)
        assert not rises(lambda at: float(at < 70), seed)


@pytest.mark.parametrize(("windows", "within"), [(60, 15), (240, 40)])
def test_a_slow_rise_is_seen_and_begins_where_it_began(windows: int, within: int) -> None:
    for seed in range(20):
        found = rises(lambda at: min(at / windows, 1.0), seed)
        assert found
        for rise in found:
            assert rise.since <= rise.onset
            assert abs(rise.onset) <= within * MINUTE


def test_older_parts_are_longer_and_nothing_is_lost() -> None:
    course = Course()
    for at in range(3_000):
        course.add(at * MINUTE, (at + 1) * MINUTE, 1, 10.0, float(at))
    assert len(course.parts) <= 64
    assert sum(part[2] for part in course.parts) == 3_000
    assert sum(part[4] for part in course.parts) == 3_000 * 2_999 / 2
    assert [one[1] for one in course.parts[:-1]] == [two[0] for two in course.parts[1:]]
    assert course.parts[-1][2] == 1


def test_hours_before_the_blocks_are_part_of_it() -> None:
    hours = [(at * HOUR, 600.0, 60.0) for at in range(5)]
    blocks = [(4 * HOUR + at * MINUTE, 10.0, 0.5) for at in range(60)]
    course = course_of(hours, blocks, 5 * HOUR)
    assert [part[:3] for part in course.parts[:4]] == [
        (at * HOUR, (at + 1) * HOUR, 60) for at in range(4)
    ]
    assert sum(part[2] for part in course.parts) == 300
    assert course.parts[-1][1] == 5 * HOUR


def test_rises_that_are_left_out_early_are_none_that_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shapes: list[Callable[[int], float]] = [
        lambda at: 0.5,
        lambda at: 0.05,
        lambda at: min(at / 60, 1.0),
        lambda at: min(at / 240, 0.5),
        lambda at: min(at / 30, 1.0) * (at < 100),
    ]
    cases = [(shape, seed, before) for shape in shapes for seed in range(4) for before in (0, 60)]
    found = [rises(*case) for case in cases]

    def every(*columns: FloatArray | float) -> BoolArray:
        return np.ones(len(np.atleast_1d(columns[4])), dtype=bool)

    monkeypatch.setattr("sketches.course._likely", every)
    assert found == [rises(*case) for case in cases]
    assert any(found)
