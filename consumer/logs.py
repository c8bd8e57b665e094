"""The worker's log: one line per change of state, for people on a terminal, JSON elsewhere."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime

import orjson

from alerts.texts import printable

FIELDS = "fields"


class _Lines(logging.Formatter):
    """``12:30:01 WARNING message key=value ...``."""

    def format(self, record: logging.LogRecord) -> str:
        fields = getattr(record, FIELDS, {})
        pairs = "".join(f" {key}={value}" for key, value in fields.items())
        when = datetime.fromtimestamp(record.created, UTC).strftime("%H:%M:%S")
        return printable(f"{when} {record.levelname:7} {record.getMessage()}{pairs}")


class _Json(logging.Formatter):
    """One JSON object a line; control characters are escaped by the encoding."""

    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "message": record.getMessage(),
            **getattr(record, FIELDS, {}),
        }
        return orjson.dumps(entry, default=str).decode()


def start(level: int = logging.INFO) -> None:
    """Send the log to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Lines() if sys.stderr.isatty() else _Json())
    root = logging.getLogger("streamgauge")
    root.handlers[:] = [handler]
    root.setLevel(level)
    root.propagate = False


def event(message: str, level: int = logging.INFO, **fields: object) -> None:
    """Log a constant message with named fields."""
    logging.getLogger("streamgauge").log(level, message, extra={FIELDS: fields})
