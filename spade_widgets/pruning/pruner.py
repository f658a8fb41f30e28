"""The pruner: calibration → traces, keeping what later sparsities need again (SPADE, algorithm 1, step 3)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from typing import Any

import torch
from torch import Tensor, nn

from spade_widgets.classifier import ImageClassifier
from spade_widgets.errors import ModelError
from spade_widgets.network.weights import weight
from spade_widgets.prediction import softmax
from spade_widgets.pruning.calibration.calibration import Calibration
from spade_widgets.pruning.calibration.forms import Form, from_blocks, to_blocks
from spade_widgets.pruning.plans.plan import SparsityPlan, head
from spade_widgets.pruning.progress import Progress, Shares, Steps, within
from spade_widgets.pruning.solvers import Prepared, SolverSteps, solver
from spade_widgets.pruning.solvers.dual import Dual
from spade_widgets.pruning.traces.statistics import LayerStats, groups_of, layer_energies, layer_stats
from spade_widgets.pruning.traces.trace import Agreement, SampleName, Trace, sparse_module
from spade_widgets.sample import Sample

#: Added to H's diagonal for `refined`, as a share of its mean; FastSPADE adds a hundredth. H is of a few augmentations:
#: on inputs that these hardly excite, least squares would put weights of thousands, and other augmentations excite
#: them. Chosen on emoji and on photographs that no table reports.
DAMPING = 0.001
#: Share of its fair part of the head's weights that each logit keeps at least. See `row_floor`.
HEAD_SHARE = 0.5


@dataclass(frozen=True, eq=False)
class Pruned:
    """One layer after pruning.

    Attributes:
        weight: of the dense weight's shape, dtype and memory layout.
        stats: its row of `Trace.stats()`.
        energies: see `layer_stats`.
    """

    weight: Tensor
    stats: LayerStats
    energies: Tensor


@dataclass(frozen=True, eq=False)
class Sketch:
    """A trace's weights before they are measured: a network to look through already.

    Attributes:
        dense: the classifier.
        weights: layer name → pruned weight.
        solver: the solver's name.
    """

    dense: ImageClassifier
    weights: Mapping[str, Tensor]
    solver: str

    def module(self) -> nn.Module:
        """See `Trace.module`."""
        return sparse_module(self.dense, self.weights)


@dataclass(frozen=True)
class Solved(Progress):
    """Every layer is solved, and measured next. `sketches`: one a plan."""

    sketches: tuple[Sketch, ...] = ()


class Pruner:
    """Prunes a classifier for one sample, keeping each layer's factorisation for the next sparsities.

    Args:
        classifier, sample, seed: as in `trace`.
        method: the solver's name.
        others: further samples that it is pruned for, as in `trace_together`.

    Raises:
        InputError: if there is no such solver.
    """

    def __init__(
        self,
        classifier: ImageClassifier,
        sample: Sample,
        method: str = "fast",
        seed: int = 0,
        others: Sequence[Sample] = (),
    ) -> None:
        self.classifier, self.sample, self.method, self.seed = classifier, sample, method, seed
        self.samples = (sample, *others)
        self.module = classifier.module()
        self._head = head(classifier)
        self._prepared: dict[tuple[str, int], Prepared] = {}
        self._energies: dict[tuple[str, int], Tensor] = {}
        self._dense: Tensor | None = None
        solver(method)

    @property
    def nbytes(self) -> int:
        """Memory held by what later sparsities need again."""
        return sum(tensor_sizes(list(self._prepared.values())).values())

    def prune(self, calibration: Calibration, plans: Sequence[SparsityPlan]) -> Steps[list[Trace]]:
        """Solve every layer for all plans at once, then measure what came out. Yields several steps a layer.

        When all is solved it yields `Solved`: who waits for the weights alone need not wait any longer.
        """
        calibrated = [n for n in plans[0].layers if n in calibration.columns]
        weights: list[dict[str, Tensor]] = [{} for _ in plans]
        for done, name in enumerate(calibrated):
            yield Progress("solving", done, len(calibrated))
            steps = self._solved(calibration, name, [plan.sparsities[name] for plan in plans])
            solved = yield from within(steps, done, len(calibrated))
            for layers, layer in zip(weights, solved, strict=True):
                layers[name] = layer
        yield Solved(
            "measuring", 0, len(calibrated), tuple(Sketch(self.classifier, layers, self.method) for layers in weights)
        )
        pruned: list[dict[str, Pruned]] = [{} for _ in plans]
        for done, name in enumerate(calibrated):
            if done:
                yield Progress("measuring", done, len(calibrated))
            for layers, made in zip(weights, pruned, strict=True):
                made[name] = self._measure(calibration, name, layers[name])
        return self.traces(plans, pruned, calibration.augmentations)

    def layer(self, calibration: Calibration, name: str, sparsities: Sequence[float]) -> Shares[list[Pruned]]:
        """One layer at each sparsity, whatever form it is held in. Yields the share that is done."""
        solved = yield from self._solved(calibration, name, sparsities)
        return [self._measure(calibration, name, weight) for weight in solved]

    def _solved(self, calibration: Calibration, name: str, sparsities: Sequence[float]) -> Shares[list[Tensor]]:
        """A layer's weight at each sparsity."""
        dense, form, pieces = weight(self.module, name), calibration.form(name), calibration.pieces.get(name, 1)
        W = dense.flatten(1)
        if (name, calibration.augmentations) not in self._prepared:
            self._prepared = {key: p for key, p in self._prepared.items() if key[0] != name}
            self._prepared[name, calibration.augmentations] = (
                Dual().prepare_inputs(calibration.inputs[name])
                if form == "columns"
                else self.prepare(dense, calibration.gram(name))
            )
        groups = groups_of(self.module, name)
        steps = self.solve(
            name, self._prepared[name, calibration.augmentations], to_blocks(W, groups, pieces), sparsities
        )
        solved = yield from steps
        return [like(dense, from_blocks(blocks, groups, pieces)) for blocks in solved]

    def _measure(self, calibration: Calibration, name: str, pruned: Tensor) -> Pruned:
        """A solved layer's statistics; the dense one's energies are kept for the next sparsities."""
        key, W = (name, calibration.augmentations), weight(self.module, name).flatten(1)
        if key not in self._energies:
            self._energies = {k: energies for k, energies in self._energies.items() if k[0] != name}
            self._energies[key] = layer_energies(calibration, name, W)
        missed = layer_energies(calibration, name, W - pruned.flatten(1))
        groups, form = groups_of(self.module, name), calibration.form(name)
        return self.measured(name, pruned, groups, form, self._energies[key], missed)

    def prepare(self, weight: Tensor, H: Tensor) -> Prepared:
        """What the solver makes of a layer's Gram matrix, with the options that suit the layer's weight."""
        # The published FastSPADE takes the k² weights of a convolution's kernel together.
        options = {"block_size": weight[0, 0].numel()} if self.method == "fast" and weight.ndim > 2 else {}
        return solver(self.method, **options).prepare(damped(H) if self.method == "refined" else H)

    def solve(self, name: str, prepared: Prepared, W: Tensor, sparsities: Sequence[float]) -> SolverSteps:
        """Solve for each sparsity; the head's rows keep their floor. W: (rows, c)."""
        floors = [row_floor(W.shape[1], s) if name == self._head else 0 for s in sparsities]
        return prepared.steps(W, sparsities, row_floor=floors)

    def measured(self, name: str, pruned: Tensor, groups: int, form: Form, energies: Tensor, missed: Tensor) -> Pruned:
        """A solved layer with its statistics. `energies`, `missed`: of the rows' dense outputs and of their errors."""
        # What is held as columns is solved from them, by the one solver that can.
        method = "fast" if form == "columns" else self.method
        dense = weight(self.module, name)
        stats, kept = layer_stats(name, dense, pruned, energies, missed, groups=groups, solver=method, form=form)
        return Pruned(pruned, stats, kept)

    def traces(
        self, plans: Sequence[SparsityPlan], pruned: Sequence[Mapping[str, Pruned]], augmentations: int, **more: Any
    ) -> list[Trace]:
        """The trace of each plan, from its layers. `more`: further attributes of `Trace`."""
        if self._dense is None:
            self._dense = softmax(self.classifier, self.sample)
        missed = [name for name in plans[0].layers if name not in pruned[0]]  # the forward pass did not come by
        left = self.classifier.left_dense() | dict.fromkeys(missed, "not reached on this sample")
        made = []
        for plan, layers in zip(plans, pruned, strict=True):
            weights = {name: layer.weight for name, layer in layers.items()}
            made.append(
                Trace(
                    dense=self.classifier,
                    sample=self.sample,
                    plan=plan,
                    solver=self.method,
                    augmentations=augmentations,
                    seed=self.seed,
                    agreement=self._agreement(self._dense, weights),
                    left_dense=left,
                    _weights=weights,
                    _stats=tuple(layer.stats for layer in layers.values()),
                    _energies={name: layer.energies for name, layer in layers.items()},
                    others=tuple(SampleName(other.id, other.title) for other in self.samples[1:]),
                    **more,
                )
            )
        return made

    def _agreement(self, dense: Tensor, weights: Mapping[str, Tensor]) -> Agreement:
        module = sparse_module(self.classifier, weights)
        with torch.no_grad():
            logits: Tensor = module(self.classifier.prepare(self.sample))[0].float().cpu()
        if not bool(torch.isfinite(logits).all()):
            raise ModelError(f"The trace gives NaN or infinite logits on '{self.sample.title}'.")
        log_sparse = logits.log_softmax(0)
        kl = float((dense * (dense.clamp(min=1e-30).log() - log_sparse)).sum())
        return Agreement(int(dense.argmax()), int(logits.argmax()), max(0.0, kl))


def tensor_sizes(value: object) -> dict[int, int]:
    """The memory behind every tensor in a value, its containers and dataclasses: address → bytes."""
    if isinstance(value, Tensor):
        storage = value.untyped_storage()
        return {storage.data_ptr(): storage.nbytes()}
    if isinstance(value, list | tuple):
        parts: Iterable[object] = value
    elif isinstance(value, Mapping):
        parts = value.values()
    else:
        parts = vars(value).values() if is_dataclass(value) else ()
    return {address: size for part in parts for address, size in tensor_sizes(part).items()}


def row_floor(columns: int, sparsity: float) -> int:
    """How many weights each row of the classifier head keeps: at least one, and at least half of an equal share.

    FastSPADE's thresholds run over all rows together, so a logit with small weights may lose all of them: its
    visualization would be noise and its saliency map empty. (A head of 10 rows at 0.95 would lose every weight.)
    """
    return max(1, int(columns * (1 - sparsity) * HEAD_SHARE))


def damped(H: Tensor) -> Tensor:
    """H (…, c, c) with `DAMPING` on its diagonal, but for the inputs that are always zero."""
    made = H.clone()
    diagonal = made.diagonal(dim1=-2, dim2=-1)
    diagonal += torch.where(diagonal > 0, DAMPING * diagonal.mean(-1, keepdim=True), 0)
    return made


def like(dense: Tensor, W: Tensor) -> Tensor:
    """W, (rows, c), as the dense weight's replacement.

    In the dense weight's own memory layout: the same kernels then run on it, to the last bit. And never an inference
    tensor, which no gradient could pass, whatever mode the caller is in.
    """
    with torch.inference_mode(False):
        made = torch.empty_like(dense, requires_grad=False)
    made.copy_(W.view_as(dense))
    return made
