"""A classifier's preprocessing, and what it does to colours: found by sending plain pictures through it.

A visualization has no file to preprocess, and an augmentation is no file any more: both need what comes after resizing
and cropping, which an opaque function does not show. On a picture of one colour resizing and cropping do nothing.
Black, red, green and blue give the map from a colour to the model's channels; further colours, a picture of four
colours, and that picture once more show whether it is one: affine, of each pixel by itself, the same at every call.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from spade_widgets.errors import ModelError, described

#: PIL RGB image → float tensor (c, h, w), resized, cropped and normalised as the model wants it.
Preprocess = Callable[[Image.Image], Tensor]

#: How far the map may be off, in shares of its largest coefficient: eight bits and a resize leave less.
SLACK = 1e-2
#: Colours that a straight line through black, red, green and blue has to meet.
_OTHERS = ((255, 255, 255), (128, 128, 128), (200, 40, 90), (30, 190, 120))
_WHITE = 0
#: Of the four quarters of a picture, unlike in brightness; no ends of a range, which a stretch would leave alone.
_QUARTERS = ((200, 110, 80), (60, 100, 50), (110, 160, 200), (90, 40, 130))
_SIDE = 512
_AFFINE = "must end in a per-channel (value − mean) / std, or another affine map of each pixel's own colour"


@dataclass(frozen=True)
class Colours:
    """What a preprocessing does to colours: x = matrix · rgb + offset at each pixel, rgb in 0…1.

    The matrix is diagonal for a normalisation channel by channel; a permutation of that where channels are swapped
    (BGR); of equal rows where the picture is made grey.

    Attributes:
        matrix: c rows of three.
        offset: c values.
        mean: per channel, the grey level in 0…1 that becomes zero; 0 where no grey does.
        std: per channel, how much grey becomes one more; 1 where grey makes no difference.
        per_channel: whether the channels are red, green and blue, each normalised by itself: `mean` and `std` are all
            there is to it.
    """

    matrix: tuple[tuple[float, ...], ...]
    offset: tuple[float, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    per_channel: bool

    def normalize(self, images: Tensor) -> Tensor:
        """(n, 3, h, w) in 0…1 → (n, c, h, w). Differentiable."""
        if self.per_channel:
            mean, std = (_like(images, v).view(1, -1, 1, 1) for v in (self.mean, self.std))
            return (images - mean) / std
        matrix, offset = _like(images, self.matrix), _like(images, self.offset).view(1, -1, 1, 1)
        return torch.einsum("nkhw,ck->nchw", images, matrix) + offset

    def picture(self, x: Tensor) -> Tensor:
        """(…, c, h, w) → (…, 3, h, w): the picture that becomes this, grey where colours are lost; not clamped.

        Of a grey network it is the grey that the network is given. Where colours are lost but in part, the nearest one.
        """
        if self.per_channel:
            mean, std = (_like(x, v).view(-1, 1, 1) for v in (self.mean, self.std))
            return x * std + mean
        grey, rest = (_like(x, m.tolist()) for m in self._back)
        centred = x - _like(x, self.offset).view(-1, 1, 1)
        level = torch.einsum("...chw,c->...hw", centred, grey).unsqueeze(-3)
        left = centred - level * _like(x, self.matrix).sum(1).view(-1, 1, 1)
        return level + torch.einsum("...chw,kc->...khw", left, rest)

    @property
    def grey(self) -> bool:
        """Whether all channels are the same."""
        return len(set(self.matrix)) == len(set(self.offset)) == 1

    def first(self) -> Colours:
        """The first channel alone."""
        return Colours(self.matrix[:1], self.offset[:1], self.mean[:1], self.std[:1], per_channel=False)

    @cached_property
    def _back(self) -> tuple[Tensor, Tensor]:
        """The best grey's level by channel (c,), and the smallest change of colour that makes the rest (3, c)."""
        matrix = torch.tensor(self.matrix, dtype=torch.float64, device="cpu")
        ones = matrix.sum(1, keepdim=True)
        cutoff = SLACK  # what is smaller than the map's own inaccuracy is no way back
        return torch.linalg.pinv(ones, rtol=cutoff)[0], torch.linalg.pinv(matrix, rtol=cutoff)


def probe(preprocess: Preprocess) -> tuple[Colours, tuple[int, int]]:
    """What a preprocessing does to colours, and the size (rows, columns) that it gives.

    Raises:
        ModelError: if it fails on a plain picture, gives no float tensor (c, h, w), another result for the same
            picture, or something else than an affine map of each pixel's colour by itself.
    """
    corners = [_plain(preprocess, colour) for colour in ((0, 0, 0), (255, 0, 0), (0, 255, 0), (0, 0, 255))]
    size = (corners[0].shape[1], corners[0].shape[2])
    offset = _level(corners[0])
    matrix = torch.stack([_level(corner) - offset for corner in corners[1:]], 1)
    scale = float(matrix.abs().max())
    others = [_plain(preprocess, colour) for colour in _OTHERS]
    expected = [offset + matrix @ (torch.tensor(c, dtype=torch.float64, device="cpu") / 255) for c in _OTHERS]
    flat = max(float((o - _level(o).view(-1, 1, 1)).abs().max()) for o in (*corners, *others))
    bend = max(float((_level(o) - e).abs().max()) for o, e in zip(others, expected, strict=True))
    if not (scale > 0 and flat <= SLACK * scale and bend <= SLACK * scale):  # none of it holds for NaN
        raise ModelError(f"The preprocessing {_AFFINE}, alike at every pixel.")
    _check_of_pictures(preprocess, matrix, offset, SLACK * scale)
    return _colours(matrix, offset, _level(others[_WHITE])), size


def _check_of_pictures(preprocess: Preprocess, matrix: Tensor, offset: Tensor, slack: float) -> None:
    """On a picture of four colours, each pixel is what it is alone, and the same at the next call."""
    half = _SIDE // 2
    pixels = np.empty((_SIDE, _SIDE, 3), np.uint8)
    for place, colour in enumerate(_QUARTERS):
        row, column = divmod(place, 2)
        pixels[row * half : (row + 1) * half, column * half : (column + 1) * half] = colour
    picture = Image.fromarray(pixels)
    one, two = (_called(preprocess, picture.copy()) for _ in range(2))
    if one.shape != two.shape or not bool(torch.isclose(one, two, rtol=0, atol=slack).all()):
        raise ModelError(
            "The preprocessing gives something else at each call (a random crop, flip or jitter): "
            "give the one for evaluation, without what is random."
        )
    colours = torch.tensor(_QUARTERS, dtype=torch.float64, device="cpu") / 255
    alone = colours @ matrix.T + offset  # (4, c)
    off = (one.flatten(1).T[:, None] - alone).abs().amax(2).amin(1)
    # Where two colours meet there are others: along a line or two, and as wide as a resize blurs them.
    if float((off <= 2 * slack).double().mean()) < 0.5:
        raise ModelError(
            f"The preprocessing changes a pixel by what is elsewhere in the picture (its contrast, its own mean): it "
            f"{_AFFINE}."
        )


def _plain(preprocess: Preprocess, colour: tuple[int, int, int]) -> Tensor:
    return _called(preprocess, Image.new("RGB", (_SIDE, _SIDE), colour))


def _called(preprocess: Preprocess, picture: Image.Image) -> Tensor:
    """(c, h, w) float64 on the CPU."""
    try:
        out: object = preprocess(picture)
    except Exception as error:  # whatever the user's own function raises
        raise ModelError(f"The preprocessing fails on a plain RGB image: {described(error)}.") from error
    if not isinstance(out, Tensor) or out.ndim != 3 or not 0 < out.shape[0] <= 4 or not out.is_floating_point():
        got = f"a {out.dtype} tensor {tuple(out.shape)}" if isinstance(out, Tensor) else f"a {type(out).__name__}"
        raise ModelError(f"The preprocessing gives {got}; a float tensor (3, h, w) is needed{_remedy(out)}.")
    return out.detach().double().cpu()


def _remedy(out: object) -> str:
    """What to add to a preprocessing that gave this; empty where that cannot be said."""
    if isinstance(out, Tensor) and out.ndim == 4 and out.shape[0] == 1:
        return ": end it with [0]"
    if isinstance(out, Tensor) and out.ndim == 3 and out.shape[0] <= 4:
        return ": end it with .float() / 255, then the model's normalisation"
    if isinstance(out, Tensor) and out.ndim == 3 and out.shape[2] <= 4:
        return ": end it with .permute(2, 0, 1)"
    if isinstance(out, dict | list) or hasattr(out, "pixel_values"):
        return ": take the tensor out of it, as processor(image, return_tensors='pt')['pixel_values'][0] does"
    return ""


def _level(out: Tensor) -> Tensor:
    return out.mean(dim=(1, 2))


def _colours(matrix: Tensor, offset: Tensor, white: Tensor) -> Colours:
    scale, span = float(matrix.abs().max()), white - offset
    diagonal = torch.eye(3, dtype=torch.bool, device="cpu")
    per_channel = (
        matrix.shape[0] == 3
        and float(matrix[~diagonal].abs().max()) <= SLACK * scale
        and float(matrix[diagonal].abs().min()) > SLACK * scale
    )
    grey = span.abs() > 1e-6 * scale
    std = torch.where(grey, 1 / span, 1)
    mean = torch.where(grey, -offset / span, 0)
    # Float32 inside the function leaves 0.48500000349; six digits are what was meant.
    rows = [tuple(float(f"{v:.6g}") for v in row) for row in matrix.tolist()]
    parts = (tuple(round(v, 6) for v in values.tolist()) for values in (offset, mean, std))
    return Colours(tuple(rows), next(parts), next(parts), next(parts), per_channel)


def _like(images: Tensor, values: object) -> Tensor:
    return torch.tensor(values, device=images.device, dtype=images.dtype)
