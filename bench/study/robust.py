"""Row 10: values that are no numbers change nothing, nor does a restart."""

from __future__ import annotations

from typing import Any

import numpy as np

from alerts.events import to_message
from bench.study import incidents, raw, world
from bench.study.streams import START
from consumer.fold import Fold
from consumer.judging import MonitorJudges
from consumer.settings import Settings
from sketches.blocks import DAY
from sketches.table import Kind, Table

SHARE = 0.02  # of the values of every number


def not_finite(size: world.Size, kinds: list[str], seed: int) -> dict[str, Any]:
    """The same injections without and with NaN and infinities among the values."""
    clean = incidents.summed(size, tuple(kinds), seed)
    dirty = incidents.summed(size, tuple(kinds), seed, spoilt)
    return {"clean": clean, "spoilt": dirty}


def spoilt(table: Table, random: np.random.Generator) -> Table:
    """Some values of every number are NaN or infinite; a format that carries them marks them so."""
    for at in range(len(table.number_names)):
        rows = random.random(table.length) < SHARE
        table = world.emptied(table, at, rows, Kind.NON_FINITE)
    return table


def restarted(size: world.Size, kinds: list[str], seed: int) -> dict[str, Any]:
    """Whether events after a restart from saved state are the same, byte for byte, and how many."""
    scheduled = world.schedule(size, kinds, seed)
    log = list(raw.logged(world.windows(size, scheduled, seed), size.window))
    detection = Settings(app="study", learn_records=1).detection(START + size.days * DAY)
    whole, parts = [], []
    fold = Fold("study", detection, partition=0, partitions=1, judges=MonitorJudges("study"))
    for offset, record in enumerate(log):
        whole += [to_message(event, "study") for event in fold.apply(offset, record)]
    fold = Fold("study", detection, partition=0, partitions=1, judges=MonitorJudges("study"))
    stops = {len(log) * at // 8 for at in range(1, 8)}
    kept: dict[bytes, bytes] = {}
    for offset, record in enumerate(log):
        if offset in stops:
            kept |= dict(fold.snapshot(offset))
            fold, _ = Fold.restore("study", kept, judges=MonitorJudges("study"))
        parts += [to_message(event, "study") for event in fold.apply(offset, record)]
    return {"identical": whole == parts, "events": len(whole), "restarts": len(stops)}
