"""river's ADWIN and PageHinkley, with their defaults, fed every value of every number feature.

Reads records as JSON lines, and prints seconds of CPU per record as JSON. Parsing is not counted.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import orjson
from river import drift


def main() -> None:
    """Update the detectors record by record."""
    lines = Path(sys.argv[1]).read_bytes().splitlines()
    rows = [orjson.loads(line)["features"] for line in lines]
    numbers = [name for name, value in rows[0].items() if isinstance(value, float)]
    river: Any = drift  # half of it is typed
    detectors = [(name, river.ADWIN(), river.PageHinkley()) for name in numbers]
    begun = time.process_time()
    for row in rows:
        for name, adwin, page_hinkley in detectors:
            value = row[name]
            adwin.update(value)
            page_hinkley.update(value)
    took = time.process_time() - begun
    sys.stdout.write(orjson.dumps({"river": took / len(rows)}).decode() + "\n")


if __name__ == "__main__":
    main()
