"""The session: samples, plans, and results that are found again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torchvision import transforms

import spade_widgets as sw
from spade_widgets.classifier import ImageClassifier
from spade_widgets.errors import InputError, ModelError
from spade_widgets.pruning.plans.choose import resolve
from spade_widgets.pruning.progress import finish
from spade_widgets.pruning.pruner import Pruner
from spade_widgets.pruning.solvers.fast import Fast
from spade_widgets.runtime import tracing
from spade_widgets.runtime.session import Session
from spade_widgets.runtime.store import Store
from spade_widgets.runtime.tracing import Pruning
from spade_widgets.sample import Sample


def picture(seed: int, title: str = "sample") -> Sample:
    pixels = np.random.default_rng(seed).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    return Sample(Image.fromarray(pixels), title)


@pytest.fixture
def session(tiny: ImageClassifier) -> Session:
    return Session(tiny, [picture(0), picture(1)], augmentations=4, steps=4)


def test_the_same_sample_twice_is_one(tiny: ImageClassifier) -> None:
    session = Session(tiny, [picture(0), picture(1), picture(0)], augmentations=1, steps=1)
    first, second = session.samples
    assert first.id != second.id
    assert session.add(picture(1)) is second
    assert session.samples == (first, second)
    other = session.add(picture(1, "another title"))
    assert session.samples == (first, second, other)


def test_samples_are_found_by_id(session: Session) -> None:
    for sample in session.samples:
        assert session.sample(sample.id) is sample
    with pytest.raises(InputError, match="no sample with the id 'nonsense'"):
        session.sample("nonsense")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"augmentations": 0}, "augmentations"),
        ({"augmentations": 2.5}, "augmentations"),
        ({"steps": 0}, "steps"),
        ({"steps": "many"}, "steps"),
        ({"seed": -1}, "seed"),
        ({"seed": "x"}, "seed"),
    ],
)
def test_numbers_that_cannot_be_are_said(tiny: ImageClassifier, options: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        Session(tiny, [picture(0)], **options)


def test_no_sample(tiny: ImageClassifier) -> None:
    with pytest.raises(InputError, match="no sample"):
        Session(tiny, [])


def test_presets_are_those_that_fit_and_the_pattern_last(session: Session) -> None:
    assert [p.key for p in session.presets()] == ["third", "late", "all", "pattern", "plan"]
    resnet = ImageClassifier.from_torchvision("resnet50", None)
    keys = [p.key for p in Session(resnet, [picture(0)]).presets()]
    assert keys == ["third", "late", "all", "paper-visualization", "paper-saliency", "pattern", "plan"]


def test_plans_are_what_the_settings_mean(session: Session) -> None:
    assert session.plan(Pruning(0.5, "all")).sparsities == {"3": 0.5, "7": 0.5}
    assert session.plan(Pruning(0.5, "late")).sparsities == {"0": 0.5, "3": 0.5, "7": 0.5}
    assert session.plan(Pruning(0.5, "pattern", "7")).sparsities == {"7": 0.5}
    assert session.plan(Pruning(0.5, "pattern", "0, 7")).sparsities == {"0": 0.5, "7": 0.5}
    # A pattern means nothing to a preset.
    assert session.plan(Pruning(0.5, "all", "nonsense")).sparsities == {"3": 0.5, "7": 0.5}


@pytest.mark.parametrize(
    ("pruning", "said"),
    [
        (Pruning(solver="magic"), "no solver 'magic'.*'fast'"),
        (Pruning(preset="nonsense"), "no preset 'nonsense'.*'late', 'all', 'pattern'"),
        (Pruning(preset="paper-saliency"), "no preset 'paper-saliency'.*'late'"),
        (Pruning(preset="pattern", pattern="layer9.*"), "'layer9.*'"),
        (Pruning(preset="pattern"), "matches ''"),
        (Pruning(sparsity=1.0), "0 ≤ sparsity < 1"),
        (Pruning(sparsity=float("nan")), "0 ≤ sparsity < 1"),
    ],
)
def test_settings_without_a_plan(session: Session, pruning: Pruning, said: str) -> None:
    with pytest.raises(InputError, match=said):
        session.check(pruning)
    with pytest.raises(InputError, match=said):
        session.plan(pruning)
    with pytest.raises(InputError, match=said):
        finish(session.trace(session.samples[0], pruning))


def test_a_trace_is_that_of_the_plain_call(session: Session) -> None:
    sample = session.samples[0]
    pruning = Pruning(0.6, "pattern", "3, 7")
    assert session.known_trace(sample, pruning) is None
    trace = finish(session.trace(sample, pruning))
    plain = sw.trace(session.classifier, sample, sparsity=0.6, layers="3, 7", augmentations=4)
    assert trace.weights().keys() == {"3", "7"}
    for name, weight in plain.weights().items():
        assert torch.equal(trace.weights()[name], weight)
    assert session.known_trace(sample, pruning) is trace
    assert session.known_trace(session.samples[1], pruning) is None
    assert finish(session.trace(sample, pruning)) is trace


def test_one_calibration_serves_all_sparsities(session: Session, calls: dict[str, int]) -> None:
    sample = session.samples[0]
    for sparsity in (0.5, 0.7, 0.9, 0.7):
        finish(session.trace(sample, Pruning(sparsity, "late")))
    assert calls == {"calibrate": 1, "prune": 3}
    finish(session.trace(sample, Pruning(0.7, "pattern", "*")))  # the same plan, said otherwise
    assert calls == {"calibrate": 1, "prune": 3}
    finish(session.trace(sample, Pruning(0.7, "all")))  # other layers
    finish(session.trace(session.samples[1], Pruning(0.7, "late")))  # another sample
    assert calls == {"calibrate": 3, "prune": 5}


def test_later_sparsities_are_as_exact_as_the_first(session: Session) -> None:
    sample = session.samples[0]
    finish(session.trace(sample, Pruning(0.3)))
    later = finish(session.trace(sample, Pruning(0.8)))
    fresh = finish(Session(session.classifier, [sample], augmentations=4).trace(sample, Pruning(0.8)))
    for name, weight in fresh.weights().items():
        assert torch.equal(later.weights()[name], weight)


def test_a_calibration_that_was_left_off_goes_on(session: Session, calls: dict[str, int]) -> None:
    """A slider moves many times while the first calibration runs: each move must not throw the augmentations away."""
    session.augmentations = 128
    sample = session.samples[0]
    first = session.trace(sample, Pruning(0.5))
    assert next(first).done == 0
    batch = next(first).done
    first.close()
    second = session.trace(sample, Pruning(0.8))
    assert next(second).done == 2 * batch
    trace = finish(second)
    assert calls["calibrate"] == 1
    assert trace.augmentations == 128
    plain = sw.trace(session.classifier, sample, sparsity=0.8, augmentations=128)
    for name, weight in plain.weights().items():
        assert torch.equal(trace.weights()[name], weight)


def test_two_jobs_that_calibrate_in_turns_do_not_disturb_each_other(session: Session) -> None:
    """Two panels on one session take turns, on one sample or on two."""
    session.augmentations = 96
    one, two = session.samples
    running = {
        "a": session.trace(one, Pruning(0.5)),
        "b": session.trace(one, Pruning(0.8)),
        "c": session.trace(two, Pruning(0.8)),
    }
    made = {}
    while running:
        for name, steps in list(running.items()):
            try:
                next(steps)
            except StopIteration as stop:
                made[name] = stop.value
                del running[name]
    for name, sample, sparsity in (("a", one, 0.5), ("b", one, 0.8), ("c", two, 0.8)):
        plain = sw.trace(session.classifier, sample, sparsity=sparsity, augmentations=96)
        for layer, weight in plain.weights().items():
            assert torch.equal(made[name].weights()[layer], weight)


def test_factors_survive_a_change_of_mind(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    prepared: list[int] = []
    prepare = Fast.prepare

    def counted(self: Fast, H: Tensor) -> Any:
        prepared.append(H.shape[-1])
        return prepare(self, H)

    monkeypatch.setattr(Fast, "prepare", counted)
    sample = session.samples[0]
    first = session.trace(sample, Pruning(0.5, "late", solver="fast"))
    while (progress := next(first)).stage != "solving" or progress.done == 0:
        pass  # the second step of the solving is in the middle of the first layer
    first.close()
    finish(session.trace(sample, Pruning(0.8, "late", solver="fast")))
    assert prepared == [27, 36, 16]


def test_a_solver_that_is_chosen(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is found under its own name too, and the choice is made once for a sample's layers."""
    sample = session.samples[0]
    session.check(Pruning(0.5, solver="auto"))
    chosen = session.solver(Pruning(0.5, solver="auto"))
    trace = finish(session.trace(sample, Pruning(0.5, solver="auto")))
    assert trace.solver == chosen == resolve("auto", session.classifier, trace.plan.layers, augmentations=4)
    assert session.known_trace(sample, Pruning(0.5, solver=chosen)) is trace
    monkeypatch.setattr(tracing, "resolve", lambda *_args, **_options: pytest.fail("chosen again"))
    assert finish(session.trace(sample, Pruning(0.8, solver="auto"))).solver == chosen
    with pytest.raises(InputError, match=r"no solver 'slow': 'auto', "):
        session.check(Pruning(0.5, solver="slow"))


@pytest.mark.parametrize("name", ["fast", "exact"])
def test_the_store_knows_what_a_pruner_holds(session: Session, name: str) -> None:
    sample, sizes = session.samples[0], {}
    put = session.store.put

    def noted(key: Any, value: Any, nbytes: int) -> Any:
        if isinstance(value, Pruner):
            sizes[key] = nbytes
        return put(key, value, nbytes)

    session.store.put = noted  # type: ignore[method-assign]
    finish(session.trace(sample, Pruning(0.5, "pattern", "3", solver=name)))
    ((key, size),) = sizes.items()
    pruner = session.store.get(key)
    assert size == pruner.nbytes
    gram = 2 * 36 * 36 * 4
    assert size >= gram * (2 if name == "exact" else 1)  # H and its inverse; the factor alone


def test_solved_sparsities_are_listed_by_sample_and_settings(session: Session) -> None:
    one, two = session.samples
    for sparsity in (0.9, 0.5):
        finish(session.trace(one, Pruning(sparsity, "late")))
    assert session.solved(one, Pruning(0.0, "late")) == [0.5, 0.9]
    assert session.solved(one, Pruning(0.0, "late", pattern="nothing to a preset")) == [0.5, 0.9]
    assert session.solved(two, Pruning(0.0, "late")) == []
    assert session.solved(one, Pruning(0.0, "all")) == []
    finish(session.trace(one, Pruning(0.5, "pattern", "*")))  # found: it is the plan of "late"
    assert session.solved(one, Pruning(0.0, "pattern", "*")) == [0.5]
    assert session.solved(one, Pruning(0.0, "pattern", "7")) == []


def test_what_the_store_let_go_of_is_not_listed(session: Session) -> None:
    sample = session.samples[0]
    finish(session.trace(sample, Pruning(0.5)))
    session.store = Store()
    assert session.solved(sample, Pruning(0.5)) == []


def test_nothing_is_lost_where_nothing_fits_the_store(session: Session) -> None:
    session.store = Store(0)
    sample = session.samples[0]
    trace = finish(session.trace(sample, Pruning(0.5)))
    assert trace.kept < trace.total
    assert session.known_trace(sample, Pruning(0.5)) is None


def test_renderers_are_found_again_by_network_and_neuron(session: Session) -> None:
    classifier = session.classifier
    sample = session.samples[0]
    trace = finish(session.trace(sample, Pruning(0.5)))
    other = finish(session.trace(sample, Pruning(0.8)))
    neuron = classifier.neuron("3:2")
    dense = session.renderer(classifier, neuron)
    dense.step()
    assert session.renderer(classifier, classifier.neuron("3:2")) is dense
    assert session.known_renderer(classifier, neuron) is dense
    found = {id(session.renderer(network, n)) for network in (classifier, trace, other) for n in (neuron, "7:1")}  # type: ignore[arg-type]
    assert len(found) == 6
    # A trace made once more, after the store let go of it, has its picture still.
    again = finish(Session(classifier, [sample], augmentations=4).trace(sample, Pruning(0.5)))
    assert session.renderer(again, neuron) is session.renderer(trace, neuron)


def test_looking_for_a_renderer_makes_none(session: Session) -> None:
    neuron = session.classifier.neuron("3:2")
    assert session.known_renderer(session.classifier, neuron) is None
    assert session.known_renderer(session.classifier, neuron) is None


def test_pictures_take_the_session_s_seed(tiny: ImageClassifier) -> None:
    seeds = [Session(tiny, [picture(0)], seed=s).renderer(tiny, tiny.neuron("3:2")).image() for s in (0, 0, 1)]
    assert torch.equal(seeds[0], seeds[1])
    assert not torch.equal(seeds[0], seeds[2])


def test_probabilities_and_maps_are_kept(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = session.samples
    first = session.probabilities(session.classifier, one)
    assert first.sum() == pytest.approx(1)
    maps = session.maps(one, "3")
    assert maps.shape == (16, 16, 16)
    monkeypatch.setattr(session.classifier, "prepare", lambda _sample: pytest.fail("computed again"))
    assert session.probabilities(session.classifier, one) is first
    assert session.maps(one, "3") is maps
    monkeypatch.undo()
    assert not torch.equal(session.probabilities(session.classifier, two), first)


class Overflow(nn.Module):
    """Fine on grey; NaN on a sample with anything very bright in it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.fc = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x * torch.where(x > 1.9, torch.inf, 1.0))
        return self.fc(x.mean(dim=(2, 3)))


def test_a_sample_on_which_the_network_is_not_finite() -> None:
    def steps(session: Session) -> Iterator[Any]:
        yield lambda: session.probabilities(session.classifier, session.samples[0])
        yield lambda: session.maps(session.samples[0], "conv")
        yield lambda: finish(session.trace(session.samples[0], Pruning(0.5, "pattern", "conv")))

    preprocess = transforms.Compose(
        [transforms.Resize((32, 32)), transforms.ToTensor(), transforms.Normalize([0.5] * 3, [0.25] * 3)]
    )
    # Black, grey and white pictures probe the preprocessing alone: the network sees grey.
    session = Session(ImageClassifier(Overflow(), preprocess=preprocess), [picture(0, "bright")], augmentations=4)
    for step in steps(session):
        with pytest.raises(ModelError, match="NaN or infinite"):
            step()
