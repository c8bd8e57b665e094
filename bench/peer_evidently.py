"""Evidently's DataDriftPreset: the second half of the records compared with the first half.

Reads records as JSON lines, and prints seconds of CPU per current record as JSON. Parsing and the
making of frames are not counted, nor is any report written.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import orjson
import pandas as pd
from evidently import Report
from evidently.presets import DataDriftPreset


def main() -> None:
    """Compare once to warm up, then once more."""
    lines = Path(sys.argv[1]).read_bytes().splitlines()
    frame = pd.DataFrame([orjson.loads(line)["features"] for line in lines])
    half = len(frame) // 2
    reference, current = frame[:half].copy(), frame[half:].reset_index(drop=True)
    Report([DataDriftPreset()]).run(current.head(1_000), reference.head(1_000))
    begun = time.process_time()
    found = Report([DataDriftPreset()]).run(current, reference).dict()
    took = time.process_time() - begun
    if len(found["metrics"]) <= len(frame.columns):
        raise SystemExit("a column was not compared")
    sys.stdout.write(orjson.dumps({"evidently": took / len(current)}).decode() + "\n")


if __name__ == "__main__":
    main()
