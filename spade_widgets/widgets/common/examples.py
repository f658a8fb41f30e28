"""Examples on the wire: what a page is told of each. `js/src/common/examples/wire.ts` says the same."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from PIL import Image

from spade_widgets.inspection.examples import Example
from spade_widgets.widgets.common import images

#: Examples on a contact sheet, in so many columns; a crop's side and the space between two, in pixels.
SHEET, COLUMNS, CELL, GAP = 9, 3, 72, 4
#: Longest side of a crop in pixels, and its quality: as of activation maps, which measure as much on screen.
CROP, QUALITY = images.MAP, images.MAP_QUALITY


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


def contact_sheet(crops: Sequence[bytes]) -> Image.Image:
    """The first crops side by side, row by row, on white."""
    shown = [Image.open(io.BytesIO(crop)).convert("RGB") for crop in crops[:SHEET] if crop]
    side = COLUMNS * CELL + (COLUMNS - 1) * GAP
    sheet = Image.new("RGB", (side, side), "white")
    for number, crop in enumerate(shown):
        row, column = divmod(number, COLUMNS)
        size = (max(1, CELL * crop.width // max(crop.size)), max(1, CELL * crop.height // max(crop.size)))
        at = column * (CELL + GAP) + (CELL - size[0]) // 2, row * (CELL + GAP) + (CELL - size[1]) // 2
        sheet.paste(crop.resize(size, Image.Resampling.LANCZOS), at)
    return sheet
