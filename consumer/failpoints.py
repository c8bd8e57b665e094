"""Places at which a test may kill the process, to prove that no moment is special."""

from __future__ import annotations

import os
import signal

_spec = os.environ.get("STREAMGAUGE_FAILPOINT", "")
_name, _, _count = _spec.partition(":")
_left = int(_count or 1)


def reach(name: str) -> None:
    """Die here by SIGKILL if ``STREAMGAUGE_FAILPOINT=name:n`` says so and this is the n-th time."""
    global _left  # noqa: PLW0603 - one countdown per process is the point
    if name != _name:
        return
    _left -= 1
    if _left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
