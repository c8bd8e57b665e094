"""JSON records to batches, by whole columns: those of a known shape fast, all others in general.

What a record becomes depends on that record and the settings alone, so batch cuts and restarts
change nothing. That holds for limits too: a name is cut by its own length, and of a model's
features the first ones in the order of their names are kept, a choice that stays the same when
records are added together.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import chain, compress
from operator import itemgetter
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from consumer import columns, rejects
from consumer.batch import NO_TIME, Batch, Decoder, Group, RawBatch, RecordKey, Reject
from consumer.columns import Column, beside, column, columns_table, scaled, types_of
from consumer.event_time import microseconds
from consumer.feature_tables import FeatureTables
from consumer.field_map import ABSENT, Plan, Record, milliseconds, plan, read
from consumer.json_records import json_objects, kind_name, pieces, readable, too_deep
from consumer.names import shortened
from consumer.record_keys import Keyed, Keys, Names, Part, by_key, inside, keys_of, names_of
from consumer.settings import Constants, FeatureSettings, FieldMap, Limits
from consumer.shapes import Identity, ShapeRules
from consumer.typed_records import Fit, TypedRecords
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
_FIRST = 256  # records that a topic's shape is learned from

Rows = NDArray[np.intp]
_Names = tuple[str | tuple[str, ...], ...]  # of a model and a table


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


class _Rule(Protocol):
    def __call__(self, model: str, name: str, /) -> FeatureSettings: ...


class _Head(NamedTuple):
    """What records with the same keys at their top have in common."""

    plan: Plan
    identity: Identity
    others: Callable[[Record], tuple[Any, ...]] | None  # values beside the features object


class _Found:
    """What a batch gives, as it is found."""

    def __init__(self, n: int) -> None:
        self.times: IntArray = np.full(n, NO_TIME, np.int64)
        self.rejects: list[Reject] = []
        self.parts: list[Keyed] = []
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
    keys: Keys
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
            self.keys
            if self.keys.codes is None
            else Keys(self.keys.distinct, self.keys.codes[keep]),
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
        feature: _Rule,
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
        self._typed = TypedRecords(ShapeRules(fields, limits.name_bytes, limits.nesting))
        self._begun = False
        self._heads: dict[tuple[str, ...], _Head] = {}
        self._nested: set[Identity] = set()  # plans whose features were seen to hold containers
        self._excluded: dict[_Names, frozenset[str]] = {}  # features
        self._kept = 0  # names in it
        unit_given = "latency_unit" in fields.model_fields_set
        self._latency_unit = fields.latency_unit if unit_given else None

    def __call__(self, raw: RawBatch) -> Batch:
        found = _Found(len(raw.values))
        values = readable(raw.values, self._limits.message_bytes)
        start = 0
        if not self._begun:  # the others may well look like the first few
            self._begun, start = True, _FIRST
            self._general(raw.values, range(min(start, len(values))), found)
        fits, left = self._typed.read(values[start:] if start else values)
        for fit in fits:
            self._add(fit, start, found)
        for rows in pieces(values, [start + place for place in left]):
            self._general(raw.values, rows, found)
        parts = by_key(found.parts)
        groups = [self._group(key, some, found) for key, some in parts.items()]
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

    def _add(self, fit: Fit, start: int, found: _Found) -> None:
        """Adds times and a table of records that fit a shape; none of them is a reject."""
        rows = _rows(fit.places) + start
        values = {
            field: _Values(path, fit.fields[path], types_of(fit.fields[path]))
            for field, path in fit.plan.paths.items()
            if path in fit.fields
        }
        keys = self._keys(rows, values, {}, found)
        self._times(rows, values.get("event_time"), found)
        own, errors = self._own_fields(values)
        table, _ = columns.features(fit.features, fit.layout, own, errors)
        found.parts.append(Keyed(rows, table, keys))

    def _general(self, values: Sequence[bytes | None], rows: Sequence[int], found: _Found) -> None:
        """Adds what any records hold, those of some rows."""
        some = [values[row] for row in rows]
        parsed, rejected = json_objects(some, self._limits.message_bytes)
        found.rejects.extend(each._replace(row=rows[each.row]) for each in rejected)
        for head, mine, records in self._by_plan(rows, parsed, found):
            if mine:
                self._decode(head, mine, records, found)
                self._typed.learn(head.plan, head.identity, records)

    # --- which records are read alike ------------------------------------------------------------

    def _by_plan(
        self, rows: Sequence[int], parsed: list[Record | None], found: _Found
    ) -> list[tuple[_Head, list[int], list[Record]]]:
        """Records that are read in the same way, together, and their rows."""
        rows = [row for row, record in zip(rows, parsed, strict=True) if record is not None]
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
        by_plan: dict[Identity, tuple[_Head, list[tuple[int, Record]]]] = {}
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
        keys = self._keys(rows, values, bad, found)
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
        own = columns_table(len(whole), *self._own_fields(alike.values))
        codes = alike.keys.codes
        for block in blocks:
            places = block.places
            table = beside(block.table, own if places is None else tables.take(own, places))
            if block.cut:
                found.limited["name_bytes"] += block.cut
            here = whole if places is None else whole[places]
            mine = codes if codes is None or places is None else codes[places]
            found.parts.append(Keyed(here, table, Keys(alike.keys.distinct, mine)))

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
        if set(map(type, objects)) == {dict} and self._limits.nesting > 1:
            return objects
        for place, value in enumerate(objects):
            if type(value) is dict and self._limits.nesting > 1:
                continue
            objects[place] = {}
            if type(value) in _CONTAINERS and too_deep(records[place], self._limits.nesting):
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
        rows: Sequence[int] | Rows,
        values: dict[str, _Values],
        bad: dict[int, Reject],
        found: _Found,
    ) -> Keys:
        """Model, version and segment of each of the records."""
        if self._fields.model is None and "model" in values and dict in values["model"].types:
            values = self._model_objects(values)
        names: list[Names] = []
        for field, fallback in self._fallbacks.items():
            held = values.get(field)
            if held is None:
                names.append(Names([fallback], None, [], 0))
                continue
            told = names_of(held.values, held.types, fallback, self._limits.name_bytes)
            names.append(told)
            if told.cut:
                found.limited["name_bytes"] += told.cut
            for place in told.wrong:
                detail = f"{field} is {kind_name(held.values[place])}"
                reject = Reject(int(rows[place]), f"{field}_not_a_name", None, detail)
                bad.setdefault(place, reject)
        return keys_of(*names)

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
        times = microseconds(field.values, self._fields.event_time_unit, field.types)
        found.times[rows] = times
        without = times == NO_TIME
        if without.any():
            told = (value is not None and value is not ABSENT for value in field.values)
            unreadable = int(np.count_nonzero(without & np.fromiter(told, np.bool_, len(times))))
            if unreadable:
                found.limited["event_time_unreadable"] += unreadable

    def _own_fields(self, values: dict[str, _Values]) -> tuple[list[Column], BoolArray | None]:
        """Prediction, score, label, latency and error of n records."""
        own: list[Column] = []
        for field, name in _OWN.items():
            if field in values:
                path, held, types = values[field]
                one = column(name, held, types)
                if field == "latency":
                    one = scaled(one, milliseconds(path, self._latency_unit))
                own.append(one)
        errors: BoolArray | None = None
        if "error" in values:
            said = [value is not ABSENT and bool(value) for value in values["error"].values]
            errors = np.array(said, np.bool_) if any(said) else None
        return own, errors

    # --- the records of one key ------------------------------------------------------------------

    def _group(self, key: RecordKey, parts: list[Part], found: _Found) -> Group:
        kept = [(rows, self._chosen(key.model, table)) for rows, table in parts]
        every: set[str] = set()
        if sum(map(_width, kept)) > self._limits.features:  # else there cannot be too many
            every = {name for _, table in kept for name in tables.names(table)}
            every.difference_update(_OWN.values())
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
        key = model, table.number_names, table.text_names, table.word_names, tuple(table.kinds)
        excluded = self._excluded.get(key)
        if excluded is None:
            names = tables.names(table)
            excluded = frozenset(n for n in names if not self._feature(model, n).include)
            self._kept += len(names) + 1
            if self._kept > _KEPT_RULES:
                self._excluded.clear()
                self._kept = len(names) + 1
            self._excluded[key] = excluded
        return tables.without(table, excluded) if excluded else table


def _rows(places: Sequence[int]) -> Rows:
    if isinstance(places, range):
        return np.arange(places.start, places.stop, places.step, dtype=np.intp)
    return np.array(places, np.intp)


def _width(part: Part) -> int:
    table = part[1]
    named = table.number_names, table.text_names, table.word_names, table.kinds
    return sum(map(len, named))


def _scalars(record: Record, hidden: frozenset[str]) -> Record:
    return {
        key: value
        for key, value in record.items()
        if key not in hidden and type(value) not in _CONTAINERS
    }
