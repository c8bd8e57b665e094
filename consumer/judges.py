"""The parts of a fold that judge: one for each model, one for each input topic as a whole."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

from alerts.commands import Command
from alerts.events import Event
from consumer.completeness import Held
from consumer.evidence import OffsetRange
from consumer.log_borders import Loss
from sketches.coverage import Coverage
from sketches.detection import DetectionSettings
from sketches.given import GivenBaseline
from sketches.profile import Profile

Ranges = Callable[[int, int], tuple[OffsetRange, ...]]


class Read(NamedTuple):
    """The profiles of one model in one window, read and merged.

    Attributes:
        held: As they came.
        records: Readable records in them; with none (rejects alone) the model is silent.
        profiles: (version, segment) -> the profile of all input partitions together.
        unread: Those whose bytes are not a profile that this release reads.
    """

    held: Sequence[Held]
    records: int
    profiles: Mapping[tuple[str, str], Profile]
    unread: Sequence[Held] = ()


class Moved(NamedTuple):
    """One signal that is changed, by the change's score: its statistic over its threshold."""

    feature: str
    signal: str
    score: float


class Standing(NamedTuple):
    """How one model stands, for metrics and listings.

    Attributes:
        records: Readable records in its last window with data; 0 before the first.
        window: Length of that, microseconds.
        end: End of that.
        learned: Part of the least learned baseline, 0 to 1; 1: all are complete.
        watched: Features whose signals are tested.
        open: Incidents that are open.
        moved: What is still changed in them.
        silent: It has brought no data for too long.
    """

    records: int
    window: int
    end: int
    learned: float
    watched: int
    open: int
    moved: tuple[Moved, ...]
    silent: bool = False


class ModelJudge(Protocol):
    """What is known about one model, and which events follow from its windows."""

    def fold(self, end: int, window: int, read: Read, ranges: Ranges) -> list[Event]:
        """Judge a complete window; windows come in order of time, those without data not at all.

        Args:
            end: End of the window, microseconds.
            window: Its length.
            read: Profiles of this model in it.
            ranges: (onset, detected) -> the offsets that hold the records in between.
        """
        ...

    def no_data(self, since: int, at: int) -> list[Event]:
        """No window with data begins between ``since`` and ``at``: too long.

        Args:
            since: End of the last window with data.
            at: When the silence became too long.
        """
        ...

    def data_back(self, since: int, at: int) -> list[Event]:
        """Data again after ``no_data``.

        Args:
            since: End of the last window with data before the silence.
            at: Start of the first window with data after it.
        """
        ...

    def settle(self, settings: DetectionSettings) -> None:
        """Judge by other settings from here on."""
        ...

    def give(self, baseline: GivenBaseline) -> None:
        """Compare with a given baseline from the next window on."""
        ...

    def command(self, command: Command, ranges: Ranges) -> list[Event]:
        """An operator said something about it; what follows at once."""
        ...

    def standing(self) -> Standing:
        """How it stands after the last window."""
        ...

    def coverage(self) -> list[Coverage]:
        """What is seen of each version and segment."""
        ...

    def state(self) -> bytes:
        """All of it, for a snapshot."""
        ...


class TopicJudge(Protocol):
    """Events about an input topic as a whole."""

    def loss(self, loss: Loss) -> list[Event]:
        """Data were lost, or may have been."""
        ...

    def limit(self, name: str, at: int | None) -> list[Event]:
        """A limit of the configuration cut something for the first time.

        Args:
            name: Name of the limit.
            at: Border of the watermark that says so; None: nothing has been closed yet.
        """
        ...

    def state(self) -> bytes:
        """All of it, for a snapshot."""
        ...


class Judges(Protocol):
    """Makes them, new or from a snapshot."""

    def read_all(self, models: Iterable[Sequence[Held]]) -> Iterator[Read]:
        """Read and merge the profiles of one window, model by model, in the order given.

        Args:
            models: Of each model what is held, sorted by input partition, then their own window.
        """
        ...

    def model(self, topic: str, model: str, settings: DetectionSettings) -> ModelJudge:
        """For a model seen for the first time."""
        ...

    def topic(self, topic: str) -> TopicJudge:
        """For an input topic seen for the first time."""
        ...

    def restored_model(
        self, topic: str, model: str, settings: DetectionSettings, state: bytes
    ) -> ModelJudge:
        """From ``ModelJudge.state``; any ValueError: it cannot be read."""
        ...

    def restored_topic(self, topic: str, state: bytes) -> TopicJudge:
        """From ``TopicJudge.state``, likewise."""
        ...
