"""How pictures are made, chosen in the page: MACO and four of a neuron."""

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
