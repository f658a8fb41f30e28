"""How the Explorer looks and is operated: themes, narrow cells, keys, focus, text alternatives, zoom."""

from __future__ import annotations

import re

import pytest
from browser.lab import eventually, pixels, same
from browser.panel import Panel

pytestmark = pytest.mark.slow


def test_zoom_and_swipe(panel: Panel) -> None:
    before = panel.canvas("dense").bounding_box()
    panel.root.get_by_role("button", name="Zoom in").click()
    zoomed = panel.canvas("dense").bounding_box()
    trace = panel.canvas("sparse").bounding_box()
    assert before
    assert zoomed
    assert trace
    assert zoomed["width"] > before["width"]
    assert trace["width"] == pytest.approx(zoomed["width"])  # both pictures zoom as one
    panel.root.get_by_role("button", name=re.compile("show the whole picture")).click()

    panel.root.get_by_role("button", name="Swipe").click()
    divider = panel.root.get_by_role("slider", name=re.compile("^Swipe"))
    divider.press("End")
    all_dense = pixels(panel.lab.screenshot("swipe-dense", panel.canvas("dense")))
    divider.press("Home")
    all_trace = pixels(panel.lab.screenshot("swipe-trace", panel.canvas("dense")))
    assert abs(all_dense - all_trace).mean() > 0.01
    panel.root.get_by_role("button", name="Side by side").click()


def test_dark_theme(panel: Panel) -> None:
    light = pixels(panel.lab.screenshot("light", panel.root)).mean()
    shown, dense = panel.numbers(), panel.picture("dense")
    panel.lab.theme("JupyterLab Dark")
    try:
        dark = pixels(panel.lab.screenshot("dark", panel.root)).mean()
        assert dark < 0.45 < 0.6 < light
        assert panel.numbers() == shown
        assert same(panel.picture("dense"), dense)
        assert contrast(panel) >= 4.5  # WCAG AA
    finally:
        panel.lab.theme("JupyterLab Light")
    assert contrast(panel) >= 4.5


def contrast(panel: Panel) -> float:
    """The contrast of the panel's heading against its background, by WCAG's formula."""
    text, ground = panel.root.get_by_role("heading", name="SPADE Explorer").evaluate(
        """heading => {
          let ground = heading;
          const colour = element => getComputedStyle(element).backgroundColor;
          const clear = /rgba\\(.*, 0\\)|transparent/;
          while (ground.parentElement && clear.test(colour(ground))) ground = ground.parentElement;
          return [getComputedStyle(heading).color, colour(ground)];
        }"""
    )

    def luminance(colour: str) -> float:
        channels = [float(part) / 255 for part in re.findall(r"[\d.]+", colour)[:3]]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(text), luminance(ground)))
    return (high + 0.05) / (low + 0.05)


def test_narrow_cells_stack_the_columns(panel: Panel) -> None:
    sample, neuron = (panel.root.get_by_role("heading", name=name, exact=True) for name in ("Sample", "Neuron"))

    def places() -> tuple[float, float, float, float]:
        left, right = sample.bounding_box(), neuron.bounding_box()
        assert left
        assert right
        return left["x"], left["y"], right["x"], right["y"]

    x, y, other_x, other_y = places()
    assert other_x > x + 400
    page = panel.lab.page
    size = page.viewport_size
    assert size
    page.set_viewport_size({"width": 640, "height": 1000})
    try:
        eventually(lambda: abs(places()[2] - places()[0]) < 40, page, what="the columns one below the other")
        x, y, other_x, other_y = places()
        assert other_y > y + 100
        overflow = panel.root.evaluate("area => area.scrollWidth - area.clientWidth")
        assert overflow <= 1
        panel.lab.screenshot("narrow", panel.root)
    finally:
        page.set_viewport_size(size)


def test_every_control_is_reached_by_tab_with_a_visible_focus(panel: Panel) -> None:
    page = panel.lab.page
    panel.root.get_by_role("button", name="Copy code").focus()
    reached: dict[str, bool] = {}
    for key in ["Shift+Tab"] * 3 + ["Tab"] * 50:
        name, seen = page.evaluate(
            """() => {
              const at = document.activeElement;
              const style = getComputedStyle(at);
              const around = [at, at.parentElement].map(element => getComputedStyle(element));
              const ring = around.some(s => (s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) > 0)
                || s.boxShadow !== 'none');
              const label = at.getAttribute('aria-label') || at.labels?.[0]?.innerText || at.innerText || at.tagName;
              return [label.trim(), ring];
            }"""
        )
        reached[name] = reached.get(name, False) or seen
        page.keyboard.press(key)
    wanted = [
        r"Copy code",
        r"Fill the screen",
        r"Add image",
        r".*sample|.*",
        r"Dense: plus and minus zoom.*",
        r"Save the dense model's picture as PNG",
        r"Trace of this sample: plus and minus zoom.*",
        r"Save the trace's picture as PNG",
        r"Zoom in",
        r"Side by side",
        r"Swipe",
        r"In your photographs",
        r"dog · activation.*",
        r"Add photographs",
        r"Sparsity.*",
        r"(?i)layers",
        r"(?i)solver",
        r"Layer",
        r"(?i)channel.*",
        r"Channel \d+ .*",
        r"(?i)or a class",
        r"What is left.*",
    ]
    for pattern in wanted:
        found = [name for name in reached if re.fullmatch(pattern, name, re.DOTALL)]
        assert found, f"Tab does not reach {pattern}: {sorted(reached)}"
        assert any(reached[name] for name in found), f"the focus of {pattern} cannot be seen"


def test_the_slider_and_the_samples_by_keys(panel: Panel) -> None:
    former = float(panel.slider.get_attribute("aria-valuenow") or "nan")
    panel.slider.focus()
    panel.slider.press("ArrowLeft")
    value = float(panel.slider.get_attribute("aria-valuenow") or "nan")
    assert value < former
    panel.await_value("explorer.sparsity", pytest.approx(value))

    place = panel.lab.value("[s['id'] for s in explorer.samples].index(explorer.sample_id)")
    panel.samples.get_by_role("radio").nth(place).focus()
    panel.lab.page.keyboard.press("ArrowRight")
    panel.await_value(f"explorer.sample_id == explorer.samples[{place + 1}]['id']", True)
    panel.await_pictures()


def test_pictures_have_text_alternatives(panel: Panel) -> None:
    for image in panel.root.get_by_role("img").all():
        assert (image.get_attribute("aria-label") or image.get_attribute("alt") or "").strip()
    bare = panel.root.evaluate("area => area.querySelectorAll('img:not([alt])').length")
    assert bare == 0
