"""The decoder says of every record what a plain one says, whatever the batches were."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from consumer.batch import RawBatch
from consumer.json_decoder import json_decoder
from consumer.rejects import REASONS
from consumer.settings import Constants, FeatureSettings, FieldMap, Limits
from tests.decoded_rows import Slow, Told, told

LIMITS = Limits(name_bytes=20, nesting=5, message_bytes=400)
KEYS = st.sampled_from(
    ["a", "b", "c", "a.b", "a.b.c", "b.c", "", "@x", "@prediction", "a name that is too long", "é"]
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 3),
    st.integers(2**60, 2**63),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["", "x", "3", "true", "🌊", "long " * 9]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=6,
)
FLAT = st.dictionaries(KEYS, SCALARS, max_size=5)
OBJECTS = st.dictionaries(KEYS, VALUES, max_size=5)
TIMES = st.sampled_from(
    [
        0,
        -1,
        1767225600,
        1767225600123,
        1767225600123456,
        1.7e9,
        "2026-01-01T00:00:00Z",
        "soon",
        True,
    ]
)
NAMES = st.sampled_from(
    ["m", "n", "", 3, 3.5, True, None, [1], {"name": "m", "version": 2}, "m" * 30]
)
RECORDS = st.fixed_dictionaries(
    {},
    optional={
        "features": st.one_of(FLAT, FLAT, OBJECTS, VALUES),
        "input": st.one_of(SCALARS, FLAT),
        "event_time": TIMES,
        "ts": TIMES,
        "model": NAMES,
        "version": NAMES,
        "prediction": VALUES,
        "score": SCALARS,
        "latency_ms": st.sampled_from([1, 2.5, "3", None, []]),
        "error": VALUES,
        "id": SCALARS,
        "request_id": SCALARS,
        "a": VALUES,
        "b": SCALARS,
        "a.b": SCALARS,
        "else": VALUES,
    },
)
BROKEN = st.sampled_from(
    [
        None,
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"a": NaN}',
        b"\xff{}",
        b'{"a": "\xed\xa0\x80"}',
        b'{"a": 1} {}',
        b'{"a": "' + b"x" * 400 + b'"}',
        b'{"a": 1, "a": "last"}',
    ]
)
MESSAGES = st.one_of(
    RECORDS.map(lambda record: json.dumps(record).encode()),
    RECORDS.map(lambda record: json.dumps(record, ensure_ascii=False).encode()),
    BROKEN,
)
MAPS = st.sampled_from(
    [
        FieldMap(),
        FieldMap(),
        FieldMap(features="a", model="a.b", segment="b"),
        FieldMap(features=("a", "b", "a.b.c"), event_time="ts", event_time_unit="s"),
        FieldMap(features="else.a", label="a.b", id="b", version="else"),
    ]
)


def settings_of(model: str, name: str) -> FeatureSettings:
    return FeatureSettings(include=not (name == "b" and model in ("m", "topic")))


def raw(values: Sequence[bytes | None], start: int = 0) -> RawBatch:
    offsets = np.arange(start, start + len(values))
    return RawBatch("topic", 0, offsets, offsets * 1_000, values)


def decoder(fields: FieldMap, limits: Limits = LIMITS) -> Any:
    return json_decoder(fields, Constants(segment="eu"), "topic", limits, settings_of)


def slow(fields: FieldMap) -> Slow:
    return Slow(
        fields, Constants(segment="eu"), "topic", LIMITS, lambda m, n: settings_of(m, n).include
    )


@given(MAPS, st.lists(MESSAGES, max_size=30), st.lists(MESSAGES, max_size=5))
@settings(max_examples=400, deadline=None)
def test_says_what_the_plain_decoder_says(
    fields: FieldMap, values: list[bytes | None], before: list[bytes | None]
) -> None:
    decode = decoder(fields)
    decode(raw(before))  # what it has seen before changes nothing
    found = told(decode(raw(values)))
    assert found == [slow(fields).decode(value) for value in values]
    assert all(one in REASONS for one in found if isinstance(one, str))


@given(MAPS, st.lists(MESSAGES, min_size=1, max_size=30), st.data())
@settings(max_examples=150, deadline=None)
def test_cuts_between_batches_change_nothing(
    fields: FieldMap, values: list[bytes | None], data: st.DataObject
) -> None:
    cuts = data.draw(st.sets(st.integers(0, len(values)), max_size=5))
    edges = [0, *sorted(cuts), len(values)]
    decode = decoder(fields)
    parts = [told(decode(raw(values[start:stop], start))) for start, stop in pairwise(edges)]
    assert [one for part in parts for one in part] == told(decoder(fields)(raw(values)))


@given(st.lists(st.binary(max_size=60) | st.text(max_size=30).map(str.encode), max_size=20))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_answered(values: list[bytes]) -> None:
    found = told(decoder(FieldMap())(raw(values)))
    assert [isinstance(one, Told) or one in REASONS for one in found] == [True] * len(values)


@given(st.lists(st.dictionaries(st.text(max_size=3), SCALARS, max_size=6), max_size=12))
@settings(max_examples=100, deadline=None)
def test_first_features_by_name_are_kept_whatever_the_batches(
    records: list[dict[str, Any]],
) -> None:
    """Adding tables up and cutting again gives what one table would have given."""
    limits = Limits(features=4)
    values = [json.dumps({"features": record}).encode() for record in records]
    kept = told(decoder(FieldMap(), limits)(raw(values)))
    everything = told(decoder(FieldMap(), Limits())(raw(values)))
    names = {name for one in everything if isinstance(one, Told) for name in one.row}
    first = set(sorted(names)[:4])
    for one, whole in zip(kept, everything, strict=True):
        assert isinstance(one, Told)
        assert isinstance(whole, Told)
        assert one.row == {name: value for name, value in whole.row.items() if name in first}
