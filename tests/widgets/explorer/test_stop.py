"""Stop and resume: nothing is lost, and nothing old passes for what is not there yet."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from widgets.page import PATIENCE, Gate, Page, Slow, opened, settle

import spade_widgets as sw
from spade_widgets.widgets.explorer.panel import Explorer

Make = Callable[..., Explorer]


def test_stopped_and_resumed_it_ends_with_the_same_pictures(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spade_widgets.runtime.explore.FIRST_LOOK", 0)  # both pictures from the first step on
    panel = make(steps=40, neuron="3:2", solver="fast")  # no draft has steps of its own
    slow = Slow(monkeypatch, 12)
    page = Page(panel)
    assert slow.reached.wait(PATIENCE)
    page.say("stop")
    settle(panel)
    taken = slow.taken
    assert panel.status["state"] == "stopped"
    for which, data, shown in (
        ("dense", panel.dense_file, panel.dense_image),
        ("sparse", panel.sparse_file, panel.sparse_image),
    ):
        progress = getattr(panel, which)
        assert progress["state"] == "stopped"
        assert 0 < progress["step"] < 40
        assert progress["activation"] is not None
        assert shown is not None
        # A page that is reloaded sees the traits alone.
        assert opened(data).tobytes() == shown.tobytes()
    assert panel.dense["step"] + panel.sparse["step"] == taken
    time.sleep(0.1)
    assert slow.taken == taken
    page.say("resume")
    settle(panel)
    assert slow.taken == 80  # not one of them twice
    assert panel.status["state"] == "idle"
    assert panel.dense["state"] == panel.sparse["state"] == "done"
    monkeypatch.undo()
    assert panel.trace is not None
    for network, data in ((panel.session.classifier, panel.dense_file), (panel.trace, panel.sparse_file)):
        assert opened(data).tobytes() == sw.visualize(network, "3:2", steps=40).tobytes()


def test_stopped_before_there_is_anything(make: Make) -> None:
    with Gate():
        panel = make()
        panel.stop()
        panel.stop()
    settle(panel)
    assert panel.status["state"] == "stopped"
    assert panel.dense["state"] == panel.sparse["state"] == "empty"
    panel.resume()
    settle(panel)
    assert panel.dense["state"] == panel.sparse["state"] == "done"


def test_stopped_right_after_a_new_choice_nothing_old_passes_for_it(page: Page) -> None:
    with Gate():
        page.set(neuron="3:2")
        page.say("stop")
    settle(page.panel)
    assert page.panel.status["state"] == "stopped"
    for which in ("dense", "sparse"):
        assert getattr(page.panel, which)["state"] == "empty"
        assert getattr(page.panel, which)["step"] == 0
        assert getattr(page.panel, f"{which}_file") == b""
    page.say("resume")
    settle(page.panel)
    assert page.panel.dense["state"] == "done"


def test_stop_when_all_is_done_is_nothing(page: Page) -> None:
    before = page.panel.state()
    page.say("stop")
    settle(page.panel)
    assert page.panel.state() == before
    with Gate():
        page.say("resume")
        page.say("stop")
    settle(page.panel)
    assert page.panel.status["state"] == "idle"  # both pictures are whole: there is nothing to resume
    assert page.panel.dense["state"] == page.panel.sparse["state"] == "done"
