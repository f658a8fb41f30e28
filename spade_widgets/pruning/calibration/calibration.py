"""Calibration: each layer's Gram matrix `H = 2/n · X Xᵀ` over the augmentations (SPADE, section 3).

X are the layer's inputs as columns: for a convolution the unfolded patches, for a linear layer its tokens; n counts the
columns. H is the Hessian of the layer-wise problem ‖WX − W'X‖². Sums are kept, so calibrations stream and add up.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor, nn

from spade_widgets.checks import check_count
from spade_widgets.classifier import ImageClassifier
from spade_widgets.errors import InputError, ModelError
from spade_widgets.network.products import Watch
from spade_widgets.network.weights import Product
from spade_widgets.pruning.calibration.augment import augment
from spade_widgets.pruning.calibration.forms import LAYER_MEMORY, Form, Held, LayerSum
from spade_widgets.pruning.calibration.gram_sums import gram_sum
from spade_widgets.pruning.progress import Progress, Steps, mapped
from spade_widgets.sample import Sample

#: Augmentations a forward pass. A processor's caches hold the activations of a few; a GPU wants work.
BATCH_CPU, BATCH_GPU = 8, 64
#: Augmentations after which a progressive calibration gives out what it has. See `stages`.
STAGES = (16, 64, 256, 1024)


@dataclass(frozen=True)
class Calibration:
    """What is known of some layers' inputs over some augmentations. A value: it can be added, pickled and sent.

    A layer is held in one of three forms. `"full"`: Σ X Xᵀ. Where that takes more than `memory` bytes: `"columns"`, X
    itself, which is as good, as long as X has fewer columns than rows and fits in as well; else `"blocks"`, of Σ X Xᵀ
    just as large blocks on the diagonal as fit in, with what lies between two blocks taken for zero.

    Attributes:
        sums: layer name → Σ X Xᵀ, (groups, c, c) float32; c = columns of `weight.flatten(1)`. In blocks
            (groups · pieces, c / pieces, c / pieces): piece p of group g, counted g · pieces + p, is of the columns
            from p · c / pieces on.
        columns: layer name → how many columns X had.
        augmentations: how many augmentations were seen.
        inputs: layer name → X, (groups, c, n) float32, for the layers that are held in columns.
        pieces: layer name → in how many blocks a group's columns are, for the layers that are held in blocks.
        memory: bytes that a layer may take.
    """

    sums: Mapping[str, Tensor]
    columns: Mapping[str, int]
    augmentations: int
    inputs: Mapping[str, Tensor] = field(default_factory=dict)
    pieces: Mapping[str, int] = field(default_factory=dict)
    memory: int = LAYER_MEMORY

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers that the forward passes reached."""
        return tuple(self.columns)

    def form(self, layer: str) -> Form:
        """How a layer is held."""
        if layer in self.inputs:
            return "columns"
        return "blocks" if layer in self.pieces else "full"

    def gram(self, layer: str) -> Tensor:
        """`H = 2/n · X Xᵀ` of a layer in full, (groups, c, c), or of one in blocks, (groups · pieces, c', c').

        Raises:
            InputError: if the layer is held in columns: `scaled_inputs` is what there is.
        """
        if layer in self.inputs:
            raise InputError(
                f"H of layer '{layer}' takes more memory than was allowed, so its inputs are held instead."
            )
        return self.sums[layer] * (2 / self.columns[layer])

    def scaled_inputs(self, layer: str) -> Tensor:
        """X of a layer that is held in columns, scaled so that H = X Xᵀ: (groups, c, n)."""
        return self.inputs[layer] * math.sqrt(2 / self.columns[layer])

    def __add__(self, other: Calibration) -> Calibration:
        """The calibration over both ones' augmentations.

        Raises:
            InputError: if they are of different layers, or of different memory.
        """
        if self.columns.keys() != other.columns.keys():
            raise InputError("Only calibrations of the same layers can be added.")
        if self.memory != other.memory:
            raise InputError("Only calibrations that were allowed the same memory can be added.")
        added = {name: self._layer(name).plus(other._layer(name), self.memory) for name in self.columns}
        return _calibration(added, self.augmentations + other.augmentations, self.memory)

    def _layer(self, name: str) -> Held:
        return Held(self.columns[name], self.sums.get(name), self.inputs.get(name), self.pieces.get(name, 1))

    @property
    def nbytes(self) -> int:
        """Memory held."""
        return sum(t.numel() * t.element_size() for t in (*self.sums.values(), *self.inputs.values()))


def gram(layer: nn.Module, inputs: Tensor) -> Tensor:
    """`H = 2/n · X Xᵀ` of one layer's inputs.

    Args:
        layer: a convolution in one to three dimensions (any stride, padding, dilation, groups) or a `Linear`.
        inputs: what the layer is given: (n, c_in, *size), or (…, c_in) for a linear layer.

    Returns:
        (c, c), or (groups, c, c) for a grouped convolution; c = columns of one output row of the layer, in
        `weight.flatten(1)` order (c_in, *kernel). float32, or float64 for float64 inputs.

    Raises:
        InputError: if the inputs are empty, or the layer is of another kind.
    """
    seen: list[Product] = []
    with torch.no_grad(), Watch(layer, lambda _name, product: seen.append(product)):
        layer(inputs)
    if len(seen) != 1:
        raise InputError(
            f"A {type(layer).__name__} is no single convolution or linear layer, so it has no Gram matrix."
        )
    total, columns = gram_sum(seen[0])
    hessian = total.mul_(2 / columns)
    return hessian if seen[0].groups > 1 else hessian[0]


def calibrate(
    classifier: ImageClassifier,
    sample: Sample,
    layers: Iterable[str],
    *,
    augmentations: int = 256,
    start: int = 0,
    seed: int = 0,
    batch: int | None = None,
    memory: int = LAYER_MEMORY,
) -> Steps[Calibration]:
    """Run the dense model over the sample's augmentations and collect the named layers' Gram matrices.

    Layers that the forward pass never reaches are left out of the result. Works on a copy: the model is not hooked.

    Args:
        augmentations: how many, at least 1.
        start: the number of the first: those from `start` on add to a calibration of those up to `start`, wherever and
            in whatever process either was made.
        batch: augmentations a forward pass; by default what suits the device. It changes the order of sums alone.
        memory: bytes that one layer's matrix may take; see `Calibration`.

    Raises:
        InputError: for a count that is none, or a negative start.
        ModelError: if a layer's inputs are NaN or infinite.
    """
    check_count(augmentations, "number of augmentations")
    if start < 0:
        raise InputError(f"The first augmentation's number is {start}: a whole number from 0 on is accepted.")
    collector = _Collector(classifier, sample, layers, seed, batch, check_count(memory, "memory, in bytes,"))
    return (yield from collector.collect(start, start + augmentations, start))


def calibrate_together(
    classifier: ImageClassifier,
    samples: Sequence[Sample],
    layers: Iterable[str],
    *,
    augmentations: int = 256,
    seed: int = 0,
    batch: int | None = None,
    memory: int = LAYER_MEMORY,
) -> Steps[Calibration]:
    """The sum of several samples' calibrations (Batch FastSPADE); of one sample, its own.

    Args:
        samples: at least one.
        augmentations: of all of them together; see `shares`.
        Others as `calibrate`.

    Raises:
        InputError: if there are more samples than augmentations, or their passes use different layers.
        ModelError: as `calibrate`.
    """
    asked, total = list(layers), None
    for sample, start, count in shares(samples, augmentations):
        steps = calibrate(
            classifier, sample, asked, augmentations=count, start=start, seed=seed, batch=batch, memory=memory
        )
        said = partial(_of_all, start, augmentations)
        calibration = yield from mapped(steps, said)
        total = calibration if total is None else total + calibration
    if total is None:
        raise InputError("There is no sample to calibrate on: give at least one.")
    return total


def shares(samples: Sequence[Sample], augmentations: int) -> list[tuple[Sample, int, int]]:
    """How augmentations are split among samples: (sample, number of the first, how many), as even as they can be.

    Their numbers go on from sample to sample, so that no two are of the same draw: samples of one size would all be
    cropped alike.

    Raises:
        InputError: if there are more samples than augmentations.
    """
    check_count(augmentations, "number of augmentations")
    if len(samples) > augmentations:
        raise InputError(f"{augmentations} augmentations are too few for {len(samples)} samples: give one each.")
    edges = [augmentations * i // len(samples) for i in range(len(samples) + 1)] if samples else []
    return [(sample, edges[i], edges[i + 1] - edges[i]) for i, sample in enumerate(samples)]


def _of_all(start: int, augmentations: int, inner: Progress) -> Progress:
    return Progress(inner.stage, start + inner.done, augmentations)


def stages(
    classifier: ImageClassifier,
    sample: Sample,
    layers: Iterable[str],
    *,
    counts: Sequence[int] = STAGES,
    seed: int = 0,
    batch: int | None = None,
    memory: int = LAYER_MEMORY,
) -> Iterator[Steps[Calibration]]:
    """A calibration that gets better: in steps for each stage, each of which goes on from where the last one ended.

    `for steps in stages(…): calibration = yield from steps` has calibrations over the first 16, 64, 256 and 1024
    augmentations, each the sum of the last and the new augmentations alone. Take each stage's steps to their end.

    Args:
        counts: augmentations after which a calibration is given out, ascending.
        Others as `calibrate`.

    Raises:
        InputError: for counts that do not ascend.
        ModelError: if a layer's inputs are NaN or infinite.
    """
    edges = [0, *(check_count(count, "number of augmentations") for count in counts)]
    if edges != sorted(set(edges)):
        raise InputError(f"The stages {tuple(counts)} do not ascend: each is to have more augmentations than the last.")
    collector = _Collector(classifier, sample, layers, seed, batch, check_count(memory, "memory, in bytes,"))
    for i in range(1, len(edges)):
        yield collector.collect(edges[i - 1], edges[i], 0)


def batch_size(classifier: ImageClassifier) -> int:
    """How many augmentations suit a forward pass on the classifier's device."""
    return classifier.at_once(BATCH_CPU if classifier.device.type == "cpu" else BATCH_GPU)


class _Collector:
    """Forward passes of the dense model over one sample's augmentations, and what they add up to."""

    def __init__(
        self,
        classifier: ImageClassifier,
        sample: Sample,
        layers: Iterable[str],
        seed: int,
        batch: int | None,
        memory: int,
    ) -> None:
        self._classifier, self._sample, self._seed = classifier, sample, seed
        self._batch = batch or batch_size(classifier)
        self._memory = memory
        self._layers = set(layers)
        self._sums: dict[str, LayerSum] = {}
        self._format = classifier.memory_format

    def collect(self, start: int, stop: int, first: int) -> Steps[Calibration]:
        """Go through the augmentations from `start` to `stop`; those from `first` to `start` were gone through."""
        module = self._classifier.module().to(memory_format=self._format)
        watch = Watch(module, self._add, self._layers)
        done = start - first
        for images in augment(
            self._classifier, self._sample, stop - start, start=start, seed=self._seed, batch=self._batch
        ):
            yield Progress("calibrating", done, stop - first)
            with torch.no_grad(), watch:  # not around the yield: whoever takes the steps would be left in them
                module(images.to(memory_format=self._format))
            done += images.shape[0]
        held = {name: layer.held() for name, layer in self._sums.items()}
        for name, layer in held.items():
            _check_finite(name, layer)
        return _calibration(held, done, self._memory)

    def _add(self, name: str, product: Product) -> None:
        self._sums.setdefault(name, LayerSum(self._memory)).add(product)


def _check_finite(name: str, held: Held) -> None:
    # No entry of Σ X Xᵀ is larger than the largest on its diagonal, and none is NaN unless one on the diagonal is.
    values = held.inputs if held.gram is None else held.gram.diagonal(dim1=-2, dim2=-1)
    if values is not None and not bool(torch.isfinite(values).all()):
        raise ModelError(f"The inputs of layer '{name}' are NaN or infinite on this sample, so it cannot be pruned.")


def _calibration(layers: Mapping[str, Held], augmentations: int, memory: int) -> Calibration:
    return Calibration(
        sums={name: layer.gram for name, layer in layers.items() if layer.gram is not None},
        columns={name: layer.columns for name, layer in layers.items()},
        augmentations=augmentations,
        inputs={name: layer.inputs for name, layer in layers.items() if layer.inputs is not None},
        pieces={name: layer.pieces for name, layer in layers.items() if layer.pieces > 1},
        memory=memory,
    )
