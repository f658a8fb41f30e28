"""The Facet panel as its user meets it, beside the Explorer that it is linked with: one page for all of these tests."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from browser.axe import violations
from browser.lab import Lab, eventually, pixels
from playwright.sync_api import Locator, expect

pytestmark = pytest.mark.slow

CELLS = [
    """
import spade_widgets as sw
from spade_widgets.demo.emoji.fresh import plain
explorer = sw.Explorer("emoji", neuron="logit:vehicle", photos=plain(3, 200), solver="fast", augmentations=32, steps=24)
explorer
""",
    """
panel = sw.FacetPanel(explorer)
panel
""",
]
LOADED = "row => [...row.querySelectorAll('.sw-example img')].every(one => one.complete && one.naturalWidth > 8)"
MIDDLES = """
points => points.map(point => {
  const {x, y, width, height} = point.getBoundingClientRect();
  return [x + width / 2, y + height / 2];
})
"""
REST = "panel.wait(1) and panel.status['state'] == 'idle'"


class FacetView:
    """The panel on a page, found by roles and names."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.root: Locator = lab.output(1)
        self.rows = self.root.get_by_role("region", name=re.compile(r"^Facet \d$"))
        self.plot = self.root.get_by_role("listbox", name=re.compile("^Examples by what"))
        self.points = self.plot.get_by_role("option")

    def value(self, expression: str) -> Any:
        return self.lab.value(expression)

    def await_rest(self) -> None:
        eventually(lambda: self.value(REST), self.lab.page, 240, "rest")
        facets = self.value("len(panel.summary['facets'])")
        expect(self.rows).to_have_count(facets)
        eventually(lambda: all(self.picture(i).std() > 0.02 for i in range(facets + 1)), self.lab.page, what="pictures")

    def picture(self, place: int) -> np.ndarray[Any, np.dtype[np.float64]]:
        """What is drawn on a canvas: the dense picture (0), or a facet's (from 1)."""
        canvas = self.root.locator(".sw-facet-picture canvas").nth(place)
        url: str = canvas.evaluate("canvas => canvas.toDataURL('image/png')")
        return pixels(base64.b64decode(url.split(",")[1]))


@pytest.fixture(scope="module")
def shown(new_lab: Callable[[str], Lab]) -> FacetView:
    lab = new_lab("facet-panel")
    lab.open(lab.write("facets.ipynb", CELLS))
    lab.run_all()
    view = FacetView(lab)
    expect(view.root.get_by_role("heading", name="SPADE Facets")).to_be_visible(timeout=60_000)
    view.root.scroll_into_view_if_needed()
    view.await_rest()
    return view


@pytest.fixture
def facets(shown: FacetView, request: pytest.FixtureRequest) -> Iterator[FacetView]:
    """The panel with the facets that there are; it has not complained when the test ends."""
    shown.lab.run("panel.reset(); panel.neuron = 'logit:vehicle'; panel.error = ''")
    shown.await_rest()
    yield shown
    shown.lab.screenshot(request.node.name.removeprefix("test_"), shown.root)
    assert shown.lab.complaints() == []


def test_a_row_a_facet_with_its_crops_and_a_picture_of_its_own(facets: FacetView) -> None:
    sizes = facets.value("[len(f['members']) for f in panel.summary['facets']]")
    assert len(sizes) == 2
    total = sum(sizes)
    for row, size in zip(facets.rows.all(), sizes, strict=True):
        expect(row).to_contain_text(f"{size} of {total} examples")
        crops = row.get_by_role("group", name=re.compile("^Examples of facet")).get_by_role("button")
        expect(crops).to_have_count(size)
        eventually(lambda row=row: row.evaluate(LOADED), facets.lab.page, what="crops")
        expect(row).to_contain_text(re.compile(r"keeps \d+ % of its own"))
    titles = facets.value("[[e.title.split(' ')[0] for e in facet.examples] for facet in panel.facets]")
    common = [max(set(names), key=names.count) for names in titles]
    assert sorted(common) == ["bicycle", "car"]  # the class's two known facets
    assert all(names.count(kind) > 0.7 * len(names) for names, kind in zip(titles, common, strict=True))
    assert abs(facets.picture(1) - facets.picture(2)).mean() > 0.01
    expect(facets.points).to_have_count(total)
    expect(facets.root).to_contain_text("clearer than chance")


def test_a_lasso_makes_a_facet_and_reset_takes_it_back(facets: FacetView) -> None:
    page = facets.lab.page
    facets.plot.scroll_into_view_if_needed()
    box = facets.plot.bounding_box()
    assert box
    places = facets.points.evaluate_all(MIDDLES)
    middle = sorted(x for x, _ in places)[len(places) // 3] + 0.5
    inside = sum(x < middle for x, _ in places)
    left, right, top, low = box["x"] + 1, middle, box["y"] + 1, box["y"] + box["height"] - 1
    start = left + 1, low - 2
    page.mouse.move(*start)
    page.mouse.down()
    for x, y in ((left, top), (right, top), (right, low), start):
        page.mouse.move(x, y, steps=5)
    facets.lab.screenshot("lasso", facets.root)
    page.mouse.up()
    expect(facets.plot.get_by_role("option", selected=True)).to_have_count(inside)
    facets.root.get_by_role("button", name=f"Make a facet of {inside}").click()
    eventually(lambda: facets.value("[len(g) for g in panel.groups]") == [inside], page, what="the group")
    facets.await_rest()
    assert inside in facets.value("[len(f['members']) for f in panel.summary['facets']]")
    expect(facets.root).to_contain_text("of your own")
    facets.root.get_by_role("button", name="Reset").click()
    eventually(lambda: facets.value("list(panel.groups)") == [], page, what="no groups")


def test_by_keys_several_are_selected_and_become_a_facet(facets: FacetView) -> None:
    page = facets.lab.page
    facets.points.first.focus()
    expect(facets.root.locator(".sw-look img")).to_be_visible()
    for key in (" ", "PageDown", " ", "PageDown", " "):
        page.keyboard.press(key)
    expect(facets.plot.get_by_role("option", selected=True)).to_have_count(3)
    make = facets.root.get_by_role("button", name="Make a facet of 3")
    make.focus()
    page.keyboard.press("Enter")
    first = facets.value("[e['id'] for e in panel.examples[:3]]")
    eventually(lambda: facets.value("[list(g) for g in panel.groups]") == [first], page, what="the group")


def test_a_click_makes_an_example_the_sample_of_the_explorer_too(facets: FacetView) -> None:
    page = facets.lab.page
    row = facets.rows.nth(1)
    crop = row.get_by_role("group", name=re.compile("^Examples of facet")).get_by_role("button").nth(1)
    crop.click()
    wanted = facets.value("panel.facets[1].examples[1].id")
    eventually(lambda: facets.value("explorer.sample_id") == wanted, page, what="the Explorer's sample")
    expect(crop).to_have_attribute("aria-pressed", "true")
    expect(facets.plot.locator('[aria-current="true"]')).to_have_count(1)
    assert facets.value("explorer.neuron") == "logit:vehicle"
    facets.lab.run("explorer.neuron = 'logit:food'")
    expect(facets.root.get_by_role("heading", name="class food")).to_be_visible()


def test_the_list_of_neurons_fills_in_and_one_is_chosen(facets: FacetView) -> None:
    page = facets.lab.page
    facets.root.get_by_role("combobox", name="Layer", exact=True).select_option("layer1")
    facets.root.get_by_role("button", name=re.compile("^Which neurons have several")).click()
    eventually(lambda: facets.value("panel.survey['state']") == "done", page, 300, "the list")
    list_of = facets.root.get_by_role("region", name="List of channels")
    expect(list_of.get_by_role("row")).to_have_count(1 + facets.value("len(panel.survey['rows'])"))
    facets.lab.screenshot("list", facets.root)
    list_of.get_by_role("button", name="facets").click()
    first = list_of.get_by_role("rowheader").first
    first.get_by_role("button").click()
    eventually(lambda: facets.value("panel.neuron") == f"layer1:{first.inner_text().strip()}", page, what="the neuron")
    facets.root.get_by_role("button", name=re.compile("^Which neurons have several")).click()


@pytest.mark.parametrize("look", ["light", "dark", "forced"])
def test_axe_finds_nothing(facets: FacetView, look: str) -> None:
    lab = facets.lab
    lab.theme("JupyterLab Dark" if look == "dark" else "JupyterLab Light")
    lab.page.emulate_media(forced_colors="active" if look == "forced" else "none")
    try:
        facets.points.first.focus()
        lab.page.keyboard.press(" ")
        assert violations(lab.page, ".sw-facet-panel") == []
        lab.screenshot(f"axe-{look}", facets.root)
    finally:
        lab.page.emulate_media(forced_colors="none")
        lab.theme("JupyterLab Light")


@pytest.mark.parametrize("width", [1150, 900, 620])
def test_nothing_is_cut_off_where_there_is_less_room(facets: FacetView, width: int) -> None:
    page = facets.lab.page
    size = page.viewport_size
    assert size
    page.set_viewport_size({"width": width, "height": 1000})
    try:
        beyond = "area => area.scrollWidth - area.clientWidth"
        eventually(lambda: facets.root.evaluate(beyond) <= 1, page, what="a panel that fits")
        facets.lab.screenshot(f"width-{width}", facets.root)
    finally:
        page.set_viewport_size(size)


def test_a_reloaded_page_shows_all_of_it(facets: FacetView) -> None:
    before = facets.value("len(panel.examples)")
    facets.lab.save()
    facets.lab.reload()
    facets.root.scroll_into_view_if_needed()
    expect(facets.rows).to_have_count(2, timeout=60_000)
    expect(facets.points).to_have_count(before)
    facets.await_rest()
