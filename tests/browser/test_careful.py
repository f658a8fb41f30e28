"""Careful traces as a user asks for them: keep the prediction, block by block, a plan file; what pictures then say."""

from __future__ import annotations

import json
import re

import pytest
from browser.lab import eventually
from browser.panel import Panel
from playwright.sync_api import Locator, expect

pytestmark = pytest.mark.slow


def toggle(panel: Panel, name: str) -> Locator:
    return panel.root.get_by_role("button", name=name, exact=True)


def fits(part: Locator) -> bool:
    """Whether nothing of it is cut off."""
    return bool(part.evaluate("part => part.scrollWidth <= part.clientWidth + 1"))


def within(root: Locator, *parts: Locator) -> list[list[float]]:
    """Where parts are in the panel, wherever the page has been scrolled to: left, top, width and height of each."""
    around = root.bounding_box()
    boxes = [part.bounding_box() for part in parts]
    assert around
    return [[b["x"] - around["x"], round(b["y"] - around["y"], 3), b["width"], b["height"]] for b in boxes if b]


@pytest.mark.rare
def test_careful_traces(panel: Panel) -> None:
    page = panel.lab.page
    keep, blocks = toggle(panel, "Keep the prediction"), toggle(panel, "Block by block")
    parts = (keep, blocks, panel.slider)
    places = within(panel.root, *parts)

    # The slider goes where the sparsest trace that keeps the prediction was found.
    keep.click()
    panel.await_value("explorer.fidelity", 0.9)
    panel.await_pictures()
    expect(keep).to_have_attribute("aria-pressed", "true")
    expect(panel.root.get_by_text(re.compile("^found: says"))).to_be_visible()
    found = panel.lab.value("explorer.trace_summary['sparsity']")
    assert float(panel.slider.get_attribute("aria-valuenow") or "nan") == pytest.approx(found)
    assert panel.lab.value("explorer.trace.fidelity.reached") >= 0.9
    assert "fidelity=0.9" in panel.lab.value("explorer.code")
    assert within(panel.root, *parts) == places
    panel.lab.screenshot("kept", panel.root)
    # A sparsity of one's own counts again.
    panel.slider.press("ArrowLeft")
    panel.await_value("explorer.fidelity", None)
    expect(keep).to_have_attribute("aria-pressed", "false")

    blocks.click()
    panel.await_value("explorer.sequential", value=True)
    panel.await_pictures()
    expect(blocks).to_have_attribute("aria-pressed", "true")
    assert panel.lab.value("explorer.trace.sequential") is True

    # Its preset asks for a file where there is no plan yet.
    layers = panel.root.get_by_role("combobox", name="layers", exact=True)
    name = panel.lab.value("explorer.trace.plan.layers[-1]")
    with page.expect_file_chooser() as chooser:
        layers.select_option("plan")
    content = json.dumps({"plan": {name: 0.8}, "tuned_on": []}).encode()
    chooser.value.set_files({"name": "tuned.json", "mimeType": "application/json", "buffer": content})
    panel.await_value("explorer.preset", "plan")
    panel.await_pictures()
    assert panel.lab.value("dict(explorer.trace.plan.sparsities)") == {name: 0.8}
    expect(layers).to_have_value("plan")
    expect(panel.root.get_by_text(f"{name} 80 %")).to_be_visible()
    panel.lab.screenshot("plan", panel.root)
    panel.lab.drop(panel.samples, "bad.json", b'{"nolayer": 0.5}', "application/json")
    eventually(lambda: "nolayer" in panel.alert(), page, what="what is wrong with the file")
    panel.root.get_by_role("button", name="Dismiss").click()

    # A trace that says something else says so in its own picture's caption, on small screens too.
    panel.lab.run("explorer.sequential, explorer.solver, explorer.preset = False, 'magnitude', 'all'")
    panel.type_sparsity("98")
    panel.await_pictures()
    trace = panel.lab.value("explorer.trace_summary")
    assert not trace["agrees"]
    caption = (
        panel.root.get_by_role("figure")
        .filter(has_text="Trace of this sample")
        .get_by_text(f"says ‘{trace['sparse_class']}’ here", exact=True)
    )
    expect(caption).to_be_visible()
    panel.lab.screenshot("disagrees", panel.root)
    size = page.viewport_size
    assert size
    try:
        for theme in ("JupyterLab Dark", "JupyterLab Light"):
            panel.lab.theme(theme)
            for width in (1500, 900, 640):  # the Lab leaves 1060, 530 and 270 to the panel
                page.set_viewport_size({"width": width, "height": 1000})
                expect(caption).to_be_visible()
                assert fits(caption)
                assert fits(keep)
                assert fits(blocks)
                panel.lab.screenshot(f"{theme}-{width}", panel.root)
    finally:
        page.set_viewport_size(size)
        panel.lab.theme("JupyterLab Light")
