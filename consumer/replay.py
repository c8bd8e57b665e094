"""Both stages over files or topic ranges, through an in-memory log: the same code, no broker."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from alerts.events import Opened, to_message
from sketches.given import GivenBaseline

from .decoders import decoder_for
from .fold import Fold
from .given_baselines import to_records
from .inputs import InputPartition
from .judging import MonitorJudges
from .log import LogRecord, ProfileRecord, WatermarkRecord
from .replay_inputs import ReplayError, Source, log_records, open_sources, stand_in_times
from .settings import Settings
from .start import Start

__all__ = ["Replay", "ReplayError", "Summary", "run"]

BATCH = 5_000


@dataclass
class Summary:
    """What a replay did."""

    records: int = 0
    rejects: int = 0
    late: int = 0
    windows: int = 0
    events: int = 0
    opened: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    def lines(self) -> list[str]:
        """For a person."""
        severities = ", ".join(f"{n} {name}" for name, n in sorted(self.opened.items())) or "none"
        return [
            f"records   {self.records:,}",
            f"rejects   {self.rejects:,}",
            f"late      {self.late:,}",
            f"windows   {self.windows:,}",
            f"incidents {sum(self.opened.values())} ({severities})",
            f"events    {self.events}",
            f"time      {self.seconds:.1f} s",
        ]


class Replay:
    """Folds of an in-memory log and a count of what went through."""

    def __init__(self, settings: Settings, out: TextIO, learn_until: int | None) -> None:
        self._settings = settings
        self._detection = settings.detection(learn_until)
        self._out = out
        self._folds: dict[int, Fold] = {}
        self._offset = 0
        self._windows: set[tuple[str, int]] = set()
        self.summary = Summary()

    def give(self, baseline: GivenBaseline, topics: Iterable[str]) -> None:
        """What ``baseline publish`` does, before anything else is read."""
        for topic in topics:
            for record in to_records(baseline, topic, "replay"):
                self.fold(0, 1, self._offset, record)
                self._offset += 1

    def fold(self, partition: int, partitions: int, offset: int, record: LogRecord) -> None:
        """Fold one record of the log and write the events that follow."""
        self._count(record)
        fold = self._folds.get(partition)
        if fold is None:
            fold = self._folds[partition] = Fold(
                self._settings.app,
                self._detection,
                partition=partition,
                partitions=partitions,
                judges=MonitorJudges(self._settings.app),
            )
        for event in fold.apply(offset, record):
            _, value, _ = to_message(event, self._settings.app)
            self._out.write(value.decode() + "\n")
            self.summary.events += 1
            if isinstance(event, Opened):
                self.summary.opened[event.severity] += 1

    def _count(self, record: LogRecord) -> None:
        if isinstance(record, WatermarkRecord):
            self.summary.records += record.records
            self.summary.rejects += sum(record.rejects.values())
            self.summary.late += record.late
        elif isinstance(record, ProfileRecord):
            self._windows.add((record.topic, record.end))
            self.summary.windows = len(self._windows)

    def run(self, sources: list[Source], show: Callable[[Source], None]) -> None:
        """Read all sources, the one furthest behind in event time first, and close what is open."""
        counts = Counter(source.topic for source in sources)
        pairs = [(source, self._input(source)) for source in sources]
        going = list(pairs)
        while going:
            source, part = min(going, key=lambda pair: pair[1].newest())
            raw = source.read(BATCH)
            if raw is None:
                going.remove((source, part))
                continue
            part.feed(raw)
            part.take_rejects()
            self._publish(part, counts[source.topic])
            show(source)
        for source, part in pairs:
            decision = part.drain()
            if decision is not None:
                part.act(decision)
            self._publish(part, counts[source.topic])

    def _input(self, source: Source) -> InputPartition:
        one = self._settings.input_for(source.topic)
        assert one is not None  # noqa: S101 - open_sources has made sure
        decode = stand_in_times(decoder_for(self._settings, one, source.topic))
        begin = Start(source.start, None)
        return InputPartition(self._settings, source.topic, source.partition, begin, decode)

    def _publish(self, part: InputPartition, partitions: int) -> None:
        produced = part.take_records("replay", partitions, 1)
        for _, _, record in (*produced.profiles, *produced.watermarks):
            self.fold(0, 1, self._offset, record)
            self._offset += 1


def run(
    settings: Settings,
    inputs: list[str],
    out: Path | None,
    *,
    baseline_until: datetime | None = None,
    baselines: Sequence[GivenBaseline] = (),
    log: bool = False,
    quiet: bool = False,
) -> int:
    """Replay ``inputs``, write the events to ``out`` (None or ``-``: standard output).

    ``baselines`` hold from the beginning, as if published before the first record.
    """
    begun = time.monotonic()
    until = None if baseline_until is None else int(baseline_until.timestamp() * 1_000_000)
    to_stdout = out is None or str(out) == "-"
    sink = sys.stdout if to_stdout else Path(str(out)).open("w", encoding="utf-8")  # noqa: SIM115
    try:
        replay = Replay(settings, sink, until)
        with _progress(quiet) as progress:
            if log:
                task = progress.add_task("log", total=None)
                for found in log_records(settings, inputs):
                    replay.fold(*found)
                    progress.advance(task)
            else:
                sources = open_sources(settings, inputs)
                for baseline in baselines:
                    replay.give(baseline, sorted({source.topic for source in sources}))
                tasks = {id(each): progress.add_task(each.name, total=1.0) for each in sources}
                replay.run(
                    sources,
                    lambda each: progress.update(tasks[id(each)], completed=each.share() or 0.0),
                )
    finally:
        if not to_stdout:
            sink.close()
    replay.summary.seconds = time.monotonic() - begun
    if not quiet:
        sys.stderr.write("\n".join(replay.summary.lines()) + "\n")
    return 0


def _progress(quiet: bool) -> Progress:
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
    )
    return Progress(
        *columns, console=console, disable=quiet or not console.is_terminal, transient=True
    )
