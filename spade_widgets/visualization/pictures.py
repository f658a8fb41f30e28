"""Tensors to pictures: one, several side by side, and see-through where nothing mattered."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from PIL import Image
from torch import Tensor

#: Pixels between the pictures of a grid.
GAP = 2
#: What fades, fades to: as light as noise that begins a picture, and neither a light nor a dark page's own.
GREY = 0.5


def to_picture(image: Tensor, opacity: Tensor | None = None) -> Image.Image:
    """(3, h, w) in 0…1 → PIL RGB image; with an opacity (h, w) in 0…1, RGBA."""
    layers = image if opacity is None else torch.cat([image, opacity[None]])
    pixels = (layers.detach().float().clamp(0, 1) * 255).round().to(torch.uint8)
    return Image.fromarray(pixels.permute(1, 2, 0).cpu().numpy())


def grid(pictures: Sequence[Image.Image]) -> Image.Image:
    """Pictures of one size and mode in rows, as near to a square as can be; one alone is itself.

    The first is at the upper left, the second to the right of it. Between them is white, or nothing in RGBA.
    """
    if len(pictures) == 1:
        return pictures[0]
    columns = math.ceil(math.sqrt(len(pictures)))
    rows = math.ceil(len(pictures) / columns)
    width, height = (side + GAP for side in pictures[0].size)
    mode = pictures[0].mode
    sheet = Image.new(mode, (columns * width - GAP, rows * height - GAP), (255, 255, 255, 0)[: len(mode)])
    for i, picture in enumerate(pictures):
        sheet.paste(picture, (i % columns * width, i // columns * height))
    return sheet


def opacity(importance: Tensor) -> Tensor:
    """How opaque MACO's authors show each pixel: (n, h, w) ≥ 0 → 0…1, each picture by its own 80th percentile.

    Fel et al. (NeurIPS 2023): the gradients' magnitudes on the pixels, summed over all steps.
    """
    flat = importance.flatten(1)
    most = flat.kthvalue(math.ceil(0.8 * flat.shape[1]), dim=1).values.clamp_min(torch.finfo(flat.dtype).tiny)
    return (flat / most[:, None]).clamp(0, 1).view_as(importance)


def faded(images: Tensor, seen: Tensor) -> Tensor:
    """Pictures (n, 3, h, w) in 0…1 that are grey where nothing mattered; `seen` (n, h, w) in 0…1, see `opacity`."""
    return GREY + seen[:, None] * (images - GREY)
