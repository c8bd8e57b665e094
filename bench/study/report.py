"""The study as tables in Markdown and as pictures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

BEGIN, END = "<!-- make study-readme writes from here -->\n", "<!-- study to here -->\n"
NAMED = "ADWIN", "PageHinkley"
LEAST = 0.01  # what zero is drawn at
OURS, PEERS = "#1f77b4", "#7f7f7f"


def markdown(results: Mapping[str, Any]) -> str:
    """Rows, incidents, streams."""
    form = "quick form: sizes too small to judge by" if results["quick"] else "full form"
    versions = ", ".join(f"{name} {number}" for name, number in results["versions"].items())
    head = (
        f"Measured at commit {results['commit']} on {results['date']} ({form}), {results['cores']} "
        f"cores, {versions}; one setting for all streams, the default one: 5 warnings and 1 "
        "critical incident allowed a model and week.\n\n"
    )
    if results.get("note"):
        head += f"{results['note']}\n\n"
    if results["left_out"]:
        head += f"There was no time for {len(results['left_out'])} parts of it.\n\n"
    return head + "\n".join([_rows(results), _incidents(results), _streams(results)])


def _rows(results: Mapping[str, Any]) -> str:
    lines = ["| row | what | measured | must | model-weeks | |", "|---|---|---|---|---|---|"]
    for number, row in results["rows"].items():
        if not row["value"]:
            lines.append(f"| {number} | {row['title']} | | | | **fail** |")
        for at, name in enumerate(row["value"]):
            must = row["must"].get(name, row["must"]) if number != "1" else row["must"]
            head = f"{number} | {row['title']}" if at == 0 else " | "
            weeks = f"{row['model_weeks']:.3g}" if at == 0 else ""
            verdict = ("pass" if row["pass"] else "**fail**") if at == 0 else ""
            lines.append(
                f"| {head}: {name} | {_figure(row['value'][name])} | {_figure(must)} | {weeks} "
                f"| {verdict} |"
                if at == 0
                else f"| | {name} | {_figure(row['value'][name])} | {_figure(must)} | | |"
            )
    return "\n".join(lines) + "\n"


def _incidents(results: Mapping[str, Any]) -> str:
    found = results["incidents"]
    if not found:
        return "Injected incidents: no time for them.\n"
    names = ("opened", "opened_per_injection", "cause", "onset", "flapping")
    lines = [
        f"Injected incidents: {found['injected']}; "
        f"{'pass' if found['pass'] else '**fail**'}; {found['false']} incidents besides.\n",
        "| kind | opened | incidents for each | cause named | onset within a window | flapping "
        "| median delay, s |",
        "|---|---|---|---|---|---|---|",
    ]
    every = {"all": found, **found["kinds"]}
    for kind, held in every.items():
        cells = " | ".join(_figure(held[name]) for name in names)
        lines.append(f"| {kind} | {cells} | {_figure(held['delay']['median'])} |")
    return "\n".join(lines) + "\n"


def _streams(results: Mapping[str, Any]) -> str:
    lines = [
        "| stream | detector | model-weeks | false alarms a week (90 %) | recall of 0.5 sd "
        "| delay, s, median / 90 % | alerts an incident |",
        "|---|---|---|---|---|---|---|",
    ]
    for stream, detectors in results["streams"].items():
        for name, held in detectors.items():
            false = held.get("false_alarms")
            alarms = (
                f"{_figure(false['rate'])} ({_figure(false['low'])} to {_figure(false['high'])})"
                if false
                else "set equal"
            )
            faults = held.get("faults", {})
            shift = faults.get("0.5 sd") or faults.get("all")
            recall = _figure(shift["recall"]) if shift else ""
            wait = f"{_figure(shift['median'])} / {_figure(shift['most'])}" if shift else ""
            weeks = _figure(held["model_weeks"]) if "model_weeks" in held else ""
            again = held.get("alerts_per_incident")
            last = "" if again is None else _figure(again)
            lines.append(f"| {stream} | {name} | {weeks} | {alarms} | {recall} | {wait} | {last} |")
    return "\n".join(lines) + "\n"


def _figure(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return "; ".join(f"{key} {_figure(held)}" for key, held in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(_figure(held) for held in value)
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return str(value)


def pictures(results: Mapping[str, Any], folder: Path) -> None:
    """False alarms by stream and detector, and recall by delay, as SVG."""
    import matplotlib as mpl  # noqa: PLC0415 - the one part that needs it

    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "study"
    _false_alarms(results, folder / "false_alarms.svg")
    _delays(results, folder / "delays.svg")


def _false_alarms(results: Mapping[str, Any], path: Path) -> None:
    from matplotlib import pyplot as plt  # noqa: PLC0415

    peers = [f"{name} per {unit}" for unit in ("window", "record") for name in NAMED]
    shown = ["streamgauge", *peers]
    names = [name for name, held in results["streams"].items() if "ADWIN per window" in held]
    figure, axes = plt.subplots(figsize=(8, 0.6 * len(names) + 1.6), layout="constrained")
    for place, (detector, mark) in enumerate(zip(shown, "os^Dv", strict=True)):
        colour = OURS if detector == "streamgauge" else PEERS
        label: str | None = detector
        for row, stream in enumerate(names):
            held = results["streams"][stream].get(detector)
            if held is None:
                continue
            false, y = held["false_alarms"], row + (place - 2) * 0.15
            ends = [max(false[end], LEAST) for end in ("low", "high")]
            axes.plot(ends, [y, y], color=colour, lw=1)
            axes.plot(max(false["rate"], LEAST), y, mark, color=colour, ms=5, label=label)
            label = None
    axes.axvline(5, color="#d62728", lw=1, ls="--", label="budget of warnings")
    axes.set_xscale("log")
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xlabel(
        "false alarms a week of a model of 100 features, 90 % interval (0 drawn at .01)"
    )
    axes.grid(axis="x", alpha=0.3)
    figure.legend(loc="outside upper center", ncols=3, fontsize=8, frameon=False)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def _delays(results: Mapping[str, Any], path: Path) -> None:
    from matplotlib import pyplot as plt  # noqa: PLC0415

    figure, axes = plt.subplots(1, 3, figsize=(9, 3), layout="constrained")
    for one, stream in zip(axes, ("1,000 records/s", "10 records/s", "bench world"), strict=True):
        for name, held in results["streams"][stream].items():
            every = held.get("faults", {})
            faults = {key: each for key, each in every.items() if key.endswith(" sd")}
            sizes = [float(key.removesuffix(" sd")) for key in faults]
            known = [
                (size, each["median"], each["most"])
                for size, each in zip(sizes, faults.values(), strict=True)
                if each["median"] is not None
            ]
            if not known:
                continue
            style = "-o" if name == "streamgauge" else "--^" if "FOCuS" in name else ":s"
            colour = OURS if name == "streamgauge" else PEERS
            label = name.removesuffix(", same run length")
            one.plot([p[0] for p in known], [p[1] for p in known], style, color=colour, label=label)
            if name == "streamgauge":
                for size, median, most in known:
                    top = most if most is not None and math.isfinite(most) else median
                    one.plot([size, size], [median, top], color=colour, lw=1)
        one.set_title(stream, fontsize=9)
        one.set_yscale("log")
        one.set_xlabel("shift, sd")
        one.grid(alpha=0.3)
    axes[0].set_ylabel("seconds, median to 90 %")
    axes[1].legend(fontsize=7, frameon=False)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def readme(before: str, results: Mapping[str, Any]) -> str:
    """A README with the table of rows as the results have it."""
    head, rest = before.split(BEGIN)
    _, tail = rest.split(END)
    held = {**results, "streams": {}}
    table = markdown(held).split("| stream | detector")[0]
    pictured = "![False alarms by stream and detector](bench/study/false_alarms.svg)\n"
    pictured += "![Delay by size of the change](bench/study/delays.svg)\n"
    return head + BEGIN + "\n" + table + "\n" + pictured + "\n" + END + tail
