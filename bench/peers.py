"""What others take for the same records, as multiples of what streamgauge takes.

Every peer runs ``bench/peer_<name>.py`` as a process of its own and reports CPU time; starting it,
reading the records and building its input (dicts, frames, arrays) are not counted. Peers see the
features alone, not a record's prediction and score, which streamgauge profiles as well.

- river's detectors are fed record by record, and compared with the whole worker on a real Kafka,
  from bytes to alerts, what its start costs on an empty topic subtracted.
- whylogs and Evidently get decoded records, and are compared with windows and profiles of batches
  that are decoded as well (``bench.stages``).
- DataSketches' KLL is compared with the histograms of the same values.

Peers other than river have environments of their own in ``.bench-peers``, made here when needed.
One that cannot be installed or does not run has ``None`` for its ratios.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import orjson

from bench.records import Load, generate
from bench.runs import Bench, say
from bench.stages import load_of, measured
from sketches.profile import CHUNK

FOLDER = Path(__file__).parents[1] / ".bench-peers"
ORJSON = "orjson==3.13.0"


class Environment(NamedTuple):
    """Packages of a peer, why they cannot stand beside ours, and how it keeps to itself."""

    packages: tuple[str, ...]
    why: str
    variables: Mapping[str, str]


ENVIRONMENTS = {
    "whylogs": Environment(
        ("whylogs==1.6.4", "pandas==2.3.3", "numpy==1.26.4", ORJSON),
        "It uses names that numpy 2 no longer has.",
        {"WHYLOGS_NO_ANALYTICS": "True"},
    ),
    "evidently": Environment(
        ("evidently==0.7.23", "pandas==2.3.3", "numpy==2.4.6", "scipy==1.17.1", ORJSON),
        "It uses names that pandas 3 no longer has, and brings a hundred packages along.",
        {"DO_NOT_TRACK": "1"},
    ),
    "datasketches": Environment(
        ("datasketches==5.2.0", "numpy==2.4.6", ORJSON),
        "Nothing but this comparison needs it.",
        {},
    ),
}


class River(NamedTuple):
    """Records of a comparison with river; it takes longer, so it gets fewer of them."""

    features: int
    worker: int
    river: int


RIVER = [River(20, 200_000, 10_000), River(100, 60_000, 2_000)]


def run(bench: Bench, *, quick: bool, rounds: int) -> dict[str, object]:
    """All comparisons; the ratios by name."""
    ratios = _Ratios()
    over_worker = _river(bench, ratios, quick=quick, rounds=rounds)
    say("")
    pythons = {name: _python(name, install=not quick) for name in ENVIRONMENTS}
    _profilers(bench, ratios, pythons, quick=quick, rounds=rounds)
    return {
        "river_over_worker": over_worker,
        "whylogs_frame_over_profile": ratios.median("whylogs frame"),
        "whylogs_row_over_profile": ratios.median("whylogs row"),
        "whylogs_track_over_profile": ratios.median("whylogs track"),
        "evidently_over_profile": ratios.median("evidently"),
        "datasketches_kll_over_histogram": ratios.median("kll"),
        "peers": ratios.rows,
    }


class _Ratios:
    """Costs of peers and of what they are compared with, round by round."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, float]] = {}

    def add(self, name: str, unit: str, theirs: Sequence[float], ours: Sequence[float]) -> None:
        """Print and keep a comparison; nothing if there is a round without it."""
        if not ours or len(theirs) != len(ours):
            return
        each = [their / our for their, our in zip(theirs, ours, strict=True)]
        row = self.rows[name] = {
            unit: round(statistics.median(theirs), 2),
            f"our_{unit}": round(statistics.median(ours), 2),
            "ratio": round(statistics.median(each), 2),
            "ratio_min": round(min(each), 2),
            "ratio_max": round(max(each), 2),
        }
        say(
            f"{name:>16} {row[unit]:10.2f} {unit}, ours {row[f'our_{unit}']:7.2f}"
            f" {row['ratio']:9.2f} x ({row['ratio_min']:.2f}-{row['ratio_max']:.2f})"
        )

    def median(self, name: str) -> float | None:
        """The ratio; None: it was not measured."""
        return self.rows[name]["ratio"] if name in self.rows else None


def _river(bench: Bench, ratios: _Ratios, *, quick: bool, rounds: int) -> dict[str, float | None]:
    """River over whole workers, cases in turn in every round."""
    cases = [River(20, 60_000, 5_000)] if quick else RIVER
    bench.fill("peers-empty", None)
    files = {}
    for case in cases:
        load = load_of(case.worker, case.features)
        bench.fill(f"peers-{case.features}", load)
        files[case.features] = _written(bench.folder, load, case.river)
    theirs: dict[int, list[float]] = {case.features: [] for case in cases}
    ours: dict[int, list[float]] = {case.features: [] for case in cases}
    for _ in range(rounds):
        start = bench.worker("peers-empty", 0)[0]
        for case in cases:
            cost, _ = bench.worker(f"peers-{case.features}", case.worker)
            ours[case.features].append((cost.cpu - start.cpu) / case.worker * 1e6)
            found = _peer("river", Path(sys.executable), files[case.features])
            theirs[case.features] += [found["river"] * 1e6] if found else []
    for features, values in theirs.items():
        ratios.add(f"river {features}", "us", values, ours[features])
    return {str(features): ratios.median(f"river {features}") for features in theirs}


def _profilers(
    bench: Bench,
    ratios: _Ratios,
    pythons: Mapping[str, Path | None],
    *,
    quick: bool,
    rounds: int,
) -> None:
    """Profilers beside windows and profiles, and sketches beside histograms, in every round."""
    rows = 2_000 if quick else 20_000
    load = load_of(2 * rows, 20)
    records = _written(bench.folder, load, rows)
    inputs = {
        "whylogs": records,
        "evidently": records,
        "datasketches": _written(bench.folder, load_of(CHUNK, 25), CHUNK),
    }
    theirs: dict[str, list[float]] = {name: [] for name in ("frame", "row", "track", "evidently")}
    kll: list[float] = []
    ours: list[float] = []
    histograms: list[float] = []
    working = {name: python for name, python in pythons.items() if python is not None}
    for _ in range(rounds):
        for name, python in list(working.items()):
            found = _peer(name, python, inputs[name])
            if found is None:
                del working[name]
                continue
            for key, seconds in found.items():
                if key == "kll":
                    kll.append(seconds * 1e9)
                else:
                    theirs[key].append(seconds * 1e6)
        mine = measured(load)
        ours.append(mine.costs["profile"])
        histograms.append(mine.histogram)
    for key, values in theirs.items():
        ratios.add(key if key == "evidently" else f"whylogs {key}", "us", values, ours)
    ratios.add("kll", "ns", kll, histograms)


def _written(folder: Path, load: Load, records: int) -> Path:
    """The first records of a load as a file of JSON lines."""
    path = folder / f"records-{load.features}-{records}.jsonl"
    path.write_bytes(b"\n".join(value for _, value in islice(generate(load), records)))
    return path


def _peer(name: str, python: Path, records: Path) -> dict[str, float] | None:
    """What a peer reports: seconds of CPU; None: it failed, and the reason has been printed."""
    script = Path(__file__).with_name(f"peer_{name}.py")
    variables = ENVIRONMENTS[name].variables if name in ENVIRONMENTS else {}
    # Isolated, or the modules of this folder would stand before those the peer imports.
    command = [str(python), "-I", str(script), str(records)]
    process = subprocess.run(
        command, env={**os.environ, **variables}, capture_output=True, text=True, check=False
    )
    if process.returncode:
        _not_peer(name, process.stderr)
        return None
    found: dict[str, float] = orjson.loads(process.stdout.splitlines()[-1])
    return found


def _python(name: str, *, install: bool) -> Path | None:
    """The interpreter of a peer's environment, made unless it is there with these packages."""
    folder, packages = FOLDER / name, ENVIRONMENTS[name].packages
    python, made = folder / "bin" / "python", folder / "made-of.txt"
    wanted = "\n".join((sys.version, *packages))
    if made.exists() and made.read_text() == wanted:
        return python
    if not install:
        _not_peer(name, "a quick run installs nothing")
        return None
    say(f"installing {' '.join(packages)}")
    shutil.rmtree(folder, ignore_errors=True)
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    for command in ([sys.executable, "-m", "venv", str(folder)], [*pip, *packages]):
        process = subprocess.run(command, capture_output=True, text=True, check=False)
        if process.returncode:
            _not_peer(name, process.stderr or process.stdout)
            return None
    made.write_text(wanted)
    return python


def _not_peer(name: str, reason: str) -> None:
    last = "\n    ".join(reason.strip().splitlines()[-5:])
    say(f"!!! {name.upper()} IS NOT MEASURED:\n    {last}")
