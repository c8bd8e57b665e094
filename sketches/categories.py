"""Counts of the most frequent values of a text or boolean feature."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

import numpy as np

from .table import CodeArray

TOP: Final = 256  # values kept by name
MINIMUM_VALUES: Final = 256  # hashes kept for the estimate of distinct values
LONGEST: Final = 128  # characters of a value
_SPACE: Final = 2**64


@dataclass(frozen=True, slots=True)
class Categories:
    """The values of one feature.

    The sum of all counts is exact. While no more than ``TOP`` values were ever seen, adding up is
    exact in every order and grouping. Afterwards a value's count may lack those of the parts in
    which it was not among the most frequent: at most the sum of the smallest kept count of each.

    Attributes:
        counts: Value -> count, at most ``TOP`` of them: the most frequent, ties by name. Stored in
            that order.
        other: Values that are not in ``counts``.
        hashes: Nothing was cut: empty. Else the smallest 64-bit hashes of all values, ascending.
    """

    counts: dict[str, int]
    other: int = 0
    hashes: tuple[int, ...] = ()

    @property
    def total(self) -> int:
        """All values."""
        return sum(self.counts.values()) + self.other

    def distinct(self) -> float:
        """Number of different values, exact while nothing was cut.

        Source: Bar-Yossef and others, "Counting distinct elements in a data stream" (2002): the
        k-th smallest of uniform hashes; relative error about 1/sqrt(k), 6 % here.
        """
        if len(self.hashes) < MINIMUM_VALUES:
            return float(max(len(self.counts), len(self.hashes)))
        return max(float(len(self.counts)), (len(self.hashes) - 1) * _SPACE / self.hashes[-1])


def hidden(value: str) -> str:
    """The name that stands for a value of a feature whose values are hashed: 16 hex digits.

    There is no key, so that profiles of all workers and of a training set agree. It keeps names
    from being read in a topic; whoever can guess a value can still recognise it.
    """
    return blake2b(value.encode(errors="surrogatepass"), digest_size=8).hexdigest()


def count(values: Iterable[str | None], *, hashed: bool = False) -> Categories:
    """Count a column.

    Args:
        values: ``None`` is no value.
        hashed: Values are counted under their ``hidden`` names.
    """
    found = Counter(values)
    found.pop(None, None)
    return of_counts({value: n for value, n in found.items() if value is not None}, hashed=hashed)


def count_words(
    words: Sequence[tuple[str, ...]], codes: CodeArray, hashed: Sequence[bool]
) -> list[Categories]:
    """Count columns of few texts, all in one call.

    Args:
        words: Of H columns, their texts, different ones.
        codes: Shape (n, H), which of them each row holds.
        hashed: Of H columns: its values are counted under their ``hidden`` names.
    """
    width = max(map(len, words))
    cells = codes + np.arange(len(words)) * width
    counts = np.bincount(cells.ravel(), minlength=len(words) * width).reshape(-1, width).tolist()
    return [
        of_counts({text: n for text, n in zip(some, held, strict=False) if n}, hashed=hides)
        for some, held, hides in zip(words, counts, hashed, strict=True)
    ]


def of_counts(counts: Mapping[str, int], *, hashed: bool = False) -> Categories:
    """The same of values already counted."""
    held = {hidden(value): n for value, n in counts.items()} if hashed else _named(counts)
    return _cut(held, 0, ())


def merge(parts: Sequence[Categories]) -> Categories:
    """Add counts up."""
    if len(parts) == 1:
        return parts[0]
    total: Counter[str] = Counter()
    for part in parts:
        total.update(part.counts)
    hashes = {smallest for part in parts for smallest in part.hashes}
    if hashes:
        hashes.update(_hash(value) for part in parts if not part.hashes for value in part.counts)
    return _cut(total, sum(part.other for part in parts), hashes)


def _named(counts: Mapping[str, int]) -> dict[str, int]:
    """Counts under names that are short and can be written in UTF-8."""
    if max(map(len, counts), default=0) <= LONGEST and _writable("".join(counts)):
        return dict(counts)
    named: Counter[str] = Counter()
    for value, n in counts.items():
        named[_name(value)] += n
    return dict(named)


def _writable(text: str) -> bool:
    """Whether it can be written in UTF-8: there is no half of a surrogate pair in it."""
    try:
        return text.isascii() or bool(text.encode())
    except UnicodeEncodeError:
        return False


def _name(value: str) -> str:
    """The value; a long one is cut and told apart by a hash; half a surrogate pair is a "?"."""
    short = value if len(value) <= LONGEST else f"{value[: LONGEST - 17]}~{hidden(value)}"
    return short if short.isascii() else short.encode(errors="replace").decode()


def _hash(value: str) -> int:
    digest = blake2b(value.encode(errors="surrogatepass"), digest_size=8, person=b"distinct")
    return int.from_bytes(digest.digest(), "little")


def _cut(held: Mapping[str, int], other: int, hashes: Iterable[int]) -> Categories:
    ranked = sorted(held.items(), key=lambda one: (-one[1], one[0]))
    if len(ranked) <= TOP:
        return Categories(dict(ranked), other, tuple(sorted(hashes)[:MINIMUM_VALUES]))
    # Every value that is named is known by its hash too, cut or not.
    smallest = sorted({*hashes, *map(_hash, held)})[:MINIMUM_VALUES]
    rest = sum(n for _, n in ranked[TOP:])
    return Categories(dict(ranked[:TOP]), other + rest, tuple(smallest))
