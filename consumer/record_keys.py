"""Whose records they are: model, version and segment out of JSON values."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from operator import itemgetter
from types import EllipsisType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from consumer.batch import RecordKey
from consumer.names import shortened
from sketches import tables
from sketches.table import Table

Codes = NDArray[np.intp]
Rows = NDArray[np.intp]
_FEW = 2**16
Part = tuple[Rows, Table]  # positions in a batch, ascending, and their records


class Names(NamedTuple):
    """Names of n records.

    Attributes:
        distinct: The names, each once.
        codes: Shape (n,): which of them; of no meaning where ``wrong`` says so. None: the first.
        wrong: Rows whose value cannot be a name, ascending.
        cut: How many of the n names were too long.
    """

    distinct: list[str]
    codes: Codes | None
    wrong: list[int]
    cut: int


class Keys(NamedTuple):
    """Whose n records are.

    Attributes:
        distinct: Keys, each once.
        codes: Shape (n,): which of them; None: the first.
    """

    distinct: list[RecordKey]
    codes: Codes | None


class Keyed(NamedTuple):
    """n records as a table."""

    rows: Rows  # positions in the batch
    table: Table
    keys: Keys


def names_of(values: Sequence[Any], types: set[type], fallback: str, limit: int) -> Names:
    """A name from each of n JSON values.

    Numbers and booleans are names as JSON writes them (version ``3`` is ``"3"``). A value that is
    missing, null or empty gives the fallback; an object or an array is wrong.

    Args:
        values: As read from JSON, ``ABSENT`` where there is none.
        types: Of the values.
        fallback: What stands for a missing one.
        limit: Bytes of a name; longer ones end in a hash.
    """
    wrong: list[int] = []
    if not types <= {str, type(None), EllipsisType}:
        wrong = [row for row, value in enumerate(values) if isinstance(value, dict | list)]
        values = [_text(value) for value in values]
    first = values[0] if values else None
    if isinstance(first, str) and values.count(first) == len(values):
        name = shortened(first or fallback, limit)
        return Names([name], None, wrong, len(values) * (name != (first or fallback)))
    known: dict[Any, str] = {value: value or fallback for value in set(values)}
    known |= {None: fallback, ...: fallback}
    kept = {value: shortened(name, limit) for value, name in known.items()}
    cut = {value for value, name in kept.items() if name != known[value]}
    distinct = list(dict.fromkeys(kept.values()))
    places = {name: place for place, name in enumerate(distinct)}
    places = {value: places[name] for value, name in kept.items()}
    codes = np.fromiter(map(places.__getitem__, values), np.intp, len(values))
    return Names(distinct, codes, wrong, sum(map(cut.__contains__, values)) if cut else 0)


def keys_of(model: Names, version: Names, segment: Names) -> Keys:
    """The keys of n records from their names."""
    whole: Codes | None = None
    most = len(model.distinct) * len(version.distinct) * len(segment.distinct)
    for each in (model, version, segment):
        if each.codes is not None:
            whole = each.codes if whole is None else whole * len(each.distinct) + each.codes
    if whole is None:
        return Keys([RecordKey(model.distinct[0], version.distinct[0], segment.distinct[0])], None)
    first, codes = _dense(whole, most)
    lists = [
        [each.distinct[0 if each.codes is None else each.codes[row]] for row in first.tolist()]
        for each in (model, version, segment)
    ]
    return Keys(list(map(RecordKey, *lists)), codes)


def _dense(codes: Codes, most: int) -> tuple[Rows, Codes]:
    """First row of each code that there is, codes ascending, and which of these each row has.

    Args:
        codes: Shape (n,), less than ``most``.
        most: How many there may be.
    """
    if most > 8 * len(codes):
        _, first, codes = np.unique(codes, return_index=True, return_inverse=True)
        return first, codes
    first = np.full(most, -1, np.intp)
    first[codes[::-1]] = np.arange(len(codes) - 1, -1, -1)  # the last one put there stays
    known = np.flatnonzero(first >= 0)
    place = np.empty(most, np.intp)
    place[known] = np.arange(len(known))
    return first[known], place[codes]


def by_key(parts: Sequence[Keyed]) -> dict[RecordKey, list[Part]]:
    """Tables of many records to those of each key; those with the same names are put together."""
    parts = [part for part in parts if part.table.length]
    if not parts:
        return {}
    like = tables.with_like_words([part.table for part in parts])
    parts = [part._replace(table=table) for part, table in zip(parts, like, strict=True)]
    alike: dict[tuple[frozenset[str], ...], list[Keyed]] = {}
    for part in parts:
        names = frozenset(part.table.number_names), frozenset(part.table.text_names)
        alike.setdefault(names, []).append(part)
    known: dict[RecordKey, int] = {}
    found: dict[int, list[Part]] = {}
    for some in alike.values():
        codes = [_codes(part, known) for part in some]
        rows = np.concatenate([part.rows for part in some])
        table = tables.concatenate([part.table for part in some])
        for code, mine, piece in _split(rows, table, np.concatenate(codes)):
            found.setdefault(code, []).append((mine, piece))
    keys = list(known)
    return {keys[code]: pieces for code, pieces in found.items()}


def _codes(part: Keyed, known: dict[RecordKey, int]) -> Codes:
    """The number of each record's key in ``known``, which gets the new ones."""
    numbers = [known.setdefault(key, len(known)) for key in part.keys.distinct]
    if part.keys.codes is None:
        return np.full(part.table.length, numbers[0], np.intp)
    return np.array(numbers, np.intp)[part.keys.codes]


def _split(rows: Rows, table: Table, codes: Codes) -> list[tuple[int, Rows, Table]]:
    """Code, rows in ascending order and their table, for each code that there is."""
    ascending = bool((np.diff(rows) > 0).all())
    if ascending and (codes == codes[0]).all():
        return [(int(codes[0]), rows, table)]
    if int(codes.max()) < _FEW:
        codes = codes.astype(np.uint16)  # sorted by digits, much faster
    order = np.argsort(codes, kind="stable") if ascending else np.lexsort((rows, codes))
    rows, codes, table = rows[order], codes[order], _ordered(table, order)
    edges = [0, *(np.flatnonzero(np.diff(codes)) + 1).tolist(), len(rows)]
    return [
        (int(codes[start]), rows[start:stop], tables.take(table, slice(start, stop)))
        for start, stop in pairwise(edges)
    ]


def _ordered(table: Table, order: Rows) -> Table:
    """The rows in another order."""
    texts: list[list[str | None]] = []
    if table.texts:
        pick = itemgetter(*order.tolist())  # at least two: a tuple
        texts = [list(pick(column)) for column in table.texts]
    return Table(
        length=table.length,
        number_names=table.number_names,
        numbers=table.numbers.take(order, axis=0),  # twice as fast as by index
        text_names=table.text_names,
        texts=tuple(texts),
        kinds={name: kinds[order] for name, kinds in table.kinds.items()},
        errors=None if table.errors is None else table.errors[order],
        word_names=table.word_names,
        words=table.words,
        codes=table.codes.take(order, axis=0) if table.word_names else table.codes,
    )


def inside(values: Sequence[Any], keys: tuple[str, ...]) -> list[Any]:
    """The first of the keys that each object has; what is no object stays as it is."""
    return [
        next((value[key] for key in keys if key in value), value)
        if isinstance(value, dict)
        else value
        for value in values
    ]


def _text(value: object) -> object:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    return None if isinstance(value, dict | list) else value
