"""When the windows of a topic are complete."""

from __future__ import annotations

from consumer.completeness import Completeness
from consumer.log import ProfileRecord, WatermarkRecord
from consumer.log_borders import LogBorders
from tests.fold_logs import SECOND, Closing, W, profile, publish


class Topic:
    """A topic of two partitions, told by one writer."""

    def __init__(self, partitions: int = 2) -> None:
        self.partitions = partitions
        self.borders = LogBorders()
        self.windows = Completeness()
        self.last: dict[int, tuple[int | None, int]] = {}

    def say(
        self,
        partition: int,
        through: int | None,
        *ends: int,
        state: str = "active",
        as_of: int | None = None,
        writer: str = "w",
    ) -> list[int]:
        """A watermark with profiles of windows; the ends of the windows then complete."""
        previous, at = self.last.get(partition, (None, 0))
        at += through != previous
        self.last[partition] = (through, at)
        profiles = tuple(profile(end) for end in ends)
        one = Closing(
            "t", partition, self.partitions, previous, through, at, state, as_of, profiles
        )
        for record in publish([one], writer):
            if isinstance(record, ProfileRecord):
                self.borders.hold(record)
            else:
                assert isinstance(record, WatermarkRecord)
                self.windows.hear(record, self.borders.close(record))
        border = self.windows.border()
        taken = []
        while border is not None and (window := self.windows.take(border)) is not None:
            taken.append(window[0])
        if border is not None:
            self.windows.passed(border)
        return taken


def test_a_window_is_complete_when_all_partitions_have_passed_it() -> None:
    topic = Topic()
    assert topic.say(0, 3 * W, W, 3 * W) == []
    assert topic.windows.border() is None
    assert topic.say(1, 2 * W, 2 * W) == [W, 2 * W]
    assert topic.windows.slowest() == 2 * W
    assert topic.say(1, 9 * W) == [3 * W]
    assert topic.windows.state.folded == 3 * W


def test_a_partition_without_any_record_is_waited_for_until_it_says_so() -> None:
    topic = Topic()
    topic.say(0, W, W)
    assert topic.say(1, None, state="idle", as_of=0) == [W]


def test_an_active_partition_without_a_border_holds_the_topic() -> None:
    topic = Topic()
    topic.say(0, W, W)
    assert topic.say(1, None) == []
    assert topic.windows.slowest() is None
    assert topic.say(1, 2 * W) == [W]


def test_idle_and_stalled_partitions_are_not_waited_for() -> None:
    topic = Topic(3)
    topic.say(0, W, W)
    topic.say(1, W, state="idle", as_of=0)
    topic.say(2, W, state="stalled", as_of=0)
    assert topic.say(0, 5 * W, 4 * W) == [4 * W]


def test_all_idle_completes_everything_that_they_closed() -> None:
    topic = Topic()
    topic.say(0, W, W)
    topic.say(1, 5 * W, 5 * W)
    topic.say(0, 2 * W, 2 * W)
    assert topic.say(1, 6 * W, 6 * W, state="idle", as_of=0) == []
    assert topic.say(0, 3 * W, 3 * W, state="idle", as_of=0) == [3 * W, 5 * W, 6 * W]


def test_profiles_for_a_window_already_taken_join_the_next_as_late() -> None:
    topic = Topic()
    topic.say(0, W)
    topic.say(1, W, state="idle", as_of=0)
    assert topic.say(0, 5 * W, 5 * W) == [5 * W]
    topic.say(1, 4 * W, 3 * W, 4 * W)
    assert list(topic.windows.state.waiting) == [6 * W]
    assert topic.say(0, 6 * W, 6 * W) == []  # partition 1 is active again, at 4 W
    assert topic.say(1, 6 * W) == [6 * W]


def test_late_profiles_stand_before_those_of_the_window_itself() -> None:
    topic = Topic()
    topic.say(0, 5 * W, state="idle", as_of=0)
    topic.say(1, 4 * W)
    topic.windows.passed(6 * W)
    topic.say(1, 7 * W, 6 * W, 7 * W)
    window = topic.windows.take(7 * W)
    assert window is None  # it has been taken: ``say`` takes what is complete
    topic.say(0, 6 * W, 6 * W)
    topic.say(1, 8 * W, 8 * W)
    assert [(one.own_end, one.partition) for one in topic.windows.state.waiting[8 * W]] == [
        (6 * W, 0),
        (8 * W, 1),
    ]


def test_data_that_joined_a_later_window_are_not_left_when_all_are_idle() -> None:
    topic = Topic()
    topic.say(0, 5 * W, state="idle", as_of=0)
    topic.say(1, W, state="idle", as_of=0)
    assert topic.say(1, 3 * W, 3 * W, state="idle", as_of=0) == [6 * W]


def test_an_added_partition_is_waited_for() -> None:
    topic = Topic(1)
    assert topic.say(0, W, W) == [W]
    topic.partitions = 2
    assert topic.say(0, 2 * W, 2 * W) == []
    assert topic.say(1, None, state="idle", as_of=0) == [2 * W]
    topic.partitions = 1  # a worker whose metadata is old
    assert topic.say(0, 3 * W, 3 * W) == [3 * W]
    assert topic.windows.state.partitions == 2


def test_an_idle_mark_after_active_is_believed_when_its_writer_repeats_it() -> None:
    topic = Topic()
    topic.say(0, W)
    topic.say(1, W, state="idle", as_of=0)
    topic.say(1, W)
    assert topic.say(0, 2 * W, 2 * W) == []
    assert topic.say(1, W, state="idle", as_of=1, writer="x") == []
    assert topic.say(1, W, state="idle", as_of=1, writer="y") == []
    assert topic.say(1, W, state="idle", as_of=2, writer="y") == [2 * W]


def test_time_goes_on_while_all_are_quiet_and_only_then() -> None:
    topic = Topic()
    topic.say(0, W, state="idle", as_of=100 * SECOND)
    assert topic.windows.quiet() is None
    topic.say(1, 3 * W, state="stalled", as_of=110 * SECOND)
    assert topic.windows.quiet() == 3 * W
    topic.say(0, W, state="idle", as_of=170 * SECOND)
    assert topic.windows.quiet() == 3 * W + 60 * SECOND
    topic.say(0, 4 * W, state="idle", as_of=180 * SECOND)
    assert topic.windows.quiet() == 4 * W
    topic.say(0, 4 * W)
    assert topic.windows.quiet() is None
