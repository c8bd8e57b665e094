"""Tables put together and cut, so that the result says nothing about how the records came.

Every function returns the canonical form: a name is in ``number_names`` if a row holds a number, in
``text_names`` if one holds a text or a boolean, in ``kinds`` if not every row holds its plain kind,
and nowhere if it is absent in every row. So a chunk of records gives the same columns whatever the
batches were that brought them. The order of the names has no meaning, and neither has it whether a
name of few texts is in ``text_names`` or in ``word_names``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from sketches.table import FloatArray, IntArray, Kind, KindArray, Table

Rows = NDArray[np.integer]
_WORDS = 256  # of a column


def concatenate(tables: Sequence[Table]) -> Table:
    """The rows of all tables, one table after the other.

    A name that a table does not have is absent in that table's rows.
    """
    tables = [table for table in tables if table.length]
    if len(tables) < 2:
        return canonical(tables[0]) if tables else Table(0, (), np.empty((0, 0)))
    runs = [list(run) for _, run in groupby(tables, lambda table: (table.word_names, table.words))]
    if 1 < len(runs) < len(tables):  # few have other words than those before them
        return concatenate([concatenate(run) for run in runs])
    tables = with_like_words(tables)
    number_names = _union([table.number_names for table in tables])
    text_names = _union([table.text_names for table in tables])
    return canonical(
        Table(
            length=sum(table.length for table in tables),
            number_names=number_names,
            numbers=_stacked(tables, number_names),
            text_names=text_names,
            texts=_joined(tables, text_names),
            kinds=_kinds(tables, frozenset(number_names), frozenset(text_names)),
            errors=_errors(tables),
            word_names=tables[0].word_names,
            words=tables[0].words,
            codes=np.concatenate([table.codes for table in tables]),
        )
    )


def spelled_out(table: Table) -> Table:
    """The table with its words as texts."""
    if not table.word_names:
        return table
    texts: list[list[str | None]] = [
        list(map(words.__getitem__, codes))
        for words, codes in zip(table.words, table.codes.T.tolist(), strict=True)
    ]
    return replace(
        table,
        text_names=table.text_names + table.word_names,
        texts=(*table.texts, *texts),
        word_names=(),
        words=(),
        codes=np.zeros((0, 0), np.uint8),
    )


def with_like_words(tables: Sequence[Table]) -> Sequence[Table]:
    """The same tables with the same columns of words, or else with none.

    A column of words has those of all tables, and takes in texts that are few.
    """
    held = [(table.word_names, table.words) for table in tables]
    if held.count(held[0]) == len(held):
        return tables
    every = {name: dict[str, int]() for table in tables for name in table.word_names}
    coded = [[_coded(table, name, known) for name, known in every.items()] for table in tables]
    words = tuple(map(tuple, every.values()))
    found = []
    for table, columns in zip(tables, coded, strict=True):
        codes = [column for column in columns if column is not None]
        if len(codes) < len(every) or max(map(len, words)) > _WORDS:
            return [spelled_out(table) for table in tables]
        rest = [at for at, name in enumerate(table.text_names) if name not in every]
        found.append(
            replace(
                table,
                text_names=tuple(table.text_names[at] for at in rest),
                texts=tuple(table.texts[at] for at in rest),
                word_names=tuple(every),
                words=words,
                codes=np.stack(codes, axis=1).astype(np.uint8),
            )
        )
    return found


def _coded(table: Table, name: str, known: dict[str, int]) -> IntArray | None:
    """The texts of a name as codes, new ones added to those known; None: it holds others too."""
    if name in table.word_names:
        at = table.word_names.index(name)
        own = [known.setdefault(word, len(known)) for word in table.words[at]]
        return np.array(own)[table.codes[:, at]]
    if name in table.kinds or name in table.number_names or name not in table.text_names:
        return None
    column = table.texts[table.text_names.index(name)]
    for text in dict.fromkeys(column):
        if text is None or len(known) > _WORDS:
            return None
        known.setdefault(text, len(known))
    return np.fromiter(map(known.__getitem__, column), np.int64, len(column))  # type: ignore[arg-type]


def take(table: Table, rows: Rows | slice, *, lasting: bool = True) -> Table:
    """The given rows of a table, in the order given.

    Args:
        table: A table of n rows.
        rows: Positions, 0 to n - 1, or a slice of positive step.
        lasting: It is to be kept longer than the table, whose memory it must not hold.
    """
    if isinstance(rows, slice):
        if rows.indices(table.length) == (0, table.length, 1):
            return canonical(table)
        texts = tuple(column[rows] for column in table.texts)
        length = len(range(*rows.indices(table.length)))
    else:
        places = rows.tolist()
        texts = tuple(list(map(column.__getitem__, places)) for column in table.texts)
        length = len(places)
    errors = None if table.errors is None else table.errors[rows]
    return canonical(
        Table(
            length=length,
            number_names=table.number_names,
            numbers=np.array(table.numbers[rows], order="C") if lasting else table.numbers[rows],
            text_names=table.text_names,
            texts=texts,
            kinds={name: np.array(kinds[rows]) for name, kinds in table.kinds.items()},
            errors=np.array(errors) if errors is not None and errors.any() else None,
            word_names=table.word_names,
            words=table.words,
            codes=np.array(table.codes[rows]) if table.word_names else table.codes,
        )
    )


def interleave(tables: Sequence[Table], positions: Sequence[Rows]) -> Table:
    """The rows of all tables by ascending position.

    Args:
        tables: Tables of n1, n2, ... rows.
        positions: For each table the positions of its rows, n1, n2, ... of them, all different.
    """
    together = concatenate(tables)
    places = np.concatenate([np.asarray(rows) for rows in positions])
    if len(places) < 2 or (np.diff(places) > 0).all():
        return together
    return take(together, np.argsort(places, kind="stable"))


def names(table: Table) -> list[str]:
    """Every name of the table, sorted."""
    return sorted({*table.number_names, *table.text_names, *table.word_names, *table.kinds})


def without(table: Table, dropped: frozenset[str]) -> Table:
    """The table without some names."""
    if dropped.isdisjoint(names(table)):
        return table
    columns = [i for i, name in enumerate(table.number_names) if name not in dropped]
    texts = [i for i, name in enumerate(table.text_names) if name not in dropped]
    words = [i for i, name in enumerate(table.word_names) if name not in dropped]
    return Table(
        length=table.length,
        number_names=tuple(table.number_names[i] for i in columns),
        numbers=np.ascontiguousarray(table.numbers[:, columns]),
        text_names=tuple(table.text_names[i] for i in texts),
        texts=tuple(table.texts[i] for i in texts),
        kinds={name: kinds for name, kinds in table.kinds.items() if name not in dropped},
        errors=table.errors,
        word_names=tuple(table.word_names[i] for i in words),
        words=tuple(table.words[i] for i in words),
        codes=table.codes[:, words] if words else np.zeros((table.length, 0), np.uint8),
    )


def kinds_of(table: Table, name: str) -> KindArray:
    """The kind of a name's value in every row, shape (n,)."""
    kinds = table.kinds.get(name)
    if kinds is not None:
        return kinds
    if name in table.number_names:
        plain = Kind.NUMBER
    else:
        texts = name in table.text_names or name in table.word_names
        plain = Kind.TEXT if texts else Kind.ABSENT
    return np.full(table.length, plain, np.uint8)


def canonical(table: Table) -> Table:
    """The same table without columns that hold nothing and kinds that say nothing."""
    if not table.length:
        return Table(0, (), np.empty((0, 0)))
    if not table.kinds:  # every row of every name holds its plain kind
        return table
    empty_numbers: set[str] = set()
    empty_texts: set[str] = set()
    kinds: dict[str, KindArray] = {}
    numeric = frozenset(table.number_names)
    for name, column in table.kinds.items():
        counts = np.bincount(column, minlength=len(Kind))
        if not counts[Kind.NUMBER]:
            empty_numbers.add(name)
        if not counts[Kind.TEXT] + counts[Kind.BOOLEAN]:
            empty_texts.add(name)
        plain = Kind.NUMBER if name in numeric and counts[Kind.NUMBER] else Kind.TEXT
        if table.length not in (counts[plain], counts[Kind.ABSENT]):
            kinds[name] = column
    keep = [i for i, name in enumerate(table.number_names) if name not in empty_numbers]
    texts = [i for i, name in enumerate(table.text_names) if name not in empty_texts]
    all_numbers = len(keep) == len(table.number_names)
    return Table(
        length=table.length,
        number_names=tuple(table.number_names[i] for i in keep),
        numbers=table.numbers if all_numbers else np.ascontiguousarray(table.numbers[:, keep]),
        text_names=tuple(table.text_names[i] for i in texts),
        texts=tuple(table.texts[i] for i in texts),
        kinds=kinds,
        errors=table.errors,
        word_names=table.word_names,
        words=table.words,
        codes=table.codes,
    )


def _union(lists: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    first = lists[0]
    if all(one == first for one in lists):
        return first
    return tuple(dict.fromkeys(name for one in dict.fromkeys(lists) for name in one))


def _stacked(tables: Sequence[Table], number_names: tuple[str, ...]) -> FloatArray:
    if all(table.number_names == number_names for table in tables):
        return np.concatenate([table.numbers for table in tables])
    place = {name: i for i, name in enumerate(number_names)}
    numbers = np.full((sum(table.length for table in tables), len(number_names)), np.nan)
    start = 0
    for table in tables:
        stop = start + table.length
        numbers[start:stop, [place[name] for name in table.number_names]] = table.numbers
        start = stop
    return numbers


def _joined(tables: Sequence[Table], text_names: tuple[str, ...]) -> tuple[list[str | None], ...]:
    texts: list[list[str | None]] = [[] for _ in text_names]
    for table in tables:
        own = dict(zip(table.text_names, table.texts, strict=True))
        for name, column in zip(text_names, texts, strict=True):
            values = own.get(name)
            column.extend([None] * table.length if values is None else values)
    return tuple(texts)


def _kinds(
    tables: Sequence[Table], numeric: frozenset[str], textual: frozenset[str]
) -> dict[str, KindArray]:
    """Kinds of the names that are not of their plain kind in every table."""
    odd: set[str] = set(numeric & textual)
    for held in {(table.number_names, table.text_names, tuple(table.kinds)) for table in tables}:
        odd |= numeric.difference(held[0]) | (textual - numeric).difference(held[1])
        odd.update(held[2])
    if not odd:
        return {}
    length = sum(table.length for table in tables)
    kinds = {name: np.zeros(length, np.uint8) for name in sorted(odd)}  # absent
    start = 0
    for table in tables:
        stop = start + table.length
        for name in table.text_names:
            if name in odd:
                kinds[name][start:stop] = Kind.TEXT
        for name in table.number_names:
            if name in odd:
                kinds[name][start:stop] = Kind.NUMBER
        for name, column in table.kinds.items():
            kinds[name][start:stop] = column
        start = stop
    return kinds


def _errors(tables: Sequence[Table]) -> NDArray[np.bool_] | None:
    if all(table.errors is None for table in tables):
        return None
    errors = np.zeros(sum(table.length for table in tables), np.bool_)
    start = 0
    for table in tables:
        if table.errors is not None:
            errors[start : start + table.length] = table.errors
        start += table.length
    return errors
