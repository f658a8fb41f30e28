"""The page on models keeps its word: each wrapper is run, each sentence is said."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from network.small import Then, network
from torch import Tensor, nn

import spade_widgets as sw

#: TorchScript is on its way out, and users have it still.
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")

PAGE = (Path(__file__).parents[1] / "docs" / "MODELS.md").read_text(encoding="utf-8")
WRAPPERS: dict[str, str] = dict(re.findall(r"### ([^\n]+)\n\n```python\n(.*?)```", PAGE, re.DOTALL))
PICTURE = sw.Sample.read(np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8))


def small(image: Any) -> Tensor:
    return torch.from_numpy(np.asarray(image.resize((32, 32)), dtype=np.float32) / 127.5 - 1).permute(2, 0, 1)


class ByKeyword(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = network()

    def forward(self, *, pixel_values: Tensor, temperature: float) -> Tensor:
        return self.body(pixel_values) / temperature


#: Title → the model that the wrapper is for, what is said of it bare, and its probabilities on an image.
MODELS: dict[str, tuple[Callable[[], nn.Module], str, Callable[[nn.Module, Tensor], Tensor]]] = {
    "One of several places": (
        lambda: nn.Sequential(network(), Then(lambda z: {"features": z * 2, "scores": z})),
        "wrap it in a module that gives output[",
        lambda model, x: model(x)["scores"].softmax(1),
    ),
    "One class of several sigmoids": (
        lambda: nn.Sequential(network(), nn.Sigmoid()),
        "ends in a sigmoid for each class by itself",
        lambda model, x: torch.cat([1 - model(x)[:, 2:3], model(x)[:, 2:3]], 1),
    ),
    "One channel": (
        lambda: network(channels=1),
        "put a module before it that gives x.mean(1, keepdim=True)",
        lambda model, x: model(x.mean(1, keepdim=True)).softmax(1),
    ),
    "Four channels": (
        lambda: network(channels=4),
        "let the preprocessing give the fourth",
        lambda model, x: model(torch.cat([x, torch.ones(1, 1, 32, 32)], 1)).softmax(1),
    ),
    "Other arguments": (
        ByKeyword,
        "cannot be run on an image",
        lambda model, x: model(pixel_values=x, temperature=1.0).softmax(1),
    ),
    "Integers": (
        lambda: nn.Sequential(network(), Then(lambda z: (z * 1000).round().long())),
        "instead of floating-point logits",
        lambda model, x: (model(x) / 1000).softmax(1),
    ),
}


def test_every_wrapper_has_its_model() -> None:
    assert list(WRAPPERS) == list(MODELS)
    for title in WRAPPERS:
        assert f"](#{title.lower().replace(' ', '-')})" in PAGE


@pytest.mark.parametrize("title", MODELS)
def test_a_wrapper_does_what_the_sentence_asks_for(title: str) -> None:
    make, said, answer = MODELS[title]
    model = make().eval()
    assert said.rstrip("[") in PAGE
    with pytest.raises(sw.ModelError) as raised:
        sw.ImageClassifier(model, preprocess=small)
    assert said in str(raised.value)

    namespace: dict[str, Any] = {"nn": nn, "torch": torch, "sw": sw, "model": model, "preprocess": small}
    exec(WRAPPERS[title], namespace)
    classifier: sw.ImageClassifier = namespace["classifier"]
    with torch.no_grad():
        expected = answer(model, classifier.prepare(PICTURE))[0].tolist()
    shown = {p.index: p.probability for p in sw.predict(classifier, PICTURE)}
    assert [shown[i] for i in range(len(expected))] == pytest.approx(expected, abs=1e-5)
    trace = sw.trace(classifier, PICTURE, sparsity=0.5, augmentations=4)
    assert 0 < trace.kept < trace.total
    assert np.abs(sw.saliency(classifier, PICTURE, 0, "occlusion", window=8, stride=8)).max() > 0


class Remembers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.first = network(), None

    def forward(self, x: Tensor) -> Tensor:
        self.first = x if self.first is None else self.first
        return self.body(x + self.first)


class Writes(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = network()

    def forward(self, x: Tensor) -> Tensor:
        self.body[6].weight.data.mul_(0.9)
        return self.body(x)


class Leaves(nn.Module):
    kept: Tensor | None = None

    def __init__(self) -> None:
        super().__init__()
        self.body = network()

    def forward(self, x: Tensor) -> Tensor:
        type(self).kept = x
        return self.body(x)


class Outer(nn.Module):
    inner = network()

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x)


class Holds(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.rows = network(), (i for i in range(3))

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


def broken() -> nn.Module:
    model = network()
    model[6].bias.data[0] = torch.nan
    return model


def meta() -> nn.Module:
    with torch.device("meta"):
        return nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())


REFUSED: dict[str, Callable[[], nn.Module]] = {
    "after it has seen another one": Remembers,
    "other logits at every call, by random numbers": lambda: nn.Sequential(
        network(), Then(lambda z: nn.functional.dropout(z, 0.5, training=True))
    ),
    "writes into its weights": Writes,
    "leaves tensors in": Leaves,
    "that is no part of it": Outer,
    "a module of TorchScript": lambda: torch.jit.script(network()),
    "have no shape yet": lambda: nn.Sequential(nn.LazyConv2d(4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
    "have no values": meta,
    "cannot be copied, because of": Holds,
    "gives NaN or infinite logits": broken,
}


@pytest.mark.parametrize("said", REFUSED)
def test_what_the_page_says_is_refused_is(said: str) -> None:
    assert f"`{said}`" in PAGE
    with pytest.raises(sw.ModelError) as raised:
        sw.ImageClassifier(REFUSED[said](), preprocess=small)
    assert said in str(raised.value)
