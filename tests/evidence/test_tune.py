"""The coordinate search: finds what is best, walks the same way again, and puts networks together as traces are."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import spade_widgets as sw
from spade_widgets.classifier import ImageClassifier
from spade_widgets.errors import InputError, ModelError
from spade_widgets.evidence.judging import METRICS
from spade_widgets.evidence.metrics import Map
from spade_widgets.evidence.plan_file import PlanFile, picture_id
from spade_widgets.evidence.results import Results
from spade_widgets.evidence.solved import Solved
from spade_widgets.evidence.tune import Search, layer_units, tune_steps
from spade_widgets.network.weights import weight
from spade_widgets.prediction import Network
from spade_widgets.pruning.progress import Steps, finish

PATCH = np.zeros((32, 32), bool)
PATCH[4:12, 20:28] = True
LAYERS = ("3", "7")


def samples(count: int) -> list[sw.Sample]:
    rng = np.random.default_rng(5)
    images = rng.integers(0, 255, (count, 32, 32, 3), dtype=np.uint8)
    return [sw.Sample.read(image, title=f"s{i}", mask=PATCH) for i, image in enumerate(images)]


def sparsities(network: Network) -> tuple[float, float]:
    module = network.module()
    return tuple(round(float((weight(module, layer) == 0).float().mean()), 1) for layer in LAYERS)  # type: ignore[return-value]


class Stub:
    """Maps that are as good as a function of the two layers' sparsities says; counts its calls."""

    def __init__(self, worth: Callable[[float, float], float]) -> None:
        self.worth, self.seen = worth, [(-1.0, -1.0)][:0]

    def __call__(self, network: Network, sample: sw.Sample, target: int, method: str, seed: int) -> Steps[Map]:
        yield from ()
        self.seen.append(sparsities(network))
        worth = self.worth(*self.seen[-1])
        if worth < 0:
            raise ModelError(f"No map of {method} for class {target} of {sample.title} with seed {seed}.")
        # So many of the patch's pixels above the rest, the others below it.
        values = np.zeros((32, 32))
        inside = np.full(PATCH.sum(), -1.0)
        inside[: round(worth * inside.size)] = 1
        values[PATCH] = inside
        return values + 2


def search(worth: Callable[[float, float], float], **changes: object) -> tuple[Search, Stub]:
    stub = Stub(worth)
    made = Search(
        units=(("3",), ("7",)),
        metric=METRICS["trojan_auc"],
        methods=("stub",),
        grid=(0.0, 0.5, 0.8),
        augmentations=8,
        explain=stub,
        describe=lambda method: {"method": method},
    )
    return replace(made, **changes), stub  # type: ignore[arg-type]


def bowl(first: float, last: float) -> float:
    """Best at 0.5 and 0.8."""
    return 1 - abs(first - 0.5) - abs(last - 0.8) / 2


def test_it_finds_the_best_of_each_layer(tiny: ImageClassifier) -> None:
    asked, stub = search(bowl)
    tuned = finish(tune_steps(tiny, samples(2), asked, Results()))
    assert tuned.plan == {"3": 0.5, "7": 0.8}
    assert tuned.before.mean == pytest.approx(bowl(0, 0), abs=0.01)
    assert tuned.after.mean == pytest.approx(1)
    assert [(t.unit, t.kept) for t in tuned.trials] == [(("7",), 0.8), (("3",), 0.5)]  # the last layer first
    assert set(stub.seen[:6]) == {(0, 0), (0, 0.5), (0, 0.8)}
    assert len(stub.seen) == 2 * 5  # nothing is tried twice


def test_a_second_pass_that_changes_nothing_is_the_last(tiny: ImageClassifier) -> None:
    asked, _ = search(lambda a, b: 0.9 - abs(a - b), passes=9, start={"3": 0.8})
    tuned = finish(tune_steps(tiny, samples(1), asked, Results()))
    assert tuned.plan == {"3": 0.8, "7": 0.8}
    assert [t.kept for t in tuned.trials] == [0.8, None, None, None]


def test_less_may_be_better(tiny: ImageClassifier) -> None:
    metric = replace(METRICS["trojan_auc"], higher=False)
    asked, _ = search(lambda a, b: a + b / 2, metric=metric, start={"3": 0.5, "7": 0.5})
    assert finish(tune_steps(tiny, samples(1), asked, Results())).plan == {}


def test_a_gain_that_is_too_small_is_not_taken(tiny: ImageClassifier) -> None:
    asked, _ = search(bowl, gain=0.45)
    assert finish(tune_steps(tiny, samples(1), asked, Results())).plan == {"3": 0.5}  # +0.5; the head gives +0.4


def test_what_cannot_be_judged_is_not_taken(tiny: ImageClassifier) -> None:
    asked, _ = search(lambda a, b: -1 if b == 0.8 else bowl(a, b))
    assert finish(tune_steps(tiny, samples(1), asked, Results())).plan == {"3": 0.5, "7": 0.5}
    asked, _ = search(lambda *_: -1)
    with pytest.raises(InputError, match="The start cannot be judged by Trojan AUC: No map of stub"):
        finish(tune_steps(tiny, samples(1), asked, Results()))


def test_a_stopped_search_goes_on(tiny: ImageClassifier, tmp_path: Path) -> None:
    path, some = tmp_path / "t.jsonl", samples(2)
    asked, stub = search(bowl)
    steps = tune_steps(tiny, some, asked, Results(path))
    while len(stub.seen) < 7:
        next(steps)
    steps.close()
    asked, again = search(bowl)
    tuned = finish(tune_steps(tiny, some, asked, Results(path)))
    assert len(again.seen) == 10 - 7
    asked, third = search(bowl)
    assert finish(tune_steps(tiny, some, asked, Results(path))) == tuned
    assert third.seen == []


@pytest.mark.parametrize("memory", [2**30, 0])
def test_networks_are_put_together_as_a_trace_is(tiny: ImageClassifier, memory: int) -> None:
    (one, two), plan = samples(2), {"0": 0.3, "3": 0.5, "7": 0.8}
    solved = Solved(tiny, "fast", 8, 3, memory)
    later = [(layer, s) for layer in plan for s in (0.5, 0.8)]
    for sample in (one, two, one):
        made = finish(solved.network(sample, plan, [("3", 0.8)], later)).module()
        expected = sw.trace(tiny, sample, plan=plan, solver="fast", augmentations=8, seed=3).module()
        for ours, theirs in zip(made.parameters(), expected.parameters(), strict=True):
            assert torch.allclose(ours, theirs, atol=1e-6)
            assert torch.equal(ours == 0, theirs == 0)
    assert len(solved._kept) == (2 if memory else 1)


def test_what_was_pruned_is_not_pruned_again(tiny: ImageClassifier, monkeypatch: pytest.MonkeyPatch) -> None:
    from spade_widgets.evidence import solved as module

    runs: list[str] = []
    calibrate = module.calibrate

    def counted(classifier: ImageClassifier, sample: sw.Sample, *args: object, **more: object) -> object:
        runs.append(sample.title)
        return calibrate(classifier, sample, *args, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "calibrate", counted)
    asked, _ = search(bowl)
    finish(tune_steps(tiny, samples(2), asked, Results()))
    assert sorted(runs) == ["s0", "s1"]
    runs.clear()
    finish(tune_steps(tiny, samples(2), replace(asked, memory=0), Results()))
    assert sorted(runs) == ["s0"] * 2 + ["s1"] * 2  # a turn each


def test_the_plan_is_what_trace_and_evaluate_take(tiny: ImageClassifier, tmp_path: Path) -> None:
    asked, _ = search(bowl)
    some = samples(2)
    tuned = finish(tune_steps(tiny, some, asked, Results()))
    path = tmp_path / "plan.json"
    path.write_text(tuned.file(tiny, some, asked).text())
    trace = sw.trace(tiny, some[0], plan=json.loads(path.read_text())["plan"], augmentations=8)
    assert trace.plan.sparsities == {"3": 0.5, "7": 0.8}
    file = PlanFile.read(path)
    assert file.tuned_on == tuple(picture_id(s) for s in some)
    with pytest.raises(InputError, match="tuned on"):
        file.check_apart(some[1:])
    assert file.origin["trials"][0] == {"layers": ["7"], "scores": {"0.5": pytest.approx(0.35, abs=0.01),
        "0.8": pytest.approx(0.5, abs=0.01)}, "kept": 0.8}  # fmt: skip


def test_plans_are_tuned_for_the_default_solver(tiny: ImageClassifier) -> None:
    asked, _ = search(bowl)
    assert asked.solver == "refined"
    tuned = finish(tune_steps(tiny, samples(1), asked, Results()))
    assert tuned.file(tiny, samples(1), asked).origin["solver"] == "refined"


def test_a_metric_that_needs_no_map(tiny: ImageClassifier) -> None:
    # FastSPADE: the better a solver, the nearer to the dense plan is what the KL alone would have.
    asked, stub = search(bowl, metric=METRICS["kl"], methods=(), start={"3": 0.8, "7": 0.8}, solver="fast")
    (sample,) = samples(1)
    tuned = finish(tune_steps(tiny, [sample], asked, Results()))
    assert stub.seen == []
    assert tuned.after.mean < tuned.before.mean
    trace = sw.trace(tiny, sample, plan=tuned.plan, solver="fast", augmentations=8)
    assert tuned.after.mean == pytest.approx(trace.agreement.kl, abs=1e-6)


def test_units_are_blocks_or_layers() -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + self.two(self.one(x).relu())

    blocks = nn.Sequential(nn.Conv2d(3, 4, 3), Block(), Block(), nn.Flatten(), nn.LazyLinear(3))
    blocks(torch.zeros(1, 3, 224, 224))
    classifier = ImageClassifier(blocks)
    assert layer_units(classifier) == (("1.one", "1.two"), ("2.one", "2.two"), ("4",))
    assert layer_units(classifier, "layers") == (("1.one",), ("1.two",), ("2.one",), ("2.two",), ("4",))
    assert layer_units(classifier, layers="0, 2.two") == (("0",), ("2.two",))
    with pytest.raises(InputError, match="by 'rows'"):
        layer_units(classifier, "rows")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"units": ()}, "no layer to tune"),
        ({"grid": ()}, "a sparsity to try"),
        ({"grid": (1.0,)}, "sparsity"),
        ({"passes": 0}, "one pass"),
        ({"gain": -1.0}, "gain"),
        ({"solver": "slow"}, "no network 'slow'"),
        ({"methods": ()}, "no saliency method"),
    ],
)
def test_what_cannot_be_searched_is_said(changes: dict, says: str) -> None:
    with pytest.raises(InputError, match=says):
        search(bowl, **changes)


def test_a_search_needs_samples(tiny: ImageClassifier) -> None:
    with pytest.raises(InputError, match="no sample to tune on"):
        finish(tune_steps(tiny, [], search(bowl)[0], Results()))
