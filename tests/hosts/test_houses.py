"""The Explorer in Jupyter Notebook 7, in Voilà and in marimo, each in a real browser."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

import nbformat
import pytest
from browser.lab import eventually, pixels
from browser.server import free_port
from hosts.house import House, serving, works
from playwright.sync_api import Browser, expect

SMALL = (
    'sw.Explorer("emoji", neuron="logit:pet", augmentations=32, steps=48)'  # less than a user's, for the tests' time
)

MARIMO = f"""
import marimo

app = marimo.App(width="full")


@app.cell
def _():
    import marimo as mo
    import spade_widgets as sw

    panel = mo.ui.anywidget({SMALL})
    return mo, panel


@app.cell
def _(panel):
    panel
    return


@app.cell
def _(mo, panel):
    mo.md(f"The sparsity is {{panel.value['sparsity']:.2f}}.")
    return
"""


def needs(house: str) -> None:
    if find_spec(house) is None:
        pytest.skip(f"{house} is not installed: `make test-hosts` installs it")


def write_notebook(path: Path) -> None:
    notebook = nbformat.v4.new_notebook(  # type: ignore[no-untyped-call]
        cells=[
            nbformat.v4.new_markdown_cell("# A heading"),  # type: ignore[no-untyped-call]
            nbformat.v4.new_code_cell(f"import spade_widgets as sw\n{SMALL}"),  # type: ignore[no-untyped-call]
        ],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
    )
    nbformat.write(notebook, path)  # type: ignore[no-untyped-call]


def test_notebook_7(browser: Browser, tmp_path: Path) -> None:
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
    # Notebook 7.6 says this of every notebook, with no widget in it.
    house = House.open(browser, "notebook", url, own=(r"uncaught: .*reading 'schema'",))
    with serving(command, f"{url}/api/status?token=open", tmp_path):
        house.page.goto(f"{url}/notebooks/panel.ipynb?token=open")
        house.page.wait_for_function(
            "window.jupyterapp?.shell?.currentWidget?.sessionContext?.session?.kernel?.connectionStatus === 'connected'"
        )
        house.page.evaluate("void window.jupyterapp.commands.execute('notebook:run-all-cells')")
        works(house)
        # Another letter would delete the cell: the notebook's shortcuts stay outside of the panel.
        for key in ("x", "d", "d", "ArrowLeft"):
            house.slider.press(key)
        expect(house.slider).to_have_attribute("aria-valuenow", "0.87")
        house.page.evaluate("window.jupyterapp.commands.execute('apputils:change-theme', {theme: 'JupyterLab Dark'})")
        expect(house.page.locator("body")).to_have_attribute("data-jp-theme-light", "false")
        eventually(lambda: dark(house), house.page, 10, "a dark panel")
        assert house.complaints() == []
        house.close()


def test_voila(browser: Browser, tmp_path: Path) -> None:
    needs("voila")
    write_notebook(tmp_path / "panel.ipynb")
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "voila", "panel.ipynb", "--no-browser", f"--port={port}", "--Voila.ip=127.0.0.1"]
    # Voilà's own template asks a CDN for Font Awesome; JupyterLab's extensions complain of Voilà's older core.
    own = ("fontawesome", "ERR_NAME_NOT_RESOLVED|ERR_INTERNET_DISCONNECTED", "shared module", "module-federation")
    house = House.open(browser, "voila", url, own)
    with serving(command, f"{url}/favicon.ico", tmp_path):
        house.page.goto(url, wait_until="commit")  # the page ends when the notebook does
        works(house)
        assert house.complaints() == []
        house.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_marimo(browser: Browser, tmp_path: Path, theme: str) -> None:
    needs("marimo")
    (tmp_path / "app.py").write_text(MARIMO)
    (tmp_path / ".marimo.toml").write_text(f'[display]\ntheme = "{theme}"\n')
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [
        *(sys.executable, "-m", "marimo", "run", "app.py", "--headless", "--no-token"),
        *("--host=127.0.0.1", f"--port={port}"),
    ]
    house = House.open(browser, f"marimo-{theme}", url)
    settings = {"MARIMO_SKIP_UPDATE_CHECK": "1", "HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path / "config")}
    with serving(command, f"{url}/health", tmp_path, **settings):
        house.page.goto(url)
        works(house)
        expect(house.page.get_by_text("The sparsity is 0.88.")).to_be_visible()  # its own cells follow
        assert dark(house) == (theme == "dark")
        says_what_it_lacks(house)
        assert house.complaints() == []
        house.close()


def says_what_it_lacks(house: House) -> None:
    """marimo does not find widgets that a panel makes later: the panel says so, and shows the chart's table."""
    house.page.get_by_role("button", name="Saliency", exact=True).click()
    expect(house.page.get_by_text("The saliency panel can't be shown here.")).to_be_visible(timeout=60_000)
    house.page.get_by_text("What is left").click()
    expect(house.page.get_by_role("rowheader", name="fc")).to_be_visible(timeout=60_000)
    house.screenshot("children")


def dark(house: House) -> bool:
    """Whether the panel is."""
    corner = house.page.locator(".sw-header").first.screenshot()
    return bool(pixels(corner)[1, 1].mean() < 0.3)
