"""What a trace says of its layers and their channels."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pandas
import pytest
import torch
from pruning.traces.test_trace import preprocess
from torch import Tensor, nn
from torch.nn import functional as F

import spade_widgets as sw
from spade_widgets.pruning.calibration.augment import augment
from spade_widgets.pruning.calibration.calibration import calibrate, gram
from spade_widgets.pruning.progress import finish
from spade_widgets.pruning.table import Table
from spade_widgets.pruning.traces.statistics import (
    LayerStats,
    StatsTable,
    channels,
    groups_of,
    inputs,
    layer_energies,
    layer_stats,
    row_energies,
)


@pytest.fixture
def picture() -> sw.Sample:
    return sw.Sample.read(np.random.default_rng(0).integers(0, 256, (60, 50, 3), dtype=np.uint8), title="noise")


def solved_stats(name: str, weight: Tensor, pruned: Tensor, H: Tensor, **more: Any) -> tuple[LayerStats, Tensor]:
    """`layer_stats` of a layer whose H is known."""
    W = weight.flatten(1)
    missed = row_energies(W - pruned.flatten(1), H)
    return layer_stats(name, weight, pruned, row_energies(W, H), missed, **more)


def test_energies_are_those_of_the_outputs() -> None:
    """Against the outputs themselves, in float64; rows of a grouped layer go with their own group."""
    layer = nn.Conv2d(6, 9, 3, groups=3, bias=False).double()
    x = torch.randn(5, 6, 8, 8, dtype=torch.float64)
    found = row_energies(layer.weight.flatten(1), gram(layer, x))
    torch.testing.assert_close(found, layer(x).square().mean((0, 2, 3)))
    linear = nn.Linear(7, 4, bias=False).double()
    tokens = torch.randn(3, 11, 7, dtype=torch.float64)
    torch.testing.assert_close(row_energies(linear.weight, gram(linear, tokens)), linear(tokens).square().mean((0, 1)))


@pytest.mark.parametrize("form", ["full", "columns", "blocks"])
def test_energies_in_every_form(picture: sw.Sample, form: str) -> None:
    """Against the outputs themselves; in blocks, of each piece of the inputs on its own."""
    model = nn.Sequential(nn.AdaptiveAvgPool2d(6), nn.Flatten(), nn.Linear(108, 5, bias=False)).eval()
    classifier = sw.ImageClassifier(model, preprocess=preprocess)
    # 108² · 4 = 46,656 bytes in full; 12 columns are 5,184; four blocks 11,664
    memory = {"full": 50_000, "columns": 20_000, "blocks": 12_000}[form]
    count = 200 if form == "blocks" else 12
    calibration = finish(calibrate(classifier, picture, ["2"], augmentations=count, memory=memory))
    assert calibration.form("2") == form
    given: list[torch.Tensor] = []
    module = classifier.module()
    module.get_submodule("2").register_forward_pre_hook(lambda _m, args: given.append(args[0]))
    for images in augment(classifier, picture, count, seed=0):
        module(images)
    X, W = torch.cat(given), torch.randn(7, 108)
    pieces = X.view(count, -1, 108 // calibration.pieces.get("2", 1)).transpose(0, 1)
    cut = W.view(7, len(pieces), -1).transpose(0, 1)
    expected = (pieces @ cut.transpose(1, 2)).square().mean(1).sum(0)
    torch.testing.assert_close(layer_energies(calibration, "2", W), expected, rtol=1e-4, atol=1e-6)


def test_a_layer_and_its_channels() -> None:
    layer = nn.Conv2d(4, 6, 3, groups=2, bias=False)
    x = torch.randn(4, 4, 9, 9)
    pruned = layer.weight.detach().clone()
    pruned[1] = 0  # a dead output
    pruned[3:, 1] = 0  # the second input of the second group: input channel 3
    pruned[0, 0, 0, 0] = 0
    stats, energies = solved_stats("a", layer.weight.detach(), pruned, gram(layer, x).detach(), groups=2, solver="fast")
    assert (stats.name, stats.total, stats.kept, stats.solver, stats.form) == (
        "a",
        108,
        108 - 18 - 27 - 1,
        "fast",
        "full",
    )
    assert (stats.dead_inputs, stats.dead_outputs) == (1, 1)
    assert stats.sparsity == pytest.approx(46 / 108)
    dense, sparse = layer(x).detach(), F.conv2d(x, pruned, groups=2)
    assert stats.error == pytest.approx(float((dense - sparse).square().sum() / dense.square().sum()), rel=1e-4)

    rows = channels(pruned, energies)
    assert [row.channel for row in rows] == list(range(6))
    assert [row.kept for row in rows] == [17, 0, 18, 9, 9, 9]
    assert [row.dead for row in rows] == [False, True, False, False, False, False]
    assert {row.total for row in rows} == {18}
    power, lost = dense.square().sum((0, 2, 3)), (dense - sparse).square().sum((0, 2, 3))
    assert [row.error for row in rows] == pytest.approx((lost / power).tolist(), rel=1e-3, abs=1e-6)
    assert [row.energy for row in rows] == pytest.approx((power / power.sum()).tolist(), rel=1e-4)
    assert (rows[1].error, rows[2].error) == (pytest.approx(1), 0)

    read = inputs(pruned, 2)
    assert [(row.channel, row.total, row.kept, row.dead) for row in read] == [
        (0, 27, 17, False),
        (1, 27, 18, False),
        (2, 27, 27, False),
        (3, 27, 0, True),
    ]


def test_without_energies_errors_are_not_numbers() -> None:
    row = channels(torch.ones(2, 3), None)[1]
    assert (row.kept, math.isnan(row.error), math.isnan(row.energy)) == (3, True, True)
    assert "–" in channels(torch.ones(2, 3), None)._repr_html_()


def test_a_channel_that_is_always_zero_has_no_error() -> None:
    W, H = torch.eye(2), torch.diag(torch.tensor([1.0, 0.0]))
    stats, energies = solved_stats("a", W, torch.zeros(2, 2), H)
    assert [(row.energy, row.error) for row in channels(torch.zeros(2, 2), energies)] == [(1.0, 1.0), (0.0, 0.0)]
    assert stats.error == 1.0
    stats, energies = solved_stats("a", W, torch.zeros(2, 2), torch.zeros(2, 2))
    assert stats.error == 0.0
    assert [(row.energy, row.error) for row in channels(torch.zeros(2, 2), energies)] == [(0.0, 0.0)] * 2


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_traces_tell_them(tiny: sw.ImageClassifier, picture: sw.Sample, mode: type) -> None:
    with mode():
        trace = sw.trace(tiny, picture, layers="*", sparsity=0.9, augmentations=4)
    assert [row.solver for row in trace.stats()] == ["refined"] * 3
    for row in trace.stats():
        weight = trace.weights()[row.name]
        out, read = trace.channels(row.name), trace.inputs(row.name)
        assert len(out) == len(weight)
        assert len(read) == {"0": 3, "3": 8, "7": 16}[row.name]
        assert sum(r.kept for r in out) == sum(r.kept for r in read) == row.kept
        assert sum(r.dead for r in out) == row.dead_outputs
        assert sum(r.dead for r in read) == row.dead_inputs
        assert sum(r.energy for r in out) == pytest.approx(1)
        assert sum(r.energy * r.error for r in out) == pytest.approx(row.error, rel=1e-4)
    assert any(row.dead_inputs for row in trace.stats())
    for ask in (trace.channels, trace.inputs):
        with pytest.raises(sw.InputError, match=r"The layer '9' is not pruned in this trace; .* '0', '3', '7'\."):
            ask("9")


def test_groups_are_those_of_convolutions_alone() -> None:
    class Odd(nn.Linear):
        groups = 7

    net = nn.Sequential(nn.Conv2d(4, 4, 1, groups=2), Odd(3, 3))
    assert [groups_of(net, name) for name in ("0", "1", "0.weight", "nowhere")] == [2, 1, 1, 1]


def test_tables_in_a_notebook_are_escaped() -> None:
    stats = LayerStats("<b>&", 12345, 1, 0.5, float("nan"), solver="<i>")
    text = StatsTable([stats])._repr_html_()
    assert "<td>&lt;b&gt;&amp;</td><td>12,345</td><td>1</td><td>0.5000</td><td>–</td>" in text
    assert "<b>" not in text
    assert "<i>" not in text
    heads = ["name", "total", "kept", "sparsity", "error", "dead_inputs", "dead_outputs", "solver", "form"]
    assert "".join(f"<th>{head}</th>" for head in heads) in text
    assert "".join(f"<th>{head}</th>" for head in heads) in StatsTable()._repr_html_()
    assert Table()._repr_html_() == "<table><thead><tr></tr></thead><tbody></tbody></table>"
    assert Table([stats])._repr_html_() == text


def test_tables_make_frames(tiny: sw.ImageClassifier, picture: sw.Sample) -> None:
    trace = sw.trace(tiny, picture, layers="*", augmentations=2)
    frame = pandas.DataFrame(trace.stats())
    assert list(frame["name"]) == ["0", "3", "7"]
    assert json.loads(frame["kept"].to_json(orient="values")) == [row.kept for row in trace.stats()]


def test_half_precision_weights_are_measured_in_float32() -> None:
    W = torch.randn(4, 6).half()
    H = gram(nn.Linear(6, 4), torch.randn(50, 6))
    stats, _ = solved_stats("a", W, W * (W.abs() > 0.5), H)
    exact, _ = solved_stats("a", W.double(), (W * (W.abs() > 0.5)).double(), H.double())
    assert stats.error == pytest.approx(exact.error, rel=1e-5)
