"""Records that look like those before them, parsed straight into fields: the fast path of JSON.

A shape says which keys records have, at their top and in their features object. It is learned from
records that were decoded in the general way, and accepts only records that the general way would
read by the same plan, to the same values: everything else is refused and left to it. So shapes make
decoding fast and change nothing else.

What makes the two ways equal: unknown keys, missing ones that decide on the plan, and values of a
type that is read by looking deeper are refused. A field may hold any scalar, so a change of type
costs nothing. Each value is parsed alone; what is no JSON for one parser is none for the other.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice, pairwise
from typing import Annotated, Any, Final, NamedTuple

import msgspec
import orjson
from msgspec.structs import astuple

from consumer.columns import Cells, Layout, cells
from consumer.feature_tables import layout_of
from consumer.field_map import ABSENT, FieldPaths, Plan, Record

_SHAPES = 4  # tried one after the other
_SAMPLE = 64  # records that a shape is learned from
_CACHED_BYTES = 400_000
_WIDEST, _CHARACTERS = 2_000, 50_000  # keys of a shape
_LONGEST_PAUSE, _LONGEST_WAIT = 64, 256  # pieces
_MISSES = 32  # so many, and as many again as fit: the rest is not tried
_SEARCHES = 1_000  # keys that the parser looks past in a record whose keys stand in another order
_DEEPEST = 4  # levels of objects and arrays that nobody reads; deeper ones fit no shape
_NAME = re.compile(r'[^"\\\x00-\x1f]*')  # what the parser can look for
_REFUSED = (msgspec.DecodeError, UnicodeDecodeError, RecursionError, TypeError)

_Scalar = float | str | bool | None
# The general parser makes floats of longer integers: those fit no shape.
_Exact = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)] | float | str | bool | None
_UNREAD: Final = ("id",)
_EXACT: Final = ("event_time", "model", "version", "segment")  # where 1 and 1.0 differ

Identity = tuple[object, ...]  # equal for equal plans


class Seen(NamedTuple):
    """Keys of some records that are read by one plan.

    Attributes:
        top: Those at the top, in their order.
        inner: Those of the features objects; empty if there is none.
        nested: Keys at the top that hold an object or an array where a feature could stand.
        fewest: How many the record with the fewest has.
    """

    top: tuple[str, ...]
    inner: tuple[str, ...]
    nested: frozenset[str]
    fewest: int

    @property
    def width(self) -> int:
        """How many keys."""
        return len(self.top) + len(self.inner)


class Shape:
    """Records with certain keys.

    Attributes:
        plan: How they are read.
        identity: Of the plan.
        seen: Their keys.
        layout: Of their features.
        parse: One value to a struct, refusing what does not fit.
        fitted: Records of the last piece that did.
    """

    __slots__ = ("fitted", "identity", "layout", "parse", "plan", "seen")

    def __init__(
        self,
        plan: Plan,
        identity: Identity,
        seen: Seen,
        layout: Layout,
        parse: Callable[[bytes], Any],
    ) -> None:
        self.plan = plan
        self.identity = identity
        self.seen = seen
        self.layout = layout
        self.parse = parse
        self.fitted = 0


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
        fields: The configured paths.
        name_bytes: Records with longer names of features fit no shape.
        nesting: Limit of levels in a record.
    """

    def __init__(self, fields: FieldPaths, name_bytes: int, nesting: int) -> None:
        self._fields = fields
        self._name_bytes = name_bytes
        self._nesting = nesting
        self._shapes: list[Shape] = []
        self._pause = 0  # pieces that are left to the general way
        self._penalty = 0
        self._changes = 0
        self._wait = 0  # pieces until a few that do not fit are learned from
        self._learning = True

    def read(self, values: Sequence[bytes | None]) -> tuple[list[Fit], Sequence[int]]:
        """What fits a shape, and the positions of what does not."""
        left: Sequence[int] = range(len(values))
        self._wait = max(0, self._wait - 1)
        if not self._shapes or self._pause or not values:
            self._learning = not self._shapes and not self._pause
            self._pause = max(0, self._pause - 1)
            return [], left
        if self._disordered(values[0]):
            self._shapes.clear()
            self._punish()
            return [], left
        fits: list[Fit] = []
        for shape in self._shapes:
            some = values if len(left) == len(values) else [values[place] for place in left]
            fit, missed = _read(shape, some)
            shape.fitted = len(some) - len(missed)
            if shape.fitted:
                places = left
                if missed:
                    out = set(missed)
                    places = [place for at, place in enumerate(left) if at not in out]
                fits.append(fit._replace(places=places))
            left = [left[at] for at in missed]
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
        if not self._learning or self._nesting < 2:
            return
        seen = _seen(plan, islice(records, _SAMPLE))
        if seen is None:
            return
        for place, shape in enumerate(self._shapes):
            if shape.identity == identity:
                both = _union(shape.seen, seen)
                if both is not None:
                    if both.width > shape.seen.width:
                        self._put(place, self._shape(plan, identity, both))
                    return
        self._put(min(len(self._shapes), _SHAPES - 1), self._shape(plan, identity, seen))

    def _put(self, place: int, shape: Shape | None) -> None:
        if shape is not None:
            self._shapes[place : place + 1] = [shape]
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

    def _shape(self, plan: Plan, identity: Identity, seen: Seen) -> Shape | None:
        """The shape of these keys, None if they cannot have one."""
        top, inner = seen.top, seen.inner
        keys = (*top, *inner)
        if seen.width > _WIDEST or sum(map(len, keys)) > _CHARACTERS or not _plain(plan, top):
            return None
        if not all(map(_NAME.fullmatch, keys)):
            return None
        hidden = plan.hidden | seen.nested
        if isinstance(plan.features, str):
            top, hidden = inner, frozenset()
        elif plan.features is not None:
            hidden = frozenset(top).difference(plan.features)
        layout = layout_of(top, hidden, self._name_bytes)
        if layout.cut:
            return None
        struct = _struct(self._types(plan, seen), self._required(plan))
        parse = msgspec.json.Decoder(struct).decode
        return Shape(plan, identity, seen, layout, parse)

    def _required(self, plan: Plan) -> frozenset[str]:
        """Keys without which another plan might hold, and that of the features object."""
        features = {plan.features} if isinstance(plan.features, str) else set()
        guessed = {
            path for field, path in plan.paths.items() if getattr(self._fields, field) is None
        }
        return frozenset(features | guessed)

    def _types(self, plan: Plan, seen: Seen) -> dict[str, Any]:
        """What each key at the top may hold."""
        levels = min(self._nesting - 1, _DEEPEST)
        anything: Any = _Scalar
        inside: Any = _Scalar
        for _ in range(levels):
            inside = anything
            anything = _Scalar | list[inside] | dict[str, inside]
        feature: Any = _Scalar | list[_Scalar] if self._nesting > 2 else _Scalar
        types: dict[str, Any] = dict.fromkeys(seen.top, anything)
        if plan.features is None:
            types |= dict.fromkeys(set(seen.top) - plan.hidden, _Scalar)
            for key in seen.nested:  # a feature where it holds null
                types[key] = list[inside] | dict[str, inside]
        elif isinstance(plan.features, str):
            types[plan.features] = _struct(dict.fromkeys(seen.inner, feature), frozenset())
        else:
            types |= {key: feature for key in plan.features if key in types}
        exact = {plan.paths[field] for field in _EXACT if field in plan.paths}
        types |= {key: _Exact for key in exact if key in types}
        return types


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


def _plain(plan: Plan, top: tuple[str, ...]) -> bool:
    """Whether all that is read stands at the top, under its full name."""
    paths = {*plan.paths.values()}
    if isinstance(plan.features, str):
        if plan.features not in top or plan.features in paths:
            return False
        paths.add(plan.features)
    elif plan.features is not None:
        paths.update(plan.features)
    return not any(path.startswith(f"{key}.") for path in paths for key in top)


def _seen(plan: Plan, records: islice[Record]) -> Seen | None:
    """The keys of those records that can have a shape; None if none can."""
    top: dict[str, None] = {}
    inner: dict[str, None] = {}
    nested: set[str] = set()
    flat: set[str] = set()
    fewest = 0
    for record in records:
        features: Record = {}
        if isinstance(plan.features, str):
            found = record.get(plan.features)
            if type(found) is not dict or dict in set(map(type, found.values())):
                continue
            features = found
        elif plan.features is None:
            for key, value in record.items():
                (nested if isinstance(value, dict | list) else flat).add(key)
        width = len(record) + len(features)
        fewest = min(fewest or width, width)
        top |= dict.fromkeys(record)
        inner |= dict.fromkeys(features)
    nested -= plan.hidden
    if not top or not nested.isdisjoint(flat):
        return None
    return Seen(tuple(top), tuple(inner), frozenset(nested), fewest)


def _union(one: Seen, other: Seen) -> Seen | None:
    """The keys of both, None if they have too little in common."""
    top = tuple(dict.fromkeys(one.top + other.top))
    inner = tuple(dict.fromkeys(one.inner + other.inner))
    nested = one.nested | other.nested
    both = Seen(top, inner, nested, min(one.fewest, other.fewest))
    mixed = any((nested ^ each.nested) & frozenset(each.top) for each in (one, other))
    return None if mixed or both.width > 1.5 * both.fewest + 4 else both


def _struct(types: dict[str, Any], required: frozenset[str]) -> type[msgspec.Struct]:
    return msgspec.defstruct(
        "Record",
        [
            (f"f{place}", kind) if key in required else (f"f{place}", kind, ABSENT)
            for place, (key, kind) in enumerate(types.items())
        ],
        rename={f"f{place}": key for place, key in enumerate(types)},
        forbid_unknown_fields=True,
        kw_only=True,
        gc=False,
    )


def _searches(known: tuple[str, ...], keys: Record) -> int:
    """How many keys the parser looks past: it begins after the last one, and begins anew."""
    at = {key: place for place, key in enumerate(known)}
    places = [-1, *(at[key] for key in keys if key in at)]
    return sum((b - a - 1) % len(known) for a, b in pairwise(places))
