"""JSON records to batches, the generic path: whatever their keys, by whole columns.

What a record becomes depends on that record and the settings alone, so batch cuts and restarts
change nothing. That holds for limits too: a name is cut by its own length, and of a model's
features the first ones in the order of their names are kept, a choice that stays the same when
records are added together.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, compress
from operator import itemgetter
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from consumer import rejects
from consumer.batch import NO_TIME, Batch, Decoder, Group, RawBatch, RecordKey, Reject
from consumer.columns import Column, beside, column, columns_table, scaled, types_of
from consumer.event_time import microseconds
from consumer.feature_tables import FeatureTables
from consumer.field_map import ABSENT, Plan, Record, milliseconds, plan, read
from consumer.json_records import json_objects, kind_name, too_deep
from consumer.names import shortened
from consumer.record_keys import inside, names_of
from consumer.settings import Constants, FeatureSettings, FieldMap, Limits
from sketches import tables
from sketches.table import LABEL, LATENCY, PREDICTION, SCORE, BoolArray, IntArray, Table

_READ = (
    "event_time",
    "model",
    "version",
    "segment",
    "prediction",
    "score",
    "label",
    "latency",
    "error",
)
_OWN = {"prediction": PREDICTION, "score": SCORE, "label": LABEL, "latency": LATENCY}
# What is remembered for speed is bounded.
_KEPT_PLANS, _KEPT_CHARACTERS, _KEPT_RULES = 2_000, 10_000, 50_000
_CONTAINERS = {dict, list}
_PIECE_BYTES = 2_000_000

Rows = NDArray[np.intp]
Part = tuple[Rows, Table]
_Names = tuple[str, str, str]  # model, version, segment


def json_decoder(
    fields: FieldMap,
    constants: Constants,
    topic: str,
    limits: Limits,
    feature: Callable[[str, str], FeatureSettings],
) -> Decoder:
    """The decoder of a topic's JSON records.

    Args:
        fields: Where a record keeps what.
        constants: What records do not say themselves; without a model the topic's name stands.
        topic: Name of the topic.
        limits: Bounds; ``name_bytes``, ``features``, ``nesting`` and ``message_bytes`` count here.
        feature: Settings of a model's feature; ``include`` counts here.

    Returns:
        A function that never raises for what a record holds: it counts or rejects.
    """
    return _JsonDecoder(fields, constants, topic, limits, feature)


class _Keyed(Protocol):
    def __call__(self, model: str, name: str, /) -> FeatureSettings: ...


_Identity = tuple[object, ...]  # equal for equal plans


class _Head(NamedTuple):
    """What records with the same keys at their top have in common."""

    plan: Plan
    identity: _Identity
    others: Callable[[Record], tuple[Any, ...]] | None  # values beside the features object


class _Found:
    """What a batch gives, as it is found."""

    def __init__(self, n: int) -> None:
        self.times: IntArray = np.full(n, NO_TIME, np.int64)
        self.rejects: list[Reject] = []
        self.parts: dict[RecordKey, list[Part]] = {}
        self.limited: Counter[str] = Counter()


class _Values(NamedTuple):
    """What records say in one field."""

    path: str
    values: list[Any]
    types: set[type]  # of the values, or more


class _Alike(NamedTuple):
    """Records that are read alike; the lists have an entry for each."""

    rows: list[int]
    records: list[Record]
    objects: list[Record]  # features
    keys: list[_Names]
    values: dict[str, _Values]  # of the fields

    def without(self, bad: dict[int, Reject], found: _Found) -> _Alike:
        """Those that are not rejected."""
        if not bad:
            return self
        found.rejects.extend(bad.values())
        keep = [place not in bad for place in range(len(self.rows))]
        return _Alike(
            list(compress(self.rows, keep)),
            list(compress(self.records, keep)),
            list(compress(self.objects, keep)),
            list(compress(self.keys, keep)),
            {
                field: _Values(each.path, list(compress(each.values, keep)), each.types)
                for field, each in self.values.items()
            },
        )


class _JsonDecoder:
    """One topic's decoder; what it remembers makes it fast, and changes nothing else."""

    def __init__(
        self,
        fields: FieldMap,
        constants: Constants,
        topic: str,
        limits: Limits,
        feature: _Keyed,
    ) -> None:
        self._fields = fields
        self._fallbacks = {
            "model": shortened(constants.model or topic, limits.name_bytes),
            "version": shortened(constants.version or "", limits.name_bytes),
            "segment": shortened(constants.segment or "", limits.name_bytes),
        }
        self._limits = limits
        self._feature = feature
        self._tables = FeatureTables(limits.name_bytes)
        self._heads: dict[tuple[str, ...], _Head] = {}
        self._nested: set[_Identity] = set()  # plans whose features were seen to hold containers
        self._included: dict[tuple[str, str], bool] = {}
        unit_given = "latency_unit" in fields.model_fields_set
        self._latency_unit = fields.latency_unit if unit_given else None

    def __call__(self, raw: RawBatch) -> Batch:
        found = _Found(len(raw.values))
        for start, values in _pieces(raw.values):
            parsed, rejected = json_objects(values, self._limits.message_bytes)
            found.rejects.extend(each._replace(row=start + each.row) for each in rejected)
            for head, rows, records in self._by_plan(start, parsed, found):
                if rows:
                    self._decode(head, rows, records, found)
        groups = [self._group(key, parts, found) for key, parts in found.parts.items()]
        groups.sort(key=lambda group: int(group.rows[0]))
        return Batch(
            offsets=raw.offsets,
            timestamps=raw.timestamps,
            times=found.times,
            groups=tuple(groups),
            rejects=tuple(sorted(found.rejects)),
            reject_model=self._fallbacks["model"],
            limited=dict(found.limited),
        )

    # --- which records are read alike ------------------------------------------------------------

    def _by_plan(
        self, start: int, parsed: list[Record | None], found: _Found
    ) -> list[tuple[_Head, list[int], list[Record]]]:
        """Records that are read in the same way, together, and their rows from ``start`` on."""
        rows = [row for row, record in enumerate(parsed, start) if record is not None]
        records = [record for record in parsed if record is not None]
        if not records:
            return []
        heads = list(map(tuple, records))
        if heads.count(heads[0]) == len(heads):
            head = self._head(heads[0])
            return [(head, *self._shallow(head, rows, records, found))]
        by_head: dict[tuple[str, ...], list[int]] = {}
        for place, keys in enumerate(heads):
            by_head.setdefault(keys, []).append(place)
        by_plan: dict[_Identity, tuple[_Head, list[tuple[int, Record]]]] = {}
        for keys, places in by_head.items():
            head = self._head(keys)
            some = [rows[place] for place in places], [records[place] for place in places]
            _, together = by_plan.setdefault(head.identity, (head, []))
            together.extend(zip(*self._shallow(head, *some, found), strict=True))
        return [
            (head, [row for row, _ in pairs], [record for _, record in pairs])
            for head, held in by_plan.values()
            if (pairs := sorted(held, key=itemgetter(0)))
        ]

    def _head(self, keys: tuple[str, ...]) -> _Head:
        head = self._heads.get(keys)
        if head is None:
            made = plan(self._fields, keys)
            identity = (tuple(made.paths.items()), made.features, made.guessed, made.hidden)
            if len(self._heads) >= _KEPT_PLANS:
                self._heads.clear()
                self._nested.clear()
            others: list[str] = []
            if made.features is not None:  # else all of them are looked at as features
                known = {made.paths.get(field) for field in _READ} | {made.features}
                others = [key for key in keys if key not in known]
            getter = itemgetter(*others, others[0]) if others else None  # at least two: a tuple
            head = _Head(made, identity, getter)
            if sum(map(len, keys)) <= _KEPT_CHARACTERS:
                self._heads[keys] = head
        return head

    def _shallow(
        self, head: _Head, rows: list[int], records: list[Record], found: _Found
    ) -> tuple[list[int], list[Record]]:
        """Those that are not nested too deep in a place that nobody reads."""
        if head.others is None:
            return rows, records
        types = set(map(type, chain.from_iterable(map(head.others, records))))
        if types.isdisjoint(_CONTAINERS):
            return rows, records
        fits = [not too_deep(record, self._limits.nesting) for record in records]
        if all(fits):
            return rows, records
        found.rejects.extend(
            self._deep(row) for row, fit in zip(rows, fits, strict=True) if not fit
        )
        return list(compress(rows, fits)), list(compress(records, fits))

    def _deep(self, row: int) -> Reject:
        return Reject(row, rejects.TOO_DEEP, None, f"nested deeper than {self._limits.nesting}")

    # --- records that are read alike -------------------------------------------------------------

    def _decode(self, head: _Head, rows: list[int], records: list[Record], found: _Found) -> None:
        """Adds times, rejects and tables of these records to what was found."""
        made = head.plan
        bad: dict[int, Reject] = {}
        values = self._values(made, rows, records, bad)
        keys = self._keys(made, rows, values, bad, found)
        objects = self._objects(made, rows, records, bad)
        alike = _Alike(rows, records, objects, keys, values)
        nested = head.identity in self._nested
        if nested:
            self._unnest(made, alike, bad, found)
        alike = alike.without(bad, found)
        hidden = made.hidden if made.features is None else frozenset[str]()
        blocks = list(self._tables.blocks(alike.objects, hidden))
        if not nested and any(block.containers for block in blocks):
            self._nested.add(head.identity)  # so that the next batch does not decode twice
            bad = {}
            self._unnest(made, alike, bad, found)
            alike = alike.without(bad, found)
            blocks = list(self._tables.blocks(alike.objects, hidden))
        whole = np.array(alike.rows, np.intp)
        self._times(whole, alike.values.get("event_time"), found)
        own = self._own_fields(len(whole), alike.values)
        codes, distinct = _codes(alike.keys)
        for block in blocks:
            places = block.places
            table = beside(block.table, own if places is None else tables.take(own, places))
            if block.cut:
                found.limited["name_bytes"] += block.cut
            here = whole if places is None else whole[places]
            mine = codes if codes is None or places is None else codes[places]
            for code, part in _split(here, table, mine):
                found.parts.setdefault(distinct[code], []).append(part)

    def _values(
        self, made: Plan, rows: list[int], records: list[Record], bad: dict[int, Reject]
    ) -> dict[str, _Values]:
        """The fields of the records."""
        found: dict[str, _Values] = {}
        for field in _READ:
            path = made.paths.get(field)
            if path is not None:
                values = read(records, path)
                found[field] = _Values(path, values, types_of(values))
        if any(not _CONTAINERS.isdisjoint(each.types) for each in found.values()):
            for place, record in enumerate(records):
                if too_deep(record, self._limits.nesting):
                    bad[place] = self._deep(rows[place])
        return found

    def _objects(
        self, made: Plan, rows: list[int], records: list[Record], bad: dict[int, Reject]
    ) -> list[Record]:
        """The features object of each record."""
        if made.features is None:
            return list(records)
        if isinstance(made.features, tuple):
            lists = [read(records, path) for path in made.features]
            return [
                {
                    path: value
                    for path, value in zip(made.features, values, strict=True)
                    if value is not ABSENT
                }
                for values in zip(*lists, strict=True)
            ]
        objects = read(records, made.features)
        if set(map(type, objects)) == {dict}:
            return objects
        for place, value in enumerate(objects):
            if type(value) is dict:
                continue
            objects[place] = {}
            if type(value) is list and too_deep(records[place], self._limits.nesting):
                bad[place] = self._deep(rows[place])
            if value is None or value is ABSENT or place in bad:
                continue
            if made.guessed and made.features != "features":  # "input" may well be a feature itself
                objects[place] = _scalars(records[place], made.hidden)
            else:
                detail = f"features are {kind_name(value)}"
                bad[place] = Reject(rows[place], rejects.FEATURES_NOT_AN_OBJECT, None, detail)
        return objects

    def _unnest(self, made: Plan, alike: _Alike, bad: dict[int, Reject], found: _Found) -> None:
        """Puts flat objects in the place of nested ones."""
        for place, features in enumerate(alike.objects):
            types = set(map(type, features.values()))
            if types.isdisjoint(_CONTAINERS) or place in bad:
                continue
            if too_deep(alike.records[place], self._limits.nesting):
                bad[place] = self._deep(alike.rows[place])
            elif made.features is None:
                alike.objects[place] = _scalars(features, frozenset())
            elif dict in types:
                alike.objects[place] = self._tables.flattened(features, found.limited)

    def _keys(
        self,
        made: Plan,
        rows: list[int],
        values: dict[str, _Values],
        bad: dict[int, Reject],
        found: _Found,
    ) -> list[_Names]:
        """Model, version and segment of each of the records."""
        if self._fields.model is None and "model" in values and dict in values["model"].types:
            values = self._model_objects(values)
        lists: list[list[str]] = []
        for field, fallback in self._fallbacks.items():
            held = values.get(field)
            if held is None:
                lists.append([fallback] * len(rows))
                continue
            limit = self._limits.name_bytes
            names, wrong, cut = names_of(held.values, held.types, fallback, limit)
            lists.append(names)
            if cut:
                found.limited["name_bytes"] += cut
            for place in wrong:
                detail = f"{field} is {kind_name(held.values[place])}"
                bad.setdefault(place, Reject(rows[place], f"{field}_not_a_name", None, detail))
        if all(each.count(each[0]) == len(each) for each in lists):
            return [(lists[0][0], lists[1][0], lists[2][0])] * len(rows)
        return list(zip(*lists, strict=True))

    def _model_objects(self, values: dict[str, _Values]) -> dict[str, _Values]:
        """Reads ``{"model": {"name": ..., "version": ...}}``, if no path says otherwise."""
        path, models, _ = values["model"]
        names = inside(models, ("name", "id"))
        values = values | {"model": _Values(path, names, set(map(type, names)))}
        if "version" not in values and self._fields.version is None:
            versions = [one.get("version") if type(one) is dict else None for one in models]
            values["version"] = _Values(path, versions, set(map(type, versions)))
        return values

    def _times(self, rows: Rows, field: _Values | None, found: _Found) -> None:
        if field is None:
            return
        times = microseconds(field.values, self._fields.event_time_unit)
        found.times[rows] = times
        without = times == NO_TIME
        if without.any():
            told = (value is not None and value is not ABSENT for value in field.values)
            unreadable = int(np.count_nonzero(without & np.fromiter(told, np.bool_, len(times))))
            if unreadable:
                found.limited["event_time_unreadable"] += unreadable

    def _own_fields(self, n: int, values: dict[str, _Values]) -> Table:
        """Prediction, score, label, latency and error of n records."""
        columns: list[Column] = []
        for field, name in _OWN.items():
            if field in values:
                path, held, types = values[field]
                one = column(name, held, types)
                if field == "latency":
                    one = scaled(one, milliseconds(path, self._latency_unit))
                columns.append(one)
        errors: BoolArray | None = None
        if "error" in values:
            said = [value is not ABSENT and bool(value) for value in values["error"].values]
            errors = np.array(said, np.bool_) if any(said) else None
        return columns_table(n, columns, errors)

    # --- the records of one key ------------------------------------------------------------------

    def _group(self, key: RecordKey, parts: list[Part], found: _Found) -> Group:
        kept = [(rows, self._chosen(key.model, table)) for rows, table in parts]
        every = {name for _, table in kept for name in tables.names(table)}.difference(
            _OWN.values()
        )
        if len(every) > self._limits.features:
            dropped = frozenset(sorted(every)[self._limits.features :])
            found.limited["features"] += len(dropped)
            kept = [(rows, tables.without(table, dropped)) for rows, table in kept]
        if len(kept) == 1:
            return Group(key, *kept[0])
        places = [rows for rows, _ in kept]
        table = tables.interleave([table for _, table in kept], places)
        return Group(key, np.sort(np.concatenate(places)), table)

    def _chosen(self, model: str, table: Table) -> Table:
        excluded = frozenset(name for name in tables.names(table) if not self._include(model, name))
        return tables.without(table, excluded) if excluded else table

    def _include(self, model: str, name: str) -> bool:
        include = self._included.get((model, name))
        if include is None:
            if len(self._included) >= _KEPT_RULES:
                self._included.clear()
            include = self._included[model, name] = self._feature(model, name).include
        return include


def _pieces(values: Sequence[bytes | None]) -> Iterator[tuple[int, Sequence[bytes | None]]]:
    """A batch in pieces that stay in the processor's cache, and in memory, when parsed."""
    held = sum(len(value) for value in values if value is not None)
    rows = max(1, _PIECE_BYTES * len(values) // max(1, held))
    for start in range(0, len(values), rows):
        yield start, values[start : start + rows]


def _scalars(record: Record, hidden: frozenset[str]) -> Record:
    return {
        key: value
        for key, value in record.items()
        if key not in hidden and type(value) not in _CONTAINERS
    }


def _codes(keys: list[_Names]) -> tuple[Rows | None, list[RecordKey]]:
    """A number for each key, None if all are the same; and the keys by number."""
    if keys and keys.count(keys[0]) == len(keys):
        return None, [RecordKey(*keys[0])]
    codes = {key: code for code, key in enumerate(dict.fromkeys(keys))}
    known = [RecordKey(*key) for key in codes]
    return np.fromiter(map(codes.__getitem__, keys), np.intp, len(keys)), known


def _split(rows: Rows, table: Table, codes: Rows | None) -> list[tuple[int, Part]]:
    """The table's rows by code."""
    if not table.length:
        return []
    if codes is None:
        return [(0, (rows, table))]
    order = np.argsort(codes, kind="stable")
    ordered = codes[order]
    starts = np.flatnonzero(np.diff(ordered, prepend=-1))
    if len(starts) == 1:
        return [(int(ordered[0]), (rows, table))]
    return [
        (int(ordered[start]), (rows[which], tables.take(table, which)))
        for start, which in zip(starts, np.split(order, starts[1:]), strict=True)
    ]
