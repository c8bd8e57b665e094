from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from consumer.columns import column, columns_table, types_of
from sketches.profile import ProfileRules, profile_table, profiles_equal
from sketches.table import Kind, Table
from sketches.tables import concatenate, interleave, kinds_of, names, spelled_out, take, without
from tests.decoded_rows import Row, table_rows

ROWS: st.SearchStrategy[list[dict[str, object]]] = st.lists(
    st.dictionaries(
        st.sampled_from("abcd"),
        st.sampled_from([None, True, 1, 2.5, "x", "y", []]),
        max_size=4,
    ),
    max_size=9,
)


def table_of(rows: list[dict[str, object]]) -> Table:
    known = sorted({name for row in rows for name in row})
    columns = []
    for name in known:
        values = [row.get(name, ...) for row in rows]
        columns.append(column(name, values, types_of(values)))
    errors = np.array(["a" in row for row in rows], np.bool_)
    table = columns_table(len(rows), columns, errors if errors.any() else None)
    return worded(table) if len(rows) % 3 else table  # what is put together may differ in it


def worded(table: Table) -> Table:
    """The table with the columns that hold nothing but texts as words."""
    mixed = {*table.number_names, *table.kinds}
    mine = [at for at, name in enumerate(table.text_names) if name not in mixed]
    words = ("w", "x", "y", "12")
    codes = [[words.index(str(text)) for text in table.texts[at]] for at in mine]
    rest = [at for at in range(len(table.texts)) if at not in mine]
    return replace(
        table,
        text_names=tuple(table.text_names[at] for at in rest),
        texts=tuple(table.texts[at] for at in rest),
        word_names=tuple(table.text_names[at] for at in mine),
        words=(words,) * len(mine),
        codes=np.array(codes, np.uint8).reshape(len(mine), table.length).T,
    )


@given(st.lists(st.sampled_from(["w", "x", "12"]), min_size=1, max_size=9), st.integers(1, 3))
@settings(max_examples=60, deadline=None)
def test_words_give_the_profile_that_their_texts_give(column: list[str], width: int) -> None:
    texts: tuple[list[str | None], ...] = tuple([*column[at:], *column[:at]] for at in range(width))
    plain = Table(len(column), (), np.empty((len(column), 0)), ("b", "a", "c")[:width], texts)
    table = worded(plain)
    assert len(table.word_names) == width
    assert spelled_out(table).texts == texts
    for rules in (
        ProfileRules(),
        ProfileRules(is_hashed=lambda name: name == "a"),
        ProfileRules(kind_of=lambda name: "numeric" if name == "b" else "auto"),
    ):
        assert profiles_equal(profile_table(table, rules), profile_table(plain, rules))


def told(table: Table) -> list[tuple[Row, bool]]:
    errors = [False] * table.length if table.errors is None else table.errors.tolist()
    return list(zip(table_rows(table), errors, strict=True))


@given(st.lists(ROWS, max_size=4))
@settings(max_examples=300, deadline=None)
def test_concatenated_tables_are_the_table_of_all_rows(
    lists: list[list[dict[str, object]]],
) -> None:
    together = concatenate([table_of(rows) for rows in lists])
    assert told(together) == told(table_of([row for rows in lists for row in rows]))


@given(ROWS, st.data())
@settings(max_examples=300, deadline=None)
def test_taken_rows_are_a_table_of_them_alone(
    rows: list[dict[str, object]], data: st.DataObject
) -> None:
    places = data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=9)) if rows else []
    start, stop = sorted(data.draw(st.tuples(st.integers(0, 9), st.integers(0, 9))))
    table = table_of(rows)
    assert told(take(table, np.array(places, np.intp))) == told(
        table_of([rows[place] for place in places])
    )
    assert told(take(table, slice(start, stop))) == told(table_of(rows[start:stop]))


@given(ROWS, st.data())
@settings(max_examples=200, deadline=None)
def test_interleaved_rows_stand_by_position(
    rows: list[dict[str, object]], data: st.DataObject
) -> None:
    owner = [data.draw(st.integers(0, 2)) for _ in rows]
    positions = [np.flatnonzero(np.array(owner, np.intp) == number) for number in range(3)]
    parts = [table_of([rows[place] for place in each.tolist()]) for each in positions]
    assert told(interleave(parts, positions)) == told(table_of(rows))


def test_nothing() -> None:
    empty = concatenate([])
    assert (empty.length, empty.numbers.shape) == (0, (0, 0))
    assert take(empty, np.array([], np.intp)).length == 0


def test_taken_numbers_do_not_hold_the_whole_batch() -> None:
    table = Table(4, ("a",), np.arange(4.0).reshape(4, 1))
    assert take(table, slice(1, 2)).numbers.base is None


def test_without_some_names() -> None:
    table = table_of([{"a": 1, "b": "x", "c": None}, {"a": 2, "b": 3}])
    assert names(table) == ["a", "b", "c"]
    assert names(without(table, frozenset({"b", "z"}))) == ["a", "c"]
    assert table_rows(without(table, frozenset({"a"})))[1] == {"b": (Kind.NUMBER, 3.0)}
    assert kinds_of(table, "z").tolist() == [Kind.ABSENT] * 2
