from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest

from consumer import json_decoder, json_records
from consumer.batch import Batch, Decoder, RawBatch
from consumer.settings import Constants, FeatureSettings, FieldMap, Limits
from consumer.typed_records import TypedRecords
from tests.decoded_rows import told

NESTED = {"model": "m", "ts": 1_767_225_600, "features": {"a": 0.5, "b": "x"}, "score": 0.5}
FLAT = {"model": "m", "ts": 1_767_225_600, "a": 0.5, "b": "x", "tags": ["t"], "score": 0.5}


def new(fields: FieldMap | None = None, limits: Limits | None = None) -> Decoder:
    return json_decoder.json_decoder(
        fields or FieldMap(),
        Constants(),
        "topic",
        limits or Limits(),
        lambda model, name: FeatureSettings(),
    )


def batch_of(values: Sequence[bytes | None]) -> RawBatch:
    offsets = np.arange(len(values))
    return RawBatch("topic", 0, offsets, offsets, values)


def generally(decode: Decoder, values: Sequence[bytes | None]) -> Batch:
    def everything_left(self: TypedRecords, values: Sequence[bytes | None]) -> Any:
        return [], range(len(values))

    with patch.object(TypedRecords, "read", everything_left):
        return decode(batch_of(values))


@pytest.fixture
def general(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many records took the general way, call by call."""
    counts: list[int] = []

    def counted(values: Sequence[bytes | None], message_bytes: int) -> Any:
        counts.append(len(values))
        return json_records.json_objects(values, message_bytes)

    monkeypatch.setattr(json_decoder, "json_objects", counted)
    return counts


def plain(number: int, base: dict[str, Any]) -> bytes:
    features = {"a": number / 7, "b": "xyz"[number % 3]}
    inner = {"features": features} if "features" in base else features
    return json.dumps(base | {"model": f"m{number % 2}"} | inner).encode()


@pytest.mark.parametrize("base", [NESTED, FLAT])
def test_a_plain_log_is_parsed_fast(base: dict[str, Any], general: list[int]) -> None:
    decode = new()
    values = [plain(number, base) for number in range(100)]
    expected = told(decode(batch_of(values)))
    assert general == [100]
    for _ in range(3):
        assert told(decode(batch_of(values))) == expected
    assert general == [100]


def test_only_what_does_not_fit_takes_the_general_way(general: list[int]) -> None:
    decode = new()
    good = [plain(number, NESTED) for number in range(50)]
    decode(batch_of(good))
    odd = [b"{", None, b"", b'{"model": [1]}', json.dumps(NESTED | {"new": 1}).encode()]
    mixed = [*good[:20], *odd, *good[20:]]
    found = decode(batch_of(mixed))
    assert general == [50, 5]
    assert [(each.row, each.reason) for each in found.rejects] == [
        (20, "json_syntax"),
        (21, "tombstone"),
        (22, "empty"),
        (23, "model_not_a_name"),
    ]
    assert told(found) == told(generally(new(), mixed))


def test_new_types_nulls_and_missing_features_still_fit(general: list[int]) -> None:
    decode = new()
    decode(batch_of([plain(0, NESTED)]))
    inner: list[dict[str, Any]] = [{"a": None}, {"b": 3, "a": "now a text"}, {"a": True}, {}]
    values = [json.dumps(NESTED | {"features": one}).encode() for one in inner]
    assert told(decode(batch_of(values))) == told(generally(new(), values))
    assert general[0] == 1
    assert len(general) == 2  # the comparison


def test_new_keys_are_learned(general: list[int]) -> None:
    decode = new()
    decode(batch_of([plain(number, NESTED) for number in range(50)]))
    more = [
        json.dumps(NESTED | {"features": {"a": 1, "b": "x", "c": n}}).encode() for n in range(9)
    ]
    for _ in range(4):
        decode(batch_of(more))
    assert general[-1] == 9
    assert len(general) <= 3  # the second pause may come first
    decode(batch_of([plain(1, NESTED), more[0]]))
    assert len(general) <= 3


def test_a_topic_that_never_fits_is_hardly_tried() -> None:
    decode = new()
    values = [
        json.dumps({"features": {f"f{n}_{i}": {"deep": 1} for i in range(5)}}).encode()
        for n in range(30)
    ]
    other = [
        [json.dumps({"features": {f"f{n}_{i}": 1 for i in range(9)}}).encode()] for n in range(600)
    ]
    decode(batch_of(values))
    with patch("consumer.typed_records._parsed", side_effect=AssertionError) as tried:
        decode(batch_of(values))
    assert not tried.called
    with patch("consumer.typed_records._parsed", return_value=([], [0])) as tried:
        for batch in other:
            decode(batch_of(batch))
    assert tried.call_count < 4 * 20


def test_keys_in_ever_other_order_are_left_to_the_general_way(general: list[int]) -> None:
    decode = new()
    rng = np.random.default_rng(0)
    names = [f"f{i}" for i in range(200)]
    for _ in range(100):
        features = {names[i]: 1.0 for i in rng.permutation(200)}
        decode(batch_of([json.dumps({"features": features}).encode()]))
    assert sum(general) > 90


SAME = '"features": {"a": 1, "b": "x"}'
TRICKY = [
    # what was learned, what comes next
    ('{"ts": 1767225600, "a": 1}', ['{"a": 1}', '{"ts": 1767225601, "a": 2}']),
    ('{"ts": 1767225600, "time": 1767225605}', ['{"time": 1767225606}', '{"ts": 1767225607}']),
    ('{"ts": 1767225600, "a": 1}', ['{"ts": 1767225600123456789, "a": 1}']),
    ('{"time": 1, "a": 1}', ['{"time": 1, "ts": 1767225600, "a": 1}']),
    ('{"model_id": "x", "a": 1}', ['{"model_id": "x", "model": "y", "a": 1}', '{"a": 1}']),
    (f'{{{SAME}, "a.b": 1}}', [f"{{{SAME}}}", f'{{{SAME}, "a": {{"b": 2}}}}']),
    (
        '{"version": 1, "a": 1}',
        [f'{{"version": {v}, "a": 1}}' for v in (1.0, 2**64, 2**70, "true")],
    ),
    (
        '{"ts": 1, "a": 1}',
        [f'{{"ts": {v}, "a": 1}}' for v in (2**63, 10**19, 1e18, 2**64 + 1, "1e9")],
    ),
    (
        '{"ts": 1, "a": 1}',
        [f'{{"ts": {v}, "a": 1}}' for v in ("[]", "true", "null", '"1767225600"')],
    ),
    ('{"a": [1], "b": 1}', ['{"a": 1, "b": 1}', '{"a": null, "b": 1}', '{"b": 1}', '{"a": {}}']),
    ('{"a": [1], "b": 1}', [f'{{"a": {"[" * n}{"]" * n}, "b": 1}}' for n in range(1, 7)]),
    ('{"a": 1, "b": 1}', ['{"a": [1], "b": 1}', '{"a": {"b": 1}}', '{"b": 1}', "{}"]),
    (f"{{{SAME}}}", ['{"features": {"a": [1]}}', '{"features": {"a": {"b": 1}}}']),
    (f"{{{SAME}}}", ['{"features": null}', '{"features": []}', '{"features": 1}', "{}"]),
    (f"{{{SAME}}}", ['{"features": {"a": 1}, "features": {"b": "y"}}', f"{{{SAME}, {SAME}}}"]),
    (
        '{"input": {"a": 1}, "b": 1}',
        ['{"input": 3, "b": 1}', '{"input": null, "b": 1}', '{"b": 1}'],
    ),
    (f'{{{SAME}, "x": [[1]]}}', [f'{{{SAME}, "x": {"[" * n}{"]" * n}}}' for n in range(1, 7)]),
    (f'{{{SAME}, "x": 1}}', [f'{{{SAME}, "x": {{"k": {"[" * n}{"]" * n}}}}}' for n in range(1, 6)]),
    (f'{{{SAME}, "label": 1}}', [f'{{{SAME}, "label": {v}}}' for v in ("[]", "[[[[1]]]]", "true")]),
    (f'{{{SAME}, "error": null}}', [f'{{{SAME}, "error": {v}}}' for v in ("[]", "0", '""', '"x"')]),
    ('{"features": {"a": [1], "b": 1}}', ['{"features": {"a": [[1]], "b": 1}}']),
]
FIELDS = [
    FieldMap(),
    FieldMap(model="a.b", score="x.k", label="ts"),
    FieldMap(features=("a", "b", "x.k"), version="a"),
    FieldMap(features="a", event_time="b", event_time_unit="s"),
    FieldMap(features="features", prediction="features"),
]


@pytest.mark.parametrize(("learned", "values"), TRICKY)
@pytest.mark.parametrize("fields", FIELDS)
@pytest.mark.parametrize("nesting", [1, 2, 3, 4, 32])
def test_tricky_neighbours_of_a_shape(
    learned: str, values: list[str], fields: FieldMap, nesting: int
) -> None:
    limits = Limits.model_construct(**(Limits().model_dump() | {"nesting": nesting}))
    decode = new(fields, limits)
    decode(batch_of([learned.encode()] * 2))
    mixed = [*(value.encode() for value in values), learned.encode()]
    found, expected = decode(batch_of(mixed)), generally(new(fields, limits), mixed)
    assert told(found) == told(expected)
    assert (found.rejects, found.limited) == (expected.rejects, expected.limited)


def words(decode: Decoder) -> list[set[str]]:
    assert isinstance(decode, json_decoder._JsonDecoder)
    (shape,) = decode._typed._shapes
    return sorted(map(set, shape.words.values()), key=sorted)


@pytest.mark.parametrize("base", [NESTED, FLAT])
def test_few_words_are_a_vocabulary_until_too_many_others_come(
    general: list[int], base: dict[str, Any]
) -> None:
    decode = new()
    known = [plain(n, base) for n in range(300)]
    decode(batch_of(known))
    decode(batch_of(known))
    assert words(decode) == [{"m0", "m1"}, {"x", "y", "z"}]
    general.clear()
    one_new = [plain(1, base).replace(b'"y"', b'"new"')]
    for values in (known, known + one_new):
        assert told(decode(batch_of(values))) == told(generally(new(), values))
    assert words(decode) == [{"m0", "m1"}, {"x", "y", "z"}]
    others = [plain(n, base).replace(b'"y"', b'"other"') for n in range(300)]
    for _ in range(3):
        assert told(decode(batch_of(others))) == told(generally(new(), others))
    general.clear()
    for _ in range(4):
        decode(batch_of(others))
    assert general == []
    assert {"m0", "m1"} in words(decode)
    assert {"other", "x", "z"} in words(decode)


def test_partitions_with_models_of_their_own_are_parsed_fast(general: list[int]) -> None:
    decode = new()
    pieces = [
        [plain(n, NESTED).replace(b': "m', b': "%d-m' % partition) for n in range(300)]
        for partition in range(4)
    ]
    expected = [told(generally(new(), values)) for values in pieces]
    general.clear()
    for _ in range(4):
        assert [told(decode(batch_of(values))) for values in pieces] == expected
    assert general == [256]  # the first of the first batch alone
    assert {"x", "y", "z"} in words(decode)
