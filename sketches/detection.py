"""What the detect stage is told and what it tells: detection settings in, changes out."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

Direction = Literal["up", "down", "both"]
Severity = Literal["warning", "critical"]


class FeatureDetection(msgspec.Struct, frozen=True, omit_defaults=True):
    """How changes of the features that a pattern names are judged.

    Attributes:
        direction: Only changes in this direction count.
        minimum_effect: Smallest change of location worth telling, in standard deviations of the
            baseline. None: the default of each signal.
        severity_cap: No change of this feature is more severe than this.
        detect: False: profiled, never alerted on.
    """

    direction: Direction = "both"
    minimum_effect: float | None = None
    severity_cap: Severity = "critical"
    detect: bool = True


class Ownership(msgspec.Struct, frozen=True, omit_defaults=True):
    """Whom the events of a model concern; copied into them as it is.

    Attributes:
        labels: Name -> value, for routing.
        owner: Person or team.
        runbook: Address of what to do.
        dashboard: Address of what to look at.
    """

    labels: dict[str, str] = {}
    owner: str | None = None
    runbook: str | None = None
    dashboard: str | None = None


_NOBODY: Final = Ownership()


class DetectionSettings(msgspec.Struct, frozen=True, omit_defaults=True):
    """All settings that can change an alert; a copy of it goes through the profiles log.

    Attributes:
        learn_for: Microseconds of event time that a learned baseline spans at least.
        learn_records: Records that a learned baseline holds at least, unless it is two weeks long.
        min_records: Windows are added together until a sample has so many records.
        critical_per_model_week: False critical incidents allowed per model and week.
        warning_per_model_week: The same for warnings.
        remind_every: Microseconds after which an open incident that nobody acknowledged is told
            again; None: never.
        heartbeat_every: Microseconds of event time between heartbeats; None: there are none.
        features: Model name or ``*`` -> feature name or shell pattern -> rule; the first match of
            the model's own table wins, then the first of ``*``.
        owners: Model name or ``*`` -> whom its events concern.
    """

    learn_for: int = 86_400_000_000
    learn_records: int = 10_000
    learn_until: int | None = None  # replay: the baseline ends here whatever the two above say
    min_records: int = 100
    critical_per_model_week: float = 1.0
    warning_per_model_week: float = 5.0
    features: dict[str, dict[str, FeatureDetection]] = {}
    remind_every: int | None = None
    heartbeat_every: int | None = None
    owners: dict[str, Ownership] = {}

    def ownership(self, model: str) -> Ownership:
        """Of a model, or of a topic as a whole (empty): what its table leaves out, ``*`` says."""
        rest = self.owners.get("*", _NOBODY)
        own = self.owners.get(model, _NOBODY)
        return Ownership(
            labels=dict(sorted((rest.labels | own.labels).items())),
            owner=own.owner or rest.owner,
            runbook=own.runbook or rest.runbook,
            dashboard=own.dashboard or rest.dashboard,
        )


class Change(msgspec.Struct, frozen=True):
    """What one detector saw in one signal of one feature.

    Attributes:
        version: Version of the model whose records changed; empty if the log names none.
        segment: Segment, likewise.
        feature: Feature name, ``@prediction`` and so on, or empty for a signal of the whole model.
        signal: ``location``, ``spread``, ``shape``, ``zeros``, ``outside``, ``stuck``,
            ``magnitude``, ``missing``, ``kind``, ``non_finite``, ``unseen``, ``vanished``,
            ``distance``; of the whole model ``volume``, ``late``, ``rejects``, ``errors``; see
            ``sketches.signals``.
        detector: ``ADWIN``, ``PageHinkley``, ``WeeklyMean``, ``FirstLook`` (while learning), ...
        direction: Which way the signal went.
        severity: ``critical``: wake someone; ``warning``: look tomorrow.
        before: The signal's expected value in its own unit.
        after: Its value since ``onset``, in the same unit.
        unit: ``value`` (the feature's own), ``share`` (0 to 1), ``ratio``, ``per_second``,
            ``distance`` (Jensen-Shannon distance, 0 to 1).
        effect: Size of the change, in ``effect_unit``; positive.
        effect_unit: ``sd`` (standard deviations of a record in the baseline), ``points`` (share
            times 100), ``ratio`` (natural logarithm), ``distance``.
        score: The detector's statistic over its threshold, 1 at the threshold.
        sample: Records since ``onset``.
        baseline_sample: Records in the baseline.
        onset: Start of the window from which on the change is seen (estimate), microseconds.
        detected: End of the window in which the detector fired, microseconds.
        baseline: Id of the baseline; empty while it is learned: ``before`` is what came before.
        top: Categories or value ranges that moved most: (name, share before, share after).
        baseline_version: Version that the baseline was inherited from; None: it is its own.
        since: It came slowly, and began between then and ``onset``, microseconds; None: it came at
            once, or nothing tells.
    """

    version: str
    segment: str
    feature: str
    signal: str
    detector: str
    direction: Literal["up", "down"]
    severity: Severity
    before: float
    after: float
    unit: str
    effect: float
    effect_unit: str
    score: float
    sample: int
    baseline_sample: int
    onset: int
    detected: int
    baseline: str
    top: tuple[tuple[str, float, float], ...] = ()
    baseline_version: str | None = None
    since: int | None = None
