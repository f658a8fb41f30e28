"""Recorded networks brought into the form that a rule is made for. The networks are ours: parameters are replaced.

zennit's own canonizers look for torchvision's ResNets and VGGs by their classes. These look at what is computed, so
they fit every network whose operations are known: shortcuts, batch norm before or behind a convolution, linear layers
that are 1×1 convolutions (ConvNeXt), gates (squeeze and excitation), functional activations and pooling.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from spade_widgets.attribution.operations import (
    Add,
    AvgPool,
    BatchNorm,
    Pointwise,
    Product,
    Quotient,
    Rectifier,
    Reshape,
    Scale,
    Squash,
)
from spade_widgets.attribution.rewrite import Recorded, Ref

_LINEAR = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)


def merge_batch_norms(recorded: Recorded) -> None:
    """Merge each batch norm that follows a convolution or linear layer into it (`x ↦ s · (Wx + b) + t`).

    The layer gets new parameters; the shared ones are not written into. A batch norm that follows anything else
    (DenseNet's) stays.
    """
    for step, call in enumerate(recorded.calls):
        if not isinstance(call, BatchNorm):
            continue
        ref = recorded.inputs[step][0]
        layer = recorded.maker(ref)
        if not isinstance(layer, _LINEAR) or isinstance(layer, Pointwise) or recorded.users(ref) != [step]:
            continue
        scale, shift = _affine(call)
        weight, bias = layer.weight.detach(), layer.bias
        merged = weight * scale.view(-1, *[1] * (weight.ndim - 1))
        layer.weight = nn.Parameter(merged, requires_grad=False)
        moved = shift if bias is None else shift + scale * bias.detach()
        layer.bias = nn.Parameter(moved, requires_grad=False)
        recorded.calls[step] = nn.Identity()


def _affine(norm: BatchNorm) -> tuple[Tensor, Tensor]:
    """Scale and shift a channel of a batch norm in eval mode."""
    names = ("input", "running_mean", "running_var", "weight", "bias", "training", "momentum", "eps")
    values = dict(zip(names, norm.args, strict=False)) | norm.kwargs
    mean, variance = values["running_mean"], values["running_var"]
    scale = torch.rsqrt(variance + values.get("eps", 1e-5))
    if values.get("weight") is not None:
        scale = scale * values["weight"].detach()
    shift = -mean * scale
    if values.get("bias") is not None:
        shift = shift + values["bias"].detach()
    return scale, shift


def find_gates(recorded: Recorded) -> None:
    """Say of each product which side is the gate: the one that is squashed.

    Relevance goes to what is let through, none to the gate (Arras et al., "Explaining recurrent neural network
    predictions in sentiment analysis", 2017: signal takes all). A product without a gate is left as it is.
    """
    for step, call in enumerate(recorded.calls):
        if isinstance(call, Product):
            squashed = [_squashed(recorded, ref) for ref in recorded.inputs[step]]
            if squashed.count(True) == 1:
                call.gate = squashed.index(True)


def _squashed(recorded: Recorded, ref: Ref) -> bool:
    """Whether a tensor comes of a squashing alone, whatever was done since to its shape, its scale or its grid."""
    if ref[0] < 0:
        return False
    call = recorded.calls[ref[0]]
    if isinstance(call, (Reshape, Scale, AvgPool, nn.Identity)):
        return all(_squashed(recorded, before) for before in recorded.inputs[ref[0]])
    return isinstance(call, Squash)


def unruly(recorded: Recorded, *ruled: type[nn.Module]) -> str | None:
    """The name of the first operation that a method has no rule for; None if there is none.

    Args:
        ruled: what it has rules for beyond activations, and beyond what is linear in the image.
    """
    linear = (*_LINEAR, nn.Identity, Add, AvgPool, Reshape, Scale, BatchNorm)
    for call in recorded.calls:
        if isinstance(call, Product) and call.gate is None and Product not in ruled:
            return "a product of two feature maps"
        if isinstance(call, Quotient) and Quotient not in ruled:
            return "a quotient of two feature maps"
        if not isinstance(call, (*linear, nn.ReLU, Rectifier, Squash, Product, *ruled)):
            return f"'{call.extra_repr()}'"
    return None
