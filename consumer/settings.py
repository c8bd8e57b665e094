"""The whole configuration, read once at the start, frozen.

Flags override ``STREAMGAUGE_*`` variables, these override ``streamgauge.toml``, this the defaults.
"""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
    ValidatorFunctionWrapHandler,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from consumer import settings_sources as sources
from consumer.durations import DAY, MINUTE, SECOND
from consumer.kafka_settings import KafkaSettings, Value, redacted
from consumer.mistakes import Mistake, SettingsError, from_pydantic, lookup
from consumer.mistakes import Path as Names
from consumer.settings_bridges import Bridges, BridgeSettings, RouteSettings
from consumer.settings_rules import contradictions, internal_topics
from consumer.settings_values import (
    Address,
    AppName,
    Count,
    DottedPath,
    HeartbeatEvery,
    InputTables,
    Labels,
    Lateness,
    LearnFor,
    Listen,
    Owner,
    Paths,
    Patience,
    Pattern,
    RemindEvery,
    Start,
    Topics,
    Window,
    written,
)
from sketches.detection import DetectionSettings, Direction, FeatureDetection, Ownership, Severity

__all__ = ["InputSettings", "Settings", "SettingsError", "internal_topics", "load"]


@dataclass(slots=True)
class _Loading:
    """What ``load`` and the validation it starts tell each other."""

    layers: list[sources.Layer]  # the first one wins
    merged: dict[str, Any] = field(default_factory=dict)


_loading: ContextVar[_Loading | None] = ContextVar("_loading", default=None)


class _Table(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, hide_input_in_errors=True, allow_inf_nan=False
    )


class FieldMap(_Table):
    """Where a record keeps what; dotted paths, None: the usual names are tried."""

    event_time: DottedPath = None
    event_time_unit: Literal["auto", "s", "ms", "us", "ns", "rfc3339"] = "auto"
    model: DottedPath = None
    version: DottedPath = None
    segment: DottedPath = None
    features: Paths = None
    prediction: DottedPath = None
    score: DottedPath = None
    label: DottedPath = None
    latency: DottedPath = None
    latency_unit: Literal["s", "ms", "us", "ns"] = "ms"
    error: DottedPath = None
    id: DottedPath = None


class Constants(_Table):
    """What the records of an input do not say themselves."""

    model: str | None = None
    version: str | None = None
    segment: str | None = None


class InputSettings(_Table):
    """Topics that are read in one way. Durations are microseconds.

    Attributes:
        name: Name of the table in the file.
        topics: Names, and regular expressions that begin with ``^``.
        format: How a record is decoded.
        window: Length of a window.
        lateness: The watermark stays this far behind the latest event time.
        idle_after: A partition read to its end and silent for so long has its windows closed.
        stall_limit: A partition with unread data that does not move is waited for so long.
        fields: Where a record keeps what.
        constants: What records do not say themselves.
    """

    name: str
    topics: Topics
    format: Literal["json"] = "json"
    window: Window = 10 * SECOND
    lateness: Lateness = 5 * SECOND
    idle_after: Patience = 30 * SECOND
    stall_limit: Patience = 5 * MINUTE
    fields: FieldMap = FieldMap()
    constants: Constants = Constants()

    def claims(self, topic: str) -> bool:
        """Whether one of this input's names or regular expressions is the topic's."""
        return topic in self.topics or any(
            re.search(pattern, topic) for pattern in self.topics if pattern.startswith("^")
        )


class FeatureSettings(_Table):
    """How the features that a pattern names are profiled and judged."""

    include: bool = True
    kind: Literal["auto", "numeric", "categorical"] = "auto"
    direction: Direction = "both"
    minimum_effect: Annotated[float, Field(gt=0)] | None = None
    severity_cap: Severity = "critical"
    detect: bool = True
    hash: bool = False
    withhold_extremes: bool = False


_PLAIN: Final = FeatureSettings()  # of a feature that no pattern names


class ModelSettings(_Table):
    """Settings of one model, or of all (``*``).

    Attributes:
        features: Shell pattern -> how such features are profiled and judged.
        labels: Copied into the model's events, for routing; likewise the three below.
        owner: Person or team.
        runbook: Address of what to do.
        dashboard: Address of what to look at.
    """

    features: dict[Pattern, FeatureSettings] = {}
    labels: Labels = {}
    owner: Owner = None
    runbook: Address = None
    dashboard: Address = None

    def ownership(self) -> Ownership:
        """What the model's events copy."""
        return Ownership(self.labels, self.owner, self.runbook, self.dashboard)


class Limits(_Table):
    """Bounds of what is kept; beyond them things are counted, not kept."""

    models: Count = 200
    versions: Count = 20  # of a model
    segments: Count = 100  # of a model
    features: Count = 2_000  # of a model
    name_bytes: Annotated[int, Field(ge=8, le=1_024)] = 256
    nesting: Annotated[int, Field(ge=1, le=200)] = 32
    open_windows: Count = 1_000  # of a partition
    message_bytes: Count = 1_000_000


class Budget(_Table):
    """False incidents that are acceptable."""

    critical_per_model_week: Annotated[float, Field(gt=0, le=1_000)] = 1.0
    warning_per_model_week: Annotated[float, Field(gt=0, le=1_000)] = 5.0


class TopicSettings(_Table):
    """How the internal topics are made."""

    create: bool = False
    profile_partitions: Annotated[int, Field(ge=1, le=1_000)] = 12
    replication_factor: Annotated[int, Field(ge=1, le=100)] | None = None  # None: the broker's


class _LayerSource(PydanticBaseSettingsSource):
    """One layer, as pydantic-settings merges it with the others."""

    def __init__(self, settings_cls: type[BaseSettings], layer: sources.Layer) -> None:
        super().__init__(settings_cls)
        self._layer = layer

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        return self._layer.data.get(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        return self._layer.data


class Settings(BaseSettings):
    """All settings. Durations are microseconds; files and variables write ``10s`` or ``31d``.

    Attributes:
        app: Prefix of the internal topics, and the group unless that is given.
        group: Consumer group.
        kafka: Client settings by librdkafka name, secrets in clear: hand them to the client only.
        start: Where a new group begins to read.
        inputs: What is read.
        models: Model name or ``*`` -> how its features are profiled and judged.
        remind_every: An open incident that nobody acknowledged is told again after it; None: never.
        heartbeat_every: An event says so often that models are judged; None: never.
        min_records: Windows are added together until a sample has so many records.
        min_records_shown: Profiles of fewer records withhold everything but counts.
        rejects_include_bytes: Copy unreadable records into the rejects topic.
        bridges: Targets outside of Kafka that ``streamgauge bridge`` tells of alerts.
        delivery: ``exactly_once``: results and commits in transactions.
        health: ``host:port`` of ``/healthz``, ``/readyz`` and ``/metrics``; None: nothing listens.
    """

    model_config = SettingsConfigDict(
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        validate_default=False,
        allow_inf_nan=False,
    )

    app: AppName = "streamgauge"
    group: Annotated[str, Field(min_length=1, max_length=249)] = Field(
        default_factory=lambda data: data.get("app", "streamgauge")
    )
    kafka: Annotated[
        dict[str, Value],
        AfterValidator(KafkaSettings),
        PlainSerializer(redacted, return_type=dict[str, Value]),
    ] = KafkaSettings()
    start: Start = "earliest"
    inputs: Annotated[tuple[InputSettings, ...], InputTables] = ()
    models: dict[Pattern, ModelSettings] = {}
    limits: Limits = Limits()
    learn_for: LearnFor = DAY
    learn_records: Count = 10_000
    remind_every: RemindEvery = None
    heartbeat_every: HeartbeatEvery = None
    min_records: Annotated[int, Field(ge=1, le=100_000)] = 100
    min_records_shown: Annotated[int, Field(ge=0)] = 0
    budget: Budget = Budget()
    topics: TopicSettings = TopicSettings()
    bridges: Bridges = {}
    rejects_include_bytes: bool = False
    delivery: Literal["at_least_once", "exactly_once"] = "at_least_once"
    health: Listen = None

    @classmethod
    def settings_customise_sources(  # noqa: D102 - the signature is pydantic-settings'
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        loading = _loading.get()
        if loading is None:  # made by code: nothing but what the code says
            return (init_settings,)
        return tuple(_LayerSource(settings_cls, layer) for layer in loading.layers)

    @model_validator(mode="wrap")
    @classmethod
    def _remember(cls, data: object, handler: ValidatorFunctionWrapHandler) -> Settings:
        loading = _loading.get()
        if loading is not None and isinstance(data, dict):
            loading.merged = data  # what is said about each other is checked even if this fails
        result: Settings = handler(data)
        return result

    @property
    def profiles_topic(self) -> str:
        """Name of the profiles log."""
        return f"{self.app}-profiles"

    @property
    def alerts_topic(self) -> str:
        """Name of the topic of alert events."""
        return f"{self.app}-alerts"

    @property
    def state_topic(self) -> str:
        """Name of the compacted topic of snapshots."""
        return f"{self.app}-state"

    @property
    def rejects_topic(self) -> str:
        """Name of the topic of unreadable records."""
        return f"{self.app}-rejects"

    def input_for(self, topic: str) -> InputSettings | None:
        """The input that reads a topic: one that names it, else the first whose regex matches."""
        if topic in internal_topics(self.app) or topic.startswith("__"):
            return None
        for one in self.inputs:
            if topic in one.topics:
                return one
        return next((one for one in self.inputs if one.claims(topic)), None)

    def matching(self, topics: Iterable[str]) -> list[str]:
        """Those of the existing topics that an input reads, sorted."""
        return sorted(topic for topic in topics if self.input_for(topic) is not None)

    def feature(self, model: str, name: str) -> FeatureSettings:
        """Settings of a feature: the first match of the model's own patterns, then of ``*``'s."""
        for table in (self.models.get(model), self.models.get("*")):
            for pattern, rule in table.features.items() if table is not None else ():
                if fnmatch.fnmatchcase(name, pattern):
                    return rule
        return _PLAIN

    def detection(self, learn_until: int | None = None) -> DetectionSettings:
        """The settings that can change an alert.

        Args:
            learn_until: Replay: end of the baseline, microseconds.
        """
        return DetectionSettings(
            learn_for=self.learn_for,
            learn_records=self.learn_records,
            learn_until=learn_until,
            remind_every=self.remind_every,
            heartbeat_every=self.heartbeat_every,
            min_records=self.min_records,
            critical_per_model_week=self.budget.critical_per_model_week,
            warning_per_model_week=self.budget.warning_per_model_week,
            features={
                model: {
                    pattern: FeatureDetection(
                        direction=rule.direction,
                        minimum_effect=rule.minimum_effect,
                        severity_cap=rule.severity_cap,
                        detect=rule.detect,
                    )
                    for pattern, rule in table.features.items()
                }
                for model, table in self.models.items()
            },
            owners={
                model: table.ownership()
                for model, table in self.models.items()
                if table.ownership() != Ownership()
            },
        )

    def border_settings(self, input: InputSettings) -> dict[str, str | int]:
        """What decides which record belongs in which window, for the commit's metadata."""
        return {
            "window": input.window,
            "lateness": input.lateness,
            "event_time": input.fields.event_time or "",
            "event_time_unit": input.fields.event_time_unit,
        }


def load(
    path: Path | str | None = None,
    overrides: Sequence[str] = (),
    *,
    environ: Mapping[str, str] | None = None,
    need_inputs: bool = True,
    need_kafka: bool = True,
) -> Settings:
    """Read the configuration from its three sources.

    Args:
        path: A TOML file. None: ``STREAMGAUGE_CONFIG``, else ``streamgauge.toml`` if there is one.
        overrides: ``key=value`` flags.
        environ: Variables; None: those of the process.
        need_inputs: At least one input must be named.
        need_kafka: ``bootstrap.servers`` must be named.

    Raises:
        SettingsError: With every mistake there is.
    """
    environ = os.environ if environ is None else environ
    path = path if path is not None else environ.get(sources.CONFIG_VARIABLE) or None
    if path is None and Path(sources.DEFAULT_FILE).exists():
        path = sources.DEFAULT_FILE
    file = sources.from_file(Path(path)) if path is not None else sources.Layer({}, "defaults")
    layers = [sources.from_flags(overrides), sources.from_environment(environ, file.data), file]
    loading = _Loading(layers)
    found = [mistake for layer in layers for mistake in layer.mistakes]
    settings = None
    tokens = _loading.set(loading), written.set(True)
    try:
        settings = Settings()
    except ValidationError as error:
        found += _explained(error, loading)
    finally:
        _loading.reset(tokens[0])
        written.reset(tokens[1])
    found += contradictions(
        loading.merged,
        lambda path: _origin(path, loading),
        need_inputs=need_inputs,
        need_kafka=need_kafka,
    )
    if found or settings is None:
        raise SettingsError(sorted(set(found)))
    return settings


def _explained(error: ValidationError, loading: _Loading) -> list[Mistake]:
    inputs = loading.merged.get("inputs")
    names = list(inputs) if isinstance(inputs, Mapping) else []

    def path(location: tuple[int | str, ...]) -> Names:
        parts = list(location)
        if parts[:1] == ["inputs"] and len(parts) > 1 and isinstance(parts[1], int) and names:
            parts[1] = names[parts[1]]
        held = [str(part) for part in parts if part != "[key]"]
        while len(held) > 1 and lookup(loading.merged, tuple(held)) is None:
            if lookup(loading.merged, tuple(held[:-1])) is None or not _is_member(held[-1]):
                break  # a missing setting keeps its name
            held.pop()  # the member of a union or the place in a list
        return tuple(held)

    return from_pydantic(error.errors(), _known_at, path, lambda at: _origin(at, loading))


def _is_member(part: str) -> bool:
    return part.isdigit() or "[" in part or part in ("str", "int", "float", "bool")


def _origin(path: Names, loading: _Loading) -> str:
    for length in range(len(path), 0, -1):
        for layer in loading.layers:
            origin = layer.origin(path[:length])
            if origin is not None:
                return origin
    return ""


_TABLES: dict[tuple[str, ...], type[BaseModel]] = {
    (): Settings,
    ("inputs", "*"): InputSettings,
    ("inputs", "*", "fields"): FieldMap,
    ("inputs", "*", "constants"): Constants,
    ("models", "*"): ModelSettings,
    ("models", "*", "features", "*"): FeatureSettings,
    ("limits",): Limits,
    ("budget",): Budget,
    ("topics",): TopicSettings,
    ("bridges", "*"): BridgeSettings,
    ("bridges", "*", "routes", "*"): RouteSettings,
}


def _known_at(path: Names) -> Collection[str]:
    """Names of the settings in the table at a path."""
    form = tuple("*" if place in (1, 3) else part for place, part in enumerate(path))
    if path[:1] == ("inputs",) and len(path) > 2:
        form = ("inputs", "*", *path[2:])
    elif path[:1] not in (("inputs",), ("models",), ("bridges",)):
        form = path
    table = _TABLES.get(form)
    return [name for name in table.model_fields if name != "name"] if table is not None else ()
