"""Batches of an input that the client cannot take apart: passed by, and declared lost."""

from __future__ import annotations

import logging

from . import logs
from .kafka import Admin, Partition
from .log import Lost
from .scan import TRIES, readable_from
from .settings import Settings


class Unreadable:
    """How often each partition has stopped where it stands, and what to leave out."""

    def __init__(self, settings: Settings, admin: Admin) -> None:
        self._settings, self._admin = settings, admin
        self._stopped: dict[Partition, tuple[int, int]] = {}

    def at(self, place: Partition, position: int) -> Lost | None:
        """It cannot be read on from here; what to leave out, None: try again.

        Raises:
            KafkaFailure: The broker does not say where the partition goes on.
        """
        before, count = self._stopped.get(place, (position, 0))
        count = count + 1 if before == position else 1
        self._stopped[place] = position, count
        if count < TRIES:
            return None
        del self._stopped[place]
        stop = self._admin.offsets({place: "latest"})[place]
        goes_on = readable_from(
            self._settings.kafka, place, position, stop, group=self._settings.group
        )
        if goes_on == position:
            return None
        logs.event(
            "records that cannot be read are passed by",
            logging.ERROR,
            topic=place[0],
            partition=place[1],
            start=position,
            stop=goes_on,
        )
        return Lost(position, goes_on)
