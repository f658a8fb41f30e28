"""Insertion and deletion curves of the maps on screen: when they are asked for, and as a chart."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from widgets.page import PATIENCE, Gate, Page, flush, settle

from spade_widgets.attribution.methods import METHODS
from spade_widgets.evidence.curves import Curve, deletion, insertion
from spade_widgets.runtime import attribute as module
from spade_widgets.widgets.saliency.chart import COLOURS, chart, fill
from spade_widgets.widgets.saliency.panel import SaliencyPanel

Make = Callable[..., SaliencyPanel]


def curve(mode: Any, level: float, target: int = 0) -> Curve:
    return Curve(mode, target, np.linspace(0, 1, 5), np.full(5, level))


def test_a_colour_for_every_method() -> None:
    assert len(set(COLOURS)) == len(COLOURS) >= len(METHODS)


def test_the_chart() -> None:
    figure = chart()
    walked: dict[Any, Any] = {
        ("dense", "lrp"): {"insertion": curve("insertion", 0.75), "deletion": curve("deletion", 0.125)},
        ("sparse", "lrp"): {"insertion": curve("insertion", 0.5), "deletion": curve("deletion", 0.25)},
        ("sparse", "lime"): {"insertion": curve("insertion", 0.5), "deletion": curve("deletion", 0.25)},
    }
    for _ in range(2):  # filled again it holds the new ones alone
        fill(figure, walked, ["<b>goose & co", "swan"])
    assert len(figure.data) == 6
    named = [line for line in figure.data if line.showlegend]
    assert [line.name for line in named] == [
        "LRP, dense: insertion 0.750, deletion 0.125",
        "LRP, trace: insertion 0.500, deletion 0.250",
        "LIME, trace: insertion 0.500, deletion 0.250",
    ]
    assert [line.line.dash for line in named] == ["solid", "dash", "dash"]
    assert named[0].line.color == named[1].line.color != named[2].line.color
    for i, panes in enumerate((("x", "y"), ("x2", "y2"))):
        line = figure.data[i]
        assert (line.xaxis, line.yaxis, line.legendgroup) == (*panes, "dense/lrp")
        assert list(line.y) == [0.75, 0.125][i : i + 1] * 5
    assert "&lt;b>goose &amp; co" in figure.layout.yaxis.title.text
    fill(figure, {}, ["goose"])
    assert len(figure.data) == 0
    figure.close()


def test_curves_come_when_they_are_asked_for(saliency_page: Page) -> None:
    panel = saliency_page.panel
    assert panel.curves is None
    assert panel.curves_stale is False
    saliency_page.say("curves")
    settle(panel)
    assert saliency_page.told("curves") == [f"anywidget:{panel.curves.model_id}"]
    assert panel.curves_status["state"] == "idle"
    assert panel.curves_stale is False
    assert len(panel.curves.data) == 2 * len(panel.maps())
    for (network, method), values in panel.maps().items():
        metrics = panel.cells[f"{network}/{method}"]["metrics"]
        for name, plain in (("insertion", insertion), ("deletion", deletion)):
            assert metrics[name] == plain(panel.session.classifier, panel.sample, values).auc
    assert panel.status["state"] == "idle"


def test_they_are_stale_as_soon_as_other_maps_are_on_screen(saliency_page: Page) -> None:
    panel = saliency_page.panel
    saliency_page.say("curves")
    settle(panel)
    before = panel.curves
    for change in ({"sparsity": 0.3}, {"methods": ["saliency", "gradcam", "lrp"]}, {"methods": ["lrp"]}):
        saliency_page.set(**change)
        settle(panel)
        assert panel.curves_stale is True
        saliency_page.say("curves")
        settle(panel)
        assert panel.curves_stale is False
    assert panel.curves is before
    assert len(panel.curves.data) == 4
    saliency_page.set(opacity=0.1, sparsity=0.3)
    settle(panel)
    assert panel.curves_stale is False


class SlowCurves:
    """Curves that wait at each step until they are let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reached, self.opened = threading.Event(), threading.Event()
        self.steps = 0
        plain = module.curve_steps

        def slow(*args: Any, **options: Any) -> Iterator[Any]:
            steps = plain(*args, **options)
            while True:
                self.reached.set()
                if not self.opened.is_set():
                    time.sleep(0.02)
                try:
                    progress = next(steps)
                except StopIteration as stop:
                    return stop.value
                self.steps += 1
                yield progress

        monkeypatch.setattr(module, "curve_steps", slow)


@pytest.mark.parametrize("how", ["stop", "select", "close"])
def test_they_are_left_off(saliency_page: Page, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    panel = saliency_page.panel
    slow = SlowCurves(monkeypatch)
    saliency_page.say("curves")
    assert slow.reached.wait(PATIENCE)
    flush()
    assert panel.curves_status["state"] == "working"
    assert panel.curves_status["of"] in (None, 8)
    if how == "stop":
        saliency_page.say("stop")
    elif how == "select":
        saliency_page.set(sparsity=0.2)
    else:
        panel.close()
    settle(panel)
    flush()
    taken = slow.steps
    assert panel.curves_status["state"] == "stopped"
    flush()
    assert slow.steps == taken < 8 * 15
    assert panel.curves is None
    if how == "stop":
        assert panel.status["state"] == "idle"  # the maps are all there
        slow.opened.set()
        saliency_page.say("curves")
        settle(panel)
        assert panel.curves_status["state"] == "idle"
        assert slow.steps == 8 * 15  # none of them twice: 225 points, 16 at a time


def test_asked_for_while_maps_are_made_they_are_of_those_that_are_there(make_saliency: Make) -> None:
    with Gate():
        panel = make_saliency()
        panel.draw_curves()
    settle(panel)
    assert panel.error == ""
    assert panel.curves is not None
    assert panel.curves_stale is (len(panel.curves.data) < 8)


def test_curves_that_fail_are_said(saliency_page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("no")

    monkeypatch.setattr(module, "curve_steps", broken)
    saliency_page.say("curves")
    settle(saliency_page.panel)
    assert saliency_page.panel.error == "This could not be computed (RuntimeError: no)."
    assert saliency_page.panel.curves_status["state"] == "stopped"
    assert saliency_page.panel.status["state"] == "idle"
