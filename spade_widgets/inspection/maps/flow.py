"""How much of a neuron's value comes through each channel of each layer, and from which channels before it.

A forward pass is cut behind some layers: what a layer gives goes on as a new leaf, so that between two cuts stands a
piece of the network whose gradients can be asked for by themselves. A channel's *influence* is its value times the
gradient of the neuron's, summed over places. What *flows* from one channel to another is the same of the piece between
them: the value of the first times the gradient of the second's influence, where the second's own gradient is held.
Through convolutions, ReLU, pooling, sums and joins this is exact: what flows into a channel, and its constant (biases,
the shift of a norm), are together its influence. (Gradient times input, layer by layer: Shrikumar et al. 2016; as the
edges of a circuit: Syed et al. 2023, "Attribution patching outperforms automated circuit discovery".)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from spade_widgets.network.blame import model_errors
from spade_widgets.neuron import Layer, Neuron

#: The source of all: the image itself.
IMAGE = "image"


@dataclass(frozen=True, eq=False)
class Flow:
    """A forward pass that is cut behind some layers, and the gradient of one neuron's value.

    Attributes:
        value: the neuron's value: a logit, a channel's mean over its places, or its value at one.
        layers: the layers that were cut and that the neuron depends on, in the order in which they run.
    """

    value: float
    layers: tuple[Layer, ...]
    _value: Tensor
    _made: dict[str, Tensor]
    _leaves: dict[str, Tensor]
    _gradients: dict[str, Tensor]

    @cached_property
    def influences(self) -> dict[str, Tensor]:
        """Layer → (channels,): each channel's share of the neuron's value, signed. Of the image: (1,)."""
        own = {
            layer.name: _by_channel(layer, (self._leaves[layer.name] * self._gradients[layer.name]).detach())
            for layer in self.layers
        }
        image = self._gradients.get(IMAGE)
        return own if image is None else {IMAGE: (self._leaves[IMAGE] * image).detach().sum().reshape(1), **own}

    def into(self, layer: Layer | None, channels: Tensor | None = None) -> dict[str, Tensor]:
        """What flows into some channels of a layer together, from each layer right before it.

        Args:
            layer: one of `layers`; None: the neuron itself.
            channels: (channels,) bool: which of them.

        Returns:
            Layer (or `IMAGE`) → (channels,), signed.
        """
        if layer is None:
            found = _gradients(self._value, None, self._leaves)
        else:
            gradient = self._gradients[layer.name]
            if channels is not None:
                gradient = torch.where(_spread(layer, channels, gradient), gradient, 0)
            found = _gradients(self._made[layer.name], gradient, self._leaves)
        known = {layer.name: layer for layer in self.layers}
        carried = {name: (self._leaves[name] * gradient).detach() for name, gradient in found.items()}
        return {
            name: values.sum().reshape(1) if name == IMAGE else _by_channel(known[name], values)
            for name, values in carried.items()
        }


def flow(module: nn.Module, x: Tensor, neuron: Neuron, layers: Sequence[Layer], own: Layer | None) -> Flow:
    """Run a module, cut it behind some layers, and take the gradient of a neuron's value back through the cuts.

    Args:
        module: a copy that may be hooked.
        x: (1, c, h, w), as the module takes it.
        neuron: whose value.
        layers: where to cut. The neuron's own layer is none of them.
        own: the neuron's own layer; None for a class.

    Raises:
        ModelError: if the model fails, or passes no gradients on.
    """
    made: dict[str, Tensor] = {}
    leaves: dict[str, Tensor] = {}
    seen: list[Tensor] = []

    def cut(name: str) -> Any:
        def hook(_part: nn.Module, _inputs: Any, output: Tensor) -> Tensor | None:
            if name in made:  # run again: a layer is known by its first run
                return None
            made[name] = output
            leaves[name] = output.detach().requires_grad_()
            return leaves[name].clone()  # what comes next may write into it

        return hook

    def watch(_part: nn.Module, _inputs: Any, output: Tensor) -> None:
        if not seen:
            seen.append(output.clone())

    handles = [module.get_submodule(layer.name).register_forward_hook(cut(layer.name)) for layer in layers]
    if own is not None:
        handles.append(module.get_submodule(own.name).register_forward_hook(watch))
    try:
        with model_errors("The map of a trace"), torch.inference_mode(False), torch.enable_grad():
            leaves[IMAGE] = x.clone().requires_grad_()
            logits: Tensor = module(leaves[IMAGE].clone())
            value = logits[0, neuron.channel] if own is None else _value(own.maps(seen[0])[0, neuron.channel], neuron)
            gradients = dict(_gradients(value, None, leaves))
            # In the order of the run, so that all that depends on a layer has been gone through before it.
            for name in reversed(made):
                if name in gradients:
                    for before, more in _gradients(made[name], gradients[name], leaves).items():
                        gradients[before] = gradients[before] + more if before in gradients else more
    finally:
        for handle in handles:
            handle.remove()
    order = {name: i for i, name in enumerate(made)}
    reached = sorted((layer for layer in layers if layer.name in gradients), key=lambda layer: order[layer.name])
    return Flow(float(value.detach()), tuple(reached), value, made, leaves, gradients)


def _value(channel: Tensor, neuron: Neuron) -> Tensor:
    return channel[neuron.position] if neuron.position is not None and channel.ndim else channel.mean()


def _gradients(of: Tensor, weight: Tensor | None, leaves: dict[str, Tensor]) -> dict[str, Tensor]:
    """The gradient of a tensor for each leaf that it comes of without another cut between."""
    with torch.inference_mode(False), torch.enable_grad():
        found: tuple[Tensor | None, ...] = torch.autograd.grad(
            of, list(leaves.values()), weight, allow_unused=True, retain_graph=True
        )
    return {name: gradient for name, gradient in zip(leaves, found, strict=True) if gradient is not None}


def _by_channel(layer: Layer, values: Tensor) -> Tensor:
    """The sum over all places of each channel; a class token counts too, so that nothing that flows is lost."""
    if layer.arrangement == "channels first":
        return values[0].reshape(layer.channels, -1).sum(1)
    return values[0].reshape(-1, layer.channels).sum(0)


def _spread(layer: Layer, channels: Tensor, like: Tensor) -> Tensor:
    """Which of a layer's values are of some channels, as its output holds them."""
    if layer.arrangement == "channels first":
        return channels.reshape(1, -1, *(1 for _ in like.shape[2:])).expand_as(like)
    return channels.expand_as(like)
