"""The procedure: trace, sweep, trace_many, and the same in steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import spade_widgets as sw
from spade_widgets.pruning.calibration.augment import augment
from spade_widgets.pruning.calibration.calibration import batch_size, calibrate, gram
from spade_widgets.pruning.calibration.forms import from_blocks, to_blocks
from spade_widgets.pruning.plans.plan import SparsityPlan
from spade_widgets.pruning.progress import Progress, finish
from spade_widgets.pruning.pruner import Pruner, Solved, damped, row_floor
from spade_widgets.pruning.solvers import relative_error, solver
from spade_widgets.pruning.spade import trace_steps


@pytest.fixture
def picture() -> sw.Sample:
    noise = np.random.default_rng(1).integers(0, 256, (10, 15, 3), dtype=np.uint8)
    return sw.Sample.read(noise.repeat(8, 0).repeat(8, 1), title="noise")


def same(one: sw.Trace, other: sw.Trace) -> None:
    assert one.stats() == other.stats()
    assert one.plan == other.plan
    for name, weight in one.weights().items():
        assert torch.equal(weight, other.weights()[name])


@pytest.mark.parametrize("method", ["fast", "refined"])
def test_trace_is_augment_calibrate_solve(tiny: sw.ImageClassifier, picture: sw.Sample, method: str) -> None:
    """Put together by hand: FastSPADE's blocks of k² columns for a convolution; the head with its floor."""
    trace = sw.trace(tiny, picture, sparsity=0.6, layers="*", solver=method, augmentations=7, seed=3)
    module = tiny.module().to(memory_format=torch.channels_last)  # as a calibration does, down to the rounding
    inputs: dict[str, list[Tensor]] = {name: [] for name in tiny.prunable()}
    for name in inputs:
        module.get_submodule(name).register_forward_pre_hook(lambda _m, args, n=name: inputs[n].append(args[0]))
    for images in augment(tiny, picture, 7, seed=3):
        module(images.to(memory_format=torch.channels_last))
    for name, block_size, floor in (("0", 9, 0), ("3", 9, 0), ("7", 1, row_floor(16, 0.6))):
        layer = module.get_submodule(name)
        assert isinstance(layer, nn.Conv2d | nn.Linear)
        options = {"block_size": block_size} if method == "fast" else {}
        H = gram(layer, torch.cat(inputs[name]))
        prepared = solver(method, **options).prepare(damped(H) if method == "refined" else H)
        expected = prepared.sweep(layer.weight.detach().flatten(1), [0.6], row_floor=floor)[0]
        torch.testing.assert_close(trace.weights()[name].flatten(1), expected, rtol=1e-4, atol=1e-5)


def test_inputs_that_few_augmentations_excite_get_no_huge_weights() -> None:
    """Eight of a layer's 64 inputs are a thousandth of the others."""
    generator = torch.Generator().manual_seed(0)
    X = torch.randn(64, 40, generator=generator).relu()  # fewer columns than inputs
    X[:8] *= 1e-3
    W = torch.randn(10, 64, generator=generator)
    pruned = solver("refined").prepare(damped(X @ X.T)).solve(W, 0.5)
    undamped = solver("refined").prepare(X @ X.T).solve(W, 0.5)
    assert float(undamped.abs().max()) > 30 * float(W.abs().max())
    assert float(pruned.abs().max()) < 3 * float(W.abs().max())


def test_dead_inputs_stay_dead_in_a_damped_matrix() -> None:
    H = torch.diag(torch.tensor([4.0, 0.0, 2.0]))
    assert damped(H).diagonal().tolist() == pytest.approx([4.002, 0.0, 2.002])
    assert H.diagonal().tolist() == [4.0, 0.0, 2.0]


def test_a_sweep_is_its_traces(tiny: sw.ImageClassifier, picture: sw.Sample) -> None:
    sparsities = [0.9, 0.0, 0.5]
    swept = sw.sweep(tiny, picture, sparsities, layers="*", augmentations=5, seed=2)
    assert len(swept) == 3
    for trace, sparsity in zip(swept, sparsities, strict=True):
        one = sw.trace(tiny, picture, sparsity=sparsity, layers="*", augmentations=5, seed=2)
        assert trace.plan == one.plan
        for name, weight in one.weights().items():  # in one batch sums may round otherwise
            assert torch.equal(trace.weights()[name] == 0, weight == 0)
            torch.testing.assert_close(trace.weights()[name], weight, rtol=1e-4, atol=1e-5)


def test_a_sweep_calibrates_once(tiny: sw.ImageClassifier, picture: sw.Sample, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    original, prepare = torch.linalg.cholesky_ex, Pruner.prepare
    monkeypatch.setattr(torch.linalg, "cholesky_ex", lambda H: (calls.append("factor"), original(H))[1])
    sw.sweep(tiny, picture, [0.1, 0.5, 0.9], layers="*", solver="fast", augmentations=2)
    assert len(calls) == 3  # one a layer, not one a sparsity
    prepared: list[str] = []
    monkeypatch.setattr(Pruner, "prepare", lambda *args: (prepared.append(args[0].method), prepare(*args))[1])
    sw.sweep(tiny, picture, [0.1, 0.5, 0.9], layers="*", augmentations=2)
    assert prepared == ["refined"] * 3  # which solves systems of its own for each sparsity


def test_trace_many_is_its_traces(tiny: sw.ImageClassifier, picture: sw.Sample, tmp_path: Path) -> None:
    other = picture.image.rotate(90)
    both = sw.trace_many(tiny, [picture, other], sparsity=0.7, augmentations=4, seed=1)
    same(both[0], sw.trace(tiny, picture, sparsity=0.7, augmentations=4, seed=1))
    same(both[1], sw.trace(tiny, other, sparsity=0.7, augmentations=4, seed=1))
    assert both[0].digest != both[1].digest
    for name, image in (("a", picture.image), ("b", other)):
        image.save(tmp_path / f"{name}.png")
    folder = sw.trace_many(tiny, tmp_path, sparsity=0.7, augmentations=4, seed=1)
    assert [trace.sample.title for trace in folder] == ["a", "b"]
    same(folder[1], both[1])


def test_samples_are_whatever_can_be_read(tiny: sw.ImageClassifier, picture: sw.Sample, tmp_path: Path) -> None:
    path = tmp_path / "noise.png"
    picture.image.save(path)
    traces = [sw.trace(tiny, source, augmentations=2) for source in (picture, path, np.asarray(picture.image))]
    assert len({trace.digest for trace in traces}) == 1
    assert traces[1].sample.title == "noise"


def test_plans_per_layer(tiny: sw.ImageClassifier, picture: sw.Sample) -> None:
    for plan in ({"3": 0.25, "7": 0.5}, SparsityPlan({"7": 0.5, "3": 0.25})):
        trace = sw.trace(tiny, picture, plan=plan, sparsity=0.9, augmentations=2)
        assert {row.name: row.sparsity for row in trace.stats()} == {"3": 0.25, "7": 0.5}


def test_the_default_is_refined_on_the_last_third(tiny: sw.ImageClassifier, picture: sw.Sample) -> None:
    plan = SparsityPlan.preset(tiny, 0.95, "third")
    for trace in (
        sw.trace(tiny, picture, augmentations=2),
        *sw.sweep(tiny, picture, [0.95], augmentations=2),
        *sw.trace_many(tiny, [picture], augmentations=2),
    ):
        assert trace.plan == plan
        assert set(plan.sparsities.values()) == {0.95}
        assert trace.solver == "refined"
        assert [row.solver for row in trace.stats()] == ["refined"]
    followed = sw.trace(tiny, picture, augmentations=2, fidelity=0.5)
    assert (followed.plan.layers, followed.solver) == (plan.layers, "refined")


@pytest.mark.parametrize("method", ["fast", "refined"])
def test_steps_say_how_far_they_are(tiny: sw.ImageClassifier, picture: sw.Sample, method: str) -> None:
    plan = SparsityPlan.uniform(tiny, 0.5, "*")
    steps = list(trace_steps(tiny, picture, plan, method, 70, 0))
    batch = batch_size(tiny)
    calibrating = [Progress("calibrating", done, 70) for done in range(0, 70, batch)]
    assert steps[: len(calibrating)] == calibrating
    solving, measuring = steps[len(calibrating) : -3], steps[-3:]
    assert measuring[1:] == [Progress("measuring", done, 3) for done in (1, 2)]
    assert isinstance(measuring[0], Solved)
    (sketch,) = measuring[0].sketches
    made = sw.trace(tiny, picture, plan=plan, solver=method, augmentations=70)
    for name, weight in made.weights().items():
        assert torch.equal(sketch.weights[name], weight)
    assert torch.equal(sketch.module()(tiny.prepare(picture)).detach(), made.module()(tiny.prepare(picture)).detach())
    assert {step.stage for step in solving} == {"solving"}
    assert {step.of for step in solving} == {3}
    done = [step.done for step in solving]  # layers, in parts
    assert {0, 1, 2} <= set(done)
    assert done == sorted(set(done))
    assert done[-1] < 3


def test_a_pruner_keeps_its_factorisations(
    tiny: sw.ImageClassifier, picture: sw.Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    original = torch.linalg.cholesky_ex
    monkeypatch.setattr(torch.linalg, "cholesky_ex", lambda H: (calls.append("factor"), original(H))[1])
    pruner = Pruner(tiny, picture, "fast")
    calibration = finish(calibrate(tiny, picture, tiny.prunable(), augmentations=3))
    for sparsity in (0.3, 0.6):
        plan = SparsityPlan.uniform(tiny, sparsity, "*")
        found = finish(pruner.prune(calibration, [plan]))[0]
        same(found, sw.trace(tiny, picture, plan=plan, solver="fast", augmentations=3))
    assert len(calls) == 3 + 2 * 3  # the pruner's own, and each trace's
    more = calibration + finish(calibrate(tiny, picture, tiny.prunable(), augmentations=3, seed=1))
    finish(pruner.prune(more, [plan]))
    assert len(calls) == 12  # more augmentations are another matrix


def test_more_calibration_is_less_error_on_fresh_augmentations(tiny: sw.ImageClassifier, picture: sw.Sample) -> None:
    """The reason for calibrating: on unseen augmentations of the sample, many beat one, on the mean of five seeds."""
    dense = tiny.module().get_parameter("3.weight").flatten(1)
    fresh = finish(calibrate(tiny, picture, ["3"], augmentations=64, seed=99)).gram("3")

    def error(count: int) -> float:
        traces = [sw.trace(tiny, picture, plan={"3": 0.8}, augmentations=count, seed=seed) for seed in range(5)]
        return sum(relative_error(dense, trace.weights()["3"].flatten(1), fresh) for trace in traces)

    assert error(48) < error(1)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"sparsity": 1}, "0 ≤ sparsity < 1"),
        ({"sparsity": float("nan")}, "0 ≤ sparsity < 1"),
        ({"layers": "nope"}, "matches 'nope'"),
        ({"layers": []}, "names no layer"),
        ({"plan": {}}, "names no layer"),
        ({"plan": {"nope": 0.5}}, "matches 'nope'"),
        ({"plan": {"7": 2}}, "0 ≤ sparsity < 1"),
        ({"solver": "best"}, "no solver 'best'"),
        ({"augmentations": 0}, "number of augmentations is 0: a whole number from 1 on"),
        ({"augmentations": 2.5}, "a whole number from 1 on"),
        ({"augmentations": None}, "a whole number from 1 on"),
    ],
)
def test_what_cannot_be_traced(
    tiny: sw.ImageClassifier, picture: sw.Sample, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(sw.InputError, match=said):
        sw.trace(tiny, picture, **options)
    with pytest.raises(sw.InputError, match=said):
        sw.trace_many(tiny, [picture], **options)


def test_what_cannot_be_swept(tiny: sw.ImageClassifier, picture: sw.Sample) -> None:
    with pytest.raises(sw.InputError, match="give at least one"):
        sw.sweep(tiny, picture, [])
    with pytest.raises(sw.InputError, match="0 ≤ sparsity < 1"):
        sw.sweep(tiny, picture, [0.5, 1.0])


def test_networks_without_a_layer_to_prune(picture: sw.Sample) -> None:
    model = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with pytest.raises(sw.InputError, match="names no layer of Sequential to prune; it has 0"):
        sw.trace(sw.ImageClassifier(model), picture)


def test_logits_that_are_not_finite(picture: sw.Sample) -> None:
    class Root(nn.Module):
        """NaN where the pixels spread, so not on the flat picture that a classifier is tried on."""

        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(3, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(x.mean((2, 3))) * (0.01 - x.std((2, 3)).mean()).sqrt()

    classifier = sw.ImageClassifier(Root())
    for call in (lambda: sw.trace(classifier, picture, augmentations=1), lambda: sw.predict(classifier, picture)):
        with pytest.raises(sw.ModelError, match="Root gives NaN or infinite logits on 'noise'"):
            call()


def test_layers_are_solved_in_whatever_form_they_are_held(tiny: sw.ImageClassifier, picture: sw.Sample) -> None:
    """Where H does not fit in: the head from its inputs' columns, the convolution from one block a channel."""
    calibrated = [
        finish(calibrate(tiny, picture, ["3", "7"], augmentations=3, memory=memory)) for memory in (2**30, 1000)
    ]
    plan = SparsityPlan({"3": 0.6, "7": 0.5})
    full, small = (finish(Pruner(tiny, picture).prune(calibration, [plan]))[0] for calibration in calibrated)
    assert [row.form for row in full.stats()] == ["full", "full"]
    assert [row.form for row in small.stats()] == ["blocks", "columns"]
    assert [(r.kept, r.total) for r in small.stats()] == [(r.kept, r.total) for r in full.stats()]
    dense = tiny.module().get_parameter("3.weight").flatten(1)
    blocks = calibrated[1].gram("3")
    assert blocks.shape == (8, 9, 9)
    pieces = solver("fast", block_size=9).prepare(blocks).solve(to_blocks(dense, 2, 4), 0.6)
    torch.testing.assert_close(small.weights()["3"].flatten(1), from_blocks(pieces, 2, 4))
    torch.testing.assert_close(small.weights()["7"], full.weights()["7"], rtol=1e-3, atol=1e-4)
    assert small.stats()[1].error == pytest.approx(full.stats()[1].error, rel=1e-3)


def test_what_is_held_as_columns_is_solved_by_the_solver_for_columns(
    tiny: sw.ImageClassifier, picture: sw.Sample
) -> None:
    calibration = finish(calibrate(tiny, picture, ["7"], augmentations=3, memory=1000))
    (trace,) = finish(Pruner(tiny, picture, "exact").prune(calibration, [SparsityPlan({"7": 0.5})]))
    assert trace.solver == "exact"
    assert [(row.solver, row.form) for row in trace.stats()] == [("fast", "columns")]
