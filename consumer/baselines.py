"""Baselines by name: a file, the id of one in the log, or what a model does live."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from sketches import codec, profile
from sketches.given import BaselineFormatError, GivenBaseline, from_bytes
from sketches.profile import Profile

from .log import ProfileRecord
from .replay_inputs import ReplayError, log_records
from .settings import Settings

LIVE: Final = "live:"
_ID = re.compile(r"[0-9a-f]{6,16}")


def read_file(path: str | Path) -> GivenBaseline:
    """The baseline in a file.

    Raises:
        ReplayError: It cannot be read.
    """
    try:
        return from_bytes(Path(path).read_bytes())
    except OSError as error:
        raise ReplayError(f"{path}: {error.strerror}") from error
    except BaselineFormatError as error:
        raise ReplayError(f"{path}: {error}") from error


def is_id(name: str) -> bool:
    """Whether a name can only be an id: no file has it."""
    return _ID.fullmatch(name) is not None and not Path(name).exists()


def live(settings: Settings, name: str) -> tuple[str, Profile]:
    """What a model's profiles in the log add up to.

    Args:
        settings: Where the log is.
        name: ``live:MODEL`` or ``live:MODEL@FROM..TO``, by when the log got them.

    Returns:
        What it is, for people; and the profile. Profiles that the log holds twice, after a restart,
        count once.

    Raises:
        ReplayError: The log holds nothing of the model.
    """
    model, at, span = name.removeprefix(LIVE).partition("@")
    found: dict[tuple[str, int, int, str, str], dict[int, ProfileRecord]] = {}
    other: set[str] = set()
    for _, _, _, record in log_records(settings, [f"topic:{settings.profiles_topic}{at}{span}"]):
        if not isinstance(record, ProfileRecord):
            continue
        if record.model != model:
            other.add(record.model)
            continue
        window = record.topic, record.partition, record.end, record.version, record.segment
        found.setdefault(window, {}).setdefault(record.part, record)
    whole: list[Profile] = []
    for window in sorted(found):
        parts = found[window]
        if len(parts) == parts[min(parts)].parts:
            whole.append(codec.decode([parts[number].payload for number in sorted(parts)]))
            if len(whole) > 256:
                whole = [profile.merge(whole)]
    if not whole:
        known = f"; it knows {', '.join(sorted(other))}" if other else ""
        raise ReplayError(f"{name}: {settings.profiles_topic} holds no profile of it{known}")
    merged = profile.merge(whole)
    return f"{name}: {merged.records:,} records in {settings.profiles_topic}", merged
