"""Small histograms for a terminal: a feature before and after, in characters."""

from __future__ import annotations

from typing import Final

from alerts.texts import short
from alerts.units import number, share
from sketches.before_after import Comparison

_HEIGHTS: Final = "▁▂▃▄▅▆▇█"
_BAR: Final = "█"
_NAME: Final = 18  # characters of a category


def bars(found: Comparison, width: int) -> list[str]:
    """Lines of at most ``width`` characters, which is 60 or more."""
    told = _categories(found, width) if found.names else _ranges(found)
    if max(found.missing) > 0:
        told.append(f"missing {share(found.missing[0])} → {share(found.missing[1])}")
    return told


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
    return [
        f"before {heights(found.before.tolist())} {found.records[0]:,} records",
        f"after  {heights(found.after.tolist())} {found.records[1]:,} records",
        f"       {low}{high:>{max(room - len(low), len(high) + 1)}}",
    ]


def _categories(found: Comparison, width: int) -> list[str]:
    cells = list(zip(found.names, found.before.tolist(), found.after.tolist(), strict=True))
    if max(found.rest) > 0:
        cells.append(("(all others)", *found.rest))
    most = max(max(before, after) for _, before, after in cells)
    room = max((width - _NAME - 20) // 2, 4)
    told = [f"{'':{_NAME}} {'before':{room + 8}} after"]
    for name, before, after in cells:
        left = f"{share(before):>7} {_bar(before / most, room)}"
        right = f"{share(after):>7} {_bar(after / most, room)}"
        told.append(f"{short(name, _NAME) or '(empty)':{_NAME}} {left:{room + 8}} {right}".rstrip())
    return told


def _bar(part: float, room: int) -> str:
    return _BAR * round(part * room) if part > 0 else ""
