"""The images of a folder that excite a neuron most, by one call."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from spade_widgets.classifier import ImageClassifier
from spade_widgets.disk import Disk
from spade_widgets.errors import InputError
from spade_widgets.inspection.activations import activation_maps
from spade_widgets.inspection.examples.example import By, Examples
from spade_widgets.inspection.examples.index import Index, IndexProgress, check_best
from spade_widgets.neuron import Neuron
from spade_widgets.prediction import Network
from spade_widgets.sample import Sample, Source


def examples(
    classifier: ImageClassifier,
    neuron: str | Neuron,
    photos: Source | Iterable[Source],
    count: int = 9,
    *,
    by: By = "activation",
    cache: str | Path | Disk | None = None,
    index: Index | None = None,
    progress: Callable[[IndexProgress], object] | None = None,
) -> Examples:
    """The images that excite a neuron most, the strongest first, and how all the others compare.

    One pass over the images answers for every neuron: give a cache or an index to ask for another without a second one.
    (A neuron at a position is looked at by itself.)

    Args:
        classifier: the dense classifier.
        neuron: as `classifier.neuron` takes it. A channel's activation is the largest over all places.
        photos: a folder, with all folders in it; or a list of folders and of anything that `Sample.read` takes. What
            cannot be read is left out, and named in `left_out`.
        count: how many, 1…64; fewer where there are not so many images.
        by: `"activation"`, or `"relevance"` for the class that each image is taken for: how much of its logit came
            through the neuron, by layer-wise relevance propagation.
        cache: a folder, or a `Disk`, in which the index is found again, and extended by new images.
        index: one that was built before; it is extended by the photographs, and answers for all that it holds.
        progress: is called with each step of the pass; `Index.build` is the same as a generator.

    Raises:
        InputError: if there is no such neuron or image, none can be read, `count`, `by` or `cache` cannot be used, or
            the index is of another classifier, of another order, or without this neuron.
        ModelError: if the classifier fails, or LRP has no rule for it.
    """
    if index is not None:
        _check_index(index, classifier, by)
    base = Index(classifier, by) if index is None else index
    asked, count = base.classifier.neuron(neuron), check_best(count)
    if index is None and (cache is not None or asked.position is not None):
        base = Index(classifier, by, only=asked if asked.position is not None else None, cache=cache)
    for step in base.build(photos):
        if progress is not None:
            progress(step)
    return base.examples(asked, count)


def peak(network: Network, sample: Source, neuron: Neuron) -> tuple[float, tuple[int, int]]:
    """A neuron's largest activation on a sample, and its (row, column) in the layer's map; a logit is at (0, 0).

    Args:
        network: a classifier or a trace.
        sample: anything that `Sample.read` takes.
        neuron: as `classifier.neuron` gives it; one at a position is taken there.

    Raises:
        InputError: if there is no such layer, or the sample is no image.
        ModelError: if the network fails on it.
    """
    maps = maps_of(network, sample, neuron.layer)[neuron.channel]
    if neuron.position is not None:
        return float(maps[neuron.position]), neuron.position
    row, column = divmod(int(maps.argmax()), maps.shape[1])
    return float(maps[row, column]), (row, column)


def peaks(network: Network, sample: Source, layer: str | None) -> npt.NDArray[np.float32]:
    """Each channel's largest activation on a sample, over all places: (channels,); the logits for None.

    What examples are ranked by, for one sample, so that it can be compared with them: `Index.percentiles`.

    Raises:
        InputError: if there is no such layer, or the sample is no image.
        ModelError: if the network fails on it.
    """
    values: npt.NDArray[np.float32] = maps_of(network, sample, layer).max(axis=(1, 2))
    return values


def maps_of(network: Network, sample: Source, layer: str | None) -> npt.NDArray[np.float32]:
    """(channels, rows, columns); (classes, 1, 1) of logits, where the layer is None."""
    if layer is not None:
        return activation_maps(network, sample, layer)
    logits = network.dense.answer_of(network.module(), Sample.read(sample))
    maps: npt.NDArray[np.float32] = logits[0].float().cpu().numpy()[:, None, None]
    return maps


def _check_index(index: Index, classifier: ImageClassifier, by: By) -> None:
    if not isinstance(index, Index):
        raise InputError(f"A {type(index).__name__} is no index of examples: give an Index, or a cache.")
    if index.classifier is not classifier and (
        index.digest != classifier.digest or index.classifier.name != getattr(classifier, "name", None)
    ):
        raise InputError(
            f"The index is of {index.classifier.name}, with other weights than {classifier.name}: build one of it."
        )
    if index.by != by:
        raise InputError(f"The index is by {index.by}, and examples by {by} were asked for: build another one.")
