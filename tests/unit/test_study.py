"""The pure parts of the study: what it counts and what it draws."""

from __future__ import annotations

import math
from itertools import islice

import numpy as np
import orjson
import pytest

from bench.study import flights, focus, incidents, report, streams, watched, world
from bench.study.__main__ import RESULTS, ROOT
from bench.study.plan import MINUTE
from bench.study.scores import (
    NEAR,
    Injection,
    Match,
    Told,
    delays,
    matched,
    rate,
    score,
)
from bench.study.scores import incidents as counted
from sketches.blocks import DAY


def test_focus_is_the_largest_over_all_onsets() -> None:
    random = np.random.default_rng(0)
    for _ in range(20):
        values = random.normal(random.normal(), size=60)
        state = focus.Focus()
        for end in range(1, len(values) + 1):
            plain = max(
                abs(values[start:end].sum()) / math.sqrt(end - start) for start in range(end)
            )
            assert state.update(float(values[end - 1])) == pytest.approx(plain)


def test_focus_alarms_about_as_often_as_its_threshold_says() -> None:
    random = np.random.default_rng(1)
    waits = [
        focus.delay(random.normal(size=4_000).tolist(), focus.threshold(300.0)) or 4_000
        for _ in range(60)
    ]
    assert 100 < np.mean(waits) < 900


@pytest.mark.parametrize(("count", "low", "high"), [(0, 0.0, 3.0), (5, 1.97, 10.51)])
def test_a_rate_has_its_poisson_interval(count: int, low: float, high: float) -> None:
    found = rate(count, 2.0)
    assert found.rate == count / 2
    assert found.low * 2 == pytest.approx(low, abs=0.02)
    assert found.high * 2 == pytest.approx(high, abs=0.05)


def test_changes_within_an_hour_are_one_incident() -> None:
    assert counted([]) == 0
    assert counted([0, NEAR, 2 * NEAR, 3 * NEAR + 1]) == 2


def test_what_is_not_found_is_late() -> None:
    found = delays([10.0, None, 20.0, 30.0], within=20.0)
    assert found == (4, 0.5, 20.0, math.inf)
    assert delays([None]).recall == 0.0


def _told(model: str, opened: int, onset: int, cause: str = "stuck") -> Told:
    return Told(model, opened, onset, cause, "critical", False)


def test_incidents_belong_to_the_injection_that_goes_on() -> None:
    first, second = (Injection("m", "stuck", start, start + 100, True) for start in (1_000, 2_000))
    told = [
        _told("m", 1_020, 1_000),
        _told("m", 1_090, 1_080, "shift"),
        _told("m", 1_500, 1_490),  # long after
        _told("other", 1_020, 1_000),
        _told("m", 2_105, 2_050, "shift"),  # just after the end
    ]
    matches, false = matched([first, second], told, slack=10)
    assert [len(match.told) for match in matches] == [2, 1]
    assert len(false) == 2
    found = score(matches, window=10)
    assert (found.injected, found.opened, found.opened_per_injection) == (2, 1.0, 1.5)
    assert (found.cause, found.onset, found.flapping) == (0.5, 0.5, 0)


def test_an_injection_that_nobody_told_counts_against_recall() -> None:
    match = Match(Injection("m", "stuck", 0, 100, True), ())
    found = score([match], window=10)
    assert (found.opened, found.delay.recall, found.delay.median) == (0.0, 0.0, math.inf)
    assert not incidents.passes(found)


def test_windows_with_data_are_counted_until_a_feature_is_told_of() -> None:
    hour = flights.HOUR
    found = {
        "starts": [0, 100 * hour, 200 * hour],
        "named": [3 * hour, 101 * hour, 102 * hour],
        "ends": [hour, 3 * hour, 101 * hour, 102 * hour],  # two hours have no flights
    }
    assert flights.waits(found, quiet=[101 * hour]) == [2.0, 2.0, None]


def test_no_fault_begins_before_another_ended() -> None:
    for seed in range(20):
        plan = watched.Plan(1, 1.0, probes=5, windows=60)
        begun = sorted(watched.apart(np.random.default_rng(seed), 400, plan))
        assert len(begun) == 5
        assert begun[0] >= 0
        assert begun[-1] + 60 <= 400
        assert np.diff(begun).min() >= 60


@pytest.mark.parametrize("name", sorted(streams.nulls(5 * MINUTE, 200)))
def test_null_streams_have_the_moments_that_they_say(name: str) -> None:
    stream = streams.nulls(5 * MINUTE, 200)[name]
    windows = list(islice(stream.begin(np.random.default_rng(2)), 150))
    values = np.stack([window.values for window in windows])
    assert np.isfinite(values).all()
    assert np.mean([window.records for window in windows]) == pytest.approx(200, rel=0.05)
    missing = values[:, stream.layout.is_signal("missing")]
    assert missing.mean() == pytest.approx(streams.MISSING, rel=0.05)
    white = streams.white_noise(stream, values.mean(axis=0), 200.0)
    if name in {"N(0,1)", "N x1000", "t3", "lognormal 1.5", "Bernoulli 0.01"}:
        location = values[:, stream.layout.is_signal("location")]
        assert abs(location.mean()) < 0.01
        sizes = np.array([[window.records] for window in windows])
        assert (location**2 * sizes).mean() == pytest.approx(1.0, rel=0.1)
        assert white[stream.layout.is_signal("location")].max() == 1.0


def test_a_seed_gives_the_same_stream() -> None:
    stream = streams.bench_world(60)
    one, other = (list(islice(stream.begin(np.random.default_rng(3)), 5)) for _ in range(2))
    for left, right in zip(one, other, strict=True):
        assert left.records == right.records
        assert left.values.tolist() == right.values.tolist()


def test_every_injection_has_a_slot_of_its_own() -> None:
    size = world.Size(3, 10, MINUTE, 1, 8, DAY // 4, DAY // 24)
    found = [each.injection for each in world.schedule(size, list(world.KINDS), 4)]
    assert len(found) == 24
    assert {each.label for each in found} == {held.cause for held in world.KINDS.values()}
    for at, one in enumerate(found):
        assert one.end - one.start == size.length
        slot = streams.START + DAY + at % 8 * size.slot
        assert slot <= one.start < one.end <= slot + size.slot


def test_the_section_on_detection_is_what_the_results_say() -> None:
    path = ROOT / "README.md"
    if RESULTS.exists():
        assert report.readme(path.read_text(), orjson.loads(RESULTS.read_bytes())) == (
            path.read_text()
        ), "run make study-readme"
    else:
        assert report.BEGIN in path.read_text()
