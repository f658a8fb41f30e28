"""What is maximised: Lucent's objectives, over the activations of our own early-stopping forward pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from spade_widgets.classifier import ImageClassifier
from spade_widgets.errors import InputError
from spade_widgets.network.capture import OUTPUT, capture
from spade_widgets.neuron import Layer, Neuron
from spade_widgets.visualization import layout, lucent_bridge, stem

#: A Lucent objective: looks up layers' activations by name, gives the scalar loss to be minimised.
Objective: TypeAlias = Callable[[Callable[[str], Tensor]], Tensor]

#: Lucent's names for what is no layer: the model's output, and the picture before any transform.
LABELS, INPUT = "labels", "input"


def of_neuron(neuron: Neuron) -> Objective:
    """Lucent's objective of a neuron: the mean of its channel, its value at one position, or its logit."""
    objectives = lucent_bridge.objectives()
    if neuron.layer is None:
        return _objective(objectives.channel(LABELS, neuron.channel))
    if neuron.position is None:
        return _objective(objectives.channel(neuron.layer, neuron.channel))
    return _at(neuron.layer, neuron.channel, *neuron.position)


def _at(layer: str, channel: int, row: int, col: int) -> Objective:
    objective = lucent_bridge.objectives().neuron(layer, channel, x=col, y=row)

    def checked(activations: Callable[[str], Tensor]) -> Tensor:
        rows, cols = activations(layer).shape[2:]
        if row >= rows or col >= cols:  # on a picture smaller than the classifier's input; Lucent would give NaN
            raise InputError(
                f"Layer '{layer}' has {rows} × {cols} positions at this size; there is no row {row}, column {col}."
            )
        loss: Tensor = objective(activations)
        return loss

    return checked


def _objective(objective: Any) -> Objective:
    return objective  # type: ignore[no-any-return]  # Lucent has no types


class Target:
    """An objective on one network: evaluated with as short a forward pass as it allows.

    Args:
        module: a copy that is the target's own.
        objective: Lucent's, or any function like it.
        layers: the layers that the objective looks up; those it turns out to need besides are found when it first runs.
        compared: the layer on which several pictures are compared, if they are.
        channels_last: whether the module may be given pictures that lie so in memory.
    """

    def __init__(
        self,
        module: nn.Module,
        objective: Objective,
        layers: Sequence[str] = (),
        compared: Layer | None = None,
        *,
        channels_last: bool = False,
    ) -> None:
        self._module = module
        self._objective = objective
        self._compared = compared
        extra = [] if compared is None or compared.name in layers else [compared.name]
        self._needed = [*layers, *extra]
        # Convolutions on a CPU are faster so (SqueezeNet's forward pass takes half the time). Objectives of the user's
        # may reshape activations in ways that need the usual order.
        self._channels_last = channels_last and bool(layers) and _on_cpu(module)
        if self._channels_last:
            stem.quicken(module)
            layout.channels_last(module)
        # Lucent writes layer4_1_conv2 where PyTorch writes layer4.1.conv2: an objective may use either.
        self._names: dict[str, str] = {name.replace(".", "_"): name for name, _ in module.named_modules() if name}

    def losses(self, inputs: Tensor, image: Tensor) -> tuple[Tensor, Tensor | None]:
        """The scalar to be minimised, in float32, and how alike the pictures are (see `likeness`) if they are compared.

        Args:
            inputs: (n, 3, h, w), the transformed and normalised picture.
            image: (n, 3, h, w) in 0…1, the picture itself.

        Raises:
            InputError: if the objective looks for a layer or position that is not there.
            ModelError: if the model fails on the input.
        """
        while True:
            found = self._run(inputs)
            try:
                loss = self._objective(_Lookup(self, found, image))
            except _NeededError as missing:
                self._needed.append(missing.name)  # once a layer, at the first step only
                continue
            compared = self._compared
            alike = (
                None if compared is None or len(inputs) == 1 else likeness(compared.maps(found[compared.name]).float())
            )
            return torch.as_tensor(loss).float(), alike

    def _run(self, inputs: Tensor) -> dict[str, Tensor]:
        if not self._needed:
            return {}
        if self._channels_last:
            inputs = inputs.contiguous(memory_format=torch.channels_last)
        return capture(self._module, inputs, self._needed)

    def resolve(self, name: str) -> str:
        """The module that a Lucent objective's layer name means."""
        if name == LABELS:
            return OUTPUT
        return self._names.get(name, name)


def _on_cpu(module: nn.Module) -> bool:
    return all(parameter.device.type == "cpu" for parameter in module.parameters())


def likeness(maps: Tensor) -> Tensor:
    """How alike pictures are to a layer, in 0…1: the cosine of their channels' Gram matrices, the mean over all pairs.

    Lucent's diversity objective, which is summed over pairs and by its sign means to be subtracted: Olah et al.,
    "Feature Visualization", Distill 2017. Where in a picture something lies makes no difference.

    Args:
        maps: (n, channels, rows, cols) activations of at least two pictures.
    """
    cosines = lucent_bridge.objectives().diversity("")(lambda _: maps.contiguous())
    mean: Tensor = -cosines / (maps.shape[0] - 1)
    return mean


class _NeededError(BaseException):
    def __init__(self, name: str) -> None:
        self.name = name


class _Lookup:
    """`T` of Lucent's objectives: layer name → activations."""

    def __init__(self, target: Target, found: dict[str, Tensor], image: Tensor) -> None:
        self._target, self._found, self._image = target, found, image

    def __call__(self, name: str) -> Tensor:
        if name == INPUT:
            return self._image
        resolved = self._target.resolve(name)
        if resolved not in self._found:
            raise _NeededError(resolved)
        return self._found[resolved].float()


def target_of(
    classifier: ImageClassifier, module: nn.Module, wanted: str | Neuron | Objective, *, compare: bool = False
) -> Target:
    """The target that a neuron, written or parsed, or an objective of the user's stands for.

    Args:
        classifier: whose layers are meant.
        module: a copy that is the target's own.
        wanted: the neuron or objective.
        compare: whether several pictures are compared, on the neuron's own layer, or on the last one before it that
            has a place for each part of a picture.

    Raises:
        InputError: if the classifier has no such neuron, or no layer on which pictures can be compared.
    """
    if isinstance(wanted, str | Neuron):
        neuron = classifier.neuron(wanted)
        if neuron.layer is None:
            compared = _spatial(classifier) if compare else None
            return Target(module, of_neuron(neuron), [OUTPUT], compared, channels_last=classifier.channels_last)
        layer = classifier.layer(neuron.layer)
        if layer.size == (1, 1):
            neuron = Neuron(neuron.layer, neuron.channel)  # its only position is the whole channel
        objective = of_neuron(neuron)
        compared = _spatial(classifier, layer) if compare else None

        def of_maps(seen: Callable[[str], Tensor]) -> Tensor:
            return objective(lambda name: layer.maps(seen(name)))

        return Target(module, of_maps, [layer.name], compared, channels_last=classifier.channels_last)
    if not callable(wanted):
        raise InputError(f"A {type(wanted).__name__} is not a neuron: give 'layer:channel' or a Lucent objective.")
    return Target(module, wanted, (), _spatial(classifier) if compare else None)


def _spatial(classifier: ImageClassifier, up_to: Layer | None = None) -> Layer:
    layers = classifier.layers()
    reached = layers if up_to is None else layers[: layers.index(up_to) + 1]
    for layer in reversed(reached):
        if layer.size != (1, 1):
            return layer
    raise InputError(f"{classifier.name} has no layer on which pictures could be compared: give diversity=0.")
