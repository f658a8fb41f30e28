"""Augmentations that no trace was calibrated on, and what a pruned network says of them beside the dense one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from spade_widgets.classifier import ImageClassifier
from spade_widgets.errors import ModelError
from spade_widgets.pruning.calibration.augment import augment
from spade_widgets.pruning.calibration.calibration import batch_size
from spade_widgets.pruning.traces.trace import sparse_module
from spade_widgets.sample import Sample

#: Added to the seed of the calibration's augmentations: a sequence that has nothing to do with theirs.
OTHER = 0x9E3779B97F4A7C15


@dataclass(frozen=True)
class Verdict:
    """How a pruned network's predictions compare with the dense one's, on the held-out augmentations.

    Attributes:
        agreement: the share of them on which both name the same class.
        kl: the mean Kullback-Leibler divergence KL(dense ‖ pruned) of the class probabilities, in nats.
        same: whether both name the same class on the sample itself.
    """

    agreement: float
    kl: float
    same: bool


class HeldOut:
    """Held-out augmentations of a sample, with the sample itself and the dense network's predictions.

    Args:
        classifier, sample: as in `trace`.
        count: how many augmentations, at least 1.
        seed: of the calibration; these are others.
        batch: how many go through the network at once; by default what suits the device.

    Raises:
        ModelError: if the dense network's logits are NaN or infinite on one.
    """

    def __init__(
        self, classifier: ImageClassifier, sample: Sample, count: int, seed: int = 0, batch: int | None = None
    ) -> None:
        self.count = count
        self._classifier, self._title = classifier, sample.title
        others = augment(classifier, sample, count, seed=(seed + OTHER) % 2**64, batch=batch or batch_size(classifier))
        self._batches = [classifier.prepare(sample), *others]
        self._dense = self._run(classifier.module())

    def judge(self, weights: Mapping[str, Tensor]) -> Verdict:
        """What comes of these weights, layer name → weight; the other layers stay dense.

        Raises:
            ModelError: if the pruned network's logits are NaN or infinite.
        """
        pruned = self._run(sparse_module(self._classifier, weights))
        same = self._dense.argmax(1) == pruned.argmax(1)
        kl = (self._dense.exp() * (self._dense - pruned)).sum(1)
        return Verdict(float(same[1:].float().mean()), max(0.0, float(kl[1:].mean())), bool(same[0]))

    def _run(self, module: nn.Module) -> Tensor:
        """Logarithms of the class probabilities, (1 + count, classes); the sample's own first."""
        with torch.no_grad():
            logits = torch.cat([module(images).float() for images in self._batches])
        if not bool(torch.isfinite(logits).all()):
            raise ModelError(
                f"{self._classifier.name} gives NaN or infinite logits on augmentations of '{self._title}'."
            )
        return logits.log_softmax(1)
