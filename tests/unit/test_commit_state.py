from __future__ import annotations

import msgspec
import pytest

from consumer.commit_state import (
    FORMAT_VERSION,
    BorderSettingsChanged,
    CommitState,
    CommitStateError,
    IdleDecision,
    kept,
)

BORDERS: dict[str, str | int] = {
    "window": 10_000_000,
    "lateness": 5_000_000,
    "event_time": "meta.time",
    "event_time_unit": "auto",
}


def state(**named: object) -> CommitState:
    made = CommitState(FORMAT_VERSION, 20_000_000, 7, kept(BORDERS), 26_000_000, 3)
    return msgspec.structs.replace(made, **named)


@pytest.mark.parametrize(
    "one",
    [
        CommitState(FORMAT_VERSION),
        state(),
        state(pending=IdleDecision(9, 30_000_000)),
        state(lag=-5),
    ],
)
def test_the_metadata_gives_the_state_back(one: CommitState) -> None:
    assert CommitState.from_metadata(one.to_metadata()) == one


def test_the_metadata_is_text_a_person_can_read() -> None:
    assert state(pending=IdleDecision(9, 30_000_000)).to_metadata() == (
        '{"v":1,"closed_through":20000000,"closed_at":7,"borders":{"window":10000000,'
        '"lateness":5000000,"event_time":"meta.time","event_time_unit":"auto"},'
        '"newest":26000000,"lag":3,"pending":{"at":9,"through":30000000}}'
    )


@pytest.mark.parametrize("letter", ["x", "\u00e4", "\u0001", '"', "\U0001f40d"])
def test_the_metadata_stays_small_whatever_the_settings(letter: str) -> None:
    borders = BORDERS | {"event_time": letter * 10_000, "event_time_unit": letter * 256}
    huge = 2**63 - 1
    one = CommitState(1, huge, huge, kept(borders), huge, huge, IdleDecision(huge, huge))
    assert len(one.to_metadata().encode()) < 4_000
    one.require(0, borders, "t", 0)
    with pytest.raises(BorderSettingsChanged):
        one.require(0, borders | {"event_time": letter * 10_001}, "t", 0)


def test_an_offset_set_by_hand_has_no_state() -> None:
    assert CommitState.from_metadata("") is None


@pytest.mark.parametrize("text", ["{", "hello", "[]", "{}", '{"v":"1"}', '{"v":1,"closed_at":"x"}'])
def test_metadata_of_something_else_is_refused_with_a_remedy(text: str) -> None:
    with pytest.raises(CommitStateError, match="group of its own"):
        CommitState.from_metadata(text)


def test_metadata_of_a_newer_release_is_refused() -> None:
    with pytest.raises(CommitStateError, match=r"version 2.*upgrade"):
        CommitState.from_metadata('{"v":2,"closed_at":{"new":"form"}}')


def test_other_border_settings_are_refused_with_both_and_the_remedy() -> None:
    with pytest.raises(BorderSettingsChanged) as caught:
        state().require(6, BORDERS | {"window": 60_000_000, "event_time": ""}, "clicks", 3)
    assert caught.value.old == {"event_time": "meta.time", "window": 10_000_000}
    assert caught.value.new == {"event_time": "", "window": 60_000_000}
    text = str(caught.value)
    assert "clicks[3]" in text
    assert "event_time was meta.time, is not set; window was 10s, is 1min" in text
    assert "streamgauge run --drain" in text


def test_the_same_border_settings_are_fine() -> None:
    state(pending=IdleDecision(9, 30_000_000)).require(0, BORDERS, "t", 0)


def test_where_no_window_is_open_any_border_settings_will_do() -> None:
    state().require(7, BORDERS | {"window": 60_000_000}, "t", 0)


def test_a_pending_decision_belongs_to_the_old_border_settings() -> None:
    with pytest.raises(BorderSettingsChanged):
        state(pending=IdleDecision(9, 3)).require(7, BORDERS | {"window": 60_000_000}, "t", 0)


def test_in_a_new_log_nothing_has_been_counted() -> None:
    begun = state(pending=IdleDecision(9, 30_000_000)).in_new_log()
    assert (begun.closed_through, begun.closed_at, begun.pending) == (20_000_000, 0, None)
