"""Pictures as bytes."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

from spade_widgets.widgets.common import images


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def test_png_keeps_every_pixel() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8)
    back = opened(images.png(Image.fromarray(pixels)))
    assert back.format == "PNG"
    assert np.array_equal(np.asarray(back), pixels)


@pytest.mark.parametrize(("side", "kind"), [(64, "PNG"), (127, "PNG"), (128, "JPEG"), (224, "JPEG")])
def test_frames_are_png_while_small(side: int, kind: str) -> None:
    back = opened(images.frame(Image.new("RGB", (side, 16), (200, 40, 60))))
    assert back.format == kind
    assert back.size == (side, 16)
    assert np.abs(np.asarray(back).astype(int) - [200, 40, 60]).max() < 8


def test_pictures_of_tensors_are_rounded_and_clamped() -> None:
    view = torch.tensor([-0.2, 0.0, 0.5, 0.999, 1.3]).repeat(3, 2, 1)
    assert np.asarray(images.picture(view))[0, :, 0].tolist() == [0, 0, 128, 255, 255]


@pytest.mark.parametrize("size", [(500, 300), (300, 500), (96, 96), (1, 1), (2000, 1)])
def test_thumbnails_keep_proportions_and_never_grow(size: tuple[int, int]) -> None:
    rows, columns = size
    thumb = opened(images.thumbnail(torch.rand(3, rows, columns)))
    assert max(thumb.size) == min(images.THUMB, max(size))
    scale = min(1, images.THUMB / max(size))
    assert thumb.size == (pytest.approx(max(1, columns * scale), abs=1), pytest.approx(max(1, rows * scale), abs=1))


def test_activation_maps_are_shown_over_the_sample() -> None:
    view = images.small_view(torch.full((3, 224, 224), 0.5))
    assert max(view.size) == images.MAP
    activation = np.zeros((7, 7), dtype=np.float32)
    activation[0, 0] = 1.0
    shown = np.asarray(opened(images.heat(view, activation))).astype(int)
    assert shown.shape == (images.MAP, images.MAP, 3)
    hot, cold = shown[:8, :8], shown[-8:, -8:]
    assert np.abs(hot - cold).max() > 30


@pytest.mark.parametrize("value", [0.0, -3.0, 5.0])
def test_a_flat_map_is_a_picture_too(value: float) -> None:
    view = images.small_view(torch.full((3, 32, 32), 0.5))
    assert opened(images.heat(view, np.full((1, 1), value, np.float32))).size == (32, 32)
