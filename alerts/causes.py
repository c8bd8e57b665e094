"""What lies behind the changes of an incident: the root cause first, as far as they tell it.

A schema break moves nulls and means as well, and a unit change moves every mean downstream of it:
so of all that the changes point at, the one that explains the others names the incident. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, Literal

from sketches.detection import Change

Cause = Literal[
    "schema_break",
    "unit_change",
    "stuck",
    "missing",
    "new_category",
    "gradual",
    "volume",
    "version",
    "upstream",
    "shift",
    "unknown",
]

TOGETHER: Final = 0.3  # of the features watched, at least: so many at once have one cause, upstream
FEWEST: Final = 3  # features that can move together
FRESH: Final = 3_600_000_000  # microseconds; a change that follows a deploy within it is its own

FAULTS: Final[frozenset[Cause]] = frozenset({"schema_break", "unit_change", "stuck"})

_ORDER: Final[tuple[Cause, ...]] = (
    "schema_break",
    "unit_change",
    "stuck",
    "missing",
    "volume",
    "version",
    "upstream",
    "new_category",
    "gradual",
    "shift",
    "unknown",
)
_SIGNALS: Final[Mapping[str, Cause]] = {
    "kind": "schema_break",
    "rejects": "schema_break",
    "magnitude": "unit_change",
    "stuck": "stuck",
    "missing": "missing",
    "non_finite": "missing",
    "volume": "volume",
    "late": "upstream",
    "unseen": "new_category",
    "gradual": "gradual",
    "location": "shift",
    "spread": "shift",
    "shape": "shift",
    "zeros": "shift",
    "outside": "shift",
    "vanished": "shift",
    "distance": "shift",
}
_RISING: Final = frozenset({"kind", "rejects", "missing", "non_finite", "late", "unseen"})


def cause(
    changes: Iterable[Change],
    *,
    watched: int | None = None,
    deployed: Mapping[str, int] | None = None,
) -> Cause:
    """The root cause that the changes of one incident point at.

    Args:
        changes: All of them, those that have ended as well: what began it still explains it.
        watched: Features watched; None: not known, then none moved together.
        deployed: Version -> start of its first window, microseconds, of those that came after the
            model itself.

    Returns:
        The first that holds of schema break, unit change, stuck, missing, volume, version (all of
        it is in versions that were new at its onset), upstream, new category, gradual, shift.
    """
    found: set[Cause] = set()
    versions: set[str] = set()
    features: set[str] = set()
    onset: int | None = None
    for change in changes:
        found.add(points_at(change))
        features.add(change.feature)
        if change.feature:  # a signal of the whole model is of no version
            versions.add(change.version)
        onset = change.onset if onset is None else min(onset, change.onset)
    if onset is None:
        return "unknown"
    if together(len(features - {""}), watched):
        found.add("upstream")
    begun = [onset - (deployed or {}).get(each, onset + 1) for each in versions]
    if begun and all(0 <= each <= FRESH for each in begun):
        found.add("version")
    return next(each for each in _ORDER if each in found)


def together(features: int, watched: int | None) -> bool:
    """Whether so many of the features watched have changed that one cause lies upstream of all."""
    return watched is not None and features >= max(FEWEST, TOGETHER * watched)


def nearer(one: Cause, other: Cause) -> bool:
    """Whether one is nearer to the root than the other."""
    return _ORDER.index(one) < _ORDER.index(other)


def points_at(change: Change) -> Cause:
    """What one change alone points at."""
    if change.signal in _RISING and change.direction == "down":  # fewer nulls break nothing
        return "shift"
    found = _SIGNALS.get(change.signal, "unknown")
    return "gradual" if found == "shift" and change.since is not None else found
