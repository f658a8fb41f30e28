"""Small models, and a function as one, that the tests wrap in each other."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


class Then(nn.Module):
    """A function as a module."""

    def __init__(self, function: Any) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Any) -> Any:
        return self.function(x)


def network(channels: int = 3, classes: int = 4, *, scale: float = 60.0) -> nn.Sequential:
    """Logits (n, classes) of images with so many channels; `scale` spreads the classes apart."""
    torch.manual_seed(classes)
    model = nn.Sequential(
        nn.Conv2d(channels, 8, 3, stride=2),
        nn.ReLU(),
        nn.Conv2d(8, 16, 3, stride=2),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(16, classes),
    )
    with torch.no_grad():
        model[6].weight *= scale
    return model.eval()


def small(image: Any) -> Tensor:
    """A preprocessing to 16 × 16 px, in −1…1."""
    return torch.from_numpy(np.asarray(image.resize((16, 16)), dtype=np.float32) / 127.5 - 1).permute(2, 0, 1)
