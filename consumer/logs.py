"""The worker's log: one line per change of state, for people on a terminal, JSON elsewhere."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from datetime import UTC, datetime

import orjson

from alerts.texts import printable

FIELDS = "fields"


class _Lines(logging.Formatter):
    """``12:30:01 WARNING message key=value ...``; ``always``: fields of every line."""

    def __init__(self, always: Mapping[str, object]) -> None:
        super().__init__()
        self._always = always

    def format(self, record: logging.LogRecord) -> str:
        fields = {**self._always, **getattr(record, FIELDS, {})}
        pairs = "".join(f" {key}={value}" for key, value in fields.items())
        when = datetime.fromtimestamp(record.created, UTC).strftime("%H:%M:%S")
        return printable(f"{when} {record.levelname:7} {record.getMessage()}{pairs}")


class _Json(logging.Formatter):
    """One JSON object a line; control characters are escaped by the encoding."""

    def __init__(self, always: Mapping[str, object]) -> None:
        super().__init__()
        self._always = always

    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "message": record.getMessage(),
            **self._always,
            **getattr(record, FIELDS, {}),
        }
        return orjson.dumps(entry, default=str).decode()


def start(level: int = logging.INFO, **always: object) -> None:
    """Send the log to standard error; ``always`` are fields of every line."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Lines(always) if sys.stderr.isatty() else _Json(always))
    root = logging.getLogger("streamgauge")
    root.handlers[:] = [handler]
    root.setLevel(level)
    root.propagate = False


def event(message: str, level: int = logging.INFO, **fields: object) -> None:
    """Log a constant message with named fields."""
    logging.getLogger("streamgauge").log(level, message, extra={FIELDS: fields})
