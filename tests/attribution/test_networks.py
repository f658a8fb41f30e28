"""torchvision's classifiers: methods with rules of their own for each operation, on random weights and small images."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from attribution.families import build, methods
from attribution.nets import ask, logit, picture
from marks import left_to

import spade_widgets as sw
from spade_widgets.attribution import METHODS, saliency
from spade_widgets.attribution.methods.cams import last_map
from spade_widgets.classifier import ImageClassifier
from spade_widgets.errors import ModelError
from spade_widgets.pruning.plans.plan import late

#: Random weights on small images make integrals coarse: `test_promise.py` looks at what is said then.
pytestmark = pytest.mark.filterwarnings("ignore::spade_widgets.attribution.promise.SumWarning")

#: What `make test` tries.
ALWAYS = ("mobilenet_v3_small", "resnet18", "squeezenet1_1")
#: One of each family that is put together in another way: for `make test-rare`; the others are for `make test-all`.
SAMPLED = (
    "convnext_tiny", "densenet121", "efficientnet_b0", "googlenet", "mnasnet0_5", "mobilenet_v3_small",
    "regnet_y_400mf", "resnet18", "shufflenet_v2_x0_5", "squeezenet1_1",
)  # fmt: skip
#: They compute attention.
TRANSFORMERS = ("maxvit", "swin", "vit")
#: What all thirteen methods are tried on, always or by `make test-rare`; `make test-all` does it on every member that
#: the page in the docs lists.
ALL_METHODS = ("built-in", "mobilenet_v3_small", "squeezenet1_1")
MORE_METHODS = ("densenet121", "resnet18", "shufflenet_v2_x0_5")
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


def parametrized(*starts: str) -> Any:
    """The classifiers whose names start like that, or those that start like none of the transformers."""
    names = [n for n in NAMES if (n.startswith(starts) if starts else not n.startswith(TRANSFORMERS))]
    return pytest.mark.parametrize("name", [pytest.param(n, marks=left_to(n, ALWAYS, SAMPLED)) for n in names])


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


@pytest.mark.parametrize("name", ["mobilenet_v3_small", pytest.param("shufflenet_v2_x0_5", marks=pytest.mark.rare)])
def test_their_traces(name: str) -> None:
    classifier = build(name)
    trace = sw.trace(classifier, picture(), sparsity=0.9, layers=late(classifier), solver="fast", augmentations=2)
    relevance = saliency(trace, picture(), 7, "lrp")
    assert float(relevance.sum(dtype=np.float64)) == pytest.approx(logit(trace, ask(trace).x, 7), rel=1e-3)
    for method in ("saliency", "deeplift", "guided_backprop"):
        dense, sparse = (saliency(network, picture(), 7, method) for network in (classifier, trace))
        assert not np.allclose(dense, sparse, rtol=0.01, atol=0.01 * np.abs(dense).max())


@parametrized(*TRANSFORMERS)
def test_transformers(name: str) -> None:
    classifier = build(name)
    assert saliency(classifier, picture(), 7).any()
    assert saliency(classifier, picture(), 7, "guided_backprop").any()
    for method in ("lrp", "deeplift"):
        with pytest.raises(ModelError, match=r"has no rule for '.*', which .* computes"):
            saliency(classifier, picture(), 7, method)
    if name.startswith("vit"):
        with pytest.raises(ModelError, match="goes on with tokens after its last feature map"):
            saliency(classifier, picture(), 7, "gradcam")
    else:
        assert saliency(classifier, picture(), 7, "gradcam").shape == classifier.input_size


MEMBERS = [name for members in methods.FAMILIES.values() for name in members]


OWN = [name for name in MEMBERS if name not in (methods.BUILT_IN, *methods.LEFT_OUT)]


def listed(own: bool) -> dict[str, list[str]]:
    """One of the page's two tables: classifier → cells."""
    page = methods.TABLE.read_text(encoding="utf-8").partition(f"## {methods.TITLES[own]}\n")[2].partition("\n## ")[0]
    lines = [line for line in page.splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in lines[1:]]
    return {row[0]: row[1:] for row in cells}


@pytest.mark.parametrize("own", methods.TITLES)
def test_the_page_lists_what_was_tried(own: bool) -> None:
    assert list(listed(own)) == (OWN if own else MEMBERS)
    assert {len(cells) for cells in listed(own).values()} == {len(METHODS) + 1}


@pytest.mark.parametrize(
    ("name", "own"),
    [
        pytest.param(n, own, marks=left_to(n, ALL_METHODS, MORE_METHODS))
        for own in methods.TITLES
        for n in (OWN if own else MEMBERS)
    ],
)
def test_all_methods_apply_or_say_why_not_as_the_page_says(name: str, own: bool) -> None:
    row = methods.check(name, own)
    notes: list[str] = []
    cells = [cell.split(" [")[0] for cell in listed(own)[name]]
    for method, cell, found in zip(METHODS, cells, methods.line(row, notes).strip("| ").split(" | ")[1:], strict=False):
        assert (cell == "–") == (method in row.refused), method
        assert (cell == "✓") == (found == "✓"), method
    assert cells[-1].strip("`") == (row.layer or "–")
    for sentence in row.refused.values():
        assert sentence.endswith(": gradient and perturbation methods work on it.")
        assert sentence.count(".") == 1
    for method, (found, whole, magnitudes) in row.sums.items():
        slack = 0.05 * magnitudes if method == "integrated_gradients" else 1e-3 * abs(whole) + 1e-5 * magnitudes
        assert abs(found - whole) <= slack, method
