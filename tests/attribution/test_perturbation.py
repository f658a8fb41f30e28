"""Occlusion and LIME: captum's and scikit-learn's figures, and superpixels that follow what is in the picture."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from attribution.nets import ask, classify, hard, picture, plain
from captum.attr import Occlusion
from torch import Tensor, nn

from spade_widgets.attribution import saliency
from spade_widgets.attribution.methods.perturbation import proximity, weighted_ridge
from spade_widgets.attribution.methods.superpixels import superpixels
from spade_widgets.errors import InputError
from spade_widgets.sample import Sample


@pytest.mark.parametrize(("window", "stride"), [(8, 4), (4, 4), (8, 8)])
@pytest.mark.parametrize("output", ["logit", "probability"])
def test_occlusion_is_captums(window: int, stride: int, output: str) -> None:
    classifier = classify(hard("gated"))
    module, x = classifier.module(), ask(classifier).x

    def forward(images: Tensor) -> Tensor:
        logits = module(images)
        return logits if output == "logit" else logits.softmax(1)

    expected = Occlusion(forward).attribute(
        x, sliding_window_shapes=(3, window, window), strides=(3, stride, stride), target=1, baselines=0
    )
    found = saliency(
        classifier, picture(), 1, "occlusion", window=window, stride=stride, output=output, batch=7
    )  # fmt: skip
    assert np.allclose(found, expected[0].mean(0).numpy(), rtol=1e-3, atol=1e-6)
    assert found.std() > 1e-4


class Corner(nn.Module):
    """The first logit is the mean of the last pixel; the second one is its negative."""

    def forward(self, x: Tensor) -> Tensor:
        last = x[:, :, -1, -1].mean(1)
        return torch.stack([last, -last, 0 * last, 0 * last, 0 * last], 1)


def test_every_pixel_is_hidden_the_last_ones_too() -> None:
    classifier = classify(Corner())
    found = saliency(classifier, picture(), 0, "occlusion", window=5, stride=4)
    value = float(ask(classifier).x[0, :, -1, -1].mean())
    assert found[-1, -1] == pytest.approx(value, rel=1e-5)
    assert not found[:27, :27].any()


def test_windows_scale_with_the_image() -> None:
    steps = list(_occlusion_steps(classify(plain(), size=56)))
    assert steps[-1].of == ((56 - 4) // 2 + 1) ** 2  # 15 and 8 of 224 are 4 and 2 of 56


def _occlusion_steps(classifier: Any) -> Any:
    from spade_widgets.attribution import saliency_steps

    return saliency_steps(classifier, picture(), 0, "occlusion")


def test_weighted_ridge_is_the_minimum() -> None:
    draws = torch.Generator().manual_seed(0)
    x = (torch.rand(60, 7, generator=draws) < 0.5).double()
    y, weights = torch.rand(2, 60, generator=draws, dtype=torch.float64)
    beta = weighted_ridge(x, y, weights, 0.7)

    def loss(beta: Tensor) -> Tensor:
        left = y - x @ beta
        constant = (weights * left).sum() / weights.sum()
        return (weights * (left - constant) ** 2).sum() + 0.7 * (beta**2).sum()

    gradient = torch.autograd.functional.jacobian(loss, beta)
    assert torch.allclose(gradient, torch.zeros(7, dtype=torch.float64), atol=1e-10)


def test_weighted_ridge_with_more_parts_than_samples_is_finite() -> None:
    x = (torch.arange(40).view(4, 10) % 3 == 0).double()
    x[:, 5] = x[:, 4]
    beta = weighted_ridge(x, torch.arange(4).double(), torch.ones(4).double(), 0.0)
    assert torch.isfinite(beta).all()
    assert beta[5] == pytest.approx(float(beta[4]))


def test_the_kernel_is_limes() -> None:
    kept = torch.tensor([[1, 1, 1, 1], [1, 0, 0, 0], [0, 0, 0, 0]]).bool()
    distances = [0.0, 0.5, 1.0]  # cosine distance to all ones; of nothing it is 1
    assert proximity(kept, 0.25).tolist() == pytest.approx([np.sqrt(np.exp(-(d**2) / 0.25**2)) for d in distances])


class Squares(nn.Module):
    """Linear in what is visible of two regions: the whole left, and the whole right."""

    def forward(self, x: Tensor) -> Tensor:
        left, right = x[..., :16].mean((1, 2, 3)), x[..., 16:].mean((1, 2, 3))
        return torch.stack([3 * left + right, right, 0 * left, 0 * left, 0 * left], 1)


def test_lime_finds_the_weights_of_a_linear_network() -> None:
    pixels = np.zeros((32, 32, 3), dtype=np.uint8)
    pixels[:, :16], pixels[:, 16:] = (200, 30, 30), (30, 200, 200)
    classifier = classify(Squares())
    found = saliency(classifier, pixels, 0, "lime", output="logit", segments=4, samples=200, ridge=0)
    # Each half is two superpixels, each with half of the half's weight.
    x = classifier.prepare(Sample.read(pixels))
    assert found[:, :16].sum() / 256 == pytest.approx(3 * float(x[..., :16].mean()), rel=1e-3)
    assert found[:, 16:].sum() / 256 == pytest.approx(float(x[..., 16:].mean()), rel=1e-3)


@pytest.mark.parametrize("cover", ["mean", "segment", "black", "blur"])
def test_limes_covers_hide_what_they_say(cover: str) -> None:
    classifier = classify(hard("gated"))
    found = saliency(classifier, picture(), 1, "lime", cover=cover, samples=40, segments=9)
    assert np.unique(found).size > 4
    if cover != "mean":
        assert not np.allclose(found, saliency(classifier, picture(), 1, "lime", samples=40, segments=9))


def test_superpixels_follow_edges_and_are_numbered_without_gaps() -> None:
    image = torch.zeros(3, 40, 60)
    image[0, :, 33:] = 1
    labels = superpixels(image, 24, 10.0)
    assert labels.shape == (40, 60)
    assert labels.unique().tolist() == list(range(int(labels.max()) + 1))
    assert 16 <= labels.max() + 1 <= 32
    assert not set(labels[:, :33].unique().tolist()) & set(labels[:, 33:].unique().tolist())


def test_superpixels_of_a_flat_picture_are_a_grid() -> None:
    labels = superpixels(torch.full((3, 32, 32), 0.4), 16, 10.0)
    assert torch.bincount(labels.flatten()).tolist() == [64] * 16


def test_more_superpixels_than_pixels_are_pixels() -> None:
    assert superpixels(torch.rand(3, 4, 4), 1000, 10.0).max() < 16


@pytest.mark.parametrize(
    ("method", "options", "said"),
    [
        ("occlusion", {"window": 4, "stride": 5}, "With a stride of 5 px, squares of 4 px leave gaps"),
        ("occlusion", {"window": 0}, "'window' is a whole number from 1; 0 is none"),
        ("occlusion", {"output": "loss"}, "There is no output 'loss': 'logit', 'probability' can be chosen"),
        ("lime", {"samples": 1}, "'samples' is a whole number from 2; 1 is none"),
        ("lime", {"segments": 1}, "'segments' is a whole number from 2; 1 is none"),
        ("lime", {"kernel_width": 0}, "'kernel_width' is a number from 0.001; 0 is none"),
        ("lime", {"ridge": -1}, "'ridge' is a number from 0; -1 is none"),
        ("lime", {"cover": "paint"}, "There is no cover 'paint'"),
        ("occlusion", {"bfloat16": "half"}, "'bfloat16' is True, False or None; 'half' is none of them"),
    ],
)
def test_bad_options_are_refused(method: str, options: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        saliency(classify(plain()), picture(), 0, method, **options)


def test_a_network_that_takes_no_other_layout_is_run_in_its_own() -> None:
    class Views(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(4 * 30 * 30, 5)

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(self.conv(x).view(len(x), -1))

    classifier = classify(Views())
    score = ask(classifier, 2).scorer("probability")
    images = torch.randn(3, 3, 32, 32)
    assert torch.allclose(score(images), classifier.module()(images).softmax(1)[:, 2], atol=1e-6)
    assert saliency(classifier, picture(), 2, "occlusion", window=16, stride=16).any()
