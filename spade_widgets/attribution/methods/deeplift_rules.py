"""Rules that captum's DeepLIFT lacks. Each keeps the sum: what goes out by an operation is all that came in.

The batch is two images, the sample and the baseline, as captum lays them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from captum.attr import DeepLift
from captum.attr._core.deep_lift import nonlinear
from torch import Tensor, nn

from spade_widgets.attribution.operations import Curve, MaxPool, Norm, Product, Rectifier, Slot, Squash
from spade_widgets.attribution.rewrite import Recorded

_ONE = (Slot(0),)


class RuledDeepLift(DeepLift):  # type: ignore[misc]  # captum ships no types
    """captum's DeepLIFT with one table of rules more."""

    def _is_non_linear(self, module: nn.Module) -> bool:
        return type(module) in _RULES

    def _backward_hook(self, module: Any, grad_input: Tensor, grad_output: Tensor) -> Tensor:
        # captum keeps the activations on the module
        rule = _RULES[type(module)]
        multipliers = rule(module, module.input, module.output, grad_input, grad_output, eps=self.eps)
        del module.input, module.output
        return multipliers


def max_pool(
    module: nn.Module, inputs: Tensor, outputs: Tensor, grad_input: Tensor, grad_output: Tensor, eps: float
) -> Tensor:
    """captum's rule for max pooling, also where windows overlap: there captum's keeps one window's share alone.

    Of the change from the baseline's maximum to the sample's, the part up to the larger of the two goes to where the
    sample has its maximum, the rest to where the baseline has its own.
    """
    (x, x0), (y, y0) = inputs.chunk(2), outputs.chunk(2)
    most = torch.maximum(y, y0)
    with torch.enable_grad():
        leaf = inputs.detach().requires_grad_()
        (shares,) = torch.autograd.grad(module.forward(leaf), leaf, grad_output * torch.cat([most - y0, y - most]))
    share, difference = sum(shares.chunk(2)), x - x0
    multiplier = torch.where(difference.abs() < eps, grad_input[: len(x)], share / difference)
    return torch.cat([multiplier, multiplier])


_RULES: dict[type[nn.Module], Callable[..., Tensor]] = {
    nn.ReLU: nonlinear,
    Rectifier: nonlinear,
    Squash: nonlinear,
    Curve: nonlinear,
    MaxPool: max_pool,
}


class Midpoint(Product):
    """A product whose change is shared as the mean over both orders: Δ(ab) = Δa · (b + b₀)/2 + Δb · (a + a₀)/2.

    These are the two factors' Shapley values; SHAP's own DeepLIFT does the same (Lundberg & Lee 2017).
    """

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """(2, …) and (2, …) → (2, …)."""
        through = _middle(b) * (a - a.detach()) + _middle(a) * (b - b.detach())
        return (a * b).detach() + through


def _middle(values: Tensor) -> Tensor:
    return values.detach().mean(0, keepdim=True).expand_as(values)


class NormInParts(nn.Module):
    """Layer or group norm as what it is made of: a mean, squares, a root, a product. Each part has its rule."""

    def __init__(self, norm: Norm) -> None:
        super().__init__()
        name = str(norm.extra_repr())
        names = ("input", "normalized_shape" if name == "layer_norm" else "num_groups", "weight", "bias", "eps")
        given = dict(zip(names, norm.args, strict=False)) | norm.kwargs
        self.over = given[names[1]]
        self.weight, self.bias, eps = given.get("weight"), given.get("bias"), given.get("eps", 1e-5)
        self.square = Curve(torch.square, _ONE, {})
        self.inverse_root = Curve(lambda variance: torch.rsqrt(variance + eps), _ONE, {})
        self.product = Midpoint()

    def forward(self, x: Tensor) -> Tensor:
        """(2, …) → (2, …)."""
        grouped = isinstance(self.over, int)
        values = x.reshape(x.shape[0], self.over, -1) if grouped else x
        dims = tuple(range(2, values.ndim)) if grouped else tuple(range(-len(self.over), 0))
        centred = values - values.mean(dims, keepdim=True)
        variance = self.square(centred.view_as(centred)).mean(dims, keepdim=True)  # as in `Recorded`
        out: Tensor = self.product(centred, self.inverse_root(variance)).reshape(x.shape)
        shape = (1, -1, *[1] * (x.ndim - 2)) if grouped else self.over
        if self.weight is not None:
            out = out * self.weight.reshape(shape)
        return out if self.bias is None else out + self.bias.reshape(shape)


def with_rules(recorded: Recorded) -> Recorded:
    """The recorded network with products and norms replaced by what has rules."""
    for step, call in enumerate(recorded.calls):
        if isinstance(call, Product):
            recorded.calls[step] = Midpoint()
        elif isinstance(call, Norm):
            recorded.calls[step] = NormInParts(call)
    return recorded
