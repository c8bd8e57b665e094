"""Batches made of plain records, as a decoder would make them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from consumer.batch import NO_TIME, Batch, Group, RecordKey, Reject
from sketches.table import FloatArray, Kind, KindArray, Table
from tests.reference_borders import Record


def kind_of(value: float | str | bool | None) -> Kind:
    if value is None:
        return Kind.NULL
    if isinstance(value, bool):
        return Kind.BOOLEAN
    return Kind.TEXT if isinstance(value, str) else Kind.NUMBER


def text_of(value: float | str | bool | None) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else None


def table_of(records: Sequence[Record], *, plain_layout: bool = True) -> Table:
    """The table of some records; plain: names ascend and rows lie together, else neither."""
    rows = [dict(record.features) for record in records]
    found: dict[str, KindArray] = {}
    for row, features in enumerate(rows):
        for name, value in features.items():
            kinds = found.setdefault(name, np.zeros(len(rows), dtype=np.uint8))
            kinds[row] = kind_of(value)
    found = dict(sorted(found.items(), reverse=not plain_layout))
    number_names = tuple(name for name, kinds in found.items() if (kinds == Kind.NUMBER).any())
    textual = {name for name, kinds in found.items() if np.isin(kinds, (3, 4)).any()}
    text_names = tuple(name for name in found if name in textual)
    order: Literal["C", "F"] = "C" if plain_layout else "F"
    numbers: FloatArray = np.full((len(rows), len(number_names)), np.nan, order=order)
    for row, features in enumerate(rows):
        for column, name in enumerate(number_names):
            value = features.get(name)
            if kind_of(value) == Kind.NUMBER and value is not None:
                numbers[row, column] = float(value)
    plain = {name: Kind.NUMBER if name in number_names else Kind.TEXT for name in found}
    return Table(
        length=len(rows),
        number_names=number_names,
        numbers=numbers,
        text_names=text_names,
        texts=tuple([text_of(features.get(name)) for features in rows] for name in text_names),
        kinds={name: kinds for name, kinds in found.items() if (kinds != plain[name]).any()},
    )


def batch_of(records: Sequence[Record], limited: dict[str, int] | None = None) -> Batch:
    rows: dict[RecordKey, list[int]] = {}
    rejects = []
    for row, record in enumerate(records):
        if record.reject is None:
            rows.setdefault(RecordKey(*record.key), []).append(row)
        else:
            rejects.append(Reject(row, record.reject, None, ""))
    return Batch(
        offsets=np.array([record.offset for record in records], dtype=np.int64),
        timestamps=np.array([record.timestamp for record in records], dtype=np.int64),
        times=np.array([NO_TIME if r.time is None else r.time for r in records], dtype=np.int64),
        groups=tuple(
            Group(
                key,
                np.array(held, dtype=np.intp),
                table_of([records[row] for row in held], plain_layout=len(held) % 2 == 0),
            )
            for key, held in rows.items()
        ),
        rejects=tuple(rejects),
        reject_model="m",
        limited=limited or {},
    )
