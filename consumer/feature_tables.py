"""Feature objects of many records to tables, one for each set of records with like keys."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from consumer import columns
from consumer.columns import Layout
from consumer.field_map import ABSENT, Record
from consumer.names import feature_name, shortened
from sketches.table import Table

_KEPT_KEYS = 200_000  # of all layouts together; beyond it they are learned anew
_NEAR = 8  # sets of keys that a further one is compared with


class Block(NamedTuple):
    """Some of the objects as a table.

    Attributes:
        places: Which of them, ascending; None: all.
        table: A row for each.
        containers: A row holds an object or an array, in hidden keys as well.
        cut: Names cut, counted in every row that has them.
    """

    places: NDArray[np.intp] | None
    table: Table
    containers: bool
    cut: int


class FeatureTables:
    """Makes tables of feature objects. What it remembers makes it fast, and changes nothing else.

    Args:
        name_bytes: Longer names end in a hash.
    """

    def __init__(self, name_bytes: int) -> None:
        self._name_bytes = name_bytes
        self._layouts: dict[tuple[tuple[str, ...], frozenset[str]], Layout] = {}
        self._keys = 0

    def blocks(self, objects: list[Record], hidden: frozenset[str]) -> Iterator[Block]:
        """Tables of n objects; each object is a row of one of them.

        Args:
            objects: Names and values.
            hidden: Keys that are not features.
        """
        shapes = list(map(tuple, objects))
        if not shapes:
            return
        if shapes.count(shapes[0]) == len(shapes):
            yield self._block(None, objects, shapes[0], hidden)
            return
        for keys, places in _alike(shapes):
            template: Record = dict.fromkeys(keys, ABSENT)
            padded = [template | objects[place] for place in places]
            yield self._block(np.array(places, np.intp), padded, keys, hidden)

    def flattened(self, features: Record, limited: Counter[str]) -> Record:
        """The same features without objects: ``{"a": {"b": 1}}`` is ``{"a.b": 1}``.

        Where two give the same name, the one with the longer literal key is kept, as in paths.
        Names cut are counted in ``limited``.
        """
        nested = [key for key, value in features.items() if type(value) is dict]
        if not nested:
            return features
        flat = {key: value for key, value in features.items() if type(value) is not dict}
        for key in sorted(nested, key=lambda key: (-len(key), key)):
            prefix = shortened(key, self._name_bytes)  # before it stands in front of many names
            for inner, value in self.flattened(features[key], limited).items():
                name = shortened(f"{prefix}.{inner}", self._name_bytes)
                limited["name_bytes"] += len(name) != len(prefix) + 1 + len(inner)
                flat.setdefault(name, value)
        return flat

    def _block(
        self,
        places: NDArray[np.intp] | None,
        objects: Sequence[Record],
        keys: tuple[str, ...],
        hidden: frozenset[str],
    ) -> Block:
        layout = self._layout(keys, hidden)
        values = list(chain.from_iterable(map(dict.values, objects)))
        table, containers = columns.features([columns.cells(values, len(objects), layout)], layout)
        return Block(places, table, containers, _cut(objects, layout, self._name_bytes))

    def _layout(self, keys: tuple[str, ...], hidden: frozenset[str]) -> Layout:
        layout = self._layouts.get((keys, hidden))
        if layout is None:
            layout = layout_of(keys, hidden, self._name_bytes)
            if self._keys + len(keys) > _KEPT_KEYS:
                self._layouts.clear()
                self._keys = 0
            if len(keys) <= _KEPT_KEYS // 10 and not layout.cut:  # long names would be held here
                self._layouts[keys, hidden] = layout
                self._keys += len(keys) + 1
        return layout


def _cut(objects: Sequence[Record], layout: Layout, name_bytes: int) -> int:
    """Names cut in n objects with the same keys; a name that is absent is not cut."""
    if not layout.cut:
        return 0
    long = [
        key
        for key, name in zip(layout.keys, layout.names, strict=True)
        if name is not None and len(key.encode()) > name_bytes
    ]
    return sum(one[key] is not ABSENT for one in objects for key in long)


def layout_of(keys: tuple[str, ...], hidden: frozenset[str], name_bytes: int) -> Layout:
    """The layout of objects with these keys in this order.

    Args:
        keys: The keys.
        hidden: Those that are not features.
        name_bytes: Longer names end in a hash.
    """
    names = tuple(None if key in hidden else feature_name(key, name_bytes) for key in keys)
    cut = sum(
        name is not None and len(key.encode()) > name_bytes
        for key, name in zip(keys, names, strict=True)
    )
    return Layout(keys, names, cut)


def _alike(shapes: list[tuple[str, ...]]) -> list[tuple[tuple[str, ...], list[int]]]:
    """Sets of keys that cover the shapes without much room left over, and who belongs to each."""
    by_shape: dict[tuple[str, ...], list[int]] = {}
    for place, shape in enumerate(shapes):
        by_shape.setdefault(shape, []).append(place)
    found: list[tuple[dict[str, None], int, list[int]]] = []
    for shape, places in by_shape.items():
        for at in range(len(found) - 1, max(-1, len(found) - 1 - _NEAR), -1):
            keys, fewest, members = found[at]
            fewest = min(fewest, len(shape))
            more = [key for key in shape if key not in keys]
            if len(keys) + len(more) <= 2 * fewest + 8:
                keys.update(dict.fromkeys(more))
                members.extend(places)
                found[at] = keys, fewest, members
                break
        else:
            found.append((dict.fromkeys(shape), len(shape), places))
    return [(tuple(keys), sorted(members)) for keys, _, members in found]
