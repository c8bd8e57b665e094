"""Borders, repetitions and losses of one input partition."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import msgspec
import pytest

from consumer.crc import crc32_joined
from consumer.log import Lost, ProfileRecord, WatermarkRecord
from consumer.log_borders import BORDERS, WRITERS, InputBorder, LogBorders, Loss, Step
from tests.fold_logs import W, closing, profile, publish


def _feed(borders: LogBorders, records: Sequence[ProfileRecord | WatermarkRecord]) -> Step:
    step = Step(False, False, [], [])
    for record in records:
        if isinstance(record, ProfileRecord):
            borders.hold(record)
        else:
            step = borders.close(record)
    return step


def _restored(borders: LogBorders) -> LogBorders:
    kind = list[tuple[str, int, InputBorder]]
    state = msgspec.msgpack.decode(msgspec.msgpack.encode(borders.state()), type=kind)
    return LogBorders.restore(state)


ONE = closing(None, W, 10, profile(W, payload=b"one"))
TWO = closing(W, 2 * W, 20, profile(2 * W, payload=b"two"))
THREE = closing(2 * W, 3 * W, 30, profile(3 * W, payload=b"three"))


def _payloads(step: Step) -> list[tuple[bytes, ...]]:
    return [each.payloads for each in step.profiles]


def test_profiles_are_handed_on_with_their_own_watermark() -> None:
    step = _feed(LogBorders(), publish([ONE], "a"))
    assert step.moved
    assert step.current
    assert _payloads(step) == [(b"one",)]
    assert step.losses == []


def test_parts_of_a_profile_are_put_together_in_order() -> None:
    parts = [profile(W, payload=b"%d" % part, part=part, parts=3) for part in range(3)]
    step = _feed(LogBorders(), publish([closing(None, W, 10, *parts, profile(W, "n"))], "a"))
    assert _payloads(step) == [(b"0", b"1", b"2"), (b"x",)]


def test_a_repetition_is_dropped_and_counted() -> None:
    borders = LogBorders()
    _feed(borders, publish([ONE], "a"))
    step = _feed(borders, publish([ONE], "b"))
    assert (step.moved, step.profiles, step.losses) == (False, [], [])
    assert borders.repeated > 0
    assert borders.waiting == 0


def test_a_watermark_that_repeats_and_goes_on_counts_for_what_is_new() -> None:
    borders = LogBorders()
    _feed(borders, publish([ONE], "a"))
    step = _feed(borders, publish([ONE, TWO], "b"))
    assert _payloads(step) == [(b"two",)]
    assert step.losses == []


def test_the_first_watermark_for_a_border_wins() -> None:
    borders = LogBorders()
    a, b = publish([ONE], "a"), publish([ONE], "b")
    _feed(borders, [*a[:-1], *b[:-1]])
    assert _payloads(_feed(borders, b[-1:])) == [(b"one",)]
    assert borders.waiting == 0
    assert _payloads(_feed(borders, a[-1:])) == []


def test_what_a_writer_left_unfinished_does_not_disturb_its_later_watermarks() -> None:
    borders = LogBorders()
    _feed(borders, publish([ONE], "a"))
    _feed(borders, publish([TWO], "a")[:-1])  # loses the partition before its watermark
    _feed(borders, publish([TWO], "b"))
    step = _feed(borders, publish([THREE], "a"))  # and has it back
    assert _payloads(step) == [(b"three",)]
    assert step.losses == []


def test_a_writer_that_begins_again_replaces_what_it_had_published() -> None:
    borders = LogBorders()
    _feed(borders, publish([ONE, TWO], "a")[:-1])
    step = _feed(borders, publish([ONE, TWO], "a"))
    assert _payloads(step) == [(b"one",), (b"two",)]
    assert step.losses == []


def test_an_attempt_of_which_only_the_middle_arrived_is_replaced_too() -> None:
    borders = LogBorders()
    three = closing(None, W, 10, *[profile(W, model, model.encode()) for model in "abc"])
    records = publish([three], "a")
    _feed(borders, records[1:2])
    step = _feed(borders, records)
    assert _payloads(step) == [(b"a",), (b"b",), (b"c",)]
    assert step.losses == []


def test_the_same_border_closed_at_another_offset_is_told_once() -> None:
    borders = LogBorders()
    _feed(borders, publish([ONE], "a"))
    other = publish([closing(None, W, 11, profile(W, payload=b"one"))], "b")
    step = _feed(borders, other)
    assert step.losses == [Loss("t", 0, "conflict", W, start=10, stop=11, until=W)]
    assert not step.current
    assert _feed(borders, other).losses == []


def test_an_older_border_is_compared_too_as_long_as_it_is_remembered() -> None:
    borders = LogBorders()
    for k in range(1, BORDERS + 3):
        _feed(borders, publish([closing((k - 1) * W or None, k * W, 10 * k)], "a"))
    late = publish([closing(3 * W, 4 * W, 41)], "b")
    assert [loss.reason for loss in _feed(borders, late).losses] == ["conflict"]
    forgotten = publish([closing(None, W, 11)], "b")
    assert _feed(borders, forgotten).losses == []


def test_a_watermark_that_never_came_is_a_gap() -> None:
    borders = LogBorders()
    _feed(borders, publish([ONE], "a"))
    step = _feed(borders, publish([THREE], "a"))
    assert step.losses == [Loss("t", 0, "gap", 2 * W, since=W, until=2 * W)]
    assert _payloads(step) == [(b"three",)]


def test_a_partition_heard_of_without_a_border_has_a_gap_as_well() -> None:
    borders = LogBorders()
    assert _feed(borders, publish([closing(None, None, 0, state="idle", as_of=5)], "a")).current
    step = _feed(borders, publish([TWO], "a"))
    assert [loss.reason for loss in step.losses] == ["gap"]


def test_the_first_word_of_a_log_cut_off_by_retention_is_no_loss() -> None:
    step = _feed(LogBorders(), publish([TWO], "a")[1:])
    assert step.moved
    assert step.losses == []


@pytest.mark.parametrize("found", [0, 1])
def test_fewer_profiles_than_said_is_a_loss_and_the_rest_is_used(found: int) -> None:
    two = closing(None, W, 10, profile(W, "a", b"a"), profile(W, "b", b"b"))
    records = publish([two], "a")
    step = _feed(LogBorders(), [*records[:found], records[-1]])
    assert step.losses == [
        Loss("t", 0, "profiles", W, since=None, until=W, expected=2, found=found)
    ]
    assert _payloads(step) == [(b"a",)][:found]


def test_a_profile_without_all_its_parts_is_left_out() -> None:
    parts = [profile(W, payload=b"%d" % part, part=part, parts=2) for part in range(2)]
    records = publish([closing(None, W, 10, *parts)], "a")
    step = _feed(LogBorders(), records[1:])
    assert [loss.reason for loss in step.losses] == ["profiles"]
    assert step.profiles == []


def test_other_bytes_than_said_are_a_loss() -> None:
    records = publish([ONE], "a")
    other = msgspec.structs.replace(records[0], payload=b"eno")
    step = _feed(LogBorders(), [other, records[1]])
    assert [loss.reason for loss in step.losses] == ["profiles"]


def test_offsets_that_go_back_are_a_loss() -> None:
    borders = LogBorders()
    _feed(borders, publish([ONE], "a"))
    step = _feed(borders, publish([closing(W, 2 * W, 3)], "a"))
    assert [loss.reason for loss in step.losses] == ["rewound"]


def test_lost_offsets_are_told_once_even_if_the_watermark_repeats() -> None:
    borders = LogBorders()
    lost = closing(None, W, 10, lost=(Lost(2, 5),))
    assert _feed(borders, publish([lost], "a")).losses == [
        Loss("t", 0, "offsets", None, start=2, stop=5)
    ]
    assert _feed(borders, publish([lost], "b")).losses == []
    more = closing(None, W, 10, lost=(Lost(2, 5), Lost(4, 9)))
    assert _feed(borders, publish([more], "b")).losses == [
        Loss("t", 0, "offsets", W, start=5, stop=9)
    ]


def test_too_much_that_waits_is_let_go_the_silent_writers_first() -> None:
    borders = LogBorders(waiting_bytes=1000)
    dead = publish([closing(None, W, 10, profile(W, payload=bytes(700)))], "dead")
    _feed(borders, dead[:-1])
    mine = publish([closing(None, W, 10, profile(W, payload=bytes(600)))], "mine")
    step = _feed(borders, mine)
    assert step.losses == []
    assert _payloads(step) == [(bytes(600),)]
    own = [profile(2 * W, model, bytes(400)) for model in "abc"]
    step = _feed(borders, publish([closing(W, 2 * W, 20, *own)], "mine"))
    assert [(loss.reason, loss.expected, loss.found) for loss in step.losses] == [("memory", 3, 1)]
    assert [each.model for each in step.profiles] == ["c"]


def test_only_so_many_writers_are_remembered_by_a_restored_one_too() -> None:
    borders = LogBorders()
    for at in range(WRITERS - 1, -1, -1):  # the names say nothing about the age
        borders.hold(profile(W, writer=f"w{at}"))
    for kept in (borders, _restored(borders)):
        kept.hold(profile(W, writer="w1"))
        kept.hold(profile(W, writer="new"))
        waits = {wait.writer for _, _, border in kept.state() for wait in border.waits}
        assert len(waits) == WRITERS
        assert f"w{WRITERS - 1}" not in waits
        assert "w1" in waits


def test_borders_are_known_by_topic_and_partition() -> None:
    borders = LogBorders()
    _feed(borders, publish([ONE], "a"))
    assert borders.through("t", 0) == W
    assert borders.through("t", 1) is None


@pytest.mark.parametrize("size", [0, 1, 3, 4096, 100_001])
def test_the_crc_of_two_strings_together(size: int) -> None:
    one, two = b"some bytes", bytes(index % 251 for index in range(size))
    assert crc32_joined(zlib.crc32(one), zlib.crc32(two), size) == zlib.crc32(one + two)
