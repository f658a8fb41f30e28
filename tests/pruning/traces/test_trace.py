"""Traces of all kinds of networks: exact counts, shared storage, the dense network at sparsity 0."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
import torch
from PIL import Image
from pruning import nets
from torch import Tensor, nn

import spade_widgets as sw
from spade_widgets.classifier import ImageClassifier
from spade_widgets.network.weights import layer_name, weight
from spade_widgets.pruning.calibration.calibration import calibrate
from spade_widgets.pruning.progress import finish
from spade_widgets.pruning.pruner import row_floor
from spade_widgets.pruning.solvers import zeros
from spade_widgets.sample import Sample


def preprocess(image: Image.Image) -> Tensor:
    """To 20 × 28: oblong, so that rows and columns cannot be mistaken for each other."""
    resized = np.asarray(image.convert("RGB").resize((28, 20)), dtype=np.float32) / 255
    return torch.from_numpy((resized - 0.5) / 0.25).permute(2, 0, 1)


@pytest.fixture
def picture() -> Sample:
    ramp = np.linspace(0, 3.99 * 255, 60 * 80 * 3).reshape(60, 80, 3) % 255
    return Sample.read(ramp.astype(np.uint8), title="ramp")


NETS: dict[str, Callable[[], nn.Module]] = {
    "reused": nets.Reused,
    "tied": nets.Tied,
    "foreign": nets.Foreign,
    "depthwise": nets.Depthwise,
    "noncontiguous": nets.noncontiguous,
    "float16": lambda: nets.Depthwise().half(),
    "bfloat16": lambda: nets.Depthwise().bfloat16(),
    "float64": lambda: nets.Depthwise().double(),
    "no bias": lambda: nn.Sequential(nn.Conv2d(3, 5, 3, bias=False), nn.ReLU(), nn.Flatten(), nn.LazyLinear(4)),
}


@pytest.fixture(params=NETS)
def classifier(request: pytest.FixtureRequest) -> ImageClassifier:
    torch.manual_seed(3)
    model = NETS[request.param]()
    model(torch.zeros(1, 3, 20, 28, dtype=next(model.parameters()).dtype))  # lazy layers take their shape
    return ImageClassifier(model, preprocess=preprocess, name=request.param)


def logits(network: ImageClassifier | sw.Trace, sample: Sample) -> Tensor:
    with torch.no_grad():
        out: Tensor = network.module()(network.dense.prepare(sample))
    return out


@pytest.mark.parametrize("sparsity", [0.3, 0.95])
def test_zeros_are_what_the_plan_asks_for(classifier: ImageClassifier, picture: Sample, sparsity: float) -> None:
    trace = sw.trace(classifier, picture, sparsity=sparsity, layers=["*"], augmentations=4)
    module = trace.module()
    *body, head = trace.plan.layers
    assert [row.name for row in trace.stats()] == [*body, head] == list(classifier.prunable())
    for row in trace.stats():
        pruned = weight(module, row.name)
        floor = row_floor(pruned[0].numel(), sparsity) if row.name == head else 0
        dropped = zeros(pruned.numel(), sparsity, keep=max(1, floor * pruned.shape[0]))
        assert int((pruned == 0).sum()) == dropped
        assert row.total == pruned.numel()
        assert row.kept == row.total - dropped
        assert row.sparsity == pytest.approx(dropped / row.total)
        assert 0 <= row.error <= 1
        assert torch.equal(pruned, trace.weights()[row.name])
        dense = weight(classifier.module(), row.name)
        assert (pruned.dtype, pruned.shape, pruned.device) == (dense.dtype, dense.shape, dense.device)
    assert trace.kept == sum(row.kept for row in trace.stats())
    assert trace.total == sum(row.total for row in trace.stats())
    assert bool(torch.isfinite(logits(trace, picture)).all())


def test_sparsity_zero_is_the_dense_network(classifier: ImageClassifier, picture: Sample) -> None:
    trace = sw.trace(classifier, picture, sparsity=0, layers="*", augmentations=2)
    dense = classifier.module()
    for name, pruned in trace.weights().items():
        assert torch.equal(pruned, weight(dense, name))
    assert torch.equal(logits(trace, picture), logits(classifier, picture))
    assert all(row.error == 0 for row in trace.stats())
    assert trace.agreement.agrees
    assert trace.agreement.kl < 1e-4
    assert sw.predict(trace, picture) == sw.predict(classifier, picture)


def test_same_seed_same_trace(classifier: ImageClassifier, picture: Sample) -> None:
    def run(seed: int) -> sw.Trace:
        return sw.trace(classifier, picture, sparsity=0.6, layers="*", augmentations=5, seed=seed)

    one, same, other = run(1), run(1), run(2)
    assert one.digest == same.digest
    for name, pruned in one.weights().items():
        assert torch.equal(pruned, same.weights()[name])
    assert one.digest != other.digest
    assert one.digest != classifier.digest


def test_everything_that_is_not_pruned_is_shared(classifier: ImageClassifier, picture: Sample) -> None:
    trace = sw.trace(classifier, picture, layers=classifier.prunable()[1:], augmentations=2)
    assert len(trace.weights()) == len(classifier.prunable()) - 1
    sparse, dense = trace.module(), classifier.module()
    original = dict(classifier._model.named_parameters())
    for name, tensor in sparse.named_parameters():
        assert not tensor.requires_grad
        expected = trace.weights().get(layer_name(name), original[name])
        assert tensor.data_ptr() == expected.data_ptr()
    for name, tensor in dense.named_parameters():
        assert tensor.data_ptr() == original[name].data_ptr()
    for (name, mine), theirs in zip(sparse.named_buffers(), classifier._model.buffers(), strict=True):
        assert torch.equal(mine, theirs), name
        assert mine.data_ptr() != theirs.data_ptr(), name  # a forward pass may write into it


def test_modules_are_the_callers_own(tiny: ImageClassifier, picture: Sample) -> None:
    trace = sw.trace(tiny, picture, augmentations=2)
    spoiled = trace.module()
    spoiled.register_forward_hook(lambda *_: torch.zeros(1, 5))
    del spoiled[7]  # type: ignore[attr-defined]
    assert not torch.equal(logits(trace, picture), torch.zeros(1, 5))
    assert not trace.module().training


def test_tied_layers_are_one_layer(picture: Sample) -> None:
    torch.manual_seed(3)
    classifier = ImageClassifier(nets.Tied(), preprocess=preprocess)
    assert classifier.prunable() == ("stem", "one", "fc")
    trace = sw.trace(classifier, picture, plan={"one": 0.5}, augmentations=4)
    module = trace.module()
    assert module.get_parameter("one.weight") is module.get_parameter("two.weight")
    assert int((module.get_parameter("two.weight") == 0).sum()) == 18
    dense = classifier.module()
    assert dense.get_parameter("one.weight") is dense.get_parameter("two.weight")
    assert bool((dense.get_parameter("one.weight") != 0).all())


def test_a_reused_layer_is_one_layer(picture: Sample) -> None:
    torch.manual_seed(3)
    classifier = ImageClassifier(nets.Reused(), preprocess=preprocess)
    assert classifier.prunable() == ("stem", "conv", "fc")
    module = sw.trace(classifier, picture, layers="conv", sparsity=0.5, augmentations=4).module()
    assert module.get_submodule("conv") is module.get_submodule("again")
    assert int((module.get_parameter("again.weight") == 0).sum()) == 162


def test_layers_that_cannot_be_pruned_are_left_dense_and_named(picture: Sample) -> None:
    torch.manual_seed(3)
    classifier = ImageClassifier(nets.Foreign(), preprocess=preprocess)
    attention = ("attention.in_proj_weight", "attention.out_proj")
    assert classifier.prunable() == ("stem", *attention, "fc")
    trace = sw.trace(classifier, picture, layers="*", augmentations=2)
    assert trace.left_dense == {
        "up": "used by conv_transpose2d, which is neither a convolution nor a linear layer",
        "normed": "parametrised: computed from other parameters",
    }
    assert sw.trace(classifier, picture, layers="*", augmentations=2).module()(torch.zeros(1, 3, 20, 28)).shape == (
        1,
        4,
    )
    assert sw.trace(ImageClassifier(nets.Depthwise(), preprocess=preprocess), picture, augmentations=1).left_dense == {}


def test_layers_that_only_some_inputs_reach_are_left_dense(picture: Sample) -> None:
    class Gate(nn.Module):
        """Takes its side path only on the flat grey picture that the classifier is tried on."""

        def __init__(self) -> None:
            super().__init__()
            self.side, self.fc = nn.Linear(3, 3), nn.Linear(3, 4)

        def forward(self, x: Tensor) -> Tensor:
            means = x.mean((2, 3))
            return self.fc(self.side(means) if float(x.std()) < 1e-3 else means)

    classifier = ImageClassifier(Gate(), preprocess=preprocess)
    trace = sw.trace(classifier, picture, layers="*", augmentations=2)
    assert trace.left_dense == {"side": "not reached on this sample"}
    assert set(trace.weights()) == {"fc"}


def test_agreement_is_between_the_predictions(tiny: ImageClassifier, picture: Sample) -> None:
    trace = sw.trace(tiny, picture, layers="*", sparsity=0.9, augmentations=4)
    p, q = (logits(network, picture)[0].double().softmax(0) for network in (tiny, trace))
    assert trace.agreement.dense_class == int(p.argmax())
    assert trace.agreement.sparse_class == int(q.argmax())
    assert trace.agreement.agrees == (p.argmax() == q.argmax())
    assert trace.agreement.kl == pytest.approx(float((p * (p / q).log()).sum()), rel=1e-3, abs=1e-6)


def test_stats_errors_are_those_of_the_layers_outputs(tiny: ImageClassifier, picture: Sample) -> None:
    """Recomputed from the head's own outputs over the augmentations that the trace was made of.

    At a sparsity that costs something: an error of 1e-6 is one of float32's own.
    """
    trace = sw.trace(tiny, picture, layers="7", sparsity=0.9, augmentations=6, seed=2)
    from spade_widgets.pruning.calibration.augment import augment

    module = tiny.module()
    features: list[Tensor] = []
    module.get_submodule("7").register_forward_pre_hook(lambda _m, args: features.append(args[0]))
    for images in augment(tiny, picture, 6, seed=2):
        module(images)
    X = torch.cat(features)
    dense, sparse = X @ module.get_parameter("7.weight").T, X @ trace.weights()["7"].T
    expected = float((dense - sparse).square().sum() / dense.square().sum())
    assert trace.stats()[0].error == pytest.approx(expected, rel=1e-3)


def test_a_trace_is_a_value(tiny: ImageClassifier, picture: Sample) -> None:
    trace = sw.trace(tiny, picture, augmentations=3, seed=4)
    assert (trace.augmentations, trace.seed, trace.solver) == (3, 4, "refined")
    assert trace.dense is trace.classifier is tiny
    assert trace.sample is picture
    with pytest.raises(FrozenInstanceError):
        trace.seed = 5  # type: ignore[misc]
    trace.weights().clear()
    assert trace.weights()
    assert "'ramp'" in repr(trace)
    assert f"{trace.kept:,} of {trace.total:,}" in repr(trace)


def test_every_logit_of_the_head_lives(tiny: ImageClassifier, picture: Sample) -> None:
    head = sw.trace(tiny, picture, layers="7", sparsity=0.99, augmentations=4).weights()["7"]
    assert int((head != 0).sum(1).min()) >= 1


def test_several_threads_trace_one_classifier(tiny_model: nn.Module, picture: Sample) -> None:
    classifier = ImageClassifier(tiny_model, preprocess=preprocess)
    seeds = range(6)
    alone = [sw.trace(classifier, picture, layers="*", augmentations=8, seed=seed).digest for seed in seeds]
    found: dict[int, str] = {}

    def work(seed: int) -> None:
        torch.set_num_threads(1)
        found[seed] = sw.trace(classifier, picture, layers="*", augmentations=8, seed=seed).digest

    threads = [threading.Thread(target=work, args=(seed,)) for seed in seeds]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [found.get(seed) for seed in seeds] == alone
    assert not any(module._forward_pre_hooks or module._forward_hooks for module in tiny_model.modules())


def test_a_dropped_calibration_leaves_nothing_behind(tiny_model: nn.Module, picture: Sample) -> None:
    classifier = ImageClassifier(tiny_model, preprocess=preprocess)
    steps = calibrate(classifier, picture, classifier.prunable(), augmentations=64, batch=4)
    next(steps)
    next(steps)
    steps.close()
    assert not any(module._forward_pre_hooks for module in tiny_model.modules())
    assert torch.is_grad_enabled()
    assert finish(calibrate(classifier, picture, ["7"], augmentations=4)).augmentations == 4
