"""LRP: zennit's where zennit can, relevance that sums to the logit, and the user's weights as they were."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from attribution.nets import HARD, Attentive, ask, classify, hard, logit, picture, plain
from torch import Tensor, nn
from zennit.attribution import Gradient
from zennit.canonizers import SequentialMergeBatchNorm
from zennit.composites import EpsilonAlpha2Beta1, EpsilonGammaBox, EpsilonPlus, EpsilonPlusFlat
from zennit.core import Composite

from spade_widgets.attribution import saliency
from spade_widgets.attribution.methods.lrp import canonical
from spade_widgets.attribution.methods.lrp_rules import conserving_epsilon, conserving_z_plus, shares
from spade_widgets.errors import InputError, ModelError


def zennits(net: nn.Module, composite: Composite, x: Tensor, target: int) -> Tensor:
    def seed(logits: Tensor) -> Tensor:
        return logits * nn.functional.one_hot(torch.tensor([target]), logits.shape[1])

    with Gradient(model=net, composite=composite) as attributor:
        return attributor(x.clone().requires_grad_(), seed)[1].detach()


BLACK, WHITE = -torch.full((1, 3, 1, 1), 2.0), torch.full((1, 3, 1, 1), 2.0)


@pytest.mark.parametrize(
    ("name", "composite"),
    [
        ("epsilon_plus", EpsilonPlus),
        ("epsilon_plus_flat", EpsilonPlusFlat),
        ("epsilon_alpha2_beta1", EpsilonAlpha2Beta1),
        ("epsilon_gamma_box", lambda **options: EpsilonGammaBox(low=BLACK, high=WHITE, **options)),
    ],
)
@pytest.mark.parametrize("bias", ["ignored", "absorbing"])
def test_it_is_zennits_on_a_plain_network(name: str, composite: Callable[..., Composite], bias: str) -> None:
    net = nn.Sequential(*plain()[:3], nn.BatchNorm2d(12).eval(), *plain()[3:])
    net[3].bias.data.uniform_(-0.1, 0.1)
    if bias == "ignored":
        net[-1].bias.data.zero_()  # a linear layer's is shared among its inputs, which zennit does not
    net[3].running_var.uniform_(0.5, 2)
    classifier = classify(net)
    options = {"zero_params": ["bias"]} if bias == "ignored" else {}
    x = classifier.prepare(picture())
    # zennit would write into the module's own parameters, and puts them back
    expected = zennits(net, composite(canonizers=[SequentialMergeBatchNorm()], **options), x, 2)[0].sum(0).numpy()
    found = saliency(classifier, picture(), 2, "lrp", composite=name, bias=bias)
    assert np.allclose(found, expected, rtol=1e-3, atol=1e-5 * np.abs(expected).max())
    assert found.any()


@pytest.mark.parametrize("composite", ["epsilon_plus", "epsilon_plus_flat"])
@pytest.mark.parametrize("target", [0, 4])
@pytest.mark.parametrize("name", ["plain", *HARD])
def test_relevance_sums_to_the_logit(name: str, target: int, composite: str) -> None:
    classifier = classify(plain() if name == "plain" else hard(name))
    found = saliency(classifier, picture(), target, "lrp", composite=composite)
    assert float(found.sum(dtype=np.float64)) == pytest.approx(logit(classifier, ask(classifier).x, target), rel=1e-3)


@pytest.mark.parametrize("composite", ["epsilon_plus", "epsilon_plus_flat"])
@pytest.mark.parametrize("scale", [1e-9, 1e-5, 1e4])
def test_relevance_does_not_depend_on_the_scale_of_signals(scale: float, composite: str) -> None:
    """Without biases all signals scale with the first layer's weights, as far as an untrained network's may vanish."""
    net = plain(bias=False)
    shortcut = nn.Sequential(net[0], Twice(), *net[1:]).eval()
    expected = saliency(classify(shortcut), picture(), 2, "lrp", composite=composite)
    net[0].weight.data *= scale
    found = saliency(classify(shortcut), picture(), 2, "lrp", composite=composite)
    np.testing.assert_allclose(found / scale, expected, rtol=1e-2, atol=1e-4 * np.abs(expected).max())


class Twice(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + x.flip(3)


def test_biases_keep_what_they_absorb() -> None:
    classifier = classify(plain())
    found = saliency(classifier, picture(), 1, "lrp", bias="absorbing")
    assert abs(found.sum()) < abs(logit(classifier, ask(classifier).x, 1)) * 0.99


def test_outputs_that_are_the_biases_alone_hand_their_relevance_to_the_others() -> None:
    """Depthwise: the first channel is negative everywhere but for its bias, the second one is not."""
    conv = nn.Conv2d(2, 2, 1, groups=2)
    conv.weight.data = torch.tensor([-1.0, 1.0]).view(2, 1, 1, 1)
    conv.bias.data = torch.tensor([9.0, 0.0])  # type: ignore[union-attr]
    x = torch.tensor([1.0, 2.0]).view(1, 2, 1, 1)
    for seed in ([3.0, 4.0], [-3.0, -4.0]):
        relevance = _relevance(conv, conserving_z_plus(), x, torch.tensor(seed).view(1, 2, 1, 1))
        assert relevance.flatten().tolist() == pytest.approx([0, sum(seed)], abs=1e-5)


def test_a_linear_layers_bias_is_shared_by_magnitude() -> None:
    layer = nn.Linear(3, 2)
    layer.weight.data = torch.tensor([[3.0, -1.0, 5.0], [1.0, 1.0, 1.0]])
    layer.bias.data = torch.tensor([4.0, 0.0])
    x = torch.tensor([[1.0, 1.0, 0.0]])  # outputs 6 (of it 4 the bias) and 2
    relevance = _relevance(layer, conserving_epsilon(), x, torch.tensor([[12.0, 0.0]]))
    assert relevance.flatten().tolist() == pytest.approx([2 * (3 + 4 * 3 / 4), 2 * (-1 + 4 * 1 / 4), 0], abs=1e-4)
    relevance = _relevance(layer, conserving_epsilon(), x, torch.tensor([[0.0, 3.0]]))
    assert relevance.flatten().tolist() == pytest.approx([1.5, 1.5, 0], abs=1e-4)


def test_summands_get_shares_by_magnitude() -> None:
    pool = nn.AdaptiveAvgPool2d(1)
    x = torch.tensor([3.0, -1.0, 0.0, 0.0]).view(1, 1, 2, 2)
    relevance = _relevance(pool, shares(), x, torch.full((1, 1, 1, 1), 8.0))
    assert relevance.flatten().tolist() == pytest.approx([6, 2, 0, 0], abs=1e-4)


def _relevance(layer: nn.Module, rule: object, x: Tensor, seed: Tensor) -> Tensor:
    composite = Composite(module_map=lambda _context, _name, module: rule if module is layer else None)
    with Gradient(model=layer, composite=composite) as attributor:
        return attributor(x.clone().requires_grad_(), seed)[1].detach()


@pytest.mark.parametrize("name", HARD)
def test_the_canonical_network_computes_the_same(name: str) -> None:
    classifier = classify(hard(name))
    query = ask(classifier)
    with torch.no_grad():
        assert torch.allclose(canonical(query)(query.x), classifier.module()(query.x), rtol=1e-4, atol=1e-5)


def test_what_has_no_rule_is_refused_in_one_sentence() -> None:
    class TwoMaps(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Conv2d(3, 5, 3), nn.Conv2d(3, 5, 3)

        def forward(self, x: Tensor) -> Tensor:
            return (self.a(x) * self.b(x)).mean((2, 3))

    with pytest.raises(ModelError, match=r"^LRP has no rule for 'multi_head_attention_forward', which the net .*\.$"):
        saliency(classify(Attentive()), picture(), 0, "lrp")
    with pytest.raises(ModelError, match=r"^LRP has no rule for a product of two feature maps, which the net .*\.$"):
        saliency(classify(TwoMaps()), picture(), 0, "lrp")


@pytest.mark.parametrize(("option", "value"), [("composite", "epsilon_minus"), ("bias", "kept")])
def test_bad_options_are_refused(option: str, value: str) -> None:
    with pytest.raises(InputError, match=f"There is no {option} '{value}': '.*can be chosen"):
        saliency(classify(plain()), picture(), 0, "lrp", **{option: value})
