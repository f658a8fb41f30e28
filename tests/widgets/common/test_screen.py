"""From events to what the page shows."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from widgets.page import Gate, Page, opened, settle

from spade_widgets.runtime.exemplify import Gallery
from spade_widgets.runtime.explore import Excited, Predicted, Rendered, Working
from spade_widgets.widgets.common import facts
from spade_widgets.widgets.common import screen as shared
from spade_widgets.widgets.common.frames import Frames
from spade_widgets.widgets.explorer import channels as module
from spade_widgets.widgets.explorer.panel import Explorer
from spade_widgets.widgets.explorer.screen import Screen

Make = Callable[..., Explorer]


@pytest.fixture
def still(make: Make) -> Iterator[Page]:
    """A panel whose worker is held: what its screen shows is what the test shows it."""
    panel = make(steps=50, neuron="3:2")
    settle(panel)
    with Gate():
        yield Page(panel)


def screen_of(page: Page) -> Screen:
    return page.panel._screen


def test_a_class_that_only_the_trace_names_is_listed_too(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facts, "TOP", 3)
    panel = make()
    settle(panel)
    dense, sparse = torch.tensor([0.1, 0.4, 0.3, 0.15, 0.05]), torch.tensor([0.0, 0.1, 0.1, 0.1, 0.7])
    panel._screen.show(panel._selection(), Predicted(dense, sparse))
    rows = [(row["name"], row["dense"], row["sparse"]) for row in panel.predictions["rows"]]
    expected = [("bee", 0.4, 0.1), ("cat", 0.3, 0.1), ("dog", 0.15, 0.1), ("eel", 0.05, 0.7)]
    assert [name for name, _, _ in rows] == [name for name, _, _ in expected]
    assert np.allclose([row[1:] for row in rows], [row[1:] for row in expected])
    # The last trace's stay while the next one is made; but not when it is given up.
    panel._screen.show(panel._selection(), Predicted(dense, None))
    assert len(panel.predictions["rows"]) == 4
    panel.session.store.put(panel.session._probabilities_key(panel.session.classifier, panel.sample), dense, 1)
    monkeypatch.setattr(panel.session, "known_trace", lambda *_: None)
    panel._screen._leave_off(panel._selection())
    assert [(row["name"], row["sparse"]) for row in panel.predictions["rows"]] == [
        ("bee", None), ("cat", None), ("dog", None),
    ]  # fmt: skip


def test_the_most_excited_channels_are_listed(still: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHANNELS", 3)
    still.panel._screen.forget_channels()
    still.panel.gallery = Gallery(still.panel.session)  # nothing is known of the photographs
    strengths = np.array([0.5, 2.0, 0.5, 1.0, 0.0], dtype=np.float32)
    maps = np.random.default_rng(0).random((5, 4, 4), dtype=np.float32)
    screen_of(still).show(still.panel._selection(), Excited(maps, strengths))
    shown = still.panel.channels
    assert shown["total"] == 5
    assert [(row["channel"], row["activation"]) for row in shown["rows"]] == [(1, 2.0), (3, 1.0), (0, 0.5)]
    for row in shown["rows"]:
        assert opened(row["map"]).size == (32, 32)


def test_progress_is_said_a_few_times_a_second(still: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [time.monotonic() + 10]
    monkeypatch.setattr(shared.time, "monotonic", lambda: now[0])
    screen, selection = screen_of(still), still.panel._selection()
    screen.begin(selection)
    still.updates.clear()
    for done in range(100):  # two seconds
        now[0] += 0.02
        screen.show(selection, Working("calibrating", done, 100))
    said = still.told("status")
    assert 9 <= len(said) <= 12
    assert (said[0]["text"], said[0]["done"], said[0]["of"]) == ("calibrating", 0, 100)
    assert all(a["seconds"] < b["seconds"] for a, b in itertools.pairwise(said))
    screen.show(selection, Working("solving", 0, 3))  # another stage at once
    assert still.panel.status["text"] == "solving"


@pytest.mark.parametrize(("delay", "most"), [(0.1, 14), (1.0, 4), (60.0, 3)])
def test_a_slow_link_is_told_of_progress_less_often(
    still: Page, monkeypatch: pytest.MonkeyPatch, delay: float, most: int
) -> None:
    now = [time.monotonic() + 10]
    monkeypatch.setattr(shared.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(Frames, "delay", delay)
    screen, selection = screen_of(still), still.panel._selection()
    screen.begin(selection)
    still.updates.clear()
    for done in range(125):  # two seconds and a half
        now[0] += 0.02
        screen.show(selection, Working("calibrating", done, 125))
    assert 2 <= len(still.told("status")) <= most  # the first of a stage comes whenever, and so may the one after it


def test_the_first_and_the_last_step_are_pictures_and_the_rest_are_frames(
    still: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [time.monotonic() + 10]
    monkeypatch.setattr(shared.time, "monotonic", lambda: now[0])
    panel, screen = still.panel, screen_of(still)
    panel.neuron = "3:7"
    selection = panel._selection()
    screen.begin(selection)
    assert panel.dense["state"] == "waiting"
    assert panel.dense["step"] == 0  # the old picture's steps are not this one's
    assert panel.dense_file != b""  # it stays meanwhile
    still.updates.clear()
    still.messages.clear()
    renderer = panel.session.renderer(panel.session.classifier, selection.neuron)
    for _ in range(50):
        now[0] += 0.05
        renderer.step()
        screen.show(selection, Rendered("dense", renderer))
    assert [opened(data).size for data in still.told("dense_file")] == [(32, 32)] * 2
    assert opened(panel.dense_file).tobytes() == renderer.picture().tobytes()
    said = still.told("dense")
    assert (said[0]["state"], said[0]["step"]) == ("rendering", 1)
    assert (said[-1]["state"], said[-1]["step"], said[-1]["activation"]) == ("done", 50, renderer.activation)
    assert len(said) <= 16
    assert still.messages == []  # nobody looks


def test_a_picture_that_is_still_wanted_stays_as_it_is(still: Page) -> None:
    panel = still.panel
    before = dict(panel.dense)
    panel.sparsity = 0.2
    screen_of(still).begin(panel._selection())
    assert panel.dense == before
    assert panel.sparse["state"] == "waiting"
