"""What the README shows of working with incidents: real commands over a real topic.

``make readme-incidents`` writes it, ``tests/integration/test_readme.py`` compares. The history is
one that a worker told of the flights of ``make demo``, the storm of 8 February 2013, in
``tests/data``; the profiles of its hours are made from the flights again.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import uuid
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from confluent_kafka import Producer

from alerts.events import Opened, Updated, from_message, hash_id, to_message
from alerts.lines import cut
from alerts.texts import incident_texts
from consumer.log import ProfileRecord, encode, log_key, log_partition
from demo import flights
from sketches import codec
from sketches.profile import profile_table
from sketches.table import Kind, Table

ROOT: Final = Path(__file__).parents[1]
README: Final = ROOT / "README.md"
HISTORY: Final = ROOT / "tests" / "data" / "flights-incident.jsonl"
BEGIN: Final = "<!-- make readme-incidents writes from here -->\n"
END: Final = "<!-- incidents to here -->\n"
PARTITIONS: Final = 2  # of the profiles log
HOUR: Final = timedelta(hours=1)
STORM: Final = datetime(2013, 2, 8, 16, tzinfo=UTC)

_CONFIG: Final = """\
app = "{app}"

[kafka]
"bootstrap.servers" = "{bootstrap}"

[topics]
profile_partitions = {partitions}
replication_factor = 1

[inputs.flights]
topics = ["flight-predictions"]
window = "1h"

[bridges.pager]
kind = "alertmanager"
url = "http://alertmanager:9093"
start = "earliest"
"""
_SAYS: Final = ("--by", "ana", "--why", "airports are closed")
_SILENCE: Final = ("silence", "--model", "flight-delay", "--cause", "missing")
COMMANDS: Final[tuple[tuple[str, ...], ...]] = (
    ("tail", "--from", "earliest", "--no-follow"),
    ("incidents",),
    ("incident", "66626862"),
    ("ack", "66626862", *_SAYS),
    (*_SILENCE, "--until", "2030-01-01", *_SAYS),
    ("bridge", "--dry-run"),
)
DRY: Final = 2  # lines of the last one, and so many characters of each
WIDTH: Final = 80


def shown(bootstrap: str, folder: Path) -> str:
    """The section, made over topics of its own.

    Args:
        bootstrap: Where Kafka is.
        folder: For the configuration.
    """
    app = f"readme-{uuid.uuid4().hex[:8]}"
    config = folder / "streamgauge.toml"
    config.write_text(_CONFIG.format(app=app, bootstrap=bootstrap, partitions=PARTITIONS))
    _run(config, "topics", "create")
    producer = Producer({"bootstrap.servers": bootstrap, "partitioner": "murmur2_random"})
    for event in history():
        key, value, headers = to_message(event, "streamgauge")
        producer.produce(f"{app}-alerts", value, key, headers=[*headers])
    at = log_partition(flights.TOPIC, flights.MODEL, PARTITIONS)
    for record in profiles():
        key = log_key(record.topic, record.model)
        producer.produce(f"{app}-profiles", encode(record), key, partition=at)
    if producer.flush(30):
        raise RuntimeError("Kafka did not take the incident")
    told = []
    for words in COMMANDS:
        asks = words[0] in ("ack", "silence")
        answer = _run(config, *words, *(("--id", hash_id(*words)) if asks else ()))
        said = [line.rstrip() for line in answer.replace(app, "streamgauge").splitlines()]
        if words[0] == "bridge":
            said = [cut(line, WIDTH) for line in said[:DRY]]
        told.append("\n".join([f"$ streamgauge {_line(words)}", *said]))
    return "```\n" + "\n\n".join(told) + "\n```\n"


def history() -> list[Opened | Updated]:
    """The events, in the words of the present code."""
    told = []
    for line in HISTORY.read_bytes().splitlines():
        event = from_message(line)
        if not isinstance(event, Opened | Updated):
            raise TypeError(f"{HISTORY} holds other events")
        summary, text = incident_texts(msgspec.structs.replace(event, summary="", text=""))
        told.append(msgspec.structs.replace(event, summary=summary, text=text))
    return told


def profiles() -> Iterator[ProfileRecord]:
    """Of the hours around the storm, all flights in one partition."""
    hours: defaultdict[datetime, list[tuple[flights.Flight, float | None]]] = defaultdict(list)
    log = flights.read()
    for flight, said in zip(log, flights.predictions(log), strict=True):
        if abs(flight.scheduled - STORM) < 24 * HOUR:
            hours[flight.scheduled.replace(minute=0) + HOUR].append((flight, said))
    for end, held in sorted(hours.items()):
        numbers = [[f.dep_delay, f.air_time, f.distance, said] for f, said in held]
        values = np.array(numbers, dtype=np.float64)
        kinds = np.where(np.isnan(values), Kind.NULL, Kind.NUMBER).astype(np.uint8)
        names = ("dep_delay", "air_time", "distance", "@prediction")
        table = Table(
            length=len(held),
            number_names=names,
            numbers=values,
            kinds=dict(zip(names, kinds.T, strict=True)),
            text_names=("carrier", "origin"),
            texts=([f.carrier for f, _ in held], [f.origin for f, _ in held]),
        )
        (payload,) = codec.encode(profile_table(table))
        at = round(end.timestamp() * 1e6)
        yield ProfileRecord(1, "w", flights.TOPIC, 0, at, flights.MODEL, "1", "", 0, 1, payload)


def rewritten(readme: str, section: str) -> str:
    """The README with this section."""
    before, mark, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not mark or not end:
        raise ValueError(f"README.md lacks {BEGIN.strip()} or {END.strip()}")
    return f"{before}{BEGIN}\n{section}\n{END}{after}"


def _run(config: Path, *words: str) -> str:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("STREAMGAUGE_")}
    done = subprocess.run(
        [sys.executable, "-m", "consumer", *words],
        cwd=config.parent,
        env=environment | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        timeout=60,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)}: {done.stderr.decode()}")
    return done.stdout.decode()


def _line(words: tuple[str, ...]) -> str:
    """As one writes it in a shell."""
    return " ".join(f'"{word}"' if re.search(r"[ *;]", word) else word for word in words)


def main() -> None:
    """Start Kafka, and write the section."""
    import tempfile  # noqa: PLC0415

    from tests.kafka_broker import Kafka  # noqa: PLC0415

    with Kafka() as kafka, tempfile.TemporaryDirectory() as folder:
        section = shown(kafka.bootstrap, Path(folder))
    README.write_text(rewritten(README.read_text(), section))


if __name__ == "__main__":
    main()
