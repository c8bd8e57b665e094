"""Profiles as bytes: versioned MessagePack with little-endian arrays inside.

All whole numbers of the arrays stand one after the other in one run of ``sketches.varint``: nearly
all are small. A profile over the size limit is split by feature into parts; the counts of the
records as a whole stand in the first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import islice, pairwise
from operator import lt
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from . import profile as profiles
from .categories import LONGEST, MINIMUM_VALUES, TOP, Categories
from .numbers import Numbers
from .profile import Profile
from .ragged import edges
from .table import FloatArray, IntArray
from .whole_numbers import MOST, Reader, packed, require

VERSION: Final = 1
_AT_ONCE: Final = 2**16  # bins, or bytes, of profiles that are written or read together
_RAW_HASHES: Final = np.dtype("<u8")


class CodecError(Exception):
    """Bytes that are not a profile, or one of a newer release."""


class _Head(msgspec.Struct, array_like=True):
    version: int


class _Wire(msgspec.Struct, array_like=True):
    version: int
    records: int
    errors: int
    late: int
    clock_ahead: int
    rejects: dict[str, int]
    names: list[str]
    moments: bytes  # mean, m2, minimum, maximum of the number features, each as an array
    values: list[list[str]]  # of the text features, the most frequent first
    hashes: list[bytes]  # smallest value hashes of the text features
    whole: bytes  # everything else, see sketches.whole_numbers


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Wire)
_head_decoder = msgspec.msgpack.Decoder(_Head)


def encode(profile: Profile, max_bytes: int = 256_000) -> list[bytes]:
    """The parts of a profile.

    Args:
        profile: Any.
        max_bytes: Size of a part, at most, unless one feature alone is larger.
    """
    return encode_all([profile], max_bytes)[0]


def encode_all(found: Sequence[Profile], max_bytes: int = 256_000) -> list[list[bytes]]:
    """The parts of each of many profiles, the same bytes as one at a time."""
    parts: list[list[bytes]] = []
    some: list[Profile] = []
    bins = 0
    for profile in found:
        some.append(profile)
        bins += len(profile.numbers.histogram.count)
        if bins > _AT_ONCE:
            parts += _encoded(some, max_bytes)
            some, bins = [], 0
    return parts + _encoded(some, max_bytes)


def _encoded(found: Sequence[Profile], max_bytes: int) -> list[list[bytes]]:
    if not found:
        return []
    parts = []
    for profile, whole in zip(found, packed(found), strict=True):
        data = _encoder.encode(_wire(profile, whole))
        if len(data) <= max_bytes or len(profile.names) <= 1:
            parts.append([data])
            continue
        half = len(profile.names) // 2
        head = profile.select(profile.names[:half])
        tail = profile.select(profile.names[half:])
        tail = replace(tail, records=0, errors=0, late=0, clock_ahead=0, rejects={})
        parts.append(encode(head, max_bytes) + encode(tail, max_bytes))
    return parts


def decode(parts: Sequence[bytes]) -> Profile:
    """The profile whose parts these are, in any order.

    Raises:
        CodecError: They are not.
    """
    found = _decoded([_read(part) for part in parts])
    if not found:
        raise CodecError("not a profile: no part")
    return _joined(found)


def decode_all(profiles: Sequence[Sequence[bytes]]) -> list[Profile | None]:
    """Many profiles from their parts; None: they are not those of a profile."""
    found: list[Profile | None] = []
    some: list[Sequence[bytes]] = []
    size = 0
    for parts in profiles:
        some.append(parts)
        size += sum(map(len, parts))
        if size > _AT_ONCE:
            found += _decoded_all(some)
            some, size = [], 0
    return found + _decoded_all(some)


def _decoded_all(profiles: Sequence[Sequence[bytes]]) -> list[Profile | None]:
    try:
        pieces = iter(_decoded([_read(part) for parts in profiles for part in parts]))
        return [_joined(list(islice(pieces, len(parts)))) for parts in profiles]
    except CodecError:
        if len(profiles) == 1:
            return [None]
    half = len(profiles) // 2  # few are broken, if any
    return _decoded_all(profiles[:half]) + _decoded_all(profiles[half:])


def _joined(parts: Sequence[Profile]) -> Profile:
    if len(parts) == 1:
        return parts[0]
    if not parts:
        raise CodecError("not a profile: no part")
    names = sorted(name for one in parts for name in one.names)
    if any(one == other for one, other in pairwise(names)):
        raise CodecError("not a profile: a feature in two parts")
    return profiles.merge(parts)


def _read(data: bytes) -> _Wire:
    try:
        version = _head_decoder.decode(data).version
        if version != VERSION:
            raise CodecError(f"profile format {version}; this release reads {VERSION}")
        return _decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeError, ValueError) as error:
        raise CodecError(f"not a profile: {error}") from error
    except RecursionError as error:
        raise CodecError("not a profile: nested too deeply") from error


def _decoded(wires: Sequence[_Wire]) -> list[Profile]:
    if not wires:
        return []
    try:
        return _profiles(wires)
    except (ValueError, IndexError, OverflowError) as error:
        raise CodecError(f"not a profile: {error}") from error


def _wire(profile: Profile, whole: bytes) -> _Wire:
    found = profile.numbers
    moments = np.concatenate([found.mean, found.m2, found.minimum, found.maximum])
    texts = profile.texts.values()
    return _Wire(
        VERSION,
        profile.records,
        profile.errors,
        profile.late,
        profile.clock_ahead,
        profile.rejects,
        list(profile.names),
        moments.astype("<f8", copy=False).tobytes(),
        [list(held.counts) for held in texts],
        [np.array(held.hashes, _RAW_HASHES).tobytes() if held.hashes else b"" for held in texts],
        whole,
    )


def _profiles(wires: Sequence[_Wire]) -> list[Profile]:
    known: dict[tuple[str, ...], tuple[str, ...]] = {}  # like names become the same object
    for wire in wires:
        sums = (wire.records, wire.errors, wire.late, wire.clock_ahead, *wire.rejects.values())
        require(min(sums) >= 0 and max(sums) <= MOST, "a count out of range")
        names = tuple(wire.names)
        if known.setdefault(names, names) is names:
            require(all(map(lt, names, names[1:])), "names out of order")
    names_of = [known[tuple(wire.names)] for wire in wires]
    widths = np.array(list(map(len, names_of)))
    reader = Reader([wire.whole for wire in wires])
    kinds = reader.kinds(widths)
    numbers = _numbers(reader, names_of, widths, wires)
    texts = _texts(reader, names_of, widths, wires)
    reader.end()
    return [
        Profile(
            wire.records,
            wire.errors,
            wire.late,
            wire.clock_ahead,
            wire.rejects,
            names_of[at],
            kinds[start:stop].copy(),
            numbers[at],
            texts[at],
        )
        for at, (wire, (start, stop)) in enumerate(zip(wires, _rows(widths), strict=True))
    ]


def _rows(sizes: IntArray) -> list[tuple[int, int]]:
    """First and end of each row of these sizes."""
    return list(pairwise(edges(sizes).tolist()))


def _numbers(
    reader: Reader, names_of: Sequence[tuple[str, ...]], widths: IntArray, wires: Sequence[_Wire]
) -> list[Numbers]:
    features = reader.one(widths)
    places = reader.places(features, widths).tolist()
    count, zeros = reader.take(features), reader.take(features)
    bins = reader.histograms(features)
    require(bool((bins.totals() == count).all()), "bins do not add up to the count")
    known: dict[tuple[str, ...], tuple[str, ...]] = {}
    found = []
    for names, wire, (start, stop) in zip(names_of, wires, _rows(features), strict=True):
        require(len(wire.moments) == 4 * 8 * (stop - start), "moments do not match the features")
        moments: FloatArray = np.frombuffer(wire.moments, dtype="<f8").astype(np.float64)
        mean, m2, minimum, maximum = moments.reshape(4, stop - start)
        held = tuple(map(names.__getitem__, places[start:stop]))
        held = known.setdefault(held, held)
        counts, none = count[start:stop].copy(), zeros[start:stop].copy()
        mine = bins.cut(start, stop)
        found.append(Numbers(held, counts, mean, m2, minimum, maximum, none, mine))
    return found


def _texts(
    reader: Reader, names_of: Sequence[tuple[str, ...]], widths: IntArray, wires: Sequence[_Wire]
) -> list[dict[str, Categories]]:
    features = np.array([len(wire.values) for wire in wires])
    places = iter(reader.places(features, widths).tolist())
    others = iter(reader.take(features).tolist())
    sizes = np.array([sum(map(len, wire.values)) for wire in wires])
    counts = iter(reader.take(sizes).tolist())
    found = []
    for names, wire in zip(names_of, wires, strict=True):
        require(len(wire.hashes) == len(wire.values), "hashes do not match the features")
        found.append(
            {
                names[next(places)]: _categories(
                    dict(zip(values, islice(counts, len(values)), strict=True)),
                    len(values),
                    next(others),
                    raw,
                )
                for values, raw in zip(wire.values, wire.hashes, strict=True)
            }
        )
    return found


def _categories(counts: dict[str, int], size: int, other: int, raw: bytes) -> Categories:
    require(size <= TOP, "more values than a feature has")
    require(len(counts) == size, "a value twice")
    require(max(map(len, counts), default=0) <= LONGEST, "a value that is too long")
    ranked = [(-count, value) for value, count in counts.items()]
    require(all(map(lt, ranked, ranked[1:])), "values out of order")
    require(all(counts.values()), "a value without a record")
    if not raw:
        return Categories(counts, other)
    require(len(raw) <= 8 * MINIMUM_VALUES and len(raw) % 8 == 0, "hashes")
    hashes: NDArray[np.uint64] = np.frombuffer(raw, _RAW_HASHES)
    require(bool((hashes[1:] > hashes[:-1]).all()), "hashes out of order")
    return Categories(counts, other, tuple(hashes.tolist()))
