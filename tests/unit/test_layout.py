"""The walls of the code: imports point one way, few modules touch the outside, files stay small."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MAY_IMPORT = {"sketches": {"sketches"}, "alerts": {"alerts", "sketches"}}
OURS = {"consumer", "alerts", "sketches", "demo", "bench", "tests"}
SOURCES = sorted(
    path for top in ("consumer", "alerts", "sketches") for path in (ROOT / top).rglob("*.py")
)


def imported(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module)
    return names


def calls(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    return {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_one_way(path: Path) -> None:
    top = path.relative_to(ROOT).parts[0]
    ours = {name.split(".")[0] for name in imported(path)} & OURS
    assert ours <= MAY_IMPORT.get(top, {"consumer", "alerts", "sketches"})


def test_one_module_imports_the_kafka_client() -> None:
    users = [p for p in SOURCES if any(n.startswith("confluent_kafka") for n in imported(p))]
    assert [p.relative_to(ROOT).as_posix() for p in users] == ["consumer/kafka_client.py"]


def test_sketches_have_no_clock_and_no_io() -> None:
    for path in (p for p in SOURCES if p.relative_to(ROOT).parts[0] == "sketches"):
        assert not {n.split(".")[0] for n in imported(path)} & {
            "time",
            "os",
            "io",
            "socket",
            "pathlib",
        }
        assert not calls(path) & {"open", "print", "datetime.now", "datetime.utcnow"}


def test_files_and_functions_hold_one_idea() -> None:
    too_long: list[str] = []
    for path in SOURCES:
        text = path.read_text()
        name = path.relative_to(ROOT).as_posix()
        if text.count("\n") > 500:
            too_long.append(f"{name}: {text.count(chr(10))} lines")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > 60:
                    too_long.append(f"{name}:{node.name}: {length} lines")
    assert not too_long


def test_nothing_unpickles() -> None:
    assert not [p for p in SOURCES if {"pickle", "shelve", "marshal", "dill"} & imported(p)]
