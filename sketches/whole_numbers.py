"""The whole numbers of profiles as one run of ``sketches.varint`` each, many profiles at once.

Numbers stand column after column in each profile: kinds, then number features, then texts. Read and
written are the columns of all profiles together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from . import histogram, varint
from .histogram import CAP, COARSEST, FINEST, LAST_LEVEL, Histograms
from .profile import KINDS, Profile
from .ragged import begins, edges, spread, steps, sums
from .table import IntArray

MOST: Final = 2**50  # records; CAP bins of so many still add up in 63 bits
_LARGEST_INDEX: Final = 2**53
_Column = tuple[IntArray, IntArray]  # of all profiles, and how many of each


class WholeNumbersError(ValueError):
    """Numbers that are not those of a profile."""


def require(holds: bool, what: str) -> None:
    """Refuse what is not a profile.

    Raises:
        WholeNumbersError: It does not hold.
    """
    if not holds:
        raise WholeNumbersError(what)


def packed(profiles: Sequence[Profile]) -> list[bytes]:
    """All whole numbers of each profile, in the order in which a ``Reader`` is asked for them."""
    columns = [*_kinds(profiles), *_numbers(profiles), *_texts(profiles)]
    whole = np.concatenate([values for values, _ in columns])
    sizes = np.array([size for _, size in columns])
    if len(profiles) == 1:
        return [varint.pack(whole)]
    runs = varint.pack_all(whole, sizes.ravel())
    return [b"".join(runs[at :: len(profiles)]) for at in range(len(profiles))]


def _kinds(profiles: Sequence[Profile]) -> list[_Column]:
    flat = np.concatenate([profile.kinds.ravel() for profile in profiles])
    begin = edges(_whole([profile.kinds.size for profile in profiles]))
    cells = np.flatnonzero(flat)
    count = np.diff(np.searchsorted(cells, begin))
    places = cells - np.repeat(begin[:-1], count)
    return [
        (count, np.ones_like(count)),
        (steps(places, begins(count)), count),
        (flat[cells], count),
    ]


def _numbers(profiles: Sequence[Profile]) -> list[_Column]:
    found = [profile.numbers for profile in profiles]
    bins = histogram.beside([one.histogram for one in found])
    features = _whole([len(one.names) for one in found])
    owner = bins.owner()
    new = np.ones(len(owner), dtype=bool)
    new[1:] = (owner[1:] != owner[:-1]) | (bins.scale[1:] != bins.scale[:-1])
    first = np.flatnonzero(new)
    step = steps(bins.index, first)
    step[first] = varint.folded(step[first])
    of_feature = np.bincount(owner[first], minlength=bins.features)
    begin = edges(features)
    layers = np.diff(edges(of_feature)[begin])
    lengths = np.append(first[1:], len(owner)) - first
    held = np.diff(bins.starts[begin])
    scale = bins.scale[first].astype(np.int64) - FINEST
    return [
        (features, np.ones_like(features)),
        (steps(_places(profiles, [one.names for one in found]), begins(features)), features),
        (np.concatenate([one.count for one in found]), features),
        (np.concatenate([one.zeros for one in found]), features),
        (bins.folded.astype(np.int64) - FINEST, features),
        (of_feature, features),  # layers of each feature
        (scale, layers),
        (lengths, layers),  # bins of each layer
        (step, held),  # the index of the first bin of a layer, then distances
        (bins.count, held),
    ]


def _texts(profiles: Sequence[Profile]) -> list[_Column]:
    texts = [held for profile in profiles for held in profile.texts.values()]
    features = _whole([len(profile.texts) for profile in profiles])
    places = _places(profiles, [tuple(profile.texts) for profile in profiles])
    values = [len(held.counts) for held in texts]
    counts = [count for held in texts for count in held.counts.values()]
    return [
        (steps(places, begins(features)), features),
        (_whole([held.other for held in texts]), features),
        (_whole(counts), np.diff(edges(_whole(values))[edges(features)])),
    ]


def _whole(values: Sequence[int]) -> IntArray:
    return np.array(values, dtype=np.int64)


def _places(profiles: Sequence[Profile], names: Sequence[tuple[str, ...]]) -> IntArray:
    """Where names stand among all of their profile."""
    known: dict[tuple[tuple[str, ...], tuple[str, ...]], list[int]] = {}
    found: list[int] = []
    for profile, some in zip(profiles, names, strict=True):
        places = known.get((profile.names, some))
        if places is None:
            at = {name: place for place, name in enumerate(profile.names)}
            places = known[profile.names, some] = [at[name] for name in some]
        found += places
    return _whole(found)


def _ascending(values: IntArray, first: IntArray) -> bool:
    """Whether the rows that begin at ``first`` ascend."""
    found = np.ones(len(values), dtype=bool)
    np.greater(values[1:], values[:-1], out=found[1:])
    found[first] = True
    return bool(found.all())


def _between(stops: IntArray) -> IntArray:
    """Distances between neighbours."""
    found: IntArray = stops[1:] - stops[:-1]
    return found


class Reader:
    """Takes the numbers of P profiles, one column of all of them after the other.

    Every method raises a ``WholeNumbersError`` or a ``ValueError`` where they are not those of
    profiles.

    Args:
        runs: Bytes of each profile.
    """

    def __init__(self, runs: Sequence[bytes]) -> None:
        self._numbers, sizes = varint.unpack_all(runs)
        self._largest = int(self._numbers.max(initial=0))
        self._stops = np.cumsum(sizes)
        self._at = self._stops - sizes

    def take(self, sizes: IntArray, most: int = MOST) -> IntArray:
        """The next numbers of each profile, each at most ``most``.

        Args:
            sizes: Shape (P,), how many.
            most: Bound.
        """
        starts, self._at = self._at, self._at + sizes
        if len(sizes) == 1:
            start, stop = int(starts[0]), int(self._at[0])
            found = self._numbers[start:stop]
            require(len(found) == stop - start, "numbers are missing")
        else:
            require(bool((self._at <= self._stops).all()), "numbers are missing")
            found = self._numbers[spread(starts, sizes)]
        within = self._largest <= most or int(found.max(initial=0)) <= most
        require(within, "a number out of range")
        return found

    def one(self, most: IntArray) -> IntArray:
        """The next number of each profile, at most that of ``most``, shape (P,)."""
        found = self.take(np.ones_like(most))
        require(bool((found <= most).all()), "a number out of range")
        return found

    def places(self, sizes: IntArray, below: IntArray) -> IntArray:
        """The next ascending places of each profile, below that of ``below``, shape (P,)."""
        step = self.take(sizes, int(below.max()))
        if len(sizes) == 1:
            require(int(step[1:].min(initial=1)) > 0, "places out of order")
            alone: IntArray = step.cumsum()
            require(not len(alone) or int(alone[-1]) < int(below[0]), "a place out of range")
            return alone
        inner = np.ones(len(step), dtype=bool)
        inner[begins(sizes)] = False
        require(bool((step[inner] > 0).all()), "places out of order")
        found, held = sums(step, sizes), sizes > 0
        last = found[np.cumsum(sizes)[held] - 1]
        require(bool((last < below[held]).all()), "a place out of range")
        return found

    def kinds(self, widths: IntArray) -> IntArray:
        """Records by kind, profile after profile, shape (sum of ``widths``, 7)."""
        cells = self.one(widths * KINDS)
        places = self.places(cells, widths * KINDS)
        found = np.zeros(int(widths.sum()) * KINDS, dtype=np.int64)
        found[places + np.repeat(edges(widths)[:-1] * KINDS, cells)] = self.take(cells)
        return found.reshape(-1, KINDS)

    def histograms(self, features: IntArray) -> Histograms:
        """Histograms of so many features of each profile, as one."""
        span = COARSEST - FINEST
        folded = (self.take(features, LAST_LEVEL - FINEST) + FINEST).astype(np.int16)
        layers = self.take(features, span + 1)
        some = _between(edges(layers)[edges(features)])
        scale = self.take(some, span) + FINEST
        length = self.take(some, CAP)
        require(int(length.min(initial=1)) > 0, "a layer without a bin")
        starts = edges(length)
        bins = _between(starts[edges(some)])
        step = self.take(bins, 2 * _LARGEST_INDEX + 2)
        count = self.take(bins)
        require(int(count.min(initial=1)) > 0, "a bin without a value")
        of_feature = starts[edges(layers)]
        require(int(_between(of_feature).max(initial=0)) <= CAP, "more bins than a feature has")
        first = starts[:-1]
        head, along = step[first], step.copy()
        along[first] = 1
        require(int(along.min(initial=1)) > 0, "bins out of order")
        along[first] = 0
        total = np.cumsum(along)  # may wrap; differences within a layer do not
        index = np.repeat(varint.unfolded(head) - total[first], length)
        index += total
        fits = not len(index) or int(index.min()) >= -_LARGEST_INDEX
        require(fits and int(index.max(initial=0)) <= _LARGEST_INDEX, "an index out of range")
        require(_ascending(scale, begins(layers)), "layers out of order")
        scales = np.repeat(scale.astype(np.int16), length)
        return Histograms(of_feature, scales, index, count, folded)

    def end(self) -> None:
        """Nothing may be left."""
        require(bool((self._at == self._stops).all()), "numbers are left")
