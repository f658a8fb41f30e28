"""A map that breaks its method's promise of a sum is not shown as if it kept it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from attribution.nets import ask, classify, hard, lively, picture, plain
from torch import Tensor, nn

from spade_widgets.attribution import METHODS, saliency
from spade_widgets.attribution.promise import SumWarning, kept, promised
from spade_widgets.attribution.saliency import noted_steps
from spade_widgets.errors import ModelError
from spade_widgets.pruning.progress import finish


@pytest.mark.parametrize("method", ["deeplift", "lrp", "integrated_gradients"])
def test_how_far_a_sum_is_off_is_said_or_refused(method: str) -> None:
    query, chosen = ask(classify(plain()), 2), METHODS[method]
    whole = promised(chosen, query, chosen.defaults)
    assert whole
    right = torch.full(query.size, whole / (query.size[0] * query.size[1]), dtype=torch.float64)
    for off in (0, 0.005, -0.009):
        assert kept(chosen, query, chosen.defaults, right * (1 + off)) == ""
    for off in (0.02, -0.1, 0.4):
        assert f"off by {abs(off):.0%}" in kept(chosen, query, chosen.defaults, right * (1 + off))
    for off in (0.6, -2, 1e9):
        with pytest.raises(ModelError, match=rf"^The map of {chosen.title} sums to .* where it promises .*: choose"):
            kept(chosen, query, chosen.defaults, right * (1 + off))


@pytest.mark.parametrize("method", [key for key in METHODS if key not in ("deeplift", "lrp", "integrated_gradients")])
def test_the_others_promise_no_sum(method: str) -> None:
    assert promised(METHODS[method], ask(classify(plain())), METHODS[method].defaults) is None


@pytest.mark.parametrize("options", [{"bias": "absorbing"}, {"composite": "epsilon_alpha2_beta1"}])
def test_lrp_promises_no_sum_where_its_rules_lose_relevance(options: dict[str, str]) -> None:
    method = METHODS["lrp"]
    assert promised(method, ask(classify(plain())), {**method.defaults, **options}) is None


def test_a_coarse_integral_is_warned_of_and_noted() -> None:
    classifier = classify(hard("functional"))
    with pytest.warns(SumWarning, match="more steps than 12 bring it closer"):
        found = saliency(classifier, picture(), 1, "integrated_gradients", steps=12)
    noted = finish(noted_steps(classifier, picture(), 1, "integrated_gradients", steps=12))
    assert np.array_equal(noted.map, found)
    assert "off by" in noted.note


def test_a_baseline_whose_logit_is_rounding_is_not_passed_over() -> None:
    """Instance norms on constants: each multiplies the rounding that is left of the channel by 1/√ε."""

    class Noise(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(24)
            self.stem, self.fc = nn.Conv2d(3, 8, 3, 2), nn.Linear(8, 5)
            self.blocks = nn.Sequential(
                *(nn.Sequential(nn.InstanceNorm2d(8), nn.Conv2d(8, 8, 3, padding=1)) for _ in range(24))
            )

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(self.blocks(self.stem(x)).relu().mean((2, 3)))

    with pytest.raises(ModelError, match="The map of DeepLIFT sums to"):
        saliency(classify(lively(Noise())), picture(), 3, "deeplift")
