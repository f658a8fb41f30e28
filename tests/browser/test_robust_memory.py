"""Panels that are opened and closed leave nothing behind. PANELS=200 for the long form."""

from __future__ import annotations

import os

import pytest
from browser.lab import Lab, eventually

PANELS = int(os.environ.get("PANELS", "16"))
#: Panels after which everything that is loaded once is loaded: charts and maps with their libraries.
WARM = 8
#: MiB of the page's heap that one panel more may leave behind; before the front ends were shared it was 0.6, 6 for one
#: with a chart. Below, garbage that three collections leave.
PAGE = 0.15
SLACK = 4.0

SETUP = """
import gc, sys, psutil
import spade_widgets as sw
from IPython.display import display
from ipywidgets.widgets.widget import _instances
number = 0
def left():
    gc.collect()
    kinds = [type(one).__name__ for one in gc.get_objects()]
    names = ("Explorer", "SaliencyPanel", "Renderer", "Trace", "Calibration", "Figure")
    return {
        "alive": {name: kinds.count(name) for name in names if kinds.count(name)},
        "widgets": len(_instances),
        "threads": sum(name == "Thread" for name in kinds),
        "objects": len(kinds),
        "rss": round(psutil.Process().memory_info().rss / 2**20),
    }
"""
NEW = """
number += 1
panel = sw.Explorer("emoji", augmentations=8, steps=3, centre="both" if number % 4 == 0 else "visualization")
display(panel)
"""
RUN = """async () => {
  window.jupyterapp.shell.currentWidget.content.activeCellIndex = 1;
  await window.jupyterapp.commands.execute('notebook:run-cell');
}"""


@pytest.mark.rare
def test_closed_panels_leave_nothing_behind(lab: Lab) -> None:
    lab.open(lab.write("memory.ipynb", [SETUP, NEW]))
    lab.run_all()
    tools = lab.page.context.new_cdp_session(lab.page)
    tools.send("Performance.enable")

    def heap() -> float:
        for _ in range(3):
            tools.send("HeapProfiler.collectGarbage")
        found = {one["name"]: one["value"] for one in tools.send("Performance.getMetrics")["metrics"]}
        return float(found["JSHeapUsedSize"]) / 2**20

    before: tuple[float, dict[str, int]] = (0.0, {})
    for number in range(1, PANELS + 1):
        if number > 1:
            lab.page.evaluate(RUN)
        eventually(lambda: lab.value("panel.views.seen"), lab.page, what="the panel on screen")
        if number % 4 == 1:
            lab.output(1).get_by_text("What is left").first.click()
            eventually(lambda: lab.value("panel.chart is not None"), lab.page, what="its chart")
            lab.output(1).locator(".js-plotly-plot").wait_for()
        if number % 4 != 3:  # else in the middle of its work
            lab.run("panel.wait(60)")
        lab.run("panel.close(); del panel")
        if number == WARM:
            before = heap(), lab.value("left()")
        if number % 20 == 0:
            print(number, round(heap(), 1), lab.value("left()"), flush=True)
    eventually(lambda: lab.value("left()")["alive"] == {}, lab.page, what="nothing of any panel alive")
    after = heap(), lab.value("left()")
    print(f"\nafter {WARM}: {before}\nafter {PANELS}: {after}")
    assert after[1]["widgets"] == 0
    assert after[1]["threads"] <= before[1]["threads"]
    assert after[1]["objects"] < before[1]["objects"] * 1.05
    assert after[0] - before[0] < SLACK + PAGE * (PANELS - WARM)
