"""Gram matrices against a direct float64 unfold-and-multiply, and what adds up to what."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from spade_widgets.classifier import ImageClassifier
from spade_widgets.errors import InputError, ModelError
from spade_widgets.network.weights import Product, weight
from spade_widgets.pruning.calibration import gram_sums
from spade_widgets.pruning.calibration.augment import augment
from spade_widgets.pruning.calibration.calibration import Calibration, calibrate, gram
from spade_widgets.pruning.calibration.forms import LayerSum
from spade_widgets.pruning.progress import finish
from spade_widgets.sample import Sample

CONVOLUTIONS: dict[str, dict[str, Any]] = {
    "plain": {"kernel_size": 3},
    "padded": {"kernel_size": 3, "padding": 1},
    "oblong": {"kernel_size": (1, 5), "padding": (0, 2), "stride": (2, 1)},
    "strided": {"kernel_size": 3, "padding": 1, "stride": 2},
    "strided past the edge": {"kernel_size": 2, "stride": 3},
    "stride over kernel": {"kernel_size": 1, "stride": 2},
    "one by one": {"kernel_size": 1},
    "one by one, padded": {"kernel_size": 1, "padding": 2},
    "dilated": {"kernel_size": 3, "padding": 2, "dilation": 2},
    "same": {"kernel_size": 3, "padding": "same"},
    "same, even kernel": {"kernel_size": 4, "padding": "same", "dilation": 2},
    "valid": {"kernel_size": 3, "padding": "valid"},
    "reflect": {"kernel_size": 3, "padding": 1, "padding_mode": "reflect"},
    "replicate": {"kernel_size": 5, "padding": (2, 1), "padding_mode": "replicate"},
    "circular": {"kernel_size": 3, "padding": (1, 2), "padding_mode": "circular"},
    "grouped": {"kernel_size": 3, "padding": 1, "groups": 2},
    "grouped one by one": {"kernel_size": 1, "groups": 3},
    "depthwise": {"kernel_size": 3, "padding": 1, "stride": 2, "groups": 6},
    "no bias": {"kernel_size": 3, "bias": False},
}


def conv(**options: Any) -> nn.Conv2d:
    return nn.Conv2d(6, 12, **options).double()


def patches(layer: nn.Conv2d, x: Tensor) -> Tensor:
    """(groups, c, columns), read off a convolution whose weights are one-hot: it hands out its patches unchanged."""
    c = layer.weight[0].numel()
    probe = nn.Conv2d(
        layer.in_channels, layer.groups * c, layer.kernel_size, layer.stride, layer.padding, layer.dilation,
        layer.groups, bias=False, padding_mode=layer.padding_mode, dtype=torch.float64,
    )  # fmt: skip
    probe.weight.data.copy_(torch.eye(c, dtype=torch.float64).repeat(layer.groups, 1).view_as(probe.weight))
    out = probe(x).detach()  # (n, groups · c, rows, cols)
    return out.unflatten(1, (layer.groups, c)).permute(1, 2, 0, 3, 4).flatten(2)


@pytest.mark.parametrize("options", CONVOLUTIONS.values(), ids=CONVOLUTIONS)
def test_gram_of_a_convolution(options: dict[str, Any]) -> None:
    layer, x = conv(**options), torch.randn(3, 6, 9, 11, dtype=torch.float64)
    X = patches(layer, x)
    expected = 2 / X.shape[2] * X @ X.transpose(1, 2)
    H = gram(layer, x)
    assert H.shape == (expected.shape if layer.groups > 1 else expected.shape[1:])
    torch.testing.assert_close(H.view_as(expected), expected)
    single = gram(layer.float(), x.float())
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double().view_as(expected), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("options", CONVOLUTIONS.values(), ids=CONVOLUTIONS)
def test_columns_are_in_the_weights_order(options: dict[str, Any]) -> None:
    """‖WX‖² from H is what the layer itself puts out."""
    layer, x = conv(**options), torch.randn(2, 6, 9, 11, dtype=torch.float64)
    out = layer(x).detach()
    if layer.bias is not None:
        out = out - layer.bias.detach().view(-1, 1, 1)
    columns = out[:, 0].numel()
    W = layer.weight.detach().flatten(1).unflatten(0, (layer.groups, -1))
    H = gram(layer, x).view(layer.groups, W.shape[2], W.shape[2])
    energy = torch.einsum("grc,gcd,grd->", W, H, W) * columns / 2
    torch.testing.assert_close(energy, out.square().sum())


def test_gram_of_a_linear_layer_counts_tokens() -> None:
    layer, x = nn.Linear(5, 3, dtype=torch.float64), torch.randn(4, 7, 5, dtype=torch.float64)
    X = x.reshape(-1, 5).T
    torch.testing.assert_close(gram(layer, x), 2 / 28 * X @ X.T)
    torch.testing.assert_close(gram(layer, x[0, 0]), 2 * torch.outer(x[0, 0], x[0, 0]))


def test_one_unbatched_picture_is_a_batch_of_one() -> None:
    layer, x = conv(kernel_size=3, padding=1), torch.randn(6, 8, 8, dtype=torch.float64)
    torch.testing.assert_close(gram(layer, x), gram(layer, x.unsqueeze(0)))


def test_padding_that_was_changed_later_counts() -> None:
    layer, x = conv(kernel_size=3, padding=1), torch.randn(2, 6, 9, 11, dtype=torch.float64)
    layer.padding, layer.dilation = (2, 2), (2, 2)
    X = patches(layer, x)
    torch.testing.assert_close(gram(layer, x), 2 / X.shape[2] * X[0] @ X[0].T)


def test_half_precision_inputs_are_summed_in_float32() -> None:
    layer, x = nn.Linear(4, 2), torch.full((5000, 4), 3.0)
    for dtype in (torch.float16, torch.bfloat16):
        H = gram(layer.to(dtype), x.to(dtype))
        assert H.dtype == torch.float32
        torch.testing.assert_close(H, torch.full((4, 4), 18.0))


def test_working_in_pieces_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    layer, x = conv(kernel_size=3, padding=1, groups=2), torch.randn(7, 6, 9, 11, dtype=torch.float64)
    whole = gram(layer, x)
    for limit in (1, 2 * 6 * 9 * 99 * 8):
        monkeypatch.setattr(gram_sums, "UNFOLD_BYTES", limit)
        torch.testing.assert_close(gram(layer, x), whole)


@pytest.mark.parametrize("layer", [nn.Linear(6, 2), nn.Conv2d(6, 2, 1), nn.Conv2d(6, 2, 3, padding=1)], ids=str)
def test_no_inputs_are_an_error(layer: nn.Conv2d | nn.Linear) -> None:
    shape = (0, 6) if isinstance(layer, nn.Linear) else (0, 6, 5, 5)
    with pytest.raises(InputError, match="empty"):
        gram(layer, torch.zeros(shape))


# Over a classifier


@pytest.fixture
def picture() -> Sample:
    pixels = torch.randint(0, 256, (40, 50, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(4))
    return Sample.read(Image.fromarray(pixels.numpy()).resize((200, 160)))


def everything(classifier: ImageClassifier, sample: Sample, **options: Any) -> Calibration:
    return finish(calibrate(classifier, sample, classifier.prunable(), **options))


def test_calibration_is_the_gram_of_what_each_layer_is_given(tiny: ImageClassifier, picture: Sample) -> None:
    given: dict[str, list[Tensor]] = {name: [] for name in tiny.prunable()}
    module = tiny.module()
    for name in given:
        module.get_submodule(name).register_forward_pre_hook(lambda _m, args, n=name: given[n].append(args[0]))
    for images in augment(tiny, picture, 10, seed=3):
        module(images)
    found = everything(tiny, picture, augmentations=10, seed=3)
    assert found.augmentations == 10
    for name, inputs in given.items():
        layer = module.get_submodule(name)
        assert isinstance(layer, nn.Conv2d | nn.Linear)
        expected = gram(layer, torch.cat(inputs))
        torch.testing.assert_close(found.gram(name), expected.view_as(found.gram(name)))
    assert found.nbytes == 4 * (27**2 + 2 * 36**2 + 16**2)


def test_batch_size_changes_nothing(tiny: ImageClassifier, picture: Sample) -> None:
    whole = everything(tiny, picture, augmentations=11, batch=32)
    pieces = everything(tiny, picture, augmentations=11, batch=4)
    assert pieces.columns == whole.columns
    for name in tiny.prunable():
        torch.testing.assert_close(pieces.gram(name), whole.gram(name), rtol=1e-5, atol=1e-5)


def test_channels_last_is_taken_where_a_model_takes_it_and_changes_nothing(
    tiny: ImageClassifier, picture: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[Product] = []
    add = LayerSum.add

    def noted(held: LayerSum, product: Product) -> None:
        given.append(product)
        add(held, product)

    monkeypatch.setattr(LayerSum, "add", noted)
    found: dict[bool, Calibration] = {}
    for takes in (True, False):
        monkeypatch.setattr(ImageClassifier, "channels_last", takes)
        given.clear()
        found[takes] = everything(tiny, picture, augmentations=5)
        maps = [tensor for product in given if product.stride for tensor in (product.input, product.weight)]
        assert all(tensor.is_contiguous(memory_format=torch.channels_last) == takes for tensor in maps)
    for name in tiny.prunable():
        torch.testing.assert_close(found[True].gram(name), found[False].gram(name), rtol=1e-5, atol=1e-5)
    assert all(weight(tiny.module(), name).is_contiguous() for name in tiny.prunable())  # the user's own stay


def test_sum_is_the_calibration_over_both(tiny: ImageClassifier, picture: Sample) -> None:
    other = Sample.read(picture.image.rotate(90))
    one, two = everything(tiny, picture, augmentations=6), everything(tiny, other, augmentations=3)
    both = one + two
    assert both.augmentations == 9
    for name in tiny.prunable():
        assert both.columns[name] == one.columns[name] + two.columns[name]
        torch.testing.assert_close(both.gram(name), (2 * one.gram(name) + two.gram(name)) / 3)
    with pytest.raises(InputError, match="same layers"):
        _ = one + finish(calibrate(tiny, picture, ["7"], augmentations=1))


def test_a_layer_called_twice_sees_both_inputs(picture: Sample) -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.fc = nn.Conv2d(3, 3, 3, padding=1), nn.Linear(3, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(self.conv(self.conv(x).relu()).mean((2, 3)))

    classifier = ImageClassifier(Twice().eval())
    found = everything(classifier, picture, augmentations=2)
    module = classifier.module()
    images = torch.cat(list(augment(classifier, picture, 2)))
    conv = module.get_submodule("conv")
    assert isinstance(conv, nn.Conv2d)
    expected = gram(conv, torch.cat([images, conv(images).relu()]))
    torch.testing.assert_close(found.gram("conv")[0], expected, rtol=1e-4, atol=1e-5)


def test_a_layer_called_by_keyword_is_seen(picture: Sample) -> None:
    class Keyword(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(input=self.conv(input=x).mean((2, 3)))

    found = everything(ImageClassifier(Keyword()), picture, augmentations=1)
    assert set(found.columns) == {"conv", "fc"}


def test_layers_that_are_never_called_are_left_out(tiny: ImageClassifier, picture: Sample) -> None:
    class Spare(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.spare = nn.Linear(3, 4), nn.Linear(3, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.used(x.mean((2, 3)))

    classifier = ImageClassifier(Spare())
    assert classifier.prunable() == ("used",)
    assert set(finish(calibrate(classifier, picture, ["used", "spare"], augmentations=1)).columns) == {"used"}


def test_modes_of_the_caller_stay_between_the_steps(tiny: ImageClassifier, picture: Sample) -> None:
    steps = calibrate(tiny, picture, tiny.prunable(), augmentations=3, batch=1)
    for progress in steps:
        assert progress.of == 3
        assert torch.is_grad_enabled()
        assert not torch.is_inference_mode_enabled()


def test_sums_can_be_used_where_gradients_are_recorded(tiny: ImageClassifier, picture: Sample) -> None:
    H = everything(tiny, picture, augmentations=1).gram("7")
    W = torch.ones(5, 16, requires_grad=True)
    (W @ H[0]).sum().backward()
    assert W.grad is not None


def test_activations_that_overflow_are_named(picture: Sample) -> None:
    class Root(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return (x.mean((2, 3)) + 0.5 - x.std((2, 3))).sqrt()  # NaN on all but flat pictures

    model = nn.Sequential(Root(), nn.Linear(3, 4))
    with pytest.raises(ModelError, match=r"inputs of layer '1' are NaN or infinite on this sample"):
        everything(ImageClassifier(model), picture, augmentations=4)
