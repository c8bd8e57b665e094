"""Shapes: which keys some records have and what each may hold, with a parser for just these.

A shape accepts only records that the general way would read by the same plan, to the same values:
unknown keys, missing ones that decide on the plan, and values of a type that is read by looking
deeper are refused. A field may hold any scalar, so a change of type costs nothing; but a text field
with a vocabulary holds these words alone, which saves making an object of each.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Annotated, Any, Final, Literal, NamedTuple

import msgspec

from consumer.columns import Cells, Layout
from consumer.feature_tables import layout_of
from consumer.field_map import ABSENT, FieldPaths, Plan, Record

_WIDEST, _CHARACTERS = 2_000, 50_000  # keys of a shape
_DEEPEST = 4  # levels of objects and arrays that nobody reads; deeper ones fit no shape
_WORDS, _LONGEST_WORD = 32, 64  # words of a vocabulary, characters of a word
_NAME = re.compile(r'[^"\\\x00-\x1f]*')  # what the parser can look for

_Number = float | bool | None
_Scalar = str | _Number
# The general parser makes floats of longer integers: those fit no shape.
_ExactNumber = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)] | _Number
_EXACT: Final = ("event_time", "model", "version", "segment")  # where 1 and 1.0 differ
_NAMED: Final = ("model", "version", "segment", "prediction", "label")  # may have a vocabulary

Identity = tuple[object, ...]  # equal for equal plans
Place = tuple[bool, str]  # in the features object or not, key
Words = Mapping[Place, tuple[str, ...]]  # vocabularies
NO_WORDS: Final[Words] = {}


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
        words: Vocabularies.
        plain: The same shape without them; None: it has none.
        parse: One value to a struct, refusing what does not fit.
        fitted: Records of the last piece that did.
    """

    __slots__ = ("fitted", "identity", "layout", "parse", "plain", "plan", "seen", "words")

    def __init__(
        self,
        plan: Plan,
        identity: Identity,
        seen: Seen,
        layout: Layout,
        words: Words,
        parse: Callable[[bytes], Any],
    ) -> None:
        self.plan = plan
        self.identity = identity
        self.seen = seen
        self.layout = layout
        self.words = words
        self.parse = parse
        self.plain: Shape | None = None
        self.fitted = 0


class ShapeRules(NamedTuple):
    """What bounds the shapes of a topic.

    Attributes:
        fields: The configured paths.
        name_bytes: Records with longer names of features fit no shape.
        nesting: Limit of levels in a record.
    """

    fields: FieldPaths
    name_bytes: int
    nesting: int


def shape_of(
    rules: ShapeRules, plan: Plan, identity: Identity, seen: Seen, words: Words = NO_WORDS
) -> Shape | None:
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
    layout = layout_of(top, hidden, rules.name_bytes)
    if layout.cut:
        return None
    nested = isinstance(plan.features, str)
    layout.learn({key: held for (inside, key), held in words.items() if inside == nested})
    struct = _struct(_types(rules, plan, seen, words), _required(rules.fields, plan))
    return Shape(plan, identity, seen, layout, words, msgspec.json.Decoder(struct).decode)


def words_of(
    plan: Plan, layout: Layout, fields: Mapping[str, Sequence[Any]], features: Sequence[Cells]
) -> Words:
    """The vocabularies of texts that are few, of one piece of records.

    Args:
        plan: How the records are read.
        layout: Of their features.
        fields: Path -> values.
        features: Values of their features.
    """
    found: dict[Place, tuple[str, ...]] = {}
    for field in _NAMED:
        path = plan.paths.get(field)
        if path is not None and path in fields and (words := _few(fields[path])):
            found[False, path] = words
    nested = isinstance(plan.features, str)
    for place in sorted({place for piece in features for place in piece.odd}):
        values = [value for piece in features for value in piece.odd.get(place, (None,))]
        if layout.names[place] is not None and (words := _few(values)):
            found[nested, layout.keys[place]] = words
    return found


def _few(values: Sequence[Any]) -> tuple[str, ...]:
    if type(values[0]) is not str or set(map(type, values)) != {str}:
        return ()
    words = sorted(set(values))
    if len(words) > _WORDS or max(map(len, words)) > _LONGEST_WORD:
        return ()
    return tuple(words)


def seen_of(plan: Plan, records: islice[Record]) -> Seen | None:
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


def union(one: Seen, other: Seen) -> Seen | None:
    """The keys of both, None if they have too little in common."""
    top = tuple(dict.fromkeys(one.top + other.top))
    inner = tuple(dict.fromkeys(one.inner + other.inner))
    nested = one.nested | other.nested
    both = Seen(top, inner, nested, min(one.fewest, other.fewest))
    mixed = any((nested ^ each.nested) & frozenset(each.top) for each in (one, other))
    return None if mixed or both.width > 1.5 * both.fewest + 4 else both


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


def _required(fields: FieldPaths, plan: Plan) -> frozenset[str]:
    """Keys without which another plan might hold, and that of the features object."""
    features = {plan.features} if isinstance(plan.features, str) else set()
    guessed = {path for field, path in plan.paths.items() if getattr(fields, field) is None}
    return frozenset(features | guessed)


def _types(rules: ShapeRules, plan: Plan, seen: Seen, words: Words) -> dict[str, Any]:
    """What each key at the top may hold."""
    levels = min(rules.nesting - 1, _DEEPEST)
    anything: Any = _Scalar
    inside: Any = _Scalar
    for _ in range(levels):
        inside = anything
        anything = _Scalar | list[inside] | dict[str, inside]
    lists: Any = list[_Scalar] if rules.nesting > 2 else None

    def feature(place: Place) -> Any:  # noqa: ANN401 - a type
        return _text(words.get(place)) | _Number | lists

    types: dict[str, Any] = dict.fromkeys(seen.top, anything)
    if plan.features is None:
        types |= {key: _text(words.get((False, key))) | _Number for key in seen.top}
        types |= dict.fromkeys(plan.hidden.intersection(seen.top), anything)
        for key in seen.nested:  # a feature where it holds null
            types[key] = list[inside] | dict[str, inside]
    elif isinstance(plan.features, str):
        inner = {key: feature((True, key)) for key in seen.inner}
        types[plan.features] = _struct(inner, frozenset())
    else:
        types |= {key: feature((False, key)) for key in plan.features if key in types}
    for field, path in plan.paths.items():
        if path not in types:
            continue
        if field in _EXACT:
            types[path] = _text(words.get((False, path))) | _ExactNumber
        elif (False, path) in words:
            types[path] = _text(words[False, path]) | _Number
    return types


def _text(words: tuple[str, ...] | None) -> Any:  # noqa: ANN401 - a type
    return str if words is None else Literal[words]


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
