"""Half the bits for the network: only where that saves time, and the pictures are as good."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from visualization.nets import Sparse, small_classifier

from spade_widgets.classifier import ImageClassifier
from spade_widgets.demo import photos
from spade_widgets.errors import ModelError
from spade_widgets.network import half
from spade_widgets.prediction import Network
from spade_widgets.visualization import Renderer

CPU = torch.device("cpu")


@pytest.fixture
def multiplied(monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor that multiplies bfloat16 by itself."""
    monkeypatch.setattr(half, "_multiplied", lambda: True)


def excited(network: Network, neuron: str, picture: Tensor) -> float:
    """What the unmoved picture excites the neuron to in float32: a class's logit."""
    classifier = network.dense
    with torch.no_grad():
        logits = classifier.module()(classifier.normalize(picture))
    return float(logits[0, classifier.neuron(neuron).channel])


@pytest.mark.usefixtures("multiplied")
def test_it_suits_large_pictures_of_float32_networks_on_a_processor() -> None:
    assert half.suits(CPU, torch.float32, (half.SIDE, 16))
    assert not half.suits(CPU, torch.float32, (half.SIDE - 1,) * 2)
    assert not half.suits(CPU, torch.float64, (224, 224))
    assert not half.suits(CPU, torch.float16, (224, 224))
    assert not half.suits(torch.device("cuda"), torch.float32, (224, 224))


def test_it_suits_nothing_on_a_processor_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(half, "_multiplied", lambda: False)
    assert not half.suits(CPU, torch.float32, (224, 224))


def test_a_picture_excites_the_float32_network_as_one_made_in_float32_does() -> None:
    classifier, neuron, made = photos.classifier(), "logit:goose", {}
    for bfloat16 in (False, True):
        renderer = Renderer(classifier, neuron, size=half.SIDE, bfloat16=bfloat16)
        for _ in range(40):
            renderer.step()
        made[bfloat16] = excited(classifier, neuron, renderer.images())
    begun = excited(classifier, neuron, Renderer(classifier, neuron, size=half.SIDE).images())
    assert made[False] > begun + 50
    assert made[True] - begun > 0.85 * (made[False] - begun)  # one neuron: pictures of two seeds differ by more


def test_only_the_networks_own_products_have_fewer_bits() -> None:
    seen: list[torch.dtype] = []

    class Watched(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, images: Tensor) -> Tensor:
            out = self.conv(images)
            seen.extend((images.dtype, out.dtype))
            return out.mean((2, 3))

    classifier = ImageClassifier(Watched().eval())
    seen.clear()
    renderer = Renderer(classifier, "logit:1", bfloat16=True)
    renderer.step()
    assert set(seen) == {torch.float32, torch.bfloat16}
    assert renderer.images().dtype == torch.float32
    assert not torch.is_autocast_enabled("cpu")


@pytest.mark.parametrize("bfloat16", [False, True])
def test_the_first_gradient_points_the_same_way(bfloat16: bool) -> None:
    classifier = small_classifier()
    exact, other = Renderer(classifier, "conv3:2", bfloat16=False), Renderer(classifier, "conv3:2", bfloat16=bfloat16)
    before = exact.image()
    for renderer in (exact, other):
        renderer.step()
    moved = [(renderer.image() - before).flatten() for renderer in (exact, other)]
    assert torch.cosine_similarity(*moved, dim=0) > (0.9 if bfloat16 else 0.999999)


def test_nan_is_an_error_in_few_bits_too() -> None:
    broken = Sparse(small_classifier(), {"conv2.weight": torch.full((8, 8, 3, 3), float("nan"))})
    with pytest.raises(ModelError, match="NaN"):
        Renderer(broken, "conv2:0", bfloat16=True).step()
