"""One event of every type, and the file that keeps what this release writes of them.

``python -m tests.golden_events`` (``make contract``) writes it anew where the contract grew; files
of earlier releases stay as they are.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

from alerts.commands import Command, event_of
from alerts.events import Event, encode
from alerts.notices import data_back, data_loss, heartbeat, limit_reached, no_data
from tests.alert_reports import HOUR, MINUTE, T0, Told, change, missing

DATA = Path(__file__).parent / "data"
NEWEST = DATA / "events-0.2.jsonl"


def every_type() -> list[Event]:
    told = Told()
    fall = change()
    told.say(T0 + 10 * MINUTE, fall)
    told.say(T0 + HOUR, missing("age"))
    told.say(T0 + 2 * HOUR, recovered=(fall,), settled=(missing("age"),))
    loss = SimpleNamespace(
        topic="predictions",
        partition=3,
        reason="offsets",
        time=T0,
        start=100,
        stop=250,
        since=None,
        until=None,
        expected=None,
        found=None,
    )
    return [
        *told.events,
        no_data("app", "predictions", "credit-risk", T0, T0 + 10 * MINUTE),
        data_back("app", "predictions", "credit-risk", T0, T0 + HOUR),
        data_loss("app", loss),
        limit_reached("app", "predictions", "versions", None),
        event_of("app", Command("0" * 20, "silence", T0, "ann", "a migration", until=T0 + HOUR)),
        heartbeat("app", "predictions", 0, T0, HOUR, 3, 1),
    ]


def written() -> bytes:
    return b"".join(encode(event) + b"\n" for event in every_type())


if __name__ == "__main__":
    NEWEST.write_bytes(written())
