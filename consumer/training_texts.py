"""Baselines and their differences as text for a terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from sketches.comparison import Difference
from sketches.description import Description, describe
from sketches.given import GivenBaseline

from .durations import format_duration, format_time
from .training import Training

_BARS: Final = "▁▂▃▄▅▆▇█"
_NAME: Final = 28  # characters of a feature's name
_VALUE: Final = 16  # characters of a category


def spark(shares: Sequence[float]) -> str:
    """One bar for each share, the largest one full; a share of 0 is a blank."""
    most = max(shares, default=0.0)
    if most <= 0:
        return ""
    return "".join(
        _BARS[min(int(share / most * len(_BARS)), len(_BARS) - 1)] if share > 0 else " "
        for share in shares
    )


def printable(text: str, most: int) -> str:
    """One line of at most ``most`` characters."""
    shown = "".join(c if c.isprintable() else "?" for c in text)
    return shown if len(shown) <= most else f"{shown[: most - 1]}…"


def number(value: float) -> str:
    """A value as short as it can be told."""
    return "-" if math.isnan(value) else f"{value:.6g}"


def share(value: float) -> str:
    """A share in percent; a small one is never told as none."""
    if 0 < value < 0.0005:
        return "<0.1%"
    return f"{value:.1%}" if value else "0"


def baseline_lines(baseline: GivenBaseline) -> list[str]:
    """What a baseline is, and a line for each feature with its warnings below."""
    lines = _head(baseline)
    described = describe(baseline)
    width = min(max((len(each.name) for each in described), default=7), _NAME)
    lines.append("")
    lines.append(f"{'feature':<{width}}  {'type':<8}  missing  {'range':<23}  distribution")
    for each in described:
        lines.append(_line(each, width))
        lines += [f"{'':<{width}}  ! {warning}" for warning in each.warnings]
    return lines


def _head(baseline: GivenBaseline) -> list[str]:
    words = [f"model {baseline.model}"]
    words += [f"version {baseline.version}"] if baseline.version else []
    words += [f"segment {baseline.segment}"] if baseline.segment else []
    records = f"{baseline.profile.records:,} records of {', '.join(baseline.sources)}"
    lines = [f"baseline {baseline.id}: {', '.join(words)}; {records}"]
    blocks = baseline.blocks
    if blocks:
        length = round((blocks[-1].end - blocks[0].start) / len(blocks), -6)
        lines.append(
            f"{format_time(blocks[0].start)} to {format_time(blocks[-1].end)} in {len(blocks)} "
            f"blocks of about {format_duration(int(length))}"
        )
    else:
        lines.append("no event times: noise is measured in the live stream")
    return lines


def _line(one: Description, width: int) -> str:
    if one.quantiles:
        span = f"{number(one.minimum)} to {number(one.maximum)}"
        low, median, high = one.quantiles[0], one.quantiles[2], one.quantiles[4]
        sketch = f"{number(low)} {spark(one.cells)} {number(high)}, median {number(median)}"
    else:
        span = f"{one.distinct:,} different" if one.distinct else "-"
        top = ", ".join(f"{printable(name, _VALUE)} {share(part)}" for name, part in one.top)
        sketch = f"{spark(one.cells)} {top}".strip()
    name = printable(one.name, width)
    line = f"{name:<{width}}  {one.type:<8}  {share(one.missing):>7}  {span:<23}  {sketch}"
    return line.rstrip()


def training_lines(found: Training) -> list[str]:
    """What a build found."""
    lines = baseline_lines(found.baseline)
    notes = list(found.notes)
    for key, count in sorted(found.others.items()):
        version = f" version {key.version}" if key.version else ""
        segment = f" segment {key.segment}" if key.segment else ""
        notes.append(f"{count:,} rows of model {key.model}{version}{segment} are left out")
    if found.rejects:
        count = sum(found.rejects.values())
        notes.append(f"{count:,} rows could not be read and are left out:")
        notes += [f"  {each}" for each in found.told]
        if count > len(found.told):
            notes.append(f"  ... and {count - len(found.told):,} more")
    return [*lines, *(["", *notes] if notes else [])]


def difference_lines(names: tuple[str, str], compared: Sequence[Difference]) -> list[str]:
    """A line for each feature, those farthest apart first."""
    width = min(max((len(each.name) for each in compared), default=7), _NAME)
    lines = [
        f"A: {names[0]}",
        f"B: {names[1]}",
        "",
        f"{'feature':<{width}}  {'PSI':>6}  {'JS':>6}  {'KS':>6}  {'W/sd':>6}  "
        f"{'missing':>15}  {'unseen':>6}  median",
    ]
    for each in compared:
        figures = (each.psi, each.js, each.ks, each.wasserstein)
        told = "  ".join(f"{'-' if math.isnan(x) else f'{x:.3g}':>6}" for x in figures)
        missing = " → ".join(share(x) for x in each.missing)
        medians = each.medians
        median = "" if math.isnan(medians[0]) else " → ".join(map(number, medians))
        lines.append(
            f"{printable(each.name, width):<{width}}  {told}  {missing:>15}  "
            f"{share(each.unseen):>6}  {median}".rstrip()
        )
    lines += ["", "Distances are less what chance alone gives for samples of these sizes."]
    return lines
