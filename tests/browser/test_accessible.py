"""The panels for those who see little or nothing: axe-core's rules in every look, and forced colours."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser.axe import violations
from browser.lab import Lab, pixels
from browser.maps import Maps
from browser.panel import Panel
from playwright.sync_api import Browser, Locator, Page, expect

pytestmark = pytest.mark.slow

LOOKS = ["light", "dark", pytest.param("forced light", marks=pytest.mark.rare), "forced dark"]


@contextmanager
def looking(page: Page, look: str) -> Iterator[None]:
    """The browser's forced colours, or the setting of a page that has no theme of its own."""
    scheme: Any = "dark" if "dark" in look else "light"
    page.emulate_media(forced_colors="active" if "forced" in look else "none", color_scheme=scheme)
    try:
        yield
    finally:
        page.emulate_media(forced_colors="none", color_scheme="light")


@contextmanager
def themed(lab: Lab, look: str) -> Iterator[None]:
    """The same in the Lab, whose theme is its own matter."""
    lab.theme("JupyterLab Dark" if look == "dark" else "JupyterLab Light")
    try:
        with looking(lab.page, look):
            yield
    finally:
        lab.theme("JupyterLab Light")


# ---- axe-core


@pytest.mark.parametrize("look", LOOKS)
def test_axe_finds_nothing_in_the_explorer(panel: Panel, look: str) -> None:
    page, root = panel.lab.page, panel.root
    details = root.locator("details")
    if details.get_attribute("open") is None:
        panel.open_chart()
    with themed(panel.lab, look):
        for centre in ("Visualization", "Saliency", "Both"):
            root.get_by_role("button", name=centre, exact=True).click()
            panel.await_value("explorer.centre", centre.lower())
            panel.await_rest()
            if centre != "Visualization":
                expect(root.locator(".sw-embedded")).to_be_visible()
            assert violations(page, ".sw-root") == []
            panel.lab.screenshot(f"axe-{look}-{centre}", root)
        root.get_by_role("button", name=re.compile("^Pictures: ")).click()
        assert violations(page, ".sw-root") == []
        page.keyboard.press("Escape")
        root.get_by_role("group", name="How to show the layers").get_by_role("button", name="Table").click()
        panel.classes.click()
        assert violations(page, ".sw-root") == []
        page.keyboard.press("Escape")
        root.get_by_role("group", name="How to show the layers").get_by_role("button", name="Chart").click()
        root.get_by_role("button", name="Visualization", exact=True).click()
        panel.await_value("explorer.centre", "visualization")


@pytest.mark.parametrize("look", LOOKS)
def test_axe_finds_nothing_in_the_saliency_panel(maps: Maps, look: str) -> None:
    saliency, root = maps.lab, maps.root
    with themed(saliency, look):
        assert violations(saliency.page, ".sw-root") == []
        saliency.screenshot(f"axe-{look}", root)
        for opened in ("^Methods", "^Colour map", "^Export", "^About"):
            root.get_by_role("button", name=re.compile(opened)).first.click()
            expect(root.get_by_role("dialog")).to_be_visible()
            assert violations(saliency.page, ".sw-root") == []
            saliency.screenshot(f"axe-{look}-{opened[1:]}", root)
            saliency.page.keyboard.press("Escape")


@pytest.mark.parametrize("look", LOOKS)
def test_axe_finds_nothing_in_a_lesson(browser: Browser, small_lesson: Path, look: str) -> None:
    page = browser.new_page()
    try:
        with looking(page, look):
            page.goto(small_lesson.as_uri())
            page.get_by_text("What is left").click()
            assert violations(page) == []
    finally:
        page.close()


# ---- forced colours


def style(element: Locator, name: str, pseudo: str | None = None) -> str:
    """A property of an element as the browser computed it."""
    value: str = element.evaluate("(el, [name, pseudo]) => getComputedStyle(el, pseudo)[name]", [name, pseudo])
    return value


def system(page: Page, colour: str) -> str:
    """What a system colour is on this page now."""
    made: str = page.evaluate(
        """colour => {
          const probe = document.createElement('i');
          probe.style.color = colour;
          document.body.append(probe);
          const value = getComputedStyle(probe).color;
          probe.remove();
          return value;
        }""",
        colour,
    )
    return made


def colours(lab: Lab, element: Locator, name: str) -> int:
    """How many pixels of an element are not of its commonest colour."""
    shown = (pixels(lab.screenshot(name, element)) * 255).round().astype(int).reshape(-1, 3)
    kinds, counts = np.unique(shown, axis=0, return_counts=True)
    common = kinds[counts.argmax()]
    return int((np.abs(shown - common).max(axis=1) > 60).sum())


@pytest.mark.parametrize("look", ["forced light", "forced dark"])
def test_forced_colours_leave_what_is_chosen_and_how_much(panel: Panel, look: str) -> None:
    lab, page, root = panel.lab, panel.lab.page, panel.root
    with themed(lab, look):
        paper, ink, marked = (system(page, name) for name in ("Canvas", "CanvasText", "Highlight"))
        assert len({paper, ink, marked}) == 3

        chosen = panel.samples.get_by_role("radio", checked=True).locator(".sw-tile-image")
        other = panel.samples.get_by_role("radio", checked=False).first.locator(".sw-tile-image")
        assert style(chosen, "outlineColor") == marked != style(other, "outlineColor")
        assert float(style(chosen, "outlineWidth")[:-2]) >= 2 * float(style(other, "outlineWidth")[:-2])

        pressed = root.get_by_role("button", name="Visualization", exact=True)
        unpressed = root.get_by_role("button", name="Both", exact=True)
        assert style(pressed, "backgroundColor") == marked != style(unpressed, "backgroundColor")
        assert style(pressed, "color") == system(page, "HighlightText")

        fill, knob = root.locator(".sw-fill"), root.locator(".sw-knob")
        assert style(fill, "backgroundColor") == style(knob, "borderTopColor") == marked
        assert style(root.locator(".sw-track"), "outlineColor") == ink
        assert style(root.locator(".sw-tick").first, "backgroundColor") == marked

        dense, sparse = (
            root.locator(f".sw-predictions .sw-bar.sw-{which} > span").first for which in ("dense", "sparse")
        )
        assert style(dense, "backgroundColor") == ink
        assert style(sparse, "backgroundColor") == marked
        assert style(root.locator(".sw-header .sw-dot"), "backgroundColor") == ink

        # … and all of it can be seen
        assert colours(lab, root.locator(".sw-track"), f"{look}-track") > 200
        assert colours(lab, panel.table("dense").locator(".sw-bars").first, f"{look}-bars") > 200
        assert colours(lab, root.locator(".sw-header .sw-chip"), f"{look}-chip") > 50
        lab.screenshot(look, root)


@pytest.mark.parametrize("look", ["forced light", "forced dark"])
def test_forced_colours_leave_colours_that_are_the_content(maps: Maps, look: str) -> None:
    saliency, root = maps.lab, maps.root
    plain = [style(swatch, "backgroundImage") for swatch in root.locator(".sw-swatch").all()]
    with themed(saliency, look):
        assert [style(swatch, "backgroundImage") for swatch in root.locator(".sw-swatch").all()] == plain
        assert colours(saliency, root.locator(".sw-colorbar-strip").first, f"{look}-bar") > 50
        root.locator(".sw-map").first.hover()
        swatch = root.locator(".sw-spot-colour .sw-swatch")
        said = [int(part) for part in root.locator(".sw-spot-colour .sw-secondary").inner_text().split(" · ")]
        assert [int(part) for part in re.findall(r"\d+", style(swatch, "backgroundColor"))] == said
        saliency.screenshot(f"{look}-maps", root)
