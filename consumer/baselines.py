"""Baselines by name: a file, the id of one in the log, or what a model does live."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from sketches import codec, profile
from sketches.given import BaselineFormatError, GivenBaseline, from_bytes
from sketches.profile import Profile

from .given_baselines import by_partition, put_together, to_records, whole_ones
from .kafka import Admin, Writer
from .log import BaselineRecord, LogFormatError, ProfileRecord, decode
from .replay_inputs import ReplayError, ends_of, log_records
from .scan import read_range
from .settings import Settings

LIVE: Final = "live:"
FLUSH_WITHIN: Final = 30.0  # seconds
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


def kept(settings: Settings, id: str) -> GivenBaseline:
    """The published baseline of an id, or of the beginning of one.

    Raises:
        ReplayError: There is none, or there are several.
    """
    found = {
        known: records
        for (known, _), records in whole_ones(_published(settings)).items()
        if known.startswith(id)
    }
    if len(found) != 1:
        held = ", ".join(sorted(found))
        raise ReplayError(
            f"{id}: several baselines begin so: {held}"
            if found
            else f"{id}: no such file, and no baseline of this id was published to {settings.app}"
        )
    try:
        return put_together(next(iter(found.values())))
    except BaselineFormatError as error:
        raise ReplayError(f"{id}: {error}") from error


def _published(settings: Settings) -> Iterator[BaselineRecord]:
    """Those kept in the state topic, then those that only the log still has."""
    for topic in (settings.state_topic, settings.profiles_topic):
        for place, (start, stop) in ends_of(settings, topic).items():
            for raw in read_range(settings.kafka, place, start, stop, group=settings.group):
                for key, value in zip(raw.keys, raw.values, strict=True):
                    if value and (b"/baseline/" in (key or b"") or b"baseline" in value[:40]):
                        with suppress(LogFormatError):
                            record = decode(value)
                            if isinstance(record, BaselineRecord):
                                yield record


def publish(settings: Settings, baseline: GivenBaseline, topic: str | None) -> list[str]:
    """Send a baseline through the log to the workers that watch its model.

    Args:
        settings: Where Kafka is, and the inputs.
        baseline: For its model.
        topic: The input topic; None: every one that an input of the configuration reads.

    Returns:
        The input topics.

    Raises:
        ReplayError: It is too large, or there is no such topic.
    """
    admin = Admin(settings.kafka)
    counts = admin.topics()
    partitions = counts.get(settings.profiles_topic)
    if partitions is None:
        raise ReplayError(
            f"{settings.profiles_topic}: no such topic; make it with: streamgauge topics create"
        )
    topics = settings.matching(counts) if topic is None else [topic]
    if not topics or any(settings.input_for(each) is None for each in topics):
        raise ReplayError(
            f"{topic or 'the configuration'}: no input of the configuration reads a topic of it "
            "that exists"
        )
    writer, name = Writer(settings.kafka), uuid.uuid4().hex[:12]
    try:
        for each in topics:
            records = to_records(baseline, each, name)
            for number, key, value in by_partition(records, partitions):
                writer.produce(settings.profiles_topic, number, key, value)
        writer.flush(FLUSH_WITHIN)
    except BaselineFormatError as error:
        raise ReplayError(str(error)) from error
    finally:
        writer.close()
    return topics


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
