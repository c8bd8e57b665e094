from __future__ import annotations

from consumer.held_back import AGAIN_AFTER, STILL_FOR, HeldBack

ONE, TWO = ("t", 0), ("t", 1)


def test_only_what_stands_still_is_asked_about_and_not_all_the_time() -> None:
    held = HeldBack()
    assert not held.due({ONE: 5, TWO: 5}, 0.0)
    assert held.due({ONE: 5, TWO: 6}, STILL_FOR) == [ONE]
    assert not held.due({ONE: 5, TWO: 7}, STILL_FOR + 1)
    assert held.due({ONE: 5, TWO: 8}, STILL_FOR + AGAIN_AFTER) == [ONE]


def test_an_open_transaction_is_told_once_and_so_is_its_end() -> None:
    held = HeldBack()
    held.due({ONE: 5, TWO: 9}, 0.0)
    assert held.due({ONE: 5, TWO: 9}, STILL_FOR) == [ONE, TWO]
    ends = {ONE: 8, TWO: 9}
    assert held.held({ONE: 5, TWO: 9}, {ONE: 5, TWO: 9}, ends) == {ONE: 5}, (
        "the other is at its end"
    )
    assert not held.held({ONE: 5}, {ONE: 5}, ends)
    assert not held.freed()
    held.due({ONE: 8, TWO: 9}, STILL_FOR + 1)
    assert held.freed() == [ONE]
    assert not held.freed()


def test_what_is_only_slow_is_not_held_back() -> None:
    held = HeldBack()
    held.due({ONE: 5}, 0.0)
    assert not held.held({ONE: 5}, {ONE: 7}, {ONE: 8}), "there is something to read before it"


def test_a_partition_that_left_is_forgotten() -> None:
    held = HeldBack()
    held.due({ONE: 5}, 0.0)
    assert held.held({ONE: 5}, {ONE: 5}, {ONE: 6})
    held.due({}, 1.0)
    assert not held.freed()
    held.due({ONE: 5}, 2.0)
    assert held.held({ONE: 5}, {ONE: 5}, {ONE: 6}), "its next owner says it too"
