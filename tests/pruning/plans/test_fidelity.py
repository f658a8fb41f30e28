"""Fidelity instead of a sparsity: the families of plans, the search, and what the trace says of it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import spade_widgets as sw
from spade_widgets.pruning.calibration.augment import augment
from spade_widgets.pruning.calibration.calibration import calibrate
from spade_widgets.pruning.plans import fidelity as module
from spade_widgets.pruning.plans.curves import Curve, curves
from spade_widgets.pruning.plans.fidelity import GRID, HELD_OUT, _sparsest, families, kept, thinned
from spade_widgets.pruning.plans.held_out import HeldOut, Verdict
from spade_widgets.pruning.progress import Progress, Steps, finish
from spade_widgets.pruning.pruner import Pruner


@pytest.fixture
def picture() -> sw.Sample:
    noise = np.random.default_rng(1).integers(0, 256, (10, 15, 3), dtype=np.uint8)
    return sw.Sample.read(noise.repeat(8, 0).repeat(8, 1), title="noise")


@pytest.fixture
def found(tiny: sw.ImageClassifier, picture: sw.Sample) -> dict[str, Curve]:
    calibration = finish(calibrate(tiny, picture, tiny.prunable(), augmentations=4))
    return dict(finish(curves(Pruner(tiny, picture, "refined"), calibration, tiny.prunable(), GRID)))


def test_a_curve_is_the_traces_of_its_layer(
    tiny: sw.ImageClassifier, picture: sw.Sample, found: dict[str, Curve]
) -> None:
    for name, number in itertools.product(found, (0, 5, len(GRID) - 1)):
        layer = found[name].pruned(number)
        trace = sw.trace(tiny, picture, plan={name: GRID[number]}, solver="refined", augmentations=4)
        assert layer.weight.shape == trace.weights()[name].shape
        assert torch.equal(layer.weight == 0, trace.weights()[name] == 0)
        torch.testing.assert_close(layer.weight, trace.weights()[name], rtol=1e-4, atol=1e-5)
        assert layer.stats.kept == trace.stats()[0].kept


def test_families_go_from_the_dense_plan_to_the_sparsest(found: dict[str, Curve]) -> None:
    last = len(GRID) - 1
    for family in families(found):
        assert family[0] == (0, 0, 0)
        counts = [kept(found, choice) for choice in family]
        assert counts == sorted(counts, reverse=True)
        assert all(0 <= number <= last for choice in family for number in choice)
        assert len(family) > 10
    assert families(found)[2][-1] == (last, last, last)


def test_equal_errors(found: dict[str, Curve]) -> None:
    """No layer of such a plan could be sparser without an error above all the others'."""
    errors = [[row.error for row in curve.stats] for curve in found.values()]
    for choice in families(found)[1][1:]:
        worst = max(curve[number] for curve, number in zip(errors, choice, strict=True))
        for curve, number in zip(errors, choice, strict=True):
            assert all(error > worst for error in curve[number + 1 : number + 2])


def test_least_errors(found: dict[str, Curve]) -> None:
    """No plan drops as many weights for a smaller sum of errors: against every third sparsity of all layers."""
    rows = [curve.stats for curve in found.values()]

    def cost(choice: tuple[int, ...]) -> tuple[int, float]:
        chosen = [layer[number] for layer, number in zip(rows, choice, strict=True)]
        return sum(row.kept for row in chosen), sum(row.error for row in chosen)

    every = [cost(choice) for choice in itertools.product(range(0, len(GRID), 3), repeat=3)]
    for choice in families(found)[0]:
        count, error = cost(choice)
        assert all(other >= error - 1e-9 for least, other in every if least <= count)


@given(st.integers(0, 40), st.integers(0, 40))
def test_bisection_finds_the_last_that_does(count: int, good: int) -> None:
    tried: list[int] = []

    def attempt(choice: tuple[int, ...]) -> Steps[int | None]:
        yield Progress("searching", 0, 1)
        tried.append(choice[0])
        return choice[0] if choice[0] < good else None

    expected = min(good, count) - 1
    assert finish(_sparsest([(i,) for i in range(count)], attempt)) == (None if expected < 0 else expected)
    assert len(tried) <= count.bit_length()


def test_thinned_families_keep_their_ends() -> None:
    plans = [(i,) for i in range(100)]
    assert thinned(plans, 31)[:2] == [(0,), (3,)]
    assert thinned(plans, 31)[-1] == (99,)
    assert len(thinned(plans, 31)) == 31
    assert thinned(plans[:5], 31) == plans[:5]
    assert thinned(plans[:1], 31) == plans[:1]


@pytest.mark.parametrize("sequential", [False, True])
def test_the_trace_is_as_faithful_as_it_says(tiny: sw.ImageClassifier, picture: sw.Sample, sequential: bool) -> None:
    options: dict[str, Any] = {"layers": "*", "augmentations": 8, "seed": 3, "sequential": sequential}
    trace = sw.trace(tiny, picture, fidelity=0.8, **options)
    assert trace.fidelity is not None
    assert (trace.fidelity.asked, trace.fidelity.augmentations) == (0.8, HELD_OUT)
    assert trace.fidelity.reached >= 0.8
    assert trace.agreement.agrees
    assert trace.sequential == sequential
    assert trace.kept < trace.total
    assert set(trace.plan.sparsities.values()) <= set(GRID)
    verdict = HeldOut(tiny, picture, HELD_OUT, 3).judge(trace.weights())
    assert verdict.agreement == trace.fidelity.reached
    # The same plan asked for by itself is the same trace.
    again = sw.trace(tiny, picture, plan=trace.plan, **(options | {"layers": None}))
    for name, weight in trace.weights().items():
        torch.testing.assert_close(weight, again.weights()[name], rtol=1e-4, atol=1e-5)


def test_no_uniform_plan_is_as_faithful_and_sparser(tiny: sw.ImageClassifier, picture: sw.Sample) -> None:
    trace = sw.trace(tiny, picture, fidelity=0.9, layers="*", augmentations=8)
    held_out = HeldOut(tiny, picture, HELD_OUT)
    uniform = sw.sweep(tiny, picture, GRID, layers="*", augmentations=8)
    verdicts = [held_out.judge(one.weights()) for one in uniform]
    faithful = [i for i, v in enumerate(verdicts) if v.same and v.agreement >= 0.9]
    last = next(i for i in range(len(GRID)) if i + 1 == len(GRID) or i + 1 not in faithful)
    assert trace.kept <= uniform[last].kept


def test_where_no_plan_is_faithful_it_is_the_dense_one(
    tiny: sw.ImageClassifier, picture: sw.Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(HeldOut, "judge", lambda _self, _weights: Verdict(0.5, 1.0, same=True))
    for sequential in (False, True):
        trace = sw.trace(tiny, picture, fidelity=0.9, layers="*", augmentations=2, sequential=sequential)
        assert trace.kept == trace.total
        assert trace.fidelity is not None
        assert trace.fidelity.reached == 1
    monkeypatch.setattr(HeldOut, "judge", lambda _self, _weights: Verdict(1.0, 0.0, same=False))
    assert sw.trace(tiny, picture, fidelity=0.9, layers="*", augmentations=2).kept == trace.total


def test_many_samples_have_plans_of_their_own(tiny: sw.ImageClassifier, picture: sw.Sample) -> None:
    other = sw.Sample(picture.image.rotate(180).crop((10, 10, 60, 60)), "other")
    traces = sw.trace_many(tiny, [picture, other], fidelity=0.9, layers="*", augmentations=4)
    assert [trace.fidelity is not None for trace in traces] == [True, True]
    alone = sw.trace(tiny, other, fidelity=0.9, layers="*", augmentations=4)
    assert traces[1].digest == alone.digest
    assert traces[1].plan == alone.plan


def test_held_out_augmentations_are_others(tiny: sw.ImageClassifier, picture: sw.Sample) -> None:
    calibration = torch.cat(list(augment(tiny, picture, 8, seed=5)))
    held_out = torch.cat(HeldOut(tiny, picture, 8, 5)._batches[1:])
    assert held_out.shape == calibration.shape
    assert not any(torch.equal(one, other) for one in calibration for other in held_out)
    for seed in (0, 2**64 - 1, -1):
        assert HeldOut(tiny, picture, 2, seed).judge({}) == Verdict(1.0, 0.0, same=True)


def test_verdicts(tiny: sw.ImageClassifier, picture: sw.Sample) -> None:
    """Against the definitions."""
    weights = sw.trace(tiny, picture, sparsity=0.9, layers="*", augmentations=2).weights()
    held_out = HeldOut(tiny, picture, 40, 0, batch=16)
    verdict = held_out.judge(weights)
    module_ = tiny.module()
    for name, weight in weights.items():
        module_.get_submodule(name).weight = torch.nn.Parameter(weight)
    images = torch.cat(held_out._batches)
    dense, pruned = (m(images).detach().double().softmax(1) for m in (tiny.module(), module_))
    same = (dense.argmax(1) == pruned.argmax(1)).tolist()
    assert verdict.same == same[0]
    assert verdict.agreement == pytest.approx(sum(same[1:]) / 40)
    assert verdict.kl == pytest.approx(float((dense * (dense / pruned).log()).sum(1)[1:].mean()), rel=1e-3)


def test_it_can_be_followed_and_left_off(tiny: sw.ImageClassifier, picture: sw.Sample) -> None:
    def steps() -> Iterator[Progress]:
        return module.faithful(Pruner(tiny, picture), tiny.prunable(), 0.9, 40)

    told = list(steps())
    assert [stage for stage, _ in itertools.groupby(told, lambda p: p.stage)] == [
        "calibrating", "solving", "searching",
    ]  # fmt: skip
    for _, group in itertools.groupby(told, lambda p: p.stage):
        done = [(p.done, p.of) for p in group]
        assert done == sorted(set(done))
        assert all(d < of for d, of in done)


def test_a_calibration_that_is_there_is_not_made_again(
    tiny: sw.ImageClassifier, picture: sw.Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    layers = tiny.prunable()
    expected = sw.trace(tiny, picture, fidelity=0.9, layers="*", augmentations=8, seed=3)
    calibration = finish(calibrate(tiny, picture, layers, augmentations=8, seed=3))
    monkeypatch.setattr(module, "calibrate", lambda *_args, **_options: pytest.fail("calibrated again"))
    pruner = Pruner(tiny, picture, "refined", 3)
    told: list[str] = []
    steps = module.faithful(pruner, layers, 0.9, 8, calibration=calibration)
    while True:
        try:
            told.append(next(steps).stage)
        except StopIteration as stop:
            made = stop.value
            break
    assert set(told) == {"solving", "searching"}
    assert (made.plan, made.fidelity, made.stats()) == (expected.plan, expected.fidelity, expected.stats())
    assert made.augmentations == expected.augmentations
    for name, weight in expected.weights().items():
        assert torch.equal(made.weights()[name], weight)


def test_a_file_keeps_it(tiny: sw.ImageClassifier, picture: sw.Sample, tmp_path: Path) -> None:
    trace = sw.trace(tiny, picture, fidelity=0.9, layers="*", augmentations=2, sequential=True)
    trace.save(tmp_path / "trace.safetensors")
    loaded = sw.Trace.load(tmp_path / "trace.safetensors", tiny)
    assert loaded.fidelity == trace.fidelity
    assert loaded.sequential


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"fidelity": 0}, r"0 < fidelity ≤ 1"),
        ({"fidelity": 1.1}, r"0 < fidelity ≤ 1"),
        ({"fidelity": float("nan")}, r"0 < fidelity ≤ 1"),
        ({"fidelity": "much"}, "'much' is not a number"),
        ({"fidelity": [0.9]}, "is not a number"),
        ({"fidelity": 0.9, "sparsity": 0.9}, "instead of a sparsity or a plan"),
        ({"fidelity": 0.9, "plan": {"7": 0.5}}, "instead of a sparsity or a plan"),
        ({"fidelity": 0.9, "layers": "nope"}, "matches 'nope'"),
        ({"fidelity": 0.9, "layers": []}, "names no layer"),
        ({"fidelity": 0.9, "augmentations": 0}, "number of augmentations"),
        ({"fidelity": 0.9, "solver": "best"}, "no solver 'best'"),
    ],
)
def test_what_cannot_be_asked_for(
    tiny: sw.ImageClassifier, picture: sw.Sample, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(sw.InputError, match=said):
        sw.trace(tiny, picture, **options)
    with pytest.raises(sw.InputError, match=said):
        sw.trace_many(tiny, [picture], **options)
