"""The trace: a sample's sparse subnetwork, with what it cost and what it kept."""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any, get_type_hints

import torch
from torch import Tensor, nn

from spade_widgets import __version__
from spade_widgets.classifier import ImageClassifier, tensor_digest, version
from spade_widgets.errors import InputError, ModelError
from spade_widgets.network.weights import replace_weights
from spade_widgets.neuron import Neuron
from spade_widgets.pruning.plans.plan import SparsityPlan
from spade_widgets.pruning.traces import difference as trace_diff
from spade_widgets.pruning.traces import file as trace_file
from spade_widgets.pruning.traces import statistics as trace_stats
from spade_widgets.pruning.traces.difference import TraceDiff
from spade_widgets.pruning.traces.record import RecordError, convert_fields, has_default, to_json
from spade_widgets.pruning.traces.statistics import ChannelTable, InputTable, LayerStats, StatsTable
from spade_widgets.sample import Sample, Source


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


@dataclass(frozen=True)
class Fidelity:
    """How often a trace says what the dense network says, on augmentations that it was not calibrated on.

    Attributes:
        asked: the share of them on which both should name the same class, in (0, 1].
        reached: the share on which they do.
        augmentations: how many of them were looked at.
    """

    asked: float
    reached: float
    augmentations: int


@dataclass(frozen=True)
class SampleName:
    """Names a sample without its pixels: `id` is its `Sample.id`, `title` what it is called on screen."""

    id: str
    title: str


def current_versions() -> dict[str, str]:
    """What a trace is made with: library → version."""
    return {"spade_widgets": __version__, "torch": str(torch.__version__)}


@dataclass(frozen=True, eq=False)
class Trace:
    """A sample's sparse subnetwork. Immutable; the dense model is shared and never altered.

    It belongs to the dense weights as they were. Once they have changed, or somebody has written into the trace's own,
    it is no trace of them any more: what would use them raises a `ModelError` then, instead of mixing the two.

    Attributes:
        dense: the classifier that was traced.
        sample: the sample it was traced for.
        plan: which layers were asked to be pruned, and how much.
        solver: the solver's name.
        augmentations, seed: what it was calibrated on.
        agreement: how its prediction on the sample compares with the dense one.
        sequential: whether it was pruned block by block, each for the inputs that the pruned ones before it give.
        fidelity: the agreement that was asked for instead of a sparsity, if it was, and what came of it.
        versions: library → version, of what it was made with.
        dense_digest: names the dense classifier's content when it was traced.
        left_dense: name → why, for what no plan could prune: weights that are used otherwise than in convolutions and
            linear layers, computed from others, or not reached on this sample.
        others: the further samples that it was traced for, in order, if there are (`trace_together`): it was calibrated
            on all of their augmentations. `agreement` is about `sample` alone.
    """

    dense: ImageClassifier
    sample: Sample
    plan: SparsityPlan
    solver: str
    augmentations: int
    seed: int
    agreement: Agreement
    left_dense: Mapping[str, str]
    _weights: Mapping[str, Tensor] = field(repr=False)
    _stats: tuple[LayerStats, ...] = field(repr=False)
    _energies: Mapping[str, Tensor] = field(default_factory=dict, repr=False)
    sequential: bool = False
    fidelity: Fidelity | None = None
    others: tuple[SampleName, ...] = ()
    versions: Mapping[str, str] = field(default_factory=current_versions, repr=False)
    dense_digest: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "dense_digest", self.dense_digest or self.dense.digest)
        object.__setattr__(self, "_written", self._writes())

    @property
    def classifier(self) -> ImageClassifier:
        """The dense classifier."""
        return self.dense

    def weights(self) -> dict[str, Tensor]:
        """Layer name → its pruned weight, of the layer's own shape and dtype.

        Not to be written into: copy what you want to change. (A trace that was written into says so.)

        Raises:
            ModelError: if somebody has written into them.
        """
        self._check_own()
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
        """A fresh eval-mode module with the trace's weights, sharing every other tensor with the dense model.

        An ordinary module, frozen, of the dense model's own class: it can be copied, pickled, exported, hooked and run
        in any thread. Writing into its parameters would write into the dense model's and the trace's: replace them.

        Raises:
            ModelError: if the dense model was changed since, or somebody has written into the trace's weights.
        """
        self._check_own()
        self._check_dense()
        return sparse_module(self.dense, self._weights)

    def diff(self, other: Trace) -> TraceDiff:
        """Which connections this trace and another one of the same classifier keep, in common and alone.

        Raises:
            InputError: if they are traces of different classifiers, or have no pruned layer in common.
        """
        if not isinstance(other, Trace):
            raise InputError(f"A {type(other).__name__} cannot be compared with a trace: give another trace.")
        if self.dense_digest != other.dense_digest:
            raise InputError(
                f"These are traces of different classifiers, {self.dense.name} and {other.dense.name}, or of different "
                "weights or preprocessing of one: only traces of the same network can be compared."
            )
        if not set(self._weights) & set(other._weights):
            raise InputError("The two traces have no pruned layer in common, so there is nothing to compare.")
        return trace_diff.diff(self.weights(), other.weights(), (self.sample.title, other.sample.title))

    def map(self, neuron: str | Neuron | None = None, **options: Any) -> Any:
        """The trace's `TraceMap`: how a neuron's value on the sample comes about, channel by channel.

        Args:
            neuron: default: the class that the trace takes the sample for.
            options: see `trace_map`, whose errors are this one's.
        """
        # The one call upwards: a user finds a trace's map at the trace, and the engine goes without it.
        return importlib.import_module("spade_widgets.inspection.maps").trace_map(self, neuron, **options)

    def save(self, path: str | Path, *, sample: bool = True) -> None:
        """Write the trace to a file: safetensors, sparse inside, with how it was made. The file is there whole or not.

        Args:
            path: the file, `….safetensors`; one that is there already is replaced.
            sample: whether to write the sample's pixels too. Without them, `load` has to be given the sample.

        Raises:
            InputError: if the file cannot be written.
            ModelError: as `module`.
        """
        self._check_own()
        self._check_dense()
        made = {name: to_json(getattr(self, name)) for name in _recorded()}
        if not self.others:  # the files of single samples' traces stay what they were, to the last byte
            del made["others"]
        trace_file.write(path, self.dense, self.sample, self._weights, self._energies, made, pixels=sample)

    @classmethod
    def load(cls, path: str | Path, classifier: ImageClassifier, *, sample: Source | None = None) -> Trace:
        """Read a trace that `save` wrote: the same to the last bit.

        Args:
            path: the file.
            classifier: the classifier that was traced: the same weights, type and preprocessing. It may be on another
                device.
            sample: the sample, if the file does not hold its pixels.

        Raises:
            InputError: if there is no such file, it is damaged, no trace or of a newer format, or the sample is missing
                or has other pixels.
            ModelError: if the classifier is another one; says what differs.
        """
        if not isinstance(classifier, ImageClassifier):
            raise InputError(
                f"A {type(classifier).__name__} is no classifier: give the ImageClassifier that was traced."
            )
        content = trace_file.read(path, classifier, sample)
        kinds = _recorded()
        try:
            optional = {f.name for f in fields(cls) if has_default(f)}
            made = convert_fields(kinds, optional, content.made, "its header")
        except (RecordError, InputError) as error:
            raise trace_file.damaged(path, str(error).rstrip(".")) from None
        return cls(
            dense=classifier, sample=content.sample, _weights=content.weights, _energies=content.energies, **made
        )

    @cached_property
    def digest(self) -> str:
        """16 hexadecimal digits that name the content: the dense model's and the pruned weights'."""
        hashed = hashlib.sha256(self.dense_digest.encode())
        for name, weight in self._weights.items():
            hashed.update(f"{name} {tensor_digest(weight)}\n".encode())
        return hashed.hexdigest()[:16]

    def _writes(self) -> list[int]:
        return [version(weight) for weight in self._weights.values()]

    def _check_own(self) -> None:
        if self._writes() != self.__dict__["_written"]:
            raise ModelError("Somebody has written into this trace's weights, so it is no trace any more: trace again.")

    def _check_dense(self) -> None:
        if self.dense.digest != self.dense_digest:
            raise ModelError(
                f"The weights of {self.dense.name} have changed since this trace was made: trace again, or make "
                "the classifier of a copy of the model, if you go on training it."
            )

    def __getstate__(self) -> dict[str, Any]:
        self._check_own()  # a copy's tensors count anew
        return {key: value for key, value in self.__dict__.items() if key != "_written"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _written=None)
        self.__dict__["_written"] = self._writes()

    def __repr__(self) -> str:
        said = "agrees" if self.agreement.agrees else "disagrees"
        more = f" and {len(self.others)} more" if self.others else ""
        return f"Trace({self.sample.title!r}{more}, kept {self.kept:,} of {self.total:,} weights, {said} with dense)"


def sparse_module(classifier: ImageClassifier, weights: Mapping[str, Tensor]) -> nn.Module:
    """The classifier's module with some layers' weights replaced; every other tensor is shared."""
    module = classifier.module()
    replace_weights(module, weights)
    return module


def _recorded() -> dict[str, Any]:
    """The attributes of a trace that its file's header holds, with their types: all that say how it was made."""
    apart = ("dense", "sample", "_weights", "_energies")
    hints = get_type_hints(Trace)
    return {f.name: hints[f.name] for f in fields(Trace) if f.name not in apart}
