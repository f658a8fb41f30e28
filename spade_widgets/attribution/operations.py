"""The operations that a recorded forward pass is made of, as modules that rules can be hooked to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Slot:
    """Where in a call's arguments its n-th tensor goes."""

    index: int


def fill(template: Any, tensors: Sequence[Tensor]) -> Any:
    """The template with its slots filled."""
    if isinstance(template, Slot):
        return tensors[template.index]
    if isinstance(template, tuple | list):
        return type(template)(fill(part, tensors) for part in template)
    if isinstance(template, dict):
        return {key: fill(part, tensors) for key, part in template.items()}
    return template


class Call(nn.Module):
    """One call of a function of which no more is known: no rule applies to it.

    Attributes:
        function, args, kwargs: what was called, with slots where tensors go that come of the image.
        in_place: whether it writes into its first argument; the module hands it a copy and returns that.
    """

    def __init__(self, function: Callable[..., Any], args: Any, kwargs: Any, in_place: bool = False) -> None:
        super().__init__()
        self.function, self.args, self.kwargs, self.in_place = function, args, kwargs, in_place

    def forward(self, *tensors: Tensor) -> Any:
        """What the call gives for these tensors."""
        if not self.in_place:
            return self.function(*fill(self.args, tensors), **fill(self.kwargs, tensors))
        written, *others = fill(self.args, tensors)
        written = written.clone()
        self.function(written, *others, **fill(self.kwargs, tensors))
        return written

    def extra_repr(self) -> str:
        """The function's name."""
        return str(getattr(self.function, "__name__", self.function))


class Reshape(Call):
    """Moves, copies, drops or joins values and computes none: flatten, permute, cat, chunk, zero padding, …"""


class Scale(Call):
    """Multiplies each value by a constant or adds one to it."""


class Rectifier(Call):
    """An activation that lets the positive pass and the negative hardly: ReLU6, SiLU, GELU, Hardswish, …"""


class Squash(Call):
    """An activation with two ends: sigmoid, Hardsigmoid, tanh."""


class Curve(Call):
    """Any other function of single values."""

    @property
    def inverts(self) -> bool:
        """Whether it is one over something."""
        name = self.extra_repr().strip("_")
        return name in ("rsqrt", "reciprocal") or (name == "pow" and _negative(self.args, self.kwargs))


def _negative(args: Any, kwargs: dict[str, Any]) -> bool:
    exponent = args[1] if len(args) > 1 else kwargs.get("exponent")
    return isinstance(exponent, int | float) and exponent < 0


class AvgPool(Call):
    """Averages over places: average pooling, the mean or the sum over some dimensions, interpolation."""


class MaxPool(Call):
    """The largest value of places."""


class Norm(Call):
    """Layer, group, instance or RMS norm, or batch norm without statistics: they are the image's own."""


class BatchNorm(Call):
    """Batch norm in eval mode that follows no convolution: a scale and a shift a channel."""


class Sum(nn.Module):
    """The sum of two tensors of the image: a shortcut. It has one input, so that it can be hooked.

    Input: (…, 2), both stacked in the last dimension.
    """

    def forward(self, both: Tensor) -> Tensor:
        """(…, 2) → (…)."""
        return both.sum(-1)


class Add(nn.Module):
    """a + alpha · b of two tensors of the image; broadcasts."""

    def __init__(self, alpha: float = 1.0) -> None:
        super().__init__()
        self.alpha = alpha
        self.sum = Sum()

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """(…) and (…) → (…)."""
        shape = torch.broadcast_shapes(a.shape, b.shape)  # type: ignore[no-untyped-call]
        out: Tensor = self.sum(torch.stack([a.expand(shape), (b * self.alpha).expand(shape)], -1))
        return out


class Product(nn.Module):
    """a · b of two tensors of the image; broadcasts.

    Attributes:
        gate: which of them (0 or 1) is a gate, whose gradient is then left out: what comes down goes to the other one
            as it is. None: neither, and the gradients are those of a product.
    """

    def __init__(self) -> None:
        super().__init__()
        self.gate: int | None = None

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """(…) and (…) → (…)."""
        if self.gate is None:
            return a * b
        let_through = a if self.gate == 1 else b
        return (a * b).detach() + (let_through - let_through.detach())


class Quotient(nn.Module):
    """a / b of two tensors of the image; broadcasts."""

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """(…) and (…) → (…)."""
        return a / b


class Pointwise(nn.Linear):
    """A linear layer at every place of a map (channels last): a 1×1 convolution."""
