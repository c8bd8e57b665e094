"""What a record says about its own prediction once it carries the label.

- ``@prediction_error``: distance of the prediction from the label where both are numbers; 0 or 1
  where both are texts or booleans: its mean is the mean absolute error, or the error rate;
- ``@calibration``: label less score, where the label is 0 or 1, or a boolean, and the score is a
  probability: 0 on average as long as the model is calibrated (Dawid, "The well-calibrated
  Bayesian", Journal of the American Statistical Association 77, 1982).

They are profiled and watched as features are, so how many records carry a label is as well.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .table import LABEL, PREDICTION, SCORE, FloatArray, Kind, Table

PREDICTION_ERROR = "@prediction_error"
CALIBRATION = "@calibration"

_NONE = np.array(None, dtype=object)
_LARGEST = np.finfo(np.float64).max


def with_outcomes(table: Table) -> Table:
    """The table with a column for each that some row has; the same table if none has a label."""
    if not any(
        LABEL in names for names in (table.number_names, table.text_names, table.word_names)
    ):
        return table
    found = {PREDICTION_ERROR: _error(table), CALIBRATION: _calibration(table)}
    told = {name: values for name, values in found.items() if np.isfinite(values).any()}
    if not told:
        return table
    kinds = {
        name: np.where(np.isnan(values), np.uint8(Kind.ABSENT), np.uint8(Kind.NUMBER))
        for name, values in told.items()
        if np.isnan(values).any()
    }
    return replace(
        table,
        number_names=(*table.number_names, *told),
        numbers=np.column_stack([table.numbers.reshape(table.length, -1), *told.values()]),
        kinds=table.kinds | kinds,
    )


def _error(table: Table) -> FloatArray:
    with np.errstate(over="ignore"):
        far = np.abs(_numbers(table, PREDICTION) - _numbers(table, LABEL))
    said, true = _texts(table, PREDICTION), _texts(table, LABEL)
    if said is None or true is None:
        return np.minimum(far, _LARGEST)
    both = np.not_equal(said, _NONE) & np.not_equal(true, _NONE)
    return np.where(both, np.not_equal(said, true).astype(np.float64), np.minimum(far, _LARGEST))


def _calibration(table: Table) -> FloatArray:
    score, label = _numbers(table, SCORE), _numbers(table, LABEL)
    texts = _texts(table, LABEL)
    if texts is not None:
        for text, value in (("false", 0.0), ("true", 1.0)):
            label = np.where(np.equal(texts, text), value, label)
    known = (score >= 0) & (score <= 1) & ((label == 0) | (label == 1))
    return np.where(known, label - score, np.nan)


def _numbers(table: Table, name: str) -> FloatArray:
    if name not in table.number_names:
        return np.full(table.length, np.nan)
    return table.numbers[:, table.number_names.index(name)]


def _texts(table: Table, name: str) -> NDArray[Any] | None:
    """Texts of n rows as objects, ``None`` where a row holds none; None: no row holds one."""
    if name in table.text_names:
        found = np.empty(table.length, dtype=object)
        found[:] = table.texts[table.text_names.index(name)]
        return found
    if name in table.word_names:
        at = table.word_names.index(name)
        return np.array(table.words[at], dtype=object)[table.codes[:, at]]
    return None
