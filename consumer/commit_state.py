"""The whole state of the profile stage for one input partition: the metadata of its commit.

Kafka keeps a string of at most 4,096 bytes with a committed offset, and sets both or neither. It is
JSON here, so that ``kafka-consumer-groups`` shows it to a person.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import ClassVar

import msgspec

from consumer.durations import format_duration

FORMAT_VERSION = 1
LONGEST = 256  # bytes of a border setting; longer ones are represented by their hash

BorderSettings = dict[str, str | int]


class CommitStateError(Exception):
    """The metadata of a commit cannot be read."""

    kind: ClassVar[str] = "commit_state"


class BorderSettingsChanged(Exception):  # noqa: N818 - what happened, as a user would say it
    """The records counted so far were put into windows by other settings.

    Attributes:
        topic: Input topic.
        partition: Input partition.
        old: The border settings that differ, as committed.
        new: The same, as configured.
    """

    kind: ClassVar[str] = "border_settings_changed"

    def __init__(
        self, topic: str, partition: int, old: Mapping[str, object], new: Mapping[str, object]
    ) -> None:
        self.topic = topic
        self.partition = partition
        names = [name for name in sorted({*old, *new}) if old.get(name) != new.get(name)]
        self.old = {name: old.get(name) for name in names}
        self.new = {name: new.get(name) for name in names}
        changes = "; ".join(
            f"{name} was {_shown(name, self.old[name])}, is {_shown(name, self.new[name])}"
            for name in names
        )
        super().__init__(
            f"{topic}[{partition}] has open windows that were cut by other settings ({changes}). "
            "These settings decide which record belongs to which window, so they cannot change "
            "while windows are open. Put the old ones back, stop all workers of the group, run "
            "`streamgauge run --drain` once (it closes all windows and exits), then change them."
        )


class IdleDecision(msgspec.Struct, frozen=True):
    """Every window that ends at or before ``through`` closes once the position reaches ``at``."""

    at: int
    through: int


class CommitState(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the records before and around a committed offset have done. Times in microseconds.

    Attributes:
        v: Version of this format.
        closed_through: Latest closed border; None: nothing is closed.
        closed_at: The offset just after the record that closed it.
        borders: The settings that decide which record belongs where.
        newest: Latest event time of the records before the committed offset; None: none had any.
        lag: Broker timestamp of the last of them that had one, minus ``newest``.
        pending: An idle decision that may not have been acted upon yet.
    """

    v: int
    closed_through: int | None = None
    closed_at: int = 0
    borders: BorderSettings = {}
    newest: int | None = None
    lag: int = 0
    pending: IdleDecision | None = None

    def to_metadata(self) -> str:
        """The string to commit; under 4,000 bytes."""
        return msgspec.json.encode(self).decode()

    @classmethod
    def from_metadata(cls, text: str) -> CommitState | None:
        """The state in a commit's metadata.

        None if there is no metadata: the group's offset was set by hand
        (``kafka-consumer-groups --reset-offsets``), and counting starts there.

        Raises:
            CommitStateError: It is not ours, or that of a newer release.
        """
        if not text:
            return None
        try:
            version = _version_decoder.decode(text).v
            if version > FORMAT_VERSION:
                raise CommitStateError(
                    f"the commit's metadata has format version {version}, this release reads up to "
                    f"{FORMAT_VERSION}; upgrade this worker"
                )
            return _decoder.decode(text)
        except (msgspec.DecodeError, UnicodeError) as error:
            raise CommitStateError(
                f"the commit's metadata is not streamgauge's ({error}): {text[:80]!r}. Something "
                "else commits for this consumer group; give streamgauge a group of its own "
                "(`group = ...`), or reset this one with kafka-consumer-groups --reset-offsets"
            ) from error

    def in_new_log(self) -> CommitState:
        """For a topic made anew, whose offsets begin again: no record of it has been counted."""
        return msgspec.structs.replace(self, closed_at=0, pending=None)

    def require(
        self, offset: int, borders: Mapping[str, str | int], topic: str, partition: int
    ) -> None:
        """See that counting can go on from a committed offset with these border settings.

        From ``closed_at`` on no record has been counted, so any settings will do; this is how
        ``streamgauge run --drain`` and idle partitions leave it.

        Raises:
            BorderSettingsChanged: Some records after the offset have been counted by others.
        """
        if (offset < self.closed_at or self.pending is not None) and kept(borders) != self.borders:
            raise BorderSettingsChanged(topic, partition, self.borders, kept(borders))


class _Versioned(msgspec.Struct):
    v: int


_decoder = msgspec.json.Decoder(CommitState)
_version_decoder = msgspec.json.Decoder(_Versioned)


def kept(borders: Mapping[str, str | int]) -> BorderSettings:
    """Border settings as they are committed: whatever is too long as its hash."""
    return {
        name: value
        if isinstance(value, int) or len(value.encode()) <= LONGEST
        else "sha256:" + hashlib.sha256(value.encode()).hexdigest()
        for name, value in borders.items()
    }


def _shown(name: str, value: object) -> str:
    if value is None or value == "":
        return "not set"
    if name in {"window", "lateness"} and isinstance(value, int):
        return format_duration(value)
    return str(value)
