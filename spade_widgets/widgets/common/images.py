"""Pictures as bytes for the page."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, features
from torch import Tensor

from spade_widgets.visualization import overlay

#: Longest side of a thumbnail and of an activation map, in pixels: twice what they measure on screen.
THUMB = 120
MAP = 96
#: From this side on, these lose what nobody sees at that size: without loss, two dozen have half a megabyte.
SMALL_LOSSY_FROM, THUMB_QUALITY, MAP_QUALITY = 64, 65, 55
#: From this side on, frames are sent as JPEG: a 224 px PNG takes four times as long to make and to send.
JPEG_FROM = 128
#: From this side on, a picture in a file loses what the eye does not see: without loss one of 224 px has 100 kB.
LOSSY_FROM = 160


def png(image: Image.Image) -> bytes:
    """A picture as PNG."""
    with io.BytesIO() as out:
        image.save(out, "PNG", compress_level=1)
        return out.getvalue()


def frame(image: Image.Image) -> bytes:
    """A passing frame: PNG where it is small, else JPEG."""
    if max(image.size) < JPEG_FROM:
        return png(image)
    with io.BytesIO() as out:
        image.save(out, "JPEG", quality=88)
        return out.getvalue()


def webp(image: Image.Image, lossy_from: int = LOSSY_FROM, quality: int = 90) -> bytes:
    """A picture to be kept in a file: WebP, every pixel as it is where it is small. PNG where Pillow has no WebP.

    Args:
        image: the picture.
        lossy_from: pixels of its longer side from which on it may lose something.
        quality: of what does, 0 to 100.
    """
    if not features.check("webp"):
        return png(image)
    with io.BytesIO() as out:
        image.save(out, "WEBP", lossless=max(image.size) < lossy_from, quality=quality, method=4)
        return out.getvalue()


def picture(view: Tensor) -> Image.Image:
    """(3, h, w) in 0…1 as a PIL image."""
    return Image.fromarray((view.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy())


def thumbnail(view: Tensor) -> bytes:
    """What the model sees of a sample, as WebP."""
    return webp(small_view(view, THUMB), SMALL_LOSSY_FROM, THUMB_QUALITY)


def heat(view: Image.Image, activation: np.ndarray[tuple[int, int], np.dtype[np.float32]]) -> bytes:
    """An activation map over the sample, as WebP."""
    return webp(overlay(view, activation), SMALL_LOSSY_FROM, MAP_QUALITY)


def small_view(view: Tensor, side: int = MAP) -> Image.Image:
    """What the model sees of a sample, its longer side at most `side` pixels."""
    small = picture(view)
    small.thumbnail((side, side), Image.Resampling.LANCZOS)
    return small
