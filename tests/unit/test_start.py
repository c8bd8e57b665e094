"""Where reading of a partition starts, for every state of the commit and of the log."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from consumer.commit_state import FORMAT_VERSION, CommitState
from consumer.log import Lost
from consumer.start import Start, StartSetting, starting_point

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
