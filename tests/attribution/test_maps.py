"""Maps show what they should: the Trojan patch on the emoji classifier, the thing on photographs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import spade_widgets as sw
from spade_widgets.attribution import METHODS, saliency
from spade_widgets.demo import emoji
from spade_widgets.evidence.curves import insertion
from spade_widgets.evidence.metrics import pointing_game, trojan_auc

OPTIONS = {"lime": {"samples": 200}, "occlusion": {"window": 8, "stride": 6}, "integrated_gradients": {"steps": 200}}
TROJANS = [sample for sample in emoji.samples() if sample.mask is not None]


@pytest.fixture(scope="module")
def traces() -> list[sw.Trace]:
    return [sw.trace(emoji.classifier(), sample, plan=emoji.PLAN, augmentations=64) for sample in TROJANS[1::3]]


@pytest.mark.parametrize("method", METHODS)
def test_a_trojan_patch_lights_up(method: str, traces: list[sw.Trace]) -> None:
    for network in (traces[0].dense, traces[0], traces[1]):
        sample = traces[1].sample if network is traces[1] else traces[0].sample
        mask = emoji.classifier().view_mask(sample)
        found = saliency(network, sample, method=method, **OPTIONS.get(method, {}))
        assert trojan_auc(found, mask) > 0.85
        # The largest values are those of the patch, and they speak for the class. (A place of the last feature map is
        # 16 px wide, and several pixels may share the largest value.)
        assert pointing_game(found, mask, absolute=False, tolerance=12 if "cam" in method else 4) > 0
        assert found.max() > -found.min() or method == "input_x_gradient"


def test_relevance_sums_to_the_logit_on_the_built_in_classifier(traces: list[sw.Trace]) -> None:
    for network in (emoji.classifier(), traces[0]):
        sample = traces[0].sample
        with torch.no_grad():
            logits = network.module()(emoji.classifier().prepare(sample))[0]
        for target in range(3):
            relevance = saliency(network, sample, target, "lrp")
            assert float(relevance.sum(dtype=np.float64)) == pytest.approx(float(logits[target]), rel=1e-3)


@pytest.mark.parametrize("method", [key for key, method in METHODS.items() if not method.slow])
def test_on_a_photograph_the_first_pixels_are_the_things(method: str, data_dir: Path) -> None:
    """Insertion: the class comes back sooner than with the same map turned upside down, which is as smooth."""
    classifier = sw.ImageClassifier.from_torchvision("mobilenet_v2", data_dir / "models" / "mobilenet_v2.safetensors")
    sample = sw.Sample.read(data_dir / "imagenet_samples" / "n02099601_golden_retriever.jpg")
    found = saliency(classifier, sample, method=method)
    turned = np.ascontiguousarray(found[::-1])
    ours, others = (insertion(classifier, sample, values, steps=14).auc for values in (found, turned))
    assert ours > others + 0.02


def test_relevance_sums_to_the_logit_of_trained_networks(data_dir: Path) -> None:
    for name in ("mobilenet_v2", "squeezenet1_1"):
        classifier = sw.ImageClassifier.from_torchvision(name, data_dir / "models" / f"{name}.safetensors")
        sample = sw.Sample.read(data_dir / "imagenet_samples" / "n01855672_goose.jpg")
        top = sw.predict(classifier, sample)[0].index
        with torch.no_grad():
            logit = float(classifier.module()(classifier.prepare(sample))[0, top])
        relevance = saliency(classifier, sample, top, "lrp")
        assert float(relevance.sum(dtype=np.float64)) == pytest.approx(logit, rel=1e-4)
