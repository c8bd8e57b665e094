"""Counts of the most frequent values of a text or boolean feature."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b

TOP = 256  # values kept by name
MINIMUM_VALUES = 256  # hashes kept for the estimate of distinct values
_SPACE = 2**64


@dataclass(frozen=True, slots=True)
class Categories:
    """The values of one feature.

    Attributes:
        counts: Value -> count, at most ``TOP`` of them: the most frequent, ties by name. Stored in
            that order.
        other: Values that are not in ``counts``.
        hashes: Nothing was cut: empty. Else the smallest 64-bit hashes of all values, ascending.
    """

    counts: dict[str, int]
    other: int = 0
    hashes: tuple[int, ...] = field(default=())

    @property
    def total(self) -> int:
        """All values."""
        return sum(self.counts.values()) + self.other

    def distinct(self) -> float:
        """Number of different values, exact while nothing was cut.

        Source: Bar-Yossef and others, "Counting distinct elements in a data stream" (2002): the
        k-th smallest of uniform hashes; relative error about 1/sqrt(k), 6 % here.
        """
        if not self.hashes:
            return float(len(self.counts))
        if len(self.hashes) < MINIMUM_VALUES:
            return float(len(self.hashes))
        return (len(self.hashes) - 1) * _SPACE / self.hashes[-1]


def hidden(value: str) -> str:
    """The name that stands for a value of a feature whose values are hashed: 16 hex digits.

    It keeps names from being read in a topic; whoever can guess a value can still recognise it.
    """
    return blake2b(value.encode(errors="surrogatepass"), digest_size=8).hexdigest()


def count(values: Sequence[str | None], hashed: bool = False) -> Categories:
    """Count a column; ``None`` is no value."""
    counts = Counter(values)
    counts.pop(None, None)
    held: dict[str, int] = {value: n for value, n in counts.items() if value is not None}
    if hashed:
        named: Counter[str] = Counter()
        for value, n in held.items():
            named[hidden(value)] += n
        held = dict(named)
    return _cut(held, 0, ())


def merge(parts: Sequence[Categories]) -> Categories:
    """Add counts up: exact, in any order, as long as no part and no sum has over ``TOP`` values."""
    if len(parts) == 1:
        return parts[0]
    total: Counter[str] = Counter()
    for part in parts:
        total.update(part.counts)
    cut = any(part.hashes for part in parts)
    known = {h for part in parts for h in part.hashes}
    if cut:
        known.update(h for part in parts if not part.hashes for h in map(_hash, part.counts))
    return _cut(dict(total), sum(part.other for part in parts), tuple(sorted(known)))


def _hash(value: str) -> int:
    digest = blake2b(value.encode(errors="surrogatepass"), digest_size=8, person=b"distinct")
    return int.from_bytes(digest.digest(), "little")


def _cut(held: dict[str, int], other: int, hashes: tuple[int, ...]) -> Categories:
    ranked = sorted(held.items(), key=lambda pair: (-pair[1], pair[0]))
    if len(ranked) <= TOP:
        return Categories(dict(ranked), other, hashes[:MINIMUM_VALUES])
    smallest = sorted({*hashes, *map(_hash, held)})[:MINIMUM_VALUES]
    rest = sum(n for _, n in ranked[TOP:])
    return Categories(dict(ranked[:TOP]), other + rest, tuple(smallest))
