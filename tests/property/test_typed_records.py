"""The fast path says of every batch what the general one says, to the bit."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any
from unittest.mock import patch

from hypothesis import event, given, settings
from hypothesis import strategies as st

from consumer.batch import Batch
from consumer.settings import FieldMap, Limits
from consumer.typed_records import TypedRecords
from sketches.tables import spelled_out
from tests.property.test_json_decoder import MAPS, MESSAGES, decoder, raw

LIMITS = Limits(name_bytes=20, nesting=4, message_bytes=400)
NUMBERS = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.floats(-1e4, 1e4).map(lambda value: f"{value:.4f}"),
    st.integers(-(2**66), 2**66).map(str),
    st.from_regex(r"-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,30})?([eE][-+]?[0-9]{1,3})?", fullmatch=True),
    st.sampled_from(
        [
            *[
                "0",
                "-0",
                "-0.0",
                "1",
                "1.0",
                "1e400",
                "1E-400",
                "9" * 400,
                "01",
                "1.",
                ".5",
                "+1",
                "NaN",
            ],
            *["-Infinity", "9007199254740993", "18446744073709551615", "18446744073709551616"],
            *["9223372036854775807", "9223372036854775808", "-9223372036854775809", "2.5e-324"],
            *["1.7976931348623157e308", "1.7976931348623159e308", "1767225600", "1767225600123"],
        ]
    ),
)
TEXTS = st.one_of(
    st.text(max_size=4).map(lambda text: '"' + text.replace("\\", "").replace('"', "") + '"'),
    st.sampled_from(
        [
            '"x"',
            '"y"',
            '""',
            '"é"',
            '"🌊"',
            r'"\u00e9"',
            r'"\ud83c\udf0a"',
            r'"\ud800"',
            r'"\udc00x"',
            *[
                r'"\x"',
                r'"\/"',
                '"\n"',
                '"2026-01-01T00:00:00Z"',
                '"3"',
                '"true"',
                f'"{"long " * 9}"',
            ],
        ]
    ),
)
NESTED = st.sampled_from(
    [
        *[
            "[]",
            "{}",
            "[1]",
            '["x", null]',
            '{"k": 1}',
            '{"k": [1]}',
            "[[1]]",
            "[[[1]]]",
            "[[[[1]]]]",
        ],
        *['{"k": {"l": {"m": {}}}}', "[1,]", '{"k" 1}', '{"name": "m", "version": 2}', "[1e400]"],
    ]
)
SCALARS = st.one_of(NUMBERS, NUMBERS, TEXTS, st.sampled_from(["true", "false", "null"]))
TOKENS = st.one_of(SCALARS, SCALARS, SCALARS, NESTED)
TOP = st.sampled_from(
    [
        *[
            "event_time",
            "ts",
            "model",
            "version",
            "prediction",
            "score",
            "latency_us",
            "error",
            "id",
            "a",
        ],
        *["b", "a.b", "@x", "", "é", r"\u0061", "a name that is too long", "input", "else"],
    ]
)
INNER = st.sampled_from(["a", "b", "c", "a.b", "@x", "", "é", r"\u0062", "a name that is too long"])
EXAMPLES = 250
READ_AS = st.one_of(
    MAPS,
    st.just(FieldMap()),
    st.sampled_from(
        [FieldMap(features=("a", "b"), label="c", model="else"), FieldMap(segment="b", score="é")]
    ),
)
Pairs = list[tuple[str, str]]


def written(top: Pairs, inner: Pairs | None, space: str = "") -> bytes:
    """A record of keys and values as they are written, the features in the middle."""
    pairs = [f'"{key}":{space}{value}' for key, value in top]
    if inner is not None:
        features = ",".join(f'"{key}": {value}' for key, value in inner)
        pairs.insert(len(pairs) // 2, f'"features":{{{features}}}')
    return f"{{{','.join(pairs)}{space}}}".encode("utf-8", "surrogatepass")


PLAIN = st.sampled_from(
    [
        *["1", "2.5", "0", "-0.0", '"x"', '"m"', "true", "null", "1767225600", "3", '"2"', "7.25"],
        *["1", "2.5", "0", "-0.0", '"x"', '"m"', '["x"]', '{"k": 1}'],
    ]
)
PLAIN_TOP = st.sampled_from(
    ["event_time", "ts", "model", "version", "score", "error", "id", "a", "b", "a.b", "else", "é"]
)
PLAIN_INNER = st.sampled_from(["a", "b", "c", "@x", "", "é"])


@st.composite
def alike(draw: st.DrawFn) -> list[bytes]:
    """Some records that teach a shape, and more that nearly have it."""
    top = draw(st.dictionaries(PLAIN_TOP, PLAIN, max_size=6))
    inner = draw(st.none() | st.dictionaries(PLAIN_INNER, PLAIN, max_size=4))
    base = list(top.items()), None if inner is None else list(inner.items())
    found = [written(*base)] * draw(st.integers(1, 3))
    for _ in range(draw(st.integers(1, 12))):
        mine, features = list(base[0]), None if base[1] is None else list(base[1])
        for pairs, keys in ((mine, TOP), (features, INNER)):
            change = draw(st.sampled_from("===vvvvdasr"))
            if pairs is None or change == "=":
                continue
            if change == "a":
                pairs.append((draw(keys), draw(TOKENS)))
            elif change == "r":
                pairs.reverse()
            elif pairs:
                at = draw(st.integers(0, len(pairs) - 1))
                key, _ = pairs.pop(at)
                if change == "v":
                    pairs.insert(at, (key, draw(TOKENS)))
                elif change == "s":  # the same key twice
                    pairs.extend([(key, draw(TOKENS)), (key, draw(SCALARS))])
        value = written(mine, features, draw(st.sampled_from(["", "", " ", "\n", "\x0b"])))
        found.append(draw(broken(value)))
    return found


def broken(value: bytes) -> st.SearchStrategy[bytes]:
    """The value, and now and then one with a byte too much, too few or changed."""
    place = st.integers(0, max(0, len(value) - 1))
    other = st.sampled_from(
        [b"", b",", b"{", b"}", b'"', b"\xff", b"\xed\xa0\x80", b"\n", b"0", b"\\"]
    )
    return st.one_of(
        *[st.just(value)] * 12,
        place.map(lambda at: value[:at]),
        st.builds(lambda at, one: value[:at] + one + value[at + 1 :], place, other),
        st.builds(lambda at, one: value[:at] + one + value[at:], place, other),
        st.sampled_from([b" " + value, value + b"\n", value + b"," + value, value + value]),
    )


BATCHES = st.lists(
    st.one_of(alike(), alike(), alike(), st.lists(MESSAGES, max_size=8)), min_size=1, max_size=4
)


def told_exactly(batch: Batch) -> list[Any]:
    """Everything in a batch, columns by name."""
    groups = []
    for key, rows, table in batch.groups:
        assert table.numbers.shape == (table.length, len(table.number_names))
        table = spelled_out(table)  # noqa: PLW2901
        numbers = {
            name: column.tobytes()
            for name, column in zip(table.number_names, table.numbers.T, strict=True)
        }
        texts = dict(zip(table.text_names, table.texts, strict=True))
        kinds = {name: column.tolist() for name, column in table.kinds.items()}
        errors = None if table.errors is None else table.errors.tolist()
        groups.append((key, rows.tolist(), table.length, numbers, texts, kinds, errors))
    return [groups, batch.rejects, batch.times.tolist(), batch.limited, batch.offsets.tolist()]


def everything_left(self: TypedRecords, values: Sequence[bytes | None]) -> Any:
    return [], range(len(values))


@given(READ_AS, BATCHES, st.data())
@settings(max_examples=EXAMPLES, deadline=None)
def test_says_what_the_general_path_says(
    fields: FieldMap, batches: list[list[bytes | None]], data: st.DataObject
) -> None:
    values = [value for batch in batches for value in batch]
    cuts = data.draw(st.sets(st.integers(0, len(values)), max_size=6))
    starts = [0, *accumulate(map(len, batches))]
    after = {start + 1 for start in starts[:-1] if start < len(values)}  # the first one teaches
    edges = sorted(cuts.union(starts, after))
    enough = data.draw(st.sampled_from([1, 200]), "records that vocabularies are learned from")
    typed, general = decoder(fields, LIMITS), decoder(fields, LIMITS)
    fitted = worded = 0
    for start, stop in pairwise(edges):
        typed._typed._pause = typed._typed._wait = 0  # so that little is enough to learn
        typed._typed._wordless = 0
        one = raw(values[start:stop], start)
        with patch("consumer.typed_records._WORDED_RECORDS", enough):
            found = typed(one)
        worded += any(shape.words for shape in typed._typed._shapes)
        fitted += sum(shape.fitted for shape in typed._typed._shapes if stop > start)
        with patch.object(TypedRecords, "read", everything_left):
            assert told_exactly(found) == told_exactly(general(one))
    event(f"{fitted * 10 // max(1, len(values))} of 10 fit a shape")
    event(f"vocabularies: {worded > 0}")


@given(READ_AS, alike(), alike(), st.sampled_from([1, 200]))
@settings(max_examples=EXAMPLES, deadline=None)
def test_what_was_seen_before_changes_nothing(
    fields: FieldMap, before: list[bytes], values: list[bytes], enough: int
) -> None:
    """The same records again are read by the shape that they have taught."""
    typed, general = decoder(fields, LIMITS), decoder(fields, LIMITS)
    with patch.object(TypedRecords, "read", everything_left):
        expected = told_exactly(general(raw(values)))
    for batch in (before[:1], values[:1], values, values, before, values):
        typed._typed._pause = typed._typed._wait = typed._typed._wordless = 0
        with patch("consumer.typed_records._WORDED_RECORDS", enough):
            found = typed(raw(batch))
        if batch is values:
            assert told_exactly(found) == expected


@given(st.lists(NUMBERS, min_size=1, max_size=6))
@settings(max_examples=500, deadline=None)
def test_numbers_are_the_same_to_the_bit(numbers: list[str]) -> None:
    form = (
        '{"features": {"a": %s, "b": 1.5}, "score": %s, "latency_us": %s, "ts": %s, "version": %s}'
    )
    values = [(form % ((number,) * 5)).encode() for number in numbers]
    typed, general = decoder(FieldMap(), Limits()), decoder(FieldMap(), Limits())
    typed(raw([(form % (("0.5",) * 5)).encode()]))
    assert typed._typed._shapes
    found = typed(raw(values))
    with patch.object(TypedRecords, "read", everything_left):
        assert told_exactly(found) == told_exactly(general(raw(values)))
