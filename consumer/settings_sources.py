"""Where settings come from: ``streamgauge.toml``, ``STREAMGAUGE_*`` variables and flags.

Every source becomes nested tables of plain values; ``[kafka]`` is flat, its secrets read from their
files. Variables and flags name tables as TOML does::

    STREAMGAUGE_INPUTS__FLIGHTS__WINDOW=1h        inputs.flights.window
    STREAMGAUGE_KAFKA__SASL_PASSWORD=...          kafka."sasl.password"
    --set inputs.flights.window=1h

Their values are texts, or lists and tables as in TOML when they begin with ``[``, ``{`` or a quote.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from consumer import kafka_settings
from consumer.durations import short
from consumer.mistakes import Mistake, SettingsError, dotted
from consumer.mistakes import Path as Names
from consumer.settings_bridges import take_bridges

PREFIX = "STREAMGAUGE_"
CONFIG_VARIABLE = "STREAMGAUGE_CONFIG"
# Variables that are no settings; all but the first belong to tests.
NO_SETTINGS = (
    CONFIG_VARIABLE,
    "STREAMGAUGE_FAILPOINT",
    "STREAMGAUGE_KAFKA_CACHE",
    "STREAMGAUGE_TEST_BOOTSTRAP",
)
DEFAULT_FILE = "streamgauge.toml"

# Kubernetes sets such variables for a Service whose name begins with "streamgauge".
_SERVICE = re.compile(
    r"STREAMGAUGE_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_[0-9]+_(TCP|UDP|SCTP)(_\w+)?)?)"
)
_AT = re.compile(r"(?P<what>.*) \(at (?P<where>line \d+, column \d+|end of document)\)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Layer:
    """The settings of one source.

    Attributes:
        data: Nested tables.
        origins: Path -> the variable or flag that it came from, where that is not ``label``.
        label: Name of the source.
        mistakes: What could not be taken over.
    """

    data: dict[str, Any]
    label: str
    origins: dict[Names, str] = field(default_factory=dict)
    mistakes: list[Mistake] = field(default_factory=list)

    def origin(self, path: Names) -> str | None:
        """Where the setting at a path came from; None: not from here."""
        value: object = self.data
        for part in path:
            if not isinstance(value, Mapping) or part not in value:
                return None
            value = value[part]
        for known, origin in self.origins.items():
            if known == path or known[: len(path)] == path or path[: len(known)] == known:
                return origin
        return self.label


def from_file(path: Path) -> Layer:
    """The settings of a TOML file.

    Raises:
        SettingsError: It cannot be read or is not TOML; nothing else can be known then.
    """
    try:
        text = path.read_bytes().decode("utf-8")
        data = tomllib.loads(text)
    except OSError as error:
        hint = "; copy streamgauge.example.toml, or name another with -c FILE"
        reason = f"cannot be read: {error.strerror or 'unreadable'}{hint}"
        raise SettingsError([Mistake("", reason, str(path))]) from None
    except UnicodeDecodeError as error:
        reason = f"is not a text in UTF-8 (byte {error.start}); save it as UTF-8"
        raise SettingsError([Mistake("", reason, str(path))]) from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError([_syntax(error, path)]) from None
    layer = Layer(data, str(path))
    _take_secrets(layer, path.parent, "in a configuration file")
    return layer


def _syntax(error: tomllib.TOMLDecodeError, path: Path) -> Mistake:
    found = _AT.fullmatch(str(error))
    what, where = (found["what"], found["where"]) if found else (str(error), "")
    text = f"is not TOML: {what[:1].lower()}{what[1:]}; texts stand in quotes, tables in [brackets]"
    return Mistake("", text, f"{path}, {where}" if where else str(path))


def from_environment(environ: Mapping[str, str], names: Mapping[str, Any]) -> Layer:
    """The settings of ``STREAMGAUGE_*`` variables.

    Args:
        environ: All variables.
        names: Tables of the file: a part of a variable's name that differs from a name there only
            in case, or in having ``_`` for ``-``, ``.`` and space, is that name.
    """
    layer = Layer({}, "environment")
    for variable, value in sorted(environ.items()):
        rest = variable.removeprefix(PREFIX)
        if variable in (rest, *NO_SETTINGS) or _SERVICE.fullmatch(variable):
            continue
        parts = rest.split("__")
        if parts[0] == "KAFKA" and len(parts) > 1:
            path: Names = ("kafka", kafka_settings.from_variable("__".join(parts[1:])))
        else:
            path = _known_names(parts, names)
        _put(layer, path, value, variable)
    _take_secrets(layer, Path(), None)
    return layer


def _known_names(parts: Sequence[str], names: Mapping[str, Any]) -> Names:
    path: list[str] = []
    table: object = names
    for part in parts:
        known = {_upper(name): name for name in table} if isinstance(table, Mapping) else {}
        path.append(known.get(part.upper(), part.lower()))
        table = table.get(path[-1]) if isinstance(table, Mapping) else None
    return tuple(path)


def _upper(name: str) -> str:
    return re.sub(r"[-. ]", "_", name).upper()


def from_flags(flags: Sequence[str]) -> Layer:
    """The settings of ``--set key=value`` flags, later ones over earlier ones."""
    layer = Layer({}, "--set")
    for flag in flags:
        key, equals, value = flag.partition("=")
        path = _flag_path(key.strip())
        if not equals or not path:
            shown = short(key) if equals else "a flag without ="
            text = f"{shown} is not allowed; write --set KEY=VALUE, for example app=flights"
            layer.mistakes.append(Mistake("", text, "--set"))
            continue
        _put(layer, path, value.strip(), f"--set {dotted(path)}")
    _take_secrets(layer, Path(), "on the command line")
    return layer


def _flag_path(key: str) -> Names:
    try:
        table: object = tomllib.loads(f"{key} = 0")
    except tomllib.TOMLDecodeError:
        parts = key.split(".")  # models.*.features: a star needs no quotes here
        if not all(parts):
            return ()
    else:
        parts = []
        while isinstance(table, Mapping) and len(table) == 1:
            name, table = next(iter(table.items()))
            parts.append(name)
    return ("kafka", ".".join(parts[1:])) if parts[0] == "kafka" and parts[1:] else tuple(parts)


def _put(layer: Layer, path: Names, text: str, origin: str) -> None:
    value: object = text
    if text[:1] in ("[", "{", '"') and path[0] != "kafka":
        try:
            value = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            hint = 'a list is written ["a", "b"]'
            layer.mistakes.append(Mistake(dotted(path), f"is not a TOML value; {hint}", origin))
            return
    table = layer.data
    for part in path[:-1]:
        inner = table.setdefault(part, {})
        if not isinstance(inner, dict):
            clash = "is given as a value and as a table; leave one of the two out"
            layer.mistakes.append(Mistake(dotted(path), clash, origin))
            return
        table = inner
    table[path[-1]] = value
    layer.origins.pop(path, None)
    layer.origins[path] = origin


def _take_secrets(layer: Layer, folder: Path, visible: str | None) -> None:
    for mistake in take_bridges(layer.data, folder, visible):
        path = tuple(mistake.setting.split("."))
        where = layer.origins.get(path, layer.label)
        layer.mistakes.append(replace(mistake, where=where))
    _take_kafka(layer, folder, visible)


def _take_kafka(layer: Layer, folder: Path, visible: str | None) -> None:
    """Check and flatten ``[kafka]`` and read the files of its secrets.

    Args:
        layer: Changed in place.
        folder: Where relative paths of secrets begin.
        visible: Where others can read the values, so that a secret there is a mistake; None: they
            cannot.
    """
    table = layer.data.get("kafka")
    if table is None:
        return
    if not isinstance(table, Mapping):
        hint = 'is not a table; write [kafka] and below it "bootstrap.servers" = "host:9092"'
        layer.mistakes.append(Mistake("kafka", hint, layer.origin(("kafka",)) or layer.label))
        del layer.data["kafka"]
        return
    flat = kafka_settings.flatten(table)
    origins = {name: layer.origins.get(("kafka", name), layer.label) for name in flat}
    taken: dict[str, object] = {}
    secrets: dict[str, str] = {}
    for name, value in flat.items():
        secret = kafka_settings.secret_file(name)
        text = kafka_settings.value_mistake(secret or name, value)
        if secret is not None and text is None:
            try:
                secrets[secret] = kafka_settings.read_secret(folder / str(value))
            except ValueError as error:
                text = str(error)
            if secret in flat:
                text = f'"{secret}" is given beside its file; leave one of the two out'
        elif visible is not None and kafka_settings.is_secret(name):
            text = kafka_settings.secret_mistake(name, visible)
        if text is not None:
            layer.mistakes.append(Mistake(f"kafka.{name}", text, origins[name]))
        elif secret is None:
            taken[name] = value
    plain = [name for name in flat if kafka_settings.secret_file(name) is None]
    refused = kafka_settings.mistakes(plain, origins)
    layer.mistakes.extend(refused)
    for mistake in refused:
        taken.pop(mistake.setting.removeprefix("kafka."), None)
    layer.data["kafka"] = taken | secrets
