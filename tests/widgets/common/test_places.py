"""What the page holds: what a re-run replaces is let go, and nothing else."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any
from weakref import ref

import pytest
from ipywidgets import Output, VBox
from ipywidgets.widgets.widget import _instances
from widgets.kernel import Kernel
from widgets.page import flush, picture, settle

from spade_widgets.classifier import ImageClassifier
from spade_widgets.runtime.jobs import WORKER
from spade_widgets.widgets.explorer.panel import Explorer
from spade_widgets.widgets.saliency.panel import SaliencyPanel

Make = Callable[..., Explorer]


@pytest.fixture
def make(tiny: ImageClassifier) -> Make:
    """Makes Explorers that nobody but the test holds."""

    def new(**options: Any) -> Explorer:
        samples = [picture(0, "first"), picture(1, "second")]
        return Explorer(tiny, samples=samples, augmentations=4, steps=4, preset="late", sparsity=0.8, **options)

    return new


def gone(*panels: ref[Any]) -> list[bool]:
    """Which of these are no more, once the worker has done all that it can."""
    work()
    gc.collect()
    return [panel() is None for panel in panels]


def work() -> None:
    """Until the worker has done all that it can."""
    while any(job.runs() for job in list(WORKER._jobs.values())):
        flush()


def shown(make: Make, kernel: Kernel, cell: str, **options: Any) -> tuple[ref[Explorer], str]:
    """Runs a cell that makes a panel and gives it, and nothing more."""
    with kernel.running(cell):
        panel = make(**options)
        kernel.give(panel)
    return ref(panel), panel.model_id


def test_what_a_cell_shows_when_it_is_run_again_takes_the_place_of_what_it_showed(make: Make, kernel: Kernel) -> None:
    first, name = shown(make, kernel, "a", centre="both")
    settle(first())  # type: ignore[arg-type]
    assert gone(first) == [False]  # the page shows it
    assert name in _instances
    before = set(_instances)
    second, _ = shown(make, kernel, "a", centre="both")
    assert gone(first, second) == [True, False]
    assert name not in _instances
    assert len(set(_instances) & before) < len(before)
    third, _ = shown(make, kernel, "a")
    assert gone(second, third) == [True, False]
    assert list(kernel.user_ns["_oh"].values()) == [third()]
    assert kernel.user_ns["_"] is third()
    third().close()  # type: ignore[union-attr]


def test_another_cells_panel_stays(make: Make, kernel: Kernel) -> None:
    first, _ = shown(make, kernel, "a")
    second, _ = shown(make, kernel, "b")
    third, _ = shown(make, kernel, "b")
    assert gone(first, second, third) == [False, True, False]
    for panel in (first, third):
        panel().close()  # type: ignore[union-attr]


def test_a_panel_that_a_second_cell_shows_stays_when_either_is_run_again(make: Make, kernel: Kernel) -> None:
    first, _ = shown(make, kernel, "a")
    with kernel.running("b"):
        kernel.give(first())
    with kernel.running("b"):
        kernel.give(first())
    with kernel.running("a"):
        pass
    assert gone(first) == [False]
    assert first()._active  # type: ignore[union-attr]
    with kernel.running("b"):
        pass
    assert gone(first) == [True]


def test_one_that_is_held_goes_on_and_can_be_shown_again(make: Make, kernel: Kernel) -> None:
    with kernel.running("a"):
        held = [make()]
        kernel.give(held[0])
    kernel_first = held[0]
    kernel_first.views.view("a view", visible=True)
    kernel_first.views.view("a view", visible=False)
    with kernel.running("a"):
        pass
    assert gone(ref(held[0])) == [False]
    assert not kernel_first._closed
    assert kernel_first.model_id in _instances
    kernel_first.sparsity = 0.35
    settle(kernel_first)
    assert kernel_first.trace is not None
    assert kernel_first.trace_summary["sparsity"] == 0.35
    with kernel.running("b"):
        kernel.give(kernel_first)
    name = ref(kernel_first)
    del held, kernel_first
    assert gone(name) == [False]  # the page holds it again
    name().close()  # type: ignore[union-attr]


def test_one_in_another_widget_is_held_by_it_and_works_while_it_is_seen(make: Make, kernel: Kernel) -> None:
    with kernel.running("a"):
        box = VBox([make()])
        kernel.give(box.children[0])
    panel: Any = box.children[0]
    settle(panel)
    panel.views.view("in the box", visible=True)
    with kernel.running("a"):
        pass
    panel._message(panel, {"type": "visible", "view": "in the box", "visible": True}, [])
    panel.sparsity = 0.35
    assert panel._job is not None
    assert panel._job.finished.wait(60)
    assert panel.trace_summary["sparsity"] == 0.35
    name = ref(panel)
    panel._message(panel, {"type": "visible", "view": "in the box", "visible": False}, [])
    box.close()
    del box, panel
    assert gone(name) == [True]


def test_one_that_was_never_shown_is_let_go_with_its_name(make: Make, kernel: Kernel) -> None:
    panel = make()
    settle(panel)
    name, model = ref(panel), panel.model_id
    assert gone(name) == [False]
    assert model in _instances
    del panel
    assert gone(name) == [True]
    assert model not in _instances


def test_a_linked_panel_holds_neither_its_source_nor_is_held_by_it(make: Make, kernel: Kernel) -> None:
    explorer = make()
    settle(explorer)

    def maps(source: Explorer) -> ref[SaliencyPanel]:
        with kernel.running("b"):
            panel = SaliencyPanel(source, methods=("saliency",))
            kernel.give(panel)
        settle(panel)
        return ref(panel)

    first, second = maps(explorer), maps(explorer)
    assert gone(first, second) == [True, False]
    name = ref(explorer)
    del explorer
    assert gone(name) == [True]
    panel: Any = second()
    panel.sparsity = 0.35
    settle(panel)
    assert panel.trace_summary["sparsity"] == 0.35
    panel.close()


def test_without_a_kernel_a_panel_is_held_until_it_is_closed(make: Make) -> None:
    panel = make()  # a house that is no IPython may show it without telling
    settle(panel)
    name = ref(panel)
    del panel
    assert gone(name) == [False]
    name().close()  # type: ignore[union-attr]
    assert gone(name) == [True]


def test_one_that_an_output_widget_took_stays_there(make: Make, kernel: Kernel) -> None:
    taking = Output()
    with kernel.running("a"):
        taking.msg_id = kernel.get_parent()["header"]["msg_id"]  # as within `with taking:`
        panel = make()
        kernel.display(panel)
        taking.msg_id = ""
    with kernel.running("a"):
        pass
    name = ref(panel)
    del panel
    assert gone(name) == [False]
    name().close()  # type: ignore[union-attr]
    taking.close()


def test_without_a_cells_id_the_page_holds_a_panel_until_it_is_closed(make: Make, kernel: Kernel) -> None:
    first, _ = shown(make, kernel, "")
    second, _ = shown(make, kernel, "")
    kernel.user_ns["_oh"].clear()
    assert gone(first, second) == [False, False]
    for panel in (first, second):
        panel().close()  # type: ignore[union-attr]


def test_work_in_the_middle_ends_with_the_panel_that_is_let_go(make: Make, kernel: Kernel) -> None:
    first, _ = shown(make, kernel, "a", count=4)
    first().views.view("a view", visible=True)  # type: ignore[union-attr]
    first().views.view("a view", visible=False)  # type: ignore[union-attr]  # it is held where it is
    gc.disable()  # nothing but the notebook collects
    try:
        second, _ = shown(make, kernel, "a")
        work()
        assert [panel() is None for panel in (first, second)] == [True, False]
    finally:
        gc.enable()
    second().close()  # type: ignore[union-attr]
