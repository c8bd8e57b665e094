from __future__ import annotations

from consumer.stale_ends import HOLDS, StaleEnds

PLACE, OTHER = ("predictions", 0), ("predictions", 1)


def test_an_end_before_what_was_read_is_believed_only_when_it_stays() -> None:
    ends, commits = StaleEnds(), {PLACE: (12_900, ""), OTHER: (5, "")}
    highs = {PLACE: 10_600, OTHER: 5}
    assert ends.doubted(commits, highs, 100.0) == {PLACE}
    assert ends.doubted(commits, highs, 100.0 + HOLDS - 0.1) == {PLACE}
    assert not ends.doubted(commits, highs, 100.0 + HOLDS)


def test_a_leader_that_has_caught_up_is_believed_at_once_and_doubted_anew() -> None:
    ends, commits = StaleEnds(), {PLACE: (12_900, "")}
    assert ends.doubted(commits, {PLACE: 10_600}, 0.0)
    assert not ends.doubted(commits, {PLACE: 12_900}, 5.0)
    assert ends.doubted(commits, {PLACE: 10_600}, HOLDS + 1.0)


def test_a_partition_never_read_is_not_doubted() -> None:
    assert not StaleEnds().doubted({PLACE: None}, {PLACE: 0}, 0.0)
