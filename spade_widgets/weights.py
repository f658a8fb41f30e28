"""A layer's weight, found and replaced by the layer's name."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn


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
