"""A plain slow JSON decoder, one record at a time, and batches told row by row to compare with."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from consumer.batch import Batch
from consumer.event_time import microseconds_of
from consumer.field_map import CANDIDATES, FEATURES
from consumer.names import feature_name, shortened
from consumer.settings import Constants, FieldMap, Limits
from sketches.table import Kind, Table
from sketches.tables import kinds_of, names, spelled_out

Row = dict[str, tuple[Kind, float | str | None]]
_MISSING = object()


@dataclass(frozen=True)
class Told:
    """What one record says."""

    key: tuple[str, str, str]
    time: int
    row: Row
    error: bool


@dataclass(frozen=True)
class Slow:
    """The reference."""

    fields: FieldMap
    constants: Constants
    topic: str
    limits: Limits
    include: Callable[[str, str], bool] = lambda model, name: True

    def decode(self, value: bytes | None) -> Told | str:
        """What the record says, or the reason why it cannot be read."""
        record = self._parsed(value)
        if isinstance(record, str):
            return record
        if _depth(record) > self.limits.nesting:
            return "too_deep"
        key = self._key(record)
        if isinstance(key, str):
            return key
        features = self._features(record)
        if features is None:
            return "features_not_an_object"
        limit = self.limits.name_bytes
        named = {feature_name(name, limit): value for name, value in _flat(features, limit).items()}
        named = {name: value for name, value in named.items() if self.include(key[0], name)}
        row = {name: _told(named[name]) for name in sorted(named)[: self.limits.features]}
        for field in ("prediction", "score", "label", "latency"):
            value = self._field(record, field)
            if value is not _MISSING and self.include(key[0], f"@{field}"):
                row[f"@{field}"] = _told(value)
        found = self._field(record, "event_time")
        time = microseconds_of(found, self.fields.event_time_unit)
        error = self._field(record, "error")
        return Told(key, time, row, error is not _MISSING and bool(error))

    def _parsed(self, value: bytes | None) -> dict[str, Any] | str:
        if value is None:
            return "tombstone"
        if not value:
            return "empty"
        if len(value) > self.limits.message_bytes:
            return "too_large"
        try:
            text = value.decode()
        except UnicodeDecodeError:
            return "encoding"
        try:
            record = json.loads(text, parse_constant=_refuse)
        except ValueError:
            return "json_syntax"
        return record if isinstance(record, dict) else "not_an_object"

    def _path(self, record: dict[str, Any], field: str) -> str | None:
        path: str | None = getattr(self.fields, field)
        return path or next((name for name in CANDIDATES[field] if name in record), None)

    def _field(self, record: dict[str, Any], field: str) -> Any:
        path = self._path(record, field)
        return _MISSING if path is None else _at(record, path)

    def _key(self, record: dict[str, Any]) -> tuple[str, str, str] | str:
        model, version = self._field(record, "model"), self._field(record, "version")
        if isinstance(model, dict) and self.fields.model is None:
            if self.fields.version is None and self._path(record, "version") is None:
                version = model.get("version")
            model = model.get("name", model.get("id", model))
        found = []
        for field, value in (
            ("model", model),
            ("version", version),
            ("segment", self._field(record, "segment")),
        ):
            if isinstance(value, dict | list):
                return f"{field}_not_a_name"
            fallback = getattr(self.constants, field) or (self.topic if field == "model" else "")
            text = "" if value is _MISSING or value is None else value
            if not isinstance(text, str):
                text = json.dumps(text)
            found.append(shortened(text or fallback, self.limits.name_bytes))
        return found[0], found[1], found[2]

    def _features(self, record: dict[str, Any]) -> dict[str, Any] | None:
        path = self.fields.features
        if isinstance(path, tuple):
            found = {name: _at(record, name) for name in path}
            return {name: value for name, value in found.items() if value is not _MISSING}
        guess = next((name for name in FEATURES if name in record), None)
        used = path or guess
        value = _MISSING if used is None else _at(record, used)
        if isinstance(value, dict):
            return value
        if used is not None and (value is None or value is _MISSING):
            return {}
        if path or guess == "features":
            return None
        hidden = {self._path(record, field) for field in CANDIDATES}
        for field in ("event_time", "id"):
            if getattr(self.fields, field) is None:
                hidden.update(CANDIDATES[field])
        return {
            key: value
            for key, value in record.items()
            if key not in hidden and not isinstance(value, dict | list)
        }


def told(batch: Batch) -> list[Told | str]:
    """A batch row by row, in order; every row stands in it once."""
    rows: dict[int, Told | str] = {}
    for reject in batch.rejects:
        assert reject.row not in rows
        rows[reject.row] = reject.reason
    for group in batch.groups:
        assert group.rows.tolist() == sorted(set(group.rows.tolist()))
        assert len(group.rows) == group.table.length
        for place, row in enumerate(table_rows(group.table)):
            at = int(group.rows[place])
            assert at not in rows
            errors = group.table.errors
            error = errors is not None and bool(errors[place])
            rows[at] = Told((*group.key,), int(batch.times[at]), row, error)
    assert sorted(rows) == list(range(len(batch.offsets)))
    return [rows[at] for at in range(len(batch.offsets))]


def table_rows(table: Table) -> list[Row]:
    """A table row by row, without what is absent; checks that it is in canonical form."""
    assert table.numbers.shape == (table.length, len(table.number_names))
    assert table.numbers.flags.c_contiguous
    assert not table.word_names or table.codes.shape == (table.length, len(table.word_names))
    assert {*table.word_names}.isdisjoint({*table.number_names, *table.text_names, *table.kinds})
    table = spelled_out(table)
    rows: list[Row] = [{} for _ in range(table.length)]
    for name in names(table):
        kinds = kinds_of(table, name)
        counted = set(kinds.tolist())
        assert counted != {Kind.ABSENT}
        assert (name in table.number_names) == (Kind.NUMBER in counted)
        assert (name in table.text_names) == bool(counted & {Kind.TEXT, Kind.BOOLEAN})
        for place, kind in enumerate(kinds.tolist()):
            value: float | str | None = None
            if kind == Kind.NUMBER:
                value = float(table.numbers[place, table.number_names.index(name)])
            elif kind in (Kind.TEXT, Kind.BOOLEAN):
                value = table.texts[table.text_names.index(name)][place]
            if kind != Kind.ABSENT:
                rows[place][name] = (Kind(kind), value)
            if name in table.number_names and kind != Kind.NUMBER:
                assert table.numbers[place, table.number_names.index(name)] != value
            if name in table.text_names and kind not in (Kind.TEXT, Kind.BOOLEAN):
                assert table.texts[table.text_names.index(name)][place] is None
    return rows


def _refuse(literal: str) -> None:
    raise ValueError(literal)


def _told(value: Any) -> tuple[Kind, float | str | None]:
    if value is None:
        return Kind.NULL, None
    if isinstance(value, bool):
        return Kind.BOOLEAN, json.dumps(value)
    if isinstance(value, int | float):
        return Kind.NUMBER, float(value)
    if isinstance(value, str):
        return Kind.TEXT, value
    return Kind.OTHER, None


def _flat(features: dict[str, Any], limit: int) -> dict[str, Any]:
    flat = {key: value for key, value in features.items() if not isinstance(value, dict)}
    nested = [key for key, value in features.items() if isinstance(value, dict)]
    for key in sorted(nested, key=lambda key: (-len(key), key)):
        for name, value in _flat(features[key], limit).items():
            flat.setdefault(shortened(f"{shortened(key, limit)}.{name}", limit), value)
    return flat


def _at(value: Any, path: str) -> Any:
    if not isinstance(value, dict):
        return _MISSING
    if path in value:
        return value[path]
    parts = path.split(".")
    for count in range(len(parts) - 1, 0, -1):
        first = ".".join(parts[:count])
        if first in value:
            found = _at(value[first], ".".join(parts[count:]))
            if found is not _MISSING:
                return found
    return _MISSING


def _depth(value: Any) -> int:
    if isinstance(value, dict | list):
        inner = value.values() if isinstance(value, dict) else value
        return 1 + max(map(_depth, inner), default=0)
    return 0
