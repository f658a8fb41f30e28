"""A made classifier whose facets are known: the class 'warm' answers to red spots or to green ones, 'cold' to blue."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from spade_widgets.classifier import ImageClassifier
from spade_widgets.sample import Sample

SIDE = 24
RED, GREEN, BLUE = range(3)


class Colours(nn.Module):
    """Detectors of red, green and blue; channel 0 of `either` answers to red or to green, channel 1 to blue alone.

    Args:
        slope: of the detectors below zero. At 0 a picture that begins at noise has no gradient.
    """

    def __init__(self, slope: float) -> None:
        super().__init__()
        self.slope = slope
        self.detect = nn.Conv2d(3, 3, 1)
        self.either = nn.Conv2d(3, 2, 3, padding=1, bias=False)
        self.head = nn.Linear(2, 2)
        with torch.no_grad():
            self.detect.weight.copy_((2 * torch.eye(3) - 1).view(3, 3, 1, 1))
            self.detect.bias.zero_()
            self.either.weight.zero_()
            self.either.weight[0, :2] = 1
            self.either.weight[1, 2] = 1
            self.head.weight.copy_(torch.eye(2))
            self.head.bias.zero_()

    def forward(self, x: Tensor) -> Tensor:
        seen = leaky_relu(self.detect(x), self.slope)
        logits: Tensor = self.head(self.either(seen).relu().amax((2, 3)))
        return logits


def preprocess(image: Image.Image) -> Tensor:
    pixels = np.asarray(image.resize((SIDE, SIDE)), dtype=np.float32) / 255
    return torch.from_numpy(pixels).permute(2, 0, 1)


def colours(slope: float = 0.05) -> ImageClassifier:
    return ImageClassifier(Colours(slope).eval(), class_names=["warm", "cold"], preprocess=preprocess, name="colours")


def spots(*many: int, seed: int = 0) -> list[Sample]:
    """So many images with a red, a green and a blue spot, somewhere on noise; their titles begin with the colour."""
    rng, made = np.random.default_rng(seed), []
    for colour, count in enumerate(many):
        for i in range(count):
            pixels = rng.integers(90, 110, (SIDE, SIDE, 3))
            y, x = rng.integers(2, SIDE - 8, 2)
            pixels[y : y + 6, x : x + 6] = rng.integers(0, 30, 3)
            pixels[y : y + 6, x : x + 6, colour] = rng.integers(200, 256)
            title = f"{('red', 'green', 'blue')[colour]} {i}"
            made.append(Sample(Image.fromarray(pixels.astype(np.uint8)), title))
    return made
