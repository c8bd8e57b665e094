"""The monitor of one model of one topic: profiles of complete windows in, changes out.

A fold over windows in order of event time, without I/O, clock or chance. Every (version, segment)
of the model is a stream with a baseline of its own; the model as a whole is one more, for volume
and for late, rejected and failed records.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import msgspec
import numpy as np

from . import budget
from .baseline import Baseline, Learner, pack_baseline, unpack_baseline
from .blocks import DAY, Block
from .budget import Thresholds
from .changed import Finding, Step
from .detection import Change, DetectionSettings, Severity
from .given import GivenBaseline
from .moved import moved_most
from .prior import Prior, Priors
from .profile import Profile
from .signals import (
    RULES,
    Gates,
    gates,
    measure,
    measure_model,
    native,
)
from .telling import Telling
from .watch import Watch

VERSION: Final = 2
Key = tuple[str, str, str, str]  # version, segment, feature, signal
# Of a stream: version, segment, and _GIVEN if it is compared with a given baseline; None: the model
# as a whole.
_Name = tuple[str, ...] | None
_GIVEN: Final = "given"


class StateError(ValueError):
    """Bytes that are not the state of a monitor, or one of a newer release."""


class BaselineLearned(msgspec.Struct, frozen=True):
    """A baseline that has just been completed; it holds from the next window on.

    Attributes:
        id: Content hash.
        version: Of the records in it; empty: the model as a whole, or no version.
        segment: Likewise.
        whole: It is that of the model as a whole (volume, late, rejects, errors).
        records: Records in it.
        start: Start of its first window, microseconds.
        end: End of its last one.
    """

    id: str
    version: str
    segment: str
    whole: bool
    records: int
    start: int
    end: int


class MonitorReport(msgspec.Struct, frozen=True):
    """What a monitor says about one window.

    Attributes:
        now: End of the window, microseconds.
        changes: New changes, and known ones that doubled, turned or became critical.
        active: Keys of all that is still changed.
        recovered: Keys of what has returned to the baseline.
        settled: Keys of what did not return, and is taken as the new normal.
        learned: Baselines completed.
        learning: (version, segment) of streams without a baseline yet -> part of it, 0 to 1.
        watched: Different features whose signals are tested, over all streams.
    """

    now: int
    changes: tuple[Change, ...] = ()
    active: tuple[Key, ...] = ()
    recovered: tuple[Key, ...] = ()
    settled: tuple[Key, ...] = ()
    learned: tuple[BaselineLearned, ...] = ()
    learning: tuple[tuple[str, str, float], ...] = ()
    watched: int = 0


class _Stream:
    __slots__ = ("baseline", "block", "end", "gates", "learner", "telling", "watch")

    def __init__(self, start: int, features: bool, prior: Prior | None = None) -> None:
        self.block: Block | None = None
        self.end = start  # of the last block
        self.learner: Learner | None = Learner(start, features, prior)
        self.baseline: Baseline | None = None
        self.watch: Watch | None = None
        self.telling: Telling | None = None
        self.gates: Gates | None = None


class ModelMonitor:
    """Watches one model of one topic.

    Args:
        settings: How changes are judged.
        topic: Input topic.
        model: Name of the model.
    """

    def __init__(self, settings: DetectionSettings, topic: str, model: str) -> None:
        self.topic = topic
        self.model = model
        self._settings = settings
        self._streams: dict[_Name, _Stream] = {}
        self._priors = Priors()
        self._active: tuple[Key, ...] = ()
        self._watched = 0

    def give(self, baseline: GivenBaseline) -> None:
        """Compare with a given baseline from the next window on.

        Until the noise about it is known, what was watched before still is; after that, features
        that the training set lacks. The same baseline again changes nothing.
        """
        if not self._priors.give(baseline):
            return
        for name, stream in self._streams.items():
            if name is None or name[2:] != (_GIVEN,):
                continue
            prior = self._priors.of(*_parts(name))
            if prior is not None and prior.id == baseline.id:
                stream.learner = Learner(stream.end, True, prior)

    def fold(
        self, end: int, window: int, profiles: Mapping[tuple[str, str], Profile]
    ) -> MonitorReport:
        """Judge a complete window; windows without data are left out.

        Args:
            end: Its end, microseconds; later than that of the window before.
            window: Its length.
            profiles: (version, segment) -> profile of the records in it.
        """
        found = _Found()
        for name in sorted(profiles):
            if not profiles[name].records:
                continue
            self._add(name, end, window, [profiles[name]], found)
            if self._priors.of(*name) is not None:
                self._add((*name, _GIVEN), end, window, [profiles[name]], found)
        self._add(None, end, window, [profiles[name] for name in sorted(profiles)], found)
        if found.learned:
            self._retune()
        if found.stepped:
            self._active = self._keys()
        learning = tuple(
            (*_parts(name), stream.learner.progress(self._settings))
            for name, stream in self._streams.items()
            if stream.learner is not None and stream.watch is None and name is not None
        )
        return MonitorReport(
            now=end,
            changes=tuple(found.changes),
            active=self._active,
            recovered=tuple(found.recovered),
            settled=tuple(found.settled),
            learned=tuple(found.learned),
            learning=learning,
            watched=self._watched,
        )

    def apply_settings(self, settings: DetectionSettings) -> None:
        """Judge by other settings from here on; what has been learned stays."""
        self._settings = settings
        for name, stream in self._streams.items():
            if stream.baseline is not None:
                stream.gates = self._gates(name, stream.baseline)
        self._retune()

    def _gates(self, name: _Name, baseline: Baseline) -> Gates:
        """What is worth telling; features that a given baseline has are compared with that."""
        found = gates(baseline.layout, self._settings, self.model)
        given = self._streams.get((*name, _GIVEN)) if name is not None else None
        if given is None or given.baseline is None:
            return found
        covered = set(given.baseline.layout.features)
        mine = np.array([feature not in covered for feature in baseline.layout.features])
        return replace(found, tested=found.tested & mine)

    def _hand_over(self, name: _Name) -> None:
        """What a given baseline covers is not compared any more with what was learned."""
        stream = self._streams.get(_parts(name))
        if stream is None or stream.watch is None or stream.baseline is None:
            return
        stream.gates = self._gates(_parts(name), stream.baseline)
        covered = np.flatnonzero(~stream.gates.tested).tolist()
        stream.watch.forget(covered)
        if stream.telling is not None:
            stream.telling.sift(Step([], covered, []))

    def _add(
        self, name: _Name, end: int, window: int, profiles: list[Profile], found: _Found
    ) -> None:
        stream = self._streams.get(name)
        if stream is None:
            given = name is not None and name[2:] == (_GIVEN,)
            prior = self._priors.of(*_parts(name)) if given else None
            stream = self._streams[name] = _Stream(end - window, name is not None, prior)
        block, until = stream.block, self._settings.learn_until
        if block is not None and (
            end - block.start > DAY or (until is not None and block.end <= until < end)
        ):
            self._close(name, stream, found)
        if stream.block is None:
            # Volume counts the time without data as well.
            start = end - window if name is not None else stream.end
            stream.block = Block(start, end)
        stream.block.add(end, profiles, name is not None)
        if stream.block.messages >= self._settings.min_records:
            self._close(name, stream, found)

    def _close(self, name: _Name, stream: _Stream, found: _Found) -> None:
        """Learn from a block, or test it."""
        block = stream.block
        if block is None or not block.messages:
            return
        stream.block, stream.end = None, block.end
        values = None
        if name is None:
            values = measure_model(
                block.records, block.late, block.rejects, block.errors, block.end - block.start
            )
        learner = stream.learner
        if learner is not None and learner.is_over(block.end, self._settings):
            self._learned(name, stream, learner, found)
        if stream.learner is not None:
            stream.learner.add(block, values, self._settings)
            if stream.learner.is_over(block.end, self._settings):
                self._learned(name, stream, stream.learner, found)
                return
            if stream.watch is None:
                return
        baseline, watch, judged = stream.baseline, stream.watch, stream.gates
        if baseline is None or watch is None or judged is None:
            raise RuntimeError("a stream is neither learned nor watched")
        whole = None
        if values is None and baseline.reference is not None:
            whole = block.profile()
            values, _ = measure(baseline.reference, whole)
        if values is None:
            return
        step = watch.update(values, block.messages, block.start, block.end, judged)
        if stream.telling is not None:
            step = stream.telling.sift(step)
        found.stepped = True
        self._report(name, baseline, step, block, whole, found)

    def _learned(self, name: _Name, stream: _Stream, learner: Learner, found: _Found) -> None:
        baseline, scales, expectation = learner.finish()
        judged = self._gates(name, baseline)
        stream.learner, stream.baseline, stream.gates = None, baseline, judged
        stream.telling = Telling(baseline.layout)
        stream.watch = Watch(
            baseline.noise(scales, expectation, judged),
            expectation,
            baseline.by_records,
            baseline.layout.is_hard(),
            self._thresholds(baseline),
            baseline.block_length,
        )
        if learner.prior is not None:
            self._hand_over(name)
            found.stepped = True
        version, segment = _parts(name)
        found.learned.append(
            BaselineLearned(
                baseline.id,
                version,
                segment,
                name is None,
                baseline.records,
                baseline.start,
                baseline.end,
            )
        )

    def _tests(self) -> tuple[int, int]:
        """Soft and hard signals under test."""
        soft = hard = 0
        for stream in self._streams.values():
            if stream.gates is not None and stream.baseline is not None:
                tested, kind = stream.gates.tested, stream.baseline.layout.is_hard()
                soft += int((tested & ~kind).sum())
                hard += int((tested & kind).sum())
        return soft, hard

    def _thresholds(self, baseline: Baseline) -> tuple[Thresholds, Thresholds]:
        """For soft and for hard signals, half of the budget each."""
        blocks = budget.WEEK / max(baseline.block_length, 1.0)
        soft, hard = (
            budget.thresholds(
                self._settings.warning_per_model_week / 2,
                self._settings.critical_per_model_week / 2,
                _power_of_two(tests),
                _power_of_two(blocks),
            )
            for tests in self._tests()
        )
        return soft, hard

    def _retune(self) -> None:
        self._watched = len(set[str]().union(*map(_watched, self._streams.values())))
        for stream in self._streams.values():
            if stream.watch is not None and stream.baseline is not None:
                stream.watch.retune(self._thresholds(stream.baseline))

    def _keys(self) -> tuple[Key, ...]:
        return tuple(
            _key(name, stream.baseline, signal)
            for name, stream in self._streams.items()
            if stream.watch is not None and stream.baseline is not None
            for signal in stream.watch.changed
            if stream.telling is None or not stream.telling.keeps(signal)
        )

    def _report(
        self,
        name: _Name,
        baseline: Baseline,
        step: Step,
        block: Block,
        whole: Profile | None,
        found: _Found,
    ) -> None:
        for finding in step.found:
            found.changes.append(_change(name, baseline, finding, block, whole))
        found.recovered += [_key(name, baseline, signal) for signal in step.recovered]
        found.settled += [_key(name, baseline, signal) for signal in step.settled]

    def state(self) -> bytes:
        """All of it: a monitor restored from it gives the same reports from here on."""
        streams = []
        for name, stream in self._streams.items():
            streams.append(
                {
                    "name": list(name) if name is not None else None,
                    "end": stream.end,
                    "block": stream.block.state() if stream.block is not None else None,
                    "learner": stream.learner.state() if stream.learner is not None else None,
                    "baseline": pack_baseline(stream.baseline)
                    if stream.baseline is not None
                    else None,
                    "watch": stream.watch.state() if stream.watch is not None else None,
                    "telling": stream.telling.state() if stream.telling is not None else None,
                }
            )
        whole = {
            "v": VERSION,
            "topic": self.topic,
            "model": self.model,
            "streams": streams,
            "priors": self._priors.state(),
        }
        return msgspec.msgpack.encode(whole)

    @classmethod
    def restore(cls, settings: DetectionSettings, state: bytes) -> ModelMonitor:
        """From ``state``.

        Args:
            settings: That hold now; they need not be those of then.
            state: What ``state`` gave.

        Raises:
            StateError: It cannot be read.
        """
        try:
            whole = msgspec.msgpack.decode(state)
            if whole["v"] != VERSION:
                raise StateError(
                    f"the state of a monitor has format version {whole['v']}, this release reads "
                    f"version {VERSION}"
                )
            found = cls(settings, whole["topic"], whole["model"])
            for each in whole["streams"]:
                name = tuple(each["name"]) if each["name"] is not None else None
                found._streams[name] = _restored(each)
            found._priors = Priors.restore(whole["priors"])
            found._finish_restore(whole["streams"])
        except StateError:
            raise
        except (msgspec.DecodeError, ValueError, TypeError, LookupError, AttributeError) as error:
            raise StateError(f"the state of a monitor cannot be read: {error}") from error
        return found

    def _finish_restore(self, states: list[dict[str, Any]]) -> None:
        """Gates first, since the thresholds of each stream follow from the tests of all."""
        for name, stream in self._streams.items():
            if stream.baseline is not None:
                stream.gates = self._gates(name, stream.baseline)
        for stream, state in zip(self._streams.values(), states, strict=True):
            if stream.baseline is not None:
                stream.watch = Watch.restore(state["watch"], self._thresholds(stream.baseline))
        self._active = self._keys()
        self._watched = len(set[str]().union(*map(_watched, self._streams.values())))


class _Found:
    """What the streams of a model bring in one window."""

    def __init__(self) -> None:
        self.changes: list[Change] = []
        self.recovered: list[Key] = []
        self.settled: list[Key] = []
        self.learned: list[BaselineLearned] = []
        self.stepped = False


def _power_of_two(count: float) -> int:
    """Rounded up to one: a few more tests or blocks move no threshold."""
    return 1 << max(math.ceil(count) - 1, 0).bit_length()


def _restored(state: Mapping[str, Any]) -> _Stream:
    stream = _Stream(state["end"], False)
    if state["block"] is not None:
        stream.block = Block.restore(state["block"])
    stream.learner = Learner.restore(state["learner"]) if state["learner"] is not None else None
    if state["baseline"] is not None:
        stream.baseline = unpack_baseline(state["baseline"])
        stream.telling = Telling.restore(stream.baseline.layout, state["telling"])
    return stream


def _watched(stream: _Stream) -> set[str]:
    """Features of a stream with a signal under test."""
    if stream.baseline is None or stream.gates is None:
        return set()
    features, tested = stream.baseline.layout.features, stream.gates.tested.tolist()
    return {name for name, on in zip(features, tested, strict=True) if on and name}


def _parts(name: _Name) -> tuple[str, str]:
    """Version and segment of a stream."""
    return (name[0], name[1]) if name is not None else ("", "")


def _key(name: _Name, baseline: Baseline, signal: int) -> Key:
    version, segment = _parts(name)
    return version, segment, baseline.layout.features[signal], baseline.layout.signals[signal]


def _change(
    name: _Name, baseline: Baseline, finding: Finding, block: Block, whole: Profile | None
) -> Change:
    version, segment, feature, signal = _key(name, baseline, finding.signal)
    rule, reference = RULES[signal], baseline.reference
    severity: Severity = "critical" if finding.critical else "warning"
    size = abs(finding.shift)
    top: tuple[tuple[str, float, float], ...] = ()
    if reference is not None and whole is not None:
        top = moved_most(reference, whole, feature, signal)
    return Change(
        version=version,
        segment=segment,
        feature=feature,
        signal=signal,
        detector=finding.detector,
        direction=finding.direction,
        severity=severity,
        before=native(reference, feature, signal, finding.level),
        after=native(reference, feature, signal, finding.level + finding.shift),
        unit=rule.unit,
        effect=size * 100 if rule.effect_unit == "points" else size,
        effect_unit=rule.effect_unit,
        score=finding.score,
        sample=finding.sample,
        baseline_sample=baseline.records,
        onset=finding.onset,
        detected=block.end,
        baseline=baseline.id,
        top=top,
    )
