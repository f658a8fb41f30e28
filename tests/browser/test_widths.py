"""How wide a panel is, in whatever it is put: a cell, rows and columns of widgets, a page beside nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from browser.lab import Lab, eventually
from playwright.sync_api import Browser, Locator

pytestmark = pytest.mark.slow

MADE = """
import ipywidgets as w
import spade_widgets as sw
def panel(kind=sw.Explorer):
    return kind("emoji", solver="fast", augmentations=8)
"""
#: what a cell holds → how wide its narrowest panel is to be, as a share of the output
HELD = {
    "panel()": 1,
    "w.VBox([panel()])": 1,
    "w.HBox([panel()])": 1,
    "w.Box([panel()])": 1,
    "w.HBox([panel(sw.SaliencyPanel)])": 1,
    "w.HBox([panel(), w.Button(description='other')])": 0.8,
    "w.HBox([panel(), panel()])": 0.49,
    "w.AppLayout(center=panel(), left_sidebar=w.Label('left'))": 0.6,
    "w.Tab([panel()])": 0.9,
}
_WIDTHS = """
cell => {
  const output = cell.querySelector('.jp-OutputArea-output');
  const panels = [...output.querySelectorAll('.sw-panel')];
  const boxes = [output, ...output.querySelectorAll('.widget-box, .sw-root')];
  return [output.clientWidth, panels.map(panel => panel.clientWidth),
    boxes.filter(box => box.scrollWidth > box.clientWidth + 1).map(box => box.className)];
}
"""


def test_a_panel_takes_the_room_that_there_is(desk: Callable[[list[str]], Lab]) -> None:
    lab = desk([MADE, *HELD])
    lab.run_all()
    for viewport in (1600, 1100, 800):
        lab.page.set_viewport_size({"width": viewport, "height": 1000})
        for number, (held, share) in enumerate(HELD.items(), start=1):
            if held.count("panel()") == 2 and viewport == 800:
                continue  # two telephones' widths are more than there is
            cell = lab.page.get_by_role("main").locator(".jp-Cell").nth(number)
            cell.scroll_into_view_if_needed()

            def fits(cell: Locator = cell, share: float = share) -> bool:
                room, panels, scrolled = cell.evaluate(_WIDTHS)
                return bool(panels) and min(panels) >= share * room - 2 and max(panels) <= room and not scrolled

            eventually(fits, lab.page, 30, f"{held} in {viewport} px: {cell.evaluate(_WIDTHS)}")
    lab.screenshot("row", lab.output(6))


@pytest.mark.parametrize("row", [False, True])
def test_a_lesson_on_a_page_of_any_width(browser: Browser, small_lesson: Path, row: bool) -> None:
    page = browser.new_page()
    try:
        page.goto(small_lesson.as_uri())
        if row:
            page.evaluate("() => { document.body.style.display = 'flex'; }")
        for width in (1400, 760, 320):
            page.set_viewport_size({"width": width, "height": 900})
            shown, wide = page.evaluate(
                "() => [document.querySelector('.sw-panel').clientWidth, document.documentElement.scrollWidth]"
            )
            assert wide <= width
            assert shown >= min(width, 1120) - 20
    finally:
        page.close()
