"""Values that no model was made for: counted as documented, and no NaN in any event."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import orjson
import pytest
from jsonschema import Draft202012Validator

from alerts.schema import schema
from consumer.batch import RawBatch
from consumer.decoders import decoder_for
from consumer.inputs import InputPartition
from consumer.log import ProfileRecord, WatermarkRecord
from consumer.replay import Replay
from consumer.replay_inputs import stand_in_times
from consumer.settings import InputSettings, Settings
from consumer.start import Start
from sketches import codec
from sketches.profile import Profile
from sketches.table import Kind

MS = 1_767_225_600_000  # 2026-01-01T00:00:00Z
SETTINGS = Settings(
    app="a",
    kafka={},
    inputs=(InputSettings(name="one", topics=("t",), window=1_000_000, lateness=2_000_000),),
    learn_for=20_000_000,
    learn_records=1_000,
)


class Outcome:
    """What both stages make of some messages, written one each 10 ms of broker time."""

    def __init__(self, values: Iterable[bytes | None], step: int = 10) -> None:
        kept = list(values)
        self.events: list[dict[str, Any]] = []
        self.profiles: list[Profile] = []
        self.late = self.ahead = 0
        self.ends: set[int] = set()
        out = io.StringIO()
        replay = Replay(SETTINGS, out, None)
        decode = stand_in_times(decoder_for(SETTINGS, SETTINGS.inputs[0], "t"))
        part = InputPartition(SETTINGS, "t", 0, Start(0, None), decode)
        for first in range(0, len(kept), 1_000):
            some = kept[first : first + 1_000]
            rows = np.arange(first, first + len(some), dtype=np.int64)
            part.feed(RawBatch("t", 0, rows, (MS + rows * step) * 1_000, some))
            self._fold(replay, part)
        decision = part.drain()
        if decision is not None:
            part.act(decision)
        self._fold(replay, part)
        text = out.getvalue()
        assert "NaN" not in text
        assert "Infinity" not in text
        validator = Draft202012Validator(schema())
        for line in text.splitlines():
            self.events.append(orjson.loads(line))
            validator.validate(self.events[-1])

    def _fold(self, replay: Replay, part: InputPartition) -> None:
        produced = part.take_records("w", 1, 1)
        for _, _, record in (*produced.profiles, *produced.watermarks):
            replay.fold(0, 1, replay.summary.records + len(self.profiles), record)
            if isinstance(record, ProfileRecord):
                self.profiles.append(codec.decode([record.payload]))
                self.ends.add(record.end)
            elif isinstance(record, WatermarkRecord):
                self.late += record.late
                self.ahead += record.clock_ahead

    @property
    def records(self) -> int:
        return sum(profile.records for profile in self.profiles)

    def kinds(self, name: str) -> dict[Kind, int]:
        """Records by the JSON type of a feature."""
        told: dict[Kind, int] = {}
        for profile in self.profiles:
            if name in profile.names:
                for kind, count in enumerate(profile.kinds[profile.names.index(name)].tolist()):
                    told[Kind(kind)] = told.get(Kind(kind), 0) + count
        return {kind: count for kind, count in told.items() if count}

    @property
    def rejects(self) -> dict[str, int]:
        told: dict[str, int] = {}
        for profile in self.profiles:
            for reason, count in profile.rejects.items():
                told[reason] = told.get(reason, 0) + count
        return told


def message(number: int, **named: Any) -> bytes:
    return orjson.dumps({"event_time": MS + number * 10, "model": "m", **named})


def with_feature(value: Callable[[int], Any], count: int = 6_000) -> Outcome:
    """Sixty seconds of one odd feature beside a plain one."""
    rng = np.random.default_rng(5)
    plain = rng.standard_normal(count).tolist()
    return Outcome(
        message(number, features={"plain": plain[number], "odd": value(number)})
        for number in range(count)
    )


@pytest.mark.parametrize(
    ("value", "want"),
    [
        (lambda _: None, {Kind.NULL: 6_000}),
        (lambda _: 7.5, {Kind.NUMBER: 6_000}),
        (lambda _: "Lisbon", {Kind.TEXT: 6_000}),
        (lambda n: "12.5" if n >= 3_000 else 12.5, {Kind.NUMBER: 3_000, Kind.TEXT: 3_000}),
        (str, {Kind.TEXT: 6_000}),
        (lambda n: [n], {Kind.OTHER: 6_000}),
        (lambda n: n % 2 == 0, {Kind.BOOLEAN: 6_000}),
        (lambda n: [1.5, "a", True, None][n % 4], dict.fromkeys([2, 3, 4, 1], 1_500)),
        (lambda n: 2**63 + n, {Kind.NUMBER: 6_000}),
        (lambda n: 1e308 * (-1) ** n, {Kind.NUMBER: 6_000}),
        (lambda n: 5e-324 if n % 2 else -0.0, {Kind.NUMBER: 6_000}),
    ],
    ids=[
        "all null",
        "constant number",
        "constant text",
        "changes its type",
        "numbers as texts",
        "arrays",
        "booleans",
        "a bit of everything",
        "over 63 bits",
        "huge",
        "tiny",
    ],
)
def test_odd_features(value: Callable[[int], Any], want: dict[Kind, int]) -> None:
    outcome = with_feature(value)
    assert outcome.records == 6_000
    assert outcome.rejects == {}
    assert outcome.kinds("odd") == want
    assert outcome.kinds("plain") == {Kind.NUMBER: 6_000}


def test_integers_over_64_bits_are_numbers() -> None:
    big = b'{"event_time": %d, "model": "m", "features": {"x": %d}}'
    outcome = Outcome(big % (MS + number * 10, 10**30 + number) for number in range(500))
    assert outcome.records == 500
    assert outcome.kinds("x") == {Kind.NUMBER: 500}


def test_a_feature_that_turns_null_or_changes_type_is_told() -> None:
    gone = with_feature(lambda n: float(n % 50) if n < 3_500 else None)
    assert {event["type"] for event in gone.events} >= {"opened"}
    other = with_feature(lambda n: float(n % 50) if n < 3_500 else str(n % 50))
    assert {event["type"] for event in other.events} >= {"opened"}


def test_constant_and_null_features_raise_no_alarm() -> None:
    for value in (None, 3.0, "x"):
        assert with_feature(lambda _, value=value: value).events == []  # type: ignore[misc]


@pytest.mark.parametrize(
    "time",
    [None, 0, -5, "", "soon", "0", True, [], {}, 1, 12_345, 1e300, 2**63, "2026-13-45T00:00:00Z"],
    ids=repr,
)
def test_a_time_that_is_none_is_the_brokers(time: Any) -> None:
    odd = [n % 10 == 5 for n in range(1_000)]
    outcome = Outcome(message(n, **({"event_time": time} if odd[n] else {})) for n in range(1_000))
    assert (outcome.records, outcome.rejects) == (1_000, {})
    assert (outcome.late, outcome.ahead) == (0, 0)
    assert len(outcome.ends) == 10  # 10 s of 1 s windows: nothing lands elsewhere


def test_records_without_any_time_count_by_the_broker() -> None:
    outcome = Outcome(orjson.dumps({"model": "m", "x": n}) for n in range(1_000))
    assert outcome.records == 1_000
    assert len(outcome.ends) == 10


@pytest.mark.parametrize("per_second", [1, 1_000, 1_000_000, 1_000_000_000])
def test_the_unit_of_times_is_told_by_magnitude(per_second: int) -> None:
    outcome = Outcome(
        message(n, event_time=(MS + n * 10) * per_second // 1_000) for n in range(1_000)
    )
    assert outcome.records == 1_000
    assert (outcome.late, outcome.ahead) == (0, 0)
    assert len(outcome.ends) == 10


def test_times_in_the_future_do_not_close_windows() -> None:
    day = 86_400_000
    outcome = Outcome(
        message(n, event_time=MS + n * 10 + (day if n % 100 == 50 else 0)) for n in range(1_000)
    )
    assert outcome.records == 1_000
    assert (outcome.late, outcome.ahead) == (0, 10)
    assert len(outcome.ends) == 10


def test_times_in_the_past_count_late() -> None:
    outcome = Outcome(
        message(n, event_time=MS + n * 10 - (60_000 if n % 100 == 50 and n > 500 else 0))
        for n in range(1_000)
    )
    assert outcome.records == 1_000
    assert outcome.late == 5


DEEP = b'{"features": ' + b'{"a":' * 40 + b"1" + b"}" * 41

BROKEN: list[tuple[bytes | None, str]] = [
    (b'{"model": "m", "features": {"x": NaN}}', "json_syntax"),
    (b'{"model": "m", "features": {"x": Infinity}}', "json_syntax"),
    (b'{"model": "m", "features": {"x": 1e999}}', "number_range"),
    (DEEP, "too_deep"),
    (b"[" * 100_000, "too_deep"),
    (b'{"model": "m", "features": {"x": 1', "json_syntax"),
    (b'{"model": "m"} {"model": "m"}', "json_syntax"),
    (b'{"model": "\xff"}', "encoding"),
    (b'{"model": "\\ud800"}', "encoding"),
    (b"\xef\xbb\xbf{}", "encoding"),
    (b"\x00\x01\x02", "encoding"),
    (b"7", "not_an_object"),
    (b"null", "not_an_object"),
    (b"", "empty"),
    (None, "tombstone"),
    (b'{"model": {"a": 1}}', "model_not_a_name"),
    (b'{"model": "m", "features": 5}', "features_not_an_object"),
    (b'{"x": "' + b"a" * 1_000_001 + b'"}', "too_large"),
]


@pytest.mark.parametrize(("value", "reason"), BROKEN, ids=[str(n) for n in range(len(BROKEN))])
def test_unreadable_records_are_counted_in_their_window(value: bytes | None, reason: str) -> None:
    outcome = Outcome(value if n % 10 == 5 else message(n, x=n % 7) for n in range(500))
    assert outcome.records == 450
    assert outcome.rejects == {reason: 50}


def test_all_unreadable() -> None:
    outcome = Outcome([b"{"] * 1_000)
    assert (outcome.records, outcome.rejects) == (0, {"json_syntax": 1_000})


def test_of_duplicate_keys_the_last_one_counts() -> None:
    value = b'{"event_time": %d, "model": "m", "features": {"x": 1, "x": "a"}}'
    outcome = Outcome(value % (MS + n * 10) for n in range(500))
    assert outcome.records == 500
    assert outcome.kinds("x") == {Kind.TEXT: 500}
