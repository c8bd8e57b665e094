"""What is wrong with a configuration, in words: by setting, what was found, what is allowed."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from consumer.durations import short

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

Path = tuple[str, ...]


@dataclass(frozen=True, slots=True, order=True)
class Mistake:
    """One wrong setting.

    Attributes:
        setting: Its dotted name; empty for the whole file.
        text: What was found and what is allowed. Never holds the value of a secret.
        where: The file, variable or flag that it came from; empty if it came from nowhere.
    """

    setting: str
    text: str
    where: str = ""

    def __str__(self) -> str:
        origin = f" ({self.where})" if self.where else ""
        return (
            f"{self.setting}{origin}: {self.text}" if self.setting else f"{self.where}: {self.text}"
        )


class SettingsError(Exception):
    """Everything that is wrong with a configuration.

    Attributes:
        mistakes: All mistakes found, at least one.
    """

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        self.mistakes = tuple(mistakes)
        count = f"{len(mistakes)} mistakes" if len(mistakes) > 1 else "a mistake"
        lines = "".join(f"\n  {mistake}" for mistake in self.mistakes)
        super().__init__(f"{count} in the settings:{lines}")


def nearest(name: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The known name that a mistyped one most likely means."""
    by_form = {_plain(candidate): candidate for candidate in known}
    close = difflib.get_close_matches(_plain(name), by_form, n=1, cutoff=cutoff)
    return by_form[close[0]] if close else None


def _plain(name: str) -> str:
    return name.lower().replace("-", "_").replace(" ", "_")


def unknown(name: str, known: Collection[str], what: str = "setting") -> str:
    """Text for a name that does not exist."""
    close = nearest(name, known)
    if close is not None:
        return f'unknown {what}; did you mean "{close}"?'
    return f"unknown {what}; known here: {', '.join(sorted(known))}"


def dotted(path: Iterable[object]) -> str:
    """A setting's name as written in TOML; parts that are no bare keys are quoted."""
    parts = [str(part) for part in path]
    if parts[:1] == ["kafka"] and len(parts) > 1:  # librdkafka's names are dotted themselves
        return ".".join(parts)
    return ".".join(part if _bare(part) else f'"{part}"' for part in parts)


def _bare(part: str) -> bool:
    return bool(part) and all(c.isascii() and (c.isalnum() or c in "_-") for c in part)


_TYPES = {
    "int_parsing": "a whole number",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing_size": "a smaller whole number",
    "float_parsing": "a number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "string_type": "a text in quotes",
    "tuple_type": "a list",
    "dict_type": "a table",
    "model_type": "a table",
    "model_attributes_type": "a table",
}
_BOUNDS = {
    "greater_than": ("gt", "more than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
}


def describe(error: ErrorDetails, known: Collection[str]) -> str:
    """Text for one error of pydantic's, which speaks to programmers.

    Args:
        error: One entry of ``ValidationError.errors()``.
        known: Names that stand beside the wrong one, for an unknown name.
    """
    kind, context = error["type"], error.get("ctx", {})
    found = short(error["input"])
    if kind == "extra_forbidden":
        return unknown(str(error["loc"][-1]), known)
    if kind == "missing":
        return "is missing and has no default"
    if kind == "literal_error":
        return f"{found} is not allowed; write {str(context['expected']).replace(chr(39), chr(34))}"
    if kind in _TYPES:
        return f"{found} is not allowed; write {_TYPES[kind]}"
    if kind in _BOUNDS:
        key, words = _BOUNDS[kind]
        return f"{found} is not allowed; write a number of {words} {context[key]:g}"
    if kind == "value_error":
        return str(context["error"])
    return f"{found} is not allowed: {error['msg']}"


def from_pydantic(
    errors: Iterable[ErrorDetails],
    names: Callable[[Path], Collection[str]],
    paths: Callable[[tuple[int | str, ...]], Path],
    where: Callable[[Path], str],
) -> list[Mistake]:
    """Mistakes from pydantic's errors, one for each setting.

    Args:
        errors: ``ValidationError.errors()``.
        names: Known names in the table at a path.
        paths: From pydantic's location to the path as the user wrote it.
        where: Where the setting at a path came from.
    """
    found: dict[Path, Mistake] = {}
    for error in errors:
        if error["type"] == "default_factory_not_called":
            continue  # it follows from another error, which stands here too
        path = paths(error["loc"])
        text = describe(error, names(path[:-1]))
        earlier = found.get(path)
        if earlier is not None and earlier.text != text:  # the members of a union each complain
            text = f"{earlier.text}, or {text.rpartition('; write ')[2]}"
        found[path] = Mistake(dotted(path), text, where(path))
    return list(found.values())


def lookup(data: Mapping[str, Any], path: Path) -> object:
    """The value at a path of nested tables; None if there is none."""
    value: object = data
    for part in path:
        if not isinstance(value, Mapping) or part not in value:
            return None
        value = value[part]
    return value
