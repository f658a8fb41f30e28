"""Insertion and deletion, against the protocol written out pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import spade_widgets as sw
from spade_widgets.classifier import ImageClassifier
from spade_widgets.errors import InputError
from spade_widgets.evidence.curves import blurred, curve_steps, deletion, insertion, pixel_ranks

RNG = np.random.default_rng(0)
SAMPLE = sw.Sample.read(RNG.integers(0, 255, (32, 32, 3), dtype=np.uint8))
#: No two values are equal, half of them are negative.
MAP = (RNG.permutation(32 * 32).reshape(32, 32) - 511.7).astype(np.float32)


def walked(classifier: ImageClassifier, start: Tensor, end: Tensor, order: list[int], step: int) -> list[float]:
    """RISE's loop: change `step` pixels, ask the network, again."""
    module, image, found = classifier.module(), start.clone().flatten(2), []
    target = int(module(classifier.prepare(SAMPLE)).argmax())
    for done in range(0, len(order) + 1, step):
        found.append(float(module(image.view_as(start)).softmax(1)[0, target]))
        for pixel in order[done : done + step]:
            image[:, :, pixel] = end.flatten(2)[:, :, pixel]
    return found


@pytest.mark.parametrize("absolute", [True, False])
def test_curves_are_rises(tiny: ImageClassifier, absolute: bool) -> None:
    ranked = np.abs(MAP) if absolute else MAP
    order = [int(i) for i in np.argsort(-ranked.ravel())]
    image = tiny.prepare(SAMPLE)
    expected = walked(tiny, image, torch.zeros_like(image), order, 64)
    found = deletion(tiny, SAMPLE, MAP, steps=16, batch=5, absolute=absolute)
    assert np.allclose(found.probability, expected, atol=1e-5)
    assert np.allclose(found.changed, np.arange(17) / 16)
    expected = walked(tiny, blurred(image), image, order, 64)
    found = insertion(tiny, SAMPLE, MAP, steps=16, batch=5, absolute=absolute)
    assert np.allclose(found.probability, expected, atol=1e-5)
    # RISE's own formula for the area.
    area = (sum(expected) - expected[0] / 2 - expected[-1] / 2) / 16
    assert found.auc == pytest.approx(area, abs=1e-5)


def test_the_blur_is_rises(tiny: ImageClassifier) -> None:
    """Its kernel is SciPy's Gaussian of a point in an 11 × 11 field; its convolution pads with zeros."""
    ndimage = pytest.importorskip("scipy.ndimage")
    point = np.zeros((11, 11))
    point[5, 5] = 1
    kernel = torch.from_numpy(ndimage.gaussian_filter(point, 5)).float().expand(3, 1, 11, 11)
    image = tiny.prepare(SAMPLE)
    expected = torch.nn.functional.conv2d(image, kernel, padding=5, groups=3)
    assert torch.allclose(blurred(image), expected, atol=1e-5)


def test_a_constant_image_stays_under_the_blur_away_from_the_border() -> None:
    out = blurred(torch.ones(1, 3, 20, 20, dtype=torch.float64))
    assert torch.allclose(out[:, :, 5:-5, 5:-5], torch.ones(1, dtype=torch.float64))
    assert float(out[0, 0, 0, 0]) < 0.5


def test_a_map_that_points_at_what_counts_scores_better_than_its_opposite() -> None:
    """The network sees the upper left quarter only, and whether it is bright."""

    class Corner(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            bright = x[:, :, :16, :16].mean((1, 2, 3))
            return torch.stack([bright, -bright], 1) * 3

    classifier = ImageClassifier(Corner(), preprocess=_small)
    sample = sw.Sample.read(Image.new("RGB", (32, 32), "white"))
    corner = np.zeros((32, 32))
    corner[:16, :16] = 1
    assert deletion(classifier, sample, corner).auc < deletion(classifier, sample, 1 - corner).auc - 0.2
    assert insertion(classifier, sample, corner).auc >= insertion(classifier, sample, 1 - corner).auc


def _small(image: Image.Image) -> Tensor:
    pixels = torch.from_numpy(np.asarray(image.resize((32, 32)), np.float32) / 255).permute(2, 0, 1)
    return (pixels - 0.5) / 0.25


def test_the_dense_network_judges_a_traces_map(tiny: ImageClassifier) -> None:
    trace = sw.trace(tiny, SAMPLE, layers=["3", "7"], sparsity=0.9, augmentations=8)
    assert np.array_equal(insertion(trace, SAMPLE, MAP).probability, insertion(tiny, SAMPLE, MAP).probability)


def test_the_target_is_the_dense_prediction_or_the_class_asked_for(tiny: ImageClassifier) -> None:
    best = sw.predict(tiny, SAMPLE, 1)[0]
    assert deletion(tiny, SAMPLE, MAP).target == best.index
    assert deletion(tiny, SAMPLE, MAP).probability[0] == pytest.approx(best.probability, abs=1e-5)
    other = (best.index + 1) % 5
    assert deletion(tiny, SAMPLE, MAP, tiny.class_names[other]).target == other


def test_steps_stay_even_where_they_do_not_divide_the_pixels(tiny: ImageClassifier) -> None:
    changed = deletion(tiny, SAMPLE, MAP, steps=224).changed * 1024
    assert len(changed) == 225
    assert (changed[0], changed[-1]) == (0, 1024)
    assert set(np.diff(changed)) == {4, 5}


def test_equal_values_come_in_a_seeded_random_order() -> None:
    ranks = pixel_ranks(np.zeros((32, 32)))
    assert sorted(ranks.ravel()) == list(range(1024))
    assert np.array_equal(ranks, pixel_ranks(np.zeros((32, 32))))
    assert not np.array_equal(ranks, pixel_ranks(np.zeros((32, 32)), 1))
    assert abs(ranks[:16].mean() - 511.5) < 40  # the upper half is no earlier than the lower one
    two = np.zeros((32, 32))
    two[20:] = 1
    assert pixel_ranks(two)[20:].max() < pixel_ranks(two)[:20].min()


def test_a_network_that_does_not_take_channels_last_is_judged_all_the_same() -> None:
    class Views(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(4 * 30 * 30, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(self.conv(x).view(len(x), -1))

    assert len(deletion(ImageClassifier(Views(), preprocess=_small), SAMPLE, MAP, steps=4).probability) == 5


def test_the_steps_say_how_far_they_are_and_can_be_left_off(tiny: ImageClassifier) -> None:
    steps = curve_steps("insertion", tiny, SAMPLE, MAP, steps=9, batch=4)
    seen = [next(steps), next(steps)]
    assert [(p.stage, p.done, p.of) for p in seen] == [("insertion", 0, 10), ("insertion", 4, 10)]
    steps.close()


@pytest.mark.parametrize(
    ("saliency", "options", "says"),
    [
        (np.zeros((16, 16)), {}, "shape"),
        (np.full((32, 32), np.inf), {}, "NaN or infinite"),
        (MAP, {"steps": 0}, "0 steps"),
        (MAP, {"steps": 1025}, "1025 steps"),
        (MAP, {"batch": 0}, "0 images"),
        (MAP, {"blur": (4, 1.0)}, "odd window"),
        (MAP, {"blur": (5, 0.0)}, "σ"),
        (MAP, {"target": "zebra"}, "zebra"),
    ],
)
def test_what_cannot_be_done_is_said(tiny: ImageClassifier, saliency: np.ndarray, options: dict, says: str) -> None:
    with pytest.raises(InputError, match=says):
        insertion(tiny, SAMPLE, saliency, **options)


def test_there_are_two_curves(tiny: ImageClassifier) -> None:
    with pytest.raises(InputError, match="no curve 'sideways'"):
        next(curve_steps("sideways", tiny, SAMPLE, MAP))  # type: ignore[arg-type]
