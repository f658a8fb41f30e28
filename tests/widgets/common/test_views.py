"""Who sees a panel; a page that went away without a word; what nobody sees does no work."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from widgets.page import PATIENCE, Page, Slow, settle

from spade_widgets.widgets.common.views import ANSWER, Views
from spade_widgets.widgets.explorer.panel import Explorer
from spade_widgets.widgets.saliency.panel import SaliencyPanel

Make = Callable[..., Explorer]


@dataclass
class Pages:
    """Views, at a time that the test sets; the names in `live` answer when they are asked."""

    now: float = 50.0
    live: set[str] = field(default_factory=set)
    asked: int = 0

    def __post_init__(self) -> None:
        self.views = Views(self.ask, lambda: self.now)

    def ask(self) -> None:
        self.asked += 1
        assert self.asked < 100, "they ask each other for ever"
        for name in sorted(self.live):
            self.views.view(name, visible=True)

    def come(self, name: str) -> None:
        self.live.add(name)
        self.views.view(name, visible=True)

    def go(self, name: str) -> None:
        self.live.discard(name)
        self.views.view(name, visible=False)


@pytest.fixture
def pages() -> Pages:
    return Pages()


def test_without_a_view_nothing_was_shown(pages: Pages) -> None:
    assert not pages.views.shown
    assert not pages.views.seen
    pages.go("a")  # begun off screen
    assert pages.views.shown
    assert not pages.views.seen
    pages.come("a")
    assert pages.views.seen
    assert pages.asked == 0  # there is nobody to ask


def test_two_views_each_count(pages: Pages) -> None:
    pages.come("a")
    pages.come("b")
    pages.now += 10 * ANSWER
    pages.go("a")
    pages.now += 10 * ANSWER
    assert pages.views.seen
    pages.go("b")
    assert not pages.views.seen


def test_a_view_that_went_without_a_word_is_forgotten_when_the_next_one_comes(pages: Pages) -> None:
    pages.come("a")
    pages.live.clear()  # its page was reloaded
    pages.come("b")
    pages.go("b")
    assert pages.views.seen  # it might answer yet
    pages.now += ANSWER
    assert not pages.views.seen


def test_a_view_that_answers_late_is_back(pages: Pages) -> None:
    pages.come("a")
    pages.live.clear()  # the kernel is busy: the answer waits
    pages.go("b")
    pages.come("b")
    pages.go("b")
    pages.now += 2 * ANSWER
    assert not pages.views.seen
    pages.come("a")
    pages.now += 2 * ANSWER
    assert pages.views.seen


def await_still(slow: Slow) -> int:
    """How many steps were taken once no more are."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        taken = slow.taken
        time.sleep(0.25)
        if slow.taken == taken:
            return taken
    raise AssertionError("it goes on")


def test_what_nobody_sees_does_no_work_and_goes_on_where_it_was(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = Slow(monkeypatch, 10)
    panel = make(steps=40, neuron="3:2", solver="fast")  # no draft has steps of its own
    page = Page(panel)
    page.say("visible", view="a", visible=True)
    assert slow.reached.wait(PATIENCE)
    page.say("visible", view="a", visible=False)
    taken = await_still(slow)
    assert 10 <= taken < 80
    assert not panel.wait(0)
    said = len(page.updates)
    time.sleep(0.2)
    assert len(page.updates) == said
    page.say("visible", view="a", visible=True)
    deadline = time.monotonic() + PATIENCE
    while panel.status["state"] != "idle" and time.monotonic() < deadline:
        time.sleep(0.02)
    assert panel.status["state"] == "idle"
    assert slow.taken == 80  # none of them twice
    # Nothing that was there goes away in between.
    seen = [state["dense"]["state"] for state in page.updates[said:] if "dense" in state]
    assert set(seen) <= {"rendering", "done"}


def test_one_never_shown_works_for_python(make: Make) -> None:
    panel = make()
    deadline = time.monotonic() + PATIENCE
    while panel.status["state"] != "idle" and time.monotonic() < deadline:
        time.sleep(0.02)
    assert panel.dense["state"] == panel.sparse["state"] == "done"


def test_who_waits_for_a_hidden_panel_gets_it(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    panel = make(steps=6)
    settle(panel)
    page = Page(panel)
    page.say("visible", view="a", visible=False)
    slow = Slow(monkeypatch, 10**6)
    panel.neuron = "3:1"
    time.sleep(0.3)
    assert slow.taken == 0
    assert panel.dense["state"] == "waiting"  # the old picture does not pass for it
    assert panel.dense["neuron"] == "3:1"
    assert panel.wait(PATIENCE)
    assert panel.dense["state"] == panel.sparse["state"] == "done"
    panel.neuron = "3:2"
    assert not panel.wait(0.0)
    assert await_still(slow) < 24  # who no longer waits has no work done


def test_stop_while_hidden_stays_stopped_when_it_is_seen(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    panel = make(steps=6)
    settle(panel)
    page = Page(panel)
    page.say("visible", view="a", visible=False)
    slow = Slow(monkeypatch, 10**6)
    panel.neuron = "3:1"
    panel.stop()
    settle(panel)
    assert panel.status["state"] == "stopped"
    page.say("visible", view="a", visible=True)
    time.sleep(0.2)
    assert slow.taken == 0
    panel.resume()
    settle(panel)
    assert panel.dense["state"] == "done"


def test_a_hidden_panel_that_is_closed_leaves_no_work_behind(make: Make) -> None:
    panel = make()
    settle(panel)
    Page(panel).say("visible", view="a", visible=False)
    panel.neuron = "3:1"
    Page(panel).say("chart")
    time.sleep(0.1)
    panel.close()
    worker = panel.session.worker
    assert not [owner for owner in worker._jobs if owner is panel or (isinstance(owner, tuple) and owner[0] is panel)]


def test_the_maps_that_nobody_sees_wait_too(make_saliency: Callable[..., SaliencyPanel]) -> None:
    panel = make_saliency()
    settle(panel)
    page = Page(panel)
    page.say("visible", view="a", visible=False)
    panel.target = (panel.predictions["rows"][0]["index"] + 1) % 5
    panel.draw_curves()
    time.sleep(0.3)
    assert {cell["state"] for cell in panel.cells.values()} == {"stale"}
    page.say("visible", view="a", visible=True)
    deadline = time.monotonic() + PATIENCE
    while panel.status["state"] != "idle" and time.monotonic() < deadline:
        time.sleep(0.02)
    assert {cell["state"] for cell in panel.cells.values()} == {"done"}
    settle(panel)


def test_stop_stops_the_maps_in_the_explorers_middle_too(make: Make, busy: None) -> None:
    panel = make(centre="saliency")
    settle(panel)
    assert panel.saliency_panel is not None
    panel.sparsity = 0.35
    panel.stop()
    settle(panel)
    maps = panel.saliency_panel
    assert maps.status["state"] == panel.maps_state == "stopped"
    panel.resume()
    settle(panel)
    assert panel.maps_state == "idle"
    page = Page(panel)
    panel.sparsity = 0.3
    settle(panel)
    assert "working" in page.told("maps_state")
    panel.sparsity = 0.2
    panel.centre = "visualization"  # they are not looked at any more
    settle(panel)
    assert panel.maps_state == "idle"
    panel.centre = "both"
    settle(panel)
    assert {cell["state"] for cell in maps.cells.values()} == {"done"}
