"""Gradient methods: autograd's and captum's figures, completeness, and rules that do not care how a net is written."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from attribution.nets import HARD, Attentive, ask, classify, hard, logit, picture, plain
from captum.attr import GuidedBackprop, InputXGradient, IntegratedGradients
from torch import Tensor, nn

from spade_widgets.attribution import saliency
from spade_widgets.attribution.methods import gradients
from spade_widgets.attribution.methods.query import Query
from spade_widgets.errors import InputError, ModelError

#: An integral in a few steps is off, and says so: `test_promise.py` looks at that.
pytestmark = pytest.mark.filterwarnings("ignore::spade_widgets.attribution.promise.SumWarning")

NETS = {"plain": plain, **{name: lambda name=name: hard(name) for name in HARD}, "attention": Attentive}


def autograd(classifier: Any, x: Tensor, target: int) -> Tensor:
    x = x.clone().requires_grad_()
    classifier.module()(x * 1)[0, target].backward()
    assert x.grad is not None
    return x.grad[0]


@pytest.mark.parametrize("name", NETS)
def test_saliency_is_autograds_gradient(name: str) -> None:
    classifier = classify(NETS[name]())
    gradient = autograd(classifier, ask(classifier).x, 2)
    found = saliency(classifier, picture(), 2)
    assert np.allclose(found, gradient.abs().amax(0).numpy(), rtol=1e-4, atol=1e-9)
    signed = saliency(classifier, picture(), 2, signed=True)
    assert np.allclose(signed, gradient.sum(0).numpy(), rtol=1e-3, atol=1e-7)
    assert signed.min() < 0


@pytest.mark.parametrize("name", NETS)
def test_input_x_gradient_is_captums(name: str) -> None:
    classifier = classify(NETS[name]())
    x = ask(classifier).x
    expected = InputXGradient(classifier.module()).attribute(x.clone().requires_grad_(), target=2)[0].sum(0)
    assert np.allclose(saliency(classifier, picture(), 2, "input_x_gradient"), expected.detach().numpy(), atol=1e-7)
    assert np.allclose(expected.detach(), (x[0] * autograd(classifier, x, 2)).sum(0), atol=1e-6)


@pytest.mark.parametrize("baseline", ["black", "mean", "white", "grey", "blur"])
def test_integrated_gradients_are_complete(baseline: str) -> None:
    classifier = classify(hard("gated"))
    query = ask(classifier)
    found = saliency(classifier, picture(), 1, "integrated_gradients", steps=100, baseline=baseline)
    difference = logit(classifier, query.x, 1) - logit(classifier, query.baseline(baseline), 1)
    assert float(found.sum()) == pytest.approx(difference, rel=2e-2, abs=1e-4)


@pytest.mark.parametrize("steps", [1, 7, 10])
def test_integrated_gradients_are_captums_in_one_part(steps: int) -> None:
    classifier = classify(hard("gated"))
    query = ask(classifier)
    expected = IntegratedGradients(classifier.module()).attribute(
        query.x, query.baseline("black"), target=1, n_steps=steps
    )
    found = saliency(classifier, picture(), 1, "integrated_gradients", steps=steps, batch=3)
    assert np.allclose(found, expected[0].sum(0).detach().numpy(), rtol=1e-4, atol=1e-7)


def test_integrated_gradients_come_near_captums_in_many_parts() -> None:
    classifier = classify(hard("gated"))
    query = ask(classifier)
    exact = IntegratedGradients(classifier.module()).attribute(
        query.x, query.baseline("black"), target=1, n_steps=200
    )[0].sum(0).numpy()  # fmt: skip
    found = saliency(classifier, picture(), 1, "integrated_gradients")
    assert np.abs(found - exact).sum() < 0.1 * np.abs(exact).sum()


class Linear(nn.Module):
    """Logits that are linear in the image: every gradient is the weight."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(3 * 32 * 32, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x.flatten(1))


def test_on_a_linear_network_noise_changes_nothing() -> None:
    net = Linear()
    classifier = classify(net)
    weight = net.fc.weight[3].detach().view(3, 32, 32)
    assert np.allclose(saliency(classifier, picture(), 3, "smoothgrad"), weight.abs().amax(0), atol=1e-6)
    query = ask(classifier, 3)
    expected = (weight * (query.x - query.baseline("grey"))[0]).sum(0)
    found = saliency(classifier, picture(), 3, "gradient_shap", baselines="grey")
    assert np.allclose(found, expected, atol=1e-5)


def test_smoothgrad_is_the_mean_of_its_noisy_gradients() -> None:
    classifier = classify(hard("gated"))
    x = ask(classifier).x
    draws = torch.Generator().manual_seed(5)
    spread = 0.2 * float(x.max() - x.min())
    noisy = [autograd(classifier, x + spread * torch.randn(x.shape[1:], generator=draws), 1) for _ in range(4)]
    found = saliency(classifier, picture(), 1, "smoothgrad", seed=5, samples=4, noise=0.2, batch=3)
    assert np.allclose(found, torch.stack(noisy).mean(0).abs().amax(0).numpy(), rtol=1e-3, atol=1e-8)
    assert np.allclose(
        saliency(classifier, picture(), 1, "smoothgrad", samples=2, noise=0),
        saliency(classifier, picture(), 1),
        atol=1e-8,
    )


def test_gradient_shap_is_the_mean_over_random_points() -> None:
    classifier = classify(hard("gated"))
    query = ask(classifier)
    starts = [query.baseline(kind) for kind in ("black", "white")]
    draws = torch.Generator().manual_seed(7)
    picks = torch.randint(2, (5,), generator=draws).tolist()
    alphas = torch.rand(5, generator=draws, dtype=torch.float64).tolist()
    expected = sum(
        (query.x - starts[pick])[0] * autograd(classifier, starts[pick] + alpha * (query.x - starts[pick]), 1)
        for pick, alpha in zip(picks, alphas, strict=True)
    )
    assert len(set(picks)) == 2
    found = saliency(
        classifier, picture(), 1, "gradient_shap", seed=7, samples=5, baselines=("black", "white"), batch=2
    )  # fmt: skip
    assert np.allclose(found, torch.as_tensor(expected).sum(0).numpy() / 5, rtol=1e-3, atol=1e-6)


def test_gradient_shap_takes_its_noise_on_the_image() -> None:
    classifier = classify(hard("gated"))
    maps = [saliency(classifier, picture(), 1, "gradient_shap", samples=8, noise=noise) for noise in (0.0, 0.3)]
    assert not np.allclose(*maps)


def captums_guided(net: nn.Module, x: Tensor, target: int) -> np.ndarray[Any, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found: Tensor = GuidedBackprop(net).attribute(x.clone().requires_grad_(), target=target)
    return found[0].detach().numpy()


def test_guided_backprop_is_captums_on_a_plain_network() -> None:
    classifier = classify(plain())
    expected = captums_guided(classifier.module(), ask(classifier).x, 2)
    assert np.allclose(saliency(classifier, picture(), 2, "guided_backprop", signed=True), expected.sum(0), atol=1e-9)
    assert np.allclose(saliency(classifier, picture(), 2, "guided_backprop"), np.abs(expected).max(0), atol=1e-9)
    assert not np.allclose(np.abs(expected).max(0), saliency(classifier, picture(), 2), atol=1e-7)


def test_guided_backprop_reaches_every_relu_however_it_is_called() -> None:
    """The network with a module for each ReLU, out of place, is captum's; ours may reuse one, in place."""

    class Apart(nn.Module):
        def __init__(self, net: Any) -> None:
            super().__init__()
            self.net = net
            self.relus = nn.ModuleList([nn.ReLU() for _ in range(3)])

        def forward(self, x: Tensor) -> Tensor:
            net = self.net
            x = self.relus[0](net.bn1(net.conv1(x)))
            x = self.relus[1](net.bn2(net.conv2(x)) + x)
            x = self.relus[2](net.bn3(net.conv3(x)) + x)
            return net.fc(x.mean((2, 3)))

    net = hard("reused ReLU")
    classifier = classify(net)
    expected = captums_guided(Apart(classifier.module()), ask(classifier).x, 1)
    found = saliency(classifier, picture(), 1, "guided_backprop", signed=True)
    assert np.allclose(found, expected.sum(0), rtol=1e-4, atol=1e-8)


def test_guided_backprop_without_rectifiers_is_refused() -> None:
    with pytest.raises(ModelError, match=r"^Guided backpropagation changes how ReLUs pass .*, and the net has none\.$"):
        saliency(classify(Linear()), picture(), 0, "guided_backprop")


def test_methods_that_need_no_rule_work_on_transformers() -> None:
    classifier = classify(Attentive())
    for method in ("smoothgrad", "gradient_shap", "integrated_gradients", "guided_backprop"):
        assert saliency(classifier, picture(), 1, method).any()


@pytest.mark.parametrize(
    ("method", "options", "said"),
    [
        ("smoothgrad", {"samples": 0}, "'samples' is a whole number from 1; 0 is none"),
        ("smoothgrad", {"noise": -1}, "'noise' is a number from 0; -1 is none"),
        ("smoothgrad", {"noise": float("nan")}, "'noise' is a number from 0; nan is none"),
        ("integrated_gradients", {"steps": 2.5}, "'steps' is a whole number from 1; 2.5 is none"),
        ("integrated_gradients", {"batch": True}, "'batch' is a whole number from 1; True is none"),
        ("gradient_shap", {"baselines": ()}, "There is no baseline to draw from"),
        ("gradient_shap", {"baselines": ("black", "pink")}, "There is no baseline 'pink'"),
    ],
)
def test_bad_options_are_refused(method: str, options: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        saliency(classify(plain()), picture(), 0, method, **options)


def test_the_parts_of_the_path_have_all_steps() -> None:
    classifier = classify(plain())
    query = Query(classifier, ask(classifier).x, 0, 0)
    done = [step.done for step in gradients.integrated_gradients(query, steps=23, baseline="black", batch=None)]
    assert done == [7, 15, 23]
