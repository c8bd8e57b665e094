"""Events as syslog messages by RFC 5424, for consoles that read nothing else."""

from __future__ import annotations

from typing import Final

from alerts.alertmanager import is_test
from alerts.events import Event, Resolved, event_type
from alerts.texts import printable

FACILITIES: Final = (
    *("kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron"),
    *("authpriv", "ftp", "ntp", "audit", "alert", "clock"),
    *(f"local{number}" for number in range(8)),
)
MOST_BYTES: Final = 2_048  # receivers should take so many (RFC 5424, 6.1; RFC 5426, 3.2)
# streamgauge has no enterprise number: 32473 is the one for examples (RFC 5612).
SD_ID: Final = "streamgauge@32473"
_CRITICAL, _WARNING, _NOTICE, _INFORMATIONAL = 2, 4, 5, 6
_BOM: Final = b"\xef\xbb\xbf"
_VALUE_BYTES: Final = 128
_ELEMENT_BYTES: Final = 1_200


def message(event: Event, facility: str, host: str, app: str) -> bytes:
    """One message, without any framing and without a line end, at most ``MOST_BYTES`` long.

    Args:
        event: Any event.
        facility: One of ``FACILITIES``.
        host: Name of this host.
        app: Name of the application.
    """
    priority = 8 * FACILITIES.index(facility) + _severity(event)
    head = (
        f"<{priority}>1 {event.time or '-'} {_word(host, 255)} {_word(app, 48)} - "
        f"{event_type(event)} {structured_data(_parameters(event))} "
    ).encode()
    return head + _BOM + cut(printable(event.summary).encode(), MOST_BYTES - len(head) - len(_BOM))


def octet_counted(message: bytes) -> bytes:
    """A message in the framing of RFC 5425 (TLS) and RFC 6587 (TCP)."""
    return b"%d %s" % (len(message), message)


def structured_data(parameters: dict[str, str]) -> str:
    """One element: values are printable, with a backslash before ``"``, ``]`` and backslash.

    The last parameters are left out where the message would have no room for its text.
    """
    element = f"[{SD_ID}"
    for name, value in parameters.items():
        told = f' {name}="{escaped(value)}"'
        if len(element.encode()) + len(told.encode()) < _ELEMENT_BYTES:
            element += told
    return f"{element}]"


def escaped(value: str) -> str:
    """A parameter's value; control characters, which a console would obey, as their escapes."""
    plain = cut(printable(value).encode(errors="replace"), _VALUE_BYTES).decode()
    return plain.replace("\\", "\\\\").replace('"', '\\"').replace("]", "\\]")


def cut(text: bytes, most: int) -> bytes:
    """At most so many bytes of UTF-8, no character halved."""
    return text if len(text) <= most else text[: max(most, 0)].decode(errors="ignore").encode()


def _severity(event: Event) -> int:
    if is_test(event):
        return _INFORMATIONAL
    if isinstance(event, Resolved):
        return _NOTICE
    return _CRITICAL if event.severity == "critical" else _WARNING


def _parameters(event: Event) -> dict[str, str]:
    known = {
        "incident": event.incident,
        "revision": str(event.revision),
        "severity": event.severity,
        "topic": event.topic,
        "model": event.model,
        "cause": getattr(event, "cause", None),
        "owner": event.owner,
        "runbook": event.runbook,
        "reason": getattr(event, "reason", None),
        "test": "true" if is_test(event) else None,
        "labels": ",".join(f"{name}={value}" for name, value in sorted(event.labels.items())),
    }
    return {name: value for name, value in known.items() if value}


def _word(text: str, most: int) -> str:
    """A field of the header: printable ASCII without a space."""
    word = "".join(char if "!" <= char <= "~" else "_" for char in text)[:most]
    return word or "-"
