"""How long after the end of the deciding window an alert can be read, live.

A worker reads a topic that is written in real time; at a time of its own each model's first feature
jumps by 5 sd. The broker's clock stamps every event as it is appended; the event says at which
window it was decided. The wait for the window is not in the figure, that for late records is.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import numpy as np
import orjson
from confluent_kafka import Producer

from bench.runs import Bench, say
from consumer.kafka import Admin
from consumer.scan import read_range
from consumer.settings import load

WINDOW: Final = 1.0  # seconds
LATENESS: Final = 1.0
PER_SECOND: Final = 2_000  # records, over all models
_MICROSECONDS: Final = 1e6


def run(bench: Bench, *, quick: bool, rounds: int) -> dict[str, object]:
    """Median and 99 % of the delay in seconds."""
    del rounds  # one run has an alert of every model
    models, learn, seconds = (6, 8.0, 26.0) if quick else (50, 40.0, 100.0)
    bench.fill("delay", None)
    app, config = bench.app("delay")
    settings = {
        "inputs.bench.window": f"{WINDOW:g}s",
        "inputs.bench.lateness": f"{LATENESS:g}s",
        "learn_for": f"{learn:g}s",
        "learn_records": "500",
    }
    flags = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
    command = [sys.executable, "-m", "consumer", "run", "-c", str(config), *flags]
    worker = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _feed(bench, models, learn, seconds)
        delays = _delays(config, models, 10.0 if quick else 30.0)
    finally:
        worker.terminate()
        worker.wait(30)
    if not delays or (len(delays) < models // 2 and not quick):
        say(f"only {len(delays)} of {models} models had an incident: no figure")
        return {"alert_delay_s": None, "alert_delay_lateness_s": LATENESS}
    half, most = statistics.median(delays), float(np.quantile(delays, 0.99))
    say(
        f"{len(delays)} of {models} models told: {half:.2f} s after the window in the middle, "
        f"{most:.2f} s in 99 %; {LATENESS:g} s of it wait for late records ({app})"
    )
    return {
        "alert_delay_s": {"p50": round(half, 3), "p99": round(most, 3), "alerts": len(delays)},
        "alert_delay_lateness_s": LATENESS,
    }


def _feed(bench: Bench, models: int, learn: float, seconds: float) -> None:
    """Write in real time; the models jump one after the other once all have learned."""
    rng = np.random.default_rng(7)
    client = {"bootstrap.servers": bench.bootstrap, "linger.ms": 5, "enable.idempotence": True}
    producer = Producer(client)
    first = 2 * learn + 3 * WINDOW
    jumps = np.linspace(min(first, 0.7 * seconds), 0.8 * seconds, models).tolist()
    begun = time.time()
    number = 0
    while (now := time.time()) - begun < seconds:
        due = int((now - begun) * PER_SECOND)
        values = rng.standard_normal((max(due - number, 0), 4))
        for row in values.tolist():
            model = number % models
            if now - begun >= jumps[model]:
                row[0] += 5.0
            record = {
                "event_time": int(now * 1000),
                "model": f"m{model}",
                "version": "1",
                "features": dict(zip("abcd", row, strict=True)),
            }
            producer.produce("delay", orjson.dumps(record), partition=number // models % 4)
            number += 1
        producer.poll(0.01)
    producer.flush(30)


def _delays(config: Path, models: int, patience: float) -> list[float]:
    """Seconds from the end of the deciding window to the event, of each model's first incident."""
    settings = load(config, environ={})
    admin = Admin(settings.kafka)
    found: dict[str, float] = {}
    deadline = time.monotonic() + patience
    while len(found) < models and time.monotonic() < deadline:
        for number in range(admin.topics().get(settings.alerts_topic, 0)):
            place = settings.alerts_topic, number
            low, high = (admin.offsets({place: end})[place] for end in ("earliest", "latest"))
            for raw in read_range(settings.kafka, place, low, high):
                for when, value in zip(raw.timestamps.tolist(), raw.values, strict=True):
                    event = orjson.loads(value or b"{}")
                    if event.get("type") == "opened":
                        decided = np.datetime64(event["time"][:-1], "us").astype(np.int64)
                        delay = (when - int(decided)) / _MICROSECONDS
                        found.setdefault(event["model"], delay)
        time.sleep(0.2)
    return list(found.values())
