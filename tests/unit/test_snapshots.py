"""Snapshots that can be used, and those that cannot."""

from __future__ import annotations

import hashlib

import msgspec
import pytest

from alerts.events import EventFormatError, from_message
from consumer import log, snapshots
from consumer.fold import Fold
from consumer.log import BaselineRecord
from consumer.snapshots import SnapshotError, from_messages, manifest_key, to_messages
from sketches.detection import DetectionSettings
from tests.fold_logs import FakeJudges, W, closing, profile, publish


def _fold() -> Fold:
    fold = Fold("app", DetectionSettings(), partition=3, partitions=12, judges=FakeJudges())
    for offset, record in enumerate(publish([closing(None, W, 10, profile(W))], "a")):
        fold.apply(offset, record)
    return fold


def _restore(messages: dict[bytes, bytes], partitions: int = 12, app: str = "app") -> int:
    return Fold.restore(app, messages, partition=3, partitions=partitions, judges=FakeJudges())[1]


def test_a_snapshot_comes_back() -> None:
    messages = _fold().snapshot(7)
    assert [key for key, _ in messages] == [b"p3/b/0", b"p3/manifest"]
    assert _restore(dict(messages)) == 7


def test_a_snapshot_stands_at_the_record_applied_last_or_after() -> None:
    fold = _fold()
    assert fold.next_offset == 2
    with pytest.raises(ValueError, match="has been applied"):
        fold.snapshot(1)


def test_generations_take_turns_across_a_restart() -> None:
    fold = _fold()
    messages = dict(fold.snapshot(2))
    assert fold.snapshot(2)[0][0] == b"p3/a/0"
    again, _ = Fold.restore("app", messages, partition=3, partitions=12, judges=FakeJudges())
    assert again.snapshot(2)[0][0] == b"p3/a/0"


def test_a_large_state_goes_in_chunks() -> None:
    fold = _fold()
    state, _, _ = from_messages(dict(fold.snapshot(2)), 3)
    messages = to_messages(state, 2, 8, chunk_bytes=100)
    assert len(messages) > 3
    assert all(len(value) <= 100 for _, value in messages[:-1])
    assert messages[-1][0] == manifest_key(3)
    assert from_messages(dict(messages), 3) == (state, 2, 8)


def test_a_crash_within_a_snapshot_leaves_the_one_before() -> None:
    fold = _fold()
    messages = dict(fold.snapshot(5))
    messages.update(fold.snapshot(9)[:-1])
    assert _restore(messages) == 5


def test_no_snapshot() -> None:
    with pytest.raises(SnapshotError, match="no snapshot of partition 3"):
        _restore({})


def test_a_missing_chunk() -> None:
    messages = dict(_fold().snapshot(2))
    del messages[b"p3/b/0"]
    with pytest.raises(SnapshotError, match="p3/b/0 is missing"):
        _restore(messages)


def test_a_truncated_chunk() -> None:
    messages = dict(_fold().snapshot(2))
    messages[b"p3/b/0"] = messages[b"p3/b/0"][:-1]
    with pytest.raises(SnapshotError, match="instead of"):
        _restore(messages)


def test_another_chunk() -> None:
    messages = dict(_fold().snapshot(2))
    value = messages[b"p3/b/0"]
    messages[b"p3/b/0"] = bytes([*value[:-1], value[-1] ^ 1])
    with pytest.raises(SnapshotError, match="not those of the manifest"):
        _restore(messages)


@pytest.mark.parametrize("value", [b"\xc1", b"\x93abc", b"\x80"])
def test_a_manifest_that_is_none(value: bytes) -> None:
    messages = {**dict(_fold().snapshot(2)), manifest_key(3): value}
    with pytest.raises(SnapshotError, match="manifest cannot be read"):
        _restore(messages)


def test_a_text_that_is_no_text() -> None:
    messages = dict(_fold().snapshot(2))
    value = messages[manifest_key(3)]
    messages[manifest_key(3)] = bytes([*value[:-1], 0xCE])  # in the last of its texts
    with pytest.raises(SnapshotError, match="manifest cannot be read"):
        _restore(messages)
    record = log.encode(BaselineRecord(1, "w", "i", "t", "m", "", "", 0, 1, b""))
    with pytest.raises(log.LogFormatError, match="not a record"):
        log.decode(record.replace(b"\xa1w", b"\xa1\xce"))
    with pytest.raises(EventFormatError, match="not an alert event"):
        from_message(b'{"v": 1, "id": "\xce"}')


def test_a_newer_manifest() -> None:
    messages = dict(_fold().snapshot(2))
    messages[manifest_key(3)] = msgspec.msgpack.encode({"v": 2, "anything": "else"})
    with pytest.raises(SnapshotError, match="manifest has format version 2"):
        _restore(messages)


def _with_state(state: object) -> dict[bytes, bytes]:
    whole = msgspec.msgpack.encode(state)
    digest = hashlib.sha256(whole).hexdigest()
    manifest = snapshots.Manifest(1, 2, 0, (len(whole),), digest)
    return {b"p3/a/0": whole, manifest_key(3): msgspec.msgpack.encode(manifest)}


def test_a_newer_or_unreadable_state() -> None:
    with pytest.raises(SnapshotError, match="state has format version 9"):
        _restore(_with_state({"v": 9}))
    with pytest.raises(SnapshotError, match="state cannot be read"):
        _restore(_with_state({"v": 1}))


def test_the_state_of_something_else() -> None:
    messages = dict(_fold().snapshot(2))
    with pytest.raises(SnapshotError, match="12 partitions"):
        _restore(messages, partitions=6)
    with pytest.raises(SnapshotError, match="'other'"):
        _restore(messages, app="other")
    state, _, _ = from_messages(messages, 3)
    with pytest.raises(SnapshotError, match="of partition 4"):
        _restore(_with_state(msgspec.structs.replace(state, partition=4)))


def test_the_state_of_a_model_that_cannot_be_read() -> None:
    state, _, _ = from_messages(dict(_fold().snapshot(2)), 3)
    part = state.topics["t"]
    broken = {"m": msgspec.structs.replace(part.models["m"], judge=b"\xc1")}
    topics = {"t": msgspec.structs.replace(part, models=broken)}
    with pytest.raises(SnapshotError, match="state of a model"):
        _restore(_with_state(msgspec.structs.replace(state, topics=topics)))
