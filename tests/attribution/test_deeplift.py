"""DeepLIFT: captum's where captum can, and the sum of the map is the difference of the logits everywhere."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from attribution.nets import HARD, SIZE, Attentive, ask, classify, hard, lively, logit, picture, plain
from captum.attr import DeepLift
from torch import Tensor, nn

from spade_widgets.attribution import saliency
from spade_widgets.attribution.methods.deeplift_rules import RuledDeepLift, with_rules
from spade_widgets.attribution.rewrite import record
from spade_widgets.errors import InputError, ModelError

with_pool = nn.Sequential(
    nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.MaxPool2d(2), nn.Flatten(),
    nn.Linear(8 * SIZE * SIZE // 4, 5),
)  # fmt: skip


def captums(net: nn.Module, x: Tensor, baseline: Tensor, target: int) -> Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found: Tensor = DeepLift(net).attribute(x.requires_grad_(), baseline, target=target)
    return found.detach()


@pytest.mark.parametrize("net", [plain(), lively(with_pool)], ids=["plain", "max pooling"])
def test_it_is_captums_on_a_plain_network(net: nn.Module) -> None:
    classifier = classify(net)
    x = classifier.prepare(picture())
    expected = captums(classifier.module(), x, torch.zeros_like(x), 2)[0].sum(0).numpy()
    found = saliency(classifier, picture(), 2, "deeplift")
    assert np.allclose(found, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())
    assert found.any()


@pytest.mark.parametrize("baseline", ["mean", "black", "blur"])
@pytest.mark.parametrize("name", HARD)
def test_its_sum_is_the_difference_to_the_baseline(name: str, baseline: str) -> None:
    classifier = classify(hard(name))
    query = ask(classifier, 3)
    difference = logit(classifier, query.x, 3) - logit(classifier, query.baseline(baseline), 3)
    found = saliency(classifier, picture(), 3, "deeplift", baseline=baseline)
    assert float(found.sum(dtype=np.float64)) == pytest.approx(difference, rel=1e-4)
    assert np.abs(found).sum() > abs(difference)  # it has both signs: the sum says something


def test_a_tensor_with_two_users_keeps_both_their_shares() -> None:
    """captum's hook on an input takes the whole gradient of the tensor, whoever else uses it."""

    class TwoUsers(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(3, 5, bias=False)

        def forward(self, x: Tensor) -> Tensor:
            x = x.mean((2, 3))
            return self.fc(torch.relu(x) + 3 * x)

    torch.manual_seed(0)
    net = TwoUsers().eval()
    x, start = torch.randn(2, 1, 3, 4, 4)
    recorded = with_rules(record(net, torch.cat([x, start]), "the net"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = RuledDeepLift(recorded).attribute(x.clone().requires_grad_(), start, target=1)
    mean, mean0 = x.mean((2, 3)), start.mean((2, 3))
    change = (mean.relu() - mean0.relu()) + 3 * (mean - mean0)
    assert torch.allclose(found.sum((2, 3)), change * net.fc.weight[1], atol=1e-5)


def test_transformers_are_refused_in_one_sentence() -> None:
    with pytest.raises(
        ModelError, match=r"^DeepLIFT has no rule for 'multi_head_attention_forward', which the net .*\.$"
    ):
        saliency(classify(Attentive()), picture(), 0, "deeplift")


def test_bad_baselines_are_refused() -> None:
    with pytest.raises(InputError, match="There is no baseline 'noise': 'mean', 'black', 'grey', 'white', 'blur'"):
        saliency(classify(plain()), picture(), 0, "deeplift", baseline="noise")
