"""torchvision's networks under captum and zennit as they come, where those are right: ours are the same maps."""

from __future__ import annotations

import copy
import warnings

import numpy as np
import pytest
import torch
from attribution.families import build, photograph
from captum.attr import DeepLift, GuidedBackprop, InputXGradient, IntegratedGradients, LayerGradCam
from torch import Tensor, nn
from torch.nn import functional as F
from zennit.attribution import Gradient
from zennit.canonizers import SequentialMergeBatchNorm
from zennit.composites import EpsilonPlus

import spade_widgets as sw
from spade_widgets.attribution import saliency
from spade_widgets.attribution.methods.cams import last_map
from spade_widgets.attribution.methods.query import Query
from spade_widgets.classifier import ImageClassifier

#: Every ReLU is a module of its own, and nothing is added: all that captum and zennit can follow by themselves.
NETS = ["squeezenet1_1", *(pytest.param(name, marks=pytest.mark.every) for name in ("alexnet", "vgg11_bn"))]
TARGET = 3


def apart(module: nn.Module) -> nn.Module:
    """A copy that computes nothing in place, which captum's hooks do not bear."""
    module = copy.deepcopy(module)
    for part in module.modules():
        if hasattr(part, "inplace"):
            part.inplace = False
    return module


def flat(attribution: Tensor) -> np.ndarray:
    return attribution[0].sum(0).detach().float().numpy()


def same(found: np.ndarray, expected: np.ndarray, tolerance: float = 1e-4) -> bool:
    assert expected.any()
    return float(np.abs(found - expected).max()) <= tolerance * float(np.abs(expected).max())


@pytest.mark.parametrize("name", NETS)
def test_captums_gradient_methods(name: str) -> None:
    classifier, sample = build(name), photograph()
    net, x = apart(classifier.module()), classifier.prepare(sample)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        guided = GuidedBackprop(net).attribute(x.clone().requires_grad_(), target=TARGET)
    assert same(saliency(classifier, sample, TARGET, "guided_backprop", signed=True), flat(guided))
    product = InputXGradient(net).attribute(x.clone().requires_grad_(), target=TARGET)
    assert same(saliency(classifier, sample, TARGET, "input_x_gradient"), flat(product))
    cam = LayerGradCam(net, net.get_submodule(last_map(Query(classifier, x, TARGET, 0)))).attribute(x, target=TARGET)
    drawn = F.interpolate(cam.relu(), x.shape[2:], mode="bilinear")
    assert np.allclose(saliency(classifier, sample, TARGET, "gradcam"), flat(drawn), rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize("name", NETS)
def test_captums_integral_with_as_many_steps(name: str) -> None:
    """Both are approximations, with other nodes: they come to the same."""
    classifier, sample = build(name), photograph()
    x = classifier.prepare(sample)
    black = Query(classifier, x, TARGET, 0).baseline("black")
    expected = flat(IntegratedGradients(classifier.module()).attribute(x.clone(), black, target=TARGET, n_steps=100))
    found = saliency(classifier, sample, TARGET, "integrated_gradients", steps=100)
    assert float(np.corrcoef(found.ravel(), expected.ravel())[0, 1]) > 0.98


@pytest.mark.parametrize("name", NETS)
def test_zennits_epsilon_plus(name: str) -> None:
    classifier, sample = build(name), photograph()
    x, composite = classifier.prepare(sample), EpsilonPlus(canonizers=[SequentialMergeBatchNorm()])
    with Gradient(model=apart(classifier.module()), composite=composite) as attributor:
        relevance = attributor(
            x.clone().requires_grad_(), lambda logits: logits * F.one_hot(torch.tensor([TARGET]), logits.shape[1])
        )[1]
    assert same(saliency(classifier, sample, TARGET, "lrp", bias="absorbing"), flat(relevance), 1e-3)


@pytest.mark.parametrize("name", NETS)
def test_captums_deeplift_without_max_pooling(name: str) -> None:
    """(With it, captum's hook on the pooling collides with that on the ReLU before, and its sum is wrong.)"""
    given, sample = build(name), photograph()
    net = apart(given.module())
    for path, part in list(net.named_modules()):
        if isinstance(part, nn.MaxPool2d):
            parent, _, own = path.rpartition(".")
            pool = nn.AvgPool2d(part.kernel_size, part.stride, part.padding, part.ceil_mode)
            setattr(net.get_submodule(parent), own, pool)
    classifier = ImageClassifier(net, preprocess=given._preprocess)
    x = classifier.prepare(sample).double()
    target = sw.predict(classifier, sample)[0].index
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = DeepLift(copy.deepcopy(classifier.module()).double()).attribute(
            x.requires_grad_(), torch.zeros_like(x), target=target
        )
    assert same(saliency(classifier, sample, target, "deeplift"), flat(expected))
