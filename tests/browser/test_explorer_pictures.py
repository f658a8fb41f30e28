"""How pictures are made, chosen in the page: MACO, four of a neuron, or begun at the sample."""

from __future__ import annotations

import io

import pytest
from browser.lab import same
from browser.panel import Panel
from PIL import Image
from playwright.sync_api import expect

pytestmark = pytest.mark.slow


def test_maco_and_four_pictures_are_chosen_shown_and_left_again(panel: Panel) -> None:
    dense, sparse = panel.picture("dense"), panel.picture("sparse")
    button = panel.root.get_by_role("button", name="Pictures: Fourier")
    button.click()
    options = panel.root.get_by_role("dialog")
    options.get_by_role("button", name="MACO").click()
    panel.await_value("explorer.image", "maco")
    options.get_by_role("group", name="Pictures of the neuron").get_by_role("button", name="4").click()
    panel.await_value("explorer.count", 4)
    panel.lab.screenshot("options", panel.root)
    panel.lab.page.keyboard.press("Escape")
    panel.await_pictures()
    shown = panel.root.get_by_role("button", name="Pictures: MACO × 4")
    expect(shown).to_be_visible()
    side = panel.lab.value("explorer.session.classifier.input_size[1]")
    for which in ("dense", "sparse"):
        assert Image.open(io.BytesIO(panel.picture(which))).width == 2 * side + 2
        assert same(panel.picture(which), panel.png(which))
    panel.lab.screenshot("four", panel.root)
    panel.lab.theme("JupyterLab Dark")
    shown.click()
    panel.lab.screenshot("four-dark", panel.root)
    panel.lab.page.keyboard.press("Escape")
    panel.lab.theme("JupyterLab Light")
    panel.lab.run("explorer.image, explorer.count = 'fourier', 1")
    panel.await_pictures()
    assert same(panel.picture("dense"), dense)
    assert same(panel.picture("sparse"), sparse)


def test_pictures_that_begin_at_the_sample_are_chosen_say_so_and_follow_it(panel: Panel) -> None:
    dense, sparse = panel.picture("dense"), panel.picture("sparse")
    said = panel.root.get_by_text("Begins at the sample: its own object is in the picture by construction.")
    expect(said).to_have_count(0)
    panel.root.get_by_role("button", name="Pictures: Fourier").click()
    options = panel.root.get_by_role("dialog")
    options.get_by_role("button", name="Sample").click()
    panel.await_value("explorer.image", "sample")
    panel.lab.screenshot("begun-options", panel.root)
    panel.lab.page.keyboard.press("Escape")
    panel.await_pictures()
    expect(said).to_be_visible()
    begun = {which: panel.picture(which) for which in ("dense", "sparse")}
    for which, before in (("dense", dense), ("sparse", sparse)):
        assert same(begun[which], panel.png(which))
        assert not same(begun[which], before)
    panel.lab.screenshot("begun", panel.root)
    panel.root.get_by_role("button", name="Pictures: Sample").click()
    options.get_by_role("group", name="How near pictures stay to the sample").get_by_role("button", name="Near").click()
    panel.await_value("explorer.near", 0.75)
    panel.lab.page.keyboard.press("Escape")
    panel.await_pictures()
    assert not same(panel.picture("dense"), begun["dense"])
    # The dense picture, too, is another sample's.
    there = panel.lab.value("explorer.sample_id")
    near = panel.picture("dense")
    panel.lab.run("explorer.sample = 1")
    panel.await_pictures()
    assert not same(panel.picture("dense"), near)
    panel.lab.theme("JupyterLab Dark")
    panel.lab.screenshot("begun-dark", panel.root)
    panel.lab.theme("JupyterLab Light")
    panel.lab.run(f"explorer.sample, explorer.image, explorer.near = {there!r}, 'fourier', 0.5")
    panel.await_pictures()
    expect(said).to_have_count(0)
    assert same(panel.picture("dense"), dense)
    assert same(panel.picture("sparse"), sparse)
