"""``make readme``: the README's section on cost, written from ``bench/results.json``."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from bench import end_to_end

ROOT = Path(__file__).parents[1]
README, RESULTS = ROOT / "README.md", ROOT / "bench" / "results.json"
CASES = {case.key: case for case in end_to_end.CASES}
BEGIN, END = "<!-- make readme writes from here -->\n", "<!-- to here -->\n"


def section(found: Mapping[str, Any]) -> str:
    """The section, from the results."""
    versions = ", ".join(f"{name} {number}" for name, number in found["versions"].items())
    rows = [
        *_cost(found),
        *_peers(found),
        (
            "detection, 100 numbers, all their signals, one window",
            f"{found['detect_ms_per_window']} ms",
        ),
        ("a week of 10 s windows caught up (100 features)", f"{found['week_catch_up_s']} s"),
        *[
            (f"peak memory, models x features {key.replace('x', ' x ')}", f"{megabytes:.0f} MB")
            for key, megabytes in found["rss_mb"].items()
        ],
        (f"memory under load for {found.get('soak_minutes', 0):g} minutes", _slope(found)),
        *_backlog(found),
        (
            "profiles on the wire",
            f"{found['profile_bytes_per_feature_window']:.0f} bytes a feature and window",
        ),
        (
            "CPU a record with 2 and 4 processes, heartbeats each 0.3 s",
            _both(found["cpu_scaling"], " x that of 1"),
        ),
        ("speed of 2 and 4 processes", _both(found["wall_scaling"], " x that of 1")),
        ("restart with 10,000 features to the first new alert", f"{found['restart_s']} s"),
        *_delay(found),
        ("histogram", f"{found['histogram_ns_per_value']} ns a value"),
    ]
    table = "".join(f"| {what} | {figure} |\n" for what, figure in rows)
    return (
        f"Measured at commit {found['commit']} on {found['date']}, {found['cores']} shared cores, "
        f"{versions}; medians of rounds: {_rounds(found)}.\n\n"
        f"| what | figure |\n|---|---|\n{table}"
    )


def _rounds(found: Mapping[str, Any]) -> str:
    """How many rounds each part had, the most first."""
    of = found["rounds"]
    parts = {
        n: [part for part in of if of[part] == n] for n in sorted({*of.values()}, reverse=True)
    }
    told = (f"{n} of {', '.join(names).replace('_', ' ')}" for n, names in parts.items())
    return "; ".join(told)


def _delay(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    delay = found.get("alert_delay_s")
    if delay is None:
        return []
    late = found["alert_delay_lateness_s"]
    figure = f"{delay['p50']} s in the middle, {delay['p99']} s in 99 % of {delay['alerts']}"
    return [
        (
            "end of the deciding window to the readable alert, live",
            f"{figure}; {late:g} s of it wait for late records",
        )
    ]


def _cost(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [
        (
            f"worker / floor, CPU, {_case(key)}",
            f"{row['ratio']} ({row['ratio_min']} to {row['ratio_max']}); the floor takes "
            f"{row['floor_us']} us a record",
        )
        for key, row in found["end_to_end"].items()
    ]


def _case(key: str) -> str:
    case = CASES[key]
    models = f"{case.models} models mixed" if case.models > 1 else "1 model"
    return (
        f"{case.features} features, {models}, {case.per_second:,.0f} records/s, {case.compression}"
    )


def _peers(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    profile = "profiling, decoding not counted"
    rows = [
        *[
            (f"river's ADWIN and Page-Hinkley at {key} features / whole worker", ratio)
            for key, ratio in found["river_over_worker"].items()
        ],
        (f"whylogs, DataFrame / {profile}", found["whylogs_frame_over_profile"]),
        (f"whylogs, a profile for each row / {profile}", found["whylogs_row_over_profile"]),
        (f"whylogs, row by row into one / {profile}", found["whylogs_track_over_profile"]),
        (f"Evidently's drift preset / {profile}", found["evidently_over_profile"]),
    ]
    return [(what, "not measured" if ratio is None else _short(ratio)) for what, ratio in rows]


def _short(ratio: float) -> str:
    return f"{ratio:,.0f}" if ratio >= 100 else f"{ratio:.3g}"


def _both(ratios: Mapping[str, float | None], unit: str) -> str:
    told = (
        "not measured: too few cores" if ratio is None else f"{ratio}{unit}"
        for ratio in ratios.values()
    )
    return ", ".join(told)


def _slope(found: Mapping[str, Any]) -> str:
    slope = found["soak_mb_per_hour"]
    if slope is None:
        return "not measured"
    error, measured = found["soak_mb_per_hour_error"], found["soak_commit"]
    return f"{slope:+} MB/hour, standard error {error} (commit {measured})"


def _backlog(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    taken = found.get("backlog")
    if taken is None:
        return []
    held = "held by a control group" if taken["limit"] == "control group" else "watched"
    return [
        (
            f"{taken['records'] / 1e6:g} million records wait for a worker that may take "
            f"{taken['limit_mb']} MB ({held})",
            f"all read in {taken['seconds']:.0f} s, peak {taken['peak_mb']:.0f} MB "
            f"(commit {taken['commit']})",
        )
    ]


def rewritten(readme: str, found: Mapping[str, Any]) -> str:
    """The README with the section as the results have it."""
    before, rest = readme.split(BEGIN)
    _, after = rest.split(END)
    return before + BEGIN + "\n" + section(found) + "\n" + END + after


def main() -> int:
    """Rewrite the README."""
    README.write_text(rewritten(README.read_text(), orjson.loads(RESULTS.read_bytes())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
