"""Every notebook runs from its first cell to its last.

The first one does in the browser, too, each time (`browser/test_quickstart.py`).
"""

from __future__ import annotations

import shutil
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

CHECKOUT = Path(__file__).parents[1]
NOTEBOOKS = sorted((CHECKOUT / "notebooks").glob("*.ipynb"))


def test_there_are_notebooks() -> None:
    assert "01_quickstart.ipynb" in [notebook.name for notebook in NOTEBOOKS]


@pytest.mark.slow
@pytest.mark.parametrize(
    "notebook",
    [pytest.param(n, id=n.stem, marks=pytest.mark.rare) for n in NOTEBOOKS],
)
def test_notebook_runs(
    notebook: Path, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a folder of its own, with nobody's Jupyter settings. One that names SPADE_WIDGETS_DATA needs real weights."""
    if "SPADE_WIDGETS_DATA" in notebook.read_text():
        monkeypatch.setenv("SPADE_WIDGETS_DATA", str(request.getfixturevalue("data_dir").resolve()))
    for place in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR"):
        monkeypatch.setenv(place, str(tmp_path / place.lower()))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    folder = tmp_path / "notebooks"
    folder.mkdir()
    shutil.copy(notebook, folder)
    content = nbformat.read(notebook, as_version=4)
    assert content.cells
    client = NotebookClient(content, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(folder)}})
    client.execute()  # raises where a cell fails
    code = [cell for cell in content.cells if cell.cell_type == "code" and cell.source.strip()]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
