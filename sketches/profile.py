"""Profiles: mergeable statistics of records, the only thing that is kept of the data."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import starmap
from typing import Literal, NamedTuple

import numpy as np

from . import categories, numbers
from .categories import Categories
from .numbers import Columns, Numbers
from .outcomes import with_outcomes
from .table import IntArray, Kind, Table
from .tables import kinds_of, spelled_out

CHUNK = 8192  # records of a chunk, at most
KINDS = len(Kind)
_KEPT_PLANS = 64  # of the rules of a model
ValueKind = Literal["auto", "numeric", "categorical"]


@dataclass(frozen=True, slots=True)
class ProfileRules:
    """How the features of a model are profiled.

    Attributes:
        kind_of: Feature name -> ``auto``: each value by its own type; ``categorical``: numbers
            count as texts; ``numeric``: texts that are numbers count as numbers.
        is_hashed: Feature name -> its values are hashed before they are counted.
        is_withheld: Feature name -> minimum and maximum are not told.
        plans: What follows for tables of certain names, remembered for speed.
    """

    kind_of: Callable[[str], ValueKind] = lambda name: "auto"
    is_hashed: Callable[[str], bool] = lambda name: False
    is_withheld: Callable[[str], bool] = lambda name: False
    plans: dict[tuple[tuple[str, ...], ...], _Plan] = field(
        default_factory=dict, repr=False, compare=False
    )


@dataclass(frozen=True, slots=True)
class Profile:
    """Statistics of the records of one (model, version, segment).

    Attributes:
        records: Readable records.
        errors: Records that say that the prediction failed.
        late: Records counted in a later window than their own.
        clock_ahead: Records whose event time was not believed.
        rejects: Reason -> records that could not be read.
        names: Names of all features, ascending.
        kinds: Shape (len(names), 7), records by ``Kind``; the ABSENT column is 0, since a record
            knows nothing of a feature that comes later: see ``missing``.
        numbers: The number parts.
        texts: Feature -> its text and boolean part, names ascending.
    """

    records: int = 0
    errors: int = 0
    late: int = 0
    clock_ahead: int = 0
    rejects: dict[str, int] = field(default_factory=dict)
    names: tuple[str, ...] = ()
    kinds: IntArray = field(default_factory=lambda: np.zeros((0, KINDS), dtype=np.int64))
    numbers: Numbers = field(default_factory=numbers.none)
    texts: dict[str, Categories] = field(default_factory=dict)

    @staticmethod
    def empty() -> Profile:
        """Nothing."""
        return Profile()

    def missing(self) -> IntArray:
        """Records in which a feature is absent or null, shape (len(names),)."""
        present: IntArray = self.kinds[:, Kind.NUMBER :].sum(axis=1)
        return self.records - present

    def select(self, names: Sequence[str]) -> Profile:
        """The same records, and of their features only ``names``, which must ascend."""
        wanted = frozenset(names)
        kept = [place for place, name in enumerate(self.names) if name in wanted]
        return replace(
            self,
            names=tuple(self.names[place] for place in kept),
            kinds=self.kinds[kept],
            numbers=self.numbers.select([name for name in self.numbers.names if name in wanted]),
            texts={name: held for name, held in self.texts.items() if name in wanted},
        )


def profile_table(table: Table, rules: ProfileRules | None = None) -> Profile:
    """Profile one chunk.

    Raises:
        ValueError: The table has more than ``CHUNK`` rows.
    """
    return profile_tables([(table, rules or ProfileRules())])[0]


def profile_tables(chunks: Sequence[tuple[Table, ProfileRules]]) -> list[Profile]:
    """Profile many chunks at once, each as if it were alone, to the last bit.

    Raises:
        ValueError: A table has more than ``CHUNK`` rows.
    """
    longest = max((table.length for table, _ in chunks), default=0)
    if longest > CHUNK:
        raise ValueError(f"a chunk has at most {CHUNK} records, not {longest}")
    planned = list(starmap(_planned, chunks))
    columns = [Columns(plan.number_names, table.numbers, plan.order) for table, plan in planned]
    built = numbers.build_all(columns)
    return [_profile(*each, found) for each, found in zip(planned, built, strict=True)]


def _profile(table: Table, plan: _Plan, found: Numbers) -> Profile:
    names, kinds = _kinds(table, plan)
    texts = {
        name: categories.count(table.texts[at], hashed=hashed) for name, at, hashed in plan.texts
    }
    if table.word_names:
        held = categories.count_words(table.words, table.codes, plan.hashed)
        texts = dict(sorted({**texts, **dict(zip(table.word_names, held, strict=True))}.items()))
    return Profile(
        records=table.length,
        errors=0 if table.errors is None else int(np.count_nonzero(table.errors)),
        names=names,
        kinds=kinds,
        numbers=_withheld(found, plan.withheld) if plan.withheld else found,
        texts={name: held for name, held in texts.items() if held.counts},
    )


class _Plan(NamedTuple):
    """What follows from the names of a table alone.

    Attributes:
        number_names: Ascending.
        order: The column of each.
        texts: Name, column, whether its values are hashed; names ascending.
        hashed: Of each column of words, whether its values are.
        names: All of them, ascending.
        plain: Shape (len(names), 7): one record by kind, where all values are of plain kinds.
        withheld: Names whose extremes are not told.
        forced: The kind of some is forced by the configuration.
    """

    number_names: tuple[str, ...]
    order: tuple[int, ...]
    texts: tuple[tuple[str, int, bool], ...]
    hashed: tuple[bool, ...]
    names: tuple[str, ...]
    plain: IntArray
    withheld: frozenset[str]
    forced: bool


def _planned(table: Table, rules: ProfileRules) -> tuple[Table, _Plan]:
    """A table with outcomes, of the kinds that the configuration forces, and its plan."""
    table = with_outcomes(table)
    plan = _plan(table, rules)
    if not plan.forced:
        return table, plan
    table = _forced(spelled_out(table), rules)
    return table, _plan(table, rules)


def _plan(table: Table, rules: ProfileRules) -> _Plan:
    key = table.number_names, table.text_names, table.word_names
    plan = rules.plans.get(key)
    if plan is None:
        if len(rules.plans) >= _KEPT_PLANS:
            rules.plans.clear()
        plan = rules.plans[key] = _plan_of(*key, rules)
    return plan


def _plan_of(
    number_names: tuple[str, ...],
    text_names: tuple[str, ...],
    word_names: tuple[str, ...],
    rules: ProfileRules,
) -> _Plan:
    order = sorted(range(len(number_names)), key=number_names.__getitem__)
    texts = sorted((name, at, rules.is_hashed(name)) for at, name in enumerate(text_names))
    hashed = tuple(map(rules.is_hashed, word_names))
    names = tuple(sorted({*number_names, *text_names, *word_names}))
    plain = np.zeros((len(names), KINDS), dtype=np.int64)
    numeric = frozenset(number_names)
    for place, name in enumerate(names):
        plain[place, Kind.NUMBER if name in numeric else Kind.TEXT] = 1
    withheld = frozenset(filter(rules.is_withheld, number_names))
    ordered = tuple(number_names[at] for at in order)
    forced = any(rules.kind_of(name) == "categorical" for name in number_names)
    forced = forced or any(rules.kind_of(name) == "numeric" for name in text_names + word_names)
    return _Plan(ordered, tuple(order), tuple(texts), hashed, names, plain, withheld, forced)


def _kinds(table: Table, plan: _Plan) -> tuple[tuple[str, ...], IntArray]:
    """Names that are not absent in every row, ascending, and their rows by kind."""
    if not table.length:
        return (), plan.plain[:0]
    plain = plan.plain * table.length
    if not table.kinds:
        return plan.names, plain
    rows = dict(zip(plan.names, plain, strict=True))
    for name, column in table.kinds.items():
        rows[name] = np.bincount(column, minlength=KINDS)
    names = sorted(rows)
    kinds = np.array([rows[name] for name in names], dtype=np.int64)
    kinds[:, Kind.ABSENT] = 0
    held = np.flatnonzero(kinds.any(axis=1))
    return tuple(names[place] for place in held.tolist()), kinds[held]


def _withheld(found: Numbers, names: frozenset[str]) -> Numbers:
    hidden = np.array([name in names for name in found.names], dtype=bool)
    return replace(
        found,
        minimum=np.where(hidden, np.nan, found.minimum),
        maximum=np.where(hidden, np.nan, found.maximum),
    )


def _forced(table: Table, rules: ProfileRules) -> Table:
    """The table with the kinds that the configuration forces."""
    names = {*table.number_names, *table.text_names}
    wanted = {name: rules.kind_of(name) for name in names}
    for name in sorted(names):
        if wanted[name] == "categorical" and name in table.number_names:
            table = _as_text(table, name)
        elif wanted[name] == "numeric" and name in table.text_names:
            table = _as_number(table, name)
    return table


def _as_text(table: Table, name: str) -> Table:
    at = table.number_names.index(name)
    held = table.numbers[:, at].tolist()
    column: list[str | None] = [None if math.isnan(x) else _written(x) for x in held]
    kinds = kinds_of(table, name).copy()
    kinds[kinds == Kind.NUMBER] = Kind.TEXT
    texts = list(table.texts)
    text_names = table.text_names
    if name in text_names:
        place = text_names.index(name)
        texts[place] = [
            a if a is not None else b for a, b in zip(texts[place], column, strict=True)
        ]
    else:
        text_names = (*text_names, name)
        texts.append(column)
    return replace(
        table,
        number_names=table.number_names[:at] + table.number_names[at + 1 :],
        numbers=np.delete(table.numbers, at, axis=1),
        text_names=text_names,
        texts=tuple(texts),
        kinds=table.kinds | {name: kinds},
    )


def _written(value: float) -> str:
    return str(int(value)) if value.is_integer() and abs(value) < 2**63 else repr(value)


def _as_number(table: Table, name: str) -> Table:
    place = table.text_names.index(name)
    kinds = kinds_of(table, name).copy()
    read = np.full(table.length, np.nan)
    rest: list[str | None] = []
    for row, text in enumerate(table.texts[place]):
        value = _number(text) if kinds[row] == Kind.TEXT else None
        rest.append(text if value is None else None)
        if value is not None:
            read[row] = value
            kinds[row] = Kind.NUMBER
    values, names = table.numbers, table.number_names
    if name in names:
        at = names.index(name)
        values = values.copy()
        values[:, at] = np.where(np.isnan(values[:, at]), read, values[:, at])
    else:
        names = (*names, name)
        values = np.column_stack([values, read])
    texts = (*table.texts[:place], rest, *table.texts[place + 1 :])
    return replace(
        table, number_names=names, numbers=values, texts=texts, kinds=table.kinds | {name: kinds}
    )


def _number(text: str | None) -> float | None:
    if text is None or "_" in text:  # Python's own way to write 1_000
        return None
    try:
        value = float(text)
    except ValueError:
        return None
    return value if np.isfinite(value) else None


def merge(profiles: Sequence[Profile]) -> Profile:
    """Add profiles up, in the order given.

    Counts and bins do not depend on order or grouping, nor do categories below their cap; moments
    are floats and do, in their last bits. Merging the first ones first changes no bit of them.
    """
    return merge_all([profiles])[0]


def merge_all(groups: Sequence[Sequence[Profile]]) -> list[Profile]:
    """Add up the profiles of each group, each as if it were alone, to the last bit."""
    several = [profiles for profiles in groups if len(profiles) != 1]
    merged = iter(numbers.merge_all([[p.numbers for p in profiles] for profiles in several]))
    return [
        profiles[0] if len(profiles) == 1 else _merged(profiles, next(merged))
        for profiles in groups
    ]


def _merged(profiles: Sequence[Profile], found: Numbers) -> Profile:
    rejects: Counter[str] = Counter()
    for profile in profiles:
        rejects.update(profile.rejects)
    names, kinds = _merged_kinds(profiles)
    texts: dict[str, list[Categories]] = {}
    for profile in profiles:
        for name, held in profile.texts.items():
            texts.setdefault(name, []).append(held)
    return Profile(
        records=sum(p.records for p in profiles),
        errors=sum(p.errors for p in profiles),
        late=sum(p.late for p in profiles),
        clock_ahead=sum(p.clock_ahead for p in profiles),
        rejects=dict(sorted(rejects.items())),
        names=names,
        kinds=kinds,
        numbers=found,
        texts={name: categories.merge(texts[name]) for name in sorted(texts)},
    )


def _merged_kinds(profiles: Sequence[Profile]) -> tuple[tuple[str, ...], IntArray]:
    first = profiles[0].names if profiles else ()
    if profiles and all(p.names == first for p in profiles):
        return first, np.sum([p.kinds for p in profiles], axis=0)
    names = tuple(sorted({name for p in profiles for name in p.names}))
    at = {name: place for place, name in enumerate(names)}
    kinds = np.zeros((len(names), KINDS), dtype=np.int64)
    for profile in profiles:
        if profile.names:
            kinds[[at[name] for name in profile.names]] += profile.kinds
    return names, kinds


def redact(profile: Profile, min_records: int) -> Profile:
    """What is told of so few records that a statistic could be about one of them.

    With ``min_records`` or more, everything. With fewer, the counts, and of numbers the bins,
    widened to an eighth of the largest value's size or more, with the mean and m2 of those; of
    texts how many there are, none by name.
    """
    if profile.records >= min_records or not profile.names:
        return profile
    return replace(
        profile,
        numbers=numbers.coarse(profile.numbers),
        texts={name: Categories({}, held.total) for name, held in profile.texts.items()},
    )


def profiles_equal(one: Profile, other: Profile) -> bool:
    """Every count, bin, name and float is the same, to the bit; NaN equals NaN."""
    return _bits(one) == _bits(other)


def _bits(profile: Profile) -> tuple[object, ...]:
    held, bins = profile.numbers, profile.numbers.histogram
    arrays = (
        *(profile.kinds, held.count, held.mean, held.m2, held.minimum, held.maximum, held.zeros),
        *(bins.starts, bins.scale, bins.index, bins.count, bins.folded),
    )
    texts = [(name, list(each.counts.items()), each) for name, each in profile.texts.items()]
    return (
        *(profile.records, profile.errors, profile.late, profile.clock_ahead, profile.rejects),
        *(profile.names, held.names, texts),
        *((each.dtype.str, each.shape, each.tobytes()) for each in arrays),
    )
