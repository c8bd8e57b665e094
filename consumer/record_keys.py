"""Whose records they are: model, version and segment out of JSON values."""

from __future__ import annotations

from collections.abc import Sequence
from types import EllipsisType
from typing import Any, NamedTuple

from consumer.names import shortened


class Names(NamedTuple):
    """Names of n records.

    Attributes:
        names: n names; of no meaning where ``wrong`` says so.
        wrong: Rows whose value cannot be a name, ascending.
        cut: How many of the names were too long.
    """

    names: list[str]
    wrong: list[int]
    cut: int


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
        return Names([name] * len(values), wrong, len(values) * (name != (first or fallback)))
    known: dict[Any, str] = {value: value or fallback for value in set(values)}
    known |= {None: fallback, ...: fallback}
    kept = {value: shortened(name, limit) for value, name in known.items()}
    cut = {value for value, name in kept.items() if name != known[value]}
    names = list(map(kept.__getitem__, values))
    return Names(names, wrong, sum(map(cut.__contains__, values)) if cut else 0)


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
