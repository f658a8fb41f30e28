"""Whatever a preprocessing does to colours is carried through everywhere, or refused in a sentence."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from torch import Tensor, nn
from torchvision import transforms as T
from torchvision.transforms import v2

import spade_widgets as sw
from spade_widgets.network.preprocessing import probe
from spade_widgets.pruning.calibration.augment import augment


def tensor(image: Image.Image) -> Tensor:
    return torch.from_numpy(np.asarray(image.convert("RGB").resize((32, 32)), dtype=np.float32) / 255).permute(2, 0, 1)


def mixing(seed: int, channels: int = 3) -> Any:
    """Any mixing of the colours, with an offset."""
    draws = np.random.default_rng(seed)
    matrix = torch.tensor(draws.normal(size=(channels, 3)), dtype=torch.float32)
    offset = torch.tensor(draws.normal(size=(channels, 1, 1)), dtype=torch.float32)
    return lambda image: torch.einsum("khw,ck->chw", tensor(image), matrix) + offset


def luminance(image: Image.Image) -> Tensor:
    return torch.from_numpy(np.asarray(image.convert("L").resize((32, 32)), dtype=np.float32)[None] / 127.5 - 1)


def permuted(*order: int) -> Any:
    return lambda image: tensor(image)[list(order)] * 4 - 2


PERMUTED = {f"permuted {order}": permuted(*order) for order in ((2, 1, 0), (1, 2, 0), (2, 0, 1), (0, 2, 1))}
INVERTIBLE = {**PERMUTED, **{f"mixed {seed}": mixing(seed) for seed in range(4)}}
GREYS = {
    "Grayscale(3)": T.Compose([T.Resize((32, 32)), T.Grayscale(3), T.ToTensor(), T.Normalize([0.5] * 3, [0.2] * 3)]),
    "Grayscale(3), unlike norms": T.Compose(
        [T.Resize((32, 32)), v2.Grayscale(3), T.ToTensor(), T.Normalize([0.4, 0.5, 0.6], [0.2, 0.3, 0.4])]
    ),
    "mean of colours": lambda image: tensor(image).mean(0, keepdim=True).expand(3, -1, -1),
    "one channel": luminance,
}
PICTURE = sw.Sample.read(np.random.default_rng(1).integers(40, 216, (32, 32, 3), dtype=np.uint8))


def classifier(preprocess: Any, channels: int = 3) -> sw.ImageClassifier:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(channels, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3))
    return sw.ImageClassifier(model, preprocess=preprocess)


@pytest.mark.parametrize("name", INVERTIBLE)
def test_colours_are_carried_through(name: str) -> None:
    made = classifier(INVERTIBLE[name])
    seen = made.view(PICTURE)
    torch.testing.assert_close(seen, tensor(PICTURE.image), atol=2e-2, rtol=0)
    scale = float(made.prepare(PICTURE).abs().max())
    torch.testing.assert_close(made.normalize(seen[None]), made.prepare(PICTURE), atol=1e-2 * scale, rtol=0)


@pytest.mark.parametrize("name", GREYS)
def test_a_grey_picture_is_shown_and_calibrated_grey(name: str) -> None:
    made = classifier(GREYS[name], 1 if name == "one channel" else 3)
    seen = made.view(PICTURE)
    assert float((seen - seen[:1]).abs().max()) < 1e-3  # what the network knows of it
    torch.testing.assert_close(made.normalize(seen[None]), made.prepare(PICTURE), atol=5e-2, rtol=0)
    for batch in augment(made, PICTURE, 4):
        again = made.picture(batch)
        assert float((again - again[:, :1]).abs().max()) < 1e-3
        torch.testing.assert_close(made.normalize(again), batch, atol=1e-3, rtol=0)


@pytest.mark.parametrize("name", {**INVERTIBLE, **GREYS})
def test_the_renderer_and_the_augmentations_go_the_samples_way(name: str) -> None:
    """The picture of a colour becomes what the preprocessing makes of that colour."""
    preprocess = {**INVERTIBLE, **GREYS}[name]
    made = classifier(preprocess, 1 if name == "one channel" else 3)
    draws = np.random.default_rng(7)
    for colour in draws.integers(0, 256, (12, 3)).tolist():
        expected = preprocess(Image.new("RGB", (40, 40), tuple(colour)))[:, :1, :1]
        given = torch.tensor(colour, dtype=torch.float32).view(1, 3, 1, 1) / 255
        torch.testing.assert_close(made.normalize(given)[0], expected, atol=3e-2, rtol=1e-2)


def test_a_mask_is_seen_through_swapped_colours_and_through_grey() -> None:
    mask = np.zeros((32, 32), bool)
    mask[4:12, 8:20] = True
    sample = sw.Sample.read(PICTURE, mask=mask)
    for name in ("permuted (2, 1, 0)", "mixed 0", "mixed 3"):
        assert (classifier(INVERTIBLE[name]).view_mask(sample) == mask).all()
    for name, preprocess in GREYS.items():
        assert (classifier(preprocess, 1 if name == "one channel" else 3).view_mask(sample) == mask).all(), name


def test_red_is_red_to_a_network_of_bgr() -> None:
    class Bgr(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 1, bias=False)
            self.conv.weight.data = 4 * torch.eye(3).view(3, 3, 1, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.conv(x).tanh().mean((2, 3)).flip(1)

    made = sw.ImageClassifier(Bgr(), preprocess=PERMUTED["permuted (2, 1, 0)"], class_names=["red", "green", "blue"])
    for place, name in enumerate(made.class_names):
        colour = [30, 30, 30]
        colour[place] = 220
        plain = sw.Sample.read(Image.new("RGB", (32, 32), tuple(colour)))
        assert sw.predict(made, plain)[0].name == name
        drawn = np.asarray(sw.visualize(made, f"logit:{name}", steps=48), dtype=float).mean((0, 1))
        assert int(drawn.argmax()) == place


def test_one_channel_is_asked_for_everything() -> None:
    made = classifier(luminance, 1)
    assert sw.visualize(made, "logit:1", steps=2).size == (32, 32)
    assert sw.trace(made, PICTURE, sparsity=0.5, augmentations=8).kept > 0
    for method in ("saliency", "lime", "occlusion", "integrated_gradients", "lrp", "deeplift"):
        assert sw.saliency(made, PICTURE, 1, method=method).shape == (32, 32)


def test_a_network_of_one_channel_takes_one_of_three_that_are_alike() -> None:
    made = classifier(GREYS["Grayscale(3)"], 1)
    assert made.prepare(PICTURE).shape == (1, 1, 32, 32)
    assert torch.equal(made.prepare(PICTURE)[0], GREYS["Grayscale(3)"](PICTURE.image)[:1])
    with pytest.raises(sw.ModelError, match="runs on one channel"):
        classifier(tensor, 1)  # which grey it was trained on is not to be seen


@pytest.mark.parametrize(
    ("preprocess", "said"),
    [
        (lambda image: tensor(ImageOps.autocontrast(image)), "elsewhere in the picture"),
        (lambda image: tensor(ImageOps.equalize(image)), "must end in a per-channel|elsewhere in the picture"),
        (lambda image: tensor(image) - tensor(image).mean(), "must end in a per-channel"),
        (lambda image: tensor(image) / tensor(image).max().clamp(min=0.1), "must end in a per-channel"),
        (lambda image: tensor(image) ** 2.2, "must end in a per-channel"),
        (lambda image: tensor(image.convert("HSV")), "must end in a per-channel|elsewhere"),
        (lambda image: tensor(image.convert("HSV").copy()) * torch.rand(1), "must end in|at each call"),
        (T.Compose([T.RandomResizedCrop(32, (0.2, 0.5)), T.ToTensor()]), "something else at each call"),
        (lambda image: tensor(image).flip(0) * (tensor(image)[0].mean() > 0.3), "must end in a per-channel"),
        (lambda image: tensor(ImageOps.posterize(image, 1)), "must end in a per-channel"),
        (lambda image: tensor(image).amax(0, keepdim=True).expand(3, -1, -1), "must end in a per-channel"),
    ],
)
def test_what_is_no_map_of_colours_is_refused(preprocess: Any, said: str) -> None:
    with pytest.raises(sw.ModelError, match=said):
        probe(preprocess)


def test_other_colours_are_another_digest() -> None:
    digests = [classifier(preprocess).digest for preprocess in (*PERMUTED.values(), GREYS["Grayscale(3)"])]
    assert len(set(digests)) == len(digests)
