"""The pruner: calibration → traces, keeping what later sparsities need again (SPADE, algorithm 1, step 3)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from spade_widgets.classifier import ImageClassifier
from spade_widgets.errors import ModelError
from spade_widgets.prediction import softmax
from spade_widgets.pruning.calibration import Calibration
from spade_widgets.pruning.plan import SparsityPlan, head
from spade_widgets.pruning.progress import Progress, Steps
from spade_widgets.pruning.solvers import Prepared, SolverSteps, solver
from spade_widgets.pruning.trace import Agreement, Trace, sparse_module
from spade_widgets.pruning.trace_stats import LayerStats, groups_of, layer_stats, row_energies
from spade_widgets.sample import Sample
from spade_widgets.weights import weight

#: Share of its fair part of the head's weights that each logit keeps at least. See `row_floor`.
HEAD_SHARE = 0.5


class Pruner:
    """Prunes a classifier for one sample, keeping each layer's factorisation for the next sparsities.

    Args:
        classifier, sample, seed: as in `trace`.
        method: the solver's name.

    Raises:
        InputError: if there is no such solver.
    """

    def __init__(self, classifier: ImageClassifier, sample: Sample, method: str = "fast", seed: int = 0) -> None:
        self.classifier, self.sample, self.method, self.seed = classifier, sample, method, seed
        self._module = classifier.module()
        self._head = head(classifier)
        self._prepared: dict[tuple[str, int], Prepared] = {}
        solver(method)

    def prune(self, calibration: Calibration, plans: Sequence[SparsityPlan]) -> Steps[list[Trace]]:
        """Solve every layer for all plans at once and measure what comes out. Yields a step a layer."""
        names = plans[0].layers
        calibrated = [n for n in names if n in calibration.sums]
        weights: list[dict[str, Tensor]] = [{} for _ in plans]
        rows: list[list[LayerStats]] = [[] for _ in plans]
        energies: list[dict[str, Tensor]] = [{} for _ in plans]
        for done, name in enumerate(calibrated):
            yield Progress("solving", done, len(calibrated))
            sparsities = [plan.sparsities[name] for plan in plans]
            dense_weight = weight(self._module, name)
            H = calibration.gram(name)
            groups, whole = groups_of(self._module, name), row_energies(dense_weight.flatten(1), H)
            steps = self._solve(name, dense_weight, H, sparsities, calibration.augmentations)
            solved = yield from _within(done, len(calibrated), steps)
            for i, pruned in enumerate(solved):
                stats, energies[i][name] = layer_stats(
                    name, dense_weight, pruned, H, groups=groups, solver=self.method, dense=whole
                )
                rows[i].append(stats)
                # In the dense weight's own memory layout: the same kernels then run on it, to the last bit. And never
                # as an inference tensor, which no gradient could pass, whatever mode the caller is in.
                with torch.inference_mode(False):
                    weights[i][name] = torch.empty_like(dense_weight, requires_grad=False)
                weights[i][name].copy_(pruned.view_as(dense_weight))
        probabilities = softmax(self.classifier, self.sample)
        left = tuple(_left_dense(self.classifier, self._module, set(names), set(calibrated)))
        return [
            Trace(
                dense=self.classifier,
                sample=self.sample,
                plan=plan,
                solver=self.method,
                augmentations=calibration.augmentations,
                seed=self.seed,
                agreement=self._agreement(probabilities, weights[i]),
                left_dense=left,
                _weights=weights[i],
                _stats=tuple(rows[i]),
                _energies=energies[i],
            )
            for i, plan in enumerate(plans)
        ]

    def _solve(self, name: str, weight: Tensor, H: Tensor, sparsities: list[float], seen: int) -> SolverSteps:
        if (name, seen) not in self._prepared:
            options = {"block_size": weight[0, 0].numel()} if weight.ndim > 2 else {}
            self._prepared = {key: p for key, p in self._prepared.items() if key[0] != name}
            self._prepared[name, seen] = solver(self.method, **options).prepare(H)
        prepared = self._prepared[name, seen]
        W = weight.flatten(1)
        if name != self._head:
            return (yield from prepared.steps(W, sparsities))
        solved: list[Tensor] = []
        for s in sparsities:
            solved += yield from prepared.steps(W, [s], row_floor=row_floor(W.shape[1], s))
        return solved

    def _agreement(self, dense: Tensor, weights: Mapping[str, Tensor]) -> Agreement:
        module = sparse_module(self.classifier, weights)
        with torch.no_grad():
            logits: Tensor = module(self.classifier.prepare(self.sample))[0].float().cpu()
        if not bool(torch.isfinite(logits).all()):
            raise ModelError(f"The trace gives NaN or infinite logits on '{self.sample.title}'.")
        log_sparse = logits.log_softmax(0)
        kl = float((dense * (dense.clamp(min=1e-30).log() - log_sparse)).sum())
        return Agreement(int(dense.argmax()), int(logits.argmax()), max(0.0, kl))


def row_floor(columns: int, sparsity: float) -> int:
    """How many weights each row of the classifier head keeps: at least one, and at least half of an equal share.

    FastSPADE's thresholds run over all rows together, so a logit with small weights may lose all of them: its
    visualization would be noise and its saliency map empty. (A head of 10 rows at 0.95 would lose every weight.)
    """
    return max(1, int(columns * (1 - sparsity) * HEAD_SHARE))


def _within(done: int, layers: int, steps: SolverSteps) -> Steps[list[Tensor]]:
    """A layer's shares as progress over all layers."""
    while True:
        try:
            share = next(steps)
        except StopIteration as stop:
            solved: list[Tensor] = stop.value
            return solved
        yield Progress("solving", done + share, layers)


def _left_dense(classifier: ImageClassifier, module: nn.Module, names: set[str], solved: set[str]) -> Iterator[str]:
    """See `Trace.left_dense`. `names` are the plan's layers, `solved` those that were pruned."""
    could = set(classifier.prunable()) - names  # these stay dense because they are not asked for
    for name, part in module.named_modules():
        weighty = any("weight" in n and p.ndim > 1 for n, p in part.named_parameters(recurse=False))
        if name not in could | solved and (weighty or isinstance(part, nn.Conv2d | nn.Linear)):
            yield name
