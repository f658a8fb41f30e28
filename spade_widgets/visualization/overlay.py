"""A map laid over the picture as heat."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from spade_widgets.errors import InputError

#: "Inferno" (Smith and van der Walt, matplotlib, CC0) at nine equidistant places: dark to light, even to the eye, and
#: readable without telling red from green.
_INFERNO = (
    (0, 0, 4), (27, 12, 65), (74, 12, 107), (120, 28, 109), (165, 44, 96),
    (207, 68, 70), (237, 105, 37), (251, 155, 6), (252, 255, 164),
)  # fmt: skip


@functools.cache
def colors() -> npt.NDArray[np.uint8]:
    """256 colours, (256, 3) uint8 RGB, from cold to hot."""
    places = np.linspace(0, 255, len(_INFERNO))
    channels = [np.interp(np.arange(256), places, values) for values in zip(*_INFERNO, strict=True)]
    return np.stack(channels, axis=1).round().astype(np.uint8)


def overlay(view: Tensor | Image.Image, heat: npt.ArrayLike, *, strength: float = 0.75) -> Image.Image:
    """Lay a map over what it is a map of.

    Args:
        view: (3, h, w) in 0…1 (`ImageClassifier.view`), or a PIL image.
        heat: (rows, columns), any range: zero and less is cold, the greatest value hot. Enlarged to the view, smoothly.
        strength: 0…1, how much of the view the hottest place hides. Cold places show the view dimmed, in grey.

    Returns:
        RGB image of the view's size.

    Raises:
        InputError: if the map is not two-dimensional, or holds NaN or infinite values.
    """
    picture = _pixels(view)
    values = torch.as_tensor(np.array(heat, dtype=np.float32))
    if values.ndim != 2 or 0 in values.shape or not bool(torch.isfinite(values).all()):
        raise InputError(f"A map is a finite array (rows, columns); this one has shape {tuple(values.shape)}.")
    values = F.interpolate(values[None, None], picture.shape[:2], mode="bilinear", align_corners=False)[0, 0]
    level = values.clamp(min=0).numpy()
    level = level / max(float(level.max()), np.finfo(np.float32).tiny)
    hue = colors()[(level * 255).round().astype(int)].astype(np.float32)
    grey = picture.mean(axis=2, keepdims=True) * 0.6 + picture * 0.2
    weight = strength * np.sqrt(level)[..., None]
    mixed: npt.NDArray[Any] = grey * (1 - weight) + hue * weight
    return Image.fromarray(mixed.round().clip(0, 255).astype(np.uint8))


def _pixels(view: Tensor | Image.Image) -> npt.NDArray[np.float32]:
    if isinstance(view, Image.Image):
        return np.asarray(view.convert("RGB"), dtype=np.float32)
    if view.ndim != 3 or view.shape[0] != 3:
        raise InputError(f"A view is a tensor (3, h, w) or a PIL image; this one has shape {tuple(view.shape)}.")
    pixels: npt.NDArray[np.float32] = view.detach().float().cpu().permute(1, 2, 0).numpy() * 255
    return pixels
