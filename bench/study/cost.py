"""Row 11: cores taken at 300 features and 100,000 records a second, windows of ten seconds."""

from __future__ import annotations

import statistics
from time import thread_time

import numpy as np

from bench import detect
from sketches.profile import CHUNK, profile_table
from sketches.table import Table

FEATURES, PER_SECOND, WINDOW = 300, 100_000, 10
TILES = 5  # chunks that are timed


def run(windows: int) -> dict[str, float]:
    """Shares of a core: of detection, and of profiles without decoding.

    Args:
        windows: Of detection that are timed.
    """
    learn = max(windows // 4, 20)
    cost = detect.folded(detect.Case(FEATURES, 500, learn, windows), seed=0)
    random = np.random.default_rng(0)
    names = tuple(f"amount_{at:03d}" for at in range(FEATURES))
    times = []
    for _ in range(TILES):
        values = np.round(random.normal(100.0, 10.0, (CHUNK, FEATURES)), 4)
        begun = thread_time()
        profile_table(Table(CHUNK, names, values))
        times.append(thread_time() - begun)
    return {
        "detection": statistics.median(cost.windows) / WINDOW,
        "aggregation": statistics.median(times) / CHUNK * PER_SECOND,
    }
