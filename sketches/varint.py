"""Whole numbers as bytes, small ones short: LEB128, as in Protocol Buffers, a whole array at once.

Seven bits a byte, lowest first; the top bit says that more follow. Signed numbers are folded to
unsigned ones first (0, -1, 1, -2, ...), so that small ones of either sign stay short.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from .table import IntArray

_LONGEST = 9  # bytes of a number below 2**63


def pack(numbers: IntArray) -> bytes:
    """The bytes of numbers from 0 to 2**63 - 1.

    Raises:
        ValueError: A number is negative.
    """
    return pack_all(numbers, np.array([len(numbers)]))[0]


def pack_all(numbers: IntArray, sizes: IntArray) -> list[bytes]:
    """The bytes of the first ``sizes[0]`` numbers, of the next ``sizes[1]`` and so on.

    Raises:
        ValueError: A number is negative.
    """
    stops = np.cumsum(sizes)
    if not len(numbers):
        return [b""] * len(sizes)
    if int(numbers.min()) < 0:
        raise ValueError(f"{int(numbers.min())} is negative")
    low = numbers.astype(np.uint8)  # the last byte of a small number
    large = np.flatnonzero(numbers >= 1 << 7)
    if not len(large):
        return _cut(low.tobytes(), stops)
    rest = numbers[large]
    low[large] = rest | 0x80
    more = np.ones(len(large), dtype=np.int64)  # bytes after the first of each
    for length in range(2, (int(rest.max()).bit_length() + 6) // 7):
        more += rest >= 1 << (7 * length)
    after = np.cumsum(more)
    number = np.repeat(np.arange(len(large)), more)
    place = np.arange(len(number)) - (after - more)[number] + 1  # within its number
    out = np.empty(len(numbers) + len(number), dtype=np.uint8)
    first = np.ones(len(out), dtype=bool)
    at = np.arange(len(number)) + large[number] + 1
    first[at] = False
    out[first] = low
    out[at] = ((rest[number] >> 7 * place) & 0x7F) | ((place < more[number]) << 7)
    return _cut(out.tobytes(), stops + np.append(0, after)[np.searchsorted(large, stops)])


def _cut(data: bytes, stops: IntArray) -> list[bytes]:
    """The bytes up to each of the stops."""
    if len(stops) == 1:
        return [data]
    return [data[start:stop] for start, stop in pairwise([0, *stops.tolist()])]


def unpack(data: bytes) -> IntArray:
    """The numbers that were packed.

    Raises:
        ValueError: The bytes end within a number, or one is over 2**63 - 1.
    """
    return unpack_all([data])[0]


def unpack_all(parts: Sequence[bytes]) -> tuple[IntArray, IntArray]:
    """The numbers that were packed, those of one part after those of another, and how many each.

    Raises:
        ValueError: The bytes of a part end within a number, or one is over 2**63 - 1.
    """
    joined = parts[0] if len(parts) == 1 else b"".join(parts)
    found: NDArray[np.uint8] = np.frombuffer(joined, dtype=np.uint8)
    stops = np.cumsum([0, *map(len, parts)])
    whole = found < 0x80  # the last byte of a number
    if not whole[stops[1:][stops[1:] > stops[:-1]] - 1].all():
        raise ValueError("bytes that end within a number")
    at = (~whole).nonzero()[0]
    if not len(at):
        return found.astype(np.int64), np.diff(stops)
    numbers = found[whole].astype(np.int64)
    number = at - np.arange(len(at))
    new = np.ones(len(at), dtype=bool)
    new[1:] = number[1:] != number[:-1]
    first = np.flatnonzero(new)
    length = np.diff(first, append=len(at))
    if int(length.max()) >= _LONGEST:
        raise ValueError("a number over 63 bits")
    place = np.arange(len(at)) - np.repeat(first, length)
    low = np.add.reduceat((found[at] & 0x7F).astype(np.int64) << 7 * place, first)
    number = number[first]
    numbers[number] = numbers[number] << 7 * length | low
    return numbers, np.diff(stops - np.searchsorted(at, stops))


def folded(numbers: IntArray) -> IntArray:
    """Signed numbers below 2**62 in size as unsigned ones."""
    return (numbers << 1) ^ (numbers >> 63)


def unfolded(numbers: IntArray) -> IntArray:
    """Back from ``folded``."""
    return (numbers >> 1) ^ -(numbers & 1)
