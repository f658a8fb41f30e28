"""The gradient of a strided first convolution, which takes a fifth of a ResNet's backward pass on a CPU.

For the few channels of a picture the library's kernel runs at a fifth of its usual speed. The same gradient is an
ordinary convolution of the output's: with a stride of s, the input's pixels fall into s × s phases, each of which has
its own part of the kernel. So it is one convolution with s × s times the channels, whose output is shuffled to pixels.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

#: More input channels than this are no picture's, and the library is quick by itself.
CHANNELS = 4


def quicken(module: nn.Module) -> None:
    """Give the strided convolutions of a picture the quicker gradient; their values are the same.

    Weights are taken as frozen: no gradient goes to them.

    Args:
        module: a copy that is the caller's own, on a CPU.
    """
    for part in module.modules():
        if type(part) is nn.Conv2d and _fits(part):
            part.forward = _Quick(part)  # type: ignore[method-assign, assignment]


def _fits(layer: nn.Conv2d) -> bool:
    sides = (layer.kernel_size, layer.stride, layer.padding)
    return (
        layer.in_channels <= CHANNELS
        and layer.groups == 1
        and layer.dilation == (1, 1)
        and layer.padding_mode == "zeros"
        and layer.stride[0] > 1
        and all(side[0] == side[1] for side in sides)  # not so for a padding by name
        and layer.weight.dtype == torch.float32
    )


class _Quick:
    """The forward of such a layer."""

    def __init__(self, layer: nn.Conv2d) -> None:
        # Not the layer itself: each would keep the other alive.
        self._weight, self._bias = layer.weight, layer.bias
        self._stride, self._padding = layer.stride[0], int(layer.padding[0])
        self._phases = phases(layer.weight, self._stride)

    def __call__(self, inputs: Tensor) -> Tensor:
        if inputs.ndim != 4:
            return F.conv2d(inputs, self._weight, self._bias, self._stride, self._padding)
        output: Tensor = _Convolution.apply(inputs, self._weight, self._bias, self._phases, self._stride, self._padding)
        return output


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor | None, phased: Tensor, stride: int, padding: int
    ) -> Tensor:
        ctx.save_for_backward(phased)
        ctx.stride, ctx.padding, ctx.size = stride, padding, inputs.shape[2:]
        return F.conv2d(inputs, weight, bias, stride, padding)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (phased,), (gradient,) = ctx.saved_tensors, gradients
        return input_gradient(gradient, phased, ctx.stride, ctx.padding, ctx.size), None, None, None, None, None


def phases(weight: Tensor, stride: int) -> Tensor:
    """The kernel of the gradient's convolution: (c · stride², outputs, m, m), m = kernel / stride, rounded up.

    Args:
        weight: (outputs, c, k, k) of the convolution whose gradient it is.
        stride: its stride.
    """
    outputs, channels, side, _ = weight.shape
    reach = -(-side // stride)
    beyond = reach * stride - side
    parts = F.pad(weight, (0, beyond, 0, beyond)).view(outputs, channels, reach, stride, reach, stride).flip(2, 4)
    kernel = parts.permute(1, 3, 5, 0, 2, 4).reshape(channels * stride**2, outputs, reach, reach)
    return kernel.contiguous(memory_format=torch.channels_last)


def input_gradient(gradient: Tensor, phased: Tensor, stride: int, padding: int, size: torch.Size) -> Tensor:
    """The gradient of a convolution's input, (n, c, h, w), from that of its output.

    Args:
        gradient: (n, outputs, h', w').
        phased: from `phases`.
        stride, padding: of the convolution.
        size: h, w.
    """
    kernel = phased.to(gradient.dtype)  # under autocast the output has fewer bits
    pixels = F.pixel_shuffle(F.conv2d(gradient, kernel, padding=phased.shape[-1] - 1), stride)
    # From −padding on; what no kernel reached, at the lower right, has no gradient.
    right, below = (side + padding - there for side, there in zip(reversed(size), reversed(pixels.shape), strict=False))
    return F.pad(pixels, (-padding, right, -padding, below))
