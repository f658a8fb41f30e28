"""A way out from under a ReLU: gradients for a neuron that the starting picture leaves at zero.

A neuron behind a ReLU that the first, almost grey picture does not excite anywhere has no gradient, and would stay on
that picture for ever. (With SqueezeNet's own weights that is so for 60 % of the channels of its last block.) Lucid's
redirected ReLU helps: where the input is below zero, the gradient passes if it would raise the input.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode


class _Redirected(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, inputs: Tensor, most: float) -> Tensor:
        ctx.save_for_backward(inputs)
        ctx.most = most
        return inputs.clamp(0, most)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (inputs,), (gradient,) = ctx.saved_tensors, gradients
        # A loss is minimised: it is a negative gradient that raises the input.
        through = torch.where((inputs > 0) & (inputs < ctx.most), gradient, 0)
        if through.any():
            return through, None
        return torch.where((inputs <= 0) & (gradient < 0), gradient, 0), None


class RedirectedReLUs(TorchFunctionMode):
    """While it is on, in this thread, a ReLU or ReLU6 that no gradient would get through is redirected.

    However the model calls them: as modules, as functions, or as methods. Values are the same.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in (F.relu, torch.relu, Tensor.relu, F.relu6) or (func is F.hardtanh and _bounds(args, kwargs)[0] == 0):
            inputs = args[0] if args else kwargs["input"]
            most = {F.relu6: 6.0, F.hardtanh: _bounds(args, kwargs)[1]}.get(func, float("inf"))
            return _Redirected.apply(inputs, most)
        return func(*args, **kwargs)


def _bounds(args: Any, kwargs: Any) -> tuple[float, float]:
    least = args[1] if len(args) > 1 else kwargs.get("min_val", -1.0)
    most = args[2] if len(args) > 2 else kwargs.get("max_val", 1.0)
    return float(least), float(most)
