"""Small histograms for a terminal: a feature before and after, in characters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from alerts.texts import short
from alerts.units import duration, number, share
from sketches.before_after import Comparison

_HEIGHTS: Final = "▁▂▃▄▅▆▇█"
_BAR: Final = "█"
MOST_CELLS: Final = 64  # of a course
_NAME: Final = 18  # characters of a category


def bars(found: Comparison, width: int) -> list[str]:
    """Lines of at most ``width`` characters, which is 60 or more."""
    return _categories(found, width) if found.names else _ranges(found)


def course(ends: Sequence[int], values: Sequence[float], onset: int, width: int) -> list[str]:
    """A value over time: one line of characters, and one that marks the onset.

    Args:
        ends: When, ascending.
        values: At each of these, not negative.
        onset: Between the first and the last.
        width: Characters of a line.
    """
    if len(ends) < 2:
        return []
    low, high = ends[0], ends[-1]
    cells = min(width, MOST_CELLS, len(ends))

    def cell(time: int) -> int:
        nearest = round((time - low) * (cells - 1) / (high - low))
        return min(max(nearest, 0), cells - 1)

    sums, counts = [0.0] * cells, [0] * cells
    for end, value in zip(ends, values, strict=True):
        at = cell(end)
        sums[at] += value
        counts[at] += 1
    means = [total / count if count else 0.0 for total, count in zip(sums, counts, strict=True)]
    each = duration((high - low) // (cells - 1))
    return [heights(means), f"{' ' * cell(onset)}↑ onset; each character {each}"]


def heights(shares: list[float]) -> str:
    """One character for each share, the tallest for the largest; blank for nothing at all."""
    most = max(shares, default=0.0)
    if not most > 0:
        return " " * len(shares)
    return "".join(
        _HEIGHTS[min(int(each / most * len(_HEIGHTS)), len(_HEIGHTS) - 1)] if each > 0 else " "
        for each in shares
    )


def _ranges(found: Comparison) -> list[str]:
    low, high = number(float(found.edges[0])), number(float(found.edges[-1]))
    room = len(found.before)
    before, after = _held(found)
    return [
        f"before {heights(found.before.tolist())} {before}",
        f"after  {heights(found.after.tolist())} {after}",
        f"       {low}{high:>{max(room - len(low), len(high) + 1)}}",
    ]


def _categories(found: Comparison, width: int) -> list[str]:
    cells = list(zip(found.names, found.before.tolist(), found.after.tolist(), strict=True))
    if max(found.rest) > 0:
        cells.append(("(all others)", *found.rest))
    most = max(max(before, after) for _, before, after in cells)
    room = max((width - _NAME - 20) // 2, 4)
    before, after = _held(found)
    told = [f"before {before}; after {after}"]
    for name, before, after in cells:
        left = f"{share(before):>7} {_bar(before / most, room)}"
        right = f"{share(after):>7} {_bar(after / most, room)}"
        told.append(f"{short(name, _NAME) or '(empty)':{_NAME}} {left:{room + 8}} {right}".rstrip())
    return told


def _held(found: Comparison) -> tuple[str, str]:
    """Records of each side, and how many of them lack a value."""
    some = max(found.missing) > 0
    before, after = (
        f"{records:,} records" + (f", {share(missing)} missing" if some else "")
        for records, missing in zip(found.records, found.missing, strict=True)
    )
    return before, after


def _bar(part: float, room: int) -> str:
    return _BAR * round(part * room) if part > 0 else ""
