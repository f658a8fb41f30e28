"""Methods that hide parts of the image and see what becomes of the class."""

from __future__ import annotations

import torch
from torch import Tensor

from spade_widgets.attribution.methods.query import (
    BASELINES,
    Query,
    number,
    one_of,
    progress,
    spans,
    whole,
)
from spade_widgets.attribution.methods.superpixels import superpixels
from spade_widgets.errors import InputError
from spade_widgets.pruning.progress import Steps


def occlusion(
    query: Query,
    *,
    window: int | None,
    stride: int | None,
    baseline: str,
    output: str,
    batch: int | None,
    bfloat16: bool | None,
) -> Steps[Tensor]:
    """How much the class loses when a square is hidden, as a mean over the squares that hide a pixel."""
    h, w = query.size
    side = min(h, w, whole("window", _share(15, query.size) if window is None else window))
    step = whole("stride", max(1, _share(8, query.size)) if stride is None else stride)
    if step > side:
        raise InputError(f"With a stride of {step} px, squares of {side} px leave gaps: the stride is 1 to {side}.")
    cover, score, size = query.baseline(baseline), query.scorer(output, bfloat16=bfloat16), query.batch(batch)
    whole_score = score(query.x)
    corners = [(top, left) for top in _starts(h, side, step) for left in _starts(w, side, step)]
    loss, count = torch.zeros_like(query.x[0, 0]), torch.zeros_like(query.x[0, 0])
    for first, last in spans(len(corners), size):
        images = query.x.repeat(last - first, 1, 1, 1)
        for image, (top, left) in zip(images, corners[first:last], strict=True):
            hidden = slice(top, top + side), slice(left, left + side)
            image[:, hidden[0], hidden[1]] = cover[0][:, hidden[0], hidden[1]]
        lost = whole_score - score(images)
        for value, (top, left) in zip(lost, corners[first:last], strict=True):
            loss[top : top + side, left : left + side] += value
            count[top : top + side, left : left + side] += 1
        yield progress(last, len(corners))
    return loss / count


def lime(
    query: Query,
    *,
    samples: int,
    segments: int,
    compactness: float,
    kernel_width: float,
    ridge: float,
    cover: str,
    output: str,
    batch: int | None,
    bfloat16: bool | None,
) -> Steps[Tensor]:
    """The weights of a linear model that says what the class loses when superpixels are hidden."""
    samples, size = whole("samples", samples, least=2), query.batch(batch)
    segments, compactness = whole("segments", segments, least=2), number("compactness", compactness)
    width, ridge = number("kernel_width", kernel_width, least=1e-3), number("ridge", ridge)
    one_of("cover", cover, ("segment", *BASELINES))
    labels = superpixels(query.classifier.picture(query.x[0]), segments, compactness)
    labels = labels.to(query.x.device)
    parts = int(labels.max()) + 1
    hidden = _segment_means(query.x, labels, parts) if cover == "segment" else query.baseline(cover)
    kept = torch.rand(samples, parts, generator=query.generator(), dtype=torch.float32, device="cpu") < 0.5
    kept[0] = True
    score, found = query.scorer(output, bfloat16=bfloat16), []
    on_device = kept.to(query.x.device)
    for first, last in spans(samples, size):
        visible = on_device[first:last][:, labels][:, None]
        found.append(score(torch.where(visible, query.x, hidden)))
        yield progress(last, samples)
    weights = weighted_ridge(kept.double(), torch.cat(found).double().cpu(), proximity(kept, width), ridge)
    return weights.to(query.x)[labels]


def proximity(kept: Tensor, width: float) -> Tensor:
    """(samples, parts) bool → (samples,): LIME's kernel, √exp(−d² / width²), of the cosine distance to all parts."""
    share = kept.double().mean(1)
    distance = 1 - share.sqrt()  # of a 0/1 vector to the vector of ones
    return (-(distance**2) / width**2).exp().sqrt()


def weighted_ridge(x: Tensor, y: Tensor, weights: Tensor, ridge: float) -> Tensor:
    """Weighted least squares with an unpunished constant: minimises Σ w (y − xβ − c)² + ridge · ‖β‖².

    Args:
        x: (samples, parts) float64.
        y, weights: (samples,) float64.
        ridge: ≥ 0.

    Returns:
        β, (parts,) float64.
    """
    share = weights / weights.sum()
    x, y = x - share @ x, y - share @ y
    weighted = x * weights[:, None]
    normal = weighted.T @ x + ridge * torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
    # Of parts that no sample tells apart, each gets the same.
    solved: Tensor = torch.linalg.lstsq(normal, weighted.T @ y, driver="gelsd").solution
    return solved


def _segment_means(x: Tensor, labels: Tensor, parts: int) -> Tensor:
    """The image with every superpixel in its mean colour."""
    flat = labels.flatten()
    sums = torch.zeros(parts, x.shape[1], dtype=x.dtype, device=x.device).index_add_(0, flat, x[0].flatten(1).T)
    means = sums / torch.bincount(flat, minlength=parts).to(x)[:, None]
    return means[labels].permute(2, 0, 1)[None]


def _share(at_224: int, size: tuple[int, int]) -> int:
    """So many pixels of 224, in an image of this size."""
    return max(1, round(at_224 * min(size) / 224))


def _starts(length: int, side: int, step: int) -> list[int]:
    """Where squares begin: every `step`, and the last one flush with the end, so that every pixel is hidden once."""
    starts = list(range(0, length - side + 1, step))
    return starts if starts[-1] == length - side else [*starts, length - side]
