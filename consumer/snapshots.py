"""The snapshot of one fold as key/value messages of the compacted ``<app>-state`` topic, and back.

A snapshot goes in chunks to the keys of one of two generations, which take turns, and its manifest,
which names the chunks, last. So whatever a crash or compaction leaves, the manifest's own chunks
are there; a snapshot that is not whole all the same is recognised by its sizes and its hash. It
only saves time: the fold can always be rebuilt from the log.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import msgspec

from alerts.commands import Command
from consumer.completeness import TopicState
from consumer.evidence import Evidence
from consumer.log import BaselineRecord
from consumer.log_borders import InputBorder
from consumer.silence import Silence
from sketches.detection import DetectionSettings

FORMAT_VERSION = 1
CHUNK_BYTES = 900_000  # the default limit of a message is 1,048,588 bytes
GENERATIONS = "ab"


class SnapshotError(Exception):
    """There is no snapshot that can be used; the text says why."""


class Manifest(msgspec.Struct, frozen=True):
    """What a whole snapshot is made of.

    Attributes:
        v: Format version.
        offset: Log offset to go on from.
        generation: Counts the snapshots; its parity tells the keys.
        sizes: Bytes of each chunk.
        sha256: Over all chunks in order, hexadecimal.
    """

    v: int
    offset: int
    generation: int
    sizes: tuple[int, ...]
    sha256: str


class ModelPart(msgspec.Struct, frozen=True):
    """One model: what its judge knows (its own format), its silences, its offsets."""

    judge: bytes
    silence: Silence | None
    evidence: Evidence


class TopicPart(msgspec.Struct, frozen=True):
    """One input topic."""

    windows: TopicState
    judge: bytes
    limited: list[str]
    alarm: int | None
    models: dict[str, ModelPart]
    beat: int | None = None


class FoldState(msgspec.Struct, frozen=True):
    """All that one fold knows."""

    v: int
    app: str
    partition: int
    partitions: int
    settings: DetectionSettings
    digest: str
    borders: list[tuple[str, int, InputBorder]]
    topics: dict[str, TopicPart]
    arriving: list[BaselineRecord] = []  # parts of given baselines
    commands: list[Command] = []
    heard: list[str] = []


class _Version(msgspec.Struct):
    v: int


def manifest_key(partition: int) -> bytes:
    """Key of the manifest of a partition of the log."""
    return f"p{partition}/manifest".encode()


def chunk_key(partition: int, generation: int, chunk: int) -> bytes:
    """Key of one chunk."""
    return f"p{partition}/{GENERATIONS[generation % 2]}/{chunk}".encode()


def to_messages(
    state: FoldState, offset: int, generation: int, chunk_bytes: int = CHUNK_BYTES
) -> list[tuple[bytes, bytes]]:
    """The messages of a snapshot, to be produced in this order to one partition."""
    whole = memoryview(msgspec.msgpack.encode(state))
    chunks = [whole[at : at + chunk_bytes] for at in range(0, len(whole), chunk_bytes)]
    manifest = Manifest(
        v=FORMAT_VERSION,
        offset=offset,
        generation=generation,
        sizes=tuple(len(chunk) for chunk in chunks),
        sha256=hashlib.sha256(whole).hexdigest(),
    )
    messages = [
        (chunk_key(state.partition, generation, at), bytes(chunk))
        for at, chunk in enumerate(chunks)
    ]
    messages.append((manifest_key(state.partition), msgspec.msgpack.encode(manifest)))
    return messages


def from_messages(messages: Mapping[bytes, bytes], partition: int) -> tuple[FoldState, int, int]:
    """The last whole snapshot: its state, the offset to go on from, its generation.

    Args:
        messages: Key -> last value of the partition of the state topic.
        partition: Number of the partition of the log.

    Raises:
        SnapshotError: There is none, it is not whole, or of a newer release.
    """
    value = messages.get(manifest_key(partition))
    if not value:
        raise SnapshotError(f"there is no snapshot of partition {partition}")
    _check_version(value, "manifest")
    try:
        manifest = msgspec.msgpack.decode(value, type=Manifest)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise SnapshotError(f"the manifest cannot be read: {error}") from error
    chunks = []
    for at, size in enumerate(manifest.sizes):
        key = chunk_key(partition, manifest.generation, at)
        chunk = messages.get(key)
        if chunk is None:
            raise SnapshotError(f"chunk {key.decode()} is missing")
        if len(chunk) != size:
            raise SnapshotError(f"chunk {key.decode()} has {len(chunk)} bytes instead of {size}")
        chunks.append(chunk)
    whole = b"".join(chunks)
    if hashlib.sha256(whole).hexdigest() != manifest.sha256:
        raise SnapshotError("the chunks are not those of the manifest")
    _check_version(whole, "state")
    try:
        state = msgspec.msgpack.decode(whole, type=FoldState)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise SnapshotError(f"the state cannot be read: {error}") from error
    if state.partition != partition:
        raise SnapshotError(f"the state is of partition {state.partition}, not {partition}")
    return state, manifest.offset, manifest.generation


def _check_version(value: bytes, what: str) -> None:
    """A newer release may have changed everything but ``v``."""
    try:
        found = msgspec.msgpack.decode(value, type=_Version).v
    except (msgspec.DecodeError, UnicodeError) as error:
        raise SnapshotError(f"the {what} cannot be read: {error}") from error
    if found > FORMAT_VERSION:
        raise SnapshotError(
            f"the {what} has format version {found}, this release reads up to {FORMAT_VERSION}"
        )
