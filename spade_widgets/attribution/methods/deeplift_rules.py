"""Rules that captum's DeepLIFT lacks. Each keeps the sum: what goes out by an operation is all that came in.

The batch is two images, the sample and the baseline, as captum lays them. What has several inputs, and norms, are in
`deeplift_factors.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from captum.attr import DeepLift
from captum.attr._core.deep_lift import nonlinear
from torch import Tensor, nn

from spade_widgets.attribution.methods.deeplift_factors import Midpoint, RuledNorm, Scaled, SharedQuotient, is_scale
from spade_widgets.attribution.operations import Curve, MaxPool, Norm, Product, Quotient, Rectifier, Squash
from spade_widgets.attribution.rewrite import Recorded


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


def with_rules(recorded: Recorded) -> Recorded:
    """The recorded network with products, quotients and norms replaced by what has rules."""
    for step, call in enumerate(recorded.calls):
        if isinstance(call, Product):
            scales = [is_scale(recorded, ref) for ref in recorded.inputs[step]]
            recorded.calls[step] = Scaled(scales.index(True)) if scales.count(True) == 1 else Midpoint()
        elif isinstance(call, Quotient):
            recorded.calls[step] = SharedQuotient()
        elif isinstance(call, Norm):
            recorded.calls[step] = RuledNorm(call)
    return recorded
