"""The JSON Schema (2020-12) of the alert events, made from their Structs."""

from __future__ import annotations

from typing import Any

import msgspec
import orjson

from alerts.events import EVENT_TYPES, event_type

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema() -> dict[str, Any]:
    """One document: an event is one of several types, told apart by ``type``."""
    references, definitions = msgspec.json.schema_components(
        EVENT_TYPES, ref_template="#/$defs/{name}"
    )
    return {
        "$schema": DIALECT,
        "$id": "urn:streamgauge:alert-event:1",
        "title": "streamgauge alert event, format version 1",
        "description": (
            "The value of a message on the alerts topic. Readers ignore fields that are not "
            "described here: a later release may add some."
        ),
        "oneOf": list(references),
        "discriminator": {
            "propertyName": "type",
            "mapping": {
                event_type(struct): reference["$ref"]
                for struct, reference in zip(EVENT_TYPES, references, strict=True)
            },
        },
        "$defs": definitions,
    }


def schema_text() -> str:
    """``schema`` as indented JSON, without a line end at its end."""
    return orjson.dumps(schema(), option=orjson.OPT_INDENT_2).decode()
