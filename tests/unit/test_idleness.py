from __future__ import annotations

from consumer.idleness import (
    LOOK_EVERY,
    REPEAT_AFTER,
    Activity,
    Due,
    Limits,
    Quiet,
    Sight,
    begin,
    is_due,
    look,
)

LIMITS = Limits(idle_after=30, stall_limit=300)


class Watch:
    """A partition looked at again and again."""

    def __init__(self, position: int = 0, newest: int | None = None) -> None:
        self.quiet: Quiet = begin(0, Sight(position, newest, None))

    def see(
        self,
        now: float,
        position: int,
        newest: int | None,
        *,
        high: int | None,
        paused: bool = False,
    ) -> Due:
        sight = Sight(position, newest, high, paused)
        self.quiet, due = look(self.quiet, now, sight, LIMITS)
        return due


def busy() -> Watch:
    watch = Watch()
    assert watch.see(1, 5, 100, high=5) == Due.ACTIVE_MARK
    return watch


def test_the_first_record_of_a_process_says_active() -> None:
    watch = busy()
    assert watch.quiet.told == Activity.ACTIVE
    assert watch.see(2, 6, 101, high=6) == Due.NOTHING


def test_read_to_its_end_and_silent_is_idle() -> None:
    watch = busy()
    assert watch.see(30.9, 5, 100, high=5) == Due.NOTHING
    assert watch.see(31, 5, 100, high=5) == Due.CLOSE
    assert watch.quiet.told == Activity.IDLE


def test_a_partition_that_never_held_a_record_is_idle() -> None:
    assert Watch().see(30, 0, None, high=0) == Due.CLOSE


def test_the_idle_mark_is_repeated_every_minute() -> None:
    watch = busy()
    watch.see(31, 5, 100, high=5)
    assert watch.see(90.9, 5, 100, high=5) == Due.NOTHING
    assert watch.see(91, 5, 100, high=5) == Due.IDLE_MARK
    assert watch.see(92, 5, 100, high=5) == Due.NOTHING
    assert watch.see(151, 5, 100, high=5) == Due.IDLE_MARK


def test_the_first_record_afterwards_says_active_at_once() -> None:
    watch = busy()
    watch.see(31, 5, 100, high=5)
    assert watch.see(40, 6, 100, high=6) == Due.ACTIVE_MARK  # late or not


def test_idle_active_and_idle_again() -> None:
    watch = busy()
    assert watch.see(31, 5, 100, high=5) == Due.CLOSE
    assert watch.see(40, 6, 101, high=6) == Due.ACTIVE_MARK
    assert watch.see(69, 6, 101, high=6) == Due.NOTHING
    assert watch.see(70, 6, 101, high=6) == Due.CLOSE


def test_at_the_last_stable_offset_it_is_not_idle_but_stalls() -> None:
    watch = busy()
    assert watch.see(31, 5, 100, high=9) == Due.STALLING
    assert watch.see(300, 5, 100, high=9) == Due.NOTHING
    assert watch.see(301, 5, 100, high=9) == Due.STALLED_MARK
    assert watch.see(361, 5, 100, high=9) == Due.STALLED_MARK


def test_while_the_broker_does_not_say_where_it_ends_it_is_not_idle() -> None:
    watch = busy()
    assert watch.see(31, 5, 100, high=None) == Due.STALLING
    assert watch.see(301, 5, 100, high=None) == Due.STALLED_MARK


def test_stalling_is_told_once_each_time() -> None:
    watch = busy()
    watch.see(31, 5, 100, high=9)
    assert watch.see(60, 5, 100, high=9) == Due.NOTHING
    assert watch.see(61, 6, 101, high=9) == Due.NOTHING
    assert watch.see(91, 6, 101, high=9) == Due.STALLING


def test_a_stalled_partition_is_active_once_its_time_goes_on() -> None:
    watch = busy()
    watch.see(301, 5, 100, high=9)
    assert watch.see(310, 9, 105, high=9) == Due.ACTIVE_MARK


def test_a_stalled_partition_whose_rest_is_aborted_becomes_idle() -> None:
    watch = busy()
    watch.see(301, 5, 100, high=9)
    assert watch.see(310, 9, 100, high=9) == Due.NOTHING
    assert watch.see(340, 9, 100, high=9) == Due.CLOSE


def test_a_stuck_clock_stalls_though_records_come() -> None:
    watch = busy()
    for now in range(2, 301):
        assert watch.see(now, 4 + now, 100, high=4 + now) == Due.NOTHING
    assert watch.see(301, 305, 100, high=305) == Due.STALLED_MARK
    assert watch.see(302, 306, 100, high=306) == Due.NOTHING
    assert watch.see(361, 366, 100, high=366) == Due.STALLED_MARK
    assert watch.see(362, 367, 101, high=367) == Due.ACTIVE_MARK


def test_a_sparse_partition_does_not_stall_at_its_next_record() -> None:
    watch = busy()
    watch.see(31, 5, 100, high=5)
    assert watch.see(4_000, 6, 100, high=6) == Due.ACTIVE_MARK
    assert watch.see(4_001, 7, 100, high=7) == Due.NOTHING


def test_unread_data_after_a_silence_get_the_whole_limit() -> None:
    limits = Limits(idle_after=1_000, stall_limit=300)
    quiet = begin(0, Sight(5, 100, 5))
    quiet, due = look(quiet, 900, Sight(5, 100, 5), limits)
    assert due == Due.NOTHING
    quiet, due = look(quiet, 1_100, Sight(5, 100, 6), limits)
    assert due == Due.NOTHING
    assert look(quiet, 1_200, Sight(5, 100, 6), limits)[1] == Due.STALLED_MARK


def test_paused_it_is_neither_and_the_clock_starts_again() -> None:
    watch = busy()
    assert watch.see(500, 5, 100, high=5, paused=True) == Due.NOTHING
    assert watch.see(1_000, 5, 100, high=5) == Due.NOTHING
    assert watch.see(1_029, 5, 100, high=5) == Due.NOTHING
    assert watch.see(1_030, 5, 100, high=5) == Due.CLOSE


def test_an_idle_partition_with_data_that_cannot_be_read_stays_idle() -> None:
    watch = busy()
    watch.see(31, 5, 100, high=5)
    assert watch.see(91, 5, 100, high=9) == Due.IDLE_MARK
    assert watch.quiet.told == Activity.IDLE


def test_the_broker_is_asked_when_it_matters() -> None:
    watch = busy()
    assert not is_due(watch.quiet, 30, 5, LIMITS)
    assert is_due(watch.quiet, 31, 5, LIMITS)
    assert not is_due(watch.quiet, 31, 6, LIMITS)
    watch.see(31, 5, 100, high=9)
    assert not is_due(watch.quiet, 31.5, 5, LIMITS)
    assert is_due(watch.quiet, 31 + LOOK_EVERY, 5, LIMITS)
    watch.see(40, 5, 100, high=5)
    assert watch.quiet.told == Activity.IDLE
    assert not is_due(watch.quiet, 60, 5, LIMITS)
    assert is_due(watch.quiet, 40 + REPEAT_AFTER, 5, LIMITS)
