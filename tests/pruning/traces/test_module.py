"""A trace is a value, and its module an ordinary one that never gets in the dense model's way."""

from __future__ import annotations

import copy
import io
import pickle
import threading
import warnings
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torchvision
from pruning import nets
from pruning.traces.test_trace import preprocess
from torch import Tensor, nn

import spade_widgets as sw
from spade_widgets.demo import emoji
from spade_widgets.pruning.traces.trace import Trace


def resnet18() -> sw.ImageClassifier:
    torch.manual_seed(3)
    return sw.ImageClassifier(torchvision.models.resnet18(weights=None, num_classes=7).eval(), preprocess=preprocess)


def tied() -> sw.ImageClassifier:
    torch.manual_seed(3)
    return sw.ImageClassifier(nets.Tied().eval(), preprocess=preprocess)


CLASSIFIERS: dict[str, Callable[[], sw.ImageClassifier]] = {
    "resnet18": resnet18,
    "built-in": emoji.classifier,
    "tied": tied,
}


@pytest.fixture(scope="module", params=CLASSIFIERS)
def trace(request: pytest.FixtureRequest) -> Trace:
    classifier = CLASSIFIERS[request.param]()
    pixels = np.random.default_rng(0).integers(0, 256, (40, 56, 3), dtype=np.uint8)
    layers = classifier.prunable()[-3:]
    sample = sw.Sample.read(pixels, title="noise")
    return sw.trace(classifier, sample, layers=layers, sparsity=0.7, solver="fast", augmentations=2)


def run(network: sw.ImageClassifier | Trace | nn.Module, trace: Trace) -> Tensor:
    module = network if isinstance(network, nn.Module) else network.module()
    with torch.no_grad():
        out: Tensor = module(trace.dense.prepare(trace.sample))
    return out


def pickled(value: object) -> bytes:
    return pickle.dumps(value)


def unpickled(data: bytes) -> object:
    return pickle.loads(data)  # noqa: S301  # written a line above


# The module


def test_it_is_of_the_dense_models_class(trace: Trace) -> None:
    module = trace.module()
    assert type(module) is type(trace.dense._model)
    assert [(n, type(m)) for n, m in module.named_modules()] == [
        (n, type(m)) for n, m in trace.dense._model.named_modules()
    ]
    assert not any(part.training for part in module.modules())
    assert not any(parameter.requires_grad for parameter in module.parameters())
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in module.modules())


def test_it_shares_what_it_does_not_change(trace: Trace) -> None:
    def storages(module: nn.Module) -> dict[str, int]:
        return {name: t.untyped_storage().data_ptr() for name, t in module.named_parameters()}

    module, again = trace.module(), trace.module()
    mine, theirs = storages(module), storages(trace.dense._model)
    own = {t.untyped_storage().data_ptr() for t in trace.weights().values()}
    changed = {name for name in mine if mine[name] != theirs[name]}
    assert changed >= {f"{name}.weight" for name in trace.weights()}
    assert {mine[name] for name in changed} == own
    assert not own & set(theirs.values())
    assert storages(again) == mine  # a second one costs no memory either
    for (name, ours), dense in zip(module.named_buffers(), trace.dense._model.buffers(), strict=True):
        assert ours.data_ptr() != dense.data_ptr() or not ours.numel(), name  # a forward pass may write into them
        assert torch.equal(ours, dense)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda module: unpickled(pickled(module))], ids=["copy", "pickle"])
def test_it_can_be_copied_and_pickled(trace: Trace, copied: Callable[[nn.Module], nn.Module]) -> None:
    module = trace.module()
    twin = copied(module)
    assert torch.equal(run(twin, trace), run(module, trace))
    mine = {t.untyped_storage().data_ptr() for t in module.state_dict().values() if t.numel()}
    assert not mine & {t.untyped_storage().data_ptr() for t in twin.state_dict().values() if t.numel()}
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.zero_()
    assert not torch.equal(run(twin, trace), run(trace, trace))


def test_it_can_be_saved_by_torch(trace: Trace) -> None:
    buffer = io.BytesIO()
    torch.save(trace.module().state_dict(), buffer)
    buffer.seek(0)
    state = torch.load(buffer, weights_only=True)
    model = copy.deepcopy(trace.dense._model)
    model.load_state_dict(state, strict=True)
    assert torch.equal(run(model.eval(), trace), run(trace, trace))


def test_it_can_be_exported(trace: Trace) -> None:
    x = trace.dense.prepare(trace.sample)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what torch's own exporter finds outdated in itself
        program = torch.export.export(trace.module(), (x,))
        out = program.module()(x)
    torch.testing.assert_close(out, run(trace, trace), rtol=1e-5, atol=1e-5)
    exported = program.state_dict
    for name, weight in trace.weights().items():
        assert torch.equal(exported[f"{name}.weight"], weight)


def test_it_runs_in_several_threads(trace: Trace) -> None:
    module, expected = trace.module(), run(trace, trace)
    outs: list[Tensor] = []

    def work() -> None:
        torch.set_num_threads(1)
        outs.extend(run(module, trace) for _ in range(3))

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(outs) == 6
    assert all(torch.equal(out, expected) for out in outs)


def test_the_dense_model_is_never_swapped_not_even_for_a_moment(tiny_model: nn.Module, tmp_path: object) -> None:
    """Another thread runs the user's own model all the while: every output is the same to the last bit."""
    torch.manual_seed(0)
    sizes = [nn.Linear(64, 64) for _ in range(4)]
    model = nn.Sequential(nn.AdaptiveAvgPool2d(8), nn.Conv2d(3, 1, 1), nn.Flatten(), *sizes, nn.Linear(64, 5)).eval()
    classifier = sw.ImageClassifier(model, preprocess=preprocess)
    x = torch.randn(1, 3, 20, 28)
    with torch.no_grad():
        expected = model(x)
    wrong, runs, over, began = [], 0, threading.Event(), threading.Event()

    def use() -> None:
        nonlocal runs
        torch.set_num_threads(1)
        with torch.no_grad():
            while not over.is_set():
                if not torch.equal(model(x), expected):
                    wrong.append(runs)
                runs += 1
                began.set()

    user = threading.Thread(target=use)
    user.start()
    try:
        assert began.wait(30)
        before = runs
        for seed in range(4):
            picture = sw.Sample.read(torch.rand(3, 20, 20, generator=torch.Generator().manual_seed(seed)))
            made = sw.trace(classifier, picture, layers="*", augmentations=8, seed=seed)
            made.module()(x)
            sw.predict(made, picture)
            made.save(f"{tmp_path}/t.safetensors")
            Trace.load(f"{tmp_path}/t.safetensors", classifier).module()
        during = runs - before
    finally:
        over.set()
        user.join(30)
    assert during > 20
    assert wrong == []


# The trace


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda trace: unpickled(pickled(trace))], ids=["copy", "pickle"])
def test_a_trace_can_be_copied_and_pickled(trace: Trace, copied: Callable[[Trace], Trace]) -> None:
    twin = copied(trace)
    assert twin.digest == trace.digest
    assert twin.dense.digest == trace.dense.digest
    assert (twin.stats(), twin.plan, twin.agreement, repr(twin)) == (
        trace.stats(), trace.plan, trace.agreement, repr(trace)
    )  # fmt: skip
    assert twin.sample.id == trace.sample.id
    assert torch.equal(run(twin, trace), run(trace, trace))
    assert twin.dense._model is not trace.dense._model
    name = trace.plan.layers[-1]
    assert twin.channels(name) == trace.channels(name)
    assert trace.diff(twin).overall.jaccard == 1
    twin.weights()[name].add_(1)  # the copy is one of its own, and watched like the first
    trace.module()
    with pytest.raises(sw.ModelError):
        twin.module()


@pytest.fixture
def own(tiny: sw.ImageClassifier) -> Trace:
    return sw.trace(tiny, np.zeros((9, 9, 3), np.uint8) + np.arange(9, dtype=np.uint8)[:, None], augmentations=2)


def test_a_trace_that_was_written_into_says_so(own: Trace, tmp_path: object) -> None:
    name, weight = next(iter(own.weights().items()))
    weight.clone().zero_()
    own.module()
    weight[0] = 0
    for use in (own.module, own.weights, lambda: own.save(f"{tmp_path}/t"), lambda: copy.deepcopy(own)):
        with pytest.raises(sw.ModelError, match="has written into this trace's weights"):
            use()
    assert own.stats()
    assert name


def test_training_a_traces_module_is_noticed(own: Trace) -> None:
    module = own.module()
    for parameter in module.parameters():
        parameter.requires_grad_(True)
    module(torch.randn(2, 3, 32, 32)).sum().backward()
    torch.optim.SGD([p for p in module.parameters() if p.grad is not None], lr=0.1).step()
    with pytest.raises(sw.ModelError):
        own.module()


def test_a_trace_of_weights_that_have_changed_says_so(own: Trace, tiny_model: nn.Module, tmp_path: object) -> None:
    state = copy.deepcopy(tiny_model.state_dict())
    with torch.no_grad():
        tiny_model[0].bias += 1  # type: ignore[index, operator, union-attr]
    for use in (own.module, lambda: own.save(f"{tmp_path}/t"), lambda: sw.predict(own, own.sample)):
        with pytest.raises(sw.ModelError, match="The weights of Sequential have changed since this trace was made"):
            use()
    assert own.weights()
    digest = own.digest
    tiny_model.load_state_dict(state)
    assert own.module() is not None
    assert own.digest == digest
