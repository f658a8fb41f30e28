"""The Saliency panel as its user meets it: looked at, pointed at, clicked, dragged. Python is asked as well."""

from __future__ import annotations

import re

import numpy as np
import pytest
from browser.lab import blank, eventually, pixels
from browser.maps import ROWS, Maps, same
from browser.panel import Panel
from playwright.sync_api import Locator, expect

pytestmark = pytest.mark.slow


def test_the_maps_fill_in_when_a_sample_is_chosen(maps: Maps) -> None:
    before = {row: maps.pictures(row) for row in ROWS}
    assert list(before["dense"]) == ["Saliency", "LRP", "GradCAM"]
    maps.samples.get_by_role("radio").nth(1).click()
    eventually(lambda: maps.value("sample_id") == maps.value("samples[1]['id']"), maps.lab.page, what="the sample")
    maps.await_maps()
    for row in ROWS:
        after = maps.pictures(row)
        for title, picture in after.items():
            assert picture.std() > 0.02
            assert abs(picture - before[row][title]).mean() > 0.02
    expect(maps.root.get_by_role("button", name="Outline")).to_have_count(0)  # nothing is known of this one


def test_a_crosshair_is_at_the_same_pixel_in_all_maps(maps: Maps) -> None:
    hairs = maps.root.locator(".sw-crosshair")
    ranges = maps.readouts()
    row, column = maps.point("LRP", "sparse", 0.31, 0.62)
    expect(hairs).to_have_count(7)  # of three methods two each, and over the sample
    places = hairs.evaluate_all(
        """hairs => hairs.map(hair => {
          const [pixel, frame] = [hair.lastChild, hair.parentElement].map(e => e.getBoundingClientRect());
          const [x, y] = [pixel.x + pixel.width / 2 - frame.x, pixel.y + pixel.height / 2 - frame.y];
          return [x / frame.width, y / frame.height];
        })"""
    )
    height, width = maps.value("app['input']")
    for x, y in places:
        assert (x * width, y * height) == pytest.approx((column + 0.5, row + 0.5), abs=0.2)
    shown = maps.readouts()
    wanted = [maps.map(network, key)[row, column] for key in ("saliency", "lrp", "gradcam") for network in ROWS]
    for line, value in zip(shown, wanted, strict=True):
        place, number = line.rsplit(" ", 1)
        assert place == f"{row}, {column}"
        assert float(number.replace("\u2212", "-")) == pytest.approx(value, rel=0.006, abs=1e-12)

    maps.lab.page.mouse.down()
    maps.lab.page.mouse.up()
    maps.lab.page.mouse.move(1, 1)
    assert maps.readouts() == shown  # a click has pinned it
    maps.lab.screenshot("pinned", maps.root)
    maps.lab.page.keyboard.press("Escape")
    expect(hairs).to_have_count(0)
    assert maps.readouts() == ranges


def test_the_crosshair_moves_by_keys(maps: Maps) -> None:
    height, width = maps.value("app['input']")
    maps.frame("Saliency", "dense").focus()
    for key in ("ArrowDown", "ArrowDown", "ArrowLeft"):
        maps.lab.page.keyboard.press(key)
    row, column = height // 2 + 1, width // 2 - 1
    assert all(line.startswith(f"{row}, {column} ") for line in maps.readouts())
    maps.lab.page.keyboard.press("Escape")
    expect(maps.root.locator(".sw-crosshair")).to_have_count(0)


def test_a_click_on_a_class_shows_the_maps_of_that_class(maps: Maps) -> None:
    before = maps.pictures("dense")
    assert maps.value("target") == -1
    row = maps.value("predictions['rows'][1]")
    button = maps.root.get_by_role("button", name=f"{row['name']}", exact=True)
    button.click()
    expect(button).to_have_attribute("aria-pressed", "true")
    eventually(lambda: maps.value("target") == row["index"], maps.lab.page, what="the target")
    expect(maps.target).to_have_value(str(row["index"]))
    maps.await_maps()
    assert not same(maps.pictures("dense"), before)

    maps.root.get_by_role("button", name="Predicted class").click()
    eventually(lambda: maps.value("target") == -1, maps.lab.page, what="the predicted class")
    maps.await_maps()
    eventually(lambda: same(maps.pictures("dense"), before), maps.lab.page, what="the former maps")


def test_the_sparsity_changes_the_trace_alone(maps: Maps) -> None:
    maps.lab.run("panel.solver = 'fast'")  # whose maps change with the sparsity, where a careful trace's hardly do
    maps.await_maps()
    maps.root.get_by_role("button", name="Each its own").click()
    dense, sparse = maps.pictures("dense"), maps.pictures("sparse")
    maps.slider.scroll_into_view_if_needed()
    track = maps.slider.bounding_box()
    assert track
    page = maps.lab.page
    page.mouse.move(track["x"] + 0.7 * track["width"], track["y"] + track["height"] / 3)
    page.mouse.down()
    page.mouse.move(track["x"] + 0.95 * track["width"], track["y"] + track["height"] / 3)
    page.mouse.up()
    eventually(lambda: maps.value("sparsity") > 0.96, page, what="the sparsity")
    maps.await_maps()
    assert same(maps.pictures("dense"), dense)
    after = maps.pictures("sparse")
    assert all(abs(after[title] - sparse[title]).mean() > 0.002 for title in after)


def test_a_slow_method_is_picked_fills_in_and_can_be_stopped(maps: Maps) -> None:
    page = maps.lab.page
    maps.tick("LIME")
    expect(maps.root.get_by_role("heading", name="LIME")).to_be_visible()
    dense = maps.root.get_by_role("region", name="LIME").locator("figure").first
    expect(dense).to_have_attribute("data-state", "running", timeout=30_000)
    maps.lab.screenshot("running", maps.root)
    fast = maps.pictures("dense")["Saliency"]
    assert fast.std() > 0.02  # what was there is there still
    maps.stop.click()
    expect(maps.resume).to_be_enabled()
    expect(dense).to_have_attribute("data-state", "stopped")
    stopped = size(dense)
    maps.resume.click()
    maps.await_maps()
    assert maps.picture("LIME", "dense").std() > 0.02
    assert size(dense) == pytest.approx(stopped, abs=0.5)  # nothing moves when a map comes in

    maps.tick("LIME")  # and away again
    eventually(lambda: "LIME" not in maps.titles(), page, what="three columns")


def size(part: Locator) -> tuple[float, float]:
    """Width and height on screen."""
    box = part.bounding_box()
    assert box
    return box["width"], box["height"]


def test_colours_and_opacity_are_the_pages_own(maps: Maps) -> None:
    page = maps.lab.page
    maps.lab.run("seen = []; noting = lambda change: seen.append(change['name']); panel.observe(noting)")
    first = maps.pictures("dense")
    maps.opacity.scroll_into_view_if_needed()
    box = maps.opacity.bounding_box()
    assert box
    page.mouse.move(box["x"] + 0.7 * box["width"], box["y"] + box["height"] / 2)
    page.mouse.down()
    maps.said.clear()
    for share in (0.5, 0.3, 0.1):
        page.mouse.move(box["x"] + share * box["width"], box["y"] + box["height"] / 2)
    eventually(lambda: not same(maps.pictures("dense"), first), page, what="fainter maps")
    assert not [frame for frame in maps.said if "comm_msg" in frame]  # the kernel hears of it when it is let go
    page.mouse.up()
    eventually(lambda: maps.value("opacity") < 0.3, page, what="the opacity")

    fainter = maps.pictures("dense")
    maps.choose("Colour map", "Viridis")
    eventually(lambda: maps.value("colormap") == "viridis", page, what="the colour map")
    assert not same(maps.pictures("dense"), fainter)
    maps.lab.screenshot("colour-maps")
    maps.close_popover()
    for name in ("Absolute", "Each its own"):
        button = maps.root.get_by_role("button", name=name, exact=True)
        button.click()
        expect(button).to_have_attribute("aria-pressed", "true")
    eventually(lambda: (maps.value("signed"), maps.value("scale")) == (False, "own"), page, what="the view")
    outlines = maps.root.locator(".sw-outline")
    expect(outlines).to_have_count(7)
    maps.root.get_by_role("button", name="Outline").click()
    expect(outlines).to_have_count(0)
    changed = {name for name in maps.lab.value("seen") if not name.startswith("_")}
    assert changed <= {"opacity", "colormap", "signed", "scale", "outline", "error"}  # nothing was computed
    maps.lab.run("panel.unobserve(noting)")


def test_curves_are_drawn_when_asked_for(maps: Maps) -> None:
    toggle = maps.root.get_by_role("button", name="Curves")
    toggle.click()
    chart = maps.root.locator(".js-plotly-plot")  # Plotly's own mark
    expect(chart).to_be_visible(timeout=60_000)
    eventually(lambda: maps.value("curves_status['state']") == "idle", maps.lab.page, what="the curves")
    # Six maps, each walked both ways; one legend entry a map.
    expect(chart.locator(".scatterlayer .trace path.js-line")).to_have_count(12)
    expect(chart.locator(".legendtext")).to_have_count(6)
    maps.lab.screenshot("curves", chart)
    expect(maps.root.get_by_text(re.compile(r"^ins 0\.\d{3}$"))).to_have_count(6)
    page = maps.lab.page
    size = page.viewport_size
    assert size
    page.set_viewport_size({"width": 900, "height": 1000})
    try:
        overflow = "area => area.scrollWidth - area.clientWidth"
        eventually(lambda: maps.root.evaluate(overflow) <= 1, page, what="a chart that fits")
        maps.lab.screenshot("narrow", maps.root)
    finally:
        page.set_viewport_size(size)
    toggle.click()
    expect(chart).to_be_hidden()


def test_the_files_hold_what_the_kernel_has(maps: Maps) -> None:
    page = maps.lab.page
    with page.expect_download() as download:
        maps.choose("Export", "NumPy (.npz)")
    assert download.value.suggested_filename.endswith(".npz")
    with np.load(download.value.path()) as arrays:
        for row in ROWS:
            for key in ("saliency", "lrp", "gradcam"):
                assert np.array_equal(arrays[f"{row}_{key}"], maps.map(row, key))
        assert arrays["mask"].any()

    with page.expect_download() as download:
        maps.root.get_by_role("button", name="Save LRP of the trace as NumPy (.npy)").click()
    assert np.array_equal(np.load(download.value.path()), maps.map("sparse", "lrp"))

    with page.expect_download() as download:
        maps.choose("Export", "Picture (.png)")
    picture = download.value.path().read_bytes()
    assert not blank(picture)
    (maps.lab.results / "grid.png").write_bytes(picture)
    assert pixels(picture).shape[1] > 4 * 300


def test_dark_theme(maps: Maps) -> None:
    light = pixels(maps.lab.screenshot("light", maps.root)).mean()
    before = maps.pictures("dense")
    maps.lab.theme("JupyterLab Dark")
    try:
        expect(maps.lab.page.locator("#jupyterlab-splash")).to_have_count(0)  # the Lab's own, while it changes
        dark = pixels(maps.lab.screenshot("dark", maps.root)).mean()
        assert dark < 0.45 < 0.6 < light
        assert same(maps.pictures("dense"), before)
    finally:
        maps.lab.theme("JupyterLab Light")


def test_every_control_is_reached_by_tab_with_a_visible_focus(maps: Maps) -> None:
    page = maps.lab.page
    maps.target.focus()
    reached: dict[str, bool] = {}
    for _ in range(28):
        name, seen = page.evaluate(
            """() => {
              const at = document.activeElement;
              const style = getComputedStyle(at);
              const label = at.getAttribute('aria-label') || at.labels?.[0]?.innerText || at.innerText || at.tagName;
              return [label.trim(), style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0];
            }"""
        )
        reached[name] = reached.get(name, False) or seen
        page.keyboard.press("Tab")
    for pattern in (
        *(
            r"What speaks for",
            r"Methods: 3 of 13 chosen",
            r"Colour map.*",
            r"opacity.*",
            r"clip.*",
            r"Signed",
            r"Absolute",
        ),
        *(
            r"Same scale",
            r"Each its own",
            r"Outline",
            r"Curves",
            r"Export the maps",
            r"About LRP",
            r"LRP, trace: arrows.*",
        ),
        r"Save LRP of the trace as NumPy \(\.npy\)",
    ):
        found = [name for name in reached if re.fullmatch(pattern, name, re.DOTALL)]
        assert found, f"Tab does not reach {pattern}: {sorted(reached)}"
        assert any(reached[name] for name in found), f"the focus of {pattern} cannot be seen"


def test_a_reloaded_page_shows_the_last_maps(maps: Maps) -> None:
    before = {row: maps.pictures(row) for row in ROWS}
    maps.lab.save()
    maps.lab.reload()
    expect(maps.root.get_by_role("heading", name="SPADE Saliency")).to_be_visible(timeout=30_000)
    for row in ROWS:
        eventually(lambda row=row: same(maps.pictures(row), before[row]), maps.lab.page, what="the last maps")


def test_the_explorers_centre_shows_pictures_maps_or_both(panel: Panel) -> None:
    switch = panel.root.get_by_role("group", name="What the centre shows")
    page = panel.lab.page
    try:
        switch.get_by_role("button", name="Saliency").click()
        panel.await_value("explorer.centre", "saliency")
        panel.await_value("explorer.saliency_panel is not None", True)
        inside = panel.root.locator(".sw-embedded")
        expect(inside).to_be_visible(timeout=30_000)
        maps = Maps(panel.lab, inside, "explorer.saliency_panel")
        maps.await_maps()
        expect(panel.canvas("dense")).to_be_hidden()
        before = maps.pictures("sparse")
        panel.lab.screenshot("centre-saliency")

        switch.get_by_role("button", name="Both").click()
        expect(panel.canvas("dense")).to_be_visible()
        expect(maps.canvas("LRP", "dense")).to_be_visible()
        panel.type_sparsity("70")  # one sparsity for pictures and maps
        eventually(lambda: maps.value("sparsity") == pytest.approx(0.7), page, what="the maps' sparsity")
        panel.await_pictures()
        inside.scroll_into_view_if_needed()  # below the strip nobody sees them, and they wait
        maps.await_maps()
        assert not same(maps.pictures("sparse"), before)
        panel.lab.screenshot("centre-both")

        # what nobody sees says so: it is not worth work
        panel.lab.run(
            "heard = []; explorer.saliency_panel.on_msg(lambda _, content, __: heard.append(content.get('visible')))"
        )
        switch.get_by_role("button", name="Visualization").click()
        expect(panel.canvas("dense")).to_be_visible()
        expect(inside).to_be_hidden()
        eventually(lambda: panel.lab.value("heard") == [False], page, what="the hidden panel's word")
    finally:
        panel.lab.run("explorer.centre = 'visualization'")
