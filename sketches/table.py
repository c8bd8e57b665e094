"""Decoded records of one (model, version, segment) as columns, the input of a profile."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
KindArray = NDArray[np.uint8]
BoolArray = NDArray[np.bool_]
CodeArray = NDArray[np.uint8]


class Kind(IntEnum):
    """The JSON type of one feature in one record, as counted in a profile."""

    ABSENT = 0
    NULL = 1
    NUMBER = 2  # a finite number
    TEXT = 3
    BOOLEAN = 4
    NON_FINITE = 5  # NaN or an infinity, where a format can carry one
    OTHER = 6  # an object or an array: counted, not looked into


# A record's own fields are profiled as features under these names. A feature whose own name starts
# with "@" gets a second "@" in front, so the two never meet.
PREDICTION = "@prediction"
SCORE = "@score"
LABEL = "@label"
LATENCY = "@latency"


@dataclass(frozen=True, slots=True)
class Table:
    """Columns of ``length`` records of one (model, version, segment), in offset order.

    A value stands in the part of its own type: finite numbers in ``numbers``, texts and booleans in
    ``texts``. A name may stand in both. A name in neither, or a row marked so in ``kinds``, is
    absent or null there. A name that holds one of a few texts in every row may stand in
    ``word_names`` instead, and then nowhere else.

    Attributes:
        length: Number of records, n.
        number_names: F names, the columns of ``numbers``.
        numbers: Shape (n, F), float64. NaN where the row holds no finite number.
        text_names: G names, one list of ``texts`` each.
        texts: G lists of n values; ``None`` where the row holds neither text nor boolean; a boolean
            is ``"true"`` or ``"false"``.
        kinds: For each name that does not hold the same plain kind in every row (NUMBER if in
            ``number_names``, else TEXT): the ``Kind`` of every row, shape (n,), uint8.
        word_names: H names, the columns of ``codes``.
        words: The texts of each, at most 256.
        codes: Shape (n, H), uint8: which of them.
        errors: Shape (n,), bool: the record says that the prediction failed. None: none does.
    """

    length: int
    number_names: tuple[str, ...]
    numbers: FloatArray
    text_names: tuple[str, ...] = ()
    texts: tuple[list[str | None], ...] = ()
    kinds: dict[str, KindArray] = field(default_factory=dict)
    errors: BoolArray | None = None
    word_names: tuple[str, ...] = ()
    words: tuple[tuple[str, ...], ...] = ()
    codes: CodeArray = field(default_factory=lambda: np.zeros((0, 0), np.uint8))
