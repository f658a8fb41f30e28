"""What always holds: the dense model and the caller's state stay as they are, and nothing goes over the network.

Invariants 1 and 5 of the design; 3 is tested with the traces, 2 with the visualizations, 4 with the panels, 6 with
bad input.
"""

from __future__ import annotations

import random
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import spade_widgets as sw


@pytest.fixture
def picture() -> sw.Sample:
    return sw.Sample.read(np.random.default_rng(0).integers(0, 256, (60, 50, 3), dtype=np.uint8), title="noise")


def photograph(model: nn.Module) -> list[Any]:
    """All that could be changed of a model: objects, bytes, flags, hooks, attributes."""
    state: list[Any] = []
    for name, part in model.named_modules():
        hooks = {key: list(value.items()) for key, value in vars(part).items() if "hooks" in key and value}
        state.append((name, id(part), type(part), part.training, hooks, sorted(vars(part))))
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        raw = tensor.detach().contiguous().view(-1).view(torch.uint8).tolist()
        flags = tensor.requires_grad, tensor.grad is None, tensor._version, tensor.data_ptr(), tensor.stride()
        state.append((name, id(tensor), tensor.dtype, flags, raw))
    return state


def surroundings() -> list[Any]:
    """What a call could leave behind in the caller's process."""
    numpy_state = np.random.get_state()  # noqa: NPY002
    return [
        torch.get_rng_state().tolist(), random.getstate(), numpy_state[1].tolist(), numpy_state[2],
        torch.is_grad_enabled(), torch.is_inference_mode_enabled(), torch.get_default_dtype(), torch.get_num_threads(),
        torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark, list(warnings.filters),
    ]  # fmt: skip


@contextmanager
def untouched(model: nn.Module) -> Iterator[None]:
    before, around = photograph(model), surroundings()
    yield
    assert photograph(model) == before
    assert surroundings() == around


CALLS: dict[str, Callable[[sw.ImageClassifier, sw.Sample], object]] = {
    "trace": lambda c, s: sw.trace(c, s, layers="*", augmentations=3),
    "trace at 0": lambda c, s: sw.trace(c, s, sparsity=0, augmentations=2),
    "sweep": lambda c, s: sw.sweep(c, s, [0.2, 0.9], augmentations=2),
    "trace_many": lambda c, s: sw.trace_many(c, [s, s.image.rotate(90)], augmentations=2),
    "predict": sw.predict,
    "predict a trace": lambda c, s: sw.predict(sw.trace(c, s, augmentations=2), s),
    "visualize": lambda c, _: sw.visualize(c, "3:2", steps=2),
    "visualize a trace": lambda c, s: sw.visualize(sw.trace(c, s, augmentations=2), "logit:dog", steps=2),
    "layers": lambda c, s: (c.layers(), c.prunable(), c.digest, c.view(s), repr(c)),
    "a bad layer": lambda c, s: _refused(lambda: sw.trace(c, s, layers="nope")),
    "a bad neuron": lambda c, _: _refused(lambda: sw.visualize(c, "3:99")),
}


def _refused(call: Callable[[], object]) -> None:
    with pytest.raises(sw.InputError):
        call()


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
def test_the_dense_model_and_the_callers_state_stay(
    tiny: sw.ImageClassifier, tiny_model: nn.Module, picture: sw.Sample, call: Any, training: bool
) -> None:
    tiny_model.train(training)
    tiny_model[1].eval()  # type: ignore[index, union-attr, operator]
    tiny_model[0].weight.requires_grad_(False)  # type: ignore[index, union-attr, operator]
    tiny_model[3].weight.grad = torch.ones_like(tiny_model[3].weight)  # type: ignore[index, union-attr, arg-type]
    heard: list[int] = []
    tiny_model[3].register_forward_hook(lambda *_: heard.append(1))  # type: ignore[index, union-attr, operator]
    tiny_model[0].register_forward_pre_hook(lambda *_: None)  # type: ignore[index, union-attr, operator]
    call(tiny, picture)  # whatever is imported and set up on first use
    with untouched(tiny_model):
        call(tiny, picture)


def test_making_a_classifier_changes_nothing(tiny_model: nn.Module) -> None:
    tiny_model.train()
    with untouched(tiny_model):
        sw.ImageClassifier(tiny_model)


def test_the_dense_model_still_learns(tiny: sw.ImageClassifier, tiny_model: nn.Module, picture: sw.Sample) -> None:
    """Sharing storage, freezing copies and inference mode must leave the user's own training as it was."""
    trace = sw.trace(tiny, picture, sparsity=0.5, layers="*", augmentations=2)
    sw.visualize(trace, "0:1", steps=1)
    tiny_model.train()
    x = torch.randn(4, 3, 32, 32)
    tiny_model(x).logsumexp(1).sum().backward()
    assert all(p.grad is not None for p in tiny_model.parameters())
    kept = trace.weights()["7"].clone()
    torch.optim.SGD(tiny_model.parameters(), lr=0.1).step()
    assert torch.equal(trace.weights()["7"], kept)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_the_callers_gradient_mode_changes_nothing(
    tiny: sw.ImageClassifier, picture: sw.Sample, mode: Callable[[], Any]
) -> None:
    expected = sw.trace(tiny, picture, layers="*", augmentations=2)
    with mode():
        found = sw.trace(tiny, picture, layers="*", augmentations=2)
    assert found.digest == expected.digest
    x = tiny.prepare(picture).requires_grad_()
    found.module()(x)[0, 0].backward()  # a saliency map of it can be made
    assert x.grad is not None


def test_random_numbers_of_the_caller_do_not_matter(tiny: sw.ImageClassifier, picture: sw.Sample) -> None:
    def digest(seed: int) -> str:
        torch.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        return sw.trace(tiny, picture, layers="*", augmentations=2).digest

    assert digest(1) == digest(2)


def test_another_default_type_changes_nothing(tiny_model: nn.Module, picture: sw.Sample) -> None:
    expected = sw.trace(sw.ImageClassifier(tiny_model), picture, augmentations=2)
    torch.set_default_dtype(torch.float64)
    try:
        found = sw.trace(sw.ImageClassifier(tiny_model), picture, augmentations=2)
    finally:
        torch.set_default_dtype(torch.float32)
    assert found.stats() == expected.stats()
    assert found.weights()["7"].dtype == torch.float32


OFFLINE = """
import socket
def refuse(*args, **options):
    raise AssertionError("the network was used")
socket.socket.connect = socket.socket.connect_ex = socket.create_connection = socket.getaddrinfo = refuse
"""

WORK = """
import torch
torch.set_num_threads(1)
from torch import nn
import spade_widgets as sw
model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
classifier = sw.ImageClassifier(model)
trace = sw.trace(classifier, torch.rand(3, 20, 20), augmentations=2)
sw.predict(trace, trace.sample)
"""


def run(script: str) -> str:
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_is_light_and_nothing_uses_the_network() -> None:
    """Neither the engine nor the package may load what only a picture, a saliency map or a panel needs."""
    script = f"""
{OFFLINE}
import sys
def loaded(*names):
    print(*sorted(set(names) & set(sys.modules)))
import spade_widgets
loaded("torch", "torchvision", "numpy", "PIL")
{WORK}
from spade_widgets.attribution import METHODS
from spade_widgets.visualization import Renderer
sw.saliency
loaded("lucent", "kornia", "captum", "zennit", "plotly", "ipywidgets", "anywidget", "matplotlib")
sw.visualize(classifier, "logit:1", steps=1)
sw.visualize(trace, "0:1", steps=1)
loaded("lucent", "kornia")  # a rendering needs none of Lucent's transforms, and so no kornia
"""
    assert run(script).splitlines() == ["", "", "lucent"]


def test_every_public_name_is_there() -> None:
    for name in sw.__all__:
        assert getattr(sw, name) is not None
        assert name in dir(sw)
    with pytest.raises(AttributeError, match="no attribute 'nope'"):
        _ = sw.nope  # type: ignore[attr-defined]


def test_errors_are_values_errors_too() -> None:
    for kind in (sw.InputError, sw.ModelError):
        assert issubclass(kind, sw.SpadeError)
        assert issubclass(kind, ValueError)
