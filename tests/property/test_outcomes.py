"""Errors and calibration of predictions, against a plain reference."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sketches.outcomes import CALIBRATION, PREDICTION_ERROR, with_outcomes
from sketches.profile import profile_table
from sketches.table import Kind, Table
from sketches.tables import canonical

VALUES = st.one_of(
    st.none(), st.booleans(), st.sampled_from(["a", "b", "true"]), st.sampled_from([0, 1, 0.25, -3])
)
RECORDS = st.lists(
    st.fixed_dictionaries({}, optional={"prediction": VALUES, "score": VALUES, "label": VALUES}),
    min_size=1,
    max_size=20,
)


def plain_error(record: dict[str, Any]) -> float:
    """One record at a time."""
    said, true = record.get("prediction"), record.get("label")
    if said is None or true is None:
        return math.nan
    numbers = [
        isinstance(each, int | float) and not isinstance(each, bool) for each in (said, true)
    ]
    if all(numbers):
        return float(abs(said - true))
    if any(numbers):
        return math.nan
    texts = [str(each).lower() if isinstance(each, bool) else each for each in (said, true)]
    return float(texts[0] != texts[1])


def plain_calibration(record: dict[str, Any]) -> float:
    """One record at a time."""
    score, label = record.get("score"), record.get("label")
    if score is None or isinstance(score, bool | str) or not 0 <= score <= 1:
        return math.nan
    if label == "true":
        label = True
    if label is None or isinstance(label, str) or label not in (0, 1):
        return math.nan
    return float(label - score)


def text_of(value: object) -> str | None:
    """As a table has it."""
    return (
        str(value).lower() if isinstance(value, bool) else value if isinstance(value, str) else None
    )


def kind_of(value: object) -> Kind:
    if value is None:
        return Kind.NULL
    if isinstance(value, bool):
        return Kind.BOOLEAN
    return Kind.TEXT if isinstance(value, str) else Kind.NUMBER


def table_of(records: list[dict[str, Any]]) -> Table:
    """Each field twice, as numbers and as texts; what is in neither is dropped."""
    fields = ("prediction", "score", "label")
    names = tuple(f"@{field}" for field in fields)
    rows = [[record.get(field) for field in fields] for record in records]
    numbers = [[v if kind_of(v) == Kind.NUMBER else math.nan for v in row] for row in rows]
    texts = tuple([text_of(row[at]) for row in rows] for at in range(3))
    kinds = {
        name: np.array([kind_of(row[at]) for row in rows], np.uint8)
        for at, name in enumerate(names)
    }
    return canonical(Table(len(rows), names, np.array(numbers, np.float64), names, texts, kinds))


@given(RECORDS)
def test_outcomes_are_those_of_each_record(records: list[dict[str, Any]]) -> None:
    found = with_outcomes(table_of(records))
    for name, plain in ((PREDICTION_ERROR, plain_error), (CALIBRATION, plain_calibration)):
        wanted = [plain(record) for record in records]
        if name not in found.number_names:
            assert all(map(math.isnan, wanted))
            continue
        column = found.numbers[:, found.number_names.index(name)]
        np.testing.assert_array_equal(column, wanted)
        profile = profile_table(table_of(records))
        at = profile.names.index(name)
        assert profile.kinds[at, Kind.NUMBER] == np.count_nonzero(~np.isnan(wanted))
        assert profile.missing()[at] == np.count_nonzero(np.isnan(wanted))


def test_words_are_compared_as_texts_are() -> None:
    words = (("cat", "dog"), ("cat", "dog", "eel"))
    codes = np.array([[0, 0], [1, 0], [1, 2], [1, 1]], np.uint8)
    table = Table(
        4,
        (),
        np.zeros((4, 0)),
        word_names=("@prediction", "@label"),
        words=words,
        codes=codes,
    )
    profile = profile_table(table)
    held = profile.numbers
    assert held.names == (PREDICTION_ERROR,)
    assert (held.count[0], held.zeros[0]) == (4, 2)


def test_nothing_is_added_without_a_label() -> None:
    table = Table(2, ("@prediction", "@score"), np.array([[1.0, 0.5], [0.0, 0.25]]))
    assert with_outcomes(table) is table
