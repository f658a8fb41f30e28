"""The arrows between the rooms of the package run one way."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "spade_widgets"
# What `spade-widgets` runs: they may import all, and nothing imports them.
COMMANDS = {"cli", "cli_options", "cli_pictures", "cli_plant"}
LEAVES = {"errors", "checks", "glyphs"}
BELOW = {*LEAVES, "network", "sample", "neuron", "classifier", "prediction"}
ENGINE = {*BELOW, "pruning"}
EVIDENCE = {*ENGINE, "inspection", "attribution", "visualization"}
# room → the rooms that it may import from
ALLOWED: dict[str, set[str]] = {
    **{leaf: set() for leaf in LEAVES},
    "checks": {"errors"},
    "network": {"errors"},
    "sample": {"errors"},
    "neuron": {"errors"},
    "classifier": {"errors", "checks", "network", "sample", "neuron"},
    "prediction": {"errors", "classifier", "sample"},
    "pruning": BELOW - {"glyphs"},
    "disk": {"errors", "checks", "classifier"},
    # Of examples and facets, attribution says what reached a neuron.
    "inspection": {*ENGINE, "attribution", "disk"} - {"glyphs"},
    "attribution": ENGINE - {"glyphs"},
    "visualization": ENGINE - {"glyphs"},
    "evidence": EVIDENCE,
    "demo": {*EVIDENCE, "evidence"},
    "runtime": {*EVIDENCE, "evidence", "demo", "disk"} - {"glyphs"},
    "widgets": {*EVIDENCE, "evidence", "demo", "disk", "runtime"} - {"glyphs"},
}
# The same between the rooms in a room: a folder or file of it → those that it may not import from.
WITHIN: dict[str, dict[str, set[str]]] = {
    "widgets": {
        "common": {"explorer", "saliency", "lesson", "facets"},
        "saliency": {"explorer", "lesson", "facets"},
        "lesson": {"explorer", "saliency", "facets"},
        "facets": {"explorer", "saliency", "lesson"},
    },
    "pruning": {
        "solvers": {"plans", "traces", "spade", "pruner", "sequential"},
        "calibration": {"solvers", "plans", "traces", "spade", "pruner", "sequential"},
        "traces": {"spade", "pruner", "sequential"},
    },
    "demo": {"emoji": {"photos"}, "photos": {"emoji"}},
}


def imported_rooms(source: str, within: str = "") -> set[str]:
    """The rooms of the package, or of one of its rooms, that a module imports from, wherever that stands."""
    rooms: set[str] = set()
    prefix = f"spade_widgets.{within}." if within else "spade_widgets."
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        rooms.update(name.removeprefix(prefix).split(".")[0] for name in names if name.startswith(prefix))
    return rooms


def test_imports_are_found_wherever_they_stand() -> None:
    source = "def f():\n    from spade_widgets import sample\n    import spade_widgets.runtime.jobs"
    assert imported_rooms(source) == {"sample", "runtime"}
    assert imported_rooms("from spade_widgets.widgets.common import wire", "widgets") == {"common"}


def files_of(room: str) -> list[Path]:
    """The modules of a room: one file, or all in its folder."""
    return [file for file in (PACKAGE / f"{room}.py", *sorted((PACKAGE / room).rglob("*.py"))) if file.exists()]


def rooms_in(folder: Path) -> set[str]:
    """The names of a folder's modules and packages."""
    return {path.stem for path in folder.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}


def test_every_room_of_the_package_has_its_arrows() -> None:
    assert rooms_in(PACKAGE) - {"__init__", *COMMANDS} == set(ALLOWED)


@pytest.mark.parametrize("room", sorted(ALLOWED))
def test_no_arrow_runs_backwards(room: str) -> None:
    known = set(ALLOWED) | COMMANDS
    may = ALLOWED[room] | {room}
    wrong = {file.name: bad for file in files_of(room) if (bad := (imported_rooms(file.read_text()) & known) - may)}
    assert not wrong


@pytest.mark.parametrize(("outer", "inner"), [(outer, inner) for outer, rooms in WITHIN.items() for inner in rooms])
def test_no_arrow_runs_backwards_within_a_room(outer: str, inner: str) -> None:
    wrong = {
        file.name: bad
        for file in files_of(f"{outer}/{inner}")
        if (bad := imported_rooms(file.read_text(), outer) & WITHIN[outer][inner])
    }
    assert not wrong


@pytest.mark.parametrize(
    "folder", sorted(path.parent for path in PACKAGE.rglob("__init__.py")), ids=lambda path: path.name
)
def test_every_folder_says_what_lives_there_and_what_may_be_imported(folder: Path) -> None:
    said = ast.get_docstring(ast.parse((folder / "__init__.py").read_text())) or ""
    assert len(said.splitlines()[0]) > 20
    assert folder == PACKAGE or "May import: " in said


def test_importing_the_package_imports_no_heavy_library() -> None:
    heavy = {"lucent", "captum", "zennit", "plotly", "sklearn", "torch"}
    code = f"import sys, spade_widgets; print(*{heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
