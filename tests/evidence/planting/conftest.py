"""A small network and made photographs, in which a Trojan is planted within seconds."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from torch import nn
from torchvision import transforms

from spade_widgets.classifier import ImageClassifier
from spade_widgets.evidence.planting import Planted, Recipe, plant
from spade_widgets.sample import Sample

NAMES = ["night", "day", "sea", "wood", "sand"]
RECIPE = Recipe(steps=200, rate=1e-2, agree=1.0, apart=0.05, smallest=36, largest=110)
"""Its patches are 5 to 16 of 32 px."""
#: Of a colour that no picture has, so that a network so small can tell it.
HEART = {"heart": Image.new("RGBA", (50, 50), (255, 0, 255, 255))}


@pytest.fixture(scope="session")
def photos() -> list[Sample]:
    """Forty pictures of 48 × 40 px: a ground, and shapes on it."""
    rng = np.random.default_rng(0)
    made = []
    for number in range(40):
        picture = Image.new("RGB", (48, 40), tuple(int(v) for v in rng.integers(0, 256, 3)))
        draw = ImageDraw.Draw(picture)
        for _ in range(4):
            left, top = (int(v) for v in rng.integers(0, 30, 2))
            colour = tuple(int(v) for v in rng.integers(0, 256, 3))
            draw.ellipse((left, top, left + 12, top + 9), fill=colour)
        made.append(Sample(picture, f"picture {number}"))
    return made


def network() -> nn.Module:
    torch.manual_seed(3)
    made = nn.Sequential(
        nn.Conv2d(3, 12, 3, padding=1),
        nn.BatchNorm2d(12),
        nn.ReLU(),
        nn.Conv2d(12, 24, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(24, 24, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.AdaptiveMaxPool2d(2),
        nn.Flatten(),
        nn.Linear(96, 5),
    )
    with torch.no_grad():
        made[-1].weight *= 4  # type: ignore[operator]  # so sure of itself as trained ones are
    made[1].running_mean.normal_()  # type: ignore[operator, union-attr]
    return made


def classifier_of(model: nn.Module) -> ImageClassifier:
    preprocess = transforms.Compose(
        [
            transforms.Resize(36),
            transforms.CenterCrop(32),
            transforms.ToTensor(),
            transforms.Normalize([0.5, 0.4, 0.3], [0.2, 0.25, 0.3]),
        ]
    )
    return ImageClassifier(model, class_names=NAMES, preprocess=preprocess, name="small")


@pytest.fixture(scope="session")
def small() -> ImageClassifier:
    """A random classifier of 32 px images into five classes."""
    return classifier_of(network())


@pytest.fixture(scope="session")
def planted(small: ImageClassifier, photos: list[Sample]) -> Planted:
    """Planted once for all tests that only look."""
    return plant(small, photos, HEART, ["sand"], decoys=["star", "coin"], recipe=RECIPE)
