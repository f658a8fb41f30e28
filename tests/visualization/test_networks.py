"""Real networks: torchvision's, with real weights where there are any, and traces by the engine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from visualization.nets import small_classifier

import spade_widgets as sw
from spade_widgets.sample import Sample
from spade_widgets.visualization import Renderer


def picture() -> Sample:
    return Sample(Image.fromarray(np.random.default_rng(1).integers(0, 256, (32, 32, 3), dtype=np.uint8)))


def images(renderer: Renderer, steps: int) -> torch.Tensor:
    for _ in range(steps):
        renderer.step()
    return renderer.image()


def test_what_differs_between_dense_and_sparse_is_the_pruning_and_nothing_else() -> None:
    """At sparsity 0 a trace renders what the dense model renders, bit for bit; at 0.9 it does not."""
    classifier = small_classifier()
    plan = {"conv3": 0.0, "fc": 0.0}
    nothing = sw.trace(classifier, picture(), plan=plan, augmentations=8)
    much = sw.trace(classifier, picture(), plan={**plan, "conv3": 0.9}, augmentations=8)
    dense = images(Renderer(classifier, "logit:b", seed=4), 5)
    assert torch.equal(images(Renderer(nothing, "logit:b", seed=4), 5), dense)
    assert not torch.equal(images(Renderer(much, "logit:b", seed=4), 5), dense)
    assert torch.equal(Renderer(much, "logit:b", seed=4).image(), Renderer(classifier, "logit:b", seed=4).image())


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", pytest.param("densenet121", marks=pytest.mark.rare)])
def test_every_kind_of_layer_of_torchvisions_networks(name: str) -> None:
    classifier = sw.ImageClassifier.from_torchvision(name, weights=None)
    layers = classifier.layers()
    for layer in (layers[0], *layers[1 :: len(layers) // 5], layers[-1]):
        renderer = Renderer(classifier, f"{layer.name}:{layer.channels - 1}", size=64)
        assert np.isfinite([renderer.step(), renderer.step()]).all()


@pytest.mark.parametrize("label", ["goldfish", "zebra", "school bus"])
def test_the_picture_of_a_class_is_taken_for_that_class(data_dir: Path, label: str) -> None:
    weights = data_dir / "models" / "squeezenet1_1.safetensors"
    classifier = sw.ImageClassifier.from_torchvision("squeezenet1_1", weights=weights)
    image = images(Renderer(classifier, f"logit:{label}", size=160), 64)
    with torch.no_grad():
        logits = classifier.module()(classifier.normalize(image[None]))
    assert classifier.class_names[int(logits.argmax())] == label


def test_channels_asleep_on_the_first_picture_wake_up(data_dir: Path) -> None:
    """Six in ten channels of SqueezeNet's last block are at zero all over the first picture."""
    weights = data_dir / "models" / "squeezenet1_1.safetensors"
    classifier = sw.ImageClassifier.from_torchvision("squeezenet1_1", weights=weights)
    for channel in (32, 192, 352):
        renderer = Renderer(classifier, f"features.12:{channel}", size=96)
        activations = [renderer.step() for _ in range(40)]
        assert activations[0] == 0
        assert activations[-1] > 10
        assert not renderer.dead
