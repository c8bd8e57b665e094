"""A picture of an incident: each feature over time and its values before and after.

Needs matplotlib, which ``pip install 'streamgauge[plot]'`` brings; nothing else loads it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from alerts.event_parts import ChangedFeature
from alerts.events import Opened, Resolved, Updated
from alerts.lines import wrapped
from alerts.story import Part
from alerts.texts import feature_name, phrase, short
from alerts.units import share
from consumer.incident_profiles import Held
from consumer.mistakes import Mistake, SettingsError
from sketches.before_after import Comparison
from sketches.profile import Profile

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_ROWS: Final = 4
# Told apart by those who see no red or no green as well (Okabe and Ito, 2008).
_BEFORE: Final = "#56b4e9"
_AFTER: Final = "#d55e00"
_SEVERITY: Final = {"critical": "#b30000", "warning": "#8a6d00"}
_HOLE: Final = 3.0  # usual distances of two windows; the line is broken where it is longer


class _Course(NamedTuple):
    """What is drawn over time."""

    label: str
    ends: Sequence[int]
    values: Sequence[float]
    is_share: bool
    expected: float | None


def draw(
    path: Path,
    event: Opened | Updated | Resolved,
    held: Held,
    parts: Sequence[Part],
    comparisons: Mapping[Part, Comparison],
) -> None:
    """Write the picture of an incident.

    Args:
        path: PNG or SVG, by its suffix.
        event: Its newest event.
        held: What the profiles log holds of it.
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
    rows = _rows(event, held, parts, comparisons)
    figure = Figure(figsize=(11, 1.2 + 2.5 * max(len(rows), 1)), layout="constrained")
    title = f"{event.severity.upper()} #{event.incident[:8]}  {event.summary}"
    colour = _SEVERITY[event.severity]
    figure.suptitle("\n".join(wrapped(_plain(title), 110)), fontsize=11, color=colour)
    axes = figure.subplots(max(len(rows), 1), 2, squeeze=False, width_ratios=(3, 2))
    for (left, right), (change, course) in zip(axes, rows, strict=False):
        _draw_course(left, change, course, event)
        if left is axes[0][0]:
            left.legend(fontsize=8)
        found = comparisons.get((change.version, change.segment, change.feature))
        if found is None:
            right.set_axis_off()
        else:
            _draw_shares(right, change, found)
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


def _rows(
    event: Opened | Updated | Resolved,
    held: Held,
    parts: Sequence[Part],
    comparisons: Mapping[Part, Comparison],
) -> list[tuple[ChangedFeature, _Course]]:
    """Traffic first if that changed, then the features, each with the change that is told first."""
    rows = []
    volume = next((each for each in event.changes if each.signal == "volume"), None)
    if volume is not None and len(held.traffic) > 1:
        rows.append((volume, _traffic(volume, held.traffic)))
    for part in parts:
        if part in comparisons:
            change = next(c for c in event.changes if (c.version, c.segment, c.feature) == part)
            rows.append((change, _measured(change, held.windows[part[0], part[1]])))
    return rows[:MOST_ROWS]


def _traffic(change: ChangedFeature, traffic: Mapping[int, int]) -> _Course:
    ends = sorted(traffic)
    window = min(np.diff(ends).tolist()) / 1_000_000  # seconds
    hourly = 3_600 / window
    expected = None if change.before is None else change.before * 3_600
    return _Course(
        "records an hour", ends, [traffic[end] * hourly for end in ends], False, expected
    )


def _measured(change: ChangedFeature, held: Mapping[int, Profile]) -> _Course:
    ends = sorted(held)
    label, value, is_share = _measure(change, held[ends[-1]])
    same = change.signal in ("location", "missing", "zeros")  # what is drawn is what was judged
    return _Course(
        label, ends, [value(held[end]) for end in ends], is_share, change.before if same else None
    )


def _draw_course(
    axes: Axes, change: ChangedFeature, course: _Course, event: Opened | Updated | Resolved
) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter  # noqa: PLC0415

    onset: Any = datetime.fromisoformat(event.onset)  # matplotlib takes datetimes, its types do not
    dates: Any = [datetime.fromtimestamp(end / 1_000_000, UTC) for end in course.ends]
    for colour, after in ((_BEFORE, False), (_AFTER, True)):
        some = [at for at, date in enumerate(dates) if (date > onset) == after]
        for piece in _pieces(some, course.ends):
            shown = [dates[at] for at in piece], [course.values[at] for at in piece]
            axes.plot(*shown, color=colour, linewidth=1.5, marker="." if len(dates) < 100 else "")
    axes.axvline(onset, color="black", linestyle="--", linewidth=1, label="onset (estimated)")
    if isinstance(event, Resolved) and event.time is not None:
        end: Any = datetime.fromisoformat(event.time)
        if end <= dates[-1]:
            axes.axvline(end, color="black", linestyle=":", linewidth=1, label="resolved")
    if course.expected is not None:
        axes.axhline(course.expected, color="grey", linewidth=1, label="expected")
    axes.set_title(_plain(phrase(change, moved=1)), fontsize=10, loc="left")
    axes.set_ylabel(course.label, fontsize=9)
    if course.is_share:
        _per_cent(axes.yaxis)
    if course.is_share or change.signal == "volume":
        axes.set_ylim(bottom=0)
    locator = AutoDateLocator(tz=UTC)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    dated = ConciseDateFormatter(locator, tz=UTC)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_formatter(dated)
    axes.set_xlabel("UTC", fontsize=8)
    axes.tick_params(labelsize=8)
    axes.margins(x=0.01)
    axes.grid(alpha=0.3)


def _pieces(chosen: Sequence[int], ends: Sequence[int]) -> list[list[int]]:
    """Numbers of windows that follow each other without a hole."""
    usual = float(np.median(np.diff(ends))) if len(ends) > 1 else 0.0
    pieces: list[list[int]] = []
    for at in chosen:
        if pieces and ends[at] - ends[pieces[-1][-1]] <= _HOLE * usual:
            pieces[-1].append(at)
        else:
            pieces.append([at])
    return pieces


def _measure(
    change: ChangedFeature, example: Profile
) -> tuple[str, Callable[[Profile], float], bool]:
    """What is drawn over time, its name, and whether it is a share."""
    name = change.feature
    if change.signal == "missing":
        return "records without a value", partial(_missing, name), True
    if change.signal == "zeros" and name in example.numbers.names:
        return "zeros", partial(_zeros, name), True
    if name in example.numbers.names or not change.top:
        return f"mean of {_plain(short(feature_name(change), 24))}", partial(_mean, name), False
    category = change.top[0].name
    return f"records with {_plain(short(category, 20))}", partial(_share, name, category), True


def _missing(name: str, held: Profile) -> float:
    if name not in held.names:
        return float("nan") if not held.records else 1.0
    return int(held.missing()[held.names.index(name)]) / max(held.records, 1)


def _zeros(name: str, held: Profile) -> float:
    if name not in held.numbers.names:
        return float("nan")
    at = held.numbers.names.index(name)
    return int(held.numbers.zeros[at]) / max(int(held.numbers.count[at]), 1)


def _mean(name: str, held: Profile) -> float:
    if name not in held.numbers.names:
        return float("nan")
    at = held.numbers.names.index(name)
    return float(held.numbers.mean[at]) if held.numbers.count[at] else float("nan")


def _share(name: str, category: str, held: Profile) -> float:
    texts = held.texts.get(name)
    return float("nan") if texts is None else texts.counts.get(category, 0) / max(texts.total, 1)


def _draw_shares(axes: Axes, change: ChangedFeature, found: Comparison) -> None:
    named = {"before": _BEFORE, "after": _AFTER}
    labels = [
        f"{word}: {records:,} records" + (f", {share(missing)} missing" if missing else "")
        for word, records, missing in zip(named, found.records, found.missing, strict=True)
    ]
    if found.names:
        at = np.arange(len(found.names))
        names = [_plain(short(name, 20) or "(empty)") for name in found.names]
        axes.barh(at - 0.2, found.before, 0.4, color=_BEFORE, label=labels[0])
        axes.barh(at + 0.2, found.after, 0.4, color=_AFTER, label=labels[1])
        axes.set_yticks(at, names)
        axes.invert_yaxis()
        _per_cent(axes.xaxis)
    else:
        axes.stairs(found.before, found.edges, color=_BEFORE, fill=True, alpha=0.6, label=labels[0])
        axes.stairs(found.after, found.edges, color=_AFTER, linewidth=1.5, label=labels[1])
        axes.set_xlabel(_plain(short(feature_name(change), 40)), fontsize=9)
        _per_cent(axes.yaxis)
    axes.set_title("share of the values", fontsize=9, loc="left")
    axes.tick_params(labelsize=8)
    axes.legend(fontsize=8)


def _per_cent(axis: Any) -> None:  # noqa: ANN401 - matplotlib's axes have no common type
    axis.set_major_formatter(lambda value, _: share(round(value, 6)))


def _plain(text: str) -> str:
    """Without matplotlib's formulas."""
    return text.replace("$", r"\$")
