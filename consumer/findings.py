"""One line of ``streamgauge check``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warn", "FAIL"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found.

    Attributes:
        level: ``FAIL``: ``run`` would not work.
        subject: What was checked.
        text: What was found.
        do: What to do about it; empty if nothing.
        more: Further lines.
    """

    level: Level
    subject: str
    text: str
    do: str = ""
    more: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines = [f"{self.level:<5} {self.subject}: {self.text}"]
        lines += [f"        {line}" for line in self.more]
        if self.do:
            lines.append(f"      → {self.do}")
        return "\n".join(lines)
