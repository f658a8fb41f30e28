"""What was computed is found again by the next kernel, and what was shown is seen where no kernel is."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from browser.lab import Lab, blank, same
from browser.panel import TITLES, Panel
from browser.server import CHECKOUT
from nbconvert import HTMLExporter
from nbformat import read
from playwright.sync_api import Browser, Locator, expect

EXPLORER = """
import spade_widgets as sw
explorer = sw.Explorer("emoji", solver="fast", augmentations=8, steps=12, centre="both", cache="kept")
explorer
"""
SHORT = """
import spade_widgets as sw
explorer = sw.Explorer("emoji", solver="fast", augmentations=8, steps=8)
explorer
"""
SALIENCY = """
panel = sw.SaliencyPanel(explorer)
panel
"""
STATIC = ".spade-widgets-static"
SHOWN = """(
    [bytes(png).hex() for png in (explorer.dense_file, explorer.sparse_file)],
    {"/".join(cell): map.tobytes().hex() for cell, map in explorer.saliency_panel.maps().items()},
    [row.error for row in explorer.trace.stats()],
)"""
# A step of a picture or a map fails, and the panel says so; of traces it is noted which are made.
FORBID = """
from spade_widgets.pruning.pruner import Pruner
from spade_widgets.runtime import attribute
from spade_widgets.visualization import Renderer

def forbidden(*_, **__):
    raise AssertionError("this should have been found")

Renderer.step = attribute.noted_steps = forbidden
prune, pruned = Pruner.prune, []

def noted(self, calibration, plans):
    pruned.extend(max(plan.sparsities.values()) for plan in plans)
    return prune(self, calibration, plans)

Pruner.prune = noted
"""


def hidden(lab: Lab) -> list[int]:
    """How high the outputs are on screen that hold saved pictures."""
    script = """e => e.map(x => x.closest('.jp-OutputArea-child').offsetHeight)"""
    heights: list[int] = lab.page.locator(STATIC).evaluate_all(script)
    return heights


def picture(root: Locator) -> Any:
    """The saved picture on screen, which has to be loaded by then."""
    image = root.locator(f"{STATIC} img").first
    expect(image).to_be_visible()
    assert image.evaluate("e => e.decode().then(() => e.naturalWidth)") > 300
    return image


def test_another_kernel_finds_all_of_it_and_computes_nothing(lab: Lab) -> None:
    lab.open(lab.write("kept.ipynb", [EXPLORER]))
    lab.run_all()
    assert lab.value("explorer.wait(240)")
    first = lab.value(SHOWN)
    assert len(first[1]) == 6
    lab.run("explorer.session.cache.flush()")
    lab.page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()")
    lab.run(FORBID)
    lab.run_all()
    assert lab.value("explorer.wait(240)")
    assert lab.value("(explorer.error, explorer.status['state'])") == ["", "idle"]
    assert lab.value(SHOWN) == first
    assert lab.value("explorer.sparsity not in pruned")  # its neighbours are traced while nothing else is to be done
    panel = Panel(lab, lab.output(0))
    for which in TITLES:
        expect(panel.canvas(which)).to_have_attribute("aria-label", re.compile(": done"))
        assert not blank(panel.png(which))


def test_the_saved_picture_is_not_seen_beside_the_panel_nor_in_the_first_moment(
    desk: Callable[[list[str]], Lab],
) -> None:
    lab = desk([SHORT, "display(explorer)", SALIENCY])
    lab.page.evaluate(
        """() => {
          window.tallest = 0;
          const look = () => {
            for (const e of document.querySelectorAll('.spade-widgets-static'))
              window.tallest = Math.max(window.tallest, e.offsetHeight);
            requestAnimationFrame(look);
          };
          look();
        }"""
    )
    lab.run_all()
    assert lab.value("explorer.wait(240) and panel.wait(240)")
    lab.page.wait_for_timeout(3500)  # by then a style that holds it back for a moment has ended
    assert hidden(lab) == [0, 0, 0]
    assert lab.page.evaluate("window.tallest") == 0
    lab.run_all()  # another panel in the place of the first
    assert lab.value("explorer.wait(240)")
    assert hidden(lab) == [0, 0, 0]


@pytest.fixture(scope="module")
def saved(new_lab: Callable[[str], Lab]) -> Path:
    """A notebook with both panels that was saved when all of it was computed."""
    lab = new_lab("nothing-is-lost-saved")
    lab.open(lab.write("saved.ipynb", [SHORT, SALIENCY]))
    lab.run_all()
    lab.run("explorer.sparsity = 0.5")
    assert lab.value("explorer.wait(240) and panel.wait(240)")
    lab.page.wait_for_timeout(1000)
    lab.save()
    complaints = lab.complaints()
    lab.close()
    assert not complaints
    return lab.server.root / "saved.ipynb"


def test_a_saved_notebook_shows_the_last_pictures_without_a_kernel(saved: Path, new_lab: Callable[[str], Lab]) -> None:
    assert "widgets" not in json.loads(saved.read_text())["metadata"]
    saved.with_name("reopened.ipynb").write_text(saved.read_text())
    lab = new_lab("nothing-is-lost-reopened")
    lab.open("reopened.ipynb")
    for theme in ("JupyterLab Light", "JupyterLab Dark"):
        lab.theme(theme)
        for cell, title in ((0, "SPADE Explorer"), (1, "SPADE Saliency")):
            output = lab.output(cell)
            expect(output.locator(STATIC)).to_contain_text(title)
            expect(output.locator(STATIC)).to_contain_text("50 %")
            assert not blank(lab.screenshot(f"{title}-{theme}", picture(output)))


@pytest.mark.rare
def test_a_notebook_saved_with_the_state_of_its_widgets_shows_the_panel_alone(
    lab: Lab, new_lab: Callable[[str], Lab]
) -> None:
    lab.open(lab.write("state.ipynb", [SHORT]))
    lab.keep_widgets()
    lab.run_all()
    assert lab.value("explorer.wait(240)")
    pngs = {which: Panel(lab, lab.output(0)).png(which) for which in TITLES}
    lab.page.wait_for_timeout(1000)
    lab.save()
    saved = lab.server.root / "state.ipynb"
    assert "widgets" in json.loads(saved.read_text())["metadata"]
    (lab.server.root / "state-reopened.ipynb").write_text(saved.read_text())
    other = new_lab("nothing-is-lost-state")
    other.open("state-reopened.ipynb")
    panel = Panel(other, other.output(0))
    panel.await_shown()
    for which, png in pngs.items():
        canvas = panel.canvas(which)
        expect(canvas).to_be_visible()
        other.page.wait_for_timeout(500)
        assert same(panel.picture(which), png)
    assert hidden(other) == [0]


def test_nbconvert_shows_the_panel_on_a_page_without_the_network(saved: Path, browser: Browser, tmp_path: Path) -> None:
    notebook = read(saved, as_version=4)  # type: ignore[no-untyped-call]
    html, _ = HTMLExporter(embed_images=True).from_notebook_node(notebook)
    page_file = tmp_path / "converted.html"
    page_file.write_text(html, encoding="utf-8")
    context = browser.new_context(viewport={"width": 1200, "height": 1200}, offline=True)
    try:
        page = context.new_page()
        page.goto(page_file.as_uri())
        stills = page.locator(STATIC)
        expect(stills).to_have_count(2)
        for place, said in ((0, "logit:"), (1, "LRP")):
            still = stills.nth(place)
            expect(still).to_contain_text(said)
            assert still.locator("img").evaluate("e => e.decode().then(() => e.naturalWidth)") > 300
        page.screenshot(path=CHECKOUT / "test-results" / "nothing-is-lost-saved" / "nbconvert.png")
    finally:
        context.close()
