"""The sensitivity table: its numbers, its rows, its figure."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from torch import nn

import spade_widgets as sw
from spade_widgets.pruning.plans.held_out import HeldOut
from spade_widgets.pruning.plans.sensitivity import TOGETHER, Sensitivity, SensitivityTable


@pytest.fixture
def picture() -> sw.Sample:
    noise = np.random.default_rng(1).integers(0, 256, (10, 15, 3), dtype=np.uint8)
    return sw.Sample.read(noise.repeat(8, 0).repeat(8, 1), title="noise")


def test_rows_are_what_the_traces_do(tiny: sw.ImageClassifier, picture: sw.Sample) -> None:
    options: dict[str, Any] = {"layers": "3, 7", "augmentations": 5, "seed": 4}
    table = sw.sensitivity(tiny, picture, sparsities=[0.9, 0.5, 0.9], held_out=20, per_layer=True, **options)
    assert [(row.layer, row.sparsity) for row in table] == [
        (layer, sparsity) for layer in (TOGETHER, "3", "7") for sparsity in (0.5, 0.9)
    ]
    held_out = HeldOut(tiny, picture, 20, 4)
    for row in table:
        layers = "3, 7" if row.layer == TOGETHER else row.layer
        trace = sw.trace(tiny, picture, sparsity=row.sparsity, **(options | {"layers": layers}))
        verdict = held_out.judge(trace.weights())
        assert (row.kept, row.total) == (trace.kept, trace.total)
        assert row.agreement == verdict.agreement
        assert row.kl == pytest.approx(verdict.kl, rel=1e-3, abs=1e-7)
        errors = [stats.error for stats in trace.stats()]
        assert row.error == pytest.approx(sum(errors) / len(errors), rel=1e-3)


def test_without_the_layers_alone(tiny: sw.ImageClassifier, picture: sw.Sample) -> None:
    table = sw.sensitivity(tiny, picture, augmentations=3, held_out=4)
    assert {row.layer for row in table} == {TOGETHER}
    sparsities = [row.sparsity for row in table]
    assert sparsities == sorted(sparsities)
    assert min(sparsities) >= 0.5
    assert len(sparsities) >= 8


def test_at_sparsity_zero_nothing_changes(tiny: sw.ImageClassifier, picture: sw.Sample) -> None:
    (row,) = sw.sensitivity(tiny, picture, sparsities=[0], layers="*", augmentations=2, held_out=6)
    assert (row.kl, row.agreement, row.error) == (0, 1, 0)
    assert row.kept == row.total


def test_it_is_a_table(tiny: sw.ImageClassifier, picture: sw.Sample) -> None:
    table = sw.sensitivity(tiny, picture, sparsities=[0.5], augmentations=2, held_out=2)
    assert isinstance(table, tuple)
    html = table._repr_html_()
    assert html.count("<tr>") == 2
    for name in ("layer", "sparsity", "kl", "agreement", "error"):
        assert f"<th>{name}</th>" in html


def test_the_figure_has_a_line_a_layer_in_every_pane() -> None:
    rows = [
        Sensitivity(layer, sparsity, 5, 10, sparsity, 1 - sparsity, sparsity / 2)
        for layer in (TOGETHER, "a", "<b>")
        for sparsity in (0.5, 0.9)
    ]
    figure = SensitivityTable(rows).figure()
    assert len(figure.data) == 9
    assert [line.showlegend for line in figure.data] == [True, False, False] * 3
    first = figure.data[0]
    assert (list(first.x), list(first.y)) == ([0.5, 0.9], [0.5, pytest.approx(0.1)])
    assert list(figure.data[1].y) == [0.5, 0.9]
    assert {line.xaxis for line in figure.data} == {"x", "x2", "x3"}
    assert figure.data[-1].name == "&lt;b>"  # a user's text is no markup


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"sparsities": []}, "give at least one"),
        ({"sparsities": [0.5, 1]}, "0 ≤ sparsity < 1"),
        ({"layers": "nope"}, "matches 'nope'"),
        ({"layers": []}, "names no layer"),
        ({"augmentations": 0}, "number of augmentations is 0"),
        ({"held_out": 0}, "number of held-out augmentations is 0"),
        ({"solver": "best"}, "no solver 'best'"),
    ],
)
def test_what_cannot_be_asked_for(
    tiny: sw.ImageClassifier, picture: sw.Sample, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(sw.InputError, match=said):
        sw.sensitivity(tiny, picture, **options)


def test_a_network_without_layers(picture: sw.Sample) -> None:
    with pytest.raises(sw.InputError, match="it has 0"):
        sw.sensitivity(sw.ImageClassifier(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())), picture)
