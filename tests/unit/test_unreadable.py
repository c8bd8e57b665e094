from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer import scan, unreadable
from consumer.log import Lost
from consumer.scan import TRIES, readable_from
from consumer.unreadable import Unreadable

PLACE = ("t", 0)


@given(st.integers(0, 50), st.integers(1, 5_000), st.integers(0, 40))
def test_the_end_of_a_batch_is_found_to_the_record(bad: int, size: int, after: int) -> None:
    asked = []

    def readable(_: object, __: object, start: int, *more: object) -> bool:
        asked.append(start)
        return not bad <= start < bad + size

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scan, "_readable", readable)
        stop = bad + size + after
        assert readable_from({}, PLACE, bad, stop) == bad + size
    assert len(asked) <= 2 * size.bit_length() + 2


def test_what_can_be_read_after_all_is_not_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "_readable", lambda *_: True)
    assert readable_from({}, PLACE, 7, 100) == 7


class Ends:
    def offsets(self, asked: dict[Any, str]) -> dict[Any, int]:
        return dict.fromkeys(asked, 100)


class Named:
    def __init__(self) -> None:
        self.kafka: dict[str, str] = {}
        self.group = "g"


@pytest.mark.parametrize("goes_on", [20, 25])
def test_a_batch_is_tried_some_times_and_then_passed_by(
    monkeypatch: pytest.MonkeyPatch, goes_on: int
) -> None:
    monkeypatch.setattr(unreadable, "readable_from", lambda *_, **__: goes_on)
    stops = Unreadable(Named(), Ends())  # type: ignore[arg-type]
    for _ in range(TRIES - 1):
        assert stops.at(PLACE, 10) is None
    assert stops.at(PLACE, 20) is None, "it moved on: another batch"
    for _ in range(TRIES - 2):
        assert stops.at(PLACE, 20) is None
    assert stops.at(PLACE, 20) == (None if goes_on == 20 else Lost(20, 25))
    assert stops.at(PLACE, 20) is None
