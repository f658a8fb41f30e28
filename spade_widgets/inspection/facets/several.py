"""Which neurons of a layer have several facets: all channels from two passes over the images."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from spade_widgets.checks import whole
from spade_widgets.classifier import ImageClassifier
from spade_widgets.disk import Disk
from spade_widgets.errors import InputError
from spade_widgets.inspection.examples import Example, Index
from spade_widgets.inspection.facets.facets import BEST
from spade_widgets.inspection.facets.grouping import bar, group
from spade_widgets.inspection.facets.reached import Parts, Reached, side_by_side
from spade_widgets.neuron import Neuron
from spade_widgets.pruning.progress import Progress
from spade_widgets.sample import Source

#: Data without groups that a channel is compared with, of each kind: fewer than one neuron alone, for there are many.
DRAWS = 39
#: Channels whose examples' parts are held at once.
AT_ONCE = 256


@dataclass(frozen=True)
class ChannelFacets:
    """What was found of one neuron.

    Attributes:
        neuron: which.
        count: how many facets; 0 where no image excites it.
        examples: how many examples were grouped.
        shares: each facet's share of them, the largest first.
        silhouette: how well they fall into groups; see `Facets`.
        excess: by how much that is above what data without groups reach in 95 of 100 draws, of the kind that reaches
            most: what to sort by. Below zero there is one facet.
        stability: see `Facets`.
    """

    neuron: Neuron
    count: int
    examples: int
    shares: tuple[float, ...]
    silhouette: float
    excess: float
    stability: float


def several(
    classifier: ImageClassifier,
    layer: str | None,
    photos: Source | Iterable[Source] | None = None,
    *,
    channels: Sequence[int] | None = None,
    index: Index | None = None,
    cache: str | Path | Disk | None = None,
    seed: int = 0,
    best: int = BEST,
) -> Iterator[Progress | ChannelFacets]:
    """Which neurons of a layer have several facets?

    Yields its progress (of the stages `"looking"` and `"reaching"`, in images) and, channel by channel, what was found.
    Dropping it stops it. One pass over the images finds all examples, and another for every `AT_ONCE` channels what
    reached them: a channel costs no more than its own gradients and its groups.

    Args:
        classifier: the dense classifier.
        layer: its name, or None for the classes.
        photos: as of `facets`; None where the index is enough.
        channels: which of them, in this order; by default all.
        index, cache: as of `examples`.
        seed: as of `facets`.
        best: how many examples a neuron has at most, 1…64.

    Raises:
        InputError: if there is no such layer or channel, or no image.
        ModelError: if the model cannot be run on an image.
    """
    count = len(classifier.class_names) if layer is None else classifier.layer(layer).channels
    asked = list(range(count)) if channels is None else [whole("channel", c, 0) for c in channels]
    if asked and max(asked) >= count:
        raise InputError(f"There is no channel {max(asked)}: they are 0 to {count - 1}.")
    if photos is None and index is None:
        raise InputError("There are no photographs to look at: give a folder, a list of images, or an index.")
    known = Index(classifier, cache=cache) if index is None else index
    if photos is not None:
        for step in known.build(photos):
            yield Progress("looking", step.done, step.total)
    neurons = [classifier.neuron(f"logit:{c}" if layer is None else f"{layer}:{c}") for c in asked]
    for start in range(0, len(neurons), AT_ONCE):
        some = neurons[start : start + AT_ONCE]
        exciting = [[e for e in known.examples(neuron, best) if e.value > 0] for neuron in some]
        rows = yield from _parts(classifier, layer, some, exciting)
        for neuron, found in zip(some, rows, strict=True):
            yield _grouped(neuron, found, seed)


def _parts(
    classifier: ImageClassifier, layer: str | None, neurons: Sequence[Neuron], exciting: Sequence[Sequence[Example]]
) -> Generator[Progress, None, list[list[Parts]]]:
    """What reached each neuron on each of its examples, image by image: none is read twice, and none is kept."""
    wanted: dict[str, list[tuple[int, int, Example]]] = {}
    for n, examples in enumerate(exciting):
        for k, example in enumerate(examples):
            wanted.setdefault(example.id, []).append((n, k, example))
    module = classifier.module()
    found: dict[tuple[int, int], Parts] = {}
    for done, asked in enumerate(wanted.values()):
        yield Progress("reaching", done, len(wanted))
        passed = Reached(classifier, module, replace(asked[0][2]).sample, layer)
        for n, k, example in asked:
            found[n, k] = passed.parts(neurons[n].channel, example.place)
    return [[found[n, k] for k in range(len(examples))] for n, examples in enumerate(exciting)]


def _grouped(neuron: Neuron, parts: Sequence[Parts], seed: int) -> ChannelFacets:
    if not parts:
        return ChannelFacets(neuron, 0, 0, (), 0.0, 0.0, 1.0)
    made = group(side_by_side(parts), seed=seed, draws=DRAWS)
    shares = tuple(float(size) / len(parts) for size in np.bincount(made.labels))
    excess = made.silhouette - bar(made.null) if len(made.null) else 0.0
    return ChannelFacets(neuron, len(shares), len(parts), shares, made.silhouette, excess, made.stability)
