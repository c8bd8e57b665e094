"""What the latest records of a topic look like through the decoder, for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from consumer.batch import NO_TIME, Batch, RawBatch
from consumer.durations import DAY, HOUR, MINUTE, SECOND, format_duration, format_time
from consumer.findings import Finding
from consumer.settings import InputSettings
from sketches.table import LABEL, LATENCY, PREDICTION, SCORE

FEWEST = 4  # records per profile; below this, profiles cost more than the records themselves
AHEAD, BEHIND = 5 * MINUTE, 30 * DAY  # of event time to Kafka's time, beyond which units look wrong
_WINDOWS = (10 * SECOND, MINUTE, 10 * MINUTE, HOUR, 6 * HOUR, DAY)
_PARTS = {PREDICTION: "prediction", SCORE: "score", LABEL: "label", LATENCY: "latency"}


@dataclass(frozen=True, slots=True)
class Sample:
    """Decoded records of one topic, counted.

    Attributes:
        records: Records read, rejected ones included.
        without_time: Readable ones without an event time of their own.
        newest: Latest event time, microseconds; None: none has one.
        shift: Median of event time minus Kafka's time, microseconds; None likewise.
        keys: (model, version, segment) -> records.
        numbers: Names of numeric features.
        texts: Names of features with texts or booleans.
        parts: Which of prediction, score, label and latency were found.
        errors: Records that say that the prediction failed.
        rejects: (reason, detail) -> records.
        per_profile: Window -> records per profile, for the configured window and longer ones.
        window: The configured window.
        mapped: The path configured for event time.
    """

    records: int
    without_time: int
    newest: int | None
    shift: int | None
    keys: Counter[tuple[str, str, str]]
    numbers: tuple[str, ...]
    texts: tuple[str, ...]
    parts: tuple[str, ...]
    errors: int
    rejects: Counter[tuple[str, str]]
    per_profile: dict[int, float]
    window: int
    mapped: str | None

    def findings(self, subject: str, partitions: int) -> Iterator[Finding]:
        """What a person should know about the topic."""
        where = f"{partitions} partition{'' if partitions == 1 else 's'}"
        if not self.records:
            text = f"{where}, no record yet: how its fields are read cannot be shown"
            yield Finding("warn", subject, text, "send some records and check again")
            return
        readable = self.records - self.rejects.total()
        text = f"{where}; {readable} of the {self.records} latest records can be read"
        if not readable:
            do = "see the reasons above; is it the right topic, and is it JSON?"
            yield Finding("FAIL", subject, text, do, self._reasons())
            return
        yield Finding("ok", subject, text, more=self._mapping())
        if self.rejects:
            text = f"{self.rejects.total()} of {self.records} records would be rejected"
            do = "they are counted and go to the rejects topic"
            yield Finding("warn", subject, text, do, self._reasons())
        if not self.numbers and not self.texts:
            do = "map fields.features to the object that holds them, or to a list of paths"
            yield Finding("warn", subject, "no features were found", do)
        yield from self._doubtful_times(subject)
        yield from self._volume(subject)

    def _reasons(self) -> tuple[str, ...]:
        return tuple(
            f"{count} x {reason}{': ' if detail else ''}{plain(detail)}"
            for (reason, detail), count in self.rejects.most_common(5)
        )

    def _mapping(self) -> tuple[str, ...]:
        timed = self.records - self.rejects.total() - self.without_time
        if self.newest is None:
            time = "Kafka's timestamp (no event time in the records)"
        else:
            time = f"from {self.mapped or 'the usual field'} in {timed} records"
            time += f", newest {format_time(self.newest)}"
        models = (
            " ".join(filter(None, (model, version and f"version {version}", segment)))
            for (model, version, segment), _ in self.keys.most_common(5)
        )
        more = "" if len(self.keys) <= 5 else f", and {len(self.keys) - 5} more"
        missing = [part for part in _PARTS.values() if part not in self.parts]
        return (
            f"model       {plain(', '.join(models))}{more}",
            f"event time  {time}",
            f"numbers     {_names(self.numbers)}",
            f"texts       {_names(self.texts)}",
            f"found       {', '.join(self.parts) or 'none'}"
            + (f"; not found: {', '.join(missing)}" if missing else "")
            + (f"; {self.errors} failed predictions" if self.errors else ""),
        )

    def _doubtful_times(self, subject: str) -> Iterator[Finding]:
        if self.mapped is not None and self.without_time:
            text = f"{self.without_time} records have no time that can be read at {self.mapped}"
            do = "check fields.event_time; Kafka's timestamp is used for these records"
            yield Finding("warn", subject, text, do)
        if self.shift is not None and not -BEHIND <= self.shift <= AHEAD:
            side = "after" if self.shift > 0 else "before"
            text = f"event times are {_about(abs(self.shift))} {side} Kafka's time"
            do = "check fields.event_time_unit, unless these are old records sent again"
            yield Finding("warn", subject, text, do)

    def _volume(self, subject: str) -> Iterator[Finding]:
        now = self.per_profile[self.window]
        if now >= FEWEST:
            return
        enough = [window for window, n in self.per_profile.items() if n >= FEWEST]
        better = min(enough, default=max(self.per_profile))
        text = (
            f"a window of {format_duration(self.window)} holds about {now:.1f} records of a "
            "partition and model: profiles would take more room than the records"
        )
        do = (
            f'set window = "{format_duration(better)}" for this input'
            if better > self.window
            else ""
        )
        yield Finding("warn", subject, text, do if better > self.window else "")


def describe(batches: Sequence[Batch], raw: Sequence[RawBatch], one: InputSettings) -> Sample:
    """Count what a decoder made of the latest records of a topic.

    Args:
        batches: Decoded batches.
        raw: The batches they were decoded from, in the same order.
        one: The input's settings.
    """
    keys: Counter[tuple[str, str, str]] = Counter()
    rejects: Counter[tuple[str, str]] = Counter()
    numbers: dict[str, None] = {}
    texts: dict[str, None] = {}
    profiles: dict[int, set[object]] = {w: set() for w in _WINDOWS if w > one.window}
    profiles[one.window] = set()
    shifts: list[int] = []
    newest: int | None = None
    readable = without = errors = 0
    for batch, read in zip(batches, raw, strict=True):
        rejects.update((reject.reason, reject.detail) for reject in batch.rejects)
        for group in batch.groups:
            own = batch.times[group.rows]
            known = own != NO_TIME
            stamps = batch.timestamps[group.rows]
            times = np.where(known, own, stamps)
            readable += len(own)
            without += int(np.count_nonzero(~known))
            if known.any():
                newest = max(newest or NO_TIME, int(own[known].max()))
                shifts.extend((own[known] // 2 - stamps[known] // 2).tolist())  # no overflow
            errors += 0 if group.table.errors is None else int(group.table.errors.sum())
            keys[tuple(group.key)] += len(own)  # type: ignore[index]
            numbers |= dict.fromkeys(group.table.number_names)
            texts |= dict.fromkeys(group.table.text_names + group.table.word_names)
            for window, seen in profiles.items():
                seen.update((read.partition, group.key, k) for k in (times // window).tolist())
    return Sample(
        records=readable + rejects.total(),
        without_time=without,
        newest=newest,
        shift=2 * int(np.median(shifts)) if shifts else None,
        keys=keys,
        numbers=tuple(name for name in numbers if name not in _PARTS),
        texts=tuple(name for name in texts if name not in _PARTS),
        parts=tuple(part for name, part in _PARTS.items() if name in numbers or name in texts),
        errors=errors,
        rejects=rejects,
        per_profile={w: readable / max(1, len(seen)) for w, seen in sorted(profiles.items())},
        window=one.window,
        mapped=one.fields.event_time,
    )


def plain(text: str, limit: int = 200) -> str:
    """A text out of records, fit for a terminal: one line, no control characters."""
    shown = "".join(c if c.isprintable() else "?" for c in text)
    return shown if len(shown) <= limit else f"{shown[: limit - 3]}..."


def _names(names: Sequence[str]) -> str:
    if not names:
        return "none"
    more = f", and {len(names) - 12} more" if len(names) > 12 else ""
    return f"{len(names)}: {plain(', '.join(names[:12]))}{more}"


def _about(microseconds: int) -> str:
    for unit, name in ((365 * DAY, "years"), (DAY, "days"), (HOUR, "hours"), (MINUTE, "minutes")):
        if microseconds >= 2 * unit:
            return f"{microseconds // unit} {name}"
    return format_duration(microseconds // SECOND * SECOND)
