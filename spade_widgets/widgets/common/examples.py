"""Examples on the wire: what a page is told of each. `js/src/common/examples/wire.ts` says the same."""

from __future__ import annotations

from typing import Any

from PIL import Image

from spade_widgets.inspection.examples import Example
from spade_widgets.widgets.common import images

#: Longest side of a crop in pixels, twice what it measures on screen, and its quality: some 2 kB each.
CROP, QUALITY = 120, 60


def example_row(example: Example, crop: Image.Image | None) -> dict[str, Any]:
    """An example as a page takes it.

    Args:
        example: which.
        crop: what of it excites the neuron; None where it cannot be shown (any more).
    """
    return {
        "id": example.id,
        "title": example.title,
        "value": example.value,
        "crop": b"" if crop is None else small_crop(crop),
    }


def small_crop(crop: Image.Image) -> bytes:
    """A crop as a small file."""
    small = crop.convert("RGB")
    small.thumbnail((CROP, CROP), Image.Resampling.LANCZOS)
    return images.webp(small, images.SMALL_LOSSY_FROM, QUALITY)
