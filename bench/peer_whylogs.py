"""whylogs over decoded records: whole frames, a row at a time, and a kept profile row by row.

Reads records as JSON lines, and prints seconds of CPU per record as JSON. Parsing and the making of
frames are not counted. ``why.log(row=...)`` makes a profile for every row; ``track`` on a profile
that is kept is what a service would do instead, so it is measured as well.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import orjson
import pandas as pd
import whylogs as why
from whylogs.core import DatasetProfile

FRAME = 10_000


def main() -> None:
    """Measure the three ways, each once warm."""
    lines = Path(sys.argv[1]).read_bytes().splitlines()
    rows = [orjson.loads(line)["features"] for line in lines]
    frames = [pd.DataFrame(rows[at : at + FRAME]) for at in range(0, len(rows), FRAME)]
    few, some = rows[: len(rows) // 200], rows[: len(rows) // 20]  # a row takes milliseconds
    kept = DatasetProfile()
    why.log(frames[0].head(100))
    why.log(row=rows[0])
    kept.track(row=rows[0])
    begun = time.process_time()
    for frame in frames:
        why.log(frame)
    framed = time.process_time() - begun
    begun = time.process_time()
    for row in few:
        why.log(row=row)
    logged = time.process_time() - begun
    begun = time.process_time()
    for row in some:
        kept.track(row=row)
    tracked = time.process_time() - begun
    found = {
        "frame": framed / len(rows),
        "row": logged / len(few),
        "track": tracked / len(some),
    }
    sys.stdout.write(orjson.dumps(found).decode() + "\n")


if __name__ == "__main__":
    main()
