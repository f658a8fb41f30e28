"""What two traces have in common."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import spade_widgets as sw
from spade_widgets.pruning.traces.difference import LayerDiff, diff


@pytest.fixture
def pictures() -> list[sw.Sample]:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 60, 50, 3), dtype=np.uint8)
    return [sw.Sample.read(array, title=title) for array, title in zip(pixels, ("<b>one</b>", "two"), strict=True)]


def test_connections_are_counted() -> None:
    here = {"a": torch.tensor([[1.0, 0, 2, 0], [0, 0, 3, 4]]), "b": torch.ones(3), "c": torch.ones(5)}
    there = {"a": torch.tensor([[9.0, 0, 0, 0], [0, 7, 3, 0]]), "b": torch.zeros(3), "d": torch.ones(5)}
    found = diff(here, there, ("x", "y"))
    assert list(found.layers) == [
        LayerDiff("a", 8, 2, 2, 1, pytest.approx(0.4), pytest.approx(4 * 3 / 8)),
        LayerDiff("b", 3, 0, 3, 0, 0.0, 0.0),
    ]
    assert found.overall == LayerDiff("all", 11, 2, 5, 1, 0.25, 1.5)
    assert (found.pruned_here, found.pruned_there) == (("c",), ("d",))


def test_nothing_kept_in_either_is_the_same() -> None:
    assert diff({"a": torch.zeros(3)}, {"a": torch.zeros(3)}, ("x", "y")).overall.jaccard == 1


def test_chance_is_what_random_traces_have_in_common() -> None:
    rng = torch.Generator().manual_seed(0)
    n, here, there = 400, 60, 100
    one, other, both = torch.zeros(n), torch.zeros(n), []
    for _ in range(300):
        one.zero_()[torch.randperm(n, generator=rng)[:here]] = 1
        other.zero_()[torch.randperm(n, generator=rng)[:there]] = 1
        found = diff({"a": one}, {"a": other}, ("x", "y")).overall
        both.append(found.both)
    assert found.by_chance == pytest.approx(sum(both) / len(both), rel=0.05)


def test_a_trace_has_all_in_common_with_itself(tiny: sw.ImageClassifier, pictures: list[sw.Sample]) -> None:
    trace = sw.trace(tiny, pictures[0], layers="*", sparsity=0.8, augmentations=2)
    found = trace.diff(trace)
    assert (found.overall.both, found.overall.only_here, found.overall.only_there) == (trace.kept, 0, 0)
    assert found.overall.jaccard == 1
    assert [row.both for row in found.layers] == [row.kept for row in trace.stats()]


def test_samples_are_compared(tiny: sw.ImageClassifier, pictures: list[sw.Sample]) -> None:
    one = sw.trace(tiny, pictures[0], layers="0,3", sparsity=0.7, augmentations=2)
    other = sw.trace(tiny, pictures[1], layers="3,7", sparsity=0.9, augmentations=2)
    found, back = one.diff(other), other.diff(one)
    assert [row.name for row in found.layers] == ["3"]
    assert (found.pruned_here, found.pruned_there) == (("0",), ("7",))
    assert (found.overall.only_here, found.overall.only_there) == (back.overall.only_there, back.overall.only_here)
    assert found.overall.both + found.overall.only_here == one.stats()[1].kept
    assert (found.here, found.there) == ("<b>one</b>", "two")
    text = found._repr_html_()
    assert "&lt;b&gt;one&lt;/b&gt; and two: " in text
    assert "<b>" not in text
    assert "Pruned for two alone: 7." in text
    assert text.count("<tr>") == 3


def test_traces_of_different_networks_are_not_compared(
    tiny: sw.ImageClassifier, tiny_model: nn.Module, pictures: list[sw.Sample]
) -> None:
    one = sw.trace(tiny, pictures[0], layers="0", augmentations=1)
    with pytest.raises(sw.InputError, match="no pruned layer in common"):
        one.diff(sw.trace(tiny, pictures[0], layers="7", augmentations=1))
    with pytest.raises(sw.InputError, match="A Sample cannot be compared with a trace"):
        one.diff(pictures[0])  # type: ignore[arg-type]
    same = sw.ImageClassifier(tiny_model, preprocess=tiny._preprocess, name="again")
    assert one.diff(sw.trace(same, pictures[0], layers="0", augmentations=1)).overall.jaccard == 1
    with torch.no_grad():
        tiny_model[7].bias += 1  # type: ignore[index, operator, union-attr]
    other = sw.trace(same, pictures[0], layers="0", augmentations=1)
    with pytest.raises(sw.InputError, match="traces of different classifiers, Sequential and again, or of different"):
        one.diff(other)
