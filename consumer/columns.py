"""JSON values of many records to the columns of a table, by whole columns and not by value."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain, compress
from operator import itemgetter
from types import EllipsisType
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np

from sketches import tables
from sketches.table import BoolArray, FloatArray, Kind, KindArray, Table

KINDS: Final[dict[type, Kind]] = {
    int: Kind.NUMBER,
    float: Kind.NUMBER,
    str: Kind.TEXT,
    bool: Kind.BOOLEAN,
    type(None): Kind.NULL,
    dict: Kind.OTHER,
    list: Kind.OTHER,
    EllipsisType: Kind.ABSENT,
}
_NUMBERS = frozenset({int, float})
_NULLABLE = _NUMBERS | {type(None)}
_CONTAINERS = frozenset({dict, list})
_FLOAT = b"\xcb"  # of MessagePack
_MARKED = np.dtype([("mark", "u1"), ("value", ">f8")])
_TEXTS: list[str | None] = ["false", "true"]


class Column(NamedTuple):
    """One name in n records. ``kinds`` is None if every value is of the plain kind."""

    name: str
    numbers: FloatArray | None
    texts: list[str | None] | None
    kinds: KindArray | None


class Cells(NamedTuple):
    """Values of n objects with the same keys.

    Attributes:
        length: n.
        matrix: Shape (n, keys): numbers, and codes of words; of no meaning where a column stands in
            ``odd``.
        odd: Position of a key -> its n values. A column with words that stands here holds others.
    """

    length: int
    matrix: FloatArray
    odd: dict[int, list[Any]]


class Layout:
    """What is known about objects with the same keys.

    Attributes:
        keys: The keys, in the order of the values.
        names: The name of each key's feature; None: it is not a feature.
        cut: How many of the names were too long.
        integers: Some of the numbers are. Learned like ``odd``.
        odd: Positions not known to hold numbers alone. Learned as batches pass, for speed: what is
            decoded does not depend on it.
        words: Position -> the few texts that it may hold.
        codes: Position -> text -> which of them it is, as a float.
    """

    __slots__ = ("codes", "cut", "integers", "keys", "names", "odd", "words")

    def __init__(self, keys: tuple[str, ...], names: tuple[str | None, ...], cut: int) -> None:
        self.keys = keys
        self.names = names
        self.cut = cut
        self.integers = False
        self.odd = {place for place, name in enumerate(names) if name is None}
        self.words: dict[int, tuple[str, ...]] = {}
        self.codes: dict[int, dict[str, float]] = {}

    def learn(self, words: Mapping[str, tuple[str, ...]]) -> None:
        """Take texts of the features with these keys as codes."""
        for place, key in enumerate(self.keys):
            if key in words and self.names[place] is not None:
                self.odd.add(place)
                self.words[place] = words[key]
                self.codes[place] = {word: float(n) for n, word in enumerate(words[key])}


def column(name: str, values: list[Any], types: set[type]) -> Column:
    """A column from the values of n records as read from JSON, ``ABSENT`` where there is none.

    Args:
        name: Its name.
        values: n values.
        types: Of the values.
    """
    if types <= _NUMBERS:
        return Column(name, np.array(values, np.float64), None, None)
    if types == {str}:
        return Column(name, None, values, None)
    if types <= _NULLABLE and types & _NUMBERS:
        numbers = np.array(values, np.float64)  # None becomes NaN, and JSON has no NaN of its own
        kinds = np.where(np.isnan(numbers), np.uint8(Kind.NULL), np.uint8(Kind.NUMBER))
        return Column(name, numbers, None, kinds)
    kinds = np.fromiter(map(KINDS.__getitem__, map(type, values)), np.uint8, len(values))
    return Column(name, _numbers(values, kinds), _texts(values, kinds), kinds)


def _numbers(values: list[Any], kinds: KindArray) -> FloatArray | None:
    mine = kinds == Kind.NUMBER
    if not mine.any():
        return None
    numbers = np.full(len(values), np.nan)
    numbers[mine] = np.array(list(compress(values, mine.tolist())), np.float64)
    return numbers


def _texts(values: list[Any], kinds: KindArray) -> list[str | None] | None:
    mine = (kinds == Kind.TEXT) | (kinds == Kind.BOOLEAN)
    if not mine.any():
        return None
    if ((kinds == Kind.TEXT) | (kinds == Kind.NULL)).all():
        return values
    texts: list[str | None] = [None] * len(values)
    for row in np.flatnonzero(mine).tolist():
        value = values[row]
        texts[row] = value if isinstance(value, str) else _TEXTS[value]
    return texts


def scaled(one: Column, factor: float) -> Column:
    """A column whose numbers are multiplied; a product too large is ``NON_FINITE``."""
    if one.numbers is None or factor == 1.0:
        return one
    with np.errstate(over="ignore"):
        numbers = one.numbers * factor
    wrong = np.isinf(numbers)
    if not wrong.any():
        return one._replace(numbers=numbers)
    kinds = np.full(len(numbers), Kind.NUMBER, np.uint8) if one.kinds is None else one.kinds
    return one._replace(
        numbers=np.where(wrong, np.nan, numbers),
        kinds=np.where(wrong, np.uint8(Kind.NON_FINITE), kinds),
    )


def cells(values: list[Any], n: int, layout: Layout) -> Cells:
    """Objects with the same keys in the same order, numbers apart from the rest.

    Args:
        values: Of the first object in that order, of the second and so on; other values stand in
            it afterwards.
        n: How many objects.
        layout: Of their keys.
    """
    width = len(layout.keys)
    odd: dict[int, list[Any]] = {}
    for place in layout.odd:
        if place not in layout.words or not _coded(values, place, width, layout.codes[place]):
            odd[place] = _moved(values, place, width)
    return Cells(n, _matrix(values, odd, layout, n), odd)


def features(
    pieces: Sequence[Cells],
    layout: Layout,
    own: Sequence[Column] = (),
    errors: BoolArray | None = None,
) -> tuple[Table, bool]:
    """Objects with the same keys in the same order as a table.

    Args:
        pieces: The objects, some after the others.
        layout: Of their keys.
        own: Further columns of the same records.
        errors: Shape (n,): as in the table.

    Returns:
        Their table; and whether any value is an object or an array, in hidden keys as well.
    """
    columns: list[Column] = []
    containers = False
    odd = sorted(set(chain.from_iterable(piece.odd for piece in pieces)))
    for place in odd:
        values = _column(pieces, place, layout.words.get(place))
        name, types = layout.names[place], types_of(values)
        containers = containers or not _CONTAINERS.isdisjoint(types)
        if name is not None:
            columns.append(column(name, values, types))
    coded = sorted(layout.words.keys() - odd)
    plain = sorted(set(range(len(layout.keys))).difference(odd, coded))
    names = [str(layout.names[place]) for place in plain]
    chosen: Any = plain
    if plain and plain[-1] - plain[0] < len(plain):
        chosen = slice(plain[0], plain[-1] + 1)  # a view
    matrices = [piece.matrix[:, chosen] for piece in pieces]
    table = _table(sum(p.length for p in pieces), names, matrices, [*columns, *own], errors)
    if coded:
        table = replace(
            table,
            word_names=tuple(str(layout.names[place]) for place in coded),
            words=tuple(layout.words[place] for place in coded),
            codes=np.concatenate([piece.matrix[:, coded].astype(np.uint8) for piece in pieces]),
        )
    return table, containers


def _column(pieces: Sequence[Cells], place: int, words: tuple[str, ...] | None) -> list[Any]:
    """Values of a column that some piece could not hold as numbers or codes."""
    if len(pieces) == 1:
        return pieces[0].odd[place]
    values: list[Any] = []
    for piece in pieces:
        held = piece.odd.get(place)
        if held is None:
            held = piece.matrix[:, place].tolist()
            held = held if words is None else [words[int(code)] for code in held]
        values += held
    return values


def types_of(values: list[Any]) -> set[type]:
    """The types of all values."""
    if values and type(values[0]) is float and _floats(values) is not None:
        return {float}
    if values and type(values[0]) is str:
        try:
            "".join(values)  # refuses everything else, in less than half the time of looking
        except TypeError:
            pass
        else:
            return {str}
    return set(map(type, values))


def columns_table(n: int, columns: Sequence[Column], errors: BoolArray | None) -> Table:
    """Columns of n records as a table."""
    return _table(n, [], [], columns, errors)


def beside(left: Table, right: Table) -> Table:
    """Two tables of the same records and different names as one; ``errors`` are the right one's."""
    return Table(
        length=left.length,
        number_names=left.number_names + right.number_names,
        numbers=np.concatenate([left.numbers, right.numbers], axis=1),
        text_names=left.text_names + right.text_names,
        texts=left.texts + right.texts,
        kinds=left.kinds | right.kinds,
        errors=right.errors,
    )


def _coded(values: list[Any], place: int, width: int, codes: Mapping[str, float]) -> bool:
    """Puts codes into the flat list in the place of words; False: some are none."""
    taken = values[place::width]
    try:
        found = itemgetter(*taken)(codes) if len(taken) > 1 else [codes[taken[0]]]
    except (KeyError, TypeError):
        return False
    values[place::width] = found
    return True


def _moved(values: list[Any], place: int, width: int) -> list[Any]:
    """Takes a column out of the flat list; numbers stand in for it."""
    taken = values[place::width]
    values[place::width] = [0.5] * len(taken)
    return taken


def _matrix(values: list[Any], odd: dict[int, list[Any]], layout: Layout, n: int) -> FloatArray:
    """All values as (n, width) floats, after those that are no numbers have been moved to ``odd``.

    Packing refuses everything but numbers and booleans at C speed. The booleans hide behind 0 and
    1, so only columns that hold one of these are looked at again. Nothing hides where all values
    are floats, which is tried first unless the objects are known to hold integers.
    """
    width = len(layout.keys)
    while True:
        if not layout.integers:
            floats = _floats(values)
            if floats is not None:
                return floats.reshape(n, width)
        try:
            packed = struct.pack(f"{len(values)}d", *values)
        except struct.error:
            for place in range(width):
                if place not in odd and not set(map(type, values[place::width])) <= _NUMBERS:
                    layout.odd.add(place)
                    odd[place] = _moved(values, place, width)
            continue
        matrix = np.frombuffer(packed, np.float64).reshape(n, width)
        suspects = np.flatnonzero(((matrix == 0.0) | (matrix == 1.0)).any(axis=0))
        booleans = [p for p in suspects.tolist() if bool in set(map(type, values[p::width]))]
        for place in booleans:
            layout.odd.add(place)
            odd[place] = _moved(values, place, width)
        layout.integers = layout.integers or not booleans
        return matrix


def _floats(values: list[Any]) -> FloatArray | None:
    """The values, None unless all are floats.

    MessagePack writes a float as its own mark and 8 bytes: if there is a mark at every ninth byte,
    and nothing behind the last one's, there are floats only. It writes twice as fast as ``struct``.
    """
    if not values:
        return np.empty(0)
    try:
        packed = msgspec.msgpack.encode(values)
    except (TypeError, OverflowError):
        return None
    start = len(packed) - 9 * len(values)
    if start != _header(len(values)):
        return None
    if packed[start::9].count(_FLOAT) != len(values):
        return None
    return np.frombuffer(packed, _MARKED, offset=start)["value"]


def _header(length: int) -> int:
    """Bytes before the first item of a MessagePack array."""
    if length < 16:
        return 1
    return 3 if length < 65_536 else 5


def _table(
    n: int,
    names: list[str],
    matrices: Sequence[FloatArray],
    columns: Sequence[Column],
    errors: BoolArray | None = None,
) -> Table:
    numeric = [one for one in columns if one.numbers is not None]
    textual = [one for one in columns if one.texts is not None]
    numbers = np.empty((n, len(names) + len(numeric)))
    start = 0
    for matrix in matrices:
        numbers[start : start + len(matrix), : len(names)] = matrix
        start += len(matrix)
    for place, one in enumerate(numeric, start=len(names)):
        numbers[:, place] = one.numbers
    return tables.canonical(
        Table(
            length=n,
            number_names=(*names, *(one.name for one in numeric)),
            numbers=numbers,
            text_names=tuple(one.name for one in textual),
            texts=tuple(one.texts for one in textual if one.texts is not None),
            kinds={one.name: one.kinds for one in columns if one.kinds is not None},
            errors=errors,
        )
    )
