"""Places at which a test may kill the process, to prove that no moment is special."""

from __future__ import annotations

import os
import signal
from typing import Final

NAMES: Final = {
    "on_assigned": "the group gave partitions; where they begin is not known yet",
    "before_restore": "just before snapshots and commits of new partitions are read",
    "after_restore": "they are read, nothing has been folded or counted since",
    "after_feed": "a batch is counted, nothing of it is published",
    "in_transaction": "exactly once: a message is in the open transaction",
    "after_profiles": "profiles, rejects and events are acknowledged (exactly once: produced)",
    "before_commit": "watermarks as well; nothing is committed",
    "offsets_sent": "exactly once: the offsets are part of the transaction, which is open",
    "commit_sent": "at least once: the commit is on its way, its answer is not there",
    "after_commit": "the commit is answered",
    "before_idle_decision": "an idle decision is made, not committed",
    "after_idle_decision": "it is committed, not acted upon",
    "before_snapshot": "a snapshot is due, all that it covers is committed",
    "in_snapshot": "a part of a snapshot is produced",
    "after_snapshot": "the snapshot is acknowledged",
    "on_revoked": "partitions are to be given away, nothing of them is published for that",
    "after_revoked": "what they had is published and committed, the group does not know",
    "on_lost": "partitions are gone without a chance to commit",
    "before_last_commit": "SIGTERM came, the last checkpoint has not begun",
    "after_last_commit": "it is done, the group has not been left",
}

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
