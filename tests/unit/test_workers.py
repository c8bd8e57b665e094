"""The process that starts workers: deaths, signals and exit statuses, with children of a line."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from consumer.settings import Settings
from consumer.workers import command, own_settings
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]
WAITS = "import signal; signal.alarm(60); signal.pause()"


class Crew:
    """A parent in a process of its own; each child leaves a line in ``lives``."""

    def __init__(self, folder: Path, child: str, count: int) -> None:
        self.lives, self.log = folder / "lives", folder / "log"
        self.lives.touch()
        script = (
            f"import os, sys\nopen({str(self.lives)!r}, 'a').write(f'{{os.getpid()}}\\n')\n{child}"
        )
        parent = f"""
            import sys
            from consumer import logs, workers
            workers.FIRST_WAIT = 0.01
            logs.start()
            sys.exit(workers.Workers([sys.executable, "-c", {script!r}], {count}).run())
        """
        with self.log.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-c", textwrap.dedent(parent)], stderr=out, cwd=ROOT
            )

    def pids(self, least: int) -> list[int]:
        def alive() -> list[int]:
            found = [int(line) for line in self.lives.read_text().split("\n")[:-1]]
            return found if len(found) >= least else []

        return wait_until(alive, 20, f"{least} children have lived: {self.log.read_text()}")


@contextmanager
def crew(folder: Path, child: str, count: int = 2) -> Iterator[Crew]:
    found = Crew(folder, child, count)
    try:
        yield found
    finally:
        found.process.kill()
        found.process.wait(10)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_one_that_dies_is_started_again_and_the_others_go_on(tmp_path: Path) -> None:
    with crew(tmp_path, WAITS) as found:
        first, second = found.pids(2)
        os.kill(first, signal.SIGKILL)
        third = found.pids(3)[2]
        assert is_alive(second)
        found.process.terminate()
        assert found.process.wait(15) == 0
        assert not is_alive(second)
        assert not is_alive(third)
        assert '"message":"a worker died"' in found.log.read_text()


def test_all_that_end_by_themselves_end_it(tmp_path: Path) -> None:
    with crew(tmp_path, "pass") as found:
        assert found.process.wait(15) == 0
        assert len(found.pids(2)) == 2


def test_a_mistake_in_the_configuration_is_not_tried_again(tmp_path: Path) -> None:
    with crew(tmp_path, "sys.exit(2)") as found:
        assert found.process.wait(15) == 2
        assert len(found.pids(1)) <= 2


def test_a_second_signal_waits_for_nobody(tmp_path: Path) -> None:
    deaf = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {WAITS}"
    with crew(tmp_path, deaf, 1) as found:
        (child,) = found.pids(1)
        found.process.terminate()
        assert is_alive(child)
        found.process.send_signal(signal.SIGINT)
        found.process.send_signal(signal.SIGTERM)
        assert found.process.wait(5) == signal.SIGKILL
        assert not is_alive(child)


def test_none_outlives_a_parent_that_was_killed(tmp_path: Path) -> None:
    child = f"from consumer.workers import end_with_parent; end_with_parent(); {WAITS}"
    with crew(tmp_path, child) as found:
        children = found.pids(2)
        found.process.kill()
        found.process.wait(10)
        for pid in children:
            wait_until(lambda pid=pid: not is_alive(pid), 10, "the child ends")  # type: ignore[misc]


def test_each_has_a_member_name_and_a_port_of_its_own() -> None:
    settings = Settings(
        kafka={"bootstrap.servers": "b:1", "group.instance.id": "m"},
        health="127.0.0.1:8080",
    )
    own = own_settings(settings, 3)
    assert (own.kafka["group.instance.id"], own.health) == ("m-3", "127.0.0.1:8083")
    assert own.kafka["bootstrap.servers"] == "b:1"
    alone = Settings(kafka={"bootstrap.servers": "b:1"})
    assert own_settings(alone, 1) == alone


@pytest.mark.parametrize("flags", [[], ["-c", "x.toml", "--drain"]])
def test_a_worker_is_started_with_the_flags_of_run(flags: list[str]) -> None:
    assert command(flags)[1:] == ["-m", "consumer", "run", *flags, "--number"]
