"""``make demo-verify``: the demo's records replayed without Kafka give the same alert events."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

OUT = Path("demo-out")


def main() -> int:
    """Replay and compare; exit status."""
    records = sorted(OUT.glob("partition-*.jsonl.gz"))
    if not records:
        sys.stderr.write("there is nothing to compare: run make demo first\n")
        return 2
    replayed = OUT / "replayed.jsonl"
    subprocess.run(
        [
            sys.executable,
            "-m",
            "consumer",
            "replay",
            "-c",
            str(OUT / "streamgauge.toml"),
            "--out",
            str(replayed),
            *map(str, records),
        ],
        check=True,
    )
    live = sorted((OUT / "alerts.jsonl").read_bytes().splitlines())
    again = sorted(replayed.read_bytes().splitlines())
    if live != again:
        only_live = len(set(live) - set(again))
        only_again = len(set(again) - set(live))
        sys.stdout.write(
            f"DIFFERENT: {only_live} events were only seen live, {only_again} only in the replay\n"
        )
        return 1
    sys.stdout.write(f"the same {len(live)} events, byte for byte\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
