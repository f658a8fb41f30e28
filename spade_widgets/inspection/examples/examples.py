"""The images of a folder that excite a neuron most, by one call."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from spade_widgets.checks import whole
from spade_widgets.classifier import ImageClassifier
from spade_widgets.errors import InputError
from spade_widgets.inspection.examples.example import By, Example, Examples
from spade_widgets.inspection.examples.spread import Spread
from spade_widgets.network.capture import OUTPUT, capture
from spade_widgets.neuron import Neuron
from spade_widgets.prediction import Network
from spade_widgets.sample import Sample, Source, list_sources


def examples(
    classifier: ImageClassifier,
    neuron: str | Neuron,
    photos: Source | Iterable[Source],
    count: int = 9,
    *,
    by: By = "activation",
) -> Examples:
    """The images that excite a neuron most, the strongest first."""
    del by  # until relevance comes
    asked, count = classifier.neuron(neuron), whole("count", count)
    found: dict[str, Example] = {}
    left_out: list[str] = []
    for source in list_sources(photos):
        try:
            sample = Sample.read(source)
        except InputError as error:
            left_out.append(str(error))
            continue
        value, place = peak(classifier, sample, asked)
        found[sample.id] = Example(source, sample.id, sample.title, value, place)
    if not found:
        raise InputError(left_out[0])
    ranked = sorted(found.values(), key=lambda example: (-example.value, example.id))
    values = [example.value for example in ranked]
    return Examples(asked, tuple(ranked[:count]), len(ranked), tuple(left_out), Spread.of(values, values, len(values)))


def peak(network: Network, sample: Sample, neuron: Neuron) -> tuple[float, tuple[int, int]]:
    """A neuron's largest activation on a sample, and its (row, column) in the layer's map; a logit is at (0, 0)."""
    classifier = network.dense
    name = OUTPUT if neuron.layer is None else neuron.layer
    with torch.no_grad():
        output = capture(network.module(), classifier.prepare(sample), [name])[name]
    maps = output if neuron.layer is None else classifier.layer(neuron.layer).maps(output)
    channel = maps[0, neuron.channel].double()
    if neuron.position is not None:
        return float(channel[neuron.position]), neuron.position
    flat = int(channel.argmax())
    columns = channel.shape[-1] if channel.ndim else 1
    return float(channel.max()), (flat // columns, flat % columns)
