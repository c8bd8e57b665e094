"""Reading the compacted topic that holds the snapshots of the detect stage."""

from __future__ import annotations

from .kafka import Admin
from .scan import read_range
from .settings import Settings


def kept_values(settings: Settings, admin: Admin, number: int) -> dict[bytes, bytes]:
    """The last value of every key in a partition of the state topic.

    Raises:
        KafkaFailure: It cannot be read.
    """
    place = settings.state_topic, number
    ends = (
        admin.offsets({place: "earliest"})[place],
        admin.offsets({place: "latest"})[place],
    )
    kept: dict[bytes, bytes] = {}
    for batch in read_range(settings.kafka, place, *ends, group=settings.group):
        for key, value in zip(batch.keys, batch.values, strict=True):
            if key is None:
                continue
            if value is None:
                kept.pop(key, None)
            else:
                kept[key] = value
    return kept
