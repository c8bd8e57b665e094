"""Where reading of a partition starts, for every state of the commit and of the log."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from consumer.commit_state import FORMAT_VERSION, CommitState
from consumer.last_word import word_of
from consumer.log import Lost
from consumer.start import Start, StartSetting, Word, set_by_hand, starting_point

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
STATE = CommitState(v=FORMAT_VERSION, borders={"window": 10}, closed_through=100, closed_at=55)


def begin(
    committed: tuple[int, CommitState | None] | None,
    setting: StartSetting = "earliest",
    known: bool = False,
) -> Start:
    return starting_point(committed, 10, 90, setting, known, lambda when: 42)


@pytest.mark.parametrize(
    ("setting", "offset"), [("earliest", 10), ("latest", 90), (NOON, 42)], ids=str
)
def test_a_new_group_starts_where_it_is_told(setting: StartSetting, offset: int) -> None:
    assert begin(None, setting) == Start(offset, None, fresh=True)


def test_a_partition_added_to_a_known_topic_is_read_from_its_start() -> None:
    assert begin(None, "latest", known=True) == Start(10, None, fresh=True)


def test_a_commit_is_where_reading_goes_on() -> None:
    assert begin((50, STATE), "latest") == Start(50, STATE)


def test_records_deleted_unread_are_named() -> None:
    assert begin((3, STATE)) == Start(10, STATE, (Lost(3, 10),))


def test_a_topic_made_anew_is_read_from_its_start_and_no_offset_counts_as_read() -> None:
    start = begin((95, STATE))
    assert (start.offset, start.lost) == (10, (Lost(90, 95),))
    assert start.state is not None
    assert (start.state.closed_at, start.state.closed_through) == (0, 100)


BORDERS: dict[str, str | int] = {"window": 10}
KNOWN = CommitState(v=FORMAT_VERSION, borders=BORDERS, closed_through=100, closed_at=55)


@pytest.mark.parametrize(
    ("offset", "begin", "lost"),
    [
        (70, 70, (Lost(40, 70),)),  # forward: what is left out is declared
        (50, 50, (Lost(40, 50),)),  # records of windows that are open
        (40, 40, ()),
        (20, 20, ()),  # back: what is closed stays closed
        (0, 10, ()),  # deleted, but counted long ago
        (500, 90, (Lost(40, 90),)),
    ],
)
def test_an_offset_set_by_hand_loses_nothing_silently(
    offset: int, begin: int, lost: tuple[Lost, ...]
) -> None:
    assert set_by_hand(offset, 10, 90, Word(100, 55, 40), BORDERS) == Start(begin, KNOWN, lost)


def test_an_offset_set_by_hand_in_a_topic_made_anew() -> None:
    start = set_by_hand(5, 0, 30, Word(100, 55, 40), BORDERS)
    assert start == Start(5, KNOWN.in_new_log())


def test_the_last_word_of_the_log_says_what_may_be_open() -> None:
    marks = [(10, 5), (70, 31), (80, 44), (90, 50), (100, 55), (90, 50)]
    assert word_of(marks, 25) == Word(100, 55, 31)
    assert word_of(marks, 30) == Word(100, 55, 5)
    assert word_of(marks, 1_000) == Word(100, 55, 0)
    assert word_of([], 30) is None
