"""A layer's weight, found and replaced by the layer's name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn


@dataclass(frozen=True, eq=False)
class Product:
    """One use of a weight in a forward pass: weight · columns of the input.

    Attributes:
        input: as given to the operation: (n, c_in, *size) or unbatched (c_in, *size) for a convolution, (…, c_in) for
            a linear layer; padded already where a layer pads by other means than zeros.
        weight: (rows, c_in / groups, *kernel); (rows, c_in) for a linear layer.
        stride, padding, dilation: one number a spatial dimension; empty for a linear layer.
        groups: rows and input channels are in so many groups, each row seeing its own group's channels alone.
    """

    input: Tensor
    weight: Tensor
    stride: tuple[int, ...] = ()
    padding: tuple[int, ...] = ()
    dilation: tuple[int, ...] = ()
    groups: int = 1


def weight(module: nn.Module, layer: str) -> Tensor:
    """The weight of a layer that can be pruned: (rows, …)."""
    found = module.get_submodule(layer).weight
    assert isinstance(found, Tensor)
    return found


def replace_weights(module: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Give the named layers other weights. The module must be the caller's own; nothing is written into a tensor."""
    for name, tensor in weights.items():
        # The layer gets a weight of its own: one that it was tied to keeps the old one.
        module.get_submodule(name).weight = nn.Parameter(tensor, requires_grad=False)
