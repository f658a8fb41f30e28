"""Layers pruned once and put together to many plans.

A trace's layers are pruned each on its own, against dense inputs. So a plan that differs from another in one layer
needs that layer only, and of one calibration come the networks of all plans over the same sparsities.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from torch import Tensor, nn

from spade_widgets.classifier import ImageClassifier
from spade_widgets.evidence.networks import NetworkName
from spade_widgets.network.weights import weight
from spade_widgets.prediction import Network
from spade_widgets.pruning.calibration.calibration import calibrate
from spade_widgets.pruning.plans.plan import SparsityPlan
from spade_widgets.pruning.progress import Steps
from spade_widgets.pruning.pruner import Pruner
from spade_widgets.pruning.traces.trace import sparse_module
from spade_widgets.sample import Sample

#: A layer at a sparsity.
Choice: TypeAlias = tuple[str, float]

MEMORY = 2**30
"""Bytes of pruned weights that are kept at most."""


@dataclass(frozen=True, eq=False)
class Assembled:
    """A network put together of layers that were pruned apart; what a trace of the same plan would be."""

    dense: ImageClassifier
    weights: Mapping[str, Tensor] = field(repr=False)

    def module(self) -> nn.Module:
        """A fresh copy with the pruned weights; every other tensor is shared."""
        return sparse_module(self.dense, self.weights)


class Solved:
    """Pruned layers of some samples, kept while memory allows.

    Args:
        classifier: the dense classifier.
        solver, augmentations, seed: as in `sw.trace`.
        memory: bytes that the kept weights may take. What does not fit is made again when it is asked for.
    """

    def __init__(
        self, classifier: ImageClassifier, solver: str, augmentations: int, seed: int, memory: int = MEMORY
    ) -> None:
        self.classifier, self.solver, self.augmentations, self.seed = classifier, solver, augmentations, seed
        self.memory = memory
        self._kept: dict[str, dict[Choice, Tensor | None]] = {}

    def network(
        self, sample: Sample, plan: Mapping[str, float], soon: Sequence[Choice], later: Sequence[Choice]
    ) -> Steps[Network]:
        """The sample's network under a plan.

        Args:
            sample: the sample.
            plan: layer → sparsity; 0 is dense.
            soon: what will be asked for next of this sample, and is pruned along.
            later: what will be asked for some time: pruned along where memory allows to keep it.
        """
        wanted = [choice for choice in plan.items() if choice[1] > 0]
        known = self._kept.get(sample.id, {})
        if any(choice not in known for choice in wanted):
            nbytes = sum(
                t.numel() * t.element_size() for kept in self._kept.values() for t in kept.values() if t is not None
            )
            along = [choice for choice in dict.fromkeys([*wanted, *soon, *later]) if choice[1] > 0]
            if nbytes + self._size(along) > self.memory:
                along = [choice for choice in dict.fromkeys([*wanted, *soon]) if choice[1] > 0]
                if nbytes + self._size(along) > self.memory:
                    self._kept.clear()
            known = yield from self._prune(sample, along)
            self._kept[sample.id] = known
        found = {layer: known[layer, sparsity] for layer, sparsity in wanted}
        return Assembled(self.classifier, {layer: pruned for layer, pruned in found.items() if pruned is not None})

    def _size(self, choices: Sequence[Choice]) -> int:
        module = self.classifier.module()
        sizes = {layer: weight(module, layer) for layer in {layer for layer, _ in choices}}
        return sum(sizes[layer].numel() * sizes[layer].element_size() for layer, _ in choices)

    def _prune(self, sample: Sample, choices: Sequence[Choice]) -> Steps[dict[Choice, Tensor | None]]:
        """Each choice, from one calibration. A pruner takes plans of the same layers: those with as many choices."""
        order = [name for name in self.classifier.prunable() if any(name == layer for layer, _ in choices)]
        calibration = yield from calibrate(
            self.classifier, sample, order, augmentations=self.augmentations, seed=self.seed
        )
        pruner = Pruner(self.classifier, sample, self.solver, self.seed)
        found: dict[Choice, Tensor | None] = dict.fromkeys(choices)  # None: not reached on this sample, so dense
        asked = {name: [s for layer, s in choices if layer == name] for name in order}
        for values in dict.fromkeys(tuple(asked[name]) for name in order):
            names = [name for name in order if tuple(asked[name]) == values]
            plans = [SparsityPlan(dict.fromkeys(names, value)) for value in values]
            for value, trace in zip(values, (yield from pruner.prune(calibration, plans)), strict=True):
                found |= {(name, value): pruned for name, pruned in trace.weights().items()}
        return found


@dataclass(frozen=True, eq=False)
class Planned:
    """The networks of one sample under one plan, for `evaluate_steps`."""

    solved: Solved
    sample: Sample
    plan: Mapping[str, float]
    soon: Sequence[Choice]
    later: Sequence[Choice]

    def make(self, name: NetworkName) -> Steps[Network]:
        """The network; there is only this one."""
        assert name == NetworkName(self.solved.solver)
        return (yield from self.solved.network(self.sample, self.plan, self.soon, self.later))
