"""The Saliency panel at work: handlers that never compute, superseded jobs, panels that are linked, hidden and gone."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from widgets.page import PATIENCE, Gate, Page, flush, masked, picture, png, settle

import spade_widgets as sw
from spade_widgets.attribution.methods import METHODS
from spade_widgets.classifier import ImageClassifier
from spade_widgets.errors import InputError
from spade_widgets.pruning.progress import Progress
from spade_widgets.pruning.pruner import Pruner
from spade_widgets.visualization import Renderer
from spade_widgets.widgets.common import thumbnails
from spade_widgets.widgets.common.wire import SHARED
from spade_widgets.widgets.explorer.panel import Explorer
from spade_widgets.widgets.saliency.panel import SaliencyPanel

MakeExplorer = Callable[..., Explorer]
Make = Callable[..., SaliencyPanel]


class Slow:
    """A slow method of a hundred steps that wait until they are let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, allowed: int = 0) -> None:
        self.reached = threading.Event()
        self.taken: list[str] = []
        self.allowed = allowed
        monkeypatch.setitem(METHODS, "lime", replace(METHODS["lime"], run=self._run))

    def _run(self, query: Any, **_options: Any) -> Iterator[Progress]:
        for i in range(100):
            if len(self.taken) >= self.allowed:
                self.reached.set()
                time.sleep(0.02)
            self.taken.append("dense" if isinstance(query.network, ImageClassifier) else "sparse")
            yield Progress("saliency", i + 1, 100)
        return query.x[0].sum(0)  # type: ignore[no-any-return]


def handled(page: Page) -> list[Callable[[], None]]:
    """Everything that a page may set or say, good and bad."""
    ids = [sample.id for sample in page.panel.session.samples]
    file = png(3, 512)
    return [
        lambda: page.set(sample_id=ids[1]),
        lambda: page.set(target=3),
        lambda: page.set(methods=["saliency", "gradcam", "lime", "occlusion"]),
        lambda: page.set(preset="all"),
        lambda: page.set(preset="pattern", pattern="3, 7"),
        lambda: page.set(methods=["magic"]),
        lambda: page.set(opacity=0.3, colormap="magma"),
        lambda: page.set(sparsity=2),
        lambda: page.say("stop"),
        lambda: page.say("resume"),
        lambda: page.say("curves"),
        lambda: page.say("export"),
        lambda: page.say("dismiss"),
        lambda: page.add(("file.png", file)),
        lambda: page.set(preset="late", sample_id=ids[0], target=-1, methods=["saliency"]),
    ]


def test_handlers_take_no_time_while_the_worker_works(make: MakeExplorer, make_saliency: Make, busy: None) -> None:
    """Invariant 4, where it is dearest: each choice is the linked Explorer's too."""
    explorer = make()
    page = Page(make_saliency(explorer))
    actions = handled(page)
    times = []
    for i in range(20):
        for action in [lambda i=i: page.set(sparsity=i / 32), *actions]:  # type: ignore[misc]
            began = time.thread_time()
            action()
            times.append(time.thread_time() - began)
    assert np.percentile(times, 99) < 0.005


def test_handlers_leave_all_computing_to_the_worker(make: MakeExplorer, monkeypatch: pytest.MonkeyPatch) -> None:
    explorer = make("resnet50", weights=None, augmentations=1, steps=1)
    panel = SaliencyPanel(explorer, methods=("saliency",))
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
        (ImageClassifier, "view_mask"), (nn.Module, "__call__"), (sw.Sample, "read"), (SaliencyPanel, "__init__"),
    ):  # fmt: skip
        watch(owner, name)
    with Gate():
        page.set(preset="pattern", pattern="layer4.*, fc", methods=["saliency", "gradcam"], target=7, sparsity=0.5)
        page.set(sample_id=panel.session.samples[1].id)
        for message in ("stop", "resume", "curves", "export"):
            page.say(message)
        page.add(("file.png", png(3)))
        Page(explorer).set(centre="both")
        assert panel.maps() == {}
        panel.close()
        explorer.close()
    assert computed == []


def test_a_superseded_job_stops_within_one_step_and_its_maps_go_on(
    make_saliency: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = Slow(monkeypatch, 10)
    panel = make_saliency(methods=["lime", "saliency"])
    assert slow.reached.wait(PATIENCE)
    assert panel.cells["dense/lime"]["state"] == "running"
    assert panel.cells["sparse/lime"]["state"] == "waiting"
    assert panel.cells["sparse/saliency"]["state"] == "done"  # what is quick does not wait for it
    assert not panel.wait(0)
    panel.methods = ("saliency",)
    settle(panel)
    taken = len(slow.taken)
    time.sleep(0.1)
    assert len(slow.taken) == taken < 100
    slow.allowed = 1000
    panel.methods = ("lime", "saliency")
    settle(panel)
    assert slow.taken.count("dense") == slow.taken.count("sparse") == 100  # none of them twice


def test_stopped_half_way_it_says_how_far_it_is(make_saliency: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = Slow(monkeypatch, 10)
    panel = make_saliency(methods=["lime", "saliency"])
    assert slow.reached.wait(PATIENCE)
    panel.stop()
    settle(panel)
    assert panel.status["state"] == "stopped"
    states = {name: cell["state"] for name, cell in panel.cells.items()}
    assert states == {
        "dense/lime": "stopped", "dense/saliency": "done", "sparse/lime": "stopped", "sparse/saliency": "done",
    }  # fmt: skip
    assert panel.map_dense_lime == b""
    assert panel.maps().keys() == {("dense", "saliency"), ("sparse", "saliency")}
    taken = len(slow.taken)
    time.sleep(0.1)
    assert len(slow.taken) == taken
    slow.allowed = 1000
    panel.resume()
    settle(panel)
    assert len(slow.taken) == 200
    assert len(panel.map_dense_lime) == 4 * 32 * 32


def test_progress_is_said_a_few_times_a_second(make_saliency: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = Slow(monkeypatch)  # 20 ms a step: two seconds a map
    panel = make_saliency(methods=["lime"])
    page = Page(panel)
    settle(panel)
    said = [cells["dense/lime"] for cells in page.told("cells") if cells["dense/lime"]["state"] == "running"]
    shares = [(cell["done"], cell["of"]) for cell in said]
    assert shares[0][1] == 100
    assert shares == sorted(shares)
    assert 5 <= len(set(shares)) <= 30
    assert len(slow.taken) == 200


def test_a_burst_of_sparsities_ends_at_the_last(saliency_page: Page) -> None:
    panel = saliency_page.panel
    for i in range(60):
        saliency_page.set(sparsity=(i + 1) / 100)
        time.sleep(1 / 200)
    settle(panel)
    assert panel.trace_summary["sparsity"] == 0.6
    plan = sw.SparsityPlan.preset(panel.session.classifier, 0.6, "late")
    trace = sw.trace(panel.session.classifier, panel.sample, plan=plan, augmentations=4)
    for method in panel.methods:
        assert np.array_equal(panel.maps()["sparse", method], sw.saliency(trace, panel.sample, method=method))
        sent = np.frombuffer(getattr(panel, f"map_sparse_{method}"), "<f4")
        assert np.array_equal(sent, panel.maps()["sparse", method].ravel())


def test_a_method_that_cannot_apply_says_so_in_its_cell(make_saliency: Make, tiny: ImageClassifier) -> None:
    """A network without a feature map that GradCAM could weigh."""
    flat = ImageClassifier(nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 5)), preprocess=tiny._preprocess)
    panel = make_saliency(flat, methods=["gradcam", "saliency"], pattern="*")
    settle(panel)
    assert panel.error == ""
    assert panel.status["state"] == "idle"
    for network in ("dense", "sparse"):
        cell = panel.cells[f"{network}/gradcam"]
        assert cell["state"] == "error"
        assert cell["error"].endswith(".")
        assert "\n" not in cell["error"]
        assert panel.cells[f"{network}/saliency"]["state"] == "done"
    assert panel.maps().keys() == {("dense", "saliency"), ("sparse", "saliency")}
    panel.stop()
    settle(panel)
    assert panel.status["state"] == "idle"  # nothing is left to do


def test_a_trace_that_fails_is_said_and_the_next_choice_works(
    saliency_page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    panel = saliency_page.panel

    def broken(*_: Any) -> Any:
        raise RuntimeError("the disk is on fire")

    monkeypatch.setattr(Pruner, "prune", broken)
    saliency_page.set(sparsity=0.1)
    settle(panel)
    assert panel.error == "This could not be computed (RuntimeError: the disk is on fire)."
    assert panel.status["state"] == "error"
    assert panel.cells["dense/saliency"]["state"] == "done"  # that one was not concerned
    assert panel.cells["sparse/saliency"]["state"] == "stopped"
    assert panel.map_sparse_saliency == b""
    monkeypatch.undo()
    saliency_page.set(sparsity=0.2)
    settle(panel)
    assert panel.error == ""
    assert {cell["state"] for cell in panel.cells.values()} == {"done"}


# Linked with an Explorer


def test_both_select_the_same_whichever_is_touched(make: MakeExplorer, make_saliency: Make) -> None:
    explorer = make(sparsity=0.5)
    panel = make_saliency(explorer, sparsity=0.3)
    assert explorer.sparsity == panel.sparsity == 0.3
    touched: list[tuple[Any, str, Any]] = [
        (explorer, "sparsity", 0.7), (panel, "sparsity", 0.6), (explorer, "sample_id", explorer.session.samples[1].id),
        (panel, "sample_id", explorer.session.samples[0].id), (panel, "preset", "all"), (explorer, "pattern", "3"),
        (explorer, "preset", "pattern"), (panel, "pattern", "7"), (panel, "solver", "exact"),
    ]  # fmt: skip
    for which, name, value in touched:
        setattr(which, name, value)
        for shared in SHARED:
            assert getattr(explorer, shared) == getattr(panel, shared)
        assert getattr(panel, name) == value
    Page(explorer).set(preset="late", sparsity=0.5)
    assert (panel.preset, panel.sparsity) == ("late", 0.5)
    with pytest.raises(InputError):
        panel.sparsity = 2
    assert explorer.sparsity == 0.5
    settle(explorer)
    settle(panel)
    assert panel.trace is explorer.trace
    assert panel.trace_summary["kept"] == explorer.trace_summary["kept"]


def test_samples_come_to_both(make: MakeExplorer, make_saliency: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    explorer = make()
    monkeypatch.setattr(thumbnails, "thumbnail", lambda _view: pytest.fail("made again"))
    panel = make_saliency(explorer)
    assert getattr(panel, "thumbs_0") == getattr(explorer, "thumbs_0")  # noqa: B009 - a trait that is added
    monkeypatch.undo()
    panel.sample = picture(7, "new")
    assert explorer.sample.title == "new"
    assert explorer.samples[-1]["title"] == "new"
    Page(explorer).add(("another.png", png(8)))
    flush()
    flush()
    assert panel.sample.title == "another"
    assert [row["id"] for row in panel.samples] == [row["id"] for row in explorer.samples]


def test_closed_panels_go_their_own_way(make: MakeExplorer, make_saliency: Make) -> None:
    explorer = make()
    panel = make_saliency(explorer)
    explorer.close()
    panel.sparsity = 0.25
    settle(panel)
    assert panel.trace_summary["sparsity"] == 0.25
    assert explorer.sparsity == 0.8


def test_one_trace_for_both(
    make: MakeExplorer, make_saliency: Make, calls: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spade_widgets.widgets.explorer.panel.ahead", lambda *_: iter(()))  # neighbours come after
    with Gate():
        explorer = make(augmentations=96, solver="fast")  # no other solver's draft goes before it
        panel = make_saliency(explorer)
    settle(explorer)
    settle(panel)
    assert calls == {"calibrate": 1, "prune": 1}
    with Gate():
        panel.sample = 1
    settle(explorer)
    settle(panel)
    assert calls == {"calibrate": 2, "prune": 2}


# Within the Explorer


@pytest.mark.parametrize("centre", ["saliency", "both"])
def test_it_is_made_when_it_is_first_looked_at(make: MakeExplorer, centre: str) -> None:
    explorer = make()
    page = Page(explorer)
    settle(explorer)
    assert explorer.saliency_panel is None
    page.set(centre=centre)
    settle(explorer)
    panel = explorer.saliency_panel
    assert panel.embedded
    assert page.told("saliency_panel") == [f"anywidget:{panel.model_id}"]
    assert page.told("centre") == []
    assert {cell["state"] for cell in panel.cells.values()} == {"done"}
    page.set(centre="visualization")
    page.set(centre=centre)
    settle(explorer)
    assert explorer.saliency_panel is panel
    explorer.close()
    assert panel.comm is None


def test_opened_with_maps_in_the_centre_it_renders_no_pictures(make: MakeExplorer) -> None:
    explorer = make(centre="saliency")
    settle(explorer)
    assert explorer.saliency_panel.maps().keys() == {
        (n, m) for n in ("dense", "sparse") for m in ("saliency", "lrp", "gradcam")
    }
    assert explorer.dense_image is None
    assert explorer.trace is not None
    assert explorer.predictions["rows"][0]["sparse"] is not None
    explorer.centre = "both"
    settle(explorer)
    assert explorer.dense["state"] == explorer.sparse["state"] == "done"


def test_hidden_it_does_no_work_and_shows_nothing_old(make: MakeExplorer, monkeypatch: pytest.MonkeyPatch) -> None:
    explorer = make(centre="both", samples=[picture(0), masked(1)])
    settle(explorer)
    panel = explorer.saliency_panel
    explorer.centre = "visualization"
    settle(explorer)
    assert {cell["state"] for cell in panel.cells.values()} == {"done"}  # that is still so
    begun: list[Any] = []
    for key in panel.methods:
        run = METHODS[key].run
        monkeypatch.setitem(
            METHODS, key, replace(METHODS[key], run=lambda q, run=run, **o: (begun.append(q), run(q, **o))[1])
        )
    explorer.sample = 1
    explorer.sparsity = 0.25
    panel.resume()
    settle(explorer)
    settle(panel)
    assert explorer.trace_summary["sparsity"] == 0.25
    assert begun == []
    assert {cell["state"] for cell in panel.cells.values()} == {"stopped"}
    assert panel.map_dense_saliency == b""
    explorer.centre = "saliency"
    settle(explorer)
    assert len(begun) == 6
    assert {cell["state"] for cell in panel.cells.values()} == {"done"}
    assert panel.cells["dense/lrp"]["metrics"]["trojan_auc"] is not None


def test_hidden_while_it_works_it_leaves_off(make: MakeExplorer, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = Slow(monkeypatch, 5)
    explorer = make(centre="both")
    settle(explorer)
    explorer.saliency_panel.methods = ("lime",)
    assert slow.reached.wait(PATIENCE)
    explorer.centre = "visualization"
    settle(explorer)
    taken = len(slow.taken)
    time.sleep(0.1)
    assert len(slow.taken) == taken < 100
    assert explorer.saliency_panel.status["state"] == "stopped"


def test_no_picture_goes_on_while_maps_alone_are_shown(make: MakeExplorer, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[Renderer] = []
    step = Renderer.step

    def counted(renderer: Renderer) -> float:
        steps.append(renderer)
        time.sleep(0.005)
        return step(renderer)

    monkeypatch.setattr(Renderer, "step", counted)
    explorer = make(steps=100_000)
    while not steps:
        time.sleep(0.01)
    explorer.centre = "saliency"
    settle(explorer)
    taken = len(steps)
    flush()
    time.sleep(0.05)
    assert len(steps) == taken


@pytest.mark.parametrize("value", ["nonsense", None, 3, ["both"]])
def test_a_centre_that_is_none(panel: Explorer, value: Any) -> None:
    with pytest.raises(InputError, match="'visualization', 'saliency', 'both' can be chosen"):
        panel.centre = value
    page = Page(panel)
    page.set(centre=value)
    assert "'visualization', 'saliency', 'both' can be chosen" in panel.error
    assert page.told("centre") == ["visualization"]
    with pytest.raises(InputError, match="centre"):
        Explorer(panel.session.classifier, samples=picture(0), centre=value)


def test_the_dense_model_is_what_it_was(make_saliency: Make, tiny_model: nn.Module, tiny: ImageClassifier) -> None:
    """Invariant 1, with every method."""
    tiny_model.train()
    before = {name: tensor.clone() for name, tensor in tiny_model.state_dict().items()}
    hooks = [len(part._forward_hooks) + len(part._backward_hooks) for part in tiny_model.modules()]
    random = torch.get_rng_state()
    panel = make_saliency(tiny_model, preprocess=tiny._preprocess, methods=list(METHODS))
    settle(panel)
    assert panel.error == ""
    assert {cell["state"] for cell in panel.cells.values()} == {"done"}
    assert torch.equal(torch.get_rng_state(), random)
    after = tiny_model.state_dict()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())
    assert [len(part._forward_hooks) + len(part._backward_hooks) for part in tiny_model.modules()] == hooks
    assert all(part.training for part in tiny_model.modules())
    assert all(p.grad is None and p.requires_grad for p in tiny_model.parameters())


def test_a_closed_panel_is_forgotten(tiny: ImageClassifier) -> None:
    """With all that its session keeps; also the one within the Explorer."""

    def used() -> tuple[weakref.ref[Any], ...]:
        explorer = Explorer(tiny, samples=[picture(0)], augmentations=4, steps=2, centre="both")
        settle(explorer)
        panel = explorer.saliency_panel
        panel.draw_curves()
        settle(panel)
        explorer.close()
        return weakref.ref(explorer), weakref.ref(panel), weakref.ref(panel.session)

    left = used()
    deadline = time.monotonic() + PATIENCE  # the worker may be about to let go
    while any(ref() is not None for ref in left) and time.monotonic() < deadline:
        gc.collect()
        time.sleep(0.01)
    assert [ref() for ref in left] == [None] * 3
