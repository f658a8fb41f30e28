"""The Lab's shortcuts while the focus is in a panel: those of the whole page work, those of the cells do nothing."""

from __future__ import annotations

import pytest
from browser.lab import eventually
from browser.panel import Panel
from playwright.sync_api import Locator, expect

pytestmark = pytest.mark.slow

_CELLS = "() => window.jupyterapp.shell.currentWidget.context.model.toJSON().cells.map(cell => [cell.id, cell.source])"
_COUNT = "print(get_ipython().execution_count)"
_DIRTY = "() => window.jupyterapp.shell.currentWidget.context.model.dirty"


def places(panel: Panel) -> dict[str, Locator]:
    """Where the focus may be: what is dragged, typed in, chosen from and looked at."""
    return {
        "slider": panel.slider,
        "field": panel.sparsity,
        "tile": panel.samples.get_by_role("radio", checked=True),
        "select": panel.layer,
        "picture": panel.canvas("dense").locator(".."),
    }


@pytest.mark.parametrize("place", ["slider", "field", "tile", "select", "picture"])
def test_shortcuts_of_the_page_work_in_the_panel(panel: Panel, place: str) -> None:
    page, focus = panel.lab.page, places(panel)[place]
    page.evaluate("() => { window.jupyterapp.shell.currentWidget.context.model.dirty = true; }")
    focus.focus()
    page.keyboard.press("Control+s")
    eventually(lambda: not page.evaluate(_DIRTY), page, 10, "Ctrl+S saves")

    palette = page.locator("#modal-command-palette")
    focus.focus()
    page.keyboard.press("Control+Shift+c")
    expect(palette).to_be_visible()
    page.keyboard.press("Escape")
    expect(palette).to_be_hidden()

    search = page.locator(".jp-DocumentSearch-overlay")
    focus.focus()
    page.keyboard.press("Control+f")
    expect(search).to_be_visible()
    page.keyboard.press("Escape")
    expect(search).to_be_hidden()


@pytest.mark.parametrize("place", ["slider", "field", "tile", "picture"])
def test_shortcuts_of_cells_do_nothing_in_the_panel(panel: Panel, place: str) -> None:
    page, focus = panel.lab.page, places(panel)[place]
    started = panel.lab.run(_COUNT)
    before = page.evaluate(_CELLS)
    keys = ["a", "b", "x", "d", "d", "m", "y", "Shift+m", "Control+Enter", "Shift+Enter", "Alt+Enter", "Control+m"]
    keys += ["Control+Shift+ArrowUp", "Control+Backspace", "Control+Shift+m", "Control+z", "Control+Shift+z", "0", "0"]
    for key in keys:
        focus.focus()
        page.keyboard.press(key)
    assert page.evaluate(_CELLS) == before
    assert panel.lab.run(_COUNT) == started  # no cell ran
    expect(page.get_by_role("dialog")).to_have_count(0)  # nobody asks whether to restart the kernel
    expect(panel.root.get_by_role("heading", name="SPADE Explorer")).to_be_visible()


def test_a_text_field_keeps_its_own_keys(panel: Panel) -> None:
    field = panel.channel
    field.fill("123")
    field.press("Control+a")
    assert field.evaluate("field => [field.selectionStart, field.selectionEnd]") == [0, 3]
    field.press("4")
    expect(field).to_have_value("4")
    field.press("Control+z")
    expect(field).to_have_value("123")
    field.press("Escape")
