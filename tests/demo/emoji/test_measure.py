"""The measurements' own arithmetic, on cases whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from spade_widgets.demo.emoji.generate import FACETS
from spade_widgets.demo.emoji.measure import Figure, auc, gradient_map, read_facet

MASK = np.array([[True, True, False], [False, False, False]])


def test_auc_counts_ordered_pairs_and_half_of_the_ties() -> None:
    assert auc(np.array([[5.0, 4.0, 3.0], [2.0, 1.0, 0.0]]), MASK) == 1.0
    assert auc(np.array([[0.0, 1.0, 3.0], [2.0, 4.0, 5.0]]), MASK) == 0.0
    assert auc(np.zeros((2, 3)), MASK) == 0.5
    # 3 is above 1 and 2, below 4 and 5; 6 is above all four.
    assert auc(np.array([[3.0, 6.0, 1.0], [2.0, 4.0, 5.0]]), MASK) == pytest.approx(6 / 8)


def test_an_interval_holds_the_mean_and_narrows_with_more_samples() -> None:
    few, many = Figure.of([0.0, 1.0] * 10), Figure.of([0.0, 1.0] * 500)
    assert few.low < few.mean == 0.5 < few.high
    assert many.high - many.low < (few.high - few.low) / 4
    assert Figure.of([0.0, 1.0] * 10) == few


def test_the_gradient_map_of_a_linear_network_is_its_weights() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, 3, bias=False))
    weights = network[1].weight.detach()[2].view(3, 2, 2)
    found = gradient_map(network, torch.randn(1, 3, 2, 2), 2)
    assert np.allclose(found, weights.abs().sum(0).numpy(), atol=1e-6)


@pytest.mark.parametrize("facet", ["dog", "cat"])
def test_the_reader_chooses_between_the_two_facets_of_the_class_only(facet: str) -> None:
    class Fixed(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            scores = x.new_zeros(len(x), len(FACETS))
            scores[:, FACETS.index("pizza")] = 9
            scores[:, FACETS.index(facet)] = 1
            return scores

    assert read_facet(Fixed(), Image.new("RGB", (96, 96)), "pet") == facet
