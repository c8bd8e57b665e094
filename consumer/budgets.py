"""``streamgauge budget``: what false alarms are promised, what was achieved, what can be seen.

The state topic says how each model's baseline did on trial and how small a change would be told;
the alerts topic says what has been told since.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from alerts.events import EventFormatError, Opened
from alerts.read import with_values
from consumer import snapshots
from consumer.judging import MonitorJudges
from consumer.kafka import Admin
from consumer.settings import Settings
from consumer.snapshots import FoldState, SnapshotError
from consumer.state_topic import kept_values
from consumer.tail import alert_messages
from sketches.report import StreamBudget

WORST: Final = 5  # features named for each model
_NO_ALERTS: Final[Counter[str]] = Counter()


class ModelBudget(msgspec.Struct, frozen=True):
    """One model.

    Attributes:
        topic: Input topic.
        model: Its name.
        warnings: False warnings promised a week, at most.
        criticals: The same for critical incidents.
        streams: What is known of its versions and segments, and of the model as a whole.
        told: Incidents in the alerts topic by severity, true and false ones.
    """

    topic: str
    model: str
    warnings: float
    criticals: float
    streams: tuple[StreamBudget, ...]
    told: dict[str, int]

    def over(self) -> float:
        """Rate of the worst trial over what is promised; 0 without any."""
        rates = [each.trial.alarms / each.trial.weeks for each in self.streams if each.trial]
        return max(rates, default=0.0) / max(self.warnings, 1e-9)


def budgets(
    states: Sequence[FoldState], told: Mapping[tuple[str, str], Counter[str]]
) -> list[ModelBudget]:
    """All models, the worst first.

    Args:
        states: Of the partitions of the log.
        told: (topic, model) -> incidents by severity.
    """
    found = []
    for state in states:
        judges, settings = MonitorJudges(state.app), state.settings
        for topic, part in state.topics.items():
            for model, each in part.models.items():
                judge = judges.restored_model(topic, model, settings, each.judge)
                found.append(
                    ModelBudget(
                        topic,
                        model,
                        settings.warning_per_model_week,
                        settings.critical_per_model_week,
                        judge.budgets(),
                        dict(told.get((topic, model), _NO_ALERTS)),
                    )
                )
    return sorted(found, key=lambda each: (-each.over(), each.topic, each.model))


def lines(found: Sequence[ModelBudget]) -> list[str]:
    """For a person."""
    if not found:
        return ["no model has a snapshot yet"]
    text = []
    for each in found:
        told = ", ".join(f"{n} {name}" for name, n in sorted(each.told.items())) or "none"
        text += [
            f"{each.model} of {each.topic}",
            f"  promised  false incidents a week: at most {each.warnings:g} warnings, "
            f"{each.criticals:g} critical",
            f"  told      {told}",
        ]
        for stream in each.streams:
            text += _stream_lines(stream)
    return text


def _stream_lines(stream: StreamBudget) -> list[str]:
    name = " ".join(part for part in (stream.version, stream.segment) if part)
    title = f"  {'version ' + name if name else 'all records'}"
    if not stream.watched:
        return [f"{title}: its baseline is being learned"]
    trial = stream.trial
    text = [f"{title}: no trial, its baseline was too short or was given"]
    if trial is not None:
        raised = f"; noise raised for {trial.raised} signals" if trial.raised else ""
        text = [
            f"{title}: {trial.alarms} alarms in {trial.weeks:.2g} weeks of its baseline, so "
            f"{trial.low:.2g} to {trial.high:.2g} a week{raised}"
        ]
    worst = sorted(stream.detectable, key=lambda each: -each[2])
    for feature, signal, least in worst[:WORST]:
        unit = {"location": "sd", "volume": "of its logarithm"}.get(signal, "")
        words = ("seen from", f"{least:.3g}", unit, signal, feature)
        text.append("    " + " ".join(word for word in words if word))
    if len(worst) > WORST:
        rest = len(worst) - WORST
        text.append(f"    and {rest} feature{'s' * (rest > 1)} from less")
    return text


def main(settings: Settings, *, json: bool) -> int:
    """Read the topics and print; exit status.

    Raises:
        KafkaProblem: A topic cannot be read.
    """
    states = []
    admin = Admin(settings.kafka)
    for number in range(admin.topics().get(settings.state_topic, 0)):
        try:
            kept = kept_values(settings, admin, number)
            states.append(snapshots.from_messages(kept, number)[0])
        except SnapshotError as error:
            sys.stderr.write(f"{settings.state_topic}[{number}]: {error}\n")
    told: dict[tuple[str, str], Counter[str]] = {}
    for event, _ in with_values(alert_messages(settings, "earliest", follow=False), _complain):
        if isinstance(event, Opened):
            told.setdefault((event.topic, event.model), Counter())[event.severity] += 1
    found = budgets(states, told)
    if json:
        sys.stdout.write(msgspec.json.encode(found).decode() + "\n")
    else:
        sys.stdout.write("\n".join(lines(found)) + "\n")
    return 0


def _complain(error: EventFormatError) -> None:
    sys.stderr.write(f"an event is left out: {error}\n")
