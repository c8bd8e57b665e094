"""A picture of an incident: each feature over time and its values before and after.

Needs matplotlib, which ``pip install 'streamgauge[plot]'`` brings; nothing else loads it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from alerts.event_parts import ChangedFeature
from alerts.events import Opened, Resolved, Updated
from alerts.story import Part
from alerts.texts import phrase, short
from consumer.incident_profiles import Windows
from consumer.mistakes import Mistake, SettingsError
from sketches.before_after import Comparison
from sketches.profile import Profile

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_ROWS: Final = 4
_BEFORE: Final = "#7f7f7f"
_AFTER: Final = "#d62728"


def draw(
    path: Path,
    event: Opened | Updated | Resolved,
    windows: Windows,
    parts: Sequence[Part],
    comparisons: Mapping[Part, Comparison],
) -> None:
    """Write the picture of an incident.

    Args:
        path: PNG or SVG, by its suffix.
        event: Its newest event.
        windows: Of the profiles log.
        parts: Features, the most important first.
        comparisons: Of those before and after.

    Raises:
        SettingsError: matplotlib is not installed, or the file cannot be written.
    """
    try:
        from matplotlib import rc_context  # noqa: PLC0415 - an extra
        from matplotlib.figure import Figure  # noqa: PLC0415
    except ImportError:
        text = "needs matplotlib; install it with: pip install 'streamgauge[plot]'"
        raise SettingsError([Mistake("--plot", text)]) from None
    rows = [part for part in parts if part in comparisons][:MOST_ROWS]
    figure = Figure(figsize=(11, 1.2 + 2.6 * max(len(rows), 1)), layout="constrained")
    figure.suptitle(f"{_plain(event.summary)}  #{event.incident[:8]}", fontsize=10, wrap=True)
    axes = figure.subplots(max(len(rows), 1), 2, squeeze=False, width_ratios=(3, 2))
    onset = datetime.fromisoformat(event.onset)
    for (left, right), part in zip(axes, rows, strict=False):
        change = next(c for c in event.changes if (c.version, c.segment, c.feature) == part)
        _course(left, change, windows[part[0], part[1]], onset)
        _shares(right, comparisons[part])
    if not rows:
        axes[0][0].text(0.5, 0.5, "the profiles log holds no window of that time", ha="center")
        for each in axes[0]:
            each.set_axis_off()
    try:
        # No date and no random ids: the same incident gives the same bytes.
        bare: dict[str, Any] = {"Date": None} if path.suffix == ".svg" else {}
        with rc_context({"svg.hashsalt": event.incident}):
            figure.savefig(path, dpi=130, metadata=bare)
    except OSError as error:
        raise SettingsError([Mistake("--plot", f"{path}: {error.strerror}")]) from None


def _course(
    axes: Axes, change: ChangedFeature, held: Mapping[int, Profile], onset: datetime
) -> None:
    ends = sorted(held)
    label, value = _measure(change, held[ends[-1]])
    dates: Any = [datetime.fromtimestamp(end / 1_000_000, UTC) for end in ends]
    start: Any = onset  # matplotlib takes datetimes, its types do not say so
    few = len(ends) < 100
    axes.plot(dates, [value(held[end]) for end in ends], linewidth=1, marker="." if few else "")
    axes.axvline(start, color=_AFTER, linestyle="--", linewidth=1)
    axes.set_title(_plain(phrase(change)), fontsize=8, loc="left")
    axes.set_ylabel(label, fontsize=8)
    axes.tick_params(labelsize=7)
    axes.margins(x=0.01)


def _measure(change: ChangedFeature, example: Profile) -> tuple[str, Callable[[Profile], float]]:
    """What is drawn over time, and its name."""
    name = change.feature
    if change.signal == "missing":
        return "share missing", partial(_missing, name)
    if name in example.numbers.names or not change.top:
        return "mean", partial(_mean, name)
    category = change.top[0].name
    return f"share of {_plain(short(category, 20))}", partial(_share, name, category)


def _missing(name: str, held: Profile) -> float:
    if name not in held.names:
        return float("nan") if not held.records else 1.0
    return int(held.missing()[held.names.index(name)]) / max(held.records, 1)


def _mean(name: str, held: Profile) -> float:
    if name not in held.numbers.names:
        return float("nan")
    return float(held.numbers.mean[held.numbers.names.index(name)])


def _share(name: str, category: str, held: Profile) -> float:
    texts = held.texts.get(name)
    return float("nan") if texts is None else texts.counts.get(category, 0) / max(texts.total, 1)


def _shares(axes: Axes, found: Comparison) -> None:
    if found.names:
        at = np.arange(len(found.names))
        names = [_plain(short(name, 20) or "(empty)") for name in found.names]
        axes.barh(at - 0.2, found.before, 0.4, color=_BEFORE, label="before")
        axes.barh(at + 0.2, found.after, 0.4, color=_AFTER, label="after")
        axes.set_yticks(at, names)
        axes.invert_yaxis()
    else:
        axes.stairs(found.before, found.edges, color=_BEFORE, fill=True, alpha=0.5, label="before")
        axes.stairs(found.after, found.edges, color=_AFTER, linewidth=1.5, label="after")
    axes.set_xlabel("share" if found.names else "value; height: share", fontsize=8)
    axes.tick_params(labelsize=7)
    axes.legend(fontsize=7)


def _plain(text: str) -> str:
    """Without matplotlib's formulas."""
    return text.replace("$", r"\$")
