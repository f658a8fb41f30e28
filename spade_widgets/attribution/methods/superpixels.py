"""Superpixels: parts of an image that are alike in colour and lie together (SLIC, Achanta et al., PAMI 2012)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

#: XYZ of linear RGB under D65, divided by white.
_XYZ = ((0.4339, 0.3762, 0.1899), (0.2126, 0.7152, 0.0722), (0.0177, 0.1095, 0.8729))
_ROUNDS = 10


def superpixels(image: Tensor, count: int, compactness: float) -> Tensor:
    """Cut an image into about `count` superpixels.

    k-means over colour (CIE Lab) and place from a grid of centres, as SLIC, each pixel looking at the centres within
    two grid steps.

    Args:
        image: (3, h, w) in 0…1.
        count: how many, from 1.
        compactness: what a grid step of distance costs, in units of Lab; the larger, the squarer.

    Returns:
        (h, w) int64, 0, 1, … without gaps.
    """
    h, w = image.shape[1:]
    step = math.sqrt(h * w / min(count, h * w))
    rows, columns = max(1, round(h / step)), max(1, round(w / step))
    y, x = torch.meshgrid(torch.arange(h, device="cpu"), torch.arange(w, device="cpu"), indexing="ij")
    place = torch.stack([y, x], -1).reshape(-1, 2).float()
    pixels = torch.cat([_lab(image.float().cpu()).flatten(1).T, place * (compactness / step)], 1)
    labels = ((y * rows // h) * columns + x * columns // w).flatten()
    reach = 2 * compactness
    for _ in range(_ROUNDS):
        members = torch.bincount(labels, minlength=rows * columns)
        centres = pixels.new_zeros(rows * columns, 5).index_add_(0, labels, pixels) / members.clamp_min(1)[:, None]
        distance = torch.cdist(pixels, centres)
        far = (pixels[:, None, 3:] - centres[None, :, 3:]).abs().amax(-1) > reach
        labels = distance.masked_fill(far | (members == 0), torch.inf).argmin(1)
    numbered: Tensor = torch.unique(labels, return_inverse=True)[1]
    return numbered.view(h, w)


def _lab(image: Tensor) -> Tensor:
    """(3, h, w) sRGB in 0…1 → CIE Lab."""
    linear = torch.where(image <= 0.04045, image / 12.92, ((image + 0.055) / 1.055) ** 2.4)
    xyz = torch.einsum("ij,jhw->ihw", torch.tensor(_XYZ, dtype=torch.float32, device="cpu"), linear)
    f = torch.where(xyz > (6 / 29) ** 3, xyz.clamp_min(1e-9) ** (1 / 3), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    return torch.stack([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])
