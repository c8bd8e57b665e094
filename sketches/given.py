"""A baseline made of a training set, as an object and as bytes.

It is profiles and nothing else: all records together and, where they carry event times, the blocks
that they make. So it depends on no signal, no threshold and no release; whoever compares with it
reads from it what is compared.

The bytes are versioned MessagePack: a magic word, the format version, a CRC-32, and the rest. Its
id is a hash of the content, so what has an id never changes.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import pairwise
from typing import Final, NamedTuple

import msgspec

from . import codec
from .profile import Profile

VERSION: Final = 1
MAGIC: Final = "streamgauge baseline"


class BaselineFormatError(ValueError):
    """Bytes that are not a baseline, or one that this release cannot read; says what to do."""


class TimedProfile(NamedTuple):
    """The records of a stretch of time, microseconds."""

    start: int
    end: int
    profile: Profile


@dataclass(frozen=True, slots=True)
class GivenBaseline:
    """What a training set says.

    Attributes:
        model: Name of the model.
        version: Of the model; empty: of every version.
        segment: Of its records; empty: of those without one.
        sources: Names of what it was made of; not part of its id.
        profile: All records.
        blocks: The records that carry an event time, in order of time; none: too few do.
        unique: Number features whose values were integers and all different.
    """

    model: str
    version: str
    segment: str
    sources: tuple[str, ...]
    profile: Profile
    blocks: tuple[TimedProfile, ...] = ()
    unique: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """Hash of all that counts, 16 hex digits."""
        return _id(_encoded(self))


class _Block(msgspec.Struct, array_like=True, frozen=True):
    start: int
    end: int
    parts: list[bytes]


class _Content(msgspec.Struct, frozen=True):
    model: str
    version: str
    segment: str
    profile: list[bytes]
    blocks: list[_Block]
    unique: list[str]


class _Whole(msgspec.Struct, frozen=True):
    id: str
    sources: list[str]
    content: bytes


class _Head(msgspec.Struct, array_like=True):
    magic: str
    version: int


class _File(msgspec.Struct, array_like=True):
    magic: str
    version: int
    crc: int
    whole: bytes


def _encoded(baseline: GivenBaseline) -> bytes:
    return msgspec.msgpack.encode(
        _Content(
            baseline.model,
            baseline.version,
            baseline.segment,
            codec.encode(baseline.profile),
            [_Block(each.start, each.end, codec.encode(each.profile)) for each in baseline.blocks],
            list(baseline.unique),
        )
    )


def _id(content: bytes) -> str:
    return blake2b(content, digest_size=8).hexdigest()


def to_bytes(baseline: GivenBaseline) -> bytes:
    """The bytes of a baseline, the same ones for the same content and sources."""
    content = _encoded(baseline)
    whole = msgspec.msgpack.encode(_Whole(_id(content), list(baseline.sources), content))
    return msgspec.msgpack.encode(_File(MAGIC, VERSION, zlib.crc32(whole), whole))


def from_bytes(data: bytes) -> GivenBaseline:
    """The baseline that ``to_bytes`` wrote.

    Raises:
        BaselineFormatError: It is none, not whole, or of a newer release.
    """
    again = "build it again: streamgauge baseline build"
    try:
        head = msgspec.msgpack.decode(data, type=_Head)
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise BaselineFormatError(f"not a baseline, or only a part of one; {again}") from error
    if head.magic != MAGIC or head.version < VERSION:
        raise BaselineFormatError(f"not a baseline; make one: {again.partition(': ')[2]}")
    if head.version > VERSION:
        raise BaselineFormatError(
            f"baseline format {head.version} is newer than this release reads ({VERSION}); "
            "upgrade streamgauge, or build it again with this release"
        )
    try:
        file = msgspec.msgpack.decode(data, type=_File)
        if zlib.crc32(file.whole) != file.crc:
            raise BaselineFormatError(f"the baseline is damaged: its checksum is wrong; {again}")
        whole = msgspec.msgpack.decode(file.whole, type=_Whole)
        content = msgspec.msgpack.decode(whole.content, type=_Content)
        found = GivenBaseline(
            content.model,
            content.version,
            content.segment,
            tuple(whole.sources),
            codec.decode(content.profile),
            tuple(TimedProfile(b.start, b.end, codec.decode(b.parts)) for b in content.blocks),
            tuple(content.unique),
        )
    except (msgspec.MsgspecError, UnicodeError, codec.CodecError) as error:
        raise BaselineFormatError(f"the baseline cannot be read: {error}; {again}") from error
    if _id(whole.content) != whole.id:
        raise BaselineFormatError(f"the baseline is damaged: its id is wrong; {again}")
    return found


def autocorrelation(values: Sequence[float]) -> float:
    """Correlation of each value with the next one, -1 to 1; 0 where nothing varies."""
    count = len(values)
    if count < 3:
        return 0.0
    mean = sum(values) / count
    away = [value - mean for value in values]
    square = sum(each * each for each in away)
    if square <= 0:
        return 0.0
    return sum(one * other for one, other in pairwise(away)) / square
