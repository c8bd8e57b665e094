"""Arrays as plain values that MessagePack can hold, exact to the bit."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Packed = tuple[str, list[int], bytes]  # dtype, shape, little-endian bytes in C order


def pack(values: NDArray[Any]) -> Packed:
    """An array as (dtype, shape, bytes)."""
    kind = values.dtype.newbyteorder("<")
    return kind.str, list(values.shape), np.ascontiguousarray(values, dtype=kind).tobytes()


def unpack(packed: Packed) -> NDArray[Any]:
    """A writable array from what ``pack`` made.

    Raises:
        ValueError: The bytes do not fit the shape.
    """
    kind, shape, data = packed
    found = np.frombuffer(data, dtype=np.dtype(kind)).reshape(shape)
    return found.astype(found.dtype.newbyteorder("="))


def pack_small(values: NDArray[Any]) -> Packed:
    """As ``pack``, compressed: for tables of which much is the same."""
    kind, shape, data = pack(values)
    return kind, shape, zlib.compress(data, 1)


def unpack_small(packed: Packed) -> NDArray[Any]:
    """A writable array from what ``pack_small`` made.

    Raises:
        ValueError: It is not that, or the bytes do not fit the shape.
    """
    kind, shape, data = packed
    try:
        return unpack((kind, shape, zlib.decompress(data)))
    except zlib.error as error:
        raise ValueError(f"an array cannot be read: {error}") from error


def pack_all(arrays: Mapping[str, NDArray[Any]]) -> dict[str, Packed]:
    """Named arrays."""
    return {name: pack(values) for name, values in arrays.items()}


def unpack_all(packed: Mapping[str, Packed]) -> dict[str, NDArray[Any]]:
    """Named arrays from what ``pack_all`` made."""
    return {name: unpack(each) for name, each in packed.items()}
