"""Small networks to be visualised, and a stand-in for a trace."""

from __future__ import annotations

import importlib
import warnings
from dataclasses import dataclass
from types import SimpleNamespace

import torch
from torch import Tensor, nn
from torchvision.transforms import functional as TF

from spade_widgets.classifier import ImageClassifier

SIZE = 32

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # kornia's own use of what PyTorch deprecates
    #: Lucent's modules.
    lucent = SimpleNamespace(
        **{name: importlib.import_module(f"lucent.optvis.{name}") for name in ("objectives", "transform", "param")},
        spatial=importlib.import_module("lucent.optvis.param.spatial"),
    )


def preprocess(image: object) -> Tensor:
    """Any picture → (3, 32, 32), normalised."""
    pixels = TF.to_tensor(TF.resize(image, [SIZE, SIZE]))
    return TF.normalize(pixels, [0.5, 0.5, 0.5], [0.25, 0.25, 0.25])


class SmallNet(nn.Module):
    """Convolutions with in-place activations behind them, batch norm, a shortcut, and a head of fixed size."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, 2, 1)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(8, 8, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(8)
        self.conv3 = nn.Conv2d(8, 12, 3, 2, 1)
        self.fc = nn.Linear(12 * 8 * 8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.conv1(x))
        x = self.relu(self.bn2(self.conv2(x)) + x)
        x = torch.relu(self.conv3(x))
        return self.fc(x.flatten(1))


def small_classifier(dtype: torch.dtype = torch.float32) -> ImageClassifier:
    """The same random weights every time."""
    torch.manual_seed(3)
    return ImageClassifier(SmallNet().to(dtype), class_names=list("abcde"), preprocess=preprocess)


@dataclass(frozen=True)
class Sparse:
    """A classifier with other weights, as a trace is."""

    dense: ImageClassifier
    replaced: dict[str, Tensor]

    def module(self) -> nn.Module:
        module = self.dense.module()
        for name, value in self.replaced.items():
            layer, _, kind = name.rpartition(".")
            setattr(module.get_submodule(layer), kind, nn.Parameter(value, requires_grad=False))
        return module


def pruned(classifier: ImageClassifier, *names: str, keep: float = 0.3) -> Sparse:
    """The classifier with the least weights of some layers at zero (`keep` = 0: all of them)."""
    weights = dict(classifier.module().named_parameters())
    replaced = {}
    for name in names:
        weight = weights[f"{name}.weight"].detach()
        least = weight.abs().flatten().quantile(1 - keep)
        replaced[f"{name}.weight"] = torch.where(weight.abs() > least, weight, 0) if keep else torch.zeros_like(weight)
    return Sparse(classifier, replaced)
