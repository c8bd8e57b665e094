"""What is counted: intervals of rates, delays, incidents against injections."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from sketches.trial import poisson_interval

NEAR = 3_600_000_000  # microseconds; changes that near are one incident


class Rate(NamedTuple):
    """False alarms in so many model-weeks, a week, with its 90 % Poisson interval."""

    alarms: int
    weeks: float
    rate: float
    low: float
    high: float


def rate(count: int, weeks: float) -> Rate:
    """Of ``count`` alarms in ``weeks``."""
    low, high = poisson_interval(count)
    known = max(weeks, 1e-9)
    return Rate(count, weeks, count / known, low / known, high / known)


def incidents(times: Sequence[int]) -> int:
    """Ascending times of changes, those within an hour of the one before counted once."""
    return sum(at == 0 or time - times[at - 1] > NEAR for at, time in enumerate(times))


class Delays(NamedTuple):
    """Seconds from changes to their detection.

    Attributes:
        injected: Changes.
        recall: Share of them found in time.
        median: Of all, those not found last; infinite: fewer than half were found.
        most: Its 90 % quantile.
    """

    injected: int
    recall: float
    median: float
    most: float


def delays(found: Sequence[float | None], within: float = math.inf) -> Delays:
    """Of delays in seconds (None: not found), of which those over ``within`` are too late."""
    times = sorted(math.inf if one is None else one for one in found)
    if not times:
        return Delays(0, math.nan, math.nan, math.nan)
    recall = sum(time <= within and math.isfinite(time) for time in times) / len(times)
    return Delays(len(times), recall, _quantile(times, 0.5), _quantile(times, 0.9))


def _quantile(ascending: Sequence[float], share: float) -> float:
    return ascending[min(math.ceil(share * len(ascending)) - 1, len(ascending) - 1)]


class Injection(NamedTuple):
    """A change that was made: the model, its label, when it began and ended (microseconds)."""

    model: str
    label: str
    start: int
    end: int
    abrupt: bool


class Told(NamedTuple):
    """An incident as it was told: opened by which window's end, what it said in the end."""

    model: str
    opened: int
    onset: int
    cause: str
    severity: str
    flapping: bool


class Match(NamedTuple):
    """Of one injection: the incidents opened while it lasted, in order of time."""

    injection: Injection
    told: tuple[Told, ...]


def matched(
    injections: Sequence[Injection], told: Sequence[Told], slack: int
) -> tuple[list[Match], list[Told]]:
    """Incidents to the injection that began last before they opened, if it ended no longer ago.

    Args:
        injections: Of one model not overlapping.
        told: Incidents.
        slack: Microseconds after the end of an injection in which its incidents may open.

    Returns:
        Every injection, and the incidents that belong to none.
    """
    held: dict[Injection, list[Told]] = {injection: [] for injection in injections}
    false = []
    for one in sorted(told, key=lambda each: each.opened):
        before = [
            each for each in injections if each.model == one.model and each.start < one.opened
        ]
        last = max(before, key=lambda each: each.start, default=None)
        if last is None or one.opened > last.end + slack:
            false.append(one)
        else:
            held[last].append(one)
    return [Match(injection, tuple(ones)) for injection, ones in held.items()], false


class Score(NamedTuple):
    """Of injections of one kind, or of all."""

    injected: int
    opened: float  # share of them with an incident
    opened_per_injection: float  # incidents opened for each
    cause: float  # share of those opened whose first incident names the label
    onset: float  # share of the abrupt ones opened whose onset is within one window
    flapping: int
    delay: Delays


def score(matches: Sequence[Match], window: int) -> Score:
    """Of these injections, whose windows are ``window`` microseconds long."""
    seen = [match for match in matches if match.told]
    abrupt = [match for match in seen if match.injection.abrupt]
    near = sum(abs(match.told[0].onset - match.injection.start) <= window for match in abrupt)
    named = sum(match.told[0].cause == match.injection.label for match in seen)
    times = [
        (match.told[0].opened - match.injection.start) / 1e6 if match.told else None
        for match in matches
    ]
    return Score(
        len(matches),
        len(seen) / max(len(matches), 1),
        sum(len(match.told) for match in matches) / max(len(matches), 1),
        named / max(len(seen), 1),
        near / len(abrupt) if abrupt else math.nan,
        sum(one.flapping for match in matches for one in match.told),
        delays(times),
    )


def median(values: Sequence[float]) -> float:
    """NaN of nothing."""
    return float(np.median(values)) if len(values) else math.nan
