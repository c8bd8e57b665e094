from __future__ import annotations

import subprocess
import sys
import threading

import orjson
import pytest

from consumer.last_resort import comes_back

BLOCK = """\
import threading
from consumer import logs
from consumer.last_resort import ends_process
logs.start()
with ends_process("commit", {within}):
    threading.Event().wait({takes})
"""


def run(within: float, takes: float) -> subprocess.CompletedProcess[bytes]:
    code = BLOCK.format(within=within, takes=takes)
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, timeout=30, check=False
    )


def test_a_block_that_is_not_left_ends_the_process_and_says_so() -> None:
    ended = run(within=0.1, takes=60)
    assert ended.returncode == 1
    said = orjson.loads(ended.stderr)
    assert (said["level"], said["doing"], said["waited"]) == ("ERROR", "commit", "0.1 s")
    assert said["message"] == "ended without waiting any longer for the Kafka client"


def test_a_block_that_is_left_in_time_ends_nothing() -> None:
    ended = run(within=30, takes=0)
    assert (ended.returncode, ended.stderr) == (0, b"")


def test_a_call_that_does_not_come_back_is_left_behind() -> None:
    never, raised = threading.Event(), ZeroDivisionError("as the call says")

    def fails() -> None:
        raise raised

    assert not comes_back(never.wait, 0.05)
    never.set()
    assert comes_back(lambda: None, 30)
    with pytest.raises(ZeroDivisionError, match="as the call says"):
        comes_back(fails, 30)
