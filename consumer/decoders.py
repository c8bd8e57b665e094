"""Which decoder reads an input."""

from __future__ import annotations

from consumer.batch import Decoder
from consumer.json_decoder import json_decoder
from consumer.settings import InputSettings, Settings


def decoder_for(settings: Settings, one: InputSettings, topic: str) -> Decoder:
    """The decoder of a topic's records, by the format of its input."""
    return json_decoder(one.fields, one.constants, topic, settings.limits, settings.feature)
