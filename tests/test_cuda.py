"""The same answers on a GPU as on the processor. Skipped by name where there is none."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torchvision import transforms

import spade_widgets as sw
from spade_widgets.visualization import Renderer

METHODS = ("saliency", "input_x_gradient", "deeplift", "lrp", "occlusion", "lime")


@pytest.fixture
def device() -> torch.device:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    return torch.device("cuda")


@pytest.fixture
def both(tiny_model: nn.Module, device: torch.device) -> list[sw.ImageClassifier]:
    """A classifier on the processor, and the same one on the GPU."""
    preprocess = transforms.Compose(
        [transforms.Resize((32, 32)), transforms.ToTensor(), transforms.Normalize([0.5] * 3, [0.25] * 3)]
    )
    models = [tiny_model, copy.deepcopy(tiny_model).to(device)]
    return [sw.ImageClassifier(model, preprocess=preprocess) for model in models]


@pytest.fixture
def picture() -> sw.Sample:
    return sw.Sample.read(np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8), title="noise")


def test_predictions(both: list[sw.ImageClassifier], picture: sw.Sample) -> None:
    shares = [[p.probability for p in sw.predict(one, picture)] for one in both]
    assert shares[1] == pytest.approx(shares[0], abs=1e-3)


@pytest.mark.parametrize("solver", ["fast", "exact", "refined", "magnitude"])
def test_traces(both: list[sw.ImageClassifier], picture: sw.Sample, solver: str) -> None:
    here, there = (sw.trace(one, picture, sparsity=0.7, solver=solver, augmentations=16) for one in both)
    assert all(weight.device.type == "cuda" for weight in there.weights().values())
    for one, other in zip(here.stats(), there.stats(), strict=True):
        assert other.kept == one.kept
        assert other.error == pytest.approx(one.error, rel=0.05, abs=1e-4)


def test_pictures(both: list[sw.ImageClassifier]) -> None:
    renderers = [Renderer(one, "logit:2", seed=3) for one in both]
    torch.testing.assert_close(renderers[1].image(), renderers[0].image(), atol=1e-4, rtol=0)
    for renderer in renderers:
        for _ in range(4):
            renderer.step()
    assert renderers[1].activation == pytest.approx(renderers[0].activation, rel=0.02)


@pytest.mark.parametrize("method", METHODS)
def test_maps(both: list[sw.ImageClassifier], picture: sw.Sample, method: str) -> None:
    here, there = (sw.saliency(one, picture, 1, method) for one in both)
    assert float(np.abs(there - here).max()) <= 0.02 * float(np.abs(here).max()) + 1e-6
