"""Why a target did not take what it was sent; the texts hold no secrets."""

from __future__ import annotations


class Unavailable(Exception):  # noqa: N818 - what the target is, not what it did
    """It is away, or refuses everything; the same may go through later.

    Attributes:
        after: Seconds that it asks to be left alone for.
    """

    def __init__(self, text: str, after: float = 0.0) -> None:
        super().__init__(text)
        self.after = after


class Refused(Exception):  # noqa: N818 - likewise
    """It does not want this one message."""
