"""``baseline build``: a training set through the worker's own decoder and profile code."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import numpy as np

from sketches import profile as profiles
from sketches.blocks import DAY
from sketches.given import GivenBaseline, TimedProfile
from sketches.profile import CHUNK, Profile, ProfileRules, profile_table, redact
from sketches.table import IntArray, Table
from sketches.tables import concatenate, take

from .batch import NO_TIME, Batch, Decoder, RawBatch, RecordKey
from .decoders import decoder_for
from .replay_inputs import ReplayError, Source, open_sources
from .rules import profile_rules_for
from .settings import InputSettings, Settings
from .training_files import CsvFile, ParquetFile, TableFile, is_table, open_table

BATCH: Final = 5_000
_AT_ONCE: Final = 8 * CHUNK  # rows that are split by time together
_WINDOWS: Final = 4_096  # more make the windows twice as long
_BLOCKS: Final = 512  # kept, at most; more are added up two by two
_MOST: Final = 20  # rejects that are told one by one


@dataclass
class Training:
    """What a build found.

    Attributes:
        baseline: The result.
        records: Readable records in it.
        others: Readable records of other models, versions or segments, left out: key -> how many.
        rejects: Reason -> records that could not be read.
        told: Where the first of these stand, and why.
        notes: What else the user should know.
    """

    baseline: GivenBaseline
    records: int = 0
    others: Counter[RecordKey] = field(default_factory=Counter)
    rejects: Counter[str] = field(default_factory=Counter)
    told: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class Collector:
    """Profiles of the records of one key: all together, and by time.

    Everything is cut by the count of its own records, so that how they come in batches changes
    nothing, to the last bit.

    Args:
        window: Length of a window, microseconds.
        rules: How features are profiled.
    """

    def __init__(self, window: int, rules: ProfileRules) -> None:
        self._window = window
        self._rules = rules
        self._tables: list[Table] = []
        self._times: list[IntArray] = []
        self._waiting = 0
        self._whole: list[Profile] = []
        self._by_time: dict[int, Profile] = {}
        self.unique: tuple[str, ...] | None = None  # of the first chunk

    def add(self, table: Table, times: IntArray) -> None:
        """Rows, and their event times (``NO_TIME``: none)."""
        self._tables.append(table)
        self._times.append(times)
        self._waiting += table.length
        while self._waiting >= _AT_ONCE:
            rows, when = concatenate(self._tables), np.concatenate(self._times)
            self._take(take(rows, slice(0, _AT_ONCE)), when[:_AT_ONCE])
            self._tables, self._times = [take(rows, slice(_AT_ONCE, None))], [when[_AT_ONCE:]]
            self._waiting -= _AT_ONCE

    def finish(self) -> tuple[Profile, dict[int, Profile], int]:
        """The profile of all; those by window number; the length of a window."""
        if self._waiting:
            self._take(concatenate(self._tables), np.concatenate(self._times))
            self._waiting = 0
        return profiles.merge(self._whole), self._by_time, self._window

    def _take(self, rows: Table, times: IntArray) -> None:
        for start in range(0, rows.length, CHUNK):
            chunk = take(rows, slice(start, start + CHUNK))
            if self.unique is None:
                self.unique = _unique(chunk)
            self._whole.append(profile_table(chunk, self._rules))
        self._whole = [profiles.merge(self._whole)]
        known = np.flatnonzero(times != NO_TIME)
        window = times[known] // self._window
        for number in np.unique(window).tolist():
            mine = known[window == number]
            for start in range(0, len(mine), CHUNK):
                part = profile_table(take(rows, mine[start : start + CHUNK]), self._rules)
                held = self._by_time.get(number)
                self._by_time[number] = part if held is None else profiles.merge([held, part])
        while len(self._by_time) > _WINDOWS:
            self._window *= 2
            self._by_time = _halved(self._by_time)


def _halved(by_time: dict[int, Profile]) -> dict[int, Profile]:
    pairs: dict[int, list[Profile]] = {}
    for number in sorted(by_time):
        pairs.setdefault(number // 2, []).append(by_time[number])
    return {number: profiles.merge(held) for number, held in pairs.items()}


def _unique(chunk: Table) -> tuple[str, ...]:
    """Columns of whole numbers that are all different; of few rows that says nothing."""
    found = []
    for name, values in zip(chunk.number_names, chunk.numbers.T, strict=True):
        held = values[~np.isnan(values)]
        whole = len(held) >= 100 and bool((held == np.floor(held)).all())
        if whole and len(np.unique(held)) == len(held):
            found.append(name)
    return tuple(sorted(found))


def blocks_of(by_time: dict[int, Profile], window: int, min_records: int) -> list[TimedProfile]:
    """Windows added together as the monitor does it, then two by two until they are few.

    Args:
        by_time: Window number -> profile.
        window: Length of a window, microseconds.
        min_records: Records of a block, at least, unless it spans a day.
    """
    blocks: list[TimedProfile] = []
    held: list[Profile] = []
    start = end = records = 0
    for number in sorted(by_time):
        if held and (number + 1) * window - start > DAY:
            blocks.append(TimedProfile(start, end, profiles.merge(held)))
            held, records = [], 0
        start = start if held else number * window
        end = (number + 1) * window
        held.append(by_time[number])
        records += by_time[number].records
        if records >= min_records:
            blocks.append(TimedProfile(start, end, profiles.merge(held)))
            held, records = [], 0
    while len(blocks) > _BLOCKS:
        pairs = [blocks[at : at + 2] for at in range(0, len(blocks) - 1, 2)]
        blocks = [
            TimedProfile(one.start, other.end, profiles.merge([one.profile, other.profile]))
            for one, other in pairs
        ]
    return blocks


def input_of(settings: Settings, names: Sequence[str], topic: str | None) -> tuple[str, str]:
    """Topic and input whose field map reads the files.

    Raises:
        ReplayError: The configuration names several, and none was chosen.
    """
    ranged = [name.removeprefix("topic:").partition("@")[0] for name in names if _is_topic(name)]
    named = [t for one in settings.inputs for t in one.topics if not t.startswith("^")]
    for chosen in (topic, *ranged[:1], *(named if len(named) == 1 else ())):
        if chosen is not None:
            one = settings.input_for(chosen)
            if one is None:
                raise ReplayError(f"{chosen}: no input of the configuration reads this topic")
            return chosen, one.name
    raise ReplayError(
        f"the configuration names {len(named)} topics ({', '.join(named) or 'only patterns'}): "
        "say with --topic NAME whose field map reads the training set"
    )


def _is_topic(name: str) -> bool:
    return name.startswith("topic:")


def open_training(settings: Settings, names: Sequence[str], topic: str) -> Generator[Source]:
    """The training set's parts, in the order given."""
    for name in names:
        if is_table(name):
            with closing(open_table(name, topic)) as table:
                yield table
        else:
            yield from open_sources(settings, [name], topic)


def build(
    settings: Settings,
    names: Sequence[str],
    key: RecordKey,
    *,
    topic: str | None = None,
    show: Callable[[Source], None] = lambda source: None,
) -> Training:
    """A baseline from files and topic ranges, read one after the other.

    Args:
        settings: Field map, window, kinds, limits, ``min_records``.
        names: CSV, Parquet, JSON lines, ``topic:NAME[@FROM..TO]``.
        key: Model; version and segment (empty: rows of every version; rows without a segment,
            or of all segments where every row has one).
        topic: Whose field map reads the files; None: the configuration's only one.
        show: Told of progress.

    Raises:
        ReplayError: Something cannot be read, or nothing is left.
    """
    topic, _ = input_of(settings, names, topic)
    one = settings.input_for(topic)
    assert one is not None  # noqa: S101 - input_of has made sure
    one = one.model_copy(update={"constants": _constants(one, key)})
    rules = profile_rules_for(settings, key.model)
    collectors: defaultdict[RecordKey, Collector] = defaultdict(
        lambda: Collector(one.window, rules)
    )
    found = Training(GivenBaseline(*key, tuple(Path(n).name for n in names), Profile.empty()))
    with closing(open_training(settings, names, topic)) as sources:
        for source in sources:
            mapped = one
            if isinstance(source, CsvFile | ParquetFile):
                mapped = _flat(one, source, found)
            for raw, batch in _batches(source, decoder_for(settings, mapped, topic), show):
                _tell(source, raw, batch, found)
                _collect(batch, key, collectors, found)
    _finish(found, collectors, settings)
    return found


def _collect(
    batch: Batch, key: RecordKey, collectors: Mapping[RecordKey, Collector], found: Training
) -> None:
    times = np.where(batch.times == NO_TIME, batch.timestamps, batch.times)
    for group in batch.groups:
        if _wanted(group.key, key):
            collectors[group.key].add(group.table, times[group.rows])
        else:
            found.others[group.key] += len(group.rows)


def _constants(one: InputSettings, key: RecordKey) -> object:
    """What rows that do not say it themselves belong to."""
    more = {"model": key.model}
    more |= {"version": key.version} if key.version else {}
    more |= {"segment": key.segment} if key.segment else {}
    return one.constants.model_copy(update=more)


def _flat(one: InputSettings, source: TableFile, found: Training) -> InputSettings:
    """The field map of a table: its columns are features, without an object around them."""
    fields = one.fields
    if isinstance(fields.features, str) and fields.features not in source.columns:
        fields = fields.model_copy(update={"features": None})
    lacking = [
        f"{name} = {path!r}"
        for name in ("event_time", "model", "version", "segment", "prediction", "score", "label")
        if (path := getattr(fields, name)) is not None and path not in source.columns
    ]
    if lacking:
        found.notes.append(
            f"{source.name} has no column for the field map's {', '.join(lacking)}; "
            f"--set inputs.{one.name}.fields.NAME=COLUMN names another"
        )
    return one.model_copy(update={"fields": fields})


def _batches(
    source: Source, decode: Decoder, show: Callable[[Source], None]
) -> Iterable[tuple[RawBatch, Batch]]:
    while (raw := source.read(BATCH)) is not None:
        yield raw, decode(raw)
        show(source)


def _wanted(found: RecordKey, key: RecordKey) -> bool:
    fits = (
        found.model == key.model,
        not key.version or found.version == key.version,
        not key.segment or found.segment == key.segment,
    )
    return all(fits)


def _tell(source: Source, raw: RawBatch, batch: Batch, found: Training) -> None:
    for each in batch.rejects:
        found.rejects[each.reason] += 1
        if len(found.told) < _MOST:
            offset = int(raw.offsets[each.row])
            found.told.append(f"{source.where(offset)}: {each.reason}: {each.detail}")


def _finish(found: Training, collectors: Mapping[RecordKey, Collector], settings: Settings) -> None:
    if not collectors:
        model = found.baseline.model
        others = sorted({key.model for key in found.others})
        why = f"its rows are of {', '.join(others)}" if others else "no row could be read"
        raise ReplayError("\n".join([f"no row of model {model}: {why}", *found.told]))
    whole: list[Profile] = []
    by_time: dict[int, list[Profile]] = {}
    ended = [(key, collectors[key], *collectors[key].finish()) for key in sorted(collectors)]
    longest = max(window for *_, window in ended)
    unique: set[str] = set()
    for _, collector, profile, windows, window in ended:
        whole.append(profile)
        unique.update(collector.unique or ())
        while window < longest:
            windows, window = _halved(windows), window * 2  # noqa: PLW2901 - as long as the others
        for number, each in windows.items():
            by_time.setdefault(number, []).append(each)
    shown = settings.min_records_shown
    profile = profiles.merge(whole)
    joined = {number: profiles.merge(by_time[number]) for number in by_time}
    blocks = blocks_of(joined, longest, settings.min_records)
    found.records = profile.records
    found.baseline = replace(
        found.baseline,
        profile=redact(profile, shown),
        blocks=tuple(each._replace(profile=redact(each.profile, shown)) for each in blocks),
        unique=tuple(sorted(unique)),
    )
    segments = sorted({key.segment for key in collectors} - {found.baseline.segment})
    if segments:
        found.notes.append(
            f"rows of the segments {', '.join(segments[:5])} are in it, for streams without a "
            "segment; --segment NAME makes one for a segment"
        )
