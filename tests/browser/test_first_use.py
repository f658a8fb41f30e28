"""What someone meets who opens a panel for the first time: nothing is out of sight, cut off, covered, or jumps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from browser.lab import Lab, eventually
from browser.panel import Panel
from playwright.sync_api import Locator, expect

pytestmark = pytest.mark.slow

EXPLORER = """
import spade_widgets as sw
explorer = sw.Explorer("emoji", solver="fast", augmentations=8, steps=6)
explorer
"""
SALIENCY = """
import spade_widgets as sw
panel = sw.SaliencyPanel("emoji", solver="fast", augmentations=8, methods=["saliency"])
panel
"""
#: Each tile whose text the end of the list goes through, at the list's beginning.
_CUT = """
list => {
  const end = list.getBoundingClientRect().bottom;
  return [...list.querySelectorAll('.sw-tile')].filter(tile => {
    const text = tile.querySelector('.sw-tile-text').getBoundingClientRect();
    return text.top < end - 1 && end < text.bottom - 1;
  }).map(tile => tile.textContent);
}
"""
_WATCH_HEIGHT = """
root => {
  window.heights = [];
  new ResizeObserver(() => window.heights.push(root.offsetHeight)).observe(root);
}
"""


def box(element: Locator) -> dict[str, float]:
    """Where an element is on the page; it must be there."""
    found = element.bounding_box()
    assert found
    return {**found, "bottom": found["y"] + found["height"], "right": found["x"] + found["width"]}


def test_the_slider_is_seen_with_the_pictures_and_the_maps(panel: Panel) -> None:
    root = panel.root
    try:
        for centre in ("Both", "Saliency", "Visualization"):
            root.get_by_role("button", name=centre, exact=True).click()
            panel.await_value("explorer.centre", centre.lower())
            slider, choice = box(panel.slider), box(root.get_by_role("button", name="Both", exact=True))
            assert slider["bottom"] - choice["y"] < 700
            if centre != "Visualization":
                maps = root.locator(".sw-maps")
                expect(maps).to_be_visible()
                assert 0 < box(maps)["y"] - slider["bottom"] < 300
    finally:
        root.get_by_role("button", name="Visualization", exact=True).click()
        panel.await_value("explorer.centre", "visualization")


def test_the_list_of_samples_ends_in_no_text(panel: Panel) -> None:
    page, columns = panel.lab.page, panel.root.locator(".sw-columns")
    size = page.viewport_size
    assert size
    scroller = panel.root.locator(".sw-samples .sw-scroll")
    try:
        # whatever height the other columns give: over more than a row of tiles
        for height in range(560, 660, 7):
            columns.evaluate("(columns, high) => { columns.style.gridTemplateRows = `${high}px`; }", height)
            eventually(lambda: scroller.evaluate(_CUT) == [], page, 10, f"whole texts in {height} px")
            assert scroller.evaluate("list => list.scrollHeight > list.clientHeight")
        columns.evaluate("columns => { columns.style.gridTemplateRows = ''; }")
        for width in (1700, 1340, 1000, 800):
            page.set_viewport_size({"width": width, "height": 1000})
            eventually(lambda: scroller.evaluate(_CUT) == [], page, 10, f"whole texts in {width} px")
    finally:
        columns.evaluate("columns => { columns.style.gridTemplateRows = ''; }")
        page.set_viewport_size(size)


def test_what_a_choice_of_layers_means_is_there_whole_and_moves_nothing(panel: Panel) -> None:
    root = panel.root
    layers, said = root.get_by_role("combobox", name="layers"), root.locator(".sw-preset-description")
    placed = set()
    for preset in panel.lab.value("[p['key'] for p in explorer.presets if p['key'] not in ('pattern', 'plan')]"):
        layers.select_option(preset)
        panel.await_value("explorer.preset", preset)
        described = panel.lab.value(f"next(p['description'] for p in explorer.presets if p['key'] == {preset!r})")
        expect(said).to_have_text(described)
        whole: list[float] = said.evaluate(
            """p => {
              const range = document.createRange();
              range.selectNodeContents(p);
              const [text, room] = [range.getBoundingClientRect(), p.getBoundingClientRect()];
              return [room.right - text.right, room.bottom - text.bottom];
            }"""
        )
        assert min(whole) >= -1
        placed.add(round(box(root.locator(".sw-facts"))["y"]))
    assert len(placed) == 1


def test_the_focus_goes_around_the_percent_sign(panel: Panel) -> None:
    panel.sparsity.focus()
    panel.lab.page.keyboard.press("Shift+Tab")
    panel.lab.page.keyboard.press("Tab")
    around: dict[str, Any] = panel.sparsity.evaluate(
        """field => {
          let ring = field;
          while (getComputedStyle(ring).outlineStyle === 'none') ring = ring.parentElement;
          const [{right}, sign] = [ring.getBoundingClientRect(), field.nextElementSibling.getBoundingClientRect()];
          return {ring: ring.className, right, sign: sign.right, width: sign.width};
        }"""
    )
    assert around["width"] > 5
    assert around["right"] >= around["sign"]
    panel.lab.screenshot("focus", panel.root.locator(".sw-sparsity"))


def test_plotlys_toolbar_covers_no_title(desk: Callable[[list[str]], Lab]) -> None:
    lab = desk([SALIENCY])
    lab.run_all()
    root = lab.output(0)
    root.get_by_role("button", name="Curves", exact=True).click()
    chart = root.locator(".js-plotly-plot")
    expect(chart).to_be_visible(timeout=90_000)
    titles = chart.locator(".annotation-text")
    expect(titles).to_have_count(2)
    chart.hover()
    toolbar = box(chart.locator(".modebar"))
    lab.screenshot("toolbar", chart)
    for title in titles.all():
        named = box(title)
        apart = named["y"] >= toolbar["bottom"] or named["right"] <= toolbar["x"] or named["bottom"] <= toolbar["y"]
        assert apart, f"{title.text_content()} lies under the toolbar"


def test_the_first_look_at_maps_and_a_moved_cell_change_nothing_else(desk: Callable[[list[str]], Lab]) -> None:
    lab = desk([EXPLORER, "1 + 1"])
    lab.run_all()
    panel = Panel(lab, lab.output(0))
    panel.await_shown()
    panel.await_rest()

    root = panel.root.locator(".sw-root").first
    before = int(box(root)["height"])
    root.evaluate(_WATCH_HEIGHT)
    panel.root.get_by_role("button", name="Saliency", exact=True).click()
    expect(panel.root.locator(".sw-maps")).to_be_visible(timeout=60_000)
    panel.await_rest()
    assert min(lab.page.evaluate("() => window.heights")) >= before - 2

    panel.open_chart()
    lab.page.evaluate("() => { window.jupyterapp.shell.currentWidget.content.activeCellIndex = 0; }")
    lab.command("notebook:move-cell-down")
    moved = Panel(lab, lab.output(1))
    moved.await_shown()
    expect(moved.root.locator("details")).to_have_attribute("open", "")
    expect(moved.root.locator(".js-plotly-plot .point").first).to_be_visible(timeout=60_000)
