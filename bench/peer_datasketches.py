"""Apache DataSketches' KLL sketches of floats, a new one per feature, updated by whole arrays.

Reads a chunk of records as JSON lines, and prints seconds of CPU per value as JSON. Parsing and the
conversion to contiguous 32-bit columns are not counted. The sketches have their default size, 200:
a rank error of about 1.3 %.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import datasketches
import numpy as np
import orjson

REPEATS = 20


def main() -> None:
    """Sketch every column, as often as it takes to measure it."""
    lines = Path(sys.argv[1]).read_bytes().splitlines()
    rows = [orjson.loads(line)["features"] for line in lines]
    names = [name for name, value in rows[0].items() if isinstance(value, float)]
    columns = [np.array([row[name] for row in rows], np.float32) for name in names]
    begun = 0.0
    for turn in range(REPEATS + 1):
        if turn == 1:
            begun = time.process_time()
        for column in columns:
            sketch = datasketches.kll_floats_sketch(200)
            sketch.update(column)
    took = time.process_time() - begun
    found = {"kll": took / REPEATS / len(rows) / len(names)}
    sys.stdout.write(orjson.dumps(found).decode() + "\n")


if __name__ == "__main__":
    main()
