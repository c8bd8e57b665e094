"""When a model that says nothing has been silent for too long.

Decided by the ends of its windows with data alone, so that it does not matter which watermark shows
it: a model is silent from ``last + limit`` on, if no window with data begins before that.
"""

from __future__ import annotations

import msgspec

LEAST = 600_000_000  # microseconds; nobody is told of less than ten minutes without data
FACTOR = 3  # times the longest gap between windows with data so far


class Silence(msgspec.Struct):
    """Windows with data of one model, and whether its silence has been told.

    Attributes:
        first: End of its first window with data, microseconds.
        last: End of its last one.
        longest: Longest time between the ends of two that follow one another.
        told: It has been silent for too long, and that is known.
    """

    first: int
    last: int
    longest: int = 0
    told: bool = False

    def deadline(self, learn_for: int) -> int:
        """Event time from which on it is silent for too long.

        Args:
            learn_for: Microseconds of its life in which its usual gaps are not known yet; in these
                nothing shorter than ``learn_for`` itself counts.
        """
        limit = max(LEAST, FACTOR * self.longest)
        if self.last - self.first < learn_for:
            limit = max(limit, learn_for)
        return self.last + limit

    def data(self, end: int) -> None:
        """A window with data, later than any before."""
        self.longest = max(self.longest, end - self.last)
        self.last = end
        self.told = False
