"""Defects planted in a system's topics: the audit finds each, and says where."""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import msgspec
import orjson
import pytest

from consumer import closings
from consumer.audit import audit
from consumer.audit_findings import Place, Report, Violation
from consumer.log import ProfileRecord, WatermarkRecord, log_partition
from sketches import codec
from tests.audit_worlds import LOG, LOG_PARTITIONS, REJECTS, Message, World, finish, live
from tests.audit_worlds import random_inputs as inputs

SIZE = 300  # records of an input partition


@pytest.fixture(scope="module")
def calm() -> World:
    """Three input partitions read by workers that die, all of it closed; some profiles in parts."""
    world, chance = World({"t": 2, "u": 1}), random.Random(11)
    inputs(world, chance, SIZE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(closings, "encode_all", partial(codec.encode_all, max_bytes=100))
        live(world, chance, 60)
        finish(world)
    world.detect(chance)
    return world


@pytest.fixture
def world(calm: World) -> World:
    return calm.copy()


def profiles(world: World, number: int) -> Iterator[tuple[int, ProfileRecord]]:
    for at in range(len(world.messages[LOG, number])):
        record = world.record(number, at)
        if isinstance(record, ProfileRecord):
            yield at, record


def watermarks(world: World, number: int) -> Iterator[tuple[int, WatermarkRecord]]:
    for at in range(len(world.messages[LOG, number])):
        record = world.record(number, at)
        if isinstance(record, WatermarkRecord):
            yield at, record


def accepted(world: World, number: int = 0, least: int = 2) -> list[tuple[int, WatermarkRecord]]:
    """Watermarks of t[0] that bring a new border and at least so many profiles, in order."""
    found: list[tuple[int, WatermarkRecord]] = []
    through = -(2**63)
    for at, mark in watermarks(world, number):
        if (mark.topic, mark.partition) == ("t", 0) and (mark.through or through) > through:
            through = mark.through or through
            if mark.profiles >= least:
                found.append((at, mark))
    return found


def of(world: World, at: int, number: int = 0) -> list[int]:
    """Places of the profiles that a watermark announces."""
    mark = world.record(number, at)
    assert isinstance(mark, WatermarkRecord)
    low = -(2**63) if mark.previous is None else mark.previous
    return [
        place
        for place, one in profiles(world, number)
        if place < at
        and (one.writer, one.topic, one.partition) == (mark.writer, mark.topic, mark.partition)
        and low < one.end <= (mark.through or 0)
    ]


def drop(world: World, number: int, *places: int) -> None:
    held = world.messages[LOG, number]
    world.messages[LOG, number] = [m for at, m in enumerate(held) if at not in places]


def place(world: World, number: int, at: int) -> Place:
    return Place(LOG, number, world.messages[LOG, number][at].offset)


def seal(world: World) -> None:
    """Every watermark says how many profiles it has and their digest, as they are now."""
    for number in range(LOG_PARTITIONS):
        for at, mark in watermarks(world, number):
            low = -(2**63) if mark.previous is None else mark.previous
            mine: dict[tuple[int, str, str, str, int], bytes] = {}
            for _, one in profiles(world, number):
                name = (one.end, one.model, one.version, one.segment, one.part)
                same = (one.writer, one.topic, one.partition)
                if _ >= at or same != (mark.writer, mark.topic, mark.partition):
                    continue
                if low < one.end <= (mark.through or 0):
                    mine.pop(name, None)
                    mine[name] = one.payload
            digest = 0
            for payload in mine.values():
                digest = zlib.crc32(payload, digest)
            world.replace(
                number, at, msgspec.structs.replace(mark, profiles=len(mine), digest=digest)
            )


def one_profile(world: World, parts: int = 1, reject: bool = False) -> ProfileRecord:
    """A profile of the middle of t[0]'s log."""
    found = []
    for _, mark in accepted(world):
        for number in range(LOG_PARTITIONS):
            for _, one in profiles(world, number):
                mine = (one.topic, one.partition) == ("t", 0) and one.parts == parts
                within = (mark.previous or 0) < one.end <= (mark.through or 0)
                if mine and within and bool(codec.decode([one.payload]).rejects) == reject:
                    found.append(one)
    return found[len(found) // 2]


def everywhere(
    world: World, like: ProfileRecord, change: Callable[[ProfileRecord], ProfileRecord | None]
) -> None:
    """Change or remove a profile in all of its publications."""
    for number in range(LOG_PARTITIONS):
        gone = []
        for at, one in profiles(world, number):
            names = ("topic", "partition", "end", "model", "version", "segment", "part")
            if all(getattr(one, name) == getattr(like, name) for name in names):
                new = change(one)
                if new is None:
                    gone.append(at)
                else:
                    world.replace(number, at, new)
        drop(world, number, *gone)


def restate(world: World, like: ProfileRecord, records: int) -> None:
    """Every watermark that closes a profile's window counts so many more records."""
    for number in range(LOG_PARTITIONS):
        for at, mark in watermarks(world, number):
            low = -(2**63) if mark.previous is None else mark.previous
            mine = (mark.topic, mark.partition) == (like.topic, like.partition)
            if mine and low < like.end <= (mark.through or 0):
                new = msgspec.structs.replace(mark, records=mark.records + records)
                world.replace(number, at, new)


def found(world: World, kind: str) -> Violation:
    """The first violation of a kind; its text and place are told."""
    report = audit(world.settings, world)
    mine = [one for one in report.violations if one.kind == kind]
    assert mine, report.lines()
    text = "\n".join(report.lines())
    assert f"VIOLATION {kind} x{len(mine)}" in text
    assert f"  look at {mine[0].place}" in text
    assert orjson.loads(report.json())["kinds"][kind] == len(mine)
    return mine[0]


def judged(world: World) -> Report:
    return audit(world.settings, world)


def test_a_calm_system_passes(world: World) -> None:
    report = judged(world)
    assert not report.violations, report.lines()
    facts = {one["what"]: one for one in report.checked}
    for name, number in world.inputs:
        mine = facts[f"{name}[{number}]"]
        assert mine["records"] + sum(mine["rejects"].values()) == SIZE
        assert mine["to"] == world.end(name, number)
    assert facts[f"{LOG}[0]"]["repeated"] > 0
    assert report.lines()[-1] == "no violation"


# --- chains -------------------------------------------------------------------------------------


def test_a_hole_in_the_chain_of_one_partition_of_the_log(world: World) -> None:
    (at, mark), (after, _) = accepted(world, least=0)[2:4]
    where = place(world, 0, after)
    again = [p for p, m in watermarks(world, 0) if m.through == mark.through]
    drop(world, 0, *of(world, at), *again)
    one = found(world, "chain_hole")
    assert one.place == where
    assert f"windows after {mark.previous} up to {mark.through}" in one.text


def test_the_first_watermark_is_missing_in_one_partition_of_the_log(world: World) -> None:
    at, mark = next(
        (at, m)
        for at, m in watermarks(world, 1)
        if (m.topic, m.partition, m.previous) == ("u", 0, None) and m.through is not None
    )
    early = [p for p, m in watermarks(world, 1) if m.topic == "u" and m.previous is None]
    mine = [
        p for p, one in profiles(world, 1) if one.topic == "u" and one.end <= (mark.through or 0)
    ]
    drop(world, 1, *early, *mine)
    assert at in early
    one = found(world, "chain_hole")
    assert one.place.partition == 1
    assert one.text.startswith("u[0]: no watermark covers the windows")


def test_a_repeated_watermark_with_another_closed_at(world: World) -> None:
    _, mark = accepted(world)[2]
    world.write_log(0, b"t/0", msgspec.structs.replace(mark, closed_at=mark.closed_at + 1))
    one = found(world, "chain_conflict")
    assert one.place == Place(LOG, 0, world.end(LOG, 0) - 1)
    assert f"closed at offset {mark.closed_at + 1}" in one.text


def test_two_partitions_of_the_log_say_different_offsets(world: World) -> None:
    at, mark = accepted(world, 1, 0)[2]
    for place_, other in watermarks(world, 1):
        if other.through == mark.through and (other.topic, other.partition) == ("t", 0):
            new = msgspec.structs.replace(other, closed_at=mark.closed_at + 1)
            world.replace(1, place_, new)
    assert found(world, "chain_conflict").place.partition == 1
    assert at


@pytest.mark.parametrize(("by", "kind"), [(2, "chain_hole"), (-2, "chain_twice")])
def test_ranges_of_offsets_that_do_not_meet(world: World, by: int, kind: str) -> None:
    at, mark = accepted(world)[3]
    world.replace(0, at, msgspec.structs.replace(mark, start=mark.start + by))
    one = found(world, kind)
    assert one.place == place(world, 0, at)
    assert f"begins at {mark.start + by}, not at {mark.start}" in one.text


def test_a_border_closed_before_the_one_before(world: World) -> None:
    mark = accepted(world)[-1][1]
    for number in range(LOG_PARTITIONS):
        new = msgspec.structs.replace(
            mark,
            previous=mark.through,
            through=(mark.through or 0) + mark.window,
            start=mark.closed_at,
            closed_at=3,
            records=0,
            rejects={},
            late=0,
            clock_ahead=0,
            profiles=0,
            digest=0,
        )
        world.write_log(number, b"t/0", new)
    one = found(world, "chain_order")
    assert one.place == Place(LOG, 0, world.end(LOG, 0) - 1)


def test_a_committed_border_that_a_partition_of_the_log_lacks(world: World) -> None:
    last = max(
        m.through or 0 for _, m in watermarks(world, 1) if (m.topic, m.partition) == ("t", 1)
    )
    mine = [
        p
        for p, m in watermarks(world, 1)
        if m.topic == "t" and m.partition == 1 and m.through == last
    ]
    drop(world, 1, *mine)
    one = found(world, "chain_behind")
    assert one.place == Place(LOG, 1, world.end(LOG, 1))
    assert f"t[1]: windows up to {last} are committed" in one.text


# --- profiles -----------------------------------------------------------------------------------


def test_a_lost_profile(world: World) -> None:
    at, mark = accepted(world)[1]
    where = place(world, 0, at)
    drop(world, 0, of(world, at)[0])
    one = found(world, "profile_lost")
    assert one.place == where
    assert f"says {mark.profiles} profiles" in one.text


def test_a_profile_too_many(world: World) -> None:
    at, mark = accepted(world)[1]
    first = of(world, at)[0]
    extra = world.record(0, first)
    assert isinstance(extra, ProfileRecord)
    model = next(m for m in map(str, range(99)) if log_partition("t", m, LOG_PARTITIONS) == 0)
    message = Message(0, 0, None, b"")
    world.messages[LOG, 0].insert(at, message)
    world.replace(0, at, msgspec.structs.replace(extra, model=model))
    for offset, each in enumerate(world.messages[LOG, 0]):
        each.offset = offset
    one = found(world, "profile_extra")
    assert one.place == Place(LOG, 0, at + 1)
    assert f"says {mark.profiles} profiles" in one.text


def test_a_changed_byte(world: World) -> None:
    at, _ = accepted(world)[1]
    first = of(world, at)[0]
    record = world.record(0, first)
    assert isinstance(record, ProfileRecord)
    payload = record.payload[:-1] + bytes([record.payload[-1] ^ 1])
    world.replace(0, first, msgspec.structs.replace(record, payload=payload))
    one = found(world, "profile_changed")
    assert one.place == place(world, 0, at)
    assert "another digest" in one.text


def test_a_repeated_profile_with_another_content(world: World) -> None:
    record = world.record(0, of(world, accepted(world)[1][0])[0])
    assert isinstance(record, ProfileRecord)
    changed = msgspec.structs.replace(record, writer="dead", last=record.last + 1)
    world.write_log(0, b"", changed)
    one = found(world, "profile_changed")
    assert one.place == Place(LOG, 0, world.end(LOG, 0) - 1)
    assert "published with other content at offset" in one.text


def test_a_profile_of_a_window_already_closed(world: World) -> None:
    record = world.record(0, of(world, accepted(world)[1][0])[0])
    assert isinstance(record, ProfileRecord)
    world.write_log(0, b"", msgspec.structs.replace(record, writer="dead", version="9"))
    one = found(world, "profile_late")
    assert one.place == Place(LOG, 0, world.end(LOG, 0) - 1)


def test_a_lost_part(world: World) -> None:
    like = one_profile(world, parts=2)
    everywhere(world, like, lambda one: None)
    seal(world)
    one = found(world, "profile_part")
    assert f"window up to {like.end}" in one.text


def test_a_payload_that_is_no_profile(world: World) -> None:
    like = one_profile(world)
    everywhere(world, like, lambda one: msgspec.structs.replace(one, payload=b"\x93\x01"))
    seal(world)
    assert f"window up to {like.end}" in found(world, "profile_unreadable").text


def test_a_profile_in_the_wrong_partition_of_the_log(world: World) -> None:
    record = world.record(0, of(world, accepted(world)[1][0])[0])
    world.write_log(1, b"", record)
    assert found(world, "log_misplaced").place == Place(LOG, 1, world.end(LOG, 1) - 1)


def test_a_record_of_the_log_that_cannot_be_read(world: World) -> None:
    world.messages[LOG, 1][5].value = b"\x00"
    assert found(world, "log_unreadable").place == Place(LOG, 1, 5)


# --- counts -------------------------------------------------------------------------------------


def test_a_watermark_that_counts_one_more(world: World) -> None:
    at, mark = accepted(world)[2]
    world.replace(0, at, msgspec.structs.replace(mark, records=mark.records + 1))
    one = found(world, "count_claim")
    assert one.place.topic == LOG
    assert f"counts records {mark.records + 1}" in one.text or "says" in one.text


def test_a_watermark_that_forgets_its_rejects(world: World) -> None:
    for number in range(LOG_PARTITIONS):
        for at, mark in watermarks(world, number):
            if mark.rejects and mark.topic == "u":
                world.replace(number, at, msgspec.structs.replace(mark, rejects={}))
    assert found(world, "count_claim").text.startswith("u[0]")


def test_a_doubled_count(world: World) -> None:
    """In the profile and in all watermarks alike: only the input can tell."""
    like = one_profile(world)
    before = codec.decode([like.payload])

    def doubled(one: ProfileRecord) -> ProfileRecord:
        more = replace(before, records=before.records * 2)
        (payload,) = codec.encode(more)
        return msgspec.structs.replace(one, payload=payload)

    everywhere(world, like, doubled)
    restate(world, like, before.records)
    seal(world)
    one = found(world, "count_over")
    assert one.place.topic == LOG
    assert one.text.startswith("t[0]: ")


def test_records_that_nobody_counted(world: World) -> None:
    """A profile that is gone from log and watermarks alike: only the input can tell."""
    like = one_profile(world)
    everywhere(world, like, lambda one: None)
    restate(world, like, -codec.decode([like.payload]).records)
    seal(world)
    assert found(world, "count_under").text.startswith("t[0]: windows up to ")


def test_a_record_that_the_input_does_not_hold(world: World) -> None:
    del world.messages["t", 1][70]
    assert found(world, "count_over").text.startswith("t[1]: ")


def test_a_record_that_was_read_over(world: World) -> None:
    held = world.messages["t", 1]
    at = next(at for at in range(60, 140) if held[at + 1].offset > held[at].offset + 1)
    held.insert(at + 1, Message(held[at].offset + 1, 0, None, b"{}"))
    assert found(world, "count_under").text.startswith("t[1]: ")


def rejects(world: World) -> list[tuple[int, int, dict[str, object]]]:
    return [
        (number, at, orjson.loads(m.value or b""))
        for number in range(2)
        for at, m in enumerate(world.messages[REJECTS, number])
    ]


def test_a_lost_reject(world: World) -> None:
    mine = [one for one in rejects(world) if one[2]["topic"] == "u"]
    offset = mine[1][2]["offset"]
    for number in range(2):
        held = world.messages[REJECTS, number]
        world.messages[REJECTS, number] = [m for m in held if m.key != f"u/0/{offset}".encode()]
    one = found(world, "reject_lost")
    assert one.place.topic == LOG
    assert one.text.startswith("u[0]: ")


def test_a_reject_of_a_record_that_is_not_there(world: World) -> None:
    number, at, told = next(one for one in rejects(world) if one[2]["topic"] == "u")
    held = {m.offset for m in world.messages["u", 0]}
    told["offset"] = next(offset for offset in range(20, 400) if offset not in held)
    value = orjson.dumps(told)
    world.write(REJECTS, number, world.messages[REJECTS, number][at].key, value)
    one = found(world, "reject_extra")
    assert f"holds no record at offset {told['offset']}" in one.text or one.text.startswith("u[0]")


def test_a_reject_that_no_profile_counts(world: World) -> None:
    told = next(one for one in rejects(world) if one[2]["topic"] == "t")[2]
    seen = {(one[2]["partition"], one[2]["offset"]) for one in rejects(world)}
    offset = next(m.offset for m in world.messages["t", 0][50:] if (0, m.offset) not in seen)
    told |= {"partition": 0, "offset": offset}
    world.write(REJECTS, 0, b"", orjson.dumps(told))
    assert found(world, "reject_extra").text.startswith("t[0]: ")


def test_a_repeated_reject_with_another_reason(world: World) -> None:
    number, at, told = rejects(world)[3]
    told["reason"] = "too_deep"
    world.write(REJECTS, number, world.messages[REJECTS, number][at].key, orjson.dumps(told))
    one = found(world, "reject_changed")
    assert one.place == Place(REJECTS, number, world.end(REJECTS, number) - 1)


def test_a_reject_message_that_is_none(world: World) -> None:
    world.write(REJECTS, 1, b"", b"{}")
    assert found(world, "reject_unreadable").place.topic == REJECTS


# --- what is declared is no violation -------------------------------------------------------------


def without_alerts(world: World) -> World:
    for number in range(3):
        world.messages["app-alerts", number] = []
    return world


def test_a_lost_profile_that_an_event_tells_of(world: World) -> None:
    at, mark = accepted(world)[1]
    drop(world, 0, of(world, at)[0])
    without_alerts(world).detect(random.Random(1))
    report = judged(world)
    assert not report.violations, report.lines()
    assert any(f"says {mark.profiles} profiles" in text for text in report.declared)
    assert any(text.startswith("t[0]: windows up to") for text in report.notes)


def test_a_hole_that_an_event_tells_of(world: World) -> None:
    at, mark = accepted(world, least=0)[2]
    again = [p for p, m in watermarks(world, 0) if m.through == mark.through]
    drop(world, 0, *of(world, at), *again)
    without_alerts(world).detect(random.Random(1))
    report = judged(world)
    assert "chain_hole" not in report.counts
    assert any("no watermark covers" in text for text in report.declared)
