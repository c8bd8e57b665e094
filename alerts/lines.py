"""Text in lines of a terminal. Pure."""

from __future__ import annotations

import re
import textwrap
from typing import Final

from alerts.texts import printable

COLOURS: Final = {"CRITICAL": "1;31", "WARNING": "33", "RESOLVED": "32", "SILENCED": "2"}
_TIED: Final = re.compile(r"(?<=\d) (?=(?:%|sd|points|d|h|min|s)\b|%)")
_TIE: Final = "\u00a0"


def wrapped(text: str, width: int, later: str = "", first: str = "") -> list[str]:
    """Lines of at most ``width`` characters; a number keeps its unit.

    Args:
        text: What somebody else wrote in it is made harmless.
        width: Characters of a line.
        later: Before every line but the first.
        first: Before the first line.
    """
    lines = textwrap.wrap(
        _TIED.sub(_TIE, printable(text)),
        width,
        initial_indent=first,
        subsequent_indent=later,
        break_on_hyphens=False,
    )
    return [line.replace(_TIE, " ") for line in lines]


def cut(line: str, width: int) -> str:
    """At most ``width`` characters of it, with a mark where some are left out."""
    return line if len(line) <= width else f"{line[: width - 1]}…"


def painted(text: str, word: str) -> str:
    """The text in the colour of a word of ``COLOURS``, in ANSI codes; plain if it has none."""
    colour = COLOURS.get(word)
    return text if colour is None else f"\x1b[{colour}m{text}\x1b[0m"
