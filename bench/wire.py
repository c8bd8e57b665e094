"""How large profiles are on the wire: bytes of encoded log records, as the worker produces them.

Loads of ``bench.records`` with 20 features, of which four are texts, go through decoder and windows
of one partition. Counted are the values of the profile records, without keys and compression; they
also hold the prediction and the score, which are not counted as features. Nothing here is timed,
and the same seed gives the same bytes, so one round is enough.
"""

from __future__ import annotations

from functools import cache, partial
from typing import NamedTuple

import numpy as np

from bench.records import Load, generate
from bench.runs import Bench, say
from consumer.batch import RawBatch
from consumer.borders import BorderRule
from consumer.closings import Place, log_records
from consumer.decoders import decoder_for
from consumer.log import ProfileRecord, encode
from consumer.profile_stage import PartitionProfiler
from consumer.rules import profile_rules_for
from consumer.settings import InputSettings, Settings

FEATURES = 20
TOPIC = "bench"
BATCH = 5_000
CASES = {1: 100, 10: 100, 100: 100, 1_000: 40, 20_000: 5}  # records of a window: windows


class Sizes(NamedTuple):
    """Bytes of a load and of what the log holds of it."""

    windows: int
    input: int
    profiles: int
    watermarks: int


def run(bench: Bench, *, quick: bool, rounds: int) -> dict[str, object]:
    """All sizes of windows; the numbers by name."""
    del bench, rounds
    say(f"profiles of {FEATURES} features, windows of 10 s\n")
    say(
        f"{'records':>8} {'windows':>8} {'input':>11} {'profiles':>10} {'per input byte':>15}"
        f" {'per feature, window':>20} {'watermarks':>11}"
    )
    found: dict[str, dict[str, float]] = {}
    for records, windows in CASES.items():
        sizes = _sizes(records, max(2, windows // 10) if quick else windows)
        row = found[str(records)] = {
            "windows": sizes.windows,
            "profile_bytes_per_input_byte": round(sizes.profiles / sizes.input, 4),
            "profile_bytes_per_feature_window": round(sizes.profiles / sizes.windows / FEATURES, 1),
            "watermark_bytes_per_window": round(sizes.watermarks / sizes.windows, 1),
        }
        say(
            f"{records:8} {sizes.windows:8} {sizes.input:11} {sizes.profiles:10}"
            f" {row['profile_bytes_per_input_byte']:15.4f}"
            f" {row['profile_bytes_per_feature_window']:20.1f} {sizes.watermarks:11}"
        )
    dense = found["1000"]["profile_bytes_per_feature_window"]
    return {"wire": found, "profile_bytes_per_feature_window": dense}


def _sizes(records: int, windows: int) -> Sizes:
    """Profile so many windows of so many records each."""
    one = InputSettings(name="bench", topics=(TOPIC,))
    settings = Settings(app="bench", inputs=(one,))
    decode = decoder_for(settings, one, TOPIC)
    profiler = PartitionProfiler(
        TOPIC,
        0,
        BorderRule(one.window, one.lateness, settings.limits.open_windows),
        cache(partial(profile_rules_for, settings)),
        0,
        None,
        settings.border_settings(one),
        settings.limits,
    )
    per_second = records * 1e6 / one.window
    load = list(generate(Load(records * windows, FEATURES, per_second=per_second)))
    for first in range(0, len(load), BATCH):
        some = load[first : first + BATCH]
        times = np.array([when for when, _ in some], np.int64) * 1_000
        offsets = np.arange(first, first + len(some))
        profiler.add(decode(RawBatch(TOPIC, 0, offsets, times, [value for _, value in some])))
    profiler.drain(profiler.position)
    place = Place("bench", TOPIC, 0, 1, one.window, 1)
    told = [record for closing in profiler.take() for _, _, record in log_records(closing, place)]
    profiles = [len(encode(record)) for record in told if isinstance(record, ProfileRecord)]
    whole = sum(len(encode(record)) for record in told)
    size = sum(len(value) for _, value in load)
    return Sizes(len(profiles), size, sum(profiles), whole - sum(profiles))
