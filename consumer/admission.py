"""Which models, versions and segments of one window are told apart when there are too many."""

from __future__ import annotations

from consumer.batch import RecordKey
from consumer.settings import Limits

OTHER = "other"  # what the rest is counted under


class Admission:
    """First come, first kept, within one window of one input partition.

    A window's records are always read again together after a restart, and in the order of their
    offsets, so who is kept is a function of the log as long as keys are shown in the order of their
    first records in the window. Nothing is remembered beyond the window.
    """

    __slots__ = ("_limits", "_models")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._models: dict[str, tuple[set[str], set[str]]] = {}  # their versions and segments

    def admit(self, key: RecordKey) -> tuple[RecordKey, tuple[str, ...]]:
        """The key that a record counts under, and the limits that changed it.

        Over ``models`` a record counts under the model ``other``, without version and segment; over
        ``versions`` or ``segments`` of its model under the version or segment ``other``.
        """
        known = self._models.get(key.model)
        if known is None:
            if len(self._models) >= self._limits.models:
                return RecordKey(OTHER, "", ""), ("models",)
            known = self._models[key.model] = (set(), set())
        versions, segments = known
        cut: list[str] = []
        version, segment = key.version, key.segment
        if version not in versions and len(versions) >= self._limits.versions:
            version = OTHER
            cut.append("versions")
        else:
            versions.add(version)
        if segment not in segments and len(segments) >= self._limits.segments:
            segment = OTHER
            cut.append("segments")
        else:
            segments.add(segment)
        return RecordKey(key.model, version, segment), tuple(cut)
