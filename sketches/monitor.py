"""The monitor of one model of one topic: profiles of complete windows in, changes out.

A fold over windows in order of event time, without I/O, clock or chance. Every (version, segment)
of the model is a stream with a baseline of its own; the model as a whole is one more, for volume
and for late, rejected and failed records.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

import msgspec
import numpy as np

from . import budget
from .baseline import Baseline, Learner, rehearse
from .blocks import DAY, Block
from .budget import Thresholds
from .changed import Step
from .coverage import Coverage, coverage
from .detection import Change, DetectionSettings
from .first_look import FirstLook
from .given import GivenBaseline
from .prior import Priors
from .profile import Profile
from .report import BaselineLearned, Key, MonitorReport, StreamBudget
from .signals import Gates, feature_rule, gates, measure, measure_model
from .stream import GIVEN, Name, Stream, change_of, forget_changes, key, parts
from .striking import is_full, strikes
from .succession import inherited, tempered
from .table import FloatArray
from .telling import Telling
from .trial import WatchTrial
from .watch import Watch

__all__ = ["BaselineLearned", "Key", "ModelMonitor", "MonitorReport", "StateError"]

VERSION: Final = 10
COLD: Final = 3 * DAY  # of a stream; before it, soft signals are judged more coarsely


class StateError(ValueError):
    """Bytes that are not the state of a monitor, or one of a newer release."""


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
        self._streams: dict[Name, Stream] = {}
        self._priors = Priors()
        self._active: tuple[Key, ...] = ()
        self._watched = 0

    def give(self, baseline: GivenBaseline) -> None:
        """Compare with a given baseline from the next window on.

        Until the noise about it is known, what was watched before still is; after that, features
        that the training set lacks. The same baseline again changes nothing.
        """
        if self._priors.holds(baseline):
            return
        version, segment = baseline.version, baseline.segment
        self._priors.give(version, segment, rehearse(baseline, self._settings))
        for name, stream in self._streams.items():
            if name is None or name[2:] != (GIVEN,):
                continue
            prior = self._priors.of(*parts(name))
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
            if not self._is_covered(name):
                self._add(name, end, window, [profiles[name]], found)
            if (*name, GIVEN) in self._streams or self._priors.of(*name) is not None:
                self._add((*name, GIVEN), end, window, [profiles[name]], found)
        self._add(None, end, window, [profiles[name] for name in sorted(profiles)], found)
        if found.learned:
            self._retune()
        if found.stepped:
            self._active = self._keys()
        learning = tuple(
            (*parts(name), stream.learner.progress(self._settings))
            for name, stream in self._streams.items()
            if stream.learner is not None and name is not None and not self._is_watched(name)
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

    def _is_covered(self, name: tuple[str, ...]) -> bool:
        """Whether a given baseline has all features of what was learned."""
        stream, given = self._streams.get(name), self._streams.get((*name, GIVEN))
        if stream is None or stream.gates is None or given is None or given.baseline is None:
            return False
        return not stream.gates.tested.any()

    def _is_watched(self, name: tuple[str, ...]) -> bool:
        """Whether any baseline of the version and segment is in use."""
        both = (self._streams.get(each) for each in (name[:2], (*name[:2], GIVEN)))
        return any(stream is not None and stream.watch is not None for stream in both)

    def apply_settings(self, settings: DetectionSettings) -> None:
        """Judge by other settings from here on; what has been learned stays."""
        self._settings = settings
        for name, stream in self._streams.items():
            if stream.baseline is not None:
                stream.gates = self._gates(name, stream.baseline)
            if stream.trial is not None:
                stream.trial.gates = gates(stream.trial.layout, settings, self.model)
        self._retune()

    def _gates(self, name: Name, baseline: Baseline) -> Gates:
        """What is worth telling; features that a given baseline has are compared with that."""
        found = gates(baseline.layout, self._settings, self.model)
        if self._is_cold(name, baseline):
            found = found.cold(baseline.layout)
        given = self._streams.get((*name, GIVEN)) if name is not None else None
        if given is None or given.baseline is None:
            return found
        covered = set(given.baseline.layout.features)
        mine = np.array([feature not in covered for feature in baseline.layout.features])
        return replace(found, tested=found.tested & mine)

    def _is_cold(self, name: Name, baseline: Baseline) -> bool:
        """Less than some days are known of a stream: its ordinary days are not known yet."""
        return self._streams[name].end < baseline.start + COLD

    def _hand_over(self, name: Name) -> None:
        """What a given baseline covers is not compared any more with what was learned."""
        stream = self._streams.get(parts(name))
        if stream is not None and stream.learner is not None:
            stream.learner.look = None
        if stream is None or stream.watch is None or stream.baseline is None:
            return
        stream.gates = self._gates(parts(name), stream.baseline)
        covered = np.flatnonzero(~stream.gates.tested).tolist()
        stream.watch.forget(covered)
        if stream.telling is not None:
            stream.telling.sift(Step([], covered, []))

    def relearn(
        self, start: int, chosen: Callable[[tuple[str, str] | None], bool]
    ) -> list[tuple[str, str]]:
        """Take what comes from ``start`` on as the new normal: learned anew, and no given baseline.

        Args:
            start: Start of the window that is folded next, microseconds.
            chosen: Of (version, segment), or None for the model as a whole: whether it is meant.

        Returns:
            (version, segment) of what is learned anew.
        """
        begun = [n for n in self._streams if chosen(None if n is None else parts(n))]
        for held in self._priors.names():  # those of streams to come as well
            if chosen(held):
                self._priors.drop(*held)
        for name in begun:
            if name is not None and name[2:] == (GIVEN,):
                del self._streams[name]
                self._priors.drop(*parts(name))
            else:
                self._streams[name] = Stream(start, name is not None)
        self._retune()
        self._active = self._keys()
        return [parts(name) for name in begun]

    def retire(self, version: str, segment: str) -> None:
        """No such records come any more: what is changed in them is found anew if they do."""
        forget_changes(self._streams, version, segment)
        self._active = self._keys()

    def _add(
        self, name: Name, end: int, window: int, profiles: list[Profile], found: _Found
    ) -> None:
        stream = self._streams.get(name)
        if stream is None:
            stream = self._begin(name, end - window)
        block, until = stream.block, self._settings.learn_until
        if block is not None and (
            end - block.start > DAY or (until is not None and block.end <= until < end)
        ):
            self._close(name, stream, found)
        # Volume counts the time without data as well.
        before = stream.end if stream.block is None else stream.block.end
        alone = Block(end - window if name is not None else before, end)
        alone.add(end - window, end, profiles, name is not None)
        enough = self._settings.min_records
        early = (stream.block is not None or alone.messages < enough) and strikes(stream, alone)
        if early:
            self._close(name, stream, found)
        stream.block = alone if stream.block is None else stream.block.join(alone)
        if early or is_full(stream, stream.block, enough):
            self._close(name, stream, found)

    def _begin(self, name: Name, start: int) -> Stream:
        """A new stream; of a new version also one that inherits its parent's baseline."""
        if name is None:
            stream = Stream(start, False)
        elif name[2:] == (GIVEN,):
            stream = Stream(start, True, self._priors.of(*parts(name)))
        else:
            stream = Stream(start, True)
            prior = self._priors.of(*parts(name))
            heir = inherited(self._streams, parts(name), start, prior, self._thresholds)
            if heir is not None and heir.baseline is not None:
                self._streams[name] = stream
                self._streams[*parts(name), GIVEN] = heir
                heir.gates = self._gates((*name, GIVEN), heir.baseline)
                self._hand_over(name)
                self._retune()
        self._streams[name] = stream
        return stream

    def _close(self, name: Name, stream: Stream, found: _Found) -> None:
        """Learn from a block, or test it."""
        block = stream.block
        if block is None or not block.messages:
            return
        before, stream.block, stream.end = stream.end, None, block.end
        values = measure_model(block) if name is None else None
        learner = stream.learner
        if learner is not None and learner.is_over(block.end, self._settings):
            self._learned(name, stream, learner, found)
        if stream.learner is not None:
            measured = stream.learner.add(block, values, self._settings)
            self._look(parts(name), stream.learner.look, block, found)
            if measured is not None and len(measured):
                self._try_out(stream, stream.learner, measured, block)
            if stream.learner.is_over(block.end, self._settings):
                self._learned(name, stream, stream.learner, found)
                return
            if stream.watch is None:
                return
        baseline, watch, judged = stream.baseline, stream.watch, stream.gates
        if baseline is None or watch is None or judged is None:
            raise RuntimeError("a stream is neither learned nor watched")
        if before < baseline.start + COLD <= block.end:
            stream.gates = judged = self._gates(name, baseline)
        whole = None
        if values is None and baseline.reference is not None:
            whole = block.profile()
            values, _ = measure(baseline.reference, whole)
        if values is None or not len(values):  # records without any feature
            return
        step = watch.update(values, block.messages, block.start, block.end, judged, block.by_hour())
        if stream.telling is not None:
            step = stream.telling.sift(step)
        found.stepped = True
        self._report(name, stream, step, block, whole, found)

    def _look(
        self, parts: tuple[str, str], look: FirstLook | None, block: Block, found: _Found
    ) -> None:
        """Tell gross faults that a stream shows while it is learned."""
        if look is None or not (look.begun or look.over):
            return
        found.stepped = True
        for fault in look.begun:
            rule = feature_rule(self._settings, self.model, fault.feature)
            if rule.detect:
                found.changes.append(look.change(fault, parts, block, rule.severity_cap))
        found.recovered += [(*parts, fault.feature, fault.signal) for fault in look.over]

    def _learned(self, name: Name, stream: Stream, learner: Learner, found: _Found) -> None:
        baseline, scales, expectation = learner.finish()
        judged = self._gates(name, baseline)
        stream.learner, stream.baseline, stream.gates = None, baseline, judged
        stream.telling = Telling(baseline.layout)
        noise = baseline.noise(scales, expectation, judged)
        if stream.trial is not None:
            stream.tried, raised = stream.trial.over(self._settings.warning_per_model_week)
            noise, stream.trial = noise.raised(raised), None
        stream.watch = Watch(
            noise,
            expectation,
            baseline.by_records,
            baseline.layout.is_hard(),
            self._thresholds(baseline),
            baseline.block_length,
            (baseline.start, baseline.end),
        )
        if learner.prior is not None:
            stream.source = None
            self._hand_over(name)
            found.stepped = True
        version, segment = parts(name)
        found.learned.append(
            BaselineLearned(
                baseline.id,
                version,
                segment,
                name is None,
                baseline.records,
                baseline.start,
                baseline.end,
                stream.tried,
                stream.detectable(),
            )
        )
        if learner.look is not None:
            found.stepped = True
            found.settled += [(*parts(name), *fault) for fault in learner.look.going_on()]

    def _try_out(self, stream: Stream, learner: Learner, values: FloatArray, block: Block) -> None:
        """Watch the last part of a baseline on trial."""
        if stream.trial is not None:
            stream.trial.add(values, block.messages, block.start, block.end, block.by_hour())
            return
        if not learner.is_ripe(self._settings):
            return
        baseline, scales, expectation = learner.so_far()
        judged = gates(baseline.layout, self._settings, self.model)
        limits, hard = self._thresholds(baseline, judged), baseline.layout.is_hard()
        noise, length = baseline.noise(scales, expectation, judged), baseline.block_length
        watch = Watch(noise, expectation, baseline.by_records, hard, limits, length)
        stream.trial = WatchTrial(watch, limits, judged, baseline.layout, block.end)

    def _tests(self) -> tuple[int, int]:
        """Soft and hard signals under test."""
        soft = hard = 0
        for stream in self._streams.values():
            if stream.gates is not None and stream.baseline is not None:
                more = stream.gates.tests(stream.baseline.layout.is_hard())
                soft, hard = soft + more[0], hard + more[1]
        return soft, hard

    def _thresholds(
        self, baseline: Baseline, more: Gates | None = None
    ) -> tuple[Thresholds, Thresholds]:
        """For soft and for hard signals, half of the budget each.

        Args:
            baseline: Of the stream.
            more: Gates of it, if it is not watched yet.
        """
        extra = more.tests(baseline.layout.is_hard()) if more is not None else (0, 0)
        blocks = budget.WEEK / max(baseline.block_length, 1.0)
        soft, hard = (
            budget.thresholds(
                self._settings.warning_per_model_week / 2,
                self._settings.critical_per_model_week / 2,
                budget.power_of_two(sum(tests)),
                budget.power_of_two(blocks),
            )
            for tests in zip(self._tests(), extra, strict=True)
        )
        return soft, hard

    def budgets(self) -> tuple[StreamBudget, ...]:
        """How each stream keeps to the budget."""
        return tuple(
            StreamBudget(*parts(name), each.watch is not None, each.tried, each.detectable())
            for name, each in self._streams.items()
        )

    def _retune(self) -> None:
        self._watched = len(set[str]().union(*map(Stream.watched, self._streams.values())))
        for stream in self._streams.values():
            if stream.watch is not None and stream.baseline is not None:
                stream.watch.retune(self._thresholds(stream.baseline))

    def _keys(self) -> tuple[Key, ...]:
        return tuple(
            key(name, stream.baseline, signal)
            for name, stream in self._streams.items()
            if stream.watch is not None and stream.baseline is not None
            for signal in stream.watch.changed
            if stream.telling is None or not stream.telling.keeps(signal)
        ) + tuple(
            (*parts(name), *fault)
            for name, stream in self._streams.items()
            if stream.learner is not None and stream.learner.look is not None
            for fault in stream.learner.look.going_on()
        )

    def _report(
        self,
        name: Name,
        stream: Stream,
        step: Step,
        block: Block,
        whole: Profile | None,
        found: _Found,
    ) -> None:
        baseline = stream.baseline
        if baseline is None:
            return
        for finding in step.found:
            change = change_of(name, baseline, tempered(stream, finding), block, whole)
            found.changes.append(msgspec.structs.replace(change, baseline_version=stream.source))
        found.recovered += [key(name, baseline, signal) for signal in step.recovered]
        found.settled += [key(name, baseline, signal) for signal in step.settled]

    def coverage(self) -> list[Coverage]:
        """What is seen of each version and segment."""
        return coverage(self._streams, self._settings, self.model)

    def state(self) -> bytes:
        """All of it: a monitor restored from it gives the same reports from here on."""
        streams = [
            {"name": list(name) if name is not None else None} | stream.state()
            for name, stream in self._streams.items()
        ]
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
                found._streams[name] = Stream.restore(each)
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
            if state["trial"] is not None and stream.learner is not None:
                layout = stream.learner.layout
                judged = gates(layout, self._settings, self.model)
                stream.trial = WatchTrial.restore(state["trial"], judged, layout)
        self._active = self._keys()
        self._watched = len(set[str]().union(*map(Stream.watched, self._streams.values())))


class _Found:
    """What the streams of a model bring in one window."""

    def __init__(self) -> None:
        self.changes: list[Change] = []
        self.recovered: list[Key] = []
        self.settled: list[Key] = []
        self.learned: list[BaselineLearned] = []
        self.stepped = False
