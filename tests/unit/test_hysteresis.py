"""An incident ends at a lower level than the one at which it begins, held for a while."""

from __future__ import annotations

import pytest

from sketches.detection import DetectionSettings
from sketches.monitor import ModelMonitor
from tests.streams import DAY, START, WINDOW, Records, normal, windows

LEARNED = 500  # windows
SETTINGS = DetectionSettings(learn_for=2 * DAY, learn_records=5_000)
BETWEEN = 0.24  # standard deviations: too much to end it, too little for half an hour to begin it


def course(seed: int, *levels: tuple[int, float]) -> tuple[list[int], list[int]]:
    """Windows in which the mean was told, and in which it was told to be back."""

    def alter(number: int, held: Records, random: object) -> None:
        held.numbers["x"] += next((level for at, level in reversed(levels) if number >= at), 0.0)

    monitor = ModelMonitor(SETTINGS, "topic", "model")
    told: list[int] = []
    back: list[int] = []
    for end, one in windows({"x": normal}, 560, alter=alter, seed=seed, texts=0):
        report = monitor.fold(end, WINDOW, {("1", ""): one})
        at = (end - START) // WINDOW
        told += [at for change in report.changes if change.signal == "location"]
        back += [at for key in report.recovered if key[3] == "location"]
    return told, back


@pytest.mark.parametrize("seed", [0])
def test_what_would_not_begin_one_does_not_end_it(seed: int) -> None:
    (first, *_), _ = course(seed, (520, BETWEEN))
    assert first > 523, "half an hour at that level is no change"
    told, back = course(seed, (LEARNED, 0.5), (520, BETWEEN), (545, 0.0))
    assert told == [502]
    assert len(back) == 1
    assert back[0] >= 546, "hours at that level, and it goes on; then half an hour of quiet"
    assert back[0] <= 549
