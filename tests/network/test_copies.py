"""A copy answers as the model does, and nothing that runs on it reaches the model: over made networks."""

from __future__ import annotations

import functools
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune, spectral_norm, weight_norm

import spade_widgets as sw
from spade_widgets.network.copies import shared_copy

#: Old ways to normalise and to compile, which users have still.
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")

PICTURE = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
SEEN: list[Any] = []
COUNT = 0


def small(image: Any) -> Tensor:
    return torch.from_numpy(np.asarray(image.resize((16, 16)), dtype=np.float32) / 127.5 - 1).permute(2, 0, 1)


class Net(nn.Module):
    """Two layers, whose features are found where `self.features` says."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.fc, self.kept = nn.Conv2d(3, 8, 3), nn.Linear(8, 3), {}

    def forward(self, x: Tensor) -> Tensor:
        features = self.conv(x)
        return self.fc(self.kept.get("c", features).relu().mean((2, 3)))


def hooked(model: Net) -> None:
    model.conv.register_forward_hook(lambda _m, _i, out: model.kept.update(c=out * 2))


def hooked_global(model: Net) -> None:
    def keep(_m: nn.Module, _i: Any, out: Tensor) -> None:
        global COUNT  # noqa: PLW0603 - what users' hooks do
        COUNT += 1
        SEEN.append(out)
        model.kept["c"] = out

    model.conv.register_forward_hook(keep)


def hooked_partial(model: Net) -> None:
    def keep(kept: dict[str, Tensor], _m: nn.Module, _i: Any, out: Tensor) -> None:
        kept["c"] = out - 1

    model.conv.register_forward_hook(functools.partial(keep, model.kept))


def hooked_method(model: Net) -> None:
    def keep(self: Net, _m: nn.Module, _i: Any, out: Tensor) -> Tensor:
        self.kept["c"] = model.conv.weight.sum() * out
        return out

    model.conv.register_forward_hook(types.MethodType(keep, model))


def patched(model: Net) -> None:
    plain = model.forward
    model.forward = lambda x: plain(x) + model.fc.bias  # type: ignore[method-assign]


def patched_bound(model: Net) -> None:
    plain = model.conv.forward
    model.conv.forward = types.MethodType(lambda self, x: plain(x) * self.weight.mean(), model.conv)  # type: ignore[assignment]


def counted(model: Net) -> None:
    model.register_buffer("seen", torch.zeros(()))
    model.register_forward_pre_hook(lambda m, x: m.seen.add_(len(x[0])) and None)


def trained(model: Net) -> None:
    model.conv = nn.Sequential(model.conv, nn.BatchNorm2d(8))  # type: ignore[assignment]
    model.conv.register_forward_pre_hook(lambda m, _x: m[1].train() and None)


def left(model: Net) -> None:
    model.conv.register_forward_hook(lambda m, _i, out: setattr(m, "last", out))
    model(torch.rand(1, 3, 16, 16))


WAYS: list[Callable[[Net], Any]] = [
    hooked, hooked_global, hooked_partial, hooked_method, patched, patched_bound, counted, trained, left,
    lambda model: prune.l1_unstructured(model.conv, "weight", 0.5), lambda model: spectral_norm(model.conv).eval(),
    lambda model: weight_norm(model.conv), lambda model: parametrizations.weight_norm(model.conv),
    lambda model: parametrizations.spectral_norm(model.conv),
]  # fmt: skip


def state(model: nn.Module) -> dict[str, Tensor]:
    return {key: value.clone() for key, value in model.state_dict().items()}


@pytest.mark.parametrize("way", WAYS)
def test_a_copy_answers_as_the_model_does_and_leaves_it_alone(way: Callable[[Net], Any]) -> None:
    model = Net().eval()
    way(model)
    before, kept, seen, count = state(model), dict(model.kept), len(SEEN), COUNT
    copy, images = shared_copy(model), torch.rand(3, 1, 3, 16, 16)
    with torch.no_grad():
        found = [copy(image) for image in images]
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert model.kept == kept
    assert (len(SEEN), COUNT) == (seen, count)
    with torch.no_grad():
        assert all(torch.allclose(model(image), out, atol=1e-6) for image, out in zip(images, found, strict=True))


@pytest.mark.parametrize("way", WAYS)
def test_a_trace_works_again_and_again(way: Callable[[Net], Any]) -> None:
    model = Net().eval()
    way(model)
    before = state(model)
    classifier = sw.ImageClassifier(model, preprocess=small)
    trace = sw.trace(classifier, PICTURE, sparsity=0.5, layers=["fc"], augmentations=4)
    assert sw.predict(trace, PICTURE) == sw.predict(trace, PICTURE)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_what_two_hooks_share_their_copies_share() -> None:
    model, box = Net().eval(), []
    model.conv.register_forward_hook(lambda _m, _i, out: box.append(out.mean()))
    model.fc.register_forward_hook(lambda _m, _i, out: out + box[-1])
    image = torch.rand(1, 3, 16, 16)
    found = shared_copy(model)(image)
    assert not box
    assert torch.equal(found, model(image))


class Writes(Net):
    def forward(self, x: Tensor) -> Tensor:
        self.fc.weight.data.mul_(0.9)
        return super().forward(x)


class Remembers(Net):
    def forward(self, x: Tensor) -> Tensor:
        self.kept.setdefault("c", self.conv(x))
        return super().forward(x)


class Held(Net):
    def __init__(self) -> None:
        super().__init__()
        self.rows = (i for i in range(3))


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (Writes, "writes into its weights 'fc.weight'"),
        (Remembers, "after it has seen another"),
        (Held, "attribute 'rows'"),
    ],
)
def test_what_cannot_be_copied_is_refused_and_left_as_it_was(kind: type[Net], said: str) -> None:
    model = kind().eval()
    before = state(model)
    with pytest.raises(sw.ModelError, match=said):
        sw.ImageClassifier(model, preprocess=small)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_torchscript_is_refused_and_what_was_compiled_is_unwrapped() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 14 * 14, 3)).eval()
    with pytest.raises(sw.ModelError, match="TorchScript"):
        sw.ImageClassifier(torch.jit.script(model), preprocess=small)
    compiled = sw.ImageClassifier(torch.compile(model, backend="eager"), preprocess=small)  # type: ignore[arg-type]
    assert compiled.prunable() == ("0", "2")
    assert compiled.digest == sw.ImageClassifier(model, preprocess=small).digest


def test_a_model_made_in_inference_mode_has_gradients() -> None:
    with torch.inference_mode():
        model = Net().eval()
    classifier = sw.ImageClassifier(model, preprocess=small)
    assert np.isfinite(sw.saliency(classifier, PICTURE, 0)).all()
