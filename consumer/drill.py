"""``streamgauge test-alert``: an alert that is none, and whether every bridge took it."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Final

from alerts import drill
from alerts.alertmanager import is_test
from alerts.board import matches
from alerts.events import Opened, Resolved, to_message
from alerts.read import incidents
from consumer.alert_reader import alert_partitions
from consumer.durations import to_microseconds
from consumer.kafka import Admin, Partition, Scan, Writer
from consumer.settings import Settings
from consumer.settings_bridges import BridgeSettings
from consumer.tail import alert_messages
from sketches.detection import Severity

TAKEN_WITHIN: Final = 30.0  # seconds
_LOOK_EVERY: Final = 0.2  # seconds


class Drill:
    """One test after the other; ``say`` is told what happens.

    Args:
        settings: Whose topic and bridges are tried.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._admin = Admin(settings.kafka)
        self._partitions = alert_partitions(settings, self._admin)
        self.passed = True

    def begin(self, model: str, severity: Severity, labels: Mapping[str, str]) -> Opened:
        """Write the beginning of a test to the topic."""
        event = drill.opened(self._settings.app, model, severity, labels, _now(), uuid.uuid4().hex)
        self._write(event)
        return event

    def end(self, test: Opened) -> Resolved:
        """Write the end of a test to the topic."""
        event = drill.resolved(test, _micro(test.onset), _now())
        self._write(event)
        return event

    def unfinished(self) -> list[Opened]:
        """Tests on the topic that have no end."""
        last = incidents(alert_messages(self._settings, "earliest", follow=False))
        return [one for one in last.values() if isinstance(one, Opened) and is_test(one)]

    def taken(self, event: Opened | Resolved) -> Iterator[str]:
        """Wait until every bridge has done with what is on the topic now; a line for each."""
        topic = self._settings.alerts_topic
        ends = self._admin.offsets(
            {(topic, number): "latest" for number in range(self._partitions)}
        )
        begun = time.monotonic()
        for bridge in self._settings.bridges.values():
            if not matches(bridge.routes, event):
                yield f"skip  {bridge.name}: its routes do not let this one through"
                continue
            yield self._waited(bridge, event, ends, begun)

    def _waited(
        self,
        bridge: BridgeSettings,
        event: Opened | Resolved,
        ends: Mapping[Partition, int],
        begun: float,
    ) -> str:
        scan = Scan(self._settings.kafka, {}, bridge.group(self._settings.group))
        pause = threading.Event()
        try:
            while True:
                commits = scan.committed(list(ends))
                done = {place: commit[0] for place, commit in commits.items() if commit}
                if all(done.get(place, -1) >= end for place, end in ends.items() if end):
                    break
                if time.monotonic() - begun > TAKEN_WITHIN:
                    self.passed = False
                    hint = "its log says why" if done else "is streamgauge bridge running?"
                    return f"FAIL  {bridge.name}: not taken within {TAKEN_WITHIN:g} s; {hint}"
                pause.wait(_LOOK_EVERY)
        finally:
            scan.close()
        if any(commit is not None and commit[1] == event.id for commit in commits.values()):
            self.passed = False
            return f"FAIL  {bridge.name}: the target refused it; the bridge's log says why"
        return f"ok    {bridge.name}: taken after {time.monotonic() - begun:.1f} s"

    def _write(self, event: Opened | Resolved) -> None:
        writer = Writer(self._settings.kafka)
        try:
            key, value, headers = to_message(event, self._settings.app)
            writer.produce(self._settings.alerts_topic, None, key, value, headers)
            writer.flush(TAKEN_WITHIN)
        finally:
            writer.close()


def _now() -> int:
    return time.time_ns() // 1_000


def _micro(time: str) -> int:
    return to_microseconds(datetime.fromisoformat(time))
