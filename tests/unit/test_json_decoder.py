from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from consumer.batch import NO_TIME, Batch, RawBatch
from consumer.json_decoder import json_decoder
from consumer.names import feature_name, shortened
from consumer.settings import Constants, FeatureSettings, FieldMap, Limits
from sketches.table import Kind
from tests.decoded_rows import Told, told

N, T, B = Kind.NUMBER, Kind.TEXT, Kind.BOOLEAN


def decode(
    *values: Any,
    fields: FieldMap | None = None,
    constants: Constants | None = None,
    limits: Limits | None = None,
    exclude: tuple[str, ...] = (),
) -> Batch:
    """Decode records given as bytes, or as what JSON is made of."""
    raw = [
        value if value is None or isinstance(value, bytes) else json.dumps(value).encode()
        for value in values
    ]
    decoder = json_decoder(
        fields or FieldMap(),
        constants or Constants(),
        "topic",
        limits or Limits(),
        lambda model, name: FeatureSettings(include=name not in exclude),
    )
    offsets = np.arange(len(raw))
    return decoder(RawBatch("topic", 0, offsets, offsets, raw))


def one(value: Any, **more: Any) -> Told:
    (found,) = told(decode(value, **more))
    assert isinstance(found, Told)
    return found


def test_a_nested_log_needs_no_map() -> None:
    record = {
        "prediction_id": "loan-77",
        "timestamp": 1_767_225_600_123,
        "model_name": "credit",
        "model_version": 3,
        "features": {"age": 41, "income": 52000.5, "city": "Faro", "new": True, "zip": None},
        "prediction": "reject",
        "score": 0.74,
        "latency_us": 1500,
        "label": None,
        "error": "",
        "region": "EU",
    }
    assert one(record) == Told(
        ("credit", "3", ""),
        1_767_225_600_123_000,
        {
            "age": (N, 41.0),
            "income": (N, 52000.5),
            "city": (T, "Faro"),
            "new": (B, "true"),
            "zip": (Kind.NULL, None),
            "@prediction": (T, "reject"),
            "@score": (N, 0.74),
            "@latency": (N, 1.5),
            "@label": (Kind.NULL, None),
        },
        error=False,
    )


def test_a_flat_log_needs_no_map() -> None:
    record = {
        "id": 1,
        "uuid": "x",
        "ts": "2026-01-01T00:00:00Z",
        "created_at": "2026-01-01T00:00:01Z",
        "model": "credit",
        "age": 41,
        "city": "Faro",
        "tags": ["a"],
        "meta": {"a": 1},
        "prediction": 1,
        "error": {"code": 5},
    }
    found = one(record)
    assert found.row == {"age": (N, 41.0), "city": (T, "Faro"), "@prediction": (N, 1.0)}
    assert found.time == 1_767_225_600_000_000
    assert found.error


def test_a_model_object_is_looked_into() -> None:
    found = one({"model": {"name": "credit", "version": 2}, "features": {}})
    assert found.key == ("credit", "2", "")


def test_dotted_paths_and_literal_keys() -> None:
    fields = FieldMap(
        model="m.name", features=("a.b", "a.c.d", "a.gone"), score="out.p", latency="time_s"
    )
    record = {
        "m": {"name": "deep"},
        "a.b": 1,
        "a": {"b": 2, "c.d": "x", "c": {"d": "y"}},
        "out": {"p": 0.5},
        "time_s": 0.25,
    }
    found = one(record, fields=fields)
    assert found.key[0] == "deep"
    assert found.row == {
        "a.b": (N, 1.0),
        "a.c.d": (T, "x"),
        "@score": (N, 0.5),
        "@latency": (N, 250.0),
    }


def test_the_unit_of_a_latency_is_the_configured_one() -> None:
    fields = FieldMap(latency="took_s", latency_unit="us")
    assert one({"took_s": 1500}, fields=fields).row["@latency"] == (N, 1.5)
    assert one({"latency_s": 1e308, "features": {}}).row["@latency"] == (Kind.NON_FINITE, None)


def test_constants_stand_for_what_records_do_not_say() -> None:
    constants = Constants(model="m", version="1", segment="eu")
    fields = FieldMap(segment="country")
    assert one({"a": 1}).key == ("topic", "", "")
    assert one({"a": 1}, constants=constants).key == ("m", "1", "eu")
    said = {"model": "own", "version": None, "country": "pt"}
    assert one(said, constants=constants, fields=fields).key == ("own", "1", "pt")
    assert decode(b"{", constants=constants).reject_model == "m"


def test_nested_features_are_flattened() -> None:
    features = {"trip": {"km": 3.5, "from": {"city": "Faro"}, "stops": [1]}, "trip.km": 4, "e": {}}
    assert one({"features": features}).row == {
        "trip.km": (N, 4.0),
        "trip.from.city": (T, "Faro"),
        "trip.stops": (Kind.OTHER, None),
    }


def test_of_two_ways_to_one_name_the_longer_literal_key_is_taken() -> None:
    ways = {"a": {"b.c": 1}, "a.b": {"c": 2}}
    for features in (ways, dict(reversed(ways.items()))):
        assert one({"features": features}).row == {"a.b.c": (N, 2.0)}
        path = FieldMap(features=("a.b.c",))
        assert one(features, fields=path).row == {"a.b.c": (N, 2.0)}


def test_numbers_as_text_stay_text_and_booleans_are_no_numbers() -> None:
    values: list[Any] = [1, "1", True, None, 2**70, 1.5, []]
    rows = [{"features": {"a": value}} for value in values]
    found = [each.row.get("a") for each in told(decode(*rows, {})) if isinstance(each, Told)]
    big = float(2**70)
    expected = [(N, 1.0), (T, "1"), (B, "true"), (Kind.NULL, None), (N, big), (N, 1.5)]
    assert found == [*expected, (Kind.OTHER, None), None]


def test_booleans_hide_behind_no_number() -> None:
    """Packing takes ``True`` for 1; the column is looked at again."""
    numbers, booleans = {"a": 1, "b": 0.5}, {"a": True, "b": False}
    batch = decode(*[{"features": each} for each in (numbers, numbers, numbers, booleans)])
    assert batch.groups[0].table.kinds["a"].tolist() == [N, N, N, B]
    assert batch.groups[0].table.kinds["b"].tolist() == [N, N, N, B]


def test_of_repeated_keys_the_last_one_holds() -> None:
    assert one(b'{"features": {"a": 1, "a": "x"}}').row == {"a": (T, "x")}


def test_control_characters_in_names_are_kept() -> None:
    assert one({"features": {"a\n\x1b[31m": 1}}).row == {"a\n\x1b[31m": (N, 1.0)}


def test_names_meet_neither_our_own_nor_the_whole_model() -> None:
    record = {"features": {"@score": 1, "": 2, "@empty": 3}, "score": 4}
    assert one(record).row == {
        "@@score": (N, 1.0),
        "@empty": (N, 2.0),
        "@@empty": (N, 3.0),
        "@score": (N, 4.0),
    }


def test_long_names_end_in_a_hash_and_are_counted() -> None:
    long, other = "é" * 10_000, "é" * 10_001
    record = {"model": long, "features": {long: 1, other: 2, "a": {long: 3}}}
    batch = decode(record, record)
    assert batch.limited["name_bytes"] == 2 * 4
    (group,) = batch.groups
    assert len(set(group.table.number_names)) == 3
    assert all(len(name.encode()) <= 256 for name in (*group.table.number_names, group.key.model))
    assert shortened(long, 256) == shortened(long, 256) != shortened(other, 256)
    assert feature_name(long, 256) in group.table.number_names


def test_a_deep_long_path_costs_no_room() -> None:
    features: dict[str, Any] = {f"leaf{i}": i for i in range(1_000)}
    for _ in range(20):
        features = {"p" * 10_000: features}
    batch = decode({"features": features})
    assert len(batch.groups[0].table.number_names) == 1_000
    assert max(map(len, batch.groups[0].table.number_names)) <= 256


def test_the_first_features_by_name_are_kept() -> None:
    many = {"features": {f"f{i:02d}": i for i in reversed(range(30))}, "score": 1}
    batch = decode(many, {"features": {"e": 1}}, limits=Limits(features=10))
    (group,) = batch.groups
    assert sorted(group.table.number_names) == ["@score", "e", *(f"f{i:02d}" for i in range(9))]
    assert batch.limited == {"features": 21}


def test_excluded_features_are_not_kept_and_do_not_count() -> None:
    record = {"features": {"a": 1, "b": 2, "c": 3}}
    batch = decode(record, exclude=("a",), limits=Limits(features=2))
    assert batch.groups[0].table.number_names == ("b", "c")
    assert batch.limited == {}


def test_many_models_and_shapes_stand_in_order() -> None:
    records = [
        {"model": f"m{i % 3}", "features": {f"f{j}": i * j for j in range(i % 7)}, "score": i}
        for i in range(100)
    ]
    batch = decode(*records)
    assert [group.key.model for group in batch.groups] == ["m0", "m1", "m2"]
    for i, found in enumerate(told(batch)):
        assert isinstance(found, Told)
        assert found.row["@score"] == (N, float(i))
        assert len(found.row) == 1 + i % 7


def test_a_batch_parsed_in_pieces_is_the_same_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    records = [
        b"{" if i % 11 == 5 else {"model": f"m{i % 3}", "features": {"a": i, f"f{i % 4}": "x"}}
        for i in range(50)
    ]
    whole = decode(*records)
    monkeypatch.setattr("consumer.json_records._PIECE_BYTES", 200)
    pieces = decode(*records)
    assert told(pieces) == told(whole)
    assert pieces.rejects == whole.rejects
    assert [group.key for group in pieces.groups] == [group.key for group in whole.groups]


def test_names_without_end_do_not_exhaust_memory() -> None:
    records = [{"features": {f"u{i * 20 + j}": j for j in range(20)}} for i in range(500)]
    batch = decode(*records, limits=Limits(features=50))
    assert len(batch.groups[0].table.number_names) == 50
    assert batch.limited == {"features": 500 * 20 - 50}


@pytest.mark.parametrize(
    ("value", "reason", "position"),
    [
        (None, "tombstone", None),
        (b"", "empty", 0),
        (b"   ", "json_syntax", 0),
        (b"{" + b" " * 1_000_000, "too_large", 1_000_000),
        (b'{"a": NaN}', "json_syntax", 6),
        (b'{"a": -Infinity}', "json_syntax", 7),
        ('{"é": "é",}'.encode(), "json_syntax", 11),
        (b'{"a": 1', "json_syntax", 7),
        (b'{"a": 1} {}', "json_syntax", 9),
        (b'{"a": 1e999}', "number_range", 6),
        (b'{"a": ' + b"9" * 5_000 + b"}", "number_range", 6),
        (b'{"a": "\\ud800"}', "encoding", 7),
        (b'{"\\ud800": 1}', "encoding", 2),
        (b'{"features": {"\\udc00x": 1}}', "encoding", 15),
        (b'{"features": {"\xed\xa0\x80": 1}}', "encoding", 15),
        (b'{"a": "\xff"}', "encoding", 7),
        (b"\xef\xbb\xbf{}", "encoding", 0),
        ('{"a": 1}'.encode("utf-16"), "encoding", 0),
        ('{"a": 1}'.encode("utf-16-le"), "encoding", 1),
        (b"[" * 2_000, "too_deep", 1_025),
        (b"[" * 100_000, "too_deep", 1_025),
        (b"[1]", "not_an_object", 0),
        (b'"text"', "not_an_object", 0),
        (b"null", "not_an_object", 0),
        (b'{"features": [1]}', "features_not_an_object", None),
        (b'{"features": [[1]]}', "features_not_an_object", None),
        (b'{"features": "x"}', "features_not_an_object", None),
        (b'{"model": [1]}', "model_not_a_name", None),
        (b'{"model": {"x": 1}}', "model_not_a_name", None),
        (b'{"version": {}}', "version_not_a_name", None),
    ],
)
def test_what_cannot_be_read_is_rejected_with_its_place(
    value: bytes | None, reason: str, position: int | None
) -> None:
    good = {"features": {"a": 1}}
    batch = decode(good, value, good, value)
    assert [(each.row, each.reason, each.position) for each in batch.rejects] == [
        (1, reason, position),
        (3, reason, position),
    ]
    assert batch.groups[0].rows.tolist() == [0, 2]


def test_a_segment_that_is_no_name() -> None:
    (reject,) = decode({"s": [1]}, fields=FieldMap(segment="s")).rejects
    assert (reject.reason, reject.detail) == ("segment_not_a_name", "segment is an array")


@pytest.mark.parametrize("place", ["features", "prediction", "unread", "model", "error"])
@pytest.mark.parametrize("flat", [False, True])
def test_nesting_is_limited_wherever_it_is(place: str, flat: bool) -> None:
    def record(depth: int) -> dict[str, Any]:
        inner: Any = {"name": 1}
        for _ in range(depth - 2):
            inner = {"name": inner} if place == "features" else {"name": 1, "x": inner}
        return ({} if flat else {"features": {"a": 1}}) | {place: inner}

    limits = Limits(nesting=4)
    assert told(decode(record(5), limits=limits)) == ["too_deep"]
    assert isinstance(told(decode(record(4), limits=limits))[0], Told)
    rest = {"input": [[[[1]]]], "a": 1} if flat else {"features": [[[[1]]]]}
    assert told(decode(rest, limits=limits)) == ["too_deep"]
    again = told(decode(*[record(depth) for depth in (2, 5, 4, 5)], limits=limits))
    assert [each == "too_deep" for each in again] == [False, True, False, True]


def test_details_tell_nothing_of_the_record() -> None:
    secret = "hunter2"  # noqa: S105
    values = [
        f'{{"{secret}": {secret}}}'.encode(),
        f'{{"features": "{secret}"}}'.encode(),
        f'["{secret}"]'.encode(),
        f'{{"a": "{secret}'.encode(),
        f'{{"version": ["{secret}"]}}'.encode(),
    ]
    for reject in decode(*values).rejects:
        assert secret not in reject.detail


def test_times_that_cannot_be_read_are_counted_missing_ones_are_not() -> None:
    values = [{"ts": value} for value in (0, "soon", [1], None, 1_767_225_600)]
    batch = decode(*values, {"a": 1})
    assert batch.times.tolist() == [NO_TIME] * 4 + [1_767_225_600_000_000, NO_TIME]
    assert batch.limited == {"event_time_unreadable": 3}


def test_no_messages() -> None:
    batch = decode()
    assert (batch.groups, batch.rejects, batch.times.tolist()) == ((), (), [])
