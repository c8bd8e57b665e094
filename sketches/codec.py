"""Profiles as bytes: versioned MessagePack with little-endian arrays inside.

A profile over the size limit is split by feature into parts; the counts of the record as a whole
stand in the first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import msgspec
import numpy as np
from numpy.typing import DTypeLike, NDArray

from .categories import MINIMUM_VALUES, TOP, Categories
from .histogram import CAP, Histograms
from .numbers import Numbers
from .profile import KINDS, Profile, merge
from .table import FloatArray, IntArray

VERSION = 1
_UNSIGNED = ("<u1", "<u2", "<u4", "<u8")
_SIGNED = ("<i1", "<i2", "<i4", "<i8")


class CodecError(Exception):
    """Bytes that are not a profile, or one of a newer release."""


class _Bins(msgspec.Struct, array_like=True):
    """A histogram as runs of bins of one feature and scale, indexes as distances in the run."""

    runs: bytes  # runs of each feature
    scale: bytes  # of each run
    length: bytes  # bins of each run
    first: bytes  # index of the first bin of each run
    step: bytes  # distance of each further bin to the one before
    count: bytes  # of each bin
    folded: bytes  # of each feature


class _Categories(msgspec.Struct, array_like=True):
    values: list[str]
    counts: bytes
    other: int
    hashes: bytes


class _Wire(msgspec.Struct, array_like=True):
    version: int
    records: int
    errors: int
    late: int
    clock_ahead: int
    rejects: dict[str, int]
    names: list[str]
    kinds: bytes
    numeric: bytes  # places of the number features in names
    count: bytes
    moments: bytes  # mean, m2, minimum, maximum by feature
    zeros: bytes
    bins: _Bins
    texts: dict[str, _Categories]


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Wire)


def _pack(values: IntArray, kinds: Sequence[str] = _UNSIGNED) -> bytes:
    """An array in the narrowest type that holds it; the first byte names the type."""
    low, high = (int(values.min()), int(values.max())) if len(values) else (0, 0)
    for number, kind in enumerate(kinds):
        held = np.iinfo(kind)
        if held.min <= low and high <= held.max:
            return bytes([number]) + values.astype(kind).tobytes()
    raise CodecError(f"{low}..{high} does not fit 64 bits")


def _unpack(data: bytes, kinds: Sequence[str] = _UNSIGNED) -> IntArray:
    if not data or data[0] >= len(kinds):
        raise CodecError("an array without a known type")
    kind = np.dtype(kinds[data[0]])
    if (len(data) - 1) % kind.itemsize:
        raise CodecError("an array that ends within a value")
    return _array(data[1:], kind).astype(np.int64)


def _array(data: bytes, kind: DTypeLike) -> NDArray[np.generic]:
    return np.frombuffer(data, dtype=kind)


def encode(profile: Profile, max_bytes: int = 256_000) -> list[bytes]:
    """The parts of a profile, each at most ``max_bytes`` unless one feature alone is larger."""
    whole = _encoder.encode(_wire(profile))
    if len(whole) <= max_bytes or len(profile.names) <= 1:
        return [whole]
    half = len(profile.names) // 2
    head = _of_features(profile, profile.names[:half])
    tail = replace(
        _of_features(profile, profile.names[half:]),
        records=0, errors=0, late=0, clock_ahead=0, rejects={},
    )
    return encode(head, max_bytes) + encode(tail, max_bytes)


def decode(parts: Sequence[bytes]) -> Profile:
    """The profile whose parts these are, in any order.

    Raises:
        CodecError: They are not.
    """
    try:
        return merge([_profile(_decoder.decode(part)) for part in parts])
    except (msgspec.DecodeError, ValueError, IndexError, OverflowError, MemoryError) as error:
        raise CodecError(f"not a profile: {error}") from error


def _of_features(profile: Profile, names: Sequence[str]) -> Profile:
    wanted = set(names)
    kept = [place for place, name in enumerate(profile.names) if name in wanted]
    return replace(
        profile,
        names=tuple(names),
        kinds=profile.kinds[kept],
        numbers=_select(profile.numbers, wanted),
        texts={name: held for name, held in profile.texts.items() if name in wanted},
    )


def _select(found: Numbers, wanted: set[str]) -> Numbers:
    kept = np.array([name in wanted for name in found.names], dtype=bool)
    bins = found.histogram
    sizes = np.diff(bins.starts)
    mask = np.repeat(kept, sizes)
    folded = bins.folded[kept]
    starts = np.concatenate([[0], np.cumsum(sizes[kept])]).astype(np.int64)
    return Numbers(
        tuple(name for name in found.names if name in wanted),
        found.count[kept], found.mean[kept], found.m2[kept],
        found.minimum[kept], found.maximum[kept], found.zeros[kept],
        Histograms(starts, bins.scale[mask], bins.index[mask], bins.count[mask], folded),
    )


def _wire(profile: Profile) -> _Wire:
    found = profile.numbers
    place = {name: at for at, name in enumerate(profile.names)}
    moments = np.stack([found.mean, found.m2, found.minimum, found.maximum])
    return _Wire(
        VERSION, profile.records, profile.errors, profile.late, profile.clock_ahead,
        profile.rejects, list(profile.names), _pack(profile.kinds.ravel()),
        _pack(np.array([place[name] for name in found.names], dtype=np.int64)),
        _pack(found.count), moments.astype("<f8").tobytes(), _pack(found.zeros),
        _bins(found.histogram),
        {
            name: _Categories(
                list(held.counts),
                _pack(np.array(list(held.counts.values()), dtype=np.int64)),
                held.other,
                np.array(held.hashes, dtype="<u8").tobytes(),
            )
            for name, held in profile.texts.items()
        },
    )


def _bins(bins: Histograms) -> _Bins:
    owner = bins.owner()
    if not len(owner):
        none = _pack(np.zeros(0, dtype=np.int64))
        folded = _pack(bins.folded.astype(np.int64), _SIGNED)
        return _Bins(_pack(np.diff(bins.starts)), none, none, none, none, none, folded)
    new = np.ones(len(owner), dtype=bool)
    new[1:] = (owner[1:] != owner[:-1]) | (bins.scale[1:] != bins.scale[:-1])
    first = np.flatnonzero(new)
    step = np.diff(bins.index, prepend=0)[~new]
    return _Bins(
        _pack(np.bincount(owner[first], minlength=bins.features)),
        _pack(bins.scale[first].astype(np.int64), _SIGNED),
        _pack(np.diff(first, append=len(owner))),
        _pack(bins.index[first], _SIGNED),
        _pack(step),
        _pack(bins.count),
        _pack(bins.folded.astype(np.int64), _SIGNED),
    )


def _profile(wire: _Wire) -> Profile:
    if wire.version > VERSION:
        raise CodecError(f"profile format {wire.version} is newer than this release reads")
    names = tuple(wire.names)
    _require(list(names) == sorted(set(names)), "names out of order")
    kinds = _unpack(wire.kinds)
    _require(len(kinds) == len(names) * KINDS, "kinds do not match the names")
    numeric = _unpack(wire.numeric)
    _require(
        bool(np.all(np.diff(numeric) > 0)) and (not len(numeric) or numeric[-1] < len(names)),
        "number features out of order",
    )
    features = len(numeric)
    count, zeros = _unpack(wire.count), _unpack(wire.zeros)
    moments: FloatArray = _array(wire.moments, "<f8").astype(np.float64)
    _require(
        len(count) == len(zeros) == features and len(moments) == 4 * features, "moments missing"
    )
    mean, m2, minimum, maximum = moments.reshape(4, features)
    held = Numbers(
        tuple(names[at] for at in numeric.tolist()),
        count, mean, m2, minimum, maximum, zeros, _histograms(wire.bins, features),
    )
    return Profile(
        wire.records, wire.errors, wire.late, wire.clock_ahead, wire.rejects,
        names, kinds.reshape(len(names), KINDS), held,
        {name: _categories(each) for name, each in wire.texts.items()},
    )


def _histograms(wire: _Bins, features: int) -> Histograms:
    runs, scale, length = _unpack(wire.runs), _unpack(wire.scale, _SIGNED), _unpack(wire.length)
    first, step, count = _unpack(wire.first, _SIGNED), _unpack(wire.step), _unpack(wire.count)
    folded = _unpack(wire.folded, _SIGNED)
    bins = len(count)
    _require(len(folded) == features, "folds do not match the features")
    _require(len(runs) == features and bins <= features * CAP, "bins do not match the features")
    _require(bool(np.all(length > 0)) and int(length.sum()) == bins, "runs do not match the bins")
    _require(
        int(runs.sum()) == len(length) == len(scale) == len(first) == bins - len(step),
        "runs do not match",
    )
    _require(bool(np.all(count > 0)) and bool(np.all(step > 0)), "a bin that is none")
    starts = np.concatenate([[0], np.cumsum(length)]).astype(np.int64)
    steps = np.zeros(bins, dtype=np.int64)
    inner = np.ones(bins, dtype=bool)
    inner[starts[:-1]] = False
    steps[inner] = step
    with np.errstate(over="ignore"):
        total = np.cumsum(steps)
        index = np.repeat(first - total[starts[:-1]], length) + total if bins else total
    of_feature = np.concatenate([[0], np.cumsum(runs)]).astype(np.int64)
    return Histograms(
        starts[of_feature], np.repeat(scale, length).astype(np.int16), index, count,
        folded.astype(np.int16),
    )


def _categories(wire: _Categories) -> Categories:
    counts = _unpack(wire.counts)
    _require(len(counts) == len(wire.values) <= TOP, "categories do not match their counts")
    _require(len(wire.hashes) <= 8 * MINIMUM_VALUES and len(wire.hashes) % 8 == 0, "hashes")
    hashes = tuple(_array(wire.hashes, "<u8").tolist())
    return Categories(dict(zip(wire.values, counts.tolist(), strict=True)), wire.other, hashes)


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise CodecError(f"not a profile: {what}")
