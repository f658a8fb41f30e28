"""What a notebook holds that was saved with the state of its widgets: little, and of no panel that is gone."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from browser.lab import Lab, eventually
from browser.panel import TITLES, Panel
from playwright.sync_api import expect

KB = 1000
EXPLORER = """
import spade_widgets as sw
explorer = sw.Explorer({options})
explorer
"""
SMALL = """
import spade_widgets as sw
explorer = sw.Explorer("emoji", solver="fast", augmentations=8, steps=6)
explorer
"""
STATE = "application/vnd.jupyter.widget-state+json"
STATIC = ".spade-widgets-static"
#: Whether the panel's picture is up to date where the notebook would be saved.
AT_REST = "explorer.wait(1) and explorer.status['state'] == 'idle'"
#: MiB that an Explorer of `SMALL` takes; when those of former runs stayed it was so much more with each.
ONE = 150
RUN = """async cell => {
  window.jupyterapp.shell.currentWidget.content.activeCellIndex = cell;
  await window.jupyterapp.commands.execute('notebook:run-cell');
}"""


def saved(lab: Lab) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Saves the notebook: the widgets' state in it, model by model, and the outputs of its cells."""
    lab.page.wait_for_timeout(1000)  # the page has the last of what was sent
    lab.save()
    notebook = json.loads((lab.server.root / lab.path).read_text())
    state: dict[str, Any] = notebook["metadata"].get("widgets", {}).get(STATE, {}).get("state", {})
    return state, [output for cell in notebook["cells"] for output in cell.get("outputs", [])]


def weight(value: Any) -> int:
    """Bytes in a notebook's file."""
    return len(json.dumps(value))


def reopened(lab: Lab, new_lab: Callable[[str], Lab], name: str) -> Lab:
    """Another page with a copy of the notebook as it is saved, whose cells have not run."""
    copy = f"{Path(lab.path).stem}-reopened.ipynb"
    (lab.server.root / copy).write_text((lab.server.root / lab.path).read_text())
    other = new_lab(name)
    other.open(copy)
    return other


@pytest.mark.parametrize(
    "options",
    [pytest.param("augmentations=8, steps=16", id="short"), pytest.param("", id="whole", marks=pytest.mark.rare)],
)
def test_an_explorer_is_saved_in_300_kb_and_with_its_chart_in_little_more(
    lab: Lab, new_lab: Callable[[str], Lab], options: str
) -> None:
    lab.open(lab.write("weighed.ipynb", [EXPLORER.format(options=options)]))
    lab.keep_widgets()
    lab.run_all()
    panel = Panel(lab, lab.output(0))
    panel.await_shown()
    panel.await_pictures(600)
    alone, outputs = saved(lab)
    parts = {name: weight(value) for model in alone.values() for name, value in model["state"].items()}
    print("\nstate", weight(alone), sorted(parts.items(), key=lambda part: -part[1])[:8])
    assert weight(alone) <= 300 * KB
    still = outputs[-1]["data"]
    assert sorted(still) == ["text/html", "text/plain"]
    assert json.dumps(still).count(";base64,") == 1
    print("still", weight(still))

    panel.open_chart()
    eventually(panel.bars, lab.page, what="the chart's bars")
    bars = panel.bars()
    charted, _ = saved(lab)
    print("with the chart", weight(charted))
    assert [model["model_name"] for model in charted.values()].count("AnyModel") == 2
    assert weight(charted) - weight(alone) < 1000 * KB

    other = reopened(lab, new_lab, "saved-weighed")
    kept = Panel(other, other.output(0))
    kept.await_shown()
    assert kept.alert() == ""
    expect(kept.root.get_by_title("saved picture")).to_be_visible()
    kept.root.get_by_text("What is left").click()
    expect(kept.root.get_by_text("The chart needs a running kernel: this is its table.")).to_be_visible()
    for layer in bars:
        expect(kept.root.get_by_role("rowheader", name=layer, exact=True)).to_be_visible()
    for theme in ("JupyterLab Light", "JupyterLab Dark"):
        other.theme(theme)
        other.screenshot(theme)


@pytest.mark.rare
def test_a_cell_that_is_run_twelve_times_saves_one_panel_and_holds_the_memory_of_few(lab: Lab) -> None:
    lab.open(lab.write("twelve.ipynb", [SMALL]))
    lab.keep_widgets()
    lab.run_all()
    lab.run("""
import gc, psutil
def left():
    gc.collect()
    alive = [type(one).__name__ for one in gc.get_objects()]
    return [alive.count(name) for name in ("Explorer", "Calibration")]
def rss():
    gc.collect()
    return psutil.Process().memory_info().rss / 2**20
""")
    grown: dict[int, float] = {}
    weights: dict[int, int] = {}
    for number in range(1, 13):
        if number > 1:
            lab.page.evaluate(RUN, 0)
        eventually(lambda: lab.value("explorer.views.seen"), lab.page, what="the panel on screen")
        if number in (1, 2, 12):  # the others are in the middle of their work
            eventually(lambda: lab.value(AT_REST), lab.page, 180, "rest")
            eventually(lambda: lab.value("left()") == [1, 1], lab.page, what="one panel and its calibration")
            state, _ = saved(lab)
            grown[number], weights[number] = lab.value("rss()"), weight(state)
            assert [model["model_name"] for model in state.values()].count("AnyModel") == 1
    print("\nkernel, MiB", grown, "state", weights)
    assert weights[12] < 1.1 * weights[1]
    assert grown[12] - grown[2] < ONE


def test_a_panel_that_is_held_stays_when_its_cell_is_run_again(desk: Callable[[list[str]], Lab]) -> None:
    lab = desk([SMALL, "held = explorer", "held", "explorer = None"])
    lab.run_all()
    lab.page.evaluate(RUN, 0)
    eventually(lambda: lab.value("explorer is not held and explorer.views.seen"), lab.page, what="the second panel")
    view = Panel(lab, lab.output(2))
    view.await_shown()
    assert lab.value("held.wait(60) and held.comm is not None")
    tile = view.samples.get_by_role("radio").nth(3)
    tile.click()
    view.await_value("held.sample_id == held.samples[3]['id']", value=True)
    lab.page.evaluate(RUN, 3)


def test_an_output_with_a_display_id_shows_the_panel_that_it_is_updated_with(desk: Callable[[list[str]], Lab]) -> None:
    first = "from IPython.display import display, update_display\nhandle = display(explorer, display_id='place')"
    cells = [
        SMALL.replace(
            "\nexplorer\n", "\nother = sw.Explorer('emoji', solver='fast', augmentations=8, steps=6, sparsity=0.5)\n"
        )
    ]
    lab = desk([*cells, first, "handle.update(other)", "update_display(explorer, display_id='place')"])
    lab.page.evaluate(RUN, 0)
    lab.page.evaluate(RUN, 1)
    panel = Panel(lab, lab.output(1))
    panel.await_shown()
    expect(panel.sparsity).to_have_value(re.compile("^90"))
    lab.page.evaluate(RUN, 2)
    expect(panel.sparsity).to_have_value(re.compile("^50"))
    assert lab.value("other.wait(60)")
    expect(panel.root.locator(STATIC)).to_have_count(1)
    expect(panel.root.locator(STATIC)).to_contain_text("50 %")
    expect(panel.root.locator(STATIC)).to_be_hidden()
    lab.page.evaluate(RUN, 3)
    expect(panel.sparsity).to_have_value(re.compile("^90"))
    for cell in (2, 3):
        expect(lab.output(cell).locator(".sw-root")).to_have_count(0)
        expect(lab.output(cell).locator(STATIC)).to_have_count(0)


def test_within_other_widgets_there_is_the_panel_and_no_picture_that_grows_old(
    desk: Callable[[list[str]], Lab],
) -> None:
    captured = "import ipywidgets\nout = ipywidgets.Output()\nwith out:\n    display(explorer)\nout"
    lab = desk([SMALL.replace("\nexplorer\n", "\n"), captured, "ipywidgets.VBox([explorer])"])
    lab.run_all()
    for cell in (1, 2):
        Panel(lab, lab.output(cell)).await_shown()
    lab.run("explorer.sparsity = 0.5")
    assert lab.value("explorer.wait(60)")
    expect(lab.page.locator(STATIC)).to_have_count(0)
    for cell in (1, 2):
        expect(Panel(lab, lab.output(cell)).sparsity).to_have_value(re.compile("^50"))


def test_a_closed_panel_says_so_in_a_sentence(desk: Callable[[list[str]], Lab]) -> None:
    lab = desk([SMALL, "explorer.wait(60); explorer.close()", "explorer", "display(explorer)"])
    lab.run_all()
    for cell in (2, 3):
        expect(lab.output(cell)).to_have_text(re.compile("This Explorer is closed: make another one to see it."))
    expect(lab.page.locator(f"{STATIC}:visible")).to_have_count(0)
    for which in TITLES:
        assert lab.value(f"explorer.{which}_image is not None")
