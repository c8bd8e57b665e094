"""What people are told: one line and one paragraph for each event of an incident."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable, Sequence
from typing import Final

from alerts.causes import Cause, together
from alerts.event_parts import ChangedFeature, Evidence, Moved
from alerts.events import IncidentEvent, Resolved, Updated
from alerts.units import between, moment, number, numbers, rates, share

LONGEST_NAME: Final = 60  # characters of a name in a text; the fields hold the whole
_HIDDEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})


def printable(text: str) -> str:
    """The text with everything escaped that could move a cursor, reorder or hide other text.

    That is control and format characters (ANSI sequences, bidirectional marks), line and paragraph
    separators, private and lone surrogate code points.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        char.encode("unicode_escape").decode() if unicodedata.category(char) in _HIDDEN else char
        for char in text
    )


def short(name: str, most: int = LONGEST_NAME) -> str:
    """A name as it stands in a text: printable, at most ``most`` characters."""
    text = printable(name[: most + 1])
    return text if len(text) <= most else f"{text[: most - 1]}…"


def subject(
    topic: str, model: str, versions: Sequence[str] = (), segments: Sequence[str] = ()
) -> str:
    """Whom a text is about: ``credit-risk v3, segment eu``."""
    words = short(model) if model else f"topic {short(topic)}"
    versions = [version for version in versions if version]
    segments = [segment for segment in segments if segment]
    if len(versions) == 1:
        words += f" {_version(versions[0])}"
    elif versions:
        words += f", {len(versions)} versions"
    if len(segments) == 1:
        words += f", segment {short(segments[0])}"
    elif segments:
        words += f", {len(segments)} segments"
    return words


def phrase(change: ChangedFeature, where: bool = False, moved: int = 3) -> str:
    """One change in a few words: ``income down 52,000 → 18,000 (mean, -1.8 sd)``.

    Args:
        change: What changed.
        where: Name its version and segment as well.
        moved: Of a mix or a shape, name so many categories or ranges.
    """
    name = feature_name(change)
    before, after = _values(change)
    if change.signal in _MIXES:
        way = "changed" if change.since is None else "drifts slowly"
        text = f"{name} {_MIXES[change.signal]} {way} (JS distance {after})"
        if change.top and moved:
            text += f": {_moved(change.top[:moved])}"
    else:
        lead, note = _PHRASES.get(change.signal, ("{name} {signal} {way}", ""))
        slow = change.since is not None
        if slow:
            lead = _SLOWLY.get(change.signal, lead)
        lead = lead.format(name=name, signal=short(change.signal), way=change.direction)
        text = f"{lead.strip()} {before} → {after}"
        if slow:
            text += f" over {between(change.onset, change.detected)}"
        if notes := ", ".join(filter(None, (note, _effect(change)))):
            text += f" ({notes})"
    return f"{text} in {_place(change)}" if where and _place(change) else text


def feature_name(change: ChangedFeature) -> str:
    """The name of its feature for people; empty for a signal of the whole model."""
    if change.role == "feature":
        return short(change.feature[1:] if change.feature.startswith("@@") else change.feature)
    return "" if change.role == "model" else change.role


def cause_text(cause: Cause) -> str:
    """What lies behind it, for people: where to look."""
    return _CAUSES.get(cause, cause.replace("_", " "))


def incident_texts(event: IncidentEvent) -> tuple[str, str]:
    """The line and the paragraph of an event whose ``summary`` and ``text`` are empty yet."""
    who = subject(event.topic, event.model, event.versions, event.segments)
    if not event.changes or event.time is None:
        return who, who
    return f"{who}: {_headline(event, event.time)}", " ".join(_sentences(event, who))


_MIXES: Final = {"distance": "mix", "shape": "shape"}
_PHRASES: Final = {
    "location": ("{name} {way}", "mean"),
    "spread": ("{name} spread {way}", ""),
    "missing": ("{name} missing", ""),
    "unseen": ("{name} unseen values", ""),
    "volume": ("traffic {way}", ""),
    "late": ("late records", ""),
    "rejects": ("rejected records", ""),
    "errors": ("failed predictions", ""),
    "kind": ("{name} of another type", ""),
    "magnitude": ("{name} off by a factor", "unit?"),
    "stuck": ("{name} stuck", ""),
    "zeros": ("{name} zeros", ""),
    "outside": ("{name} outside its range", ""),
    "non_finite": ("{name} not finite", ""),
    "vanished": ("{name} usual values gone", "share they had"),
    "gradual": ("{name} drifts {way}", ""),
}
_SLOWLY: Final = {
    "location": "{name} drifts {way} slowly:",
    "spread": "{name} spread drifts {way} slowly:",
    "missing": "{name} missing drifts {way} slowly:",
    "zeros": "{name} zeros drift {way} slowly:",
}
_FACTS: Final = {
    "location": "the mean of {name} is {after}",
    "spread": "the spread of {name} is {after}",
    "missing": "{name} is missing in {after} of the records",
    "unseen": "{after} of the records have a value of {name} that the baseline never had",
    "distance": "the values of {name} are mixed otherwise than in the baseline: Jensen-Shannon "
    "distance {after}",
    "volume": "traffic is {after}",
    "late": "{after} of the records came late",
    "rejects": "{after} of the records could not be read",
    "errors": "{after} of the predictions failed",
    "kind": "{after} of the values of {name} have a JSON type that the baseline never had",
    "magnitude": "the usual size of {name} is {after}, so its unit may be another one",
    "stuck": "{name} repeats one value, {after} of the time",
    "zeros": "{name} is zero in {after} of the records",
    "outside": "{after} of the values of {name} are outside the range of the baseline",
    "non_finite": "{name} is NaN or infinite in {after} of the records",
    "shape": "the values of {name} are distributed otherwise than in the baseline: Jensen-Shannon "
    "distance {after}",
    "vanished": "values of {name} that made up {after} of the baseline do not occur any more",
    "gradual": "{name} drifts slowly, and is {after}",
}
_CAUSES: Final[dict[Cause, str]] = {
    "schema_break": "a schema break: records or types that cannot be read as before",
    "unit_change": "a unit change: values are off by a factor",
    "stuck": "a stuck source: one value repeats",
    "missing": "missing values: look at the source or the join that fills them",
    "volume": "traffic: look at who sends, and at what stands between",
    "version": "the deploy: only versions that are new have changed",
    "new_category": "new values: the baseline never had them",
    "gradual": "a slow drift, not a break",
}
WHY: Final = {
    "flapping": "comes and goes",
    "severity": "more severe",
    "features": "more features",
    "cause": "root cause seen",
    "effect": "doubled",
    "direction": "turned round",
    "silence_ended": "no longer silenced",
    "reminder": "still open",
}


def _headline(event: IncidentEvent, time: str) -> str:
    """What, which way, how much and since when come first: terminals and chats cut the rest."""
    lead = event.changes[0]
    many = event.features_total - bool(lead.feature)
    what = phrase(lead, _parts(event), moved=0)
    if isinstance(event, Resolved):
        lasted = between(event.onset, time)
        end = _ENDS.get(event.reason, ("resolved after {lasted}; it was", ""))[0]
        said = f"{end.format(lasted=lasted)} {what}"
    else:
        word = _why(event) if isinstance(event, Updated) else ""
        said = f"{word}{what} since {moment(lead.onset, beside=time)}"
    if lead.signal in _MIXES and lead.top:
        said += f": {_moved(lead.top[:3])}"
    if together(event.features_total, event.features_watched) and not isinstance(event, Resolved):
        total, of = event.features_total, event.features_watched
        return f"{said}; {total:,} of {of:,} features moved together: look upstream"
    return f"{said}; +{many:,} more feature{'s' * (many > 1)}" if many > 0 else said


def _why(event: Updated) -> str:
    for reason, word in (
        ("flapping", "again and again"),
        ("reopened", "again"),
        ("acknowledged", f"acknowledged{_by(event)}"),
        ("severity", f"now {event.severity}"),
        (
            "features",
            f"now {event.features_total:,} features" if event.features_total > 1 else "more",
        ),
        ("cause", f"cause now {event.cause.replace('_', ' ')}"),
        ("effect", "larger"),
        ("direction", "turned"),
        ("silenced", "silenced"),
        ("silence_ended", "no longer silenced"),
        ("reminder", "still open"),
    ):
        if reason in event.why:
            return f"{word}: "
    return ""


def _by(event: IncidentEvent) -> str:
    return "" if event.acknowledged is None else f" by {short(event.acknowledged.by)}"


def _sentences(event: IncidentEvent, who: str) -> list[str]:
    lead = event.changes[0]
    said = [
        f"{_opening(event, who)} {_fact(lead, _parts(event))}",
        f"That is from {lead.sample:,} records since {moment(lead.onset)}, {_against(lead)}.",
    ]
    if lead.top:
        said.append(f"Moved most: {_moved(lead.top[:5])}.")
    said.append(
        f"{short(lead.detector)} saw it at {moment(lead.detected)}, at {number(lead.score, 2)} "
        "times its threshold."
    )
    if len(event.changes) > 1:
        said.append(_others(event))
    if together(event.features_total, event.features_watched):
        said.append(
            f"{event.features_total:,} of {event.features_watched:,} features moved together, so "
            "look upstream first: a join, a schema, a unit, a source."
        )
    if event.cause in _CAUSES:
        said.append(f"Most likely {_CAUSES[event.cause]}.")
    said.append(_evidence(event.topic, event.evidence))
    return said


def _against(change: ChangedFeature) -> str:
    held = f"{change.baseline_sample:,}"
    if not change.baseline:
        return f"against the {held} before, while learning: there is no baseline yet"
    return f"against a baseline of {held} ({short(change.baseline, 13)})"


def _fact(change: ChangedFeature, where: bool) -> str:
    before, after = _values(change)
    text = _FACTS.get(change.signal, "{signal} of {name} is {after}")
    if not change.baseline:
        text = text.replace("the baseline", "its past")
    size = _effect(change)
    text = text.format(
        name=feature_name(change) or "the model",
        signal=short(change.signal),
        before=before,
        after=f"{after} ({size})" if size else after,
    )
    if where and (place := _place(change)):
        text += f", in {place}"
    # What vanished is told by the share that it had.
    return (
        f"{text}."
        if change.signal == "vanished"
        else f"{text}; with no change it would be {before}."
    )


def _opening(event: IncidentEvent, who: str) -> str:
    if isinstance(event, Resolved) and event.time is not None:
        end = _ENDS.get(event.reason, ("", short(event.reason)))[1]
        return (
            f"{who}: resolved at {moment(event.time)}, {between(event.onset, event.time)} after "
            f"its onset; {end}. Last seen:"
        )
    if isinstance(event, Updated):
        reasons = [_REASONS[reason] for reason in event.why if reason in _REASONS]
        return f"{who} ({event.severity}): {' and '.join(reasons) or 'more is known'}. Now"
    return f"{who} has changed ({event.severity}):"


_ENDS: Final = {
    "recovered": ("recovered after {lasted}; it was", "all is as before"),
    "settled": ("taken as the new normal after {lasted}:", "the new level is taken as normal"),
    "expired": ("no longer watched after {lasted}; it was", "it is no longer watched"),
    "operator": ("resolved by hand after {lasted}; it was", "an operator said so"),
    "accepted": ("accepted after {lasted}:", "an operator said that it is the new normal"),
}
_REASONS: Final = {
    "reopened": "a resolved change is back",
    "severity": "the change is more severe than first told",
    "cause": "the root cause is seen",
    "features": "more features changed",
    "effect": "the change has doubled",
    "direction": "the change has turned round",
    "flapping": "it comes and goes, and is held open until it keeps quiet for hours",
    "acknowledged": "somebody looks after it",
    "silenced": "nobody is called about it any more, as an operator said",
    "silence_ended": "the silence over it is over, and it is still there",
    "reminder": "it is still open, and nobody has acknowledged it",
}


def _others(event: IncidentEvent) -> str:
    told = [phrase(change, _parts(event)) for change in event.changes[1:5]]
    if (rest := event.changes_total - 1 - len(told)) > 0:
        told.append(f"{rest:,} more")
    return f"Also changed: {'; '.join(told)}."


def _evidence(topic: str, evidence: Evidence) -> str:
    if not evidence.ranges:
        return f"Evidence: topic {short(topic)}, offsets not known."
    told = [
        f"partition {each.partition} offsets {each.start} to {each.stop - 1}"
        for each in evidence.ranges[:3]
    ]
    if (rest := evidence.partitions_total - len(told)) > 0:
        told.append(f"{rest:,} more partition{'s' * (rest > 1)}")
    return f"Evidence: topic {short(topic)}, {', '.join(told)}."


def _parts(event: IncidentEvent) -> bool:
    """Whether it takes version and segment to say which part of the model changed."""
    return len(event.versions) > 1 or len(event.segments) > 1


def _place(change: ChangedFeature) -> str:
    return ", ".join(filter(None, (_version(change.version), short(change.segment))))


def _version(version: str) -> str:
    if not version:
        return ""
    text = short(version)
    if text[0].isdigit():
        return f"v{text}"
    return text if text[0] in "vV" and text[1:2].isdigit() else f"version {text}"


def _moved(top: Sequence[Moved]) -> str:
    names = [short(each.name) or "(empty)" for each in top]
    return ", ".join(  # 20 to 30: 5 % → 9 %, so that the numbers of a range stand apart
        f"{name}{':' if ' ' in name else ''} {share(each.before)} → {share(each.after)}"
        for name, each in zip(names, top, strict=True)
    )


_UNITS: Final[dict[str, Callable[[float | None, float | None], tuple[str, str]]]] = {
    "share": lambda before, after: (share(before), share(after)),
    "per_second": rates,
    "distance": lambda before, after: (_distance(before), _distance(after)),
}


def _distance(value: float | None) -> str:
    """Nearer than chance is no distance."""
    return number(None if value is None else max(value, 0.0), 2)


def _values(change: ChangedFeature) -> tuple[str, str]:
    return _UNITS.get(change.unit, numbers)(change.before, change.after)


def _effect(change: ChangedFeature) -> str:
    """The size of a change with its sign, in words; empty if it says nothing."""
    size = change.effect
    if size is None or change.effect_unit == "distance":
        return ""
    sign = "+" if change.direction == "up" else "-"
    if change.effect_unit == "sd":
        return f"{sign}{number(size, 2)} sd"
    if change.effect_unit == "points":
        return f"{sign}{number(size, 2)} points"
    if change.effect_unit == "ratio":
        factor = math.exp(min(size, 700) if sign == "+" else -size)
        if change.signal == "volume" and factor < 2:
            return f"{sign}{number(100 * abs(factor - 1), 2)} %"
        return f"×{number(factor, 2)}"
    return f"{sign}{number(size, 3)} {short(change.effect_unit)}"
