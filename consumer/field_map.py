"""Where a record keeps what: the configured paths, else the usual names.

A path is a name, or names joined by dots. In every object the longest literal name is tried first:
``a.b`` is the key ``a.b`` if there is one, else the key ``b`` of the object at ``a``.

A field without a path is read from the first of its usual names that the record has at its top,
whatever its value; so which one it is depends on that record alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter
from types import EllipsisType
from typing import Any, Final, Literal, NamedTuple, Protocol

Record = dict[str, Any]
ABSENT: Final = ...  # no JSON value, of a type of its own

CANDIDATES: Final[dict[str, tuple[str, ...]]] = {
    "event_time": (
        "event_time",
        "event_timestamp",
        "timestamp",
        "@timestamp",
        "ts",
        "time",
        "datetime",
        "timestamp_ms",
        "created_at",
    ),
    "model": ("model", "model_name", "model_id"),
    "version": ("model_version", "version"),
    "segment": (),
    "prediction": ("prediction", "predicted", "output", "y_pred"),
    "score": ("score", "probability", "confidence", "prediction_score"),
    "label": ("label", "actual", "target", "y_true", "ground_truth"),
    "latency": (
        "latency_ms",
        "latency_us",
        "latency_ns",
        "latency_s",
        "latency_seconds",
        "latency",
        "duration_ms",
        "response_time_ms",
    ),
    "error": ("error", "error_message", "exception"),
    "id": (
        "request_id",
        "prediction_id",
        "event_id",
        "inference_id",
        "id",
        "uuid",
        "trace_id",
        "correlation_id",
    ),
}
FEATURES: Final = ("features", "inputs", "input", "feature")

# All of these names are kept out of the features of a flat record, not only the one that is used:
# they tell records apart, they do not describe them.
_NEVER_FEATURES: Final = ("event_time", "id")

_MILLISECONDS: Final = {"s": 1e3, "seconds": 1e3, "ms": 1.0, "us": 1e-3, "ns": 1e-6}


class FieldPaths(Protocol):
    """The configured paths; ``consumer.settings.FieldMap`` is one."""

    @property
    def features(self) -> str | tuple[str, ...] | None: ...  # noqa: D102
    @property
    def latency_unit(self) -> Literal["s", "ms", "us", "ns"]: ...  # noqa: D102


class Plan(NamedTuple):
    """How the records with certain keys at their top are read.

    Attributes:
        paths: Field -> path, of the fields that such a record may have.
        features: Path of the features object, or the paths of single features, or None: every
            scalar at the top that is not a field is a feature.
        guessed: The path of the features is a usual name, not a configured one.
        hidden: Keys at the top that are not features, if ``features`` is None.
    """

    paths: dict[str, str]
    features: str | tuple[str, ...] | None
    guessed: bool
    hidden: frozenset[str]


def plan(fields: FieldPaths, keys: Sequence[str]) -> Plan:
    """How records with these keys at their top are read.

    Args:
        fields: The configured paths.
        keys: The keys, in any order.
    """
    have = frozenset(keys)
    paths: dict[str, str] = {}
    hidden: set[str] = set()
    for field, candidates in CANDIDATES.items():
        path: str | None = getattr(fields, field)
        if path is None:
            path = next((name for name in candidates if name in have), None)
            hidden.update(candidates if field in _NEVER_FEATURES else ())
        if path is not None:
            paths[field] = path
            hidden.add(path)
    features = fields.features
    guessed = features is None
    if features is None:
        features = next((name for name in FEATURES if name in have), None)
    return Plan(paths, features, guessed, frozenset(hidden))


def read(records: Sequence[Record], path: str) -> list[Any]:
    """The value at a path in each of n records; ``ABSENT`` where there is none."""
    try:
        return list(map(itemgetter(path), records))
    except KeyError:
        return [look_up(record, path) for record in records]


def look_up(value: object, path: str) -> Any | EllipsisType:  # noqa: ANN401 - any JSON value
    """The value at a path in one record, or ``ABSENT``."""
    if type(value) is not dict:
        return ABSENT
    found = value.get(path, ABSENT)
    end = len(path) if found is ABSENT else 0
    while (end := path.rfind(".", 0, end)) > 0:
        found = look_up(value.get(path[:end]), path[end + 1 :])
        if found is not ABSENT:
            break
    return found


def milliseconds(path: str, unit: Literal["s", "ms", "us", "ns"] | None) -> float:
    """Factor that makes milliseconds of a latency.

    Args:
        path: Where it stands; an ending such as ``_us`` or ``_seconds`` tells its unit.
        unit: The unit that the configuration names; it wins over the ending.
    """
    if unit is not None:
        return _MILLISECONDS[unit]
    return _MILLISECONDS.get(path.rpartition("_")[2], 1.0)
