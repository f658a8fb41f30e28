"""What a network says of a sample."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from spade_widgets.classifier import ImageClassifier
from spade_widgets.errors import InputError, ModelError
from spade_widgets.sample import Sample, Source


class Network(Protocol):
    """What is dense or sparse: an `ImageClassifier`, or a `Trace` of one."""

    @property
    def dense(self) -> ImageClassifier:
        """The classifier itself, or the one that was traced."""

    def module(self) -> nn.Module:
        """A fresh copy that is the caller's to hook."""


@dataclass(frozen=True)
class Prediction:
    """One class: its index, its name and its probability in 0…1."""

    index: int
    name: str
    probability: float


def predict(network: Network, sample: Source, top: int = 5) -> list[Prediction]:
    """The `top` most probable classes of a sample under a classifier or a trace, most probable first.

    Args:
        network: a classifier or a trace.
        sample: anything that `Sample.read` takes.
        top: how many, from 1 on; all classes where there are fewer.

    Raises:
        InputError: if the sample is no image, or `top` is below 1.
        ModelError: if the network's logits are not finite on it.
    """
    if top < 1:
        raise InputError(f"The top {top} classes cannot be given: ask for at least 1.")
    probabilities = softmax(network, Sample.read(sample))
    names = network.dense.class_names
    best = probabilities.topk(min(top, len(names))).indices.tolist()
    return [Prediction(i, names[i], float(probabilities[i])) for i in best]


def softmax(network: Network, sample: Sample) -> Tensor:
    """The probabilities of all classes, (classes,) float32 on the CPU.

    Raises:
        ModelError: if they are not finite.
    """
    logits = network.dense.answer_of(network.module(), sample)
    if not bool(torch.isfinite(logits).all()):
        raise ModelError(f"{network.dense.name} gives NaN or infinite logits on '{sample.title}'.")
    return logits[0].float().softmax(0).cpu()
