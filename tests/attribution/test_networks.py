"""torchvision's classifiers: methods with rules of their own for each operation, on random weights and small images."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from attribution.nets import ask, classify, lively, logit, picture

import spade_widgets as sw
from spade_widgets.attribution import saliency
from spade_widgets.attribution.methods.cams import last_map
from spade_widgets.classifier import ImageClassifier
from spade_widgets.errors import ModelError

#: One of each family that is put together in another way; the others are for `make test-all`.
SAMPLED = (
    "convnext_tiny", "densenet121", "efficientnet_b0", "googlenet", "mnasnet0_5", "mobilenet_v3_small",
    "regnet_y_400mf", "resnet18", "shufflenet_v2_x0_5", "squeezenet1_1",
)  # fmt: skip
#: They compute attention.
TRANSFORMERS = ("maxvit", "swin", "vit")
#: What the smallest image is that it can take; most take 64 px.
SIZES = {"inception": 160, "maxvit": 224, "vit": 224}
LAST = {
    "alexnet": "features.11", "convnext": "features", "densenet": "features", "efficientnet": "features",
    "googlenet": "inception5b", "inception": "Mixed_7c", "mnasnet": "layers", "mobilenet": "features",
    "regnet": "trunk_output", "resne": "layer4", "shufflenet": "conv5", "squeezenet": "features",
    "wide_resnet": "layer4",
}  # fmt: skip
NAMES = torchvision.models.list_models(module=torchvision.models)


@pytest.fixture(autouse=True)
def memory() -> Iterator[None]:
    """The largest classifiers take gigabytes: one is gone before the next comes."""
    yield
    gc.collect()


def build(name: str) -> ImageClassifier:
    torch.manual_seed(0)
    size = next((size for start, size in SIZES.items() if name.startswith(start)), 64)
    auxiliary = name in ("googlenet", "inception_v3")
    options: dict[str, Any] = {"init_weights": False, "aux_logits": False} if auxiliary else {}
    net = lively(torchvision.models.get_model(name, weights=None, num_classes=20, **options))
    classifier = classify(net, size, None)
    norms = [part for part in net.modules() if isinstance(part, torch.nn.BatchNorm2d)]
    for norm in norms:  # as after training: else signals would vanish, or grow until rounding makes the logits
        norm.reset_running_stats()
        norm.momentum = None
        norm.train()
    if norms:
        with torch.no_grad():
            net(classifier.prepare(picture()) + 0.3 * torch.randn(4, 3, size, size))
    net.eval()
    return classify(net, size, None)


def parametrized(*starts: str) -> Any:
    """The classifiers whose names start like that, or those that start like none of the transformers."""
    names = [n for n in NAMES if (n.startswith(starts) if starts else not n.startswith(TRANSFORMERS))]
    return pytest.mark.parametrize(
        "name", [pytest.param(n, marks=() if n in SAMPLED else pytest.mark.every) for n in names]
    )


@parametrized()
def test_convolutional_classifiers(name: str) -> None:
    classifier = build(name)
    target = sw.predict(classifier, picture())[0].index
    query = ask(classifier, target)
    logits = [logit(classifier, x, target) for x in (query.x, torch.zeros_like(query.x))]
    weights = classifier.digest

    for method, whole in (("deeplift", logits[0] - logits[1]), ("lrp", logits[0])):
        shares = saliency(classifier, picture(), target, method).astype(np.float64)
        # Of untrained networks positive and negative shares may be many times the whole, in float32.
        assert float(shares.sum()) == pytest.approx(whole, rel=1e-3, abs=1e-5 * float(np.abs(shares).sum()))
    for method in ("saliency", "guided_backprop"):
        assert saliency(classifier, picture(), target, method).any()
    assert any(saliency(classifier, picture(), target, "gradcam").any() for target in range(5))
    layer = last_map(query)
    if not name.startswith("vgg"):
        assert layer == next(last for start, last in LAST.items() if name.startswith(start))
    else:  # before the last pooling
        assert isinstance(classifier.module().get_submodule(layer), torch.nn.ReLU)
    assert ImageClassifier(classifier._model, preprocess=classifier._preprocess).digest == weights


@pytest.mark.parametrize("name", ["mobilenet_v3_small", "shufflenet_v2_x0_5"])
def test_their_traces(name: str) -> None:
    classifier = build(name)
    trace = sw.trace(classifier, picture(), sparsity=0.9, augmentations=2)
    relevance = saliency(trace, picture(), 7, "lrp")
    assert float(relevance.sum(dtype=np.float64)) == pytest.approx(logit(trace, ask(trace).x, 7), rel=1e-3)
    for method in ("saliency", "deeplift", "guided_backprop"):
        dense, sparse = (saliency(network, picture(), 7, method) for network in (classifier, trace))
        assert not np.allclose(dense, sparse, rtol=0.01, atol=0.01 * np.abs(dense).max())


@parametrized(*TRANSFORMERS)
def test_transformers(name: str) -> None:
    classifier = build(name)
    if name.startswith("vit"):
        torch.nn.init.normal_(classifier._model.heads.head.weight)  # torchvision begins with zeros
    assert saliency(classifier, picture(), 7).any()
    assert saliency(classifier, picture(), 7, "guided_backprop").any()
    for method in ("lrp", "deeplift"):
        with pytest.raises(ModelError, match=r"has no rule for '.*', which the net computes"):
            saliency(classifier, picture(), 7, method)
    if name.startswith("vit"):
        with pytest.raises(ModelError, match="goes on with tokens after its last feature map"):
            saliency(classifier, picture(), 7, "gradcam")
    else:
        assert saliency(classifier, picture(), 7, "gradcam").shape == classifier.input_size
