"""What ``make chaos`` concludes from its runs."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import orjson
import pytest

from bench.chaos import readme, results
from bench.chaos.__main__ import missing, parser
from bench.chaos.bounds import Used, beyond
from bench.chaos.faults import END_TXN
from bench.chaos.lanes import Task
from bench.chaos.oracle import POISON, Plan
from bench.chaos.proxy import Proxy
from bench.chaos.rows import Mode, chosen
from bench.chaos.run import Result
from bench.records import Load
from consumer import failpoints, rejects


def test_the_table_is_what_the_results_say() -> None:
    text = readme.README.read_text()
    assert readme.rewritten(text, readme.results()) == text, "run make chaos-readme"


def test_every_failpoint_has_a_row() -> None:
    rows = chosen("", 1.0)
    assert [row.point for row in rows if row.number <= 20] == list(failpoints.NAMES)
    assert len({row.number for row in rows}) == len(rows)
    assert [row.number for row in chosen("3,21-23", 1.0)] == [3, 21, 22, 23]
    with pytest.raises(ValueError, match="no row 99"):
        chosen("99", 1.0)


def planned(tmp_path: Path, *words: str) -> list[Task]:
    options = parser().parse_args(["--rows", "7,25", *words])
    path = tmp_path / "chaos.json"
    return missing(chosen(options.rows, 1.0), options, results.Results(path, "abc"))


def test_runs_are_split_over_the_modes_and_go_on_at_the_same_pace(tmp_path: Path) -> None:
    tasks = planned(tmp_path)
    counts = Counter((task.row, task.mode) for task in tasks)
    both: tuple[Mode, ...] = ("at_least_once", "exactly_once")
    assert counts == {(7, m): 10 for m in both} | {(25, m): 15 for m in both}
    early = Counter((task.row, task.mode) for task in tasks[: len(tasks) // 2])
    assert all(4 <= early[7, m] <= 6 and 7 <= early[25, m] <= 9 for m in both)
    assert set(planned(tmp_path, "--modes", "exactly_once")) == {
        task for task in tasks if task.mode == "exactly_once"
    }
    again = planned(tmp_path, "--modes", "exactly_once", "--runs", "1", "--seed", "5")
    assert again == [Task(7, "exactly_once", 5), Task(25, "exactly_once", 5)]


def test_runs_that_the_results_hold_are_not_made_again(tmp_path: Path) -> None:
    (row, _) = chosen("7,25", 1.0)
    held = results.Results(tmp_path / "chaos.json", "abc")
    for seed in (1, 11):
        held.add(row, "exactly_once", seed, result())
    seeds = [t.seed for t in planned(tmp_path) if t.row == 7 and t.mode == "exactly_once"]
    assert seeds == [2, 3, 4, 5, 6, 7, 8, 9]


def result(recovery: float = 1.0, reached: int = 1, violations: Sequence[str] = ()) -> Result:
    return Result(list(violations), recovery, 9.0, 0.5, reached, Used(rss_mb=60.0))


def test_a_failpoint_that_is_not_reached_fails_its_row() -> None:
    (row,) = chosen("1", 1.0)
    for reached, violations in ((0, 1), (1, 0)):
        made = results.entry(row, "exactly_once", {1: result(reached=reached)}, "abc", "today")
        assert made["violations"] == violations


def test_rows_grow_run_by_run_and_say_of_which_code(tmp_path: Path) -> None:
    path = tmp_path / "chaos.json"
    first, second = chosen("1,2", 1.0)
    results.Results(path, "abc").add(second, "at_least_once", 1, result(3.0))
    later = results.Results(path, "def")
    later.add(second, "at_least_once", 2, result(2.0))
    later.leave_out(first, "no disk")
    later.add(first, "at_least_once", 1, result(violations=["lag"]))
    kept = orjson.loads(path.read_bytes())
    assert kept["commit"] == "def"
    assert kept["left_out"] == []
    assert [(row["row"], row["runs"], row["violations"]) for row in kept["rows"]] == [
        (1, 1, 1),
        (2, 2, 0),
    ]
    assert [row["recovery_s"] for row in kept["rows"]] == [1.0, 3.0]
    assert kept["rows"][1]["commits"] == ["abc", "def"]
    assert later.seeds(second, "at_least_once") == {1, 2}
    assert not later.seeds(second, "exactly_once")
    assert not later.seeds(first, "at_least_once"), "a violated row is done again"
    told = readme.section(kept)
    line = "| 2 | kill -9 at before_restore | 2, - | 0 | 3.0 s | 2.5 s | 0.5 s | 60 MB |"
    assert line in told
    assert told.startswith("3 runs, 1 violations. Measured at commit abc, def, ")


def test_a_worker_beyond_its_bounds_is_told_of() -> None:
    assert not beyond(Used(rss_mb=100.0, files=50, threads=20, lines=250, seconds=6.0))
    assert len(beyond(Used(rss_mb=300.0, files=50, threads=20, lines=250, seconds=1.0))) == 2


def test_the_load_has_every_reason_to_reject() -> None:
    made = Plan(Load(records=2_000, features=5), poison=True).records()
    reasons = Counter(one.reason for one in made)
    named = set(rejects.REASONS) - {rejects.SEGMENT_NOT_A_NAME}  # no segment is configured
    assert set(POISON) == named == reasons.keys() - {None}


def test_the_load_follows_the_partitions() -> None:
    made = Plan(Load(records=1_200, features=5), grown=6, grows_at=600).records()
    assert {one.partition for one in made[:600]} == set(range(4))
    assert {one.partition for one in made[600:]} == set(range(6))


def test_the_proxy_passes_on_falls_silent_and_cuts() -> None:
    proxy = Proxy()
    with socket.create_server(("127.0.0.1", 0)) as server:
        proxy.target = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", proxy.port), 5) as client:
            broker, _ = server.accept()
            client.sendall(b"one")
            assert broker.recv(10) == b"one"
            broker.sendall(b"two")
            assert client.recv(10) == b"two"
            assert proxy.silence() == 1
            broker.sendall(b"lost")
            client.settimeout(0.2)
            with pytest.raises(TimeoutError):
                client.recv(10)
            assert proxy.cut() == 1
            client.settimeout(5)
            assert client.recv(10) == b""
            broker.close()
    proxy.close()


def test_the_proxy_keeps_a_request_back() -> None:
    proxy = Proxy()
    request = (8).to_bytes(4) + END_TXN.to_bytes(2) + b"123456"
    with socket.create_server(("127.0.0.1", 0)) as server:
        proxy.target = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", proxy.port), 5) as client:
            broker, _ = server.accept()
            broker.settimeout(5)
            proxy.hold(END_TXN)
            client.sendall(request)
            client.settimeout(5)
            assert client.recv(10) == b""
            assert proxy.holding
            assert proxy.release()
            assert broker.recv(100) == request
            assert not proxy.release()
            broker.close()
    proxy.close()
