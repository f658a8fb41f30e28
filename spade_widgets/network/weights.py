"""A layer's weight, found and replaced by the layer's name; and what a forward pass does with it.

A layer is named by its module where its weight is that module's `weight` (`"layer4.1.conv2"`), and by the parameter's
own path otherwise (`"encoder.self_attention.in_proj_weight"`). A weight that several modules share is one layer, named
as the first of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn


@dataclass(frozen=True, eq=False)
class Product:
    """One use of a weight in a forward pass: weight · columns of the input.

    Attributes:
        input: as given to the operation: (n, c_in, *size) for a convolution, (…, c_in) for a linear layer; padded
            already where a layer pads by other means than zeros alike on both sides.
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


def layer_name(parameter: str) -> str:
    """The layer that a parameter's path in `named_parameters()` stands for."""
    return parameter.removesuffix(".weight")


def weight(module: nn.Module, layer: str) -> Tensor:
    """The weight of a layer that can be pruned: (rows, …)."""
    owner, key = _place(module, layer)
    found = owner._parameters[key]
    assert found is not None
    return found


def replace_weights(module: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Give the named layers other weights, wherever each is used. The module must be the caller's own.

    Nothing is written into a tensor: each layer gets a parameter of its own.
    """
    places: dict[int, list[tuple[nn.Module, str]]] = {}
    for part in module.modules():
        for key, parameter in part._parameters.items():
            places.setdefault(id(parameter), []).append((part, key))
    for name, tensor in weights.items():
        replacement = nn.Parameter(tensor, requires_grad=False)
        for owner, key in places[id(weight(module, name))]:
            setattr(owner, key, replacement)


def _place(module: nn.Module, layer: str) -> tuple[nn.Module, str]:
    """The module that holds a layer's weight, and the weight's name in it."""
    parent, _, key = layer.rpartition(".")
    owner = module.get_submodule(parent)
    return (owner, key) if key in owner._parameters else (module.get_submodule(layer), "weight")
