"""Activation maps, their ranking, and the overlay."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from visualization.nets import pruned, small_classifier

from spade_widgets.errors import InputError
from spade_widgets.inspection import activation_maps, strongest
from spade_widgets.sample import Sample
from spade_widgets.visualization import overlay
from spade_widgets.visualization.overlay import colors


@pytest.fixture
def sample() -> Sample:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    return Sample(Image.fromarray(pixels))


def test_maps_are_the_layers_output(sample: Sample) -> None:
    classifier = small_classifier()
    module, x = classifier.module(), classifier.prepare(sample)
    with torch.no_grad():
        expected = module.conv2(module.relu(module.conv1(x)))[0].numpy()
    maps = activation_maps(classifier, sample, "conv2")
    assert maps.dtype == np.float32
    assert maps.shape == (8, 16, 16)
    assert np.array_equal(maps, expected)
    assert activation_maps(classifier, sample, "fc").shape == (5, 1, 1)


def test_maps_under_a_trace(sample: Sample) -> None:
    classifier = small_classifier()
    dense, sparse = (activation_maps(n, sample, "conv2") for n in (classifier, pruned(classifier, "conv2")))
    assert not np.array_equal(dense, sparse)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_maps_of_half_precision_models_are_float32(sample: Sample, dtype: torch.dtype) -> None:
    assert activation_maps(small_classifier(dtype), sample, "conv3").dtype == np.float32


def test_strongest_is_by_the_mean_of_the_positive_part(sample: Sample) -> None:
    classifier = small_classifier()
    ranked = strongest(classifier, sample, "conv2")
    maps = activation_maps(classifier, sample, "conv2")
    expected = {c: float(np.maximum(maps[c], 0).mean()) for c in range(8)}
    assert dict(ranked) == pytest.approx(expected)
    assert [v for _, v in ranked] == sorted(expected.values(), reverse=True)
    assert strongest(classifier, sample, "conv2", 3) == ranked[:3]


def test_bad_input(sample: Sample) -> None:
    with pytest.raises(InputError, match="no layer 'conv9'"):
        activation_maps(small_classifier(), sample, "conv9")
    with pytest.raises(InputError, match="'top' is a whole number from 1"):
        strongest(small_classifier(), sample, "conv2", 0)
    with pytest.raises(InputError, match="nowhere"):
        activation_maps(small_classifier(), "nowhere.png", "conv2")


def test_overlay_is_hot_where_the_map_is() -> None:
    heat = np.zeros((4, 4))
    heat[0, 3] = 2
    picture = overlay(torch.full((3, 32, 40), 0.5), heat)
    assert (picture.mode, picture.size) == ("RGB", (40, 32))
    pixels = np.asarray(picture).astype(int)
    assert pixels[0, -1, 0] > pixels[-1, 0, 0] + 60
    assert np.ptp(pixels[-1, 0]) == 0  # cold: the view's own grey


def test_overlay_of_nothing_is_the_dimmed_view() -> None:
    view = Image.new("RGB", (20, 10), (100, 100, 100))
    for heat in (np.zeros((2, 2)), -np.ones((2, 2))):
        assert np.unique(np.asarray(overlay(view, heat))).tolist() == [80]


@pytest.mark.parametrize("heat", [np.zeros(3), np.zeros((0, 2)), np.full((2, 2), np.nan), np.zeros((2, 2, 3))])
def test_overlay_refuses_what_is_no_map(heat: np.ndarray) -> None:
    with pytest.raises(InputError, match="A map is a finite array"):
        overlay(Image.new("RGB", (8, 8)), heat)


def test_colors_go_from_dark_to_light() -> None:
    brightness = colors().astype(float) @ [0.2126, 0.7152, 0.0722]
    assert colors().shape == (256, 3)
    assert (np.diff(brightness) >= -1e-9).all()
    assert brightness[-1] - brightness[0] > 200
