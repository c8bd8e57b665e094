"""Rows of unequal length, one after the other in one array: what all rows need at once."""

from __future__ import annotations

import numpy as np

from .table import IntArray


def edges(sizes: IntArray) -> IntArray:
    """Where rows of these sizes begin, and the end of the last; shape (len(sizes) + 1,)."""
    found = np.zeros(len(sizes) + 1, dtype=np.int64)
    np.cumsum(sizes, out=found[1:])
    return found


def spread(starts: IntArray, sizes: IntArray) -> IntArray:
    """``[starts[0], starts[0] + sizes[0])``, then the next such range, and so on."""
    begin = edges(sizes)
    found: IntArray = np.repeat(starts - begin[:-1], sizes)
    found += np.arange(len(found))
    return found


def steps(values: IntArray, first: IntArray) -> IntArray:
    """Distances between neighbours; at ``first``, where rows begin, the values themselves."""
    found = np.empty_like(values)
    np.subtract(values[1:], values[:-1], out=found[1:])
    found[first] = values[first]
    return found


def begins(sizes: IntArray) -> IntArray:
    """Where the rows begin that hold anything."""
    if len(sizes) == 1:
        return np.zeros(int(sizes[0] > 0), dtype=np.int64)
    return edges(sizes)[:-1][sizes > 0]


def sums(distances: IntArray, sizes: IntArray) -> IntArray:
    """Back from ``steps``, rows of these sizes."""
    total = np.cumsum(distances)
    if len(sizes) == 1:
        return total
    begin = edges(sizes)[:-1]
    before = np.where(begin > 0, total[begin - 1] if len(total) else 0, 0)
    found: IntArray = total - np.repeat(before, sizes)
    return found
