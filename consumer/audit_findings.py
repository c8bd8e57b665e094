"""What an audit finds, and how it is told to people and to machines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson

FULL = 1  # violations of one kind that are told in full to people
KEPT = 20  # and to machines
DECLARED = 10  # losses that are told to people


class Place(NamedTuple):
    """One message."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}[{self.partition}] at offset {self.offset}"


class Loss(NamedTuple):
    """What a ``data_loss`` event has to say for a violation to count as declared."""

    topic: str
    partition: int
    reason: str
    until: int | None


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing that is not as it must be.

    Attributes:
        kind: Short name; the closed set stands in ``KINDS``.
        text: What was found, and what should be.
        place: Where to look.
        loss: The worker's own word for it; None: it has none.
    """

    kind: str
    text: str
    place: Place
    loss: Loss | None = None


KINDS = {
    "log_unreadable": "a record of the profiles log that this release cannot read",
    "log_misplaced": "a record in another partition of the log than its model's",
    "chain_hole": "windows, or offsets, that no watermark covers",
    "chain_twice": "offsets that two ranges cover",
    "chain_conflict": "one border closed at two offsets",
    "chain_order": "borders that go back in the input",
    "chain_behind": "a border that is committed and missing in a partition of the log",
    "profile_lost": "fewer profiles than their watermark says",
    "profile_extra": "more profiles than their watermark says",
    "profile_changed": "a profile published twice with two contents, or not as its watermark says",
    "profile_late": "a profile of a window closed before, that is no repetition",
    "profile_part": "a profile of which a part is missing",
    "profile_unreadable": "the bytes of a profile are none",
    "count_claim": "a watermark and its profiles count differently",
    "count_over": "more counted than the input log holds",
    "count_under": "fewer counted than the input log holds",
    "reject_lost": "a rejected record without its message in the rejects topic",
    "reject_extra": "a reject message of a record that is not there, or that no profile counts",
    "reject_changed": "a reject published twice with two contents",
    "reject_unreadable": "a message of the rejects topic that is none",
    "alert_missing": "an event follows from the log and is not on the alerts topic",
    "alert_extra": "an event on the alerts topic follows from nothing in the log",
    "alert_changed": "an event is not what follows from the log",
    "alert_order": "events in another order than they follow",
    "alert_revision": "revisions of an incident that do not follow one another",
    "alert_unreadable": "a message of the alerts topic that is no event of this format",
}


@dataclass
class Report:
    """All that an audit found.

    Attributes:
        checked: What was looked at, over which offsets: lines of facts.
        violations: As found.
        declared: Violations that a ``data_loss`` event tells of, and losses that only that tells.
        notes: What was not judged, and why.
    """

    checked: list[dict[str, Any]] = field(default_factory=list)
    violations: list[Violation] = field(default_factory=list)
    declared: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, kind: str, place: Place, text: str, loss: Loss | None = None) -> None:
        """Note a violation."""
        if kind not in KINDS:
            raise ValueError(f"{kind} is no kind of violation")
        self.violations.append(Violation(kind, text, place, loss))

    def note(self, text: str) -> None:
        """Note something that was not judged; said once."""
        if text not in self.notes:
            self.notes.append(text)

    def settle(self, tells: Callable[[Loss], str | None]) -> None:
        """Set those apart that the alerts topic tells of.

        Args:
            tells: The id of the ``data_loss`` event that declares a loss; None: none does.
        """
        left = []
        for one in self.violations:
            event = None if one.loss is None else tells(one.loss)
            if event is None:
                left.append(one)
            else:
                self.declared.append(f"{one.text}; look at {one.place}; event {event} tells of it")
        self.violations = left

    @property
    def counts(self) -> dict[str, int]:
        """Kind -> how many, in the order of ``KINDS``."""
        found = Counter(one.kind for one in self.violations)
        return {kind: found[kind] for kind in KINDS if found[kind]}

    def lines(self) -> list[str]:
        """For a person: what was checked, what is not as it must be, the verdict."""
        told = [_line(facts) for facts in self.checked]
        told += [f"not judged: {note}" for note in self.notes]
        told += [f"declared: {text}" for text in self.declared[:DECLARED]]
        if len(self.declared) > DECLARED:
            told.append(f"declared: {len(self.declared) - DECLARED} more, see --json")
        for kind, count in self.counts.items():
            told.append(f"VIOLATION {kind} x{count}: {KINDS[kind]}")
            for one in [one for one in self.violations if one.kind == kind][:FULL]:
                told += [f"  {one.text}", f"  look at {one.place}"]
        total = len(self.violations)
        told.append(f"{total} violations" if total else "no violation")
        return told

    def json(self) -> bytes:
        """For machines: one object."""
        kept: list[dict[str, Any]] = []
        seen: Counter[str] = Counter()
        for one in self.violations:
            seen[one.kind] += 1
            if seen[one.kind] <= KEPT:
                where = one.place._asdict()
                kept.append({"kind": one.kind, "text": one.text, **where})
        facts = {
            "v": 1,
            "violations": len(self.violations),
            "kinds": self.counts,
            "first": kept,
            "declared": self.declared,
            "notes": self.notes,
            "checked": self.checked,
        }
        return orjson.dumps(facts)


def _line(facts: dict[str, Any]) -> str:
    subject = facts.get("what", "")
    rest = [f"{name} {_plain(value)}" for name, value in facts.items() if name != "what"]
    return f"{subject}: {', '.join(rest)}"


def _plain(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    if isinstance(value, dict):
        return " ".join(f"{name}={each:,}" for name, each in value.items()) or "none"
    return str(value)
