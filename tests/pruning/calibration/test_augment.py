"""Augmentations: the same ones by seed, whatever the count, and always pictures."""

from __future__ import annotations

import colorsys
import random

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torchvision.transforms.v2.functional import adjust_hue

from spade_widgets.classifier import ImageClassifier
from spade_widgets.pruning.calibration.augment import _turned, augment
from spade_widgets.sample import Sample


@pytest.fixture
def picture() -> Sample:
    ramp = np.linspace(0, 255, 120 * 90 * 3).astype(np.uint8).reshape(90, 120, 3)
    return Sample.read(ramp)


def batch(classifier: ImageClassifier, sample: Sample, count: int, **options: int) -> Tensor:
    return torch.cat(list(augment(classifier, sample, count, **options)))


def pixels(classifier: ImageClassifier, images: Tensor) -> Tensor:
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (classifier.mean, classifier.std))
    return images.float() * std + mean


def test_more_of_them_continue_the_same_sequence(tiny: ImageClassifier, picture: Sample) -> None:
    long = batch(tiny, picture, 12)
    assert long.shape == (12, 3, 32, 32)
    for count, size in ((1, 32), (5, 2), (12, 1), (12, 5)):
        assert torch.equal(batch(tiny, picture, count, batch=size), long[:count])


def test_batches_are_no_larger_than_asked(tiny: ImageClassifier, picture: Sample) -> None:
    assert [b.shape[0] for b in augment(tiny, picture, 7, batch=3)] == [3, 3, 1]


def test_the_seed_decides(tiny: ImageClassifier, picture: Sample) -> None:
    torch.manual_seed(1)
    one = batch(tiny, picture, 3, seed=5)
    torch.manual_seed(2)
    assert torch.equal(batch(tiny, picture, 3, seed=5), one)
    assert not torch.equal(batch(tiny, picture, 3, seed=6), one)
    assert not torch.equal(one[0], one[1])


def test_random_numbers_of_the_caller_stay(tiny: ImageClassifier, picture: Sample) -> None:
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()  # noqa: NPY002
    batch(tiny, picture, 5)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]
    assert (np.random.get_state()[1] == before[2]).all()  # noqa: NPY002


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (3000, 40), (40, 3000), (2, 3), (600, 900)], ids=str)
def test_every_size_of_picture_gives_pictures(tiny: ImageClassifier, size: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    images = pixels(tiny, batch(tiny, Sample.read(noise), 6))
    assert images.shape == (6, 3, 32, 32)
    assert float(images.min()) > -1e-5
    assert float(images.max()) < 1 + 1e-5


def test_what_varies_is_what_the_paper_varies(tiny: ImageClassifier) -> None:
    """A flat red picture shows no crop and no flip: brightness within ±50 %, hue within ±0.3 of a turn."""
    red = Sample.read(Image.new("RGB", (64, 64), (180, 0, 0)))
    colours = pixels(tiny, batch(tiny, red, 200)).mean((2, 3))
    brightest = colours.max(1).values / (180 / 255)
    assert 0.5 - 1e-3 <= float(brightest.min()) < 0.55
    assert 1.35 < float(brightest.max()) <= 255 / 180 + 1e-3  # clipped at white's
    assert float(colours.min(1).values.max()) < 1e-3  # one channel stays dark: the hue turned, nothing was mixed in
    turns = torch.tensor([colorsys.rgb_to_hsv(*colour)[0] for colour in colours.tolist()])
    turns = torch.where(turns > 0.5, turns - 1, turns)
    assert -0.3 - 1e-2 < float(turns.min()) < -0.27
    assert 0.27 < float(turns.max()) < 0.3 + 1e-2


def test_flips_half_of_them(tiny: ImageClassifier) -> None:
    """Dark left, bright right: a crop keeps that order or is flat, a flip turns it."""
    step = np.zeros((64, 64, 3), np.uint8)
    step[:, 32:] = 200
    images = pixels(tiny, batch(tiny, Sample.read(step), 200))
    rise = images[..., 16:].mean((1, 2, 3)) - images[..., :16].mean((1, 2, 3))
    right, left = int((rise > 0.02).sum()), int((rise < -0.02).sum())
    assert right > 60
    assert left > 60


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_images_are_in_the_models_own_type(tiny_model: nn.Module, picture: Sample, dtype: torch.dtype) -> None:
    classifier = ImageClassifier(tiny_model.to(dtype))
    assert batch(classifier, picture, 2).dtype == dtype


def test_input_sizes_need_not_be_square(tiny_model: nn.Module, picture: Sample) -> None:
    def preprocess(image: Image.Image) -> Tensor:
        resized = np.asarray(image.resize((48, 24)), dtype=np.float32)
        return torch.from_numpy(resized / 255).permute(2, 0, 1)

    classifier = ImageClassifier(tiny_model, preprocess=preprocess)
    assert classifier.input_size == (24, 48)
    assert batch(classifier, picture, 2).shape == (2, 3, 24, 48)


def test_any_part_of_the_sequence_can_be_made_alone(tiny: ImageClassifier, picture: Sample) -> None:
    long = batch(tiny, picture, 12, seed=2)
    for start, count in ((0, 3), (5, 4), (11, 1)):
        assert torch.equal(batch(tiny, picture, count, start=start, seed=2), long[start : start + count])


def test_hues_turn_as_torchvision_turns_them() -> None:
    images = torch.rand(8, 3, 20, 30)
    images[1] = images[1, :1]  # grey
    images[2, 0] = images[2, 1]  # two channels alike
    images[3] = images[3].round()
    images[4] = 0
    turns = torch.linspace(-0.5, 0.5, 8)
    expected = torch.stack([adjust_hue(image, float(turn)) for image, turn in zip(images, turns, strict=True)])
    torch.testing.assert_close(_turned(images, turns.view(8, 1, 1)), expected, rtol=0, atol=1e-5)
