"""Small networks that have what trips a pruner: shared layers, tied weights, odd memory layouts, foreign layers."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations


class Reused(nn.Module):
    """One convolution run twice, and known by two names."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.conv = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)
        self.again, self.fc = self.conv, nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.again(self.conv(self.stem(x).relu()).relu()).relu()
        return self.fc(x.mean((2, 3)))


class Tied(nn.Module):
    """Two layers with one weight between them."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, stride=2)
        self.one, self.two, self.fc = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 4)
        self.two.weight = self.one.weight

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).relu().mean((2, 3))
        return self.fc(self.two(self.one(x).relu()).relu())


class Foreign(nn.Module):
    """Layers that no solver takes: attention, a transposed convolution, a weight that is computed of others."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.up = nn.Conv2d(3, 8, 4, stride=4), nn.ConvTranspose2d(8, 8, 2)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.normed, self.fc = parametrizations.weight_norm(nn.Linear(8, 8)), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.up(self.stem(x).relu()).flatten(2).transpose(1, 2)
        tokens = self.attention(tokens, tokens, tokens, need_weights=False)[0]
        return self.fc(self.normed(tokens.mean(1)).relu())


class Depthwise(nn.Module):
    """Grouped and depthwise convolutions, tokens under a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.grouped = nn.Conv2d(3, 8, 3, stride=2), nn.Conv2d(8, 12, 3, groups=4, padding="same")
        self.depthwise, self.mix = nn.Conv2d(12, 12, 5, groups=12), nn.Linear(12, 12)
        self.fc = nn.Linear(12, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.depthwise(self.grouped(self.stem(x).relu()).relu())
        tokens = self.mix(x.flatten(2).transpose(1, 2)).relu()
        return self.fc(tokens.mean(1))


def noncontiguous() -> nn.Module:
    """Weights that lie transposed or channels last in memory."""
    model = Depthwise().to(memory_format=torch.channels_last)
    model.mix.weight = nn.Parameter(torch.randn(12, 12).T)
    model.fc.weight = nn.Parameter(torch.randn(12, 8)[:, ::2].T)
    return model
