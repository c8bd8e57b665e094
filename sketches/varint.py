"""Whole numbers as bytes, small ones short: LEB128, as in Protocol Buffers, a whole array at once.

Seven bits a byte, lowest first; the top bit says that more follow. Signed numbers are folded to
unsigned ones first (0, -1, 1, -2, ...), so that small ones of either sign stay short.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .table import IntArray

_LONGEST = 9  # bytes of a number below 2**63


def pack(numbers: IntArray) -> bytes:
    """The bytes of numbers from 0 to 2**63 - 1.

    Raises:
        ValueError: A number is negative.
    """
    if not len(numbers):
        return b""
    if int(numbers.min()) < 0:
        raise ValueError(f"{int(numbers.min())} is negative")
    largest = int(numbers.max())
    if largest < 1 << 7:
        return numbers.astype(np.uint8).tobytes()
    length = np.ones(len(numbers), dtype=np.int64)
    for more in range(1, (largest.bit_length() + 6) // 7):
        length += numbers >= 1 << (7 * more)
    ends = np.cumsum(length)
    out = np.empty(int(ends[-1]), dtype=np.uint8)
    at, rest, left = ends - length, numbers, length
    while len(at):
        out[at] = (rest & 0x7F) | ((left > 1) << 7)
        on = np.flatnonzero(left > 1)
        at, rest, left = at[on] + 1, rest[on] >> 7, left[on] - 1
    return out.tobytes()


def unpack(data: bytes) -> IntArray:
    """The numbers that were packed.

    Raises:
        ValueError: The bytes end within a number, or one is over 2**63 - 1.
    """
    found: NDArray[np.uint8] = np.frombuffer(data, dtype=np.uint8)
    if not len(found):
        return np.zeros(0, dtype=np.int64)
    last = np.flatnonzero(found < 0x80)
    if not len(last) or last[-1] != len(found) - 1:
        raise ValueError("bytes that end within a number")
    if len(last) == len(found):
        return found.astype(np.int64)
    length = np.diff(last, prepend=-1)
    if int(length.max()) > _LONGEST:
        raise ValueError("a number over 63 bits")
    numbers = found[last].astype(np.int64)
    long = np.flatnonzero(length > 1)
    value, end, held = numbers[long], last[long], length[long]
    for part in range(1, int(held.max())):
        on = np.flatnonzero(held > part)
        value[on] = value[on] << 7 | (found[end[on] - part] & 0x7F)
    numbers[long] = value
    return numbers


def folded(numbers: IntArray) -> IntArray:
    """Signed numbers below 2**62 in size as unsigned ones."""
    return (numbers << 1) ^ (numbers >> 63)


def unfolded(numbers: IntArray) -> IntArray:
    """Back from ``folded``."""
    return (numbers >> 1) ^ -(numbers & 1)
