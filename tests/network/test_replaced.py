"""A trace's module answers as the trace promises, whatever way a network takes its weights: over made networks."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from network.small import network, small
from torch import Tensor, nn

import spade_widgets as sw
from spade_widgets.network.products import TAKEN_PAST

PICTURE = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)


class Net(nn.Module):
    """A network whose last layer's weight is found where `last` finds it."""

    def __init__(self) -> None:
        super().__init__()
        self.body = network()

    def last(self) -> Tensor:
        return self.body[6].weight

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(self.body[:6](x), self.last(), self.body[6].bias)


class Listed(Net):
    def __init__(self) -> None:
        super().__init__()
        self.kept = {"weights": [self.body[6].weight]}

    def last(self) -> Tensor:
        return self.kept["weights"][0]


class Cached(Net):
    @functools.cached_property
    def kept(self) -> Tensor:
        return self.body[6].weight

    def last(self) -> Tensor:
        return self.kept


def cached() -> nn.Module:
    model = Cached().eval()
    model(torch.rand(1, 3, 16, 16))
    return model


def closed() -> nn.Module:
    model = Net()
    kept = model.body[6].weight
    model.last = lambda: kept  # type: ignore[method-assign]
    return model


@pytest.mark.parametrize(("make", "past"), [(Net, False), (Listed, True), (cached, True), (closed, True)])
def test_a_weight_that_is_taken_past_its_layer_stays_dense(make: Callable[[], nn.Module], past: bool) -> None:
    classifier = sw.ImageClassifier(make(), preprocess=small)
    assert ("body.6" in classifier.prunable()) != past
    assert (classifier.left_dense().get("body.6") == TAKEN_PAST) == past
    trace = sw.trace(classifier, PICTURE, sparsity=0.9, augmentations=4, layers=classifier.prunable())
    plain = network()
    with torch.no_grad():
        for name, weight in trace.weights().items():
            plain[int(name.removeprefix("body."))].weight.copy_(weight)
        expected = plain(classifier.prepare(sw.Sample.read(PICTURE)))[0].softmax(0)
    found = sorted(sw.predict(trace, PICTURE), key=lambda p: p.index)
    assert [p.probability for p in found] == pytest.approx(expected.tolist(), abs=1e-5)


class OfEnergy(Net):
    """Takes a gradient in its own forward pass."""

    def forward(self, x: Tensor) -> Tensor:
        with torch.enable_grad():
            image = x.detach().requires_grad_()
            (slope,) = torch.autograd.grad(self.body(image).square().sum(), image)
        return self.body(x) + slope.flatten(1).sum(1, keepdim=True)


class Mapped(Net):
    def forward(self, x: Tensor) -> Tensor:
        return self.body[4:](torch.vmap(lambda one: self.body[:4](one[None])[0])(x))


def test_a_network_that_takes_gradients_itself_is_traced() -> None:
    trace = sw.trace(sw.ImageClassifier(OfEnergy(), preprocess=small), PICTURE, sparsity=0.5, augmentations=4)
    assert sw.predict(trace, PICTURE) == sw.predict(trace, PICTURE)


def test_what_runs_within_vmap_stays_dense() -> None:
    classifier = sw.ImageClassifier(Mapped(), preprocess=small)
    assert classifier.prunable() == ("body.6",)
    assert sw.trace(classifier, PICTURE, sparsity=0.5, augmentations=4).kept > 0


class AsItLies(Net):
    """Reads its features as they lie in memory."""

    def forward(self, x: Tensor) -> Tensor:
        y = self.body[:4](x)
        count, channels, h, w = y.shape
        first = torch.as_strided(y, (count, channels), (channels * h * w, h * w))
        return self.body[6](first)


@pytest.mark.parametrize("method", ["occlusion", "lime", "scorecam"])
def test_a_network_that_depends_on_the_layout_keeps_its_own(method: str) -> None:
    options = {"window": 4, "stride": 4} if method == "occlusion" else {"samples": 20} if method == "lime" else {}

    class Sliced(Net):
        def forward(self, x: Tensor) -> Tensor:
            return self.body[6](self.body[:4](x)[:, :, 0, 0])

    expected = sw.saliency(sw.ImageClassifier(Sliced(), preprocess=small), PICTURE, 1, method, **options)
    found = sw.saliency(sw.ImageClassifier(AsItLies(), preprocess=small), PICTURE, 1, method, **options)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5 * np.abs(expected).max())


def test_buffers_that_are_not_saved_count_for_the_digest() -> None:
    model = Net()
    model.register_buffer("scale", torch.ones(()), persistent=False)
    classifier = sw.ImageClassifier(model, preprocess=small)
    before = classifier.digest
    model.scale += 1
    assert classifier.digest != before
