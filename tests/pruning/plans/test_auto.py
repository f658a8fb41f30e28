"""`solver="auto"`: what is chosen, that it is the same every time, and what the estimate counts."""

from __future__ import annotations

import logging
import time
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torchvision import transforms

import spade_widgets as sw
from spade_widgets.network.products import Watch
from spade_widgets.pruning import spade
from spade_widgets.pruning.calibration.gram_sums import columns
from spade_widgets.pruning.plans import choose
from spade_widgets.pruning.plans.choose import AUTO, CANDIDATES, LONG, choices, estimate, resolve, spoken
from spade_widgets.pruning.plans.plan import SparsityPlan
from spade_widgets.pruning.solvers import SOLVERS
from spade_widgets.pruning.spade import trace_steps


@pytest.fixture
def picture() -> sw.Sample:
    noise = np.random.default_rng(1).integers(0, 256, (10, 15, 3), dtype=np.uint8)
    return sw.Sample.read(noise.repeat(8, 0).repeat(8, 1), title="noise")


def test_what_can_be_asked_for() -> None:
    assert choices() == (AUTO, *SOLVERS)
    assert set(CANDIDATES) <= set(SOLVERS)


def test_the_trace_says_what_was_chosen(tiny: sw.ImageClassifier, picture: sw.Sample) -> None:
    for wait, name in ((1e9, CANDIDATES[0]), (1e-9, CANDIDATES[-1])):
        options: dict[str, Any] = {"solver": AUTO, "wait": wait, "layers": "*", "augmentations": 3}
        plain = sw.trace(tiny, picture, **(options | {"solver": name}))
        traces = [
            sw.trace(tiny, picture, **options),
            *sw.sweep(tiny, picture, [0.95], **options),
            *sw.trace_many(tiny, [picture], **options),
        ]
        for trace in traces:
            assert trace.solver == name
            for layer, weight in plain.weights().items():
                assert torch.equal(weight, trace.weights()[layer])
        assert sw.trace(tiny, picture, **options, sequential=True).solver == name
        assert sw.trace(tiny, picture, **options, fidelity=0.5).solver == name
        table = sw.sensitivity(tiny, picture, **options, sparsities=[0.5], held_out=2)
        assert table[0].kl == sw.sensitivity(
            tiny, picture, **(options | {"solver": name}), sparsities=[0.5], held_out=2
        )[0].kl  # fmt: skip


def test_a_solver_that_is_named_is_that_one(tiny: sw.ImageClassifier) -> None:
    assert resolve("exact", tiny, tiny.prunable(), wait=1e-9) == "exact"
    assert resolve("fast", tiny, tiny.prunable(), wait=1e9) == "fast"


def test_no_clock_is_read(tiny: sw.ImageClassifier, monkeypatch: pytest.MonkeyPatch) -> None:
    for clock in ("time", "perf_counter", "monotonic", "process_time"):
        monkeypatch.setattr(time, clock, lambda: pytest.fail("a clock was read"))
    waits = [10**power for power in range(-4, 4)]
    chosen = [resolve(AUTO, tiny, tiny.prunable(), wait=wait) for wait in waits]
    assert chosen == [resolve(AUTO, tiny, tiny.prunable(), wait=wait) for wait in waits]
    # From some time on the better one, and no way back.
    assert chosen == sorted(chosen, key=CANDIDATES[::-1].index)
    assert set(chosen) == set(CANDIDATES)


def test_what_takes_longer_is_estimated_longer(tiny: sw.ImageClassifier) -> None:
    base: dict[str, Any] = {"sparsities": 1, "augmentations": 16, "blocks": 0}

    def seconds(name: str = "refined", layers: tuple[str, ...] = ("3", "7"), **changed: int) -> float:
        return estimate(name, tiny, layers, **(base | changed))

    assert seconds() > seconds("fast") > 0
    assert seconds(layers=("0", "3", "7")) > seconds() > seconds(layers=("7",))
    assert seconds(sparsities=8) > seconds()
    assert seconds("fast", sparsities=8) < 8 * seconds("fast")  # what is made of H is made once
    assert seconds(augmentations=17) > seconds()
    assert seconds(blocks=2) > seconds()


@pytest.fixture
def wide() -> sw.ImageClassifier:
    """Layers of very unlike sizes: (rows, columns) is (64, 64), (512, 64), (64, 512) and (512, 512)."""

    class Wide(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.small, self.rows = nn.Conv2d(3, 64, 3), nn.Linear(64, 64), nn.Linear(64, 512)
            self.both, self.columns = nn.Linear(512, 512), nn.Linear(512, 64)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.columns(self.both(self.rows(self.small(self.stem(x).mean((2, 3))))))

    return sw.ImageClassifier(Wide())


def test_solvers_are_estimated_in_the_order_of_what_they_take(wide: sw.ImageClassifier) -> None:
    for layer in ("rows", "columns", "both"):
        exact, refined, fast, magnitude = (
            estimate(name, wide, [layer], 1, 1, 0) for name in ("exact", "refined", "fast", "magnitude")
        )
        assert exact > refined > fast > magnitude > 0


@pytest.mark.parametrize("name", ["exact", "refined", "fast"])
def test_the_estimate_grows_with_rows_and_columns(wide: sw.ImageClassifier, name: str) -> None:
    base = estimate("magnitude", wide, ["small"], 1, 1, 0)  # what the augmentations take

    def solving(layer: str) -> float:
        return estimate(name, wide, [layer], 1, 1, 0) - base

    assert solving("both") > solving("columns") > solving("rows") > solving("small") > 0


def test_every_solver_has_an_estimate(wide: sw.ImageClassifier) -> None:
    assert all(np.isfinite(estimate(name, wide, ["both"], 1, 1, 0)) for name in SOLVERS)


def test_what_meets_every_sparsity_on_its_way_goes_it_once(wide: sw.ImageClassifier) -> None:
    once, more = ({name: estimate(name, wide, ["both"], n, 1, 0) for name in ("exact", "refined")} for n in (1, 9))
    assert more["exact"] == once["exact"]
    assert more["refined"] > once["refined"]


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.01, "1 s"), (1.4, "1 s"), (40, "40 s"), (89, "89 s"), (90, "2 min"), (240, "4 min"), (5340, "89 min"),
        (5400, "2 h"), (7200, "2 h"), (36000, "10 h"),
    ],
)  # fmt: skip
def test_times_are_said_as_one_says_them(seconds: float, said: str) -> None:
    assert spoken(seconds) == said


@pytest.mark.parametrize("sequential", [False, True])
def test_what_will_take_long_is_said_beforehand(
    tiny: sw.ImageClassifier,
    picture: sw.Sample,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    sequential: bool,
) -> None:
    """Once, with the solver that it will be, and before anything is computed."""
    asked: list[tuple[Any, ...]] = []
    monkeypatch.setattr(spade, "estimate", lambda *given: (asked.append(given), 244.0)[1])
    layers = tiny.prunable()
    steps = trace_steps(tiny, picture, SparsityPlan.uniform(tiny, 0.9, "*"), "exact", 7, 0, sequential=sequential)
    with caplog.at_level(logging.WARNING):
        next(steps)
    assert [record.getMessage() for record in caplog.records] == [
        "A trace with the solver 'exact' takes about 4 min here."
    ]
    steps.close()
    assert asked == [("exact", tiny, layers, 1, 7, 3 if sequential else 0)]


def test_what_will_not_take_long_is_not_spoken_of(
    tiny: sw.ImageClassifier,
    picture: sw.Sample,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        sw.trace(tiny, picture, augmentations=2)
        sw.trace(tiny, picture, solver="exact", augmentations=2)
        monkeypatch.setattr(spade, "estimate", lambda *_given: LONG - 0.01)
        sw.trace(tiny, picture, augmentations=2)
        assert not caplog.records
        monkeypatch.setattr(spade, "estimate", lambda *_given: LONG)
        sw.trace(tiny, picture, augmentations=2)
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_products_are_counted() -> None:
    """Against what the layers really multiply, in one to two dimensions, strided, grouped and on tokens."""

    class Kinds(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Conv2d(3, 8, 5, stride=3, padding=2, dilation=2)
            self.grouped, self.line = nn.Conv2d(8, 12, 3, groups=4), nn.Conv1d(12, 6, 3, padding=1)
            self.mix, self.fc = nn.Linear(6, 6), nn.Linear(6, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.line(self.grouped(self.stem(x).relu()).flatten(2).relu())
            return self.fc(self.mix(x.transpose(1, 2)).mean(1))

    to_tensor = [transforms.Resize((33, 29)), transforms.ToTensor(), transforms.Normalize([0.5] * 3, [0.25] * 3)]
    classifier = sw.ImageClassifier(Kinds(), preprocess=transforms.Compose(to_tensor))
    work = choose._Work()

    def count(name: str, product: Any) -> None:
        X = columns(product)  # (groups, c, n)
        work.products += X.shape[2] * product.weight.numel()
        work.outputs += X.shape[2] * product.weight.shape[0]
        work.grams += X.shape[0] * X.shape[1] ** 2 * X.shape[2] / 2 if name in ("grouped", "mix") else 0

    module = classifier.module()
    with torch.no_grad(), Watch(module, count):
        module(torch.zeros(1, 3, 33, 29))
    assert choose._work(classifier, ["grouped", "mix"]) == work


@pytest.mark.parametrize("wait", [0, -1, float("nan"), "long", None])
def test_what_is_no_time(tiny: sw.ImageClassifier, picture: sw.Sample, wait: Any) -> None:
    for solver in (AUTO, "fast"):
        with pytest.raises(sw.InputError, match="a number of seconds above 0 is accepted"):
            sw.trace(tiny, picture, solver=solver, wait=wait)
    with pytest.raises(sw.InputError, match="a number of seconds above 0 is accepted"):
        sw.sensitivity(tiny, picture, wait=wait)


def test_an_unlimited_time(tiny: sw.ImageClassifier) -> None:
    assert resolve(AUTO, tiny, tiny.prunable(), wait=float("inf")) == CANDIDATES[0]
