"""A hundred injected incidents of eight kinds over a seeded week, as a person is told of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from alerts.events import Event, Opened, Updated
from bench.study import raw, world
from bench.study.scores import Delays, Injection, Match, Score, Told, delays, matched, score
from sketches.blocks import DAY

MUST = {"opened": 0.95, "opened_per_injection": 1.1, "cause": 0.9, "onset": 1.0, "flapping": 0}


class Found(NamedTuple):
    """What came of a world's injections."""

    matches: list[Match]
    kinds: list[str]
    false: list[Told]
    weeks: float
    named: list[float | None]  # seconds until each one's feature was told of


def run(size: world.Size, kinds: list[str], seed: int, spoil: world.Spoil | None = None) -> Found:
    """Inject, replay, match."""
    scheduled = world.schedule(size, kinds, seed)
    events = raw.replayed(world.windows(size, scheduled, seed, spoil), size.window, size.days)
    matches, false = matched(
        [each.injection for each in scheduled], raw.told(events), 2 * size.window
    )
    weeks = size.models * size.slots * size.slot / (7 * DAY)
    named = [_named(events, each, size.window) for each in scheduled]
    return Found(matches, [each.kind for each in scheduled], false, weeks, named)


def _named(events: Iterable[Event], each: world.Scheduled, window: int) -> float | None:
    """Seconds until a fault is told, by an incident of its own or in one that was open before."""
    start, end = each.injection.start, each.injection.end
    feature = world.feature_of(each)
    for event in events:
        if not isinstance(event, Opened | Updated) or event.model != each.injection.model:
            continue
        time = raw.micros(event.time)
        if start < time <= end + window and any(
            change.feature == feature and raw.micros(change.onset) >= start - window
            for change in event.changes
        ):
            return (time - start) / 1e6
    return None


def summed(
    size: world.Size, kinds: tuple[str, ...], seed: int, spoil: world.Spoil | None = None
) -> dict[str, Any]:
    """The same, as it goes into the cache."""
    found = run(size, list(kinds), seed, spoil)
    return {
        "window": size.window,
        "weeks": found.weeks,
        "kinds": found.kinds,
        "matches": found.matches,
        "false": found.false,
        "named": found.named,
    }


def named(part: Mapping[str, Any]) -> dict[str, Delays]:
    """Until the features of injections are told of, by kind."""
    by_kind: dict[str, list[float | None]] = {}
    for kind, seconds in zip(part["kinds"], part["named"], strict=True):
        by_kind.setdefault(kind, []).append(seconds)
    return {kind: delays(found) for kind, found in by_kind.items()}


def scores(parts: Sequence[Mapping[str, Any]]) -> dict[str, Score]:
    """Of all injections of such parts, and by kind."""
    by_kind: dict[str, list[Match]] = {"all": []}
    for part in parts:
        for kind, held in zip(part["kinds"], part["matches"], strict=True):
            match = Match(
                Injection(**held["injection"]), tuple(Told(**told) for told in held["told"])
            )
            by_kind["all"].append(match)
            by_kind.setdefault(kind, []).append(match)
    return {kind: score(matches, parts[0]["window"]) for kind, matches in by_kind.items()}


def passes(of_all: Score) -> bool:
    """The levels of all injections together."""
    return (
        of_all.opened >= MUST["opened"]
        and of_all.opened_per_injection <= MUST["opened_per_injection"]
        and of_all.cause >= MUST["cause"]
        and of_all.onset >= MUST["onset"]
        and of_all.flapping <= MUST["flapping"]
    )
