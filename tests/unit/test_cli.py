from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from consumer.cli import app

ROOT = Path(__file__).parents[2]
HEAVY = {"river", "scipy", "pandas", "sklearn"}


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_mistakes_end_with_status_2_and_no_traceback(tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    path.write_text("lern_for = '1d'\n")
    for command in (["run"], ["run", "--drain"], ["check"], ["topics", "create"], ["tail"]):
        result = CliRunner().invoke(app, [*command, "-c", str(path), "--set", "start=x"])
        assert result.exit_code == 2
        assert "mistakes in the settings:" in result.stderr
        assert 'did you mean "learn_for"?' in result.stderr
        assert "start (--set start)" in result.stderr
        assert not result.stdout


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["check", "-c", "none.toml"], "none.toml: cannot be read: No such file"),
        (["run", "--bootstrap", "h:1"], "inputs: no input is named"),
        (["tail"], "STREAMGAUGE_KAFKA__BOOTSTRAP_SERVERS"),
        (["tail", "--bootstrap", "h:1", "--from", "now"], '--from: "now" is not a time'),
        (["replay", "a.jsonl"], "inputs: no input is named"),
        (["bridge", "--bootstrap", "h:1"], "bridges: no target is named; write a table such as"),
        (["test-alert", "--for", "2"], '--for: "2" has no unit'),
        (["test-alert", "--label", "x"], "--label is not NAME=VALUE"),
        (
            ["replay", "a.jsonl", "--set", "inputs.a.topics=t", "--baseline-until", "x"],
            '--baseline-until: "x" is not a time',
        ),
        (["replay", "topic:t", "--set", "inputs.a.topics=t"], "kafka.bootstrap.servers"),
    ],
)
def test_mistakes_of_the_command_line(arguments: list[str], expected: str) -> None:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert expected in result.stderr


def test_no_broker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("consumer.command_line.ANSWER_WITHIN", 1.0)
    result = CliRunner().invoke(app, ["topics", "create", "--bootstrap", "127.0.0.1:1"])
    assert result.exit_code == 1
    assert "no Kafka at 127.0.0.1:1; check bootstrap.servers" in result.stderr


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["tail", "--help"]])
def test_small_commands_do_not_load_what_they_do_not_need(arguments: list[str]) -> None:
    program = (
        "import sys, consumer.cli as cli\n"
        f"sys.argv = ['streamgauge', *{arguments!r}]\n"
        "try:\n    cli.main()\nexcept SystemExit as end:\n    assert not end.code\n"
        "print('loaded:', *sorted({name.split('.')[0] for name in sys.modules}))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.rpartition("loaded:")[2].split())
    assert not loaded & (HEAVY | {"numpy", "confluent_kafka"})


def test_check_does_not_load_detectors() -> None:
    program = "import sys, consumer.check, consumer.settings, consumer.latest; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert not {name.split(".")[0] for name in done.stdout.split()} & HEAVY


def test_python_m_consumer() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "consumer", "--version"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("streamgauge ")
