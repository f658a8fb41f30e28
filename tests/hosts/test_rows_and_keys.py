"""In Notebook 7 and in marimo: the house's own shortcuts within a panel, and a panel in a row."""

from __future__ import annotations

import sys
from pathlib import Path

from browser.lab import eventually
from browser.server import free_port
from hosts.house import House, serving
from hosts.test_houses import needs, write_notebook
from playwright.sync_api import Browser, expect

MARIMO = """
import marimo

app = marimo.App(width="full")


@app.cell
def _():
    import marimo as mo
    import spade_widgets as sw

    alone = mo.ui.anywidget(sw.Explorer("emoji", augmentations=8, steps=6))
    beside = mo.ui.anywidget(sw.Explorer("emoji", augmentations=8, steps=6))
    return alone, beside, mo


@app.cell
def _(alone, mo):
    mo.hstack([alone])
    return


@app.cell
def _(beside, mo):
    mo.hstack([beside, mo.md("beside it")])
    return
"""


def test_notebook_7_hears_its_shortcuts_and_its_cells_none(browser: Browser, tmp_path: Path) -> None:
    needs("notebook")
    root = tmp_path / "notebooks"
    root.mkdir()
    write_notebook(root / "panel.ipynb")
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [
        *(sys.executable, "-m", "notebook", "--no-browser", "--allow-root", "--expose-app-in-browser"),
        *(f"--ServerApp.port={port}", "--ServerApp.port_retries=0", "--ServerApp.ip=127.0.0.1"),
        *("--IdentityProvider.token=open", f"--ServerApp.root_dir={root}"),
    ]
    house = House.open(browser, "notebook-keys", url)
    page = house.page
    with serving(command, f"{url}/api/status?token=open", tmp_path):
        page.goto(f"{url}/notebooks/panel.ipynb?token=open")
        page.wait_for_function(
            "window.jupyterapp?.shell?.currentWidget?.sessionContext?.session?.kernel?.connectionStatus === 'connected'"
        )
        page.evaluate("void window.jupyterapp.commands.execute('notebook:run-all-cells')")
        expect(house.slider).to_be_visible(timeout=90_000)
        model = "window.jupyterapp.shell.currentWidget.context.model"
        page.evaluate(f"() => {{ {model}.dirty = true; }}")
        house.slider.press("Control+s")
        eventually(lambda: not page.evaluate(f"() => {model}.dirty"), page, 30, "Ctrl+S saves")
        house.slider.press("Control+Shift+c")
        expect(page.locator("#modal-command-palette")).to_be_visible()
        page.keyboard.press("Escape")

        cells = page.evaluate(f"() => {model}.toJSON().cells.map(cell => cell.id)")
        for key in ("a", "x", "d", "d", "Alt+Enter", "Control+z", "Control+Shift+ArrowUp"):
            house.slider.press(key)
        assert page.evaluate(f"() => {model}.toJSON().cells.map(cell => cell.id)") == cells
        house.close()


def test_marimos_rows_have_room_for_a_panel(browser: Browser, tmp_path: Path) -> None:
    needs("marimo")
    (tmp_path / "app.py").write_text(MARIMO)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [
        *(sys.executable, "-m", "marimo", "run", "app.py", "--headless", "--no-token"),
        *("--host=127.0.0.1", f"--port={port}"),
    ]
    house = House.open(browser, "marimo-row", url)
    settings = {"MARIMO_SKIP_UPDATE_CHECK": "1", "HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path / "config")}
    with serving(command, f"{url}/health", tmp_path, **settings):
        house.page.goto(url)
        panels = house.page.locator(".sw-panel")
        expect(panels).to_have_count(2, timeout=90_000)
        for panel in panels.all():
            eventually(
                lambda panel=panel: panel.evaluate("p => p.clientWidth") > 900, house.page, 30, "a panel's width"
            )
        assert house.page.evaluate("() => document.documentElement.scrollWidth <= window.innerWidth")
        house.screenshot("row")
        house.close()
