"""Made networks and images, small enough that all can be looked at at once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torchvision.transforms import functional as TF

from spade_widgets.classifier import ImageClassifier
from spade_widgets.neuron import Neuron
from spade_widgets.sample import Sample

SIDE = 16


def preprocess(image: Image.Image) -> Tensor:
    """Any picture → (3, 16, 16), normalised."""
    return TF.normalize(TF.to_tensor(TF.resize(image, [SIDE, SIDE])), [0.5] * 3, [0.25] * 3)


class Shortcut(nn.Module):
    """Convolutions, in-place activations behind them, strides, groups, a shortcut."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 3, 2, 1)
        self.conv2 = nn.Conv2d(6, 6, 3, 1, 1, groups=2, bias=False)
        self.norm = nn.BatchNorm2d(6)
        self.relu = nn.ReLU(inplace=True)
        self.fc = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.conv1(x))
        x = self.relu(self.norm(self.conv2(x)) + x)
        return self.fc(x.mean((2, 3)))


class Twice(nn.Module):
    """A block that runs twice in a pass and writes into what its layer gave, in blocks; and a dead channel."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Sequential(nn.Conv2d(3, 5, 4, 4)))
        self.block = nn.Sequential(nn.Conv2d(5, 5, 3, 1, 1), nn.ReLU(inplace=True))
        self.block[0].weight.data[2], self.block[0].bias.data[2] = 0, -1
        self.head = nn.Linear(5 * 16, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.block(self.block(self.stem(x))).flatten(1))


class Tokens(nn.Module):
    """Patches as tokens, with a class token before them."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 8, 4, 4)
        self.token = nn.Parameter(torch.randn(1, 1, 8))
        self.mlp = nn.Sequential(nn.Linear(8, 12), nn.GELU(), nn.Linear(12, 8))
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.token.expand(len(x), -1, -1), tokens], 1)
        return self.head((tokens + self.mlp(tokens)).mean(1))


def classifier_of(model: type[nn.Module], seed: int = 0) -> ImageClassifier:
    """A network of random weights, in float64."""
    torch.manual_seed(seed)
    return ImageClassifier(model().double(), preprocess=preprocess)


def images(count: int, seed: int = 0) -> list[Sample]:
    """Unlike pictures of coloured blocks and noise."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 256, (count, 4, 4, 3)).repeat(5, 1).repeat(5, 2)
    noise = rng.normal(0, 30, blocks.shape)
    pixels = np.clip(blocks + noise, 0, 255).astype(np.uint8)
    return [Sample(Image.fromarray(p), f"{seed}-{i}") for i, p in enumerate(pixels)]


def write(samples: Sequence[Sample], folder: Path) -> list[Path]:
    """The samples as files, without loss."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{sample.title}.png" for sample in samples]
    for path, sample in zip(paths, samples, strict=True):
        sample.image.save(path)
    return paths


def all_maps(classifier: ImageClassifier, samples: Sequence[Sample], layer: str | None) -> Tensor:
    """Of all images at once, in float64: (n, channels, rows, columns), straight from the definition."""
    module = classifier.module()
    seen: list[Tensor] = []
    if layer is not None:
        module.get_submodule(layer).register_forward_hook(lambda _m, _i, output: seen.append(output.clone()))
    with torch.no_grad():
        logits = module(torch.cat([classifier.prepare(sample) for sample in samples]))
    maps = logits if layer is None else classifier.layer(layer).maps(seen[0])
    return maps.reshape(*maps.shape[:2], *(maps.shape[2:] or (1, 1))).double()


def neurons_of(classifier: ImageClassifier) -> list[Neuron]:
    """Every channel of every layer, and every class."""
    inner = [Neuron(layer.name, channel) for layer in classifier.layers() for channel in range(layer.channels)]
    return inner + [classifier.neuron(f"logit:{k}") for k in range(len(classifier.class_names))]
