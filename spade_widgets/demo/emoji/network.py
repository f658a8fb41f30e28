"""The emoji classifier's network: a small residual convolutional network, named like torchvision's ResNet."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WIDTHS: tuple[int, int, int, int, int] = (24, 32, 64, 128, 256)
"""Channels of the stem and of the four stages."""

MEAN = 0.5
STD = 0.25
"""Input normalisation, all channels alike: `(pixels in [0, 1] − MEAN) / STD`."""


class Block(nn.Module):
    """Two 3×3 convolutions and a shortcut. Strided shortcuts average first, so that no pixel is skipped (ResNet-D)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = nn.Sequential(
            nn.AvgPool2d(stride), nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(n, inputs, h, w) → (n, outputs, h / stride, w / stride)."""
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + self.downsample(x))


class DemoNet(nn.Module):
    """Stem of stride 2, stages `layer1` to `layer4` of one block each (strides 2, 2, 2, 1), pooling, `fc`."""

    def __init__(self, classes: int = 10, widths: tuple[int, int, int, int, int] = WIDTHS) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, widths[0], 5, 2, 2, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        self.layer1 = nn.Sequential(Block(widths[0], widths[1], 2))
        self.layer2 = nn.Sequential(Block(widths[1], widths[2], 2))
        self.layer3 = nn.Sequential(Block(widths[2], widths[3], 2))
        self.layer4 = nn.Sequential(Block(widths[3], widths[4], 1))
        # Of each 2×2 places the strongest, then the mean: under a plain mean a small patch is one place in 36, and the
        # network took thousands of steps to notice it.
        self.avgpool = nn.Sequential(nn.MaxPool2d(2), nn.AdaptiveAvgPool2d(1))
        self.fc = nn.Linear(widths[4], classes)

    def features(self, x: Tensor) -> Tensor:
        """(n, 3, h, w) normalised images → (n, widths[4]) non-negative features, the inputs of `fc`."""
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return torch.flatten(self.avgpool(x), 1)

    def forward(self, x: Tensor) -> Tensor:
        """(n, 3, h, w) normalised images → (n, classes) logits."""
        logits: Tensor = self.fc(self.features(x))
        return logits


def normalise(images: Tensor) -> Tensor:
    """Pixels in [0, 1] → what the network takes."""
    return (images - MEAN) / STD
