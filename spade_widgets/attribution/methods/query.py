"""What a saliency method is asked, and what several of them do with it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from spade_widgets.classifier import ImageClassifier
from spade_widgets.errors import InputError
from spade_widgets.network.many import logits_of_many
from spade_widgets.network.one_type import in_one_type
from spade_widgets.prediction import Network
from spade_widgets.pruning.progress import Progress

BASELINES = ("mean", "black", "grey", "white", "blur")
OUTPUTS = ("logit", "probability")


@dataclass(frozen=True, eq=False)
class Query:
    """One question: which pixels of an image speak for a class?

    Attributes:
        network: the classifier or the trace.
        x: (1, 3, h, w) as the network takes it, float32 or float64.
        target: the index of the class.
        seed: of everything random.
    """

    network: Network
    x: Tensor
    target: int
    seed: int

    @property
    def classifier(self) -> ImageClassifier:
        """The dense classifier."""
        return self.network.dense

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns of the image and of the map."""
        return self.x.shape[2], self.x.shape[3]

    def module(self) -> nn.Module:
        """A fresh copy of the network to hook, in the type of `x`.

        What is float16 or bfloat16 becomes float32: gradients would be lost in it. It may write into its input: that is
        a copy.
        """
        module = self._module()
        return in_one_type(module, self.x.dtype) if self.classifier.dtype != self.x.dtype else module

    def module_in(self, dtype: torch.dtype) -> nn.Module:
        """A fresh copy of the network that computes in one type throughout, whatever it casts inside."""
        return in_one_type(self._module(), dtype)

    def _module(self) -> nn.Module:
        module = self.network.module()
        module.register_forward_pre_hook(lambda _module, inputs: tuple(x.clone() for x in inputs))
        return module

    def scorer(self, output: str = "logit", *, bfloat16: bool | None = None) -> Callable[[Tensor], Tensor]:
        """The function (n, 3, h, w) → (n,): the class's logit or probability on each image, for many images.

        Args:
            output: which of the two.
            bfloat16: see `logits_of_many`; the image itself is the example.

        Raises:
            InputError: if the output is neither.
        """
        one_of("output", output, OUTPUTS)
        run = logits_of_many(
            self.module(),
            self.x,
            self.classifier.prunable(),
            self.classifier.memory_format,
            bfloat16=bfloat16,
        )

        def score(images: Tensor) -> Tensor:
            logits = run(images)
            return logits[:, self.target] if output == "logit" else logits.softmax(1)[:, self.target]

        return score

    def image(self) -> Tensor:
        """The input as a leaf with a gradient."""
        return self.x.detach().clone().requires_grad_()

    def generator(self) -> torch.Generator:
        """Random numbers of the seed alone. On the CPU: every device gets the same."""
        return torch.Generator("cpu").manual_seed(self.seed)

    def baseline(self, kind: str) -> Tensor:
        """(1, 3, h, w): the image from which nothing is to be learnt.

        Args:
            kind: `"mean"` (zero after normalisation: the mean colour of the training images), `"black"`, `"grey"`,
                `"white"`, or `"blur"` (the sample under a Gaussian of 5 % of its longer side).

        Raises:
            InputError: if it is none of these.
        """
        one_of("baseline", kind, BASELINES)
        if kind == "mean":
            return torch.zeros_like(self.x)
        if kind == "blur":
            return blurred(self.x, 0.05 * max(self.size))
        level = {"black": 0.0, "grey": 0.5, "white": 1.0}[kind]
        constant = torch.full(self.x.shape, level, dtype=self.x.dtype, device=self.x.device)
        return self.classifier.normalize(constant).to(self.x.dtype)

    def batch(self, asked: int | None) -> int:
        """How many images go through the network at once: as asked, else 128 of 224 px on a GPU, and 8 on a CPU.

        (On a CPU larger batches are slower: their feature maps leave the cache.) One, where a network gives an image
        another answer among others.

        Raises:
            InputError: if it is no whole number from 1.
        """
        if asked is not None:
            return self.classifier.at_once(whole("batch", asked))
        at_224 = 128 if self.x.device.type == "cuda" else 8
        return self.classifier.at_once(max(1, at_224 * 224 * 224 // (self.size[0] * self.size[1])))


def spans(total: int, size: int) -> Iterator[tuple[int, int]]:
    """0…total in parts of at most `size`: start and end of each."""
    for start in range(0, total, size):
        yield start, min(total, start + size)


def progress(done: int, of: int) -> Progress:
    """`done` of `of` images are through the network."""
    return Progress("saliency", done, of)


def strongest(gradient: Tensor, signed: bool) -> Tensor:
    """(1, 3, h, w) → (h, w): the largest magnitude over the colours, or their signed sum."""
    return gradient[0].sum(0) if signed else gradient[0].abs().amax(0)


def summed(attribution: Tensor) -> Tensor:
    """(1, 3, h, w) → (h, w): the sum over the colours, so that the map's sum is what was distributed."""
    return attribution[0].sum(0)


def blurred(x: Tensor, sigma: float) -> Tensor:
    """(n, c, h, w) under a Gaussian of `sigma` pixels; the border is continued."""
    radius = min(math.ceil(3 * sigma), min(x.shape[2:]) - 1)
    offsets = torch.arange(-radius, radius + 1, dtype=x.dtype, device=x.device)
    kernel = torch.exp(-(offsets**2) / (2 * sigma**2))
    kernel = (kernel / kernel.sum()).repeat(x.shape[1], 1)
    padded = nn.functional.pad(x, [radius] * 4, mode="replicate")
    rows = nn.functional.conv2d(padded, kernel[:, None, :, None], groups=x.shape[1])
    return nn.functional.conv2d(rows, kernel[:, None, None, :], groups=x.shape[1])


def whole(name: str, value: object, least: int = 1) -> int:
    """The value, if it is a whole number of at least `least`.

    Raises:
        InputError: if it is not.
    """
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < least:
        raise InputError(f"'{name}' is a whole number from {least}; {value!r} is none.")
    return int(value)


def number(name: str, value: object, least: float = 0.0) -> float:
    """The value, if it is a finite number of at least `least`.

    Raises:
        InputError: if it is not.
    """
    real = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    if not real or not math.isfinite(value) or value < least:  # type: ignore[arg-type, operator]  # real
        raise InputError(f"'{name}' is a number from {least:g}; {value!r} is none.")
    return float(value)  # type: ignore[arg-type]  # real


def one_of(name: str, value: object, accepted: tuple[str, ...]) -> str:
    """The value, if it is accepted.

    Raises:
        InputError: if it is not.
    """
    if value not in accepted:
        raise InputError(f"There is no {name} {value!r}: {', '.join(map(repr, accepted))} can be chosen.")
    return str(value)
