"""Class activation maps: by hand, on the layer that is meant, and refused where there is none."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from attribution.nets import Attentive, ReusedReLU, ask, classify, hard, picture, plain
from captum.attr import GuidedGradCam
from torch import Tensor, nn

from spade_widgets.attribution import saliency
from spade_widgets.attribution.methods.cams import last_map
from spade_widgets.errors import InputError, ModelError


def by_hand(net: nn.Module, layer: nn.Module, x: Tensor, target: int) -> Tensor:
    """Grad-CAM, equations 1 and 2, drawn up."""
    kept: list[Tensor] = []
    handle = layer.register_forward_hook(lambda _part, _inputs, output: kept.append(output))
    logits = net(x.clone().requires_grad_())
    handle.remove()
    (gradient,) = torch.autograd.grad(logits[0, target], kept[0])
    cam = (gradient.mean((2, 3), keepdim=True) * kept[0]).sum(1, keepdim=True).relu()
    return F.interpolate(cam, x.shape[2:], mode="bilinear")[0, 0].detach()


@pytest.mark.parametrize(("layer", "index"), [(None, 5), ("2", 2), ("1", 1)])
@pytest.mark.parametrize("target", range(5))
def test_gradcam_is_what_the_paper_says(layer: str | None, index: int, target: int) -> None:
    classifier = classify(plain())
    net = classifier.module()
    expected = by_hand(net, net[index], ask(classifier).x, target)  # type: ignore[index]
    found = saliency(classifier, picture(), target, "gradcam", layer=layer)
    assert np.allclose(found, expected.numpy(), rtol=1e-4, atol=1e-8)
    assert found.min() >= 0


def test_gradcam_lights_up_for_some_class() -> None:
    assert any(saliency(classify(plain()), picture(), target, "gradcam").any() for target in range(5))


class OutOfPlace(ReusedReLU):
    """The same network, without a tensor that is written into."""

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        for conv, bn in ((self.conv2, self.bn2), (self.conv3, self.bn3)):
            x = F.relu(bn(conv(x)) + x)
        return self.fc(x.mean((2, 3)))


def test_gradcam_of_a_layer_that_is_called_again_is_that_of_its_last_call() -> None:
    net = hard("reused ReLU")
    reference = OutOfPlace().eval()
    reference.load_state_dict(net.state_dict())
    last = nn.Identity()

    def forward(x: Tensor) -> Tensor:
        x = F.relu(reference.bn1(reference.conv1(x)))
        x = F.relu(reference.bn2(reference.conv2(x)) + x)
        x = last(F.relu(reference.bn3(reference.conv3(x)) + x))
        return net.get_submodule("fc")(x.mean((2, 3)))

    reference.forward = forward  # type: ignore[method-assign]
    classifier = classify(net)
    for target in range(5):
        expected = by_hand(reference, last, ask(classifier).x, target)
        for layer in (None, "relu"):
            found = saliency(classifier, picture(), target, "gradcam", layer=layer)
            assert np.allclose(found, expected.numpy(), rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize("layer", ["bn3", "bn2", "bn1"])
def test_gradcam_takes_a_map_before_it_is_written_into(layer: str) -> None:
    """In place after the layer: the shortcut, and a ReLU."""
    net = hard("reused ReLU")
    reference = OutOfPlace().eval()
    reference.load_state_dict(net.state_dict())
    classifier = classify(net)
    for target in range(5):
        expected = by_hand(reference, reference.get_submodule(layer), ask(classifier).x, target)
        found = saliency(classifier, picture(), target, "gradcam", layer=layer)
        assert np.allclose(found, expected.numpy(), rtol=1e-4, atol=1e-8)


def test_guided_gradcam_is_captums_on_a_plain_network() -> None:
    classifier = classify(plain())
    for target in range(5):
        net = classifier.module()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = GuidedGradCam(net, net[5]).attribute(  # type: ignore[index]
                ask(classifier).x.clone().requires_grad_(), target=target, interpolate_mode="bilinear"
            )
        found = saliency(classifier, picture(), target, "guided_gradcam", signed=True)
        assert np.allclose(found, expected[0].sum(0).detach().numpy(), rtol=1e-4, atol=1e-10)


def test_scorecam_is_what_the_paper_says() -> None:
    classifier = classify(plain())
    net, x = classifier.module(), ask(classifier).x
    with torch.no_grad():
        maps = net[:6](x)[0]  # type: ignore[index]
        scores = []
        for channel in maps:
            mask = F.interpolate(channel[None, None], (32, 32), mode="bilinear")
            if mask.max() == mask.min():
                scores.append(torch.tensor(-torch.inf))
                continue
            mask = (mask - mask.min()) / (mask.max() - mask.min())
            scores.append(net(x * mask)[0, 1] - net(torch.zeros_like(x))[0, 1])
        weights = torch.stack(scores).softmax(0)
        cam = (weights[:, None, None] * maps).sum(0).relu()
        expected = F.interpolate(cam[None, None], (32, 32), mode="bilinear")[0, 0]
    found = saliency(classifier, picture(), 1, "scorecam", batch=5)
    assert np.allclose(found, expected.numpy(), rtol=1e-4, atol=1e-8)
    assert found.any()


def test_scorecam_of_dead_maps_is_zero_and_no_nan() -> None:
    net = plain()
    net[4].weight.data.zero_()  # type: ignore[index, union-attr, operator]
    net[4].bias.data.fill_(-1)  # type: ignore[index, union-attr, operator]
    assert not saliency(classify(net), picture(), 1, "scorecam").any()


class PooledTwice(nn.Module):
    """As VGG (pooling ends the features) and SqueezeNet (a map a class before the pooling)."""

    def __init__(self, squeeze: bool) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(2))
        self.classifier = nn.Sequential(
            nn.Dropout(), nn.Conv2d(8, 5, 1), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1)
        )
        self.fc, self.squeeze = nn.Linear(8 * 49, 5), squeeze
        self.avgpool = nn.AdaptiveAvgPool2d(7)

    def forward(self, x: Tensor) -> Tensor:
        x = self.features(x)
        return self.classifier(x).flatten(1) if self.squeeze else self.fc(self.avgpool(x).flatten(1))


@pytest.mark.parametrize("squeeze", [True, False])
def test_the_last_map_is_before_pooling_and_before_a_map_a_class(squeeze: bool) -> None:
    assert last_map(ask(classify(PooledTwice(squeeze)))) == "features.1"


@pytest.mark.parametrize(("name", "layer"), [("reused ReLU", "relu"), ("gated", "project"), ("channels last", "group")])
def test_the_last_map_is_found(name: str, layer: str) -> None:
    assert last_map(ask(classify(hard(name)))) == layer


def test_a_transformer_is_refused_in_one_sentence() -> None:
    for method in ("gradcam", "scorecam", "guided_gradcam"):
        with pytest.raises(ModelError, match=r"^the net goes on with tokens after its last feature map, so .*\.$"):
            saliency(classify(Attentive()), picture(), 0, method)


def test_a_network_without_maps_is_refused() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 5))
    with pytest.raises(ModelError, match="the net has no feature map larger than 1 × 1"):
        saliency(classify(net), picture(), 0, "gradcam")


@pytest.mark.parametrize(
    ("layer", "said"),
    [
        ("nope", "There is no layer 'nope'"),
        ("6", "Layer '6' gives no feature map"),
        ("8", "Layer '8' gives no feature map"),
    ],
)
@pytest.mark.parametrize("method", ["gradcam", "scorecam", "guided_gradcam"])
def test_bad_layers_are_refused(method: str, layer: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        saliency(classify(plain()), picture(), 0, method, layer=layer)


def test_a_map_beside_the_logits_is_passed_over() -> None:
    class Beside(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.mask = plain(), nn.Conv2d(3, 7, 3)

        def forward(self, x: Tensor) -> dict[str, Tensor]:
            return {"logits": self.body(x), "mask": self.mask(x)}

    assert last_map(ask(classify(Beside()))) == "body.5"
    expected = saliency(classify(plain()), picture(), 1, "gradcam")
    assert np.allclose(saliency(classify(Beside()), picture(), 1, "gradcam"), expected, atol=1e-6)
