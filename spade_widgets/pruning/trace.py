"""The trace: a sample's sparse subnetwork, with what it cost and what it kept."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from torch import Tensor, nn

from spade_widgets.classifier import ImageClassifier, tensor_bytes
from spade_widgets.errors import InputError
from spade_widgets.pruning import trace_stats
from spade_widgets.pruning.plan import SparsityPlan
from spade_widgets.pruning.trace_stats import ChannelTable, InputTable, LayerStats, StatsTable
from spade_widgets.sample import Sample
from spade_widgets.weights import replace_weights


@dataclass(frozen=True)
class Agreement:
    """How the trace's prediction on its own sample compares with the dense one.

    Attributes:
        dense_class, sparse_class: indices of the most probable class.
        kl: Kullback-Leibler divergence KL(dense ‖ trace) of the class probabilities, in nats.
    """

    dense_class: int
    sparse_class: int
    kl: float

    @property
    def agrees(self) -> bool:
        """Whether both name the same class."""
        return self.dense_class == self.sparse_class


@dataclass(frozen=True, eq=False)
class Trace:
    """A sample's sparse subnetwork. Immutable; the dense model is shared and never altered.

    Attributes:
        dense: the classifier that was traced.
        sample: the sample it was traced for.
        plan: which layers were asked to be pruned, and how much.
        solver: the solver's name.
        augmentations, seed: what it was calibrated on.
        agreement: how its prediction on the sample compares with the dense one.
        left_dense: layers that stayed dense for what they are: neither `Conv2d` nor `Linear`, with a weight that is
            computed of others, or never called on this sample.
    """

    dense: ImageClassifier
    sample: Sample
    plan: SparsityPlan
    solver: str
    augmentations: int
    seed: int
    agreement: Agreement
    left_dense: tuple[str, ...]
    _weights: Mapping[str, Tensor] = field(repr=False)
    _stats: tuple[LayerStats, ...] = field(repr=False)
    _energies: Mapping[str, Tensor] = field(default_factory=dict, repr=False)

    @property
    def classifier(self) -> ImageClassifier:
        """The dense classifier."""
        return self.dense

    def weights(self) -> dict[str, Tensor]:
        """Layer name → its pruned weight, of the layer's own shape and dtype. Not to be written into."""
        return dict(self._weights)

    def stats(self) -> StatsTable:
        """A row a pruned layer, in the order in which the network runs them."""
        return StatsTable(self._stats)

    def channels(self, layer: str) -> ChannelTable:
        """A row an output channel of a pruned layer: weights kept, whether it is dead, its energy and its error.

        Raises:
            InputError: if the layer is not a pruned one.
        """
        return trace_stats.channels(self._weight(layer), self._energies.get(layer))

    def inputs(self, layer: str) -> InputTable:
        """A row an input channel of a pruned layer: the weights that read it, those kept, whether none is.

        Raises:
            InputError: if the layer is not a pruned one.
        """
        return trace_stats.inputs(self._weight(layer), trace_stats.groups_of(self.dense.module(), layer))

    def _weight(self, layer: str) -> Tensor:
        if layer not in self._weights:
            pruned = ", ".join(f"'{name}'" for name in list(self._weights)[-3:])
            raise InputError(f"The layer '{layer}' is not pruned in this trace; the last ones that are: {pruned}.")
        return self._weights[layer]

    @property
    def kept(self) -> int:
        """Weights kept in the pruned layers together."""
        return sum(row.kept for row in self._stats)

    @property
    def total(self) -> int:
        """Weights of the pruned layers together."""
        return sum(row.total for row in self._stats)

    def module(self) -> nn.Module:
        """A fresh eval-mode module with the trace's weights, sharing every other tensor with the dense model."""
        return sparse_module(self.dense, self._weights)

    @cached_property
    def digest(self) -> str:
        """16 hexadecimal digits that name the content: the dense model's and the pruned weights'."""
        hashed = hashlib.sha256(self.dense.digest.encode())
        for name, weight in self._weights.items():
            hashed.update(name.encode())
            hashed.update(tensor_bytes(weight))
        return hashed.hexdigest()[:16]

    def __repr__(self) -> str:
        said = "agrees" if self.agreement.agrees else "disagrees"
        return f"Trace({self.sample.title!r}, kept {self.kept:,} of {self.total:,} weights, {said} with dense)"


def sparse_module(classifier: ImageClassifier, weights: Mapping[str, Tensor]) -> nn.Module:
    """The classifier's module with some layers' weights replaced; every other tensor is shared."""
    module = classifier.module()
    replace_weights(module, weights)
    return module
