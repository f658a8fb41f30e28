"""The arrows between the rooms of the package run one way."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "spade_widgets"
ENGINE = {"pruning", "visualization", "attribution"}
# room → the rooms that it may not import from
FORBIDDEN = {
    "pruning": {"widgets", "runtime", "demo", "visualization", "attribution"},
    "visualization": {"widgets", "runtime", "demo", "attribution"},
    "attribution": {"widgets", "runtime", "demo", "visualization"},
    "runtime": {"widgets"},
    "demo": {"widgets", "runtime", *ENGINE},
    "classifier": {"widgets", "runtime", "demo", *ENGINE},
    "sample": {"widgets", "runtime", "demo", "classifier", *ENGINE},
    "errors": {"widgets", "runtime", "demo", "classifier", "sample", *ENGINE},
}


def imported_rooms(source: str) -> set[str]:
    """The rooms that a module of the package imports from, wherever in the file that stands."""
    rooms: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        rooms.update(name.split(".")[1] for name in names if name.startswith("spade_widgets."))
    return rooms


def test_imports_are_found_wherever_they_stand() -> None:
    source = "def f():\n    from spade_widgets import sample\n    import spade_widgets.runtime.jobs"
    assert imported_rooms(source) == {"sample", "runtime"}


def files_of(room: str) -> list[Path]:
    """The modules of a room: one file, or all in its folder."""
    return [file for file in (PACKAGE / f"{room}.py", *sorted((PACKAGE / room).rglob("*.py"))) if file.exists()]


def test_the_rooms_are_where_the_plan_puts_them() -> None:
    assert [room for room in FORBIDDEN if not files_of(room)] in ([], ["attribution"])


@pytest.mark.parametrize("room", sorted(room for room in FORBIDDEN if files_of(room)))
def test_no_arrow_runs_backwards(room: str) -> None:
    files = files_of(room)
    wrong = {file.name: bad for file in files if (bad := imported_rooms(file.read_text()) & FORBIDDEN[room])}
    assert not wrong


def test_importing_the_package_imports_no_heavy_library() -> None:
    heavy = {"lucent", "captum", "zennit", "plotly", "torch"}
    code = f"import sys, spade_widgets; print(*{heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
