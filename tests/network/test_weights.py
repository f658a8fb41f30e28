"""Weights by name: modules' own, loose parameters, shared ones; and that nothing but the caller's copy is changed."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from spade_widgets.network.weights import layer_name, replace_weights, weight


class Loose(nn.Module):
    """A layer, a parameter that is no layer's, and a weight that three modules share."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.table = nn.Conv2d(3, 4, 3), nn.Parameter(torch.randn(5, 4))
        self.block = nn.ModuleDict({"attention": nn.MultiheadAttention(4, 2), "one": nn.Linear(4, 4)})
        self.two = nn.Linear(4, 4)
        self.two.weight = self.block["one"].weight
        self.again = self.two


@pytest.mark.parametrize(
    ("layer", "parameter"),
    [
        ("conv", "conv.weight"),
        ("table", "table"),
        ("block.attention.in_proj_weight", "block.attention.in_proj_weight"),
        ("block.attention.out_proj", "block.attention.out_proj.weight"),
        ("block.one", "block.one.weight"),
        ("two", "two.weight"),
    ],
)
def test_names(layer: str, parameter: str) -> None:
    module = Loose()
    assert layer_name(parameter) == layer
    assert weight(module, layer) is module.get_parameter(parameter)
    new = torch.randn_like(weight(module, layer))
    replace_weights(module, {layer: new})
    assert torch.equal(module.get_parameter(parameter), new)
    assert weight(module, layer).data_ptr() == new.data_ptr()
    assert not weight(module, layer).requires_grad


def test_a_weight_of_the_root() -> None:
    linear = nn.Linear(2, 3)
    assert weight(linear, layer_name("weight")) is linear.weight
    replace_weights(linear, {"weight": torch.zeros(3, 2)})
    assert not linear.weight.any()


@pytest.mark.parametrize("name", ["block.one", "two"])
def test_shared_weights_are_replaced_wherever_they_are(name: str) -> None:
    module = Loose()
    old = weight(module, name)
    replace_weights(module, {name: torch.zeros(4, 4), "conv": torch.ones(4, 3, 3, 3)})
    one, two, again = (module.get_parameter(f"{n}.weight") for n in ("block.one", "two", "again"))
    assert one is two is again
    assert not one.any()
    assert bool(old.any())  # nothing was written into a tensor
    assert bool((module.conv.weight == 1).all())
    assert module.conv.bias is not None


def test_equal_weights_are_not_shared_ones() -> None:
    module = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    with torch.no_grad():
        module[1].weight.copy_(module[0].weight)
    replace_weights(module, {"0": torch.zeros(2, 2)})
    assert bool(module[1].weight.any())


def test_a_replaced_weight_is_used(tiny_model: nn.Module) -> None:
    x = torch.randn(1, 3, 32, 32)
    before: Tensor = tiny_model(x)
    replace_weights(tiny_model, {"7": torch.zeros(5, 16)})
    assert torch.equal(tiny_model(x)[0], tiny_model[7].bias)  # type: ignore[index]
    assert not torch.equal(before, tiny_model(x))
