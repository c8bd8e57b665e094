"""Records that look like those before them, parsed straight into fields: the fast path of JSON.

Shapes are learned from records that were decoded in the general way; whatever fits none is left to
it. So shapes make decoding fast and change nothing else: ``consumer.shapes`` says why. Each value
is parsed alone; what is no JSON for one parser is none for the other.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice, pairwise
from typing import Any, Final, NamedTuple

import msgspec
import orjson
from msgspec.structs import astuple

from consumer.columns import Cells, Layout, cells
from consumer.field_map import Plan, Record
from consumer.shapes import (
    Identity,
    Place,
    Shape,
    ShapeRules,
    Words,
    seen_of,
    shape_of,
    union,
    words_of,
)

_SHAPES = 4  # tried one after the other
_SAMPLE = 64  # records that a shape is learned from
_CACHED_BYTES = 250_000
_LONGEST_PAUSE, _LONGEST_WAIT = 64, 256  # pieces
_MISSES = 32  # so many, and as many again as fit: the rest is not tried
_SEARCHES = 1_000  # keys that the parser looks past in a record whose keys stand in another order
_WORDED_RECORDS = 200  # that vocabularies are learned from
_UNKNOWN_WORDS = 0.02  # of the records may miss a vocabulary
_REFUSED = (msgspec.DecodeError, UnicodeDecodeError, RecursionError, TypeError)
_UNREAD: Final = ("id",)


class Fit(NamedTuple):
    """Records that fit a shape.

    Attributes:
        plan: How they are read.
        places: Positions in the piece, ascending.
        fields: Path -> values; ``ABSENT`` where there is none.
        features: Values of their features, some records after the others.
        layout: Of the features.
    """

    plan: Plan
    places: Sequence[int]
    fields: dict[str, list[Any]]
    features: list[Cells]
    layout: Layout


class TypedRecords:
    """One topic's shapes. A piece is decoded by ``read``, then what it left is given to ``learn``.

    Args:
        rules: What bounds the shapes.
    """

    def __init__(self, rules: ShapeRules) -> None:
        self._rules = rules
        self._shapes: list[Shape] = []
        self._pause = 0  # pieces that are left to the general way
        self._penalty = 0
        self._changes = 0
        self._wait = 0  # pieces until a few that do not fit are learned from
        self._learning = True
        self._worded = 0  # how often vocabularies were learned
        self._wordless = 0  # pieces until they are learned again

    def read(self, values: Sequence[bytes | None]) -> tuple[list[Fit], Sequence[int]]:
        """What fits a shape, and the positions of what does not."""
        left: Sequence[int] = range(len(values))
        self._wait = max(0, self._wait - 1)
        self._wordless = max(0, self._wordless - 1)
        if not self._shapes or self._pause or not values:
            self._learning = not self._shapes and not self._pause
            self._pause = max(0, self._pause - 1)
            return [], left
        if self._disordered(values[0]):
            self._shapes.clear()
            self._punish()
            return [], left
        fits: list[Fit] = []
        for number, shape in enumerate(self._shapes):
            fit, missed = _fit(shape, values, left)
            shape.fitted = len(fit.places)
            if fit.places:
                fits.append(fit)
            other: Fit | None = None  # for want of a word alone
            if missed and shape.plain is not None:
                other, missed = _fit(shape.plain, values, missed)
                shape.fitted += len(other.places)
                if other.places:
                    fits.append(other)
            self._words(number, fit, other)
            left = missed
            if not left:
                break
        self._shapes.sort(key=lambda shape: -shape.fitted)
        self._learning = bool(left) and not self._wait
        if 2 * len(left) > len(values):
            self._punish()
        else:
            self._penalty = 0
        return fits, left

    def learn(self, plan: Plan, identity: Identity, records: Sequence[Record]) -> None:
        """Learn a shape from records that fitted none."""
        if not self._learning or self._rules.nesting < 2:
            return
        seen = seen_of(plan, islice(records, _SAMPLE))
        if seen is None:
            return
        for place, shape in enumerate(self._shapes):
            if shape.identity == identity:
                both = union(shape.seen, seen)
                if both is not None:
                    if both.width > shape.seen.width:
                        self._put(place, shape_of(self._rules, plan, identity, both))
                    return
        last = min(len(self._shapes), _SHAPES - 1)
        self._put(last, shape_of(self._rules, plan, identity, seen))

    def _words(self, at: int, fit: Fit, other: Fit | None) -> None:
        """Give a shape vocabularies; take away those that keep too many records out.

        Args:
            at: The shape's place.
            fit: What fits it.
            other: What does but for a word.
        """
        shape = self._shapes[at]
        if other is not None and len(other.places) > _UNKNOWN_WORDS * shape.fitted:
            said = words_of(shape.plan, other.layout, other.fields, other.features)
            words = {place: held for place, held in shape.words.items() if _all(said, place, held)}
            self._worded += 1
            self._wordless = min(2**self._worded, _LONGEST_WAIT)
        elif self._wordless or len(fit.places) < _WORDED_RECORDS:
            return
        else:
            words = {**words_of(shape.plan, shape.layout, fit.fields, fit.features), **shape.words}
        if words == shape.words:
            self._wordless = _LONGEST_WAIT
            return
        plain = shape.plain or shape
        made = shape_of(self._rules, shape.plan, shape.identity, shape.seen, words)
        if made is not None:
            made.plain = plain if words else None
            made.fitted = shape.fitted
            made.layout.odd |= shape.layout.odd
            self._shapes[at] = made

    def _put(self, place: int, shape: Shape | None) -> None:
        if shape is not None:
            self._shapes[place : place + 1] = [shape]
            self._wordless = 0
            self._changes = min(self._changes + 1, _LONGEST_WAIT)
            self._wait = min(2**self._changes, _LONGEST_WAIT)

    def _punish(self) -> None:
        """What does not fit costs twice; a topic that goes on like this is tried ever less."""
        self._penalty = min(max(1, 2 * self._penalty), _LONGEST_PAUSE)
        self._pause = self._penalty
        self._learning = True

    def _disordered(self, value: bytes | None) -> bool:
        """Whether a record has its keys in another order, which makes finding them slow."""
        try:
            record = orjson.loads(value or b"")
        except orjson.JSONDecodeError:
            return False
        if type(record) is not dict:
            return False
        shape = self._shapes[0]
        features = record.get(shape.plan.features) if shape.seen.inner else None
        inner = features if type(features) is dict else {}
        pairs = ((shape.seen.top, record), (shape.seen.inner, inner))
        return any(
            known != (*keys,) and _searches(known, keys) > _SEARCHES for known, keys in pairs
        )


def _all(said: Words, place: Place, held: tuple[str, ...]) -> bool:
    """Whether all that records say in a place is in its vocabulary."""
    return place in said and frozenset(held).issuperset(said[place])


def _fit(
    shape: Shape, values: Sequence[bytes | None], left: Sequence[int]
) -> tuple[Fit, Sequence[int]]:
    """Of the values at some places, what fits a shape, and the places of what does not."""
    some = values if len(left) == len(values) else [values[place] for place in left]
    fit, missed = _read(shape, some)
    if not missed:
        return fit._replace(places=left), ()
    out = set(missed)
    places = [place for at, place in enumerate(left) if at not in out]
    return fit._replace(places=places), [left[at] for at in missed]


def _read(shape: Shape, values: Sequence[bytes | None]) -> tuple[Fit, list[int]]:
    """What fits a shape, and the positions of what does not.

    So few values at a time that all they hold stays in the processor's cache until it has been put
    into columns.
    """
    seen, features = shape.seen, shape.plan.features
    paths = {path for field, path in shape.plan.paths.items() if field not in _UNREAD}
    fields: dict[str, list[Any]] = {key: [] for key in seen.top if key in paths}
    places = [(fields[key], place) for place, key in enumerate(seen.top) if key in paths]
    nested = seen.top.index(features) if isinstance(features, str) else None
    pieces: list[Cells] = []
    missed: list[int] = []
    size = 1 + _CACHED_BYTES // (1 + len(values[0] or b""))
    for start in range(0, len(values), size):
        if len(missed) > _MISSES + start - len(missed):
            missed.extend(range(start, len(values)))
            break
        records, some = _parsed(shape.parse, values[start : start + size])
        missed.extend(start + place for place in some)
        n, width = len(records), len(seen.top)
        flat = _flat(records)
        for column, place in places:
            column.extend(flat[place::width])
        if nested is not None:
            flat = _flat(flat[nested::width])
        if n:
            pieces.append(cells(flat, n, shape.layout))
    return Fit(shape.plan, (), fields, pieces, shape.layout), missed


def _flat(structs: list[Any]) -> list[Any]:
    """The fields of the first struct, of the second and so on."""
    flat: list[Any] = []
    deque(map(flat.extend, map(astuple, structs)), 0)  # half the time of a chain
    return flat


def _parsed(
    parse: Callable[[bytes], Any], values: Sequence[bytes | None]
) -> tuple[list[Any], list[int]]:
    """Structs of the values that can be parsed, and the positions of the others."""
    records: list[Any] = []
    missed: list[int] = []
    parsing = map(parse, values)  # type: ignore[arg-type]  # None is refused
    while True:
        try:
            records.extend(parsing)  # keeps what it had got when one fails
        except _REFUSED:
            missed.append(len(records) + len(missed))
            if len(missed) < _MISSES + len(records):
                continue
            missed.extend(range(len(records) + len(missed), len(values)))
        return records, missed


def _searches(known: tuple[str, ...], keys: Record) -> int:
    """How many keys the parser looks past: it begins after the last one, and begins anew."""
    at = {key: place for place, key in enumerate(known)}
    places = [-1, *(at[key] for key in keys if key in at)]
    return sum((b - a - 1) % len(known) for a, b in pairwise(places))
