"""Sequential traces: what a layer is pruned for, what always holds, and that they are closer to the dense network."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pruning.nets import Depthwise, Reused
from torch import Tensor, nn

import spade_widgets as sw
from spade_widgets.demo import emoji
from spade_widgets.network.products import Watch
from spade_widgets.network.weights import Product
from spade_widgets.pruning import sequential as module
from spade_widgets.pruning.calibration.augment import augment
from spade_widgets.pruning.calibration.calibration import batch_size
from spade_widgets.pruning.plans.held_out import HeldOut
from spade_widgets.pruning.plans.plan import SparsityPlan
from spade_widgets.pruning.progress import Progress
from spade_widgets.pruning.sequential import target, target_of_inputs, walk
from spade_widgets.pruning.solvers import zeros
from spade_widgets.pruning.spade import trace_steps


@pytest.fixture
def picture() -> sw.Sample:
    noise = np.random.default_rng(1).integers(0, 256, (10, 15, 3), dtype=np.uint8)
    return sw.Sample.read(noise.repeat(8, 0).repeat(8, 1), title="noise")


def preprocess(size: int = 32) -> Any:
    from torchvision import transforms

    return transforms.Compose(
        [transforms.Resize((size, size)), transforms.ToTensor(), transforms.Normalize([0.5] * 3, [0.25] * 3)]
    )


class Blocks(nn.Module):
    """A stem, three blocks of two layers with a shortcut and a head."""

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv1, self.conv2 = nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)

        def forward(self, x: Tensor) -> Tensor:
            return x + self.conv2(self.conv1(x).relu()).relu()

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.stem, self.fc = nn.Conv2d(3, 8, 3, stride=2), nn.Linear(8, 6)
        self.layers = nn.Sequential(*(self.Block() for _ in range(3)))

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.layers(self.stem(x).relu()).mean((2, 3)))


@pytest.fixture
def blocks() -> sw.ImageClassifier:
    return sw.ImageClassifier(Blocks(), preprocess=preprocess())


def same(one: sw.Trace, other: sw.Trace) -> None:
    assert one.stats() == other.stats()
    for name, weight in one.weights().items():
        assert torch.equal(weight, other.weights()[name])


def outputs(network: nn.Module, images: Tensor) -> dict[str, Tensor]:
    """What each layer gives, without its bias."""
    found: dict[str, Tensor] = {}

    def note(name: str, product: Product) -> None:
        options = (product.stride, product.padding, product.dilation, product.groups)
        if product.stride:
            found[name] = nn.functional.conv2d(product.input, product.weight, None, *options).double()
        else:
            found[name] = nn.functional.linear(product.input, product.weight).double()

    with torch.no_grad(), Watch(network, note):
        network(images)
    return found


def test_layers_go_block_by_block(blocks: sw.ImageClassifier, tiny: sw.ImageClassifier) -> None:
    assert walk(blocks, blocks.prunable()) == [
        ["stem"],
        ["layers.0.conv1", "layers.0.conv2"],
        ["layers.1.conv1", "layers.1.conv2"],
        ["layers.2.conv1", "layers.2.conv2"],
        ["fc"],
    ]
    assert walk(blocks, ["fc", "layers.1.conv2"]) == [["layers.1.conv2"], ["fc"]]
    assert walk(tiny, tiny.prunable()) == [["0"], ["3"], ["7"]]


@given(st.integers(1, 6), st.integers(1, 5), st.integers(1, 2), st.integers(0, 2**31))
@settings(max_examples=40, deadline=None)
def test_the_target_splits_the_error(c: int, rows: int, groups: int, seed: int) -> None:
    """Unpulled, ‖WX − W'Y‖² = ‖WX − W*Y‖² + ‖(W* − W')Y‖² for any W', so that W* is the least squares' own answer."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    n = 4 * c
    W, other = draw(groups * rows, c), draw(groups * rows, c)
    X = draw(groups, c, n)
    Y = X + draw(groups, c, n)
    best = target(W, Y @ Y.mT, X @ Y.mT, pull=1e-12)

    def error(first: Tensor, inputs: Tensor, second: Tensor) -> float:
        halves = [w.view(groups, rows, c) for w in (first, second)]
        return float((halves[0] @ inputs - halves[1] @ Y).square().sum())

    assert error(W, X, other) == pytest.approx(error(W, X, best) + error(best, Y, other), rel=1e-6)
    pulled = target(W, Y @ Y.mT, X @ Y.mT, pull=0.1)
    assert error(W, X, pulled) >= error(W, X, best) * (1 - 1e-9)
    assert float((pulled - W).norm()) <= float((best - W).norm()) * (1 + 1e-9)


def test_the_target_where_nothing_changed_is_the_weight() -> None:
    W, X = torch.randn(4, 6), torch.randn(1, 6, 3)  # fewer columns than inputs: H is singular
    H = X @ X.mT
    assert torch.equal(target(W, H, H), W.double())
    assert torch.equal(target(W, H * 0, H * 0), W.double())
    # Dead inputs leave their weights as they are, however the others change.
    Y = X * 0.5
    Y[:, 2] = 0
    assert torch.equal(target(W, Y @ Y.mT, X @ Y.mT)[:, 2], W[:, 2].double())


def test_a_matrix_that_is_no_gram_matrix() -> None:
    with pytest.raises(sw.ModelError, match="not positive semidefinite"):
        target(torch.ones(1, 2), torch.tensor([[[1.0, 5.0], [5.0, 1.0]]]), torch.zeros(1, 2, 2))


def test_each_layer_s_error_is_that_of_the_network_as_it_is(blocks: sw.ImageClassifier, picture: sw.Sample) -> None:
    """A block's first layer sees just what it sees in the finished trace; the stem sees the picture."""
    trace = sw.trace(blocks, picture, sparsity=0.7, layers="*", augmentations=9, seed=2, sequential=True)
    images = torch.cat(list(augment(blocks, picture, 9, seed=2)))
    dense, sparse = outputs(blocks.module(), images), outputs(trace.module(), images)
    for row in trace.stats():
        if row.name.endswith("conv2"):
            continue
        expected = float((dense[row.name] - sparse[row.name]).square().sum() / dense[row.name].square().sum())
        assert row.error == pytest.approx(expected, rel=1e-3), row.name


def test_the_first_layer_is_the_parallel_trace_s(blocks: sw.ImageClassifier, picture: sw.Sample) -> None:
    both = [
        sw.trace(blocks, picture, sparsity=0.7, layers="*", augmentations=9, sequential=sequential)
        for sequential in (False, True)
    ]
    first = [trace.weights()["stem"] for trace in both]
    torch.testing.assert_close(first[0], first[1], rtol=1e-4, atol=1e-5)
    assert not torch.equal(both[0].weights()["fc"], both[1].weights()["fc"])
    assert [trace.sequential for trace in both] == [False, True]


def test_it_is_closer_to_the_dense_network() -> None:
    """The reason for it: the prediction of a trained network, on augmentations of neither's calibration."""
    classifier = emoji.classifier()
    sample = emoji.samples()[0]
    held_out = HeldOut(classifier, sample, 32)
    parallel, sequential = (
        sw.trace(classifier, sample, sparsity=0.9, layers="layer2.*, fc", augmentations=16, sequential=sequential)
        for sequential in (False, True)
    )
    assert held_out.judge(sequential.weights()).kl < 0.7 * held_out.judge(parallel.weights()).kl


@pytest.mark.parametrize("make", [Depthwise, Reused, Blocks])
def test_exact_counts_and_dense_layers(make: Callable[[], nn.Module], picture: sw.Sample) -> None:
    classifier = sw.ImageClassifier(make(), preprocess=preprocess())
    names = classifier.prunable()
    # Every other layer stays as it is, though the ones before it do not.
    plan = {name: 0.6 if i % 2 == 0 else 0.0 for i, name in enumerate(names)}
    trace = sw.trace(classifier, picture, plan=plan, augmentations=5, sequential=True)
    module_ = classifier.module()
    assert [row.name for row in trace.stats()] == list(names)
    for name, weight in trace.weights().items():
        dense = module_.get_submodule(name).weight
        assert isinstance(dense, Tensor)
        assert weight.shape == dense.shape
        assert int((weight == 0).sum()) == zeros(weight.numel(), plan[name])
        if plan[name] == 0:
            assert torch.equal(weight, dense)


def test_at_sparsity_zero_it_is_the_dense_network(blocks: sw.ImageClassifier, picture: sw.Sample) -> None:
    trace = sw.trace(blocks, picture, sparsity=0, layers="*", augmentations=3, sequential=True)
    images = next(augment(blocks, picture, 3))
    assert torch.equal(trace.module()(images), blocks.module()(images))
    assert [row.error for row in trace.stats()] == pytest.approx([0] * 8, abs=1e-5)


def test_a_sweep_and_many_samples_are_their_traces(blocks: sw.ImageClassifier, picture: sw.Sample) -> None:
    options: dict[str, Any] = {"layers": "*", "augmentations": 4, "seed": 5, "sequential": True}
    swept = sw.sweep(blocks, picture, [0.9, 0.5], **options)
    (many,) = sw.trace_many(blocks, [picture], sparsity=0.9, **options)
    for trace, sparsity in zip((*swept, many), (0.9, 0.5, 0.9), strict=True):
        same(trace, sw.trace(blocks, picture, sparsity=sparsity, **options))


def test_augmentations_that_are_not_kept_are_made_again(
    blocks: sw.ImageClassifier, picture: sw.Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []

    def counted(*args: Any, **options: Any) -> Any:
        made.append(1)
        return augment(*args, **options)

    monkeypatch.setattr(module, "augment", counted)
    options: dict[str, Any] = {"layers": "*", "augmentations": 40, "sequential": True}
    kept = sw.trace(blocks, picture, **options)
    assert len(made) == 1
    monkeypatch.setattr(module, "KEEP", 0)
    same(kept, sw.trace(blocks, picture, **options))
    assert len(made) > 5


def test_a_pass_ends_where_the_block_does(picture: sw.Sample) -> None:
    """Not with an error that a network's own handler could take for one of its own."""
    heads: list[int] = []

    class Careful(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(4, 3)

        def forward(self, x: Tensor) -> Tensor:
            try:
                x = self.stem(x).relu()
            except Exception:  # noqa: BLE001
                x = torch.zeros(len(x), 4, 3, 3)
            heads.append(len(x))
            return self.fc(x.mean((2, 3)))

    classifier = sw.ImageClassifier(Careful(), preprocess=preprocess())
    classifier.prunable()
    assert classifier.channels_last  # asked once, by two passes
    heads.clear()
    sw.trace(classifier, picture, sparsity=0.5, layers="stem", augmentations=6, sequential=True)
    # Once to estimate what it takes, once to count, and the two predictions at the end.
    assert heads == [1, 1, 1, 1]


def test_progress_and_leaving_it_off(blocks: sw.ImageClassifier, picture: sw.Sample) -> None:
    plan = SparsityPlan.uniform(blocks, 0.5, "*")
    steps = list(trace_steps(blocks, picture, plan, "fast", 70, 0, sequential=True))
    assert {(step.stage, step.of) for step in steps} == {("solving", 8)}
    done = [step.done for step in steps]
    assert steps[0] == Progress("solving", 0, 8)
    assert done == sorted(set(done))
    assert done[-1] < 8
    assert len(done) >= 5 * math.ceil(70 / batch_size(blocks)) + 8  # every batch of every block, and every layer
    for after in range(0, len(steps), len(steps) // 4):
        running = trace_steps(blocks, picture, plan, "fast", 70, 0, sequential=True)
        for _ in range(after + 1):
            next(running)
        assert not torch.is_inference_mode_enabled()
        running.close()
    seen: list[str] = []
    with Watch(blocks.module(), lambda name, _product: seen.append(name)):
        blocks.module()(torch.zeros(1, 3, 32, 32))
    assert seen == []  # the modules that were run are others: nothing of the walk is left on


def test_activations_that_are_not_finite(picture: sw.Sample) -> None:
    class Overflow(nn.Module):
        """Fine where the picture is flat."""

        def __init__(self) -> None:
            super().__init__()
            self.stem, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(4, 3)

        def forward(self, x: Tensor) -> Tensor:
            x = self.stem(x * torch.where(x.std() > 0.1, torch.inf, 1.0))
            return self.fc(x.mean((2, 3)))

    classifier = sw.ImageClassifier(Overflow(), preprocess=preprocess())
    with pytest.raises(sw.ModelError, match="layer 'stem' are NaN or infinite"):
        sw.trace(classifier, picture, layers="stem", augmentations=2, sequential=True)


def test_a_network_that_runs_otherwise_when_it_is_pruned(picture: sw.Sample) -> None:
    class Fickle(nn.Module):
        """Uses its middle layer twice, and but once as soon as its stem has other weights."""

        def __init__(self) -> None:
            super().__init__()
            self.stem, self.middle, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(4, 4), nn.Linear(4, 3)
            self.dense = list(self.stem.weight.untyped_storage())

        def forward(self, x: Tensor) -> Tensor:
            x = self.stem(x).mean((2, 3))
            for _ in range(2 if list(self.stem.weight.untyped_storage()) == self.dense else 1):
                x = self.middle(x)
            return self.fc(x)

    classifier = sw.ImageClassifier(Fickle(), preprocess=preprocess())
    with pytest.raises(sw.ModelError, match="calls its layer 'middle' otherwise"):
        sw.trace(classifier, picture, plan={"stem": 0.9, "middle": 0.5}, augmentations=4, sequential=True)


def test_layers_whose_matrix_is_too_large(
    blocks: sw.ImageClassifier, picture: sw.Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Held as their inputs they come out the same; where neither fits in, it is said."""
    options: dict[str, Any] = {"augmentations": 6, "sequential": True}
    plan = {"layers.2.conv2": 0.7, "fc": 0.5}
    whole = sw.trace(blocks, picture, plan=plan, **options)
    conv = (2 * 72) ** 2 * 4  # bytes of the convolution's matrix; the head's is smaller
    monkeypatch.setattr(module, "MEMORY", conv)
    same(whole, sw.trace(blocks, picture, plan=plan, **options))
    monkeypatch.setattr(module, "MEMORY", conv - 1)
    for refused in (plan, {"layers.2.conv2": 0.0}):
        with pytest.raises(sw.InputError, match=r"'layers.2.conv2' has too many inputs"):
            sw.trace(blocks, picture, plan=refused, **options)

    for head in ({"fc": 0.5}, {"fc": 0.0}):
        monkeypatch.setattr(module, "MEMORY", 4 * 2**30)
        full = sw.trace(blocks, picture, plan=head, solver="fast", **options)
        monkeypatch.setattr(module, "MEMORY", 2 * 8 * 6 * 4)  # six columns of the head's inputs, not their matrix
        columns = sw.trace(blocks, picture, plan=head, **options)
        assert [(row.solver, row.form) for row in columns.stats()] == [("fast", "columns")]
        torch.testing.assert_close(columns.weights()["fc"], full.weights()["fc"], rtol=1e-3, atol=1e-4)
        assert columns.stats()[0].error == pytest.approx(full.stats()[0].error, rel=1e-3, abs=1e-6)


def test_the_target_from_the_inputs_themselves() -> None:
    W, X = torch.randn(6, 9), torch.randn(2, 9, 5)
    Y = X + torch.randn(2, 9, 5)
    torch.testing.assert_close(target_of_inputs(W, X, Y), target(W, Y @ Y.mT, X @ Y.mT), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(target_of_inputs(W, X, X), W.double())
    assert torch.equal(target_of_inputs(W, X * 0, X * 0), W.double())
