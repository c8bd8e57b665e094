"""What is watched, for people and for machines. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from alerts.lines import cut, wrapped
from alerts.overview import Pending, pending_text
from alerts.texts import printable, short
from alerts.units import duration, number, rfc3339
from consumer.judges import Standing
from sketches.coverage import Coverage

_UNITS = {"location": " sd", "distance": "", "volume": " (log ratio)"}
_NAMED = 4  # features of a line


class TopicFacts(NamedTuple):
    """What is known of an input topic as a whole.

    Attributes:
        partitions: That have spoken.
        lag: Records written and not committed by the group; None: it has committed none.
        folded: End of the last window judged, microseconds; None: none was.
        rejects: Records that could not be read, in the last hour.
        reasons: Of these, reason -> how many.
    """

    partitions: int
    lag: int | None
    folded: int | None
    rejects: int
    reasons: Mapping[str, int]


class Watched(NamedTuple):
    """One model.

    Attributes:
        topic: Input topic.
        model: Its name.
        standing: How it stands.
        coverage: What is seen of its versions and segments.
    """

    topic: str
    model: str
    standing: Standing
    coverage: Sequence[Coverage]

    @property
    def state(self) -> str:
        """``silent``, ``watching``, ``learning 40 %``, or ``no data yet``."""
        if self.standing.silent:
            return "silent"
        if self.standing.watched:
            return "watching"
        return f"learning {_percent(self._learned)}" if self.coverage else "no data yet"

    @property
    def pending(self) -> Pending | None:
        """Changes that are proposed and not sure enough to be told; None: there is none."""
        changes = tuple(one for each in self.coverage for one in each.pending)
        return Pending(self.topic, self.model, changes) if changes else None

    @property
    def _learned(self) -> float:
        return max((each.learned for each in self.coverage), default=0.0)


def table(
    topics: Mapping[str, TopicFacts], models: Iterable[Watched], now: int, width: int
) -> list[str]:
    """All topics and their models.

    Args:
        topics: By name.
        models: Of these.
        now: Microseconds.
        width: Characters of a line.
    """
    rows = sorted(models, key=lambda each: (each.topic, each.model))
    lines: list[str] = []
    for name in sorted(topics):
        mine = [each for each in rows if each.topic == name]
        lines += ["", cut(_topic(name, topics[name], now), width)]
        if not mine:
            lines.append("  no model yet")
            continue
        head = ("MODEL", "STATE", "LAST WINDOW", "RECORDS/S", "OPEN", "FEATURES")
        lines.append(_row(*head))
        for each in mine:
            lines.append(cut(_model(each, now), width))
            lines += [line for note in notes(each) for line in wrapped(note, width, "    ", "  ")]
    return lines[1:] or ["no window of any topic has been closed yet"]


def _topic(name: str, facts: TopicFacts, now: int) -> str:
    ago = "none yet" if facts.folded is None else _ago(facts.folded, now)
    lag = "not known" if facts.lag is None else f"{facts.lag:,} records"
    return f"{short(name)}: last window {ago}, lag {lag}, rejects in an hour {facts.rejects:,}"


def _model(each: Watched, now: int) -> str:
    standing = each.standing
    rate = standing.records * 1_000_000 / standing.window if standing.window else None
    last = _ago(standing.end, now) if standing.end else "-"
    count = str(standing.watched)
    return _row(short(each.model, 24), each.state, last, number(rate, 3), str(standing.open), count)


def _row(model: str, state: str, last: str, rate: str, open_: str, features: str) -> str:
    return f"{model:24} {state:14} {last:14} {rate:>9} {open_:>4} {features:>8}"


def notes(watched: Watched) -> list[str]:
    """What may become an incident, what is still learned, and what cannot be seen."""
    pending = watched.pending
    told = [f"pending: {pending_text(pending)}"] if pending is not None else []
    for each in watched.coverage:
        whom = _whom(each)
        if each.learned < 1 and watched.standing.watched and not each.given:
            told.append(f"{whom}its own baseline is learned: {_percent(each.learned)}")
        if each.left_out:
            told.append(f"{whom}not watched (detect = false): {_some(each.left_out)}")
        if each.coarse:
            worst = sorted(each.coarse, key=lambda one: -one[2])
            names = [
                f"{(one[0] or one[1]).removeprefix('@')} under {_effect(*one[1:])}" for one in worst
            ]
            told.append(f"{whom}too few records to tell {_some(names)}")
    return [printable(each) for each in told]


def _percent(part: float) -> str:
    return f"{int(100 * part)} %"  # 100 when it is done


def _whom(each: Coverage) -> str:
    words = [f"version {each.version}"] if each.version else []
    words += [f"segment {each.segment}"] if each.segment else []
    return f"{', '.join(words)}: " if words else ""


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _name(feature: str, signal: str) -> str:
    return (feature or signal).removeprefix("@")


def _effect(signal: str, effect: float) -> str:
    return f"{number(effect, 2)}{_UNITS.get(signal, '')}"


def _ago(end: int, now: int) -> str:
    return f"{duration(now - end)} ago" if now > end else "now"


def as_json(topics: Mapping[str, TopicFacts], watched: Watched) -> str:
    """One model as one object of one line."""
    facts, standing = topics[watched.topic], watched.standing
    seconds = standing.window / 1_000_000
    told: dict[str, Any] = {
        "topic": watched.topic,
        "model": watched.model,
        "state": watched.state.partition(" ")[0] if watched.coverage else "no_data_yet",
        "last_window_end": rfc3339(standing.end) if standing.end else None,
        "records_per_second": standing.records / seconds if seconds else None,
        "open_incidents": standing.open,
        "features_watched": standing.watched,
        "topic_lag_records": facts.lag,
        "topic_last_window_end": None if facts.folded is None else rfc3339(facts.folded),
        "topic_rejects_last_hour": dict(sorted(facts.reasons.items())),
        "coverage": [
            {
                "version": each.version,
                "segment": each.segment,
                "baseline": "given" if each.given else "own",
                "learned": round(each.learned, 4),
                "features_watched": each.watched,
                "not_watched": each.left_out,
                "smallest_told": [
                    {"feature": feature, "signal": signal, "effect": effect}
                    for feature, signal, effect in each.coarse
                ],
            }
            for each in watched.coverage
            if not each.whole
        ],
        "pending": [
            {
                "version": one.version,
                "segment": one.segment,
                "feature": one.feature,
                "signal": one.signal,
                "direction": one.direction,
                "since": rfc3339(one.onset),
                "part_of_what_it_takes": round(one.score, 3),
            }
            for each in watched.coverage
            for one in each.pending
        ],
    }
    return orjson.dumps(told).decode()
