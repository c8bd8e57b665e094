from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
DETECTORS = {"river", "scipy", "pandas", "sklearn"}


def loaded_by(program: str) -> set[str]:
    """Modules that a program of its own has loaded in the end."""
    done = subprocess.run(
        [sys.executable, "-c", f"{program}; import sys; print(*sys.modules)"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.split())


def test_tail_loads_no_detector() -> None:
    loaded = {name.split(".")[0] for name in loaded_by("import consumer.tail")}
    assert not loaded & DETECTORS


def test_starting_the_command_line_loads_no_library_for_data_or_pretty_output() -> None:
    loaded = {name.split(".")[0] for name in loaded_by("import consumer.cli")}
    assert not loaded & (DETECTORS | {"numpy", "confluent_kafka", "rich"})


def test_of_river_only_the_core_is_loaded() -> None:
    loaded = loaded_by("from sketches.detectors import Bank; Bank(1, 9.0, 0.01)")
    rivers = {name for name in loaded if name.startswith("river.")}
    assert all(name.startswith("river._") for name in rivers)
    assert not loaded & (DETECTORS - {"river"})
