"""What makes the network quick: weights channels last, a stem with its own gradient. Neither changes what it says."""

from __future__ import annotations

import gc

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from visualization.nets import SmallNet, Sparse, preprocess, small_classifier

from spade_widgets.classifier import ImageClassifier
from spade_widgets.visualization import Renderer, layout, stem


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("side", [31, 32, 33])
@pytest.mark.parametrize(
    ("kernel", "stride", "padding"), [(7, 2, 3), (5, 2, 2), (3, 2, 0), (3, 2, 1), (11, 4, 2), (4, 4, 0), (2, 3, 1)]
)
def test_a_stems_gradient_is_the_librarys(kernel: int, stride: int, padding: int, side: int, batch: int) -> None:
    torch.manual_seed(0)
    layer = nn.Conv2d(3, 8, kernel, stride, padding)
    inputs = torch.randn(batch, 3, side, side + 4, requires_grad=True)
    expected = layer(inputs)
    outward = torch.randn_like(expected)
    (gradient,) = torch.autograd.grad(expected, inputs, outward)
    module = nn.Sequential(layer).requires_grad_(False)
    stem.quicken(module)
    output = module(inputs)
    assert type(output.grad_fn).__name__ == "_ConvolutionBackward"
    assert torch.equal(output, expected)
    (quick,) = torch.autograd.grad(output, inputs, outward)
    assert quick.shape == gradient.shape
    assert torch.allclose(quick, gradient, atol=1e-5)


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(8, 8, 3, 2),
        nn.Conv2d(3, 8, 3),
        nn.Conv2d(3, 8, 3, 2, dilation=2),
        nn.Conv2d(3, 9, 3, 2, groups=3),
        nn.Conv2d(3, 8, (3, 5), 2),
        nn.Conv2d(3, 8, 3, (2, 1)),
        nn.Conv2d(3, 8, 3, 2, 1, padding_mode="reflect"),
        nn.Conv2d(3, 8, 2, 2, "valid"),
        nn.Conv2d(3, 8, 3, 2).half(),
    ],
)
def test_other_convolutions_stay_as_they_are(layer: nn.Conv2d) -> None:
    stem.quicken(nn.Sequential(layer))
    assert "forward" not in vars(layer)


def test_a_stem_takes_one_picture_without_a_batch() -> None:
    layer = nn.Conv2d(3, 4, 3, 2)
    picture = torch.rand(3, 16, 16)
    expected = layer(picture)
    stem.quicken(nn.Sequential(layer))
    assert torch.allclose(layer(picture), expected, atol=1e-6)


def weights(renderer: Renderer) -> dict[str, Tensor]:
    return dict(renderer._target._module.named_parameters())


def test_renderers_share_copies_and_the_dense_weights_stay() -> None:
    classifier = small_classifier()
    plain = dict(classifier.module().named_parameters())
    before = {name: weight.clone() for name, weight in plain.items()}
    first, second = (weights(Renderer(classifier, neuron)) for neuron in ("conv3:1", "fc:2"))
    weight = plain["conv2.weight"].detach().clone()
    weight[0] = 0
    third = weights(Renderer(Sparse(classifier, {"conv2.weight": weight}), "fc:2"))
    for name in ("conv1.weight", "conv2.weight", "conv3.weight"):
        assert first[name].is_contiguous(memory_format=torch.channels_last)
        assert first[name] is second[name]
        assert torch.equal(plain[name], before[name])
        assert plain[name].is_contiguous()
        assert (third[name] is first[name]) is (name != "conv2.weight")
    assert torch.equal(third["conv2.weight"], weight)
    assert first["fc.weight"].data_ptr() == plain["fc.weight"].data_ptr()


def test_copies_go_with_their_last_user_and_follow_what_is_written_into_the_weights() -> None:
    gc.collect()
    held = len(layout._copies)
    classifier = small_classifier()
    first = Renderer(classifier, "conv3:1")
    assert len(layout._copies) > held
    weight = classifier.module().conv2.weight
    weight.data.mul_(2)
    assert torch.equal(weights(Renderer(classifier, "conv3:1"))["conv2.weight"], weight)
    del first
    gc.collect()
    assert len(layout._copies) == held


class Viewing(nn.Module):
    """A forward that cannot be given channels-last activations."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, 2)
        self.fc = nn.Linear(6 * 15 * 15, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(F.relu(self.conv(x)).view(len(x), -1))


def test_a_model_that_needs_the_usual_order_gets_it() -> None:
    renderer = Renderer(ImageClassifier(Viewing(), preprocess=preprocess), "logit:1")
    activations = [renderer.step() for _ in range(20)]
    assert activations[-1] > activations[0]
    assert weights(renderer)["conv.weight"].is_contiguous()


class ReadingMemory(nn.Module):
    """A forward that takes activations as they lie in memory."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, 2)
        self.fc = nn.Linear(6 * 15 * 15, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.conv(x))
        return self.fc(torch.as_strided(y, (len(y), y[0].numel()), (y[0].numel(), 1)))


@pytest.mark.parametrize(("model", "takes"), [(ReadingMemory, False), (Viewing, False), (SmallNet, True)])
def test_pictures_are_those_of_the_usual_order(
    model: type[nn.Module], takes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    classifier = ImageClassifier(model(), preprocess=preprocess)
    assert classifier.channels_last == takes
    found = Renderer(classifier, "logit:1")
    monkeypatch.setattr(ImageClassifier, "channels_last", False)
    usual = Renderer(classifier, "logit:1")
    for _ in range(5):
        assert found.step() == pytest.approx(usual.step(), rel=1e-3, abs=1e-5)
    assert torch.allclose(found.image(), usual.image(), atol=1e-2)
