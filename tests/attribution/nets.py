"""Small networks that do what saliency methods stumble over, and classifiers of them."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision import transforms

from spade_widgets.attribution.methods.query import Query
from spade_widgets.classifier import ImageClassifier
from spade_widgets.prediction import Network
from spade_widgets.sample import Sample

SIZE = 32
NAMES = ("ant", "bee", "cat", "dog", "eel")


def lively(net: nn.Module, seed: int = 0) -> nn.Module:
    """The network with biases, and batch norms with statistics, as if it had been trained."""
    draws = torch.Generator().manual_seed(seed)

    def uniform(tensor: Tensor, low: float, high: float) -> None:
        tensor.copy_(torch.rand(tensor.shape, generator=draws) * (high - low) + low)

    with torch.no_grad():
        for name, parameter in net.named_parameters():
            if name.endswith("bias"):
                uniform(parameter, -0.3, 0.3)
            if "layer_scale" in name:
                uniform(parameter, 0.2, 0.4)
        for part in net.modules():
            if isinstance(part, nn.BatchNorm2d):
                uniform(part.weight, 0.5, 1.5)
                uniform(part.running_mean, -0.3, 0.3)  # type: ignore[arg-type]
                uniform(part.running_var, 0.5, 1.5)  # type: ignore[arg-type]
                part.weight[::3] *= -1  # trained networks have these too
    return net.eval()


def plain(bias: bool = True) -> nn.Module:
    """Nothing that captum or zennit could not do: each module called once, nothing in place."""
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=bias),
        nn.ReLU(),
        nn.Conv2d(8, 12, 3, stride=2, padding=1, bias=bias),
        nn.ReLU(),
        nn.Conv2d(12, 16, 3, stride=2, padding=1, bias=bias),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(16, 5, bias=bias),
    ).eval()


class ReusedReLU(nn.Module):
    """Two blocks as torchvision's ResNet has them: one in-place ReLU for all, shortcuts added in place, batch norm."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8)
        self.conv2, self.bn2 = nn.Conv2d(8, 8, 3, 1, 1, bias=False), nn.BatchNorm2d(8)
        self.conv3, self.bn3 = nn.Conv2d(8, 8, 3, 1, 1, bias=False), nn.BatchNorm2d(8)
        self.relu = nn.ReLU(inplace=True)
        self.fc = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.bn1(self.conv1(x)))
        for conv, bn in ((self.conv2, self.bn2), (self.conv3, self.bn3)):
            out = bn(conv(x))
            out += x
            x = self.relu(out)
        return self.fc(x.mean((2, 3)))


class Functional(nn.Module):
    """No module but those with weights: functional activations and pooling, windows that overlap, concatenation."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 8, 3, 1, 1), nn.Conv2d(8, 8, 3, 1, 1)
        self.norm, self.c = nn.BatchNorm2d(16), nn.Conv2d(16, 12, 1)
        self.fc = nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.a(x), inplace=True), 3, 2, 1)
        x = torch.cat([x, torch.relu(self.b(x))], 1)
        x = self.c(self.norm(x).relu_()).clamp(min=0)  # batch norm before the convolution, as in DenseNet
        return self.fc(torch.flatten(F.adaptive_avg_pool2d(x, 1), 1))


class Gated(nn.Module):
    """As MobileNetV3 and EfficientNet: depthwise, SiLU, ReLU6, squeeze and excitation, linear bottleneck."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU6(inplace=True))
        self.expand = nn.Sequential(nn.Conv2d(8, 24, 1), nn.SiLU(inplace=True))
        self.depth = nn.Sequential(nn.Conv2d(24, 24, 3, 1, 1, groups=24), nn.BatchNorm2d(24), nn.Hardswish())
        self.squeeze, self.excite = nn.Conv2d(24, 6, 1), nn.Conv2d(6, 24, 1)
        self.project = nn.Conv2d(24, 8, 1)
        self.dropout, self.fc = nn.Dropout(0.5, inplace=True), nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        y = self.depth(self.expand(x))
        y = torch.sigmoid(self.excite(F.relu(self.squeeze(y.mean((2, 3), keepdim=True))))) * y
        x = x + self.project(y)
        return self.fc(self.dropout(x.mean([2, 3])))


class ChannelsLast(nn.Module):
    """As ConvNeXt: layer norm over channels, linear layers at every place, GELU, a scale a channel; group norm."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 12, 4, 4), nn.LayerNorm(12)
        self.up, self.down = nn.Linear(12, 24), nn.Linear(24, 12)
        self.layer_scale = nn.Parameter(torch.full((12, 1, 1), 0.3))
        self.group, self.fc = nn.GroupNorm(3, 12), nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        y = self.norm(x.permute(0, 2, 3, 1))
        y = self.down(F.gelu(self.up(y))).permute(0, 3, 1, 2)
        x = x + self.layer_scale * y
        return self.fc(self.group(x).mean((-2, -1)))


class Attentive(nn.Module):
    """A transformer: no map behind the first layer, attention, GELU."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 16, 8, 8)
        self.norm, self.attention = nn.LayerNorm(16), nn.MultiheadAttention(16, 2, batch_first=True)
        self.mlp, self.fc = nn.Sequential(nn.Linear(16, 32), nn.GELU(), nn.Linear(32, 16)), nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        normed = self.norm(tokens)
        tokens = tokens + self.attention(normed, normed, normed, need_weights=False)[0]
        return self.fc((tokens + self.mlp(tokens)).mean(1))


HARD: dict[str, type[nn.Module]] = {
    "reused ReLU": ReusedReLU, "functional": Functional, "gated": Gated, "channels last": ChannelsLast,
}  # fmt: skip


def hard(name: str) -> nn.Module:
    """One of the networks by name, with biases and statistics."""
    torch.manual_seed(3)
    return lively(HARD[name]())


def classify(net: nn.Module, size: int = SIZE, names: tuple[str, ...] | None = NAMES) -> ImageClassifier:
    """A classifier of images of `size` pixels."""
    preprocess = transforms.Compose(
        [transforms.Resize((size, size)), transforms.ToTensor(), transforms.Normalize([0.5] * 3, [0.25] * 3)]
    )
    return ImageClassifier(net, class_names=names, preprocess=preprocess, name="the net")


def picture(seed: int = 0, size: int = SIZE) -> Sample:
    """Smooth noise with a bright square in it."""
    draws = np.random.default_rng(seed)
    small = draws.random((6, 6, 3))
    pixels = np.kron(small, np.ones((size // 6 + 1, size // 6 + 1, 1)))[:size, :size] * 0.6
    pixels[size // 4 : size // 2, size // 4 : size // 2] = draws.random(3)
    return Sample.read((pixels * 255).astype(np.uint8), title="noise")


def ask(network: Network, target: int = 1, sample: Sample | None = None, seed: int = 0) -> Query:
    """A query about a class."""
    return Query(network, network.dense.prepare(sample or picture()), target, seed)


def logit(network: Network, x: Tensor, target: int) -> float:
    """The class's logit, in float64."""
    with torch.no_grad():
        return float(network.module().double()(x.double())[0, target])
