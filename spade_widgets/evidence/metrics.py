"""Metrics of one saliency map against what is known of the sample, and of a sparse network against the dense one.

Insertion and deletion, which ask the network itself, are in `curves`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from spade_widgets.errors import InputError, ModelError
from spade_widgets.prediction import Network
from spade_widgets.pruning.traces.trace import Agreement
from spade_widgets.sample import Sample, Source

Map = npt.NDArray[Any]
"""A saliency map (H, W) of the size that the model sees; any real type, finite."""


def trojan_auc(saliency: Map, mask: npt.ArrayLike, *, absolute: bool = True) -> float:
    """How well a map finds a Trojan patch: area under the ROC curve of its values, patch pixels being the positives.

    That is the share of all pairs (pixel in the patch, pixel outside) in which the patch's value is the larger one; a
    tie counts half, exactly. 1 is perfect, 0.5 is chance and what a constant map gets.

    Args:
        saliency: (H, W).
        mask: (H, W), true on the patch; `classifier.view_mask(sample)`.
        absolute: judge |map| (SPADE, section 5: Trojan AUC). False: judge the signed values.

    Raises:
        InputError: if the map is not finite, the mask has another size, or it covers nothing or everything.
    """
    values, area = _judged(saliency, mask, absolute)
    inside, outside = values[area], np.sort(values[~area])
    # Whole numbers, so that ties are exact: pairs won, counted twice where they are won outright.
    won = np.searchsorted(outside, inside, "left").sum() + np.searchsorted(outside, inside, "right").sum()
    return int(won) / (2 * inside.size * outside.size)


def pointing_game(saliency: Map, mask: npt.ArrayLike, *, absolute: bool = True, tolerance: int = 0) -> float:
    """Whether a map's largest value lies in the mask: 1 or 0 (Zhang et al. 2016, section 4.1: the pointing game).

    Where several pixels share the largest value, the share of them that hit: what picking one by chance scores on
    average. So a constant map gets the share of the image that the mask takes.

    Args:
        saliency, mask, absolute: as in `trojan_auc`.
        tolerance: pixels by which a hit may miss the mask (Euclidean); the source allows 15 on images of some 500.

    Raises:
        InputError: as `trojan_auc`, or if the tolerance is negative.
    """
    if tolerance < 0:
        raise InputError(f"The tolerance is {tolerance} pixels; it cannot be negative.")
    values, area = _judged(saliency, mask, absolute)
    rows, columns = np.nonzero(values == values.max())
    if tolerance == 0:
        return float(area[rows, columns].mean())
    patch = np.argwhere(area)
    hits = [((patch - peak) ** 2).sum(1).min() <= tolerance**2 for peak in zip(rows, columns, strict=True)]
    return float(np.mean(hits))


def fidelity(network: Network, sample: Source) -> Agreement:
    """How a network's prediction on a sample compares with its dense classifier's: classes, and KL(dense ‖ network).

    A trace carries the same for its own sample (`trace.agreement`); this is for any sample.

    Raises:
        InputError: if the sample cannot be read.
        ModelError: if either network's logits are not finite on it.
    """
    read = Sample.read(sample)
    dense, sparse = _log_softmax(network.dense, read), _log_softmax(network, read)
    kl = float((dense.exp() * (dense - sparse)).sum())
    return Agreement(int(dense.argmax()), int(sparse.argmax()), max(0.0, kl))


def check_map(saliency: Map, size: tuple[int, int] | None = None) -> npt.NDArray[np.float64]:
    """The map as float64.

    Raises:
        InputError: if it is not (H, W), not of that size, or not finite.
    """
    values = np.asarray(saliency, dtype=np.float64)
    if values.ndim != 2 or (size is not None and values.shape != size):
        wanted = "(H, W)" if size is None else f"{size} (rows, columns)"
        raise InputError(f"A saliency map of shape {values.shape} cannot be judged; {wanted} is needed.")
    if not np.isfinite(values).all():
        raise InputError("The saliency map holds NaN or infinite values, so it cannot be judged.")
    return values


def _judged(
    saliency: Map, mask: npt.ArrayLike, absolute: bool
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    area = np.asarray(mask).astype(bool)
    values = check_map(saliency)
    if area.shape != values.shape:
        raise InputError(f"The mask has shape {area.shape}, but the saliency map {values.shape} (rows, columns).")
    if area.all() or not area.any():
        covered = "everything" if area.all() else "nothing that the model sees"
        raise InputError(f"The mask covers {covered}, so there is no patch to be told from the rest.")
    return (np.abs(values) if absolute else values), area


def _log_softmax(network: Network, sample: Sample) -> Tensor:
    """Log-probabilities (classes,) in float64 on the CPU: a KL of nearly equal outputs is a small difference."""
    with torch.no_grad():
        logits: Tensor = network.module()(network.dense.prepare(sample))
    if not bool(torch.isfinite(logits).all()):
        raise ModelError(f"{network.dense.name} or its trace gives NaN or infinite logits on '{sample.title}'.")
    return logits[0].double().cpu().log_softmax(0)
