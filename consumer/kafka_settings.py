"""The ``[kafka]`` table: what passes through, what is ours to set, and what nobody may see."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from consumer.durations import short
from consumer.librdkafka_names import KNOWN
from consumer.mistakes import Mistake, nearest

Value = str | int | float | bool
HIDDEN: Final = "***"
FILE_SUFFIX: Final = "_file"

_SECRET = re.compile(
    r"password|secret|passphrase|jaas|credentials\.info|basic\.auth"
    r"|(?:^|\.)(?:private\.)?key\.pem$|^ssl_key$|^sasl\.oauthbearer\.config$",
    re.IGNORECASE,
)

# Settings that decide whether every record counts once, and what to set instead.
MANAGED: Final = {
    "group.id": "write group at the top level",
    "enable.auto.commit": "leave it out: offsets are committed once the profiles are acknowledged",
    "auto.commit.enable": "leave it out: offsets are committed once the profiles are acknowledged",
    "auto.commit.interval.ms": "leave it out: offsets are committed once profiles are acknowledged",
    "enable.auto.offset.store": "leave it out: offsets are stored by hand",
    "offset.store.method": "leave it out: offsets are stored in the broker",
    "auto.offset.reset": 'write start = "earliest", "latest" or a time at the top level',
    "isolation.level": "leave it out: only committed records are read",
    "partition.assignment.strategy": "leave it out: cooperative-sticky is used",
    "enable.partition.eof": "leave it out: the ends of partitions are found in another way",
    "enable.idempotence": "leave it out: the producer is always idempotent",
    "enable.gapless.guarantee": "leave it out: the producer is always idempotent",
    "acks": "leave it out: all in-sync replicas acknowledge",
    "request.required.acks": "leave it out: all in-sync replicas acknowledge",
    "transactional.id": "write delivery at the top level",
    "allow.auto.create.topics": "write create in [topics]",
    "delivery.report.only.error": "leave it out: every delivery is waited for",
    "queuing.strategy": "leave it out",
    "plugin.library.paths": "leave it out: code is not loaded from a configuration",
    "interceptors": "leave it out: code is not loaded from a configuration",
}


class KafkaSettings(dict[str, Value]):
    """Client settings by librdkafka name; its representation hides the secret ones."""

    def __repr__(self) -> str:
        return repr(redacted(self))

    __str__ = __repr__


def is_secret(name: str) -> bool:
    """Whether the value of a client setting must never be shown."""
    return _SECRET.search(name) is not None


def redacted(settings: Mapping[str, Value]) -> dict[str, Value]:
    """The settings with every secret replaced by ``***``."""
    return {name: HIDDEN if is_secret(name) else value for name, value in settings.items()}


def flatten(table: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    """Join nested tables by dots: TOML reads an unquoted ``sasl.username`` as a table."""
    flat: dict[str, object] = {}
    for key, value in table.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def from_variable(name: str) -> str:
    """The librdkafka name of the part of a variable's name after ``STREAMGAUGE_KAFKA__``.

    ``SASL_PASSWORD`` is ``sasl.password``, ``SASL_PASSWORD_FILE`` is ``sasl.password_file``: the
    file that holds it. A name written with dots stays as it is.
    """
    lower = name.lower()
    if "." in lower:
        return lower
    if lower in KNOWN:  # log_level
        return lower
    stem = lower.removesuffix(FILE_SUFFIX)
    if stem != lower and is_secret(stem.replace("_", ".")):
        return stem.replace("_", ".") + FILE_SUFFIX
    return lower.replace("_", ".")


def secret_file(name: str) -> str | None:
    """The secret that ``name`` gives the file of; None if it is a setting like others."""
    stem = name.removesuffix(FILE_SUFFIX)
    return stem if stem != name and is_secret(stem) else None


def read_secret(path: Path) -> str:
    """The text of a secret's file without its final line break.

    Raises:
        ValueError: It cannot be read, or is empty; the message does not hold its text.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not a text in UTF-8") from None
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror or 'unreadable'}") from None
    text = text.removesuffix("\n").removesuffix("\r")
    if not text:
        raise ValueError(f"{path} is empty; write the secret into it, on one line")
    return text


def mistakes(names: Iterable[str], where: Mapping[str, str]) -> list[Mistake]:
    """What is wrong with the names in ``[kafka]``; values are not looked at."""
    found: list[Mistake] = []
    for name in names:
        text = _refusal(name)
        if text is not None:
            found.append(Mistake(f"kafka.{name}", text, where.get(name, "")))
    return found


def _refusal(name: str) -> str | None:
    if name in MANAGED:
        return f"streamgauge sets this itself; {MANAGED[name]}"
    if name.endswith("_cb") or name == "on_commit":
        return "a callback cannot be written in a configuration; leave it out"
    if name in KNOWN:
        return None
    if name.endswith(FILE_SUFFIX):
        return (
            f'unknown client setting; only a secret can be given as a file (for "{name}" the '
            'client has settings such as "ssl.ca.location")'
        )
    if name.lower() in MANAGED | dict.fromkeys(KNOWN, ""):
        return f'unknown client setting; did you mean "{name.lower()}"?'
    close = nearest(name, [*KNOWN, *MANAGED], cutoff=0.8)
    return None if close is None else f'unknown client setting; did you mean "{close}"?'


def secret_mistake(name: str, source: str) -> str:
    """Text for a secret written where others can read it."""
    variable = f"STREAMGAUGE_KAFKA__{name.upper().replace('.', '_')}"
    return (
        f'a secret does not belong {source}; write its file ("{name}{FILE_SUFFIX}" = "/path") '
        f"or set the variable {variable}"
    )


def value_mistake(name: str, value: object) -> str | None:
    """What is wrong with the type of a value, without the value of a secret; None: nothing."""
    if isinstance(value, Value):
        return None
    shown = "a secret of another type" if is_secret(name) else short(value)
    return f"{shown} is not allowed; write a text, a number, true or false"
