"""Predictions and a neuron's value without some parts of a network, or of the sample.

What is taken away becomes its mean, not zero: zero is a value that a channel may never have, and a network answers to
it as to something new (Li and Janson 2024, "Optimal ablation for interpretability").
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from spade_widgets.checks import check_count
from spade_widgets.inspection.ablation.parts import Asked, Part, Region, read_parts
from spade_widgets.network.blame import model_errors
from spade_widgets.network.capture import OUTPUT, capture
from spade_widgets.neuron import Layer, Neuron
from spade_widgets.prediction import Network, Prediction
from spade_widgets.pruning.calibration.augment import augment
from spade_widgets.sample import Sample, Source

#: The sample's augmentations that a channel's mean is taken over.
AUGMENTATIONS = 32

#: Changes what a layer gives.
_Change = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Ablation:
    """What a network says of a sample with everything, and without some of its parts.

    Attributes:
        neuron: whose value is compared.
        value, without: its value with everything, and without the parts: a logit, or a channel's mean over its places.
        before, after: the most probable classes with everything and without the parts, the most probable first.
    """

    neuron: Neuron
    value: float
    without: float
    before: tuple[Prediction, ...]
    after: tuple[Prediction, ...]

    @property
    def effect(self) -> float:
        """What the parts add to the neuron's value."""
        return self.value - self.without


class Ablater:
    """Takes parts of one network away, on one sample; means are taken once a layer.

    Args:
        network: a classifier or a trace.
        sample: anything that `Sample.read` takes.
        neuron: whose value is compared. Default: the class that the network takes the sample for.
        augmentations: of the sample, over which means are taken.
        seed: of the augmentations.
        top: how many classes are told, from 1.

    Raises:
        InputError: if there is no such neuron, the sample is no image, or a number is out of its range.
    """

    def __init__(
        self,
        network: Network,
        sample: Source,
        neuron: str | Neuron | None = None,
        *,
        augmentations: int = AUGMENTATIONS,
        seed: int = 0,
        top: int = 5,
    ) -> None:
        self.classifier = network.dense
        self.sample = Sample.read(sample)
        self._count = check_count(augmentations, "number of augmentations")
        self._top = check_count(top, "number of classes")
        self._seed = seed
        self._module = network.module()
        self._x = self.classifier.prepare(self.sample)
        self._means: dict[str, Tensor] = {}
        logits, _ = self._run(None, {})
        predicted = f"logit:{int(logits.argmax())}"
        self.neuron = self.classifier.neuron(predicted if neuron is None else neuron)
        own = self.neuron.layer
        self._own = None if own is None else self.classifier.layer(own)
        self._before = self._told({})

    def without(self, asked: Asked | Iterable[Asked]) -> Ablation:
        """The comparison without some parts, all at once.

        Args:
            asked: `"layer:3"`, `"layer:3 > next:5"`, a `Part`, a (h, w) bool mask of what the model sees; or several.

        Raises:
            InputError: if there is no such part.
            ModelError: if the model fails.
        """
        parts, regions = read_parts(self.classifier, asked)
        value, before = self._before
        without, after = self._told(self._changes(parts), self._hidden(regions))
        return Ablation(self.neuron, value, without, before, after)

    def _hidden(self, regions: Sequence[Region]) -> Tensor:
        """The sample with regions in its own mean colour: (1, c, h, w), as the model takes it."""
        if not regions:
            return self._x
        hidden = torch.stack([torch.from_numpy(region) for region in regions]).any(0).to(self._x.device)
        return torch.where(hidden, self._x.mean((2, 3), keepdim=True), self._x)

    def _changes(self, parts: Sequence[Part]) -> dict[str, list[_Change]]:
        self._take_means({str(part.channel.layer) for part in parts})
        changes: dict[str, list[_Change]] = {}
        for part in parts:
            if part.into is None:
                changes.setdefault(str(part.channel.layer), []).append(self._levelled(part.channel))
        for part in parts:
            if part.into is not None:
                changes.setdefault(str(part.into.layer), []).append(self._rerouted(part.channel, part.into))
        return changes

    def _levelled(self, channel: Neuron) -> _Change:
        """Gives a channel its mean, everywhere."""
        layer = self.classifier.layer(str(channel.layer))
        mean = self._means[layer.name][channel.channel]
        return lambda output: _with(output, layer, channel.channel, mean.to(output).expand(1))

    def _rerouted(self, channel: Neuron, into: Neuron) -> _Change:
        """Gives a channel what it would be if another one were at its mean, which all others see as it is."""
        layer = self.classifier.layer(str(into.layer))
        changed = {str(channel.layer): [self._levelled(channel)]}
        _, seen = self._run([layer.name], changed)
        own = _channels_first(seen[layer.name], layer)[:, into.channel]
        return lambda output: _with(output, layer, into.channel, own)

    def _take_means(self, names: set[str]) -> None:
        """Each channel's mean over the augmentations and over its places."""
        missing = [self.classifier.layer(name) for name in sorted(names - self._means.keys())]
        if not missing:
            return
        sums: dict[str, Tensor] = {}
        with torch.no_grad():
            for images in augment(self.classifier, self.sample, self._count, seed=self._seed):
                outputs = capture(self._module, images, [layer.name for layer in missing])
                for layer in missing:
                    found = _channels_first(outputs[layer.name], layer).flatten(2).mean(2).double().sum(0)
                    sums[layer.name] = sums.get(layer.name, torch.zeros_like(found)) + found
        self._means.update({name: total / self._count for name, total in sums.items()})

    def _told(
        self, changes: Mapping[str, Sequence[_Change]], x: Tensor | None = None
    ) -> tuple[float, tuple[Prediction, ...]]:
        own = self._own
        logits, seen = self._run(None if own is None else [own.name], changes, x)
        if own is None:
            value = float(logits[self.neuron.channel])
        else:
            channel = _channels_first(seen[own.name], own)[0, self.neuron.channel]
            at = self.neuron.position
            value = float(channel.mean() if at is None else channel[at])
        probabilities = logits.float().softmax(0).cpu()
        best = probabilities.topk(min(self._top, len(probabilities))).indices.tolist()
        names = self.classifier.class_names
        return value, tuple(Prediction(i, names[i], float(probabilities[i])) for i in best)

    def _run(
        self, names: Sequence[str] | None, changes: Mapping[str, Sequence[_Change]], x: Tensor | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Logits (classes,), and what some layers give, changes included."""

        def changing(own: Sequence[_Change]) -> Callable[[nn.Module, Any, Tensor], Tensor]:
            def hook(_part: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
                for change in own:
                    output = change(output)
                return output

            return hook

        with ExitStack() as stack, torch.no_grad(), model_errors():
            for name, own in changes.items():
                handle = self._module.get_submodule(name).register_forward_hook(changing(own))
                stack.callback(handle.remove)
            seen = capture(self._module, self._x if x is None else x, [*(names or ()), OUTPUT])
        return seen[OUTPUT][0], seen


def ablate(
    network: Network,
    sample: Source,
    parts: Asked | Iterable[Asked],
    *,
    neuron: str | Neuron | None = None,
    augmentations: int = AUGMENTATIONS,
    seed: int = 0,
    top: int = 5,
) -> Ablation:
    """What a network says of a sample without some of its channels, connections or pixels.

    A channel, or what of it goes into another, becomes its mean over the sample's augmentations and over its places; a
    region of the sample gets the sample's mean colour.

    Args:
        network: the dense classifier, in which a claim about a trace is to be tried; or a trace.
        sample: anything that `Sample.read` takes.
        parts: `"layer:3"`, `"layer:3 > next:5"`, a (h, w) bool mask of what the model sees; or several of them, which
            are taken away together.
        neuron: whose value is compared. Default: the class that the network takes the sample for.
        augmentations, seed: over which means are taken.
        top: how many classes are told.

    Raises:
        InputError: if there is no such part or neuron, the sample is no image, or a number is out of its range.
        ModelError: if the model fails.
    """
    taken = Ablater(network, sample, neuron, augmentations=augmentations, seed=seed, top=top)
    return taken.without(parts)


def _channels_first(output: Tensor, layer: Layer) -> Tensor:
    """(n, channels, …), a class token among the places."""
    return output if layer.arrangement == "channels first" else output.movedim(-1, 1)


def _with(output: Tensor, layer: Layer, channel: int, values: Tensor) -> Tensor:
    """A copy of a layer's output in which one channel has other values: (…) of its own shape, or one for all places."""
    changed = output.clone()
    own = _channels_first(changed, layer)[:, channel]
    own.copy_(values if values.ndim == own.ndim else values.expand_as(own))
    return changed
