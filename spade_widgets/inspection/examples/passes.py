"""One pass of images through a network: the peak of every neuron, as activation or as relevance."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_max_pool2d

from spade_widgets.attribution.methods import METHODS
from spade_widgets.attribution.methods.lrp import canonical, composite_of
from spade_widgets.attribution.methods.query import Query
from spade_widgets.classifier import ImageClassifier
from spade_widgets.inspection.examples.best import Floats, Ints
from spade_widgets.network.blame import model_errors
from spade_widgets.network.capture import OUTPUT
from spade_widgets.network.many import logits_of_many
from spade_widgets.neuron import Layer, Neuron

#: Images of 224 px at once, on a CPU and on a GPU: as the saliency methods have them.
TOGETHER, TOGETHER_CUDA = 8, 128


@dataclass(frozen=True)
class Part:
    """Neurons that stand side by side in the long row of all neurons.

    Attributes:
        layer: where they are; None for the logits.
        channel: the one that is looked at; None for all.
        position: the place that is looked at; None for the peak of all.
        start, stop: where they stand.
    """

    layer: Layer | None
    channel: int | None
    position: tuple[int, int] | None
    start: int
    stop: int

    @property
    def name(self) -> str:
        return OUTPUT if self.layer is None else self.layer.name


def coded(row: Any, column: Any) -> Any:
    """A place in one number, whatever the size of its map: images may be of several."""
    return row << 16 | column


def place_of(code: int) -> tuple[int, int]:
    """The row and column that `coded` was given."""
    return code >> 16, code & 0xFFFF


def parts_of(classifier: ImageClassifier, only: Neuron | None = None) -> tuple[Part, ...]:
    """All channels of all layers and the logits; or one neuron."""
    if only is not None:
        layer = None if only.layer is None else classifier.layer(only.layer)
        return (Part(layer, only.channel, only.position, 0, 1),)
    parts: list[Part] = []
    start = 0
    layers: list[Layer | None] = [*classifier.layers(), None]
    for layer in layers:
        stop = start + (len(classifier.class_names) if layer is None else layer.channels)
        parts.append(Part(layer, None, None, start, stop))
        start = stop
    return tuple(parts)


class Pass(Protocol):
    """Looks at images."""

    def __call__(self, inputs: Tensor) -> tuple[Floats, Ints]:
        """(n, c, h, w) → the neurons' values and places, (n, neurons) each. A place is `coded`."""


def together(classifier: ImageClassifier) -> int:
    """How many images go through the network at once."""
    h, w = classifier.input_size
    at_224 = TOGETHER_CUDA if classifier.device.type == "cuda" else TOGETHER
    return classifier.at_once(max(1, min(256, at_224 * 224 * 224 // (h * w))))


class Activations:
    """The largest activation of each channel, over all places; channels last and in bfloat16 where that is as good.

    Args:
        classifier: whose copy is run.
        parts: which neurons.
        examples: (n, c, h, w), images such as will be asked for: on them it is tried whether bfloat16 is as good.
    """

    def __init__(self, classifier: ImageClassifier, parts: Sequence[Part], examples: Tensor) -> None:
        self._parts = parts
        self._neurons = parts[-1].stop
        self._found: tuple[Floats, Ints] | None = None
        self._seen: set[str] = set()
        self._state: tuple[int, int, str] | None = None
        self._before: tuple[Tensor, Part] | None = None
        module = classifier.module()
        with model_errors():
            self._run = logits_of_many(module, examples, classifier.prunable(), classifier.memory_format)
        for part in parts:
            if part.layer is not None:
                module.get_submodule(part.name).register_forward_hook(self._hook(part))

    def __call__(self, inputs: Tensor) -> tuple[Floats, Ints]:
        """See `Pass`."""
        shape = len(inputs), self._neurons
        self._found = np.full(shape, np.nan, np.float32), np.zeros(shape, np.int32)
        self._seen.clear()
        with model_errors():
            logits = self._run(inputs)
        for part in self._parts:
            if part.layer is None:
                self._keep(part, logits)
        self._state = self._before = None
        found, self._found = self._found, None
        return found

    def _hook(self, part: Part) -> Callable[[nn.Module, Any, Any], None]:
        layer = part.layer
        assert layer is not None

        def look(_module: nn.Module, _inputs: Any, output: Any) -> None:
            # A layer that runs several times is taken at its first run, as everywhere.
            if self._found is None or part.name in self._seen:
                return
            self._seen.add(part.name)
            # A block gives what its last layer gave, and nobody may have written into it since.
            state = None if output.is_inference() else (id(output), output._version, layer.arrangement)
            if state is not None and state == self._state:
                self._copy(part)
            else:
                self._keep(part, layer.maps(output))
            self._state, self._before = state, (output, part)  # which holds it: its id is its own

        return look

    def _copy(self, part: Part) -> None:
        """Take the peaks of the layer before."""
        assert self._found is not None
        assert self._before is not None
        source = self._before[1]
        for array in self._found:
            array[:, part.start : part.stop] = array[:, source.start : source.stop]

    def _keep(self, part: Part, maps: Tensor) -> None:
        """Take the peaks now: what comes behind may write into the maps."""
        assert self._found is not None
        values, places = (array[:, part.start : part.stop] for array in self._found)
        if part.channel is not None:
            maps = maps[:, part.channel : part.channel + 1]
        if part.position is not None:
            row, column = part.position
            values[:] = maps[:, :, row, column].float().cpu()
            places[:] = coded(row, column)
            return
        if maps.ndim == 2:
            values[:] = maps.float().cpu()
            return
        # One reading of the maps for both, in whatever order they lie in memory: a third of the time of argmax.
        peaks, at = adaptive_max_pool2d(maps, 1, return_indices=True)
        values[:], places[:] = peaks.flatten(1).float().cpu(), _coded(at.flatten(1), maps.shape[3])


class Relevances:
    """The relevance of each channel for the class that an image is taken for: its sum over all places.

    By layer-wise relevance propagation, with the defaults of the saliency method "lrp". A class neuron's is its logit,
    where it is the predicted class, and else 0. The place is where the relevance is largest.

    (Achtibat et al., "From attribution maps to human-understandable explanations through concept relevance
    propagation", Nature Machine Intelligence 2023: relevance maximisation.)

    Args:
        classifier: whose copy is run.
        parts: which neurons.
        example: (1, c, h, w), an image: the network's operations are recorded on it.

    Raises:
        ModelError: if LRP has no rule for something that the network computes.
    """

    def __init__(self, classifier: ImageClassifier, parts: Sequence[Part], example: Tensor) -> None:
        self._dtype = torch.float64 if classifier.dtype == torch.float64 else torch.float32
        self._parts = parts
        defaults = METHODS["lrp"].defaults
        query = Query(classifier, example[:1].to(self._dtype), 0, 0)
        with torch.enable_grad(), model_errors("LRP"):
            self._recorded = canonical(query)
            self._composite = composite_of(query, str(defaults["composite"]), str(defaults["bias"]))
        self._gradients: dict[str, Tensor] = {}

    def __call__(self, inputs: Tensor) -> tuple[Floats, Ints]:
        """See `Pass`."""
        shape = len(inputs), self._parts[-1].stop
        values, places = np.zeros(shape, np.float32), np.zeros(shape, np.int32)
        for number in range(len(inputs)):
            relevance = self._of(inputs[number : number + 1])
            for part in self._parts:
                here = number, slice(part.start, part.stop)
                self._keep(part, relevance, values[here], places[here])
        return values, places

    def _of(self, x: Tensor) -> dict[str, Tensor]:
        """Layer → the relevance of its output, of its own shape."""
        from zennit.attribution import Gradient

        found: dict[str, Tensor] = {}
        names: dict[int, list[tuple[str, int | None]]] = {}
        for part in self._parts:
            ref = self._recorded.output if part.layer is None else self._recorded.layers.get(part.name)
            if ref is not None:
                names.setdefault(ref[0], []).append((part.name, ref[1]))

        def keeper(name: str) -> Callable[[Tensor], None]:
            return lambda gradient: found.__setitem__(name, gradient.detach())

        def noter(wanted: list[tuple[str, int | None]]) -> Callable[[nn.Module, Any, Any], None]:
            def note(_module: nn.Module, _inputs: Any, output: Any) -> None:
                for name, item in wanted:
                    tensor = output if item is None else output[item]
                    tensor.register_hook(keeper(name))

            return note

        def chosen(logits: Tensor) -> Tensor:
            best = logits.detach().argmax(1, keepdim=True)
            return torch.zeros_like(logits).scatter_(1, best, logits.detach().gather(1, best))

        with torch.enable_grad(), model_errors("LRP"), Gradient(self._recorded, self._composite) as attributor:
            # Behind zennit's own hooks: a rule hands its relevance to the tensor that those give.
            handles = [
                self._recorded.calls[step].register_forward_hook(noter(wanted))
                for step, wanted in names.items()
                if step >= 0
            ]
            try:
                attributor(x.detach().to(self._dtype).clone().requires_grad_(), chosen)
            finally:
                for handle in handles:
                    handle.remove()
        return found

    @staticmethod
    def _keep(part: Part, relevance: dict[str, Tensor], values: Floats, places: Ints) -> None:
        if part.name not in relevance:  # none of what the class was seen by comes through it
            return
        maps = relevance[part.name]
        maps = (maps if part.layer is None else part.layer.maps(maps))[0]
        if part.channel is not None:
            maps = maps[part.channel : part.channel + 1]
        if part.position is not None:
            row, column = part.position
            values[:], places[:] = maps[:, row, column].cpu(), coded(row, column)
        elif maps.ndim == 1:
            values[:] = maps.cpu()
        else:
            values[:], places[:] = maps.sum((1, 2)).cpu(), _coded(maps.flatten(1).argmax(1), maps.shape[2])


def _coded(at: Tensor, columns: int) -> Tensor:
    """Numbers of places, row · columns + column, as `coded`."""
    found: Tensor = coded(at // columns, at % columns)
    return found.cpu()
