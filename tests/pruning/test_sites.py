"""Traces of networks whose weights are used in other ways than by a `Conv2d` or `Linear` being called."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torchvision import transforms

import spade_widgets as sw
from spade_widgets.classifier import ImageClassifier
from spade_widgets.network.weights import weight
from spade_widgets.pruning.calibration.augment import augment
from spade_widgets.pruning.calibration.calibration import calibrate
from spade_widgets.pruning.progress import finish
from spade_widgets.sample import Sample

preprocess = transforms.Compose(
    [transforms.Resize((12, 16)), transforms.ToTensor(), transforms.Normalize([0.5] * 3, [0.25] * 3)]
)


class Sequences(nn.Module):
    """The picture as a sequence of columns, then as a film of three frames."""

    def __init__(self) -> None:
        super().__init__()
        self.rows = nn.Conv1d(36, 8, 3, stride=2, padding=1, groups=4, padding_mode="circular")
        self.film, self.fc = nn.Conv3d(1, 4, (2, 3, 3), padding=(0, 1, 1)), nn.Linear(12, 4)

    def forward(self, x: Tensor) -> Tensor:
        film = self.film(x.unsqueeze(1)).mean((2, 3, 4))
        return self.fc(torch.cat([self.rows(x.flatten(1, 2)).mean(2), film], 1).relu())


class Functional(nn.Module):
    """No module holds these weights."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel, self.fc = nn.Parameter(torch.randn(6, 3, 3, 3) / 4), nn.Parameter(torch.randn(4, 6) / 2)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(F.conv2d(x, self.kernel, stride=2).relu().mean((2, 3)), self.fc)


class Siblings(nn.Module):
    """One weight in two branches that see different things."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.fc = nn.Conv2d(3, 6, 3), nn.Conv2d(3, 6, 3, padding=1, stride=2), nn.Linear(6, 4)
        self.two.weight = self.one.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.one(x).relu().mean((2, 3)) - self.two(-x).relu().mean((2, 3)))


class Cross(nn.Module):
    """Learned queries that attend to the picture's patches; then an encoder layer that torch would run as one."""

    def __init__(self) -> None:
        super().__init__()
        self.patches, self.queries = nn.Conv2d(3, 8, 4, stride=4), nn.Parameter(torch.randn(1, 5, 8))
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.fc = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        attended = self.attention(self.queries.expand(len(x), -1, -1), tokens, tokens)[0]
        return self.fc(self.layer(attended).mean(1))


NETS: dict[str, tuple[Callable[[], nn.Module], tuple[str, ...]]] = {
    "sequences": (Sequences, ("film", "rows", "fc")),
    "functional": (Functional, ("kernel", "fc")),
    "siblings": (Siblings, ("one", "fc")),
    "cross": (
        Cross,
        (
            "patches", "attention.in_proj_weight", "attention.out_proj", "layer.self_attn.in_proj_weight",
            "layer.self_attn.out_proj", "layer.linear1", "layer.linear2", "fc",
        ),
    ),
}  # fmt: skip


def classifier(name: str) -> ImageClassifier:
    torch.manual_seed(2)
    return ImageClassifier(NETS[name][0]().eval(), preprocess=preprocess, name=name)


@pytest.fixture
def picture() -> Sample:
    generator = torch.Generator().manual_seed(4)
    return Sample(Image.fromarray((torch.rand(24, 32, 3, generator=generator) * 255).to(torch.uint8).numpy()), "noise")


def images(network: ImageClassifier, picture: Sample, count: int) -> Tensor:
    return torch.cat(list(augment(network, picture, count, seed=0))).double()


def patches(x: Tensor, kernel: tuple[int, ...], stride: tuple[int, ...], groups: int = 1) -> Tensor:
    """Columns of a convolution of any dimension, cut out one by one: (groups, c, n)."""
    starts = [range(0, size - k + 1, s) for size, k, s in zip(x.shape[2:], kernel, stride, strict=True)]
    cut = []
    for corner in torch.cartesian_prod(*(torch.tensor(s) for s in starts)).view(-1, len(kernel)).tolist():
        spots = tuple(slice(c, c + k) for c, k in zip(corner, kernel, strict=True))
        cut.append(x[(slice(None), slice(None), *spots)].reshape(len(x), groups, -1))
    return torch.stack(cut).permute(2, 3, 0, 1).flatten(2)


def inputs(network: ImageClassifier, x: Tensor) -> dict[str, Tensor]:
    """X of some layers, each (groups, c, n), written out by hand."""
    module = network.module().double()
    if network.name == "sequences":
        rows = x.flatten(1, 2)
        return {
            "rows": patches(torch.cat([rows[..., -1:], rows, rows[..., :1]], 2), (3,), (2,), 4),
            "film": patches(F.pad(x.unsqueeze(1), (1, 1, 1, 1)), (2, 3, 3), (1, 1, 1)),
        }
    if network.name == "functional":
        X = patches(x, (3, 3), (2, 2))
        maps = (weight(module, "kernel").flatten(1) @ X[0]).relu().unflatten(1, (-1, len(x)))
        return {"kernel": X, "fc": maps.mean(1).unsqueeze(0)}
    if network.name == "siblings":
        return {"one": torch.cat([patches(x, (3, 3), (1, 1)), patches(F.pad(-x, (1, 1, 1, 1)), (3, 3), (2, 2))], 2)}
    tokens = module.get_submodule("patches")(x).flatten(2).transpose(1, 2)
    queries = F.pad(module.get_parameter("queries"), (0, 0, 0, tokens.shape[1] - 5)).expand(len(x), -1, -1)
    packed = torch.stack([part.reshape(-1, 8).T for part in (queries, tokens, tokens)])
    return {"patches": patches(x, (4, 4), (4, 4)), "attention.in_proj_weight": packed}


@pytest.mark.parametrize("name", NETS)
def test_gram_matrices_are_of_what_the_weights_multiply(name: str, picture: Sample) -> None:
    network = classifier(name)
    assert network.prunable() == NETS[name][1]
    calibration = finish(calibrate(network, picture, network.prunable(), augmentations=5, batch=2))
    assert set(calibration.layers) == set(network.prunable())
    for layer, X in inputs(network, images(network, picture, 5)).items():
        assert calibration.columns[layer] == X.shape[2]
        expected = 2 / X.shape[2] * X @ X.mT
        torch.testing.assert_close(calibration.gram(layer).double(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NETS)
def test_traces_of_them(name: str, picture: Sample) -> None:
    network = classifier(name)
    x = network.prepare(picture)
    trace = sw.trace(network, picture, sparsity=0.6, layers="*", augmentations=4)
    module = trace.module()
    for row in trace.stats():
        pruned = weight(module, row.name)
        assert torch.equal(pruned, trace.weights()[row.name])
        assert int((pruned == 0).sum()) == row.total - row.kept
        assert row.sparsity == pytest.approx(0.6, abs=0.5 if row.name == "fc" else 1 / row.total)
    with torch.no_grad():
        assert not torch.equal(module(x), network.module()(x))
        # Were a weight replaced in one place and used in another, these would differ.
        by_hand = copy.deepcopy(network.module())
        for layer, tensor in trace.weights().items():
            weight(by_hand, layer).data = tensor.clone()
        assert torch.equal(module(x), by_hand(x))
        same = sw.trace(network, picture, sparsity=0, layers="*", augmentations=1)
        assert torch.equal(same.module()(x), network.module()(x))


@pytest.mark.parametrize("name", NETS)
def test_the_users_model_is_never_touched(name: str, picture: Sample) -> None:
    torch.manual_seed(2)
    model = NETS[name][0]().train()
    before = [(id(p), p._version, p.requires_grad, p.detach().clone()) for p in model.parameters()]
    sw.trace(ImageClassifier(model, preprocess=preprocess), picture, layers="*", augmentations=2)
    for parameter, (identity, version, requires_grad, values) in zip(model.parameters(), before, strict=True):
        assert (id(parameter), parameter._version, parameter.requires_grad) == (identity, version, requires_grad)
        assert torch.equal(parameter, values)
    assert model.training
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in model.modules())


def test_two_threads_trace_at_once(picture: Sample) -> None:
    """Each finds what it finds alone: neither sees the other's passes."""
    network = classifier("cross")
    alone = [sw.trace(network, picture, layers="*", augmentations=8, seed=seed).digest for seed in (0, 1)]
    together: dict[int, str] = {}

    def run(seed: int) -> None:
        together[seed] = sw.trace(network, picture, layers="*", augmentations=8, seed=seed).digest

    threads = [threading.Thread(target=run, args=(seed,)) for seed in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert alone[0] != alone[1]
    assert [together[0], together[1]] == alone
