"""DeepLIFT's rules for products, quotients and norms: how a change is shared among the factors.

The change of a product can be taken in two orders, Δ(ab) = Δa · b + Δb · a₀ = Δa · b₀ + Δb · a, and any weighted mean
of both keeps the sum. The plain mean is the factors' Shapley values. It does not do where one factor divides by the
other's own spread, as a norm does: on a baseline that is the same everywhere the divisor is the root of the norm's ε,
and half of its inverse comes down at every norm (a hundredfold and more), to cancel with the other half. There the
order with the larger divisor counts more: with weights σ² and σ₀², no share is larger than 1.21 of what the larger
divisor alone leaves, and where sample and baseline meet, the rule is the gradient.

The batch is two images, the sample and the baseline. All here compute their value, and hand down the rule's multipliers
as their gradient.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from spade_widgets.attribution.operations import AvgPool, Curve, Norm, Product, Quotient, Reshape, Scale
from spade_widgets.attribution.rewrite import Recorded, Ref


class Midpoint(Product):
    """A product whose change is shared as the mean over both orders: Δ(ab) = Δa · (b + b₀)/2 + Δb · (a + a₀)/2.

    These are the two factors' Shapley values; SHAP's own DeepLIFT does the same (Lundberg & Lee 2017).
    """

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """(2, …) and (2, …) → (2, …)."""
        return (a * b).detach() + _middle(b) * _change(a) + _middle(a) * _change(b)


class SharedQuotient(Quotient):
    """a / b, with the order of the larger divisor counting more (see the file's head)."""

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """(2, …) and (2, …) → (2, …)."""
        return _quotient(a, b)


class Scaled(Product):
    """a · s where s is one over a spread, as norms written by hand have it: the quotient's shares.

    Args:
        scale: which of the two factors is s.
    """

    def __init__(self, scale: int) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """(2, …) and (2, …) → (2, …)."""
        value, scale = (a, b) if self.scale == 1 else (b, a)
        (v, v0), (s, s0) = _two(value), _two(scale)
        squares = _off_zero(s**2 + s0**2)
        through = _both(s * s0 * (s + s0) / squares) * _change(value)
        return (a * b).detach() + through + _both((s0**2 * v0 + s**2 * v) / squares) * _change(scale)


class RuledNorm(nn.Module):
    """A norm by the image's own statistics: a value without its mean, over the root of the mean square.

    Layer, group, instance and RMS norm, and batch norm that keeps no statistics, of the one image.
    """

    def __init__(self, norm: Norm) -> None:
        super().__init__()
        self.name = str(norm.extra_repr())
        given = dict(zip(_ARGUMENTS[self.name], norm.args, strict=False)) | norm.kwargs
        self.over = given.get("normalized_shape")
        self.groups = given.get("num_groups")
        self.weight, self.bias, self.eps = given.get("weight"), given.get("bias"), given.get("eps", _EPS[self.name])

    def forward(self, x: Tensor) -> Tensor:
        """(2, …) → (2, …)."""
        values, dims = self._laid_out(x)
        centred = values if self.name == "rms_norm" else values - values.mean(dims, keepdim=True)
        eps = torch.finfo(x.dtype).eps if self.eps is None else self.eps
        spread = _root(_square(centred).mean(dims, keepdim=True) + eps)
        out = _quotient(centred, spread).reshape(x.shape)
        shape = (1, -1, *[1] * (x.ndim - 2)) if self.over is None else tuple(self.over)
        if self.weight is not None:
            out = out * self.weight.reshape(shape)
        return out if self.bias is None else out + self.bias.reshape(shape)

    def _laid_out(self, x: Tensor) -> tuple[Tensor, tuple[int, ...]]:
        """The values, and the dimensions that share a statistic."""
        if self.over is not None:
            return x, tuple(range(-len(self.over), 0))
        groups = x.shape[1] if self.groups is None else self.groups
        return x.reshape(x.shape[0], groups, -1), (2,)


_ARGUMENTS = {
    "layer_norm": ("input", "normalized_shape", "weight", "bias", "eps"),
    "rms_norm": ("input", "normalized_shape", "weight", "eps"),
    "group_norm": ("input", "num_groups", "weight", "bias", "eps"),
    "instance_norm": (
        "input", "running_mean", "running_var", "weight", "bias", "use_input_stats", "momentum", "eps",
    ),
    "batch_norm": ("input", "running_mean", "running_var", "weight", "bias", "training", "momentum", "eps"),
}  # fmt: skip
#: What the functions take by default; RMS norm's None is the type's own.
_EPS = {"layer_norm": 1e-5, "rms_norm": None, "group_norm": 1e-5, "instance_norm": 1e-5, "batch_norm": 1e-5}


def is_scale(recorded: Recorded, ref: Ref) -> bool:
    """Whether a tensor is one over something, as far as nothing but its shape and a constant came after."""
    step = ref[0]
    while step >= 0:
        call = recorded.calls[step]
        if isinstance(call, Curve):
            return call.inverts
        if not isinstance(call, (Reshape, Scale, AvgPool, nn.Identity)) or len(recorded.inputs[step]) != 1:
            return False
        step = recorded.inputs[step][0][0]
    return False


def _quotient(a: Tensor, b: Tensor) -> Tensor:
    """Δ(a/b) = Δa · (b + b₀)/(b² + b₀²) − Δb · (b · y₀ + b₀ · y)/(b² + b₀²), with y = a/b."""
    y = (a / b).detach()
    (y1, y0), (b1, b0) = _two(y), _two(b)
    squares = _off_zero(b1**2 + b0**2)
    return y + _both((b1 + b0) / squares) * _change(a) - _both((b1 * y0 + b0 * y1) / squares) * _change(b)


def _square(x: Tensor) -> Tensor:
    """Δ(x²) = Δx · (x + x₀)."""
    return (x * x).detach() + 2 * _middle(x) * _change(x)


def _root(x: Tensor) -> Tensor:
    """Δ√x = Δx / (√x + √x₀)."""
    root = x.detach().sqrt()
    return root + _change(x) / _off_zero(2 * _middle(root))


def _off_zero(positive: Tensor) -> Tensor:
    return positive.clamp(min=torch.finfo(positive.dtype).tiny)


def _change(x: Tensor) -> Tensor:
    """Zero, whose gradient is that of x."""
    return x - x.detach()


def _two(values: Tensor) -> tuple[Tensor, Tensor]:
    """Of the sample and of the baseline: (1, …) each."""
    sample, baseline = values.detach().chunk(2)
    return sample, baseline


def _both(multiplier: Tensor) -> Tensor:
    """The same multiplier for both images."""
    return multiplier.expand(2, *multiplier.shape[1:])


def _middle(values: Tensor) -> Tensor:
    return _both(values.detach().mean(0, keepdim=True))
