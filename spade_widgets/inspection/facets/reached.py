"""What reached a neuron: activation × gradient at the inputs of the layer that computes it, a number a channel.

PURE (Dreyer et al., "PURE: Turning Polysemantic Neurons Into Pure Features by Identifying Relevant Circuits", 2024,
arXiv 2404.06453) tells a neuron's facets apart by the channels of the layer before through which each example excites
it. "The layer before" is no name in most networks: before SqueezeNet's classifier lies a concatenation, before a
residual block's output a sum. So it is asked of the pass itself. Every convolution and linear layer is given its input
as a leaf of its own: the gradient of the neuron then ends at the inputs of those layers that reach it without another
one between them. That is a single layer for a convolution's channel or a logit, and both branches of a residual sum.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from spade_widgets.classifier import ImageClassifier
from spade_widgets.errors import ModelError
from spade_widgets.network.capture import OUTPUT, capture
from spade_widgets.network.weights import layer_name
from spade_widgets.neuron import Neuron
from spade_widgets.sample import Sample

_CONVOLUTIONS = (torch.conv1d, torch.conv2d, torch.conv3d)
#: A leaf: the layer's name, how often it ran before in the same pass, and which of its inputs it is.
Place: TypeAlias = tuple[str, int, int]
#: What reached a neuron on one sample: a number a channel, for each leaf that reaches it.
Parts: TypeAlias = dict[Place, npt.NDArray[np.float64]]


class Cut(TorchFunctionMode):
    """While it is on, in this thread, every convolution, linear layer and attention is given its input as a leaf.

    Args:
        module: whose weights are known by name; others are cut, too.
        spare: names of layers that are left in the graph, so that gradients go on to what lies before them.

    Attributes:
        leaves: where each lies → the leaf, and the dimension of its channels.
    """

    def __init__(self, module: nn.Module, spare: Collection[str] = ()) -> None:
        super().__init__()
        self._names = {id(parameter): layer_name(path) for path, parameter in module.named_parameters()}
        self._spare = set(spare)
        self._runs: dict[str, int] = {}
        self.leaves: dict[Place, tuple[Tensor, int]] = {}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given: dict[str, Any] = dict(kwargs or {})
        if func is F.linear or func in _CONVOLUTIONS:
            names = dict(zip(("input", "weight"), args, strict=False)) | given
            leaf = self._leaf(names["input"], names["weight"], 0, -1 if func is F.linear else 1)
            args = (leaf, *args[1:]) if args else args
            if "input" in given:
                given["input"] = leaf
        elif func is F.multi_head_attention_forward and len(args) >= 3:
            weight = args[5] if len(args) > 5 and args[5] is not None else given.get("q_proj_weight")
            made: dict[int, Tensor] = {}  # where query, key and value are one tensor, they stay one
            for number, x in enumerate(args[:3]):
                if id(x) not in made:
                    made[id(x)] = self._leaf(x, weight, number, -1)
            args = (*(made[id(x)] for x in args[:3]), *args[3:])
        return func(*args, **given)

    def _leaf(self, x: Tensor, weight: Tensor | None, number: int, dimension: int) -> Tensor:
        name = self._names.get(id(weight), "")
        if number == 0:
            self._runs[name] = self._runs.get(name, -1) + 1
        if name in self._spare:
            return x
        leaf = x.detach().requires_grad_()
        if dimension == 1:  # a single image may come without its dimension for the batch
            dimension = x.ndim - weight.ndim + 1 if weight is not None else 1
        self.leaves[name, self._runs[name], number] = leaf, dimension
        return leaf


class Reached:
    """A sample's pass through a network as far as one layer: asked neuron by neuron what reached them.

    Args:
        classifier: the dense classifier.
        module: a copy of it; several passes may share it.
        sample: the sample.
        layer: the neurons' layer, or None for logits.
        spare: see `Cut`.
    """

    def __init__(
        self,
        classifier: ImageClassifier,
        module: nn.Module,
        sample: Sample,
        layer: str | None,
        *,
        spare: Collection[str] = (),
    ) -> None:
        name = OUTPUT if layer is None else classifier.layer(layer).name
        cut = Cut(module, spare)
        # Under the mode alone: the picture's preprocessing may use convolutions of its own.
        with torch.inference_mode(False):
            inputs = classifier.prepare(sample)
        with torch.inference_mode(False), torch.enable_grad(), cut:
            output = capture(module, inputs, [name])[name]
            maps = output if layer is None else classifier.layer(layer).maps(output)
            maps = maps[0].reshape(maps.shape[1], *(maps.shape[2:] or (1, 1)))
        self._name, self._leaves = classifier.name, cut.leaves
        self.maps = maps  # (channels, rows, cols)

    def parts(self, channel: int, place: tuple[int, int]) -> Parts:
        """Activation × gradient of each channel that reaches a neuron at a place of its map, summed over places.

        Of a layer without a bias, and of a logit of one linear layer, the numbers add up to the neuron's value.

        Raises:
            ModelError: if no convolution and no linear layer reaches it.
        """
        with torch.inference_mode(False), torch.enable_grad():
            value = self.maps[channel, place[0], place[1]]
        leaves = [leaf for leaf, _ in self._leaves.values()]
        gradients: Sequence[Tensor | None] = (
            torch.autograd.grad(value, leaves, retain_graph=True, allow_unused=True)
            if value.requires_grad
            else [None] * len(leaves)
        )
        found: Parts = {}
        for (where, (leaf, dimension)), gradient in zip(self._leaves.items(), gradients, strict=True):
            if gradient is not None:
                product = (leaf.detach().double() * gradient.double()).movedim(dimension, 0).flatten(1).sum(1)
                found[where] = product.cpu().numpy()
        if not found:
            raise ModelError(f"Nothing that {self._name} computes reaches the neuron, so it has no facets.")
        return found


def what_reached(
    classifier: ImageClassifier,
    neuron: Neuron,
    samples: Iterable[Sample],
    places: Sequence[tuple[int, int]],
    *,
    spare: Collection[str] = (),
) -> npt.NDArray[np.float64]:
    """What reached a neuron on each sample: (n, channels of the layers before it).

    Args:
        classifier: the dense classifier.
        neuron: the neuron.
        samples: the samples, one at a time.
        places: where in its map the neuron is looked at, one a sample; (0, 0) for logits.
        spare: see `Cut`.
    """
    module = classifier.module()
    rows = []
    for sample, place in zip(samples, places, strict=True):
        rows.append(Reached(classifier, module, sample, neuron.layer, spare=spare).parts(neuron.channel, place))
    return side_by_side(rows)


def side_by_side(rows: Sequence[Parts]) -> npt.NDArray[np.float64]:
    """Parts of several samples as one matrix; what did not reach the neuron on a sample is zero there."""
    widths = {where: len(part) for row in rows for where, part in row.items()}
    return np.stack(
        [np.concatenate([row.get(where, np.zeros(width)) for where, width in widths.items()]) for row in rows]
    )
