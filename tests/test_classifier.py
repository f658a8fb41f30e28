"""The classifier: a model, its preprocessing, its names; copies that share every tensor and nothing else."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torchvision import transforms

from spade_widgets.classifier import ImageClassifier
from spade_widgets.errors import InputError
from spade_widgets.neuron import Layer
from spade_widgets.sample import Sample


@pytest.fixture
def picture() -> Sample:
    return Sample.read(np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8))


def test_what_it_says_of_itself(tiny: ImageClassifier) -> None:
    assert tiny.input_size == (32, 32)
    assert tiny.mean == (0.5, 0.5, 0.5)
    assert tiny.std == (0.25, 0.25, 0.25)
    assert tiny.class_names == ("ant", "bee", "cat", "dog", "eel")
    assert (tiny.device, tiny.dtype) == (torch.device("cpu"), torch.float32)
    assert tiny.weights == 8 * 27 + 8 + 16 + 16 * 36 + 16 + 5 * 16 + 5
    assert repr(tiny) == "ImageClassifier(Sequential, 5 classes, 32×32 px, 917 weights)"
    assert tiny.dense is tiny


def test_defaults_are_imagenets(tiny_model: nn.Module) -> None:
    classifier = ImageClassifier(tiny_model, name="mine")
    assert classifier.name == "mine"
    assert classifier.input_size == (224, 224)
    assert classifier.mean == (0.485, 0.456, 0.406)
    assert classifier.std == (0.229, 0.224, 0.225)
    assert classifier.class_names == ("0", "1", "2", "3", "4")


def test_the_names_may_come_in_any_sequence(tiny_model: nn.Module) -> None:
    assert ImageClassifier(tiny_model, class_names=np.array(list("abcde"))).class_names == tuple("abcde")  # type: ignore[arg-type]


def test_preparing_is_the_preprocessing(tiny: ImageClassifier, picture: Sample) -> None:
    prepared = tiny.prepare(picture)
    assert torch.equal(prepared[0], tiny._preprocess(picture.image))
    seen = tiny.view(picture)
    assert seen.shape == (3, 32, 32)
    assert float(seen.min()) >= 0
    assert float(seen.max()) <= 1
    torch.testing.assert_close(tiny.normalize(seen.unsqueeze(0)), prepared)


def test_normalizing_can_be_differentiated(tiny: ImageClassifier) -> None:
    x = torch.full((2, 3, 4, 4), 0.5, requires_grad=True)
    out = tiny.normalize(x)
    out.sum().backward()
    assert torch.equal(out.detach(), torch.zeros(2, 3, 4, 4))
    assert x.grad is not None
    torch.testing.assert_close(x.grad, torch.full_like(x, 4.0))


def oblong(image: Image.Image) -> Tensor:
    resized = np.asarray(image.resize((40, 20)), dtype=np.float32) / 255
    return torch.from_numpy(2 * resized - 1).permute(2, 0, 1)


doubles = transforms.Compose(
    [
        transforms.Resize((8, 8)),
        transforms.PILToTensor(),
        transforms.ConvertImageDtype(torch.float64),
        transforms.Normalize([0.1, 0.2, 0.3], [1, 2, 3]),
    ]
)
cropped = transforms.Compose([transforms.Resize(24), transforms.CenterCrop(16), transforms.ToTensor()])


@pytest.mark.parametrize(
    ("preprocess", "mean", "std", "size"),
    [
        (oblong, (0.5,) * 3, (0.5,) * 3, (20, 40)),
        (cropped, (0.0,) * 3, (1.0,) * 3, (16, 16)),
        (doubles, (0.1, 0.2, 0.3), (1.0, 2.0, 3.0), (8, 8)),
        (lambda image: 255 * oblong(image), (0.5,) * 3, (0.5 / 255,) * 3, (20, 40)),
        (lambda image: -oblong(image), (0.5,) * 3, (-0.5,) * 3, (20, 40)),  # dark is high
    ],
)
def test_any_affine_preprocessing_is_understood(
    tiny_model: nn.Module, picture: Sample, preprocess: Any, mean: Any, std: Any, size: Any
) -> None:
    classifier = ImageClassifier(tiny_model, preprocess=preprocess)
    assert classifier.mean == pytest.approx(mean, abs=1e-5)
    assert classifier.std == pytest.approx(std, rel=1e-3)
    assert classifier.input_size == size
    again = classifier.normalize(classifier.view(picture).unsqueeze(0))
    torch.testing.assert_close(again, classifier.prepare(picture), rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_inputs_are_in_the_models_own_type(tiny_model: nn.Module, picture: Sample, dtype: torch.dtype) -> None:
    classifier = ImageClassifier(tiny_model.to(dtype))
    assert classifier.dtype == dtype
    assert classifier.prepare(picture).dtype == dtype
    assert classifier.normalize(torch.zeros(1, 3, 4, 4)).dtype == dtype
    assert len(classifier.digest) == 16


def test_the_mask_is_shown_where_the_model_sees_it(tiny_model: nn.Module) -> None:
    mask = np.zeros((100, 200), bool)
    mask[20:40, 60:80] = True
    sample = Sample.read(np.zeros((100, 200, 3), np.uint8), mask=mask)
    preprocess = transforms.Compose([transforms.CenterCrop(100), transforms.Resize((50, 50)), transforms.ToTensor()])
    classifier = ImageClassifier(tiny_model, preprocess=preprocess)
    expected = np.zeros((50, 50), bool)
    expected[10:20, 5:15] = True
    seen = classifier.view_mask(sample)
    assert seen is not None
    assert (seen == expected).all()
    assert classifier.view_mask(Sample.read(np.zeros((9, 9), np.uint8))) is None


def test_layers(tiny: ImageClassifier) -> None:
    assert tiny.layers() == (
        Layer("0", "conv", 8, (32, 32)),
        Layer("3", "conv", 16, (16, 16)),
        Layer("7", "linear", 5, (1, 1)),
    )
    assert tiny.prunable() == ("0", "3", "7")
    assert tiny.layer("3").channels == 16
    with pytest.raises(InputError, match=r"no layer '4' in Sequential; its last ones are '0', '3', '7'"):
        tiny.layer("4")
    assert tiny.class_index("dog") == tiny.class_index(3) == 3


def test_the_digest_names_the_content(tiny_model: nn.Module) -> None:
    one = ImageClassifier(tiny_model).digest
    assert ImageClassifier(tiny_model).digest == one
    other = ImageClassifier(tiny_model, preprocess=oblong).digest
    with torch.no_grad():
        tiny_model[1].running_mean[3] += 1  # type: ignore[index, operator, union-attr]
    assert len({one, other, ImageClassifier(tiny_model).digest}) == 3


def test_the_digest_notices_training(tiny: ImageClassifier, tiny_model: nn.Module) -> None:
    fresh, state = tiny.digest, {key: value.clone() for key, value in tiny_model.state_dict().items()}
    keys = tiny.digests()
    tiny_model.train()
    tiny_model(torch.randn(4, 3, 32, 32)).logsumexp(1).sum().backward()
    trained = tiny.digest
    assert trained != fresh  # the running statistics
    assert {key for key, digest in tiny.digests().items() if digest != keys[key]} == {
        "1.running_mean", "1.running_var", "1.num_batches_tracked"
    }  # fmt: skip
    torch.optim.SGD(tiny_model.parameters(), lr=0.1).step()
    assert tiny.digest not in (fresh, trained)
    tiny_model[7].weight = nn.Parameter(torch.zeros(5, 16))  # type: ignore[index, operator, union-attr]
    replaced = tiny.digest
    tiny_model.load_state_dict(state)
    assert tiny.digest == fresh
    assert len({fresh, trained, replaced}) == 3


def test_the_digest_is_computed_once(tiny: ImageClassifier, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = tiny.digest
    monkeypatch.setattr(tiny, "digests", lambda: pytest.fail("computed again"))
    assert tiny.digest == expected
    assert deepcopy(tiny)._digest is None


# Copies


def test_a_module_shares_every_parameter_and_nothing_else(tiny_model: nn.Module) -> None:
    tiny_model.train()
    classifier = ImageClassifier(tiny_model)
    one, two = classifier.module(), classifier.module()
    for copy in (one, two):
        assert not any(part.training for part in copy.modules())
        assert not any(p.requires_grad for p in copy.parameters())
        for (name, mine), (_, theirs) in zip(copy.named_parameters(), tiny_model.named_parameters(), strict=True):
            assert mine is not theirs, name
            assert mine.data_ptr() == theirs.data_ptr()
        for mine, theirs in zip(copy.buffers(), tiny_model.buffers(), strict=True):
            assert torch.equal(mine, theirs)
            assert mine.data_ptr() != theirs.data_ptr()
    parts = [set(map(id, module.modules())) for module in (one, two, tiny_model)]
    assert not parts[0] & parts[1]
    assert not parts[0] & parts[2]
    one.register_forward_hook(lambda *_: None)
    one[0].weight = nn.Parameter(torch.zeros(8, 3, 3, 3))  # type: ignore[index, union-attr]
    assert not two._forward_hooks
    assert two[0].weight.any()  # type: ignore[index, union-attr, operator]


def test_tied_weights_stay_tied_in_a_copy() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two, self.fc = nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 2)
            self.two.weight = self.one.weight
            self.register_buffer("scale", torch.ones(3))
            self.same = self.scale

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(self.two(self.one(x.mean((2, 3))) * self.scale) * self.same)

    model = Tied()
    copy = ImageClassifier(model).module()
    assert copy.get_parameter("one.weight") is copy.get_parameter("two.weight")
    assert copy.scale is copy.same


def test_hooks_of_the_users_own_are_part_of_the_model(tiny_model: nn.Module) -> None:
    """A hook that changes what the model computes is copied with it: it would be another model without."""
    tiny_model.register_forward_hook(lambda _m, _i, out: out + 1)
    classifier = ImageClassifier(tiny_model)
    x = torch.zeros(1, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(classifier.module()(x), tiny_model(x))


def test_parametrised_models_can_be_copied() -> None:
    normed = nn.utils.parametrizations.weight_norm(nn.Linear(3, 4))
    model = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), normed)
    classifier = ImageClassifier(model)
    x = torch.randn(2, 3, 8, 8)
    assert torch.equal(classifier.module()(x), model(x))
    assert classifier.prunable() == ()
    assert [layer.name for layer in classifier.layers()] == ["2"]
