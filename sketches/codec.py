"""Profiles as bytes: versioned MessagePack with little-endian arrays inside.

All whole numbers of the arrays stand one after the other in one run of ``sketches.varint``: nearly
all are small. A profile over the size limit is split by feature into parts; the counts of the
records as a whole stand in the first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from . import profile as profiles
from . import varint
from .categories import LONGEST, MINIMUM_VALUES, TOP, Categories
from .histogram import CAP, COARSEST, FINEST, LAST_LEVEL, Histograms
from .numbers import Numbers
from .profile import KINDS, Profile
from .table import FloatArray, IntArray

VERSION: Final = 1
_MOST: Final = 2**50  # records; CAP bins of so many still add up in 63 bits
_LARGEST_INDEX: Final = 2**53
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
    whole: bytes  # everything else, see _whole


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Wire)
_head_decoder = msgspec.msgpack.Decoder(_Head)


def encode(profile: Profile, max_bytes: int = 256_000) -> list[bytes]:
    """The parts of a profile.

    Args:
        profile: Any.
        max_bytes: Size of a part, at most, unless one feature alone is larger.
    """
    whole = _encoder.encode(_wire(profile))
    if len(whole) <= max_bytes or len(profile.names) <= 1:
        return [whole]
    half = len(profile.names) // 2
    head = profile.select(profile.names[:half])
    tail = replace(
        profile.select(profile.names[half:]), records=0, errors=0, late=0, clock_ahead=0, rejects={}
    )
    return encode(head, max_bytes) + encode(tail, max_bytes)


def decode(parts: Sequence[bytes]) -> Profile:
    """The profile whose parts these are, in any order.

    Raises:
        CodecError: They are not.
    """
    found = [_part(part) for part in parts]
    if not found:
        raise CodecError("not a profile: no part")
    names = sorted(name for one in found for name in one.names)
    if any(one == other for one, other in pairwise(names)):
        raise CodecError("not a profile: a feature in two parts")
    return profiles.merge(found)


def _part(data: bytes) -> Profile:
    try:
        version = _head_decoder.decode(data).version
        if version != VERSION:
            raise CodecError(f"profile format {version}; this release reads {VERSION}")
        return _profile(_decoder.decode(data))
    except (msgspec.MsgspecError, UnicodeError, ValueError, IndexError, OverflowError) as error:
        raise CodecError(f"not a profile: {error}") from error
    except RecursionError as error:
        raise CodecError("not a profile: nested too deeply") from error


def _wire(profile: Profile) -> _Wire:
    found = profile.numbers
    moments = np.concatenate([found.mean, found.m2, found.minimum, found.maximum])
    return _Wire(
        VERSION,
        profile.records,
        profile.errors,
        profile.late,
        profile.clock_ahead,
        profile.rejects,
        list(profile.names),
        moments.astype("<f8").tobytes(),
        [list(held.counts) for held in profile.texts.values()],
        [np.array(held.hashes, _RAW_HASHES).tobytes() for held in profile.texts.values()],
        varint.pack(_whole(profile)),
    )


def _whole(profile: Profile) -> IntArray:
    """All whole numbers, in the order in which ``_Reader`` asks for them."""
    place = {name: at for at, name in enumerate(profile.names)}
    found, bins = profile.numbers, profile.numbers.histogram
    flat = profile.kinds.ravel()
    kinds = np.flatnonzero(flat)
    owner = bins.owner()
    new = np.ones(len(owner), dtype=bool)
    new[1:] = (owner[1:] != owner[:-1]) | (bins.scale[1:] != bins.scale[:-1])
    first = np.flatnonzero(new)
    step = np.diff(bins.index, prepend=0)
    step[first] = varint.folded(bins.index[first])
    texts = list(profile.texts.values())
    columns: list[IntArray | list[int]] = [
        [len(kinds)],
        _steps(kinds),
        flat[kinds],
        [len(found.names)],
        _steps(np.array([place[name] for name in found.names], dtype=np.int64)),
        found.count,
        found.zeros,
        bins.folded.astype(np.int64) - FINEST,
        np.bincount(owner[first], minlength=bins.features),  # layers of each feature
        bins.scale[first].astype(np.int64) - FINEST,
        np.diff(first, append=len(owner)),  # bins of each layer
        step,  # the index of the first bin of a layer, then distances
        bins.count,
        _steps(np.array([place[name] for name in profile.texts], dtype=np.int64)),
        [held.other for held in texts],
        [count for held in texts for count in held.counts.values()],
    ]
    return np.concatenate([np.asarray(column, dtype=np.int64) for column in columns])


def _steps(places: IntArray) -> IntArray:
    """Ascending places as distances; the first from 0."""
    return np.diff(places, prepend=0)


class _Reader:
    """Takes whole numbers one array after the other."""

    def __init__(self, data: bytes) -> None:
        self._numbers = varint.unpack(data)
        self._at = 0

    def take(self, size: int, most: int = _MOST) -> IntArray:
        """The next ``size`` numbers, each at most ``most``."""
        found = self._numbers[self._at : self._at + size]
        _require(len(found) == size, "numbers are missing")
        _require(not size or int(found.max()) <= most, "a number out of range")
        self._at += size
        return found

    def places(self, size: int, of: int) -> IntArray:
        """The next ``size`` ascending places below ``of``."""
        step = self.take(size, of)
        _require(bool((step[1:] > 0).all()), "places out of order")
        found = np.cumsum(step)
        _require(not size or int(found[-1]) < of, "a place out of range")
        return found

    def end(self) -> None:
        """Nothing may be left."""
        _require(self._at == len(self._numbers), "numbers are left")


def _profile(wire: _Wire) -> Profile:
    names = tuple(wire.names)
    _require(all(one < other for one, other in pairwise(names)), "names out of order")
    sums = [wire.records, wire.errors, wire.late, wire.clock_ahead, *wire.rejects.values()]
    _require(all(0 <= held <= _MOST for held in sums), "a count out of range")
    reader = _Reader(wire.whole)
    kinds = np.zeros(len(names) * KINDS, dtype=np.int64)
    some = int(reader.take(1, len(kinds))[0])
    places = reader.places(some, len(kinds))
    kinds[places] = reader.take(some)
    numbers = _numbers(reader, names, wire.moments)
    texts = _texts(reader, names, wire)
    reader.end()
    return Profile(
        wire.records,
        wire.errors,
        wire.late,
        wire.clock_ahead,
        wire.rejects,
        names,
        kinds.reshape(len(names), KINDS),
        numbers,
        texts,
    )


def _numbers(reader: _Reader, names: tuple[str, ...], raw: bytes) -> Numbers:
    features = int(reader.take(1, len(names))[0])
    places = reader.places(features, len(names))
    count, zeros = reader.take(features), reader.take(features)
    _require(len(raw) == 4 * 8 * features, "moments do not match the features")
    moments: FloatArray = np.frombuffer(raw, dtype="<f8").astype(np.float64)
    mean, m2, minimum, maximum = moments.reshape(4, features)
    bins = _histograms(reader, features)
    _require(bool((bins.totals() == count).all()), "bins do not add up to the count")
    held = tuple(names[place] for place in places.tolist())
    return Numbers(held, count, mean, m2, minimum, maximum, zeros, bins)


def _histograms(reader: _Reader, features: int) -> Histograms:
    span = COARSEST - FINEST
    folded = (reader.take(features, LAST_LEVEL - FINEST) + FINEST).astype(np.int16)
    layers = reader.take(features, span + 1)
    some = int(layers.sum())
    scale = reader.take(some, span) + FINEST
    length = reader.take(some, CAP)
    _require(bool((length > 0).all()), "a layer without a bin")
    ends = np.cumsum(length)
    bins = int(ends[-1]) if some else 0
    step = reader.take(bins, 2 * _LARGEST_INDEX + 2)
    count = reader.take(bins)
    _require(bool((count > 0).all()), "a bin without a value")
    starts = np.concatenate([[0], ends])
    of_feature = starts[np.concatenate([[0], np.cumsum(layers)])]
    _require(bool((np.diff(of_feature) <= CAP).all()), "more bins than a feature has")
    first = starts[:-1]
    along = step.copy()
    along[first] = 0
    total = np.cumsum(along)  # may wrap; differences within a layer do not
    index = np.repeat(varint.unfolded(step[first]) - total[first], length) + total
    _require(not bins or int(np.abs(index).max()) <= _LARGEST_INDEX, "an index out of range")
    found = Histograms(of_feature, np.repeat(scale, length).astype(np.int16), index, count, folded)
    layer = np.repeat(np.arange(some), length)
    feature = np.repeat(np.arange(features), layers)
    _require(bool((np.diff(index)[np.diff(layer) == 0] > 0).all()), "bins out of order")
    _require(bool((np.diff(scale)[np.diff(feature) == 0] > 0).all()), "layers out of order")
    return found


def _texts(reader: _Reader, names: tuple[str, ...], wire: _Wire) -> dict[str, Categories]:
    features = len(wire.values)
    _require(len(wire.hashes) == features, "hashes do not match the features")
    places = reader.places(features, len(names))
    others = reader.take(features).tolist()
    found: dict[str, Categories] = {}
    for place, values, raw, other in zip(
        places.tolist(), wire.values, wire.hashes, others, strict=True
    ):
        _require(len(values) <= TOP, "more values than a feature has")
        _require(all(len(value) <= LONGEST for value in values), "a value that is too long")
        counts = dict(zip(values, reader.take(len(values)).tolist(), strict=True))
        _require(len(counts) == len(values), "a value twice")
        ranked = list(counts.items())
        _require(ranked == sorted(ranked, key=lambda one: (-one[1], one[0])), "values out of order")
        _require(all(counts.values()), "a value without a record")
        _require(len(raw) <= 8 * MINIMUM_VALUES and len(raw) % 8 == 0, "hashes")
        hashes: NDArray[np.uint64] = np.frombuffer(raw, _RAW_HASHES)
        _require(bool((hashes[1:] > hashes[:-1]).all()), "hashes out of order")
        found[names[place]] = Categories(counts, other, tuple(hashes.tolist()))
    return found


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise CodecError(f"not a profile: {what}")
