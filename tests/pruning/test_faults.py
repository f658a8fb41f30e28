"""What goes wrong: hopeless layers, broken numbers, no memory, Ctrl-C, with every solver. The dense model stays."""

from __future__ import annotations

import gc
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pruning.traces.test_trace import preprocess
from test_invariants import untouched
from torch import Tensor, nn

import spade_widgets as sw
from spade_widgets.pruning import pruner
from spade_widgets.pruning.calibration import forms
from spade_widgets.pruning.pruner import row_floor
from spade_widgets.pruning.solvers import SOLVERS, Prepared, SolverSteps, solver, zeros
from spade_widgets.pruning.solvers import relative_error as error_of

#: Solvers whose weights are the best ones on their support, so that no layer can come out worse than without any.
#: (FastSPADE's sweep settles for less, and on tiny layers with a singular H it may well do worse than zeros.)
LEAST_SQUARES = {"exact", "refined"}

every_solver = pytest.mark.parametrize("method", SOLVERS)


class Net(nn.Module):
    """A class of its own, so that its copies can be counted."""

    def __init__(self, width: int = 6) -> None:
        super().__init__()
        self.stem, self.conv = nn.Conv2d(3, width, 3), nn.Conv2d(width, 8, 3, padding=1)
        self.mix, self.fc = nn.Linear(8, 9), nn.Linear(9, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(self.stem(x).relu()).relu().mean((2, 3))
        return self.fc(self.mix(x).relu())


@pytest.fixture
def net() -> Net:
    torch.manual_seed(2)
    return Net().eval()


@pytest.fixture
def picture() -> sw.Sample:
    return sw.Sample.read(np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8), title="noise")


def checked(model: nn.Module, sample: Any, method: str, sparsity: float = 0.6, augmentations: int = 3) -> sw.Trace:
    """A trace of every layer: the zeros asked for, finite weights, statistics in range; the model as before."""
    classifier = sw.ImageClassifier(model, preprocess=preprocess)
    classifier.prunable()
    with untouched(model):
        trace = sw.trace(
            classifier, sample, layers="*", sparsity=sparsity, solver=method, augmentations=augmentations, seed=1
        )
    *_, head = classifier.prunable()
    for row in trace.stats():
        weight, dense = trace.weights()[row.name], model.get_parameter(f"{row.name}.weight")
        floor = row_floor(dense[0].numel(), sparsity) if row.name == head else 0
        asked = zeros(dense.numel(), sparsity, keep=max(1, floor * len(dense)))
        were = int((dense == 0).sum())  # a weight that is zero anyway may be one of those kept
        assert asked <= int((weight == 0).sum()) <= asked + were
        assert bool(weight.isfinite().all())
        assert 0 <= row.error <= (1 + 1e-3 if method in LEAST_SQUARES else torch.inf)
        assert np.isfinite(row.error)
        assert all(np.isfinite([c.error, c.energy]).all() for c in trace.channels(row.name))
    return trace


# Layers and pictures that leave a solver nothing to go by


@every_solver
def test_layers_that_are_given_nothing_but_zeros(net: Net, picture: sw.Sample, method: str) -> None:
    with torch.no_grad():
        net.stem.bias.fill_(-1e3)
    trace = checked(net, picture, method)
    assert [row.error for row in trace.stats() if row.name == "conv"] == [0]


@every_solver
def test_inputs_that_are_partly_dead(net: Net, picture: sw.Sample, method: str) -> None:
    with torch.no_grad():
        net.stem.bias[:4] = -1e3
    trace = checked(net, picture, method, sparsity=0.7)
    assert bool((trace.weights()["conv"][:, :4] == 0).all())
    assert [row.dead_inputs for row in trace.stats() if row.name == "conv"] == [4]


@every_solver
@pytest.mark.parametrize("level", [0, 128, 255])
def test_pictures_of_one_colour(net: Net, method: str, level: int) -> None:
    checked(net, np.full((20, 20, 3), level, np.uint8), method)


@every_solver
@pytest.mark.parametrize("sparsity", [0.3, 0.9])
def test_one_augmentation(net: Net, picture: sw.Sample, method: str, sparsity: float) -> None:
    """The head's H has rank one: all the weights of a row but one are as good as any others."""
    checked(net, picture, method, sparsity, augmentations=1)


@every_solver
def test_rows_of_zeros(net: Net, picture: sw.Sample, method: str) -> None:
    with torch.no_grad():
        net.conv.weight[2:5] = 0
        net.mix.weight.zero_()
        net.fc.weight[1] = 0
    trace = checked(net, picture, method, sparsity=0.5)
    assert bool((trace.weights()["conv"][2:5] == 0).all())
    assert not trace.weights()["mix"].any()


@every_solver
@pytest.mark.parametrize("sparsity", [0.0, 0.5, 0.999])
def test_layers_of_a_single_channel(picture: sw.Sample, method: str, sparsity: float) -> None:
    torch.manual_seed(2)
    model = nn.Sequential(
        nn.Conv2d(3, 1, 1), nn.Conv2d(1, 1, 3), nn.Conv2d(1, 2, 1), nn.Conv2d(2, 2, 3, groups=2),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 1), nn.Linear(1, 2),
    ).eval()  # fmt: skip
    trace = checked(model, picture, method, sparsity)
    assert trace.kept >= len(trace.stats())


@every_solver
def test_no_layer_and_no_logit_loses_everything(net: Net, picture: sw.Sample, method: str) -> None:
    trace = checked(net, picture, method, sparsity=0.99999)
    assert [row.kept for row in trace.stats()] == [1, 1, 1, 5]
    assert trace.stats()[-1].dead_outputs == 0


@every_solver
def test_weights_of_all_sizes(net: Net, picture: sw.Sample, method: str) -> None:
    with torch.no_grad():
        net.stem.weight *= 1e-6
        net.stem.bias *= 1e-6
        net.conv.weight *= 1e5
    checked(net, picture, method)


@every_solver
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_any_layer_however_singular(method: str, data: st.DataObject) -> None:
    """Exact counts, finite numbers, the same again, and the dense weights at 0, on H of any rank."""
    rows, c = data.draw(st.integers(1, 9), "rows"), data.draw(st.integers(1, 24), "columns")
    groups, rank = data.draw(st.integers(1, 3), "groups"), data.draw(st.integers(0, 30), "rank")
    sparsity, seed = data.draw(st.floats(0, 0.9999), "sparsity"), data.draw(st.integers(0, 99), "seed")
    rng = torch.Generator().manual_seed(seed)
    X = torch.randn(groups, c, rank, generator=rng) * torch.rand(groups, c, 1, generator=rng).round()
    H, W = X @ X.transpose(1, 2) * (2 / max(rank, 1)), torch.randn(groups * rows, c, generator=rng)
    kept = W.clone(), H.clone()
    found, half, dense = solver(method).prepare(H).sweep(W, [sparsity, sparsity / 2, 0.0])
    for pruned, share in ((found, sparsity), (half, sparsity / 2)):
        assert int((pruned == 0).sum()) == zeros(W.numel(), share)
        assert bool(pruned.isfinite().all())
        assert method not in LEAST_SQUARES or error_of(W, pruned, H) <= 1 + 1e-3
    assert torch.equal(dense, W)
    assert torch.equal(solver(method).prepare(H).sweep(W, [sparsity, sparsity / 2, 0.0])[0], found)
    assert torch.equal(W, kept[0])
    assert torch.equal(H, kept[1])


# Broken numbers


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("layer", ["stem", "conv", "mix", "fc"])
def test_weights_that_are_no_numbers_are_refused(net: Net, layer: str, value: float) -> None:
    with torch.no_grad():
        net.get_parameter(f"{layer}.weight")[0] = value
    with pytest.raises(sw.ModelError, match=f"weights '{layer}.weight' hold NaN or infinite values"):
        sw.ImageClassifier(net, preprocess=preprocess)


@every_solver
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("layer", ["stem", "conv", "mix", "fc"])
def test_weights_that_went_wrong_later_are_refused(
    net: Net, picture: sw.Sample, method: str, layer: str, value: float
) -> None:
    classifier = sw.ImageClassifier(net, preprocess=preprocess)
    classifier.prunable()
    with torch.no_grad():
        net.get_parameter(f"{layer}.weight")[0] = value
    with untouched(net), pytest.raises(sw.ModelError, match=r"NaN or infinite"):
        sw.trace(classifier, picture, layers="*", solver=method, augmentations=2)


@every_solver
def test_activations_that_overflow_are_refused(picture: sw.Sample, method: str) -> None:
    class Explosive(Net):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x * (1 if float(x.std()) < 1e-3 else 1e38))  # fine on the flat grey it is tried on

    model = Explosive().eval()
    classifier = sw.ImageClassifier(model, preprocess=preprocess)
    with untouched(model), pytest.raises(sw.ModelError, match=r"NaN or infinite"):
        sw.trace(classifier, picture, layers="*", solver=method, augmentations=2)


# No memory, Ctrl-C


def alive() -> tuple[int, int]:
    """Copies of the network, and tensors of any kind, that somebody holds."""
    gc.collect()
    kinds = [type(thing) for thing in gc.get_objects()]
    return kinds.count(Net), sum(issubclass(kind, Tensor) for kind in kinds)


Fault = Callable[[BaseException], None]
FAULTS = [torch.OutOfMemoryError("out of memory"), KeyboardInterrupt()]
PLACES = [(place, "fast") for place in ("calibrating", "preparing", "applying")] + [("solving", m) for m in SOLVERS]


@pytest.fixture
def faulty(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Fault]]:
    """Places where a fault can be set off, each in the middle of the work: the third time that it is come by."""

    def third(error: BaseException) -> Callable[[], None]:
        calls = 0

        def come_by() -> None:
            nonlocal calls
            calls += 1
            if calls == 3:
                raise error

        return come_by

    def calibrating(error: BaseException) -> None:
        come_by, add = third(error), forms.LayerSum.add

        def broken(self: Any, *args: Any) -> None:
            come_by()
            add(self, *args)

        monkeypatch.setattr(forms.LayerSum, "add", broken)

    def preparing(error: BaseException) -> None:
        come_by = third(error)

        def broken(name: str, **options: Any) -> Any:
            come_by()
            return solver(name, **options)

        monkeypatch.setattr(pruner, "solver", broken)

    def solving(error: BaseException) -> None:
        come_by = third(error)

        class Broken(Prepared):
            def __init__(self, prepared: Prepared) -> None:
                self.prepared = prepared

            def steps(self, *args: Any, **options: Any) -> SolverSteps:
                yield 0.0
                come_by()
                return (yield from self.prepared.steps(*args, **options))

        class Solver:
            def __init__(self, name: str, options: Any) -> None:
                self.own = solver(name, **options)

            def prepare(self, H: Tensor) -> Prepared:
                return Broken(self.own.prepare(H))

        monkeypatch.setattr(pruner, "solver", lambda name, **options: Solver(name, options))

    def applying(error: BaseException) -> None:
        come_by, copied = third(error), pruner.like

        def broken(*args: Tensor) -> Tensor:
            come_by()
            return copied(*args)

        monkeypatch.setattr(pruner, "like", broken)

    return {f.__name__: f for f in (calibrating, preparing, solving, applying)}  # type: ignore[return-value]


@pytest.mark.parametrize("error", FAULTS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize(("place", "method"), PLACES)
def test_a_fault_in_the_middle_leaves_nothing_behind(
    net: Net, picture: sw.Sample, method: str, place: str, error: BaseException, faulty: dict[str, Fault],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    classifier = sw.ImageClassifier(net, preprocess=preprocess)

    def trace() -> str:
        return sw.trace(classifier, picture, layers="*", solver=method, augmentations=3).digest

    expected, before = trace(), alive()
    faulty[place](error)
    with untouched(net), pytest.raises(type(error)) as caught:
        trace()
    assert caught.value is error
    error.__traceback__ = None  # it holds the frames that it came through
    del caught
    monkeypatch.undo()
    assert alive() == before
    assert before[0] == 1
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in net.modules())
    assert trace() == expected


@every_solver
@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no interval timers")
def test_ctrl_c_at_any_time_leaves_nothing_behind(net: Net, picture: sw.Sample, method: str) -> None:
    classifier = sw.ImageClassifier(net, preprocess=preprocess)

    def trace() -> str:
        return sw.trace(classifier, picture, layers="*", solver=method, augmentations=64).digest

    expected = trace()
    began = time.perf_counter()
    assert trace() == expected
    whole, interrupted = time.perf_counter() - began, 0
    before = alive()

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    # Python swallows what is raised while the collector calls back (hypothesis has it measured), and pytest reports it.
    gc.disable()
    handler = signal.signal(signal.SIGALRM, interrupt)
    try:
        for i in (1, 3, 5, 7):
            with untouched(net):
                try:
                    signal.setitimer(signal.ITIMER_REAL, whole * i / 9)
                    trace()
                except KeyboardInterrupt:
                    interrupted += 1
                finally:
                    signal.setitimer(signal.ITIMER_REAL, 0)
            assert not any(part._forward_hooks or part._forward_pre_hooks for part in net.modules())
    finally:
        signal.signal(signal.SIGALRM, handler)
        gc.enable()
    assert interrupted
    assert alive() == before
    assert trace() == expected
