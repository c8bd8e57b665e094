"""What moved inside a feature: the categories, value ranges or types behind a change."""

from __future__ import annotations

from itertools import pairwise
from typing import Final

import numpy as np

from .profile import Profile
from .reference import TOP, Reference, range_shares
from .table import FloatArray, Kind

_OF_TEXTS: Final = frozenset({"unseen", "vanished", "distance"})
_OF_RANGES: Final = frozenset({"location", "spread", "shape", "zeros", "outside", "magnitude"})
_KINDS: Final = {
    Kind.NUMBER: "number",
    Kind.TEXT: "text",
    Kind.BOOLEAN: "boolean",
    Kind.NON_FINITE: "NaN or infinite",
    Kind.OTHER: "object or array",
}


def moved_most(
    reference: Reference, profile: Profile, feature: str, signal: str, most: int = 5
) -> tuple[tuple[str, float, float], ...]:
    """The categories, value ranges or types whose shares moved most: (name, before, after)."""
    if signal in _OF_TEXTS and feature in reference.texts:
        row = reference.texts.index(feature)
        names, before, after = _categories_moved(reference, profile, row)
    elif signal in {"kind", "non_finite"} and feature in profile.names:
        names, before, after = _kinds_moved(reference, profile, feature)
    elif signal in _OF_RANGES and feature in profile.numbers.names:
        row = reference.numbers.index(feature)
        edges = reference.edges[row][np.isfinite(reference.edges[row])]
        before = reference.shares[row, : len(edges) + 1]
        after = range_shares(profile.numbers.select((feature,)), edges[None, :])[0]
        names = _ranges(edges)
    else:
        return ()
    order = np.argsort(-np.abs(after - before), kind="stable")[:most]
    return tuple(
        (names[at], float(before[at]), float(after[at]))
        for at in order.tolist()
        if after[at] != before[at]
    )


def _categories_moved(
    reference: Reference, profile: Profile, row: int
) -> tuple[list[str], FloatArray, FloatArray]:
    held = profile.texts.get(reference.texts[row])
    counts = held.counts if held is not None else {}
    known = reference.known[row]
    strange = [value for value in counts if value not in known] if reference.complete[row] else []
    named = [*reference.top[row], *strange[:TOP]]
    total = reference.cells[row].sum()
    before = np.zeros(len(named))
    before[: len(reference.top[row])] = reference.cells[row, : len(reference.top[row])]
    after = np.array([counts.get(name, 0) for name in named], dtype=np.float64)
    seen = held.total if held is not None else 0
    return named, before / max(total, 1), after / max(seen, 1)


def _kinds_moved(
    reference: Reference, profile: Profile, feature: str
) -> tuple[list[str], FloatArray, FloatArray]:
    held = reference.kinds[reference.names.index(feature), Kind.NUMBER :]
    found = profile.kinds[profile.names.index(feature), Kind.NUMBER :]
    before, after = held / max(held.sum(), 1), found / max(found.sum(), 1)
    return list(_KINDS.values()), before, after


def _ranges(edges: FloatArray) -> list[str]:
    if not len(edges):
        return ["all"]
    told = [f"{edge:.6g}" for edge in edges.tolist()]
    inner = [f"{low} to {high}" for low, high in pairwise(told)]
    return [f"below {told[0]}", *inner, f"{told[-1]} and above"]
