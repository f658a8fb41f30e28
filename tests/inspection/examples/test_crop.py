"""Crops hold the pixels that matter, of a network whose receptive fields are known exactly; and what a trace keeps."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
import torch
from inspection.examples.made import Shortcut, classifier_of, images
from PIL import Image
from torch import Tensor, nn
from torchvision.transforms import functional as TF
from visualization.nets import pruned

from spade_widgets.classifier import ImageClassifier
from spade_widgets.errors import InputError
from spade_widgets.inspection.examples import Crop, Example, crop, examples, kept, peak
from spade_widgets.inspection.examples.view import view_of
from spade_widgets.neuron import Neuron
from spade_widgets.sample import Sample

#: Of the view.
SIDE = 64


def field(place: int) -> tuple[int, int]:
    """The first pixel, and the one behind the last, that a place of the second convolution sees, on either axis.

    A 3-px kernel on a map that a 5-px kernel with stride 2 made, each padded so that places keep their middles.
    """
    return max(0, 2 * (place - 1) - 2), min(SIDE, 2 * (place + 1) + 3)


def network(preprocess: Callable[[Image.Image], Tensor], bias: float = 0.0) -> ImageClassifier:
    """Weights of about one size, so that each pixel of a receptive field matters."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 4, 5, 2, 2), nn.Conv2d(4, 4, 3, 1, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    for conv in (model[0], model[1]):
        conv.weight.data.uniform_(0.5, 1)
        conv.bias.data.fill_(bias)
    return ImageClassifier(model, preprocess=preprocess)


def plain(image: Image.Image) -> Tensor:
    return TF.to_tensor(TF.resize(image, [SIDE, SIDE]))


def middle(image: Image.Image) -> Tensor:
    """The shorter side to 80 px, of that the middle."""
    return TF.to_tensor(TF.center_crop(TF.resize(image, 80, antialias=True), [SIDE, SIDE]))


def letterbox(image: Image.Image) -> Tensor:
    """All of it, in the middle of grey."""
    factor = SIDE / max(image.size)
    small = image.resize((round(image.width * factor), round(image.height * factor)), Image.Resampling.BILINEAR)
    around = Image.new("RGB", (SIDE, SIDE), (114, 114, 114))
    around.paste(small, ((SIDE - small.width) // 2, (SIDE - small.height) // 2))
    return TF.to_tensor(around)


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(1, 256, (height, width, 3), dtype=np.uint8))


def at(image: Image.Image, row: int, column: int) -> Example:
    sample = Sample(image)
    return Example(sample, sample.id, "noise", 1.0, (row, column))


@pytest.mark.parametrize(("row", "column"), list(itertools.product([0, 1, 15, 30, 31], repeat=2)))
def test_a_crop_holds_the_receptive_field_and_is_a_square_within_the_image(row: int, column: int) -> None:
    classifier, image = network(plain), noise(SIDE, SIDE)
    made = crop(classifier, "1:2", at(image, row, column))
    left, top, right, bottom = made.box
    (first_row, last_row), (first_column, last_column) = field(row), field(column)
    assert left <= first_column < last_column <= right
    assert top <= first_row < last_row <= bottom
    assert 0 <= left < right <= SIDE
    assert 0 <= top < bottom <= SIDE
    # A border cuts the receptive field: the frame is a square around the rest, and no larger than it has to be.
    assert right - left == bottom - top == max(last_row - first_row, last_column - first_column, SIDE // 8)
    assert np.array_equal(np.asarray(made.picture), np.asarray(image.crop(made.box)))
    # What is outside of it makes no difference, and what is inside does.
    elsewhere = noise(SIDE, SIDE, seed=1)
    elsewhere.paste(made.picture, made.box[:2])
    neuron = Neuron("1", 2, (row, column))
    value = peak(classifier, Sample(image), neuron)[0]
    assert peak(classifier, Sample(elsewhere), neuron)[0] == pytest.approx(value, rel=1e-6)
    inside = image.copy()
    inside.paste((0, 0, 0), made.box)
    assert peak(classifier, Sample(inside), neuron)[0] == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize("size", [(200, 100), (90, 160), (64, 64), (50, 41), (1200, 900)])
@pytest.mark.parametrize("preprocess", [plain, middle, letterbox])
def test_where_the_view_lies_in_the_image(preprocess: Callable[[Image.Image], Tensor], size: tuple[int, int]) -> None:
    width, height = size
    view = view_of(network(preprocess), size)
    scale = {"plain": None, "middle": min(size) / 80, "letterbox": max(size) / SIDE}[preprocess.__name__]
    across, down = (width / SIDE, height / SIDE) if scale is None else (scale, scale)
    left, top = (width - SIDE * across) / 2, (height - SIDE * down) / 2
    # To half a pixel of the view: a preprocessing rounds sides and margins to whole pixels itself.
    assert view.across == pytest.approx(across, rel=0.03)
    assert view.down == pytest.approx(down, rel=0.03)
    assert view.left == pytest.approx(left, abs=0.6 * across + 0.3)
    assert view.top == pytest.approx(top, abs=0.6 * down + 0.3)


def test_a_crop_of_an_image_that_is_resized_and_cropped() -> None:
    classifier, image = network(middle), noise(400, 160)
    for row, column in ((0, 31), (16, 3), (31, 0)):
        left, top, right, bottom = crop(classifier, "1:0", at(image, row, column)).box
        # Twice as large as the network sees it, and what it sees begins at (120 + …, 16).
        (first_row, last_row), (first_column, last_column) = field(row), field(column)
        assert left <= 136 + 2 * first_column + 1 < 136 + 2 * last_column - 1 <= right
        assert top <= 16 + 2 * first_row + 1 < 16 + 2 * last_row - 1 <= bottom
        assert right - left == bottom - top <= 2 * 9 + 2


def test_an_image_too_flat_for_a_square_gives_what_it_has() -> None:
    classifier = network(plain)
    made = crop(classifier, "logit:0", at(noise(300, 40), 0, 0))
    assert made.box[1::2] == (0, 40)
    assert made.box[2] - made.box[0] > 250
    assert max(crop(classifier, "logit:0", at(noise(300, 40), 0, 0), side=60).picture.size) == 60


def test_a_masked_crop_shows_the_receptive_field_alone() -> None:
    classifier, image = network(plain), noise(SIDE, SIDE)
    strong = Neuron("0", 1)
    row, column = 10, 20
    bare, masked = (crop(classifier, strong, at(image, row, column), masked=masked) for masked in (False, True))
    assert bare.box == masked.box
    shown = (np.asarray(masked.picture) == np.asarray(bare.picture)).all(-1)
    left, top = bare.box[:2]
    seen = np.zeros_like(shown)
    seen[2 * row - 2 - top : 2 * row + 3 - top, 2 * column - 2 - left : 2 * column + 3 - left] = True
    assert (shown == seen).mean() > 0.8
    assert shown[seen].mean() > 0.9
    assert not shown[0].any()


def test_a_unit_that_is_off_has_no_gradient_and_shows_all() -> None:
    classifier = network(plain, bias=-1e4)
    assert crop(classifier, "logit:1", at(noise(SIDE, SIDE), 0, 0), masked=True).box == (0, 0, SIDE, SIDE)


def test_crops_of_half_precision_and_where_gradients_are_off() -> None:
    single = classifier_of(Shortcut)
    torch.manual_seed(0)
    half = ImageClassifier(Shortcut().bfloat16(), preprocess=single._preprocess)
    example = examples(single, "conv2:1", images(5), 1)[0]
    with torch.no_grad():
        made: list[Crop] = [crop(c, "conv2:1", example) for c in (single, half)]
    assert np.abs(np.subtract(made[0].box, made[1].box)).max() <= 1
    with pytest.raises(InputError, match="'side' is a whole number"):
        crop(single, "conv2:1", example, side=0)


def test_what_is_kept_is_the_share_of_the_dense_value_at_the_same_place() -> None:
    classifier, samples = classifier_of(Shortcut), images(8)
    found = examples(classifier, "conv2:1", samples, 8)
    assert kept(classifier, "conv2:1", found).tolist() == [1] * 8
    sparse = pruned(classifier, "conv2")
    shares = kept(sparse, "conv2:1", found)
    for example, share in zip(found, shares, strict=True):
        there = Neuron("conv2", 1, example.place)
        assert share == pytest.approx(
            peak(sparse, example.sample, there)[0] / peak(classifier, example.sample, there)[0]
        )
    assert not np.allclose(shares, 1)
    assert kept(pruned(classifier, "conv2", keep=0), "conv2:1", found).tolist() == [0] * 8


def test_of_what_is_not_excited_nothing_is_kept() -> None:
    classifier = classifier_of(Shortcut)
    found = examples(classifier, "logit:0", images(8), 8)
    below = [example for example in found if example.value <= 0]
    lower = ImageClassifier(classifier.module(), preprocess=classifier._preprocess)
    lower._model.fc.bias = nn.Parameter(lower._model.fc.bias - 100)
    assert kept(lower, "logit:0", found).tolist() == [0] * 8
    assert kept(classifier, "logit:0", below).tolist() == [0] * len(below)
