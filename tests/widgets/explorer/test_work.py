"""The Explorer at work: handlers that never compute, jobs that stop and go on, errors that pass, panels that go."""

from __future__ import annotations

import copy
import gc
import logging
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from widgets.page import PATIENCE, Gate, Page, Slow, flush, picture, png, settle

import spade_widgets as sw
from spade_widgets.classifier import ImageClassifier
from spade_widgets.pruning.pruner import Pruner
from spade_widgets.visualization import Renderer
from spade_widgets.widgets.explorer import panel as module
from spade_widgets.widgets.explorer.panel import Explorer

Make = Callable[..., Explorer]


def handled(page: Page) -> list[Callable[[], None]]:
    """Everything that a page may set or say, good and bad."""
    ids = [sample.id for sample in page.panel.session.samples]
    file = png(3, 512)
    actions: list[Callable[[], None]] = [
        lambda: page.set(sparsity=0.01),  # each round another, see the test
        lambda: page.set(sample_id=ids[1]),
        lambda: page.set(neuron="3:3"),
        lambda: page.set(layer="0"),
        lambda: page.set(preset="all"),
        lambda: page.set(preset="pattern", pattern="3, 7"),
        lambda: page.set(pattern="7"),
        lambda: page.set(solver="fast"),
        lambda: page.set(neuron="nonsense"),
        lambda: page.set(sparsity=2),
        lambda: page.say("stop"),
        lambda: page.say("resume"),
        lambda: page.say("ack", which="dense", seq=1),
        lambda: page.say("visible", view="a", visible=True),
        lambda: page.say("dismiss"),
        lambda: page.add(("file.png", file)),
        lambda: page.set(preset="late", sample_id=ids[0], layer="3", neuron="logit:bee"),
    ]
    return actions


def test_handlers_take_no_time_while_the_worker_works(page: Page, busy: None) -> None:
    """Invariant 4. This thread's own time: what a loaded machine gives to others is not the handler's."""
    actions = handled(page)
    times = []
    for i in range(20):
        actions[0] = lambda i=i: page.set(sparsity=i / 32)  # type: ignore[misc]
        for action in actions:
            began = time.thread_time()
            action()
            times.append(time.thread_time() - began)
    assert np.percentile(times, 99) < 0.005


def test_handlers_leave_all_computing_to_the_worker(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also what is quick on a small network: the copy of a large one's structure alone takes 10 ms."""
    panel = make("resnet50", weights=None, augmentations=1, steps=1)
    page = Page(panel)
    computed: list[str] = []

    def watch(owner: Any, name: str) -> None:
        plain = getattr(owner, name)

        def watched(*args: Any, **options: Any) -> Any:
            if threading.current_thread() is threading.main_thread():
                computed.append(name)
            return plain(*args, **options)

        monkeypatch.setattr(owner, name, watched)

    for owner, name in (
        (ImageClassifier, "module"), (ImageClassifier, "prepare"), (ImageClassifier, "view"),
        (nn.Module, "__call__"), (Renderer, "__init__"), (Renderer, "step"), (sw.Sample, "read"),
    ):  # fmt: skip
        watch(owner, name)
    with Gate():
        for preset in ("all", "paper-saliency", "late"):
            page.set(preset=preset)
        page.set(preset="pattern", pattern="layer4.*, fc")
        page.set(neuron="layer4.2.conv3:17@3,4", layer="layer3.1.conv2", sparsity=0.5)
        page.set(sample_id=panel.session.samples[1].id)
        page.say("stop")
        page.say("resume")
        page.say("chart")
        page.add(("file.png", png(3)))
        panel.close()
    assert computed == []


def test_a_burst_of_sparsities_ends_at_the_last(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slider that is dragged: 60 values a second, of which few are worth a trace."""
    begun: list[float] = []
    prune = Pruner.prune

    def slow(self: Pruner, calibration: Any, plans: Any) -> Any:
        begun.append(plans[0].sparsities["7"])
        steps = prune(self, calibration, plans)
        while True:
            time.sleep(0.2)  # as on a larger network
            try:
                progress = next(steps)
            except StopIteration as stop:
                return stop.value
            yield progress

    monkeypatch.setattr(Pruner, "prune", slow)
    monkeypatch.setattr("spade_widgets.widgets.explorer.panel.ahead", lambda *_: iter(()))  # neighbours come after
    for i in range(60):
        page.set(sparsity=(i + 1) / 100)
        time.sleep(1 / 100)
    settle(page.panel)
    finished = [s for s in page.panel.solved if s != 0.8]
    assert page.panel.sparsity == 0.6
    assert page.panel.trace_summary["sparsity"] == 0.6
    assert finished[-1] == 0.6
    assert len(finished) <= 3
    assert begun[-1] == 0.6
    assert len(begun) <= 12  # each was dropped within one step
    plan = sw.SparsityPlan.preset(page.panel.session.classifier, 0.6, "late")
    plain = sw.trace(page.panel.session.classifier, page.panel.sample, plan=plan, augmentations=4)
    assert page.panel.trace is not None
    assert page.panel.trace.digest == plain.digest
    image = page.panel.sparse_image
    assert image is not None
    assert image.tobytes() == sw.visualize(plain, page.panel.neuron, steps=4).tobytes()


def test_wait_follows_what_is_selected_meanwhile(panel: Explorer) -> None:
    with Gate():
        panel.sparsity = 0.1
        threading.Timer(0.1, lambda: setattr(panel, "sparsity", 0.2)).start()
        assert not panel.wait(0.3)
    assert panel.wait(PATIENCE)
    assert panel.trace_summary["sparsity"] == 0.2


def test_an_unexpected_error_is_said_and_the_next_choice_works(
    page: Page, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError("the disk is on fire\nand so on, for many lines")

    monkeypatch.setattr(Pruner, "prune", broken)
    with caplog.at_level(logging.ERROR, "spade_widgets"):
        page.set(sparsity=0.1)
        settle(page.panel)
    assert page.panel.error == "This could not be computed (RuntimeError: the disk is on fire)."
    assert page.panel.status["state"] == "error"
    assert "the disk is on fire" in caplog.text  # all of it, for who wants to know
    assert page.panel.dense["state"] == "done"  # that one was not concerned
    assert page.panel.sparse["state"] == "empty"
    monkeypatch.undo()
    page.set(sparsity=0.2)
    settle(page.panel)
    assert page.panel.error == ""
    assert page.panel.status["state"] == "idle"
    assert page.panel.trace_summary["sparsity"] == 0.2
    assert page.panel.sparse["state"] == "done"


def test_files_that_fail_do_not_stop_the_work(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise MemoryError("too large")

    monkeypatch.setattr(sw.Sample, "read", broken)
    page.add(("a.png", png(1)))
    flush()
    assert page.panel.error == "This could not be computed (MemoryError: too large)."
    assert page.panel.status["state"] == "idle"


def snapshot(model: nn.Module) -> dict[str, Any]:
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks", "_state_dict_hooks")
    return {
        "state": copy.deepcopy(model.state_dict()),
        "training": [part.training for part in model.modules()],
        "gradients": [(p.requires_grad, p.grad) for p in model.parameters()],
        "hooks": [len(getattr(part, name)) for part in model.modules() for name in hooks],
        "places": [t.data_ptr() for t in (*model.parameters(), *model.buffers())],
        "keys": [sorted(part.__dict__) for part in model.modules()],
    }


@pytest.mark.parametrize("train", [False, True])
def test_the_dense_model_is_what_it_was_after_a_whole_session(
    make: Make, tiny_model: nn.Module, tiny: ImageClassifier, train: bool
) -> None:
    """Invariant 1."""
    tiny_model.train(train)
    next(tiny_model.parameters()).requires_grad_(False)
    before = snapshot(tiny_model)
    panel = make(tiny_model, preprocess=tiny._preprocess)
    page = Page(panel)
    random = torch.get_rng_state()
    for _ in range(2):
        for action in handled(page):
            action()
        settle(panel)
    page.say("chart")
    panel.neuron = "3:2@1,1"
    settle(panel)
    flush()
    assert torch.equal(torch.get_rng_state(), random)
    after = snapshot(tiny_model)
    assert before["state"].keys() == after["state"].keys()
    for name, tensor in before["state"].items():
        assert torch.equal(tensor, after["state"][name])
    for kind in ("training", "gradients", "hooks", "places", "keys"):
        assert before[kind] == after[kind]


def test_notifications_are_not_lost_among_threads(panel: Explorer) -> None:
    """What the worker sets while the page sets something reaches the page."""
    page = Page(panel)
    over = threading.Event()

    def drag() -> None:
        i = 0
        while not over.is_set():
            i += 1
            page.set(pattern=f"not in use {i}")

    worker = panel.session.worker
    settle(panel)
    worker.cancel((panel, "ahead"))  # which says what is solved, too
    assert worker.submit("after it", (x for x in [None]), print).finished.wait(PATIENCE)
    panel.session.worker = _Idle()  # type: ignore[assignment]
    thread = threading.Thread(target=drag)
    thread.start()
    values = [[i / 4000] for i in range(4000)]
    for value in values:
        panel.solved = value
    over.set()
    thread.join(PATIENCE)
    assert page.told("solved") == values


class _Idle:
    """A worker that does nothing: the handlers alone are looked at."""

    def submit(self, *_: Any, **__: Any) -> None:
        return None

    def __getattr__(self, _name: str) -> Any:
        return lambda *_: None


def test_two_threads_select_and_the_last_start_sees_both(panel: Explorer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page's handler and the worker that reads files both select: whoever starts last starts with all of it."""
    write = module.recipe
    inside = threading.Event()

    def slow(*args: Any) -> str:
        if not inside.is_set():  # the first one, which has seen the neuron alone
            inside.set()
            second.start()
            second.join(0.5)
        return write(*args)

    monkeypatch.setattr(module, "recipe", slow)
    second = threading.Thread(target=setattr, args=(panel, "sparsity", 0.25))
    panel.neuron = "3:2"
    second.join(PATIENCE)
    settle(panel)
    assert panel.trace_summary["sparsity"] == 0.25
    assert panel.sparse["neuron"] == "3:2"
    assert "0.25" in panel.code
    assert "'3:2'" in panel.code


def test_closing_drops_the_work(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    panel = make(steps=100_000)
    slow = Slow(monkeypatch, 5)
    assert slow.reached.wait(PATIENCE)
    with Gate():
        page = Page(panel)
        page.add(("late.png", png(3)))
        panel.close()
    flush()
    taken = slow.taken
    assert panel.wait(PATIENCE)
    flush()
    assert slow.taken == taken
    assert len(panel.session.samples) == 2
    panel.sparsity = 0.1  # nobody sees it any more
    flush()
    assert slow.taken == taken
    panel.close()


def test_a_closed_panel_is_forgotten(tiny: ImageClassifier) -> None:
    """With all that its session keeps: it may be gigabytes."""

    def used() -> tuple[weakref.ref[Any], ...]:
        panel = Explorer(tiny, samples=[picture(0)], augmentations=4, steps=4)
        page = Page(panel)
        page.say("chart")
        page.add(("a.png", png(3)))
        flush()
        flush()
        settle(panel)
        panel.close()
        assert panel.chart is not None
        assert panel.chart.comm is None
        return weakref.ref(panel), weakref.ref(panel.session), weakref.ref(panel.trace)

    left = used()
    deadline = time.monotonic() + PATIENCE  # the worker may be about to let go
    while any(ref() is not None for ref in left) and time.monotonic() < deadline:
        gc.collect()
        time.sleep(0.01)
    assert [ref() for ref in left] == [None] * 3
