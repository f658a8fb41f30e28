"""A page of JupyterLab in Chromium, driven as a user would drive it, with its kernel at hand to be asked."""

from __future__ import annotations

import io
import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import nbformat
import numpy as np
from browser.server import Server
from PIL import Image
from playwright.sync_api import ConsoleMessage, Locator, Page, expect

# What JupyterLab itself says on a console of any notebook. Everything else is ours to explain.
HARMLESS: tuple[re.Pattern[str], ...] = (
    re.compile("^Could not restore the debugger state: Canceled future"),  # of a notebook that was closed soon
)

_SHUT_DOWN = """
async path => {
  const sessions = window.jupyterapp?.serviceManager.sessions;
  if (!sessions) return;
  await sessions.refreshRunning();
  await Promise.all([...sessions.running()].filter(one => one.path === path).map(one => sessions.shutdown(one.id)));
}
"""
_BESIDE = """
async ([former, path]) => {
  const {shell, commands} = window.jupyterapp;
  const open = [...shell.widgets('main')].find(panel => panel.context?.path === former);
  const {id, name} = open.sessionContext.session.kernel;
  await commands.execute('docmanager:open', {path, factory: 'Notebook', kernel: {id, name}});
  open.dispose();  // nobody asks whether to save it
}
"""
# The Lab opens again what stood on the page when it last wrote that down: now and then a notebook that has left since.
_ALONE = """
path => {
  const open = [...window.jupyterapp.shell.widgets('main')];
  for (const panel of open) if (panel.context && panel.context.path !== path) panel.dispose();
}
"""
_KERNEL = """
async ({code, path}) => {
  const panels = [...window.jupyterapp.shell.widgets('main')];
  const context = panels.find(panel => panel.context?.path === path).sessionContext;
  await context.ready;
  const future = context.session.kernel.requestExecute({code, store_history: false});
  let text = '', failure = null;
  future.onIOPub = message => {
    const {msg_type} = message.header, {content} = message;
    if (msg_type === 'stream' && content.name === 'stdout') text += content.text;
    if (msg_type === 'error') failure = content.traceback.join('\\n');
  };
  await future.done;
  return {text, failure};
}
"""


class Lab:
    """One JupyterLab page with one notebook open in it."""

    def __init__(self, page: Page, server: Server, results: Path) -> None:
        self.page = page
        self.server = server
        self.results = results
        self.path = ""
        self.console: list[str] = []
        self.outside: list[str] = []
        self._shots = 0
        page.set_default_timeout(15_000)
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self.console.append(f"uncaught: {error}"))
        page.on("request", lambda request: self._on_traffic(request.url))
        page.on("websocket", lambda socket: self._on_traffic(socket.url))

    # ---- the notebook

    def write(self, name: str, cells: list[str]) -> str:
        """Writes a notebook of these code cells into the served folder, and returns its path there."""
        notebook = nbformat.v4.new_notebook(  # type: ignore[no-untyped-call]
            cells=[nbformat.v4.new_code_cell(cell) for cell in cells],  # type: ignore[no-untyped-call]
            metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
        )
        nbformat.write(notebook, self.server.root / name)  # type: ignore[no-untyped-call]
        return name

    def open(self, path: str) -> None:
        """Opens a notebook of the served folder and waits until its kernel is there."""
        self.path = path
        # a workspace of its own: the tabs that another page has open are not opened here
        self.page.goto(self.server.link(f"lab/workspaces/{self.results.name}/tree/{path}"))
        self.await_notebook()

    def open_beside(self, path: str) -> None:
        """Opens another notebook in the place of the one that is open, on the same page and with the same kernel."""
        former, self.path = self.path, path
        self.page.evaluate(_BESIDE, [former, path])
        self.await_notebook()

    def await_notebook(self, seconds: float = 60) -> None:
        """Waits until the notebook is on screen and its kernel answers."""
        self.page.wait_for_function(
            """path => {
              const current = window.jupyterapp?.shell?.currentWidget;
              return current?.context?.path === path && current.context.isReady && current.sessionContext.isReady
                && current.sessionContext.session?.kernel?.connectionStatus === 'connected';
            }""",
            arg=self.path,
            timeout=seconds * 1000,
        )

    def command(self, name: str, **arguments: Any) -> Any:
        """Executes a command of the Lab: what its menus, palette and shortcuts execute."""
        return self.page.evaluate(
            "async ([name, args]) => { const r = await window.jupyterapp.commands.execute(name, args);"
            " return ['boolean', 'string', 'number'].includes(typeof r) ? r : null; }",
            [name, arguments],
        )

    def run_all(self) -> None:
        """Runs every cell of the notebook and waits for the last; fails with the traceback where a cell fails."""
        self.command("notebook:run-all-cells")
        failures = self.page.evaluate(
            """() => window.jupyterapp.shell.currentWidget.context.model.toJSON().cells.flatMap(
              cell => (cell.outputs ?? []).filter(o => o.output_type === 'error').map(o => o.traceback.join('\\n')))"""
        )
        assert not failures, _plain("\n".join(failures))

    def keep_widgets(self) -> None:
        """Switches "Save Widget State Automatically" on. The Lab has a command that toggles it, for all its pages."""
        name = "@jupyter-widgets/jupyterlab-manager:saveWidgetState"
        toggled = f"window.jupyterapp.commands.isToggled('{name}')"
        if not self.page.evaluate(f"() => {toggled}"):
            self.command(name)
        self.page.wait_for_function(f"() => {toggled}")

    def save(self) -> None:
        """Saves the notebook, with its outputs, as Ctrl+S does."""
        self.command("docmanager:save")

    def run(self, code: str) -> str:
        """Executes code in the notebook's kernel, outside its cells, and returns what it printed."""
        answer = self.page.evaluate(_KERNEL, {"code": code, "path": self.path})
        assert answer["failure"] is None, _plain(answer["failure"])
        text: str = answer["text"]
        return text

    def value(self, expression: str) -> Any:
        """The value of a Python expression in the kernel, through JSON."""
        return json.loads(self.run(f"import json; print(json.dumps({expression}))"))

    # ---- the page

    def output(self, cell: int) -> Locator:
        """The output area of the cell with this number, counted from 0."""
        area: Locator = self.page.get_by_role("main").locator(".jp-Cell").nth(cell).locator(".jp-Cell-outputArea")
        return area

    def theme(self, name: str) -> None:
        """Switches the Lab's theme: "JupyterLab Dark" or "JupyterLab Light"."""
        self.command("apputils:change-theme", theme=name)
        light = "false" if "Dark" in name else "true"
        expect(self.page.locator("body")).to_have_attribute("data-jp-theme-light", light)

    def reload(self) -> None:
        """Reloads the page, as F5 does, and waits for the notebook to be there again with the kernel it had."""
        self.page.reload()
        self.await_notebook()
        self.page.evaluate(_ALONE, self.path)

    def second_view(self, cell: int) -> Locator:
        """Opens "New View for Cell Output" of a cell: the same widget a second time, in a tab of its own."""
        self.page.evaluate("cell => { window.jupyterapp.shell.currentWidget.content.activeCellIndex = cell; }", cell)
        self.command("notebook:create-output-view")
        view: Locator = self.page.locator(".jp-LinkedOutputView")
        expect(view).to_be_visible()
        return view

    def close_view(self) -> None:
        """Closes the tab that `second_view` opened."""
        self.page.evaluate(
            """() => [...window.jupyterapp.shell.widgets('main')]
              .find(panel => panel.node.querySelector('.jp-LinkedOutputView')).close()"""
        )
        self.await_notebook()

    def screenshot(self, name: str, of: Locator | None = None) -> Image.Image:
        """A picture of the page or of one part of it, kept in test-results/ and returned."""
        self._shots += 1
        path = self.results / f"{self._shots:02d}-{name}.png"
        (of if of is not None else self.page).screenshot(path=path)
        with Image.open(path) as picture:
            return picture.convert("RGB")

    def drop(self, target: Locator, name: str, data: bytes, kind: str) -> None:
        """Drops a file from the desktop on an element: the events that a browser sends, with a real File in them."""
        transfer = self.page.evaluate_handle(
            """([name, bytes, type]) => {
              const transfer = new DataTransfer();
              transfer.items.add(new File([new Uint8Array(bytes)], name, {type}));
              return transfer;
            }""",
            [name, list(data), kind],
        )
        for event in ("dragenter", "dragover", "drop"):
            target.dispatch_event(event, {"dataTransfer": transfer})

    def close(self) -> None:
        """Ends the notebook's kernel, which may work for long, and closes the page."""
        self.page.evaluate(_SHUT_DOWN, self.path)
        self.page.context.close()

    # ---- what must not happen

    def complaints(self) -> list[str]:
        """Errors on the page's console so far, and requests to anywhere else than the server."""
        known = [text for text in self.console if not any(pattern.search(text) for pattern in HARMLESS)]
        return known + [f"request to {url}" for url in self.outside]

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.console.append(f"{message.text} ({message.location.get('url', '')})")

    def _on_traffic(self, url: str) -> None:
        address = urlsplit(url)
        if address.scheme in {"http", "https", "ws", "wss"} and address.netloc != urlsplit(self.server.url).netloc:
            self.outside.append(url)


def pixels(image: Image.Image | bytes) -> np.ndarray[Any, np.dtype[np.float64]]:
    """A picture (or its file's bytes) as (h, w, 3) floats in 0…1."""
    if isinstance(image, bytes):
        image = Image.open(io.BytesIO(image))
    return np.asarray(image.convert("RGB"), dtype=np.float64) / 255


def blank(image: Image.Image | bytes) -> bool:
    """Whether a picture shows (nearly) one colour only: a standard deviation of its pixels below 0.02."""
    return bool(pixels(image).std(axis=(0, 1)).max() < 0.02)


def same(left: Image.Image | bytes, right: Image.Image | bytes) -> bool:
    """Whether two pictures show the same pixels."""
    return bool(np.array_equal(pixels(left), pixels(right)))


def eventually(check: Callable[[], Any], page: Page, seconds: float = 60, what: str = "") -> Any:
    """Waits until `check` gives something true, and returns that; fails by name when it does not in time."""
    end, wait = time.monotonic() + seconds, 20.0
    while True:
        if found := check():
            return found
        if time.monotonic() > end:
            break
        page.wait_for_timeout(wait)  # what is there soon is seen soon, and what takes long is not asked for often
        wait = min(wait * 1.4, 250)
    raise AssertionError(f"not within {seconds:g} s: {what or check}")


def _plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)
